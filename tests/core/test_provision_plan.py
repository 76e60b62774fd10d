"""What provisioning decides, from what is there and what the settings say."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from config.settings import Kafka, Settings, SettingsError, Topics
from streams.provision_plan import DAY_MS, HOUR_MS, Action, Existing, ProvisionError, configs_of, decide
from streams.topics import topics_of

SETTINGS = Settings()


def as_wanted(settings: Settings = SETTINGS) -> dict[str, Existing]:
    """A cluster in which every topic is as the settings say, beside defaults that nobody set."""
    topics = topics_of(settings)
    return {
        topic.name: Existing(
            topic.partitions,
            settings.topics.replication,
            {**configs_of(topic, settings, source=topic in topics.sources), "flush.ms": "9223372036854775807"},
        )
        for topic in topics.all()
    }


def by_topic(actions: list[Action]) -> dict[str, Action]:
    """The actions by the topic they are about."""
    return {action.topic: action for action in actions}


def with_config(existing: dict[str, Existing], topic: str, **configs: str) -> dict[str, Existing]:
    """The same cluster with some configs of one topic changed; names with `_` for `.`."""
    changed = {**existing[topic].configs, **{name.replace("_", "."): value for name, value in configs.items()}}
    return {**existing, topic: replace(existing[topic], configs=changed)}


def test_an_empty_cluster_gets_every_topic() -> None:
    """Each topic of the deployment is created once, in the order of an event's journey."""
    actions = decide(SETTINGS, {})
    assert [action.topic for action in actions] == [topic.name for topic in topics_of(SETTINGS).all()]
    assert {action.kind for action in actions} == {"create"}
    assert {action.partitions for action in actions} == {8}


def test_a_cluster_as_wanted_is_left_alone() -> None:
    """Provisioning twice does nothing the second time; configs that nobody asked for are not looked at."""
    assert {action.kind for action in decide(SETTINGS, as_wanted())} == {"keep"}


def test_configs_say_what_the_settings_say() -> None:
    """Retention, compaction, timestamps and compression reach Kafka under its own names."""
    actions = by_topic(decide(Settings(topics=Topics(changes_retention_days=30)), {}))
    assert actions["visits"].configs["message.timestamp.type"] == "LogAppendTime"
    assert actions["visits"].configs["retention.ms"] == str(7 * DAY_MS)
    assert actions["customer-events"].configs["retention.ms"] == "-1"
    assert actions["customer-events"].configs["message.timestamp.type"] == "CreateTime"
    assert actions["stage-changes"].configs["retention.ms"] == str(30 * DAY_MS)
    assert actions["customer-stages"].configs["cleanup.policy"] == "compact"
    assert int(actions["lifestage-profiles-changelog"].configs["min.compaction.lag.ms"]) >= HOUR_MS
    assert "min.compaction.lag.ms" not in actions["customer-events"].configs


@pytest.mark.parametrize(("setting", "kafkas"), [("none", "uncompressed"), ("gzip", "gzip")])
def test_outputs_are_never_in_a_compression_that_readers_lack(setting: Literal["none", "gzip"], kafkas: str) -> None:
    """Whatever a producer uses, the broker keeps gzip or nothing: what every client can read without a library."""
    actions = decide(Settings(kafka=Kafka(compression=setting)), {})
    assert {action.configs["compression.type"] for action in actions} == {kafkas}


def test_a_dead_letter_fits_where_its_source_record_fitted() -> None:
    """The dead-letter topic takes larger records than any source, since it adds headers to them."""
    actions = by_topic(decide(SETTINGS, {}))
    largest = int(actions["purchases"].configs["max.message.bytes"])
    assert int(actions["dead-letters"].configs["max.message.bytes"]) > largest + 65_536


def test_three_copies_need_two_in_sync() -> None:
    """With replication 3 an acknowledged record of ours stands on two disks; the company's sources are its own."""
    actions = by_topic(decide(Settings(topics=Topics(replication=3)), {}))
    assert actions["customer-events"].configs["min.insync.replicas"] == "2"
    assert "min.insync.replicas" not in actions["visits"].configs


@pytest.mark.parametrize(
    "topic", ["customer-events", "lifestage-profiles-changelog", "stage-changes", "customer-stages", "dead-letters"]
)
def test_another_partition_count_of_ours_is_refused(topic: str) -> None:
    """The error names the topic, both numbers and the two ways out, and nothing is planned."""
    existing = as_wanted()
    existing[topic] = replace(existing[topic], partitions=3)
    with pytest.raises(ProvisionError) as refused:
        decide(SETTINGS, existing)
    told = str(refused.value)
    assert topic in told
    assert "has 3 partitions and topics.partitions is 8" in told
    assert "set topics.partitions = 3" in told
    assert "topics.prefix" in told
    assert isinstance(refused.value, SettingsError)


def test_every_refused_topic_is_named() -> None:
    """One run tells all that is wrong, a line each."""
    existing = {name: replace(found, partitions=3) for name, found in as_wanted().items()}
    with pytest.raises(ProvisionError) as refused:
        decide(SETTINGS, existing)
    assert len(str(refused.value).splitlines()) == 5


def test_a_source_may_have_any_partition_count() -> None:
    """A source topic that is there belongs to the company: it is left alone, and that is said."""
    existing = as_wanted()
    existing["visits"] = replace(existing["visits"], partitions=24)
    action = by_topic(decide(SETTINGS, existing))["visits"]
    assert action.kind == "keep"
    assert "24 partitions" in str(action)
    assert "topics.partitions is 8: left alone" in str(action)


def test_a_changed_config_is_altered_alone() -> None:
    """Only what differs is sent, and the line shows from what to what."""
    existing = with_config(as_wanted(), "stage-changes", retention_ms=str(DAY_MS))
    action = by_topic(decide(SETTINGS, existing))["stage-changes"]
    assert action.kind == "alter"
    assert dict(action.configs) == {"retention.ms": str(365 * DAY_MS)}
    assert str(action) == "alter   stage-changes: retention.ms: 1 d -> 365 d"


def test_shortening_what_we_keep_is_said() -> None:
    """Of our own topics the settings decide, and the line warns that records go."""
    existing = with_config(as_wanted(), "stage-changes", retention_ms="-1")
    action = by_topic(decide(SETTINGS, existing))["stage-changes"]
    assert "retention.ms: for ever -> 365 d" in str(action)
    assert "Kafka will delete what is older" in str(action)


@pytest.mark.parametrize(
    ("name", "value"),
    [("retention_ms", str(30 * DAY_MS)), ("retention_ms", "-1"), ("max_message_bytes", "9000000"),
     ("cleanup_policy", "compact")],
)  # fmt: skip
def test_a_companys_records_are_never_lost(name: str, value: str) -> None:
    """A source that keeps more than the settings ask for is not made to keep less."""
    action = by_topic(decide(SETTINGS, with_config(as_wanted(), "purchases", **{name: value})))["purchases"]
    assert action.kind == "keep"
    assert "no record is lost" in str(action)


def test_a_source_that_keeps_too_little_is_made_to_keep_more() -> None:
    """What an outage of a week needs to survive is asked for, also of a topic that was there."""
    existing = with_config(as_wanted(), "purchases", retention_ms=str(HOUR_MS), message_timestamp_type="CreateTime")
    action = by_topic(decide(SETTINGS, existing))["purchases"]
    assert dict(action.configs) == {"retention.ms": str(7 * DAY_MS), "message.timestamp.type": "LogAppendTime"}


def test_another_replication_is_said_and_kept() -> None:
    """Moving replicas is the work of Kafka's own tool."""
    existing = as_wanted()
    existing["customer-events"] = replace(existing["customer-events"], replication=3)
    action = by_topic(decide(SETTINGS, existing))["customer-events"]
    assert action.kind == "keep"
    assert "kept 3x, not 1x" in str(action)


def test_a_new_topic_is_told_in_one_line() -> None:
    """A person sees name, partitions, copies and every config, with days as days."""
    told = str(by_topic(decide(SETTINGS, {}))["visits"])
    assert told.startswith("create  visits: 8 partitions, 1x, cleanup.policy=delete, retention.ms=7 d")
    assert "\n" not in told
