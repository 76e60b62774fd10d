"""Provisioning a real Kafka: made once, kept as the settings say, never at the price of records."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from commands.main import application
from config.settings import Kafka, Settings, Topics
from lifestage.log import topic_code
from streams.connections import UnreachableError
from streams.embedded.kafka import KafkaServer
from streams.embedded.kafka_memory import KAFKA_PYTHON, start_kafka_in_memory
from streams.following import follow
from streams.outgoing import Outgoing, send
from streams.provision import ProvisionError, apply, check_codes, clash, keep_apart, plan, topic_ids
from streams.provision_plan import DAY_MS, HOUR_MS, Action
from streams.topics import topics_of
from tests.wire import create_topic, read_all

pytestmark = pytest.mark.broker

TOPICS = 11
"""Six sources, the log, the changelog, changes, stages and dead letters."""


@pytest.fixture
def settings(kafka: KafkaServer, topic_prefix: str) -> Settings:
    """A deployment of its own on the shared broker, with 3 partitions."""
    return Settings(
        kafka=Kafka(bootstrap=kafka.bootstrap, group=topic_prefix + "group"),
        topics=Topics(prefix=topic_prefix, partitions=3),
    )


def kinds(settings: Settings) -> list[str]:
    """What a plan would do now, topic by topic."""
    return [action.kind for action in plan(settings, settings.kafka.bootstrap)]


def provision(settings: Settings) -> None:
    """Plan and do it."""
    apply(settings, settings.kafka.bootstrap, plan(settings, settings.kafka.bootstrap))


def configs_in_force(bootstrap: str, topic: str) -> dict[str, str]:
    """A topic's configs as the broker reports them."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    finally:
        admin.close()
    return {name: entry["value"] for name, entry in found["topic"][topic].items()}


def test_an_empty_cluster_gets_all_topics_and_a_second_run_does_nothing(settings: Settings) -> None:
    """Each topic stands with its partitions and configs in force; then there is nothing left to do."""
    assert kinds(settings) == ["create"] * TOPICS
    provision(settings)
    assert kinds(settings) == ["keep"] * TOPICS
    topics, bootstrap = topics_of(settings), settings.kafka.bootstrap
    source = configs_in_force(bootstrap, topics.sources[0].name)
    assert source["message.timestamp.type"] == "LogAppendTime"
    assert source["compression.type"] == "uncompressed"
    assert source["retention.ms"] == str(7 * DAY_MS)
    assert configs_in_force(bootstrap, topics.log.name)["retention.ms"] == "-1"
    stages = configs_in_force(bootstrap, topics.stages.name)
    assert stages["cleanup.policy"] == "compact"
    assert stages["min.compaction.lag.ms"] == str(HOUR_MS)


def test_a_plan_changes_nothing(settings: Settings) -> None:
    """Planning twice finds the same cluster."""
    assert kinds(settings) == ["create"] * TOPICS
    assert kinds(settings) == ["create"] * TOPICS


def test_a_plan_that_others_carried_out_meanwhile_is_no_error(settings: Settings) -> None:
    """Two workers that start together may both provision."""
    bootstrap = settings.kafka.bootstrap
    actions = plan(settings, bootstrap)
    provision(settings)
    apply(settings, bootstrap, actions)
    assert kinds(settings) == ["keep"] * TOPICS


def test_a_new_topic_with_the_code_of_another_is_made_again(settings: Settings) -> None:
    """With 12 codes for six sources and the log some clash; a source that was there before stays what it is, with its id."""

    def code(name: str, id: str) -> int:
        return topic_code(name, id) % 12

    actions = plan(settings, settings.kafka.bootstrap)
    provision(settings)
    topics = topics_of(settings)
    bootstrap, sources = settings.kafka.bootstrap, [topic.name for topic in (*topics.sources, topics.log)]
    before = topic_ids(settings, bootstrap)
    made = [action for action in actions if action.topic in sources[1:]]
    while clash({name: topic_ids(settings, bootstrap)[name] for name in sources}, sources[1:], code) is None:
        again(settings, made[:1])
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        keep_apart(admin, settings, made, code)
    finally:
        admin.close()
    after = topic_ids(settings, bootstrap)
    assert len({code(name, after[name]) for name in sources}) == len(sources)
    assert after[sources[0]] == before[sources[0]]
    assert set(kinds(settings)) == {"keep"}


def test_a_source_with_the_code_of_the_log_is_refused() -> None:
    """Where nothing was made just now two topics with one code are named, and the source, never the log, is to be made again."""
    topics = topics_of(Settings())
    ids = {topic.name: str(number) for number, topic in enumerate((*topics.sources, topics.log))}
    check_codes(topics, ids)
    for others in ({"visits": "costs"}, {"costs": "customer-events"}, {"customer-events": "emails"}):
        (one,) = {*others, *others.values()} - {"visits", "customer-events"}

        def code(name: str, _: str, alike: dict[str, str] = others) -> int:
            return topic_code(alike.get(name, name))

        with pytest.raises(
            ProvisionError, match=rf"have the same code.*: delete the source {one} when all of it is read"
        ):
            check_codes(topics, ids, code)


def again(settings: Settings, actions: list[Action]) -> None:
    """Delete topics and make them once more, so that they get other ids."""
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    try:
        admin.delete_topics([action.topic for action in actions])
        while any(action.topic in admin.list_topics() for action in actions):
            time.sleep(0.05)
    finally:
        admin.close()
    apply(settings, settings.kafka.bootstrap, actions)


def test_a_changed_setting_is_brought_to_the_topic(settings: Settings) -> None:
    """New retention and compression reach topics that exist, and only those configs are touched."""
    provision(settings)
    changed = Settings(
        kafka=Kafka(bootstrap=settings.kafka.bootstrap, group=settings.kafka.group, compression="gzip"),
        topics=Topics(prefix=settings.topics.prefix, partitions=3, changes_retention_days=30),
    )
    assert set(kinds(changed)) == {"alter"}
    provision(changed)
    assert set(kinds(changed)) == {"keep"}
    found = configs_in_force(changed.kafka.bootstrap, topics_of(changed).changes.name)
    assert found["retention.ms"] == str(30 * DAY_MS)
    assert found["compression.type"] == "gzip"
    assert found["message.timestamp.type"] == "CreateTime"


def test_another_partition_count_of_the_log_is_refused_and_nothing_is_made(settings: Settings) -> None:
    """A log with another count stops the whole run with its name and both numbers."""
    log = topics_of(settings).log.name
    create_topic(settings.kafka.bootstrap, log, partitions=2)
    with pytest.raises(ProvisionError, match=r"has 2 partitions and topics\.partitions is 3") as refused:
        provision(settings)
    assert log in str(refused.value)


def test_a_companys_source_keeps_its_partitions_and_its_records(settings: Settings) -> None:
    """A source that was there keeps its count and its longer retention; the other topics are made beside it."""
    source = topics_of(settings).sources[1].name
    create_topic(settings.kafka.bootstrap, source, partitions=5, retention_ms=str(90 * DAY_MS))
    provision(settings)
    action = plan(settings, settings.kafka.bootstrap)[1]
    assert (action.kind, action.partitions) == ("keep", 5)
    assert "left alone" in str(action)
    assert configs_in_force(settings.kafka.bootstrap, source)["retention.ms"] == str(90 * DAY_MS)


def test_more_copies_than_brokers_says_which_setting(settings: Settings) -> None:
    """The broker's refusal comes with the setting to change."""
    three = Settings(kafka=settings.kafka, topics=Topics(prefix=settings.topics.prefix, replication=3))
    with pytest.raises(ProvisionError, match=r"topics\.replication to at most the number of brokers"):
        provision(three)


def test_no_broker_is_told_in_one_line() -> None:
    """A plan without Kafka names the address and what to do."""
    with pytest.raises(UnreachableError, match=r"Kafka at 127\.0\.0\.1:1: refused") as told:
        plan(Settings(), "127.0.0.1:1")
    assert "\n" not in str(told.value)


def test_the_command_prints_a_line_a_topic(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run says what would be done and does not do it; the real one does, and the next finds nothing to do."""
    file = tmp_path / "lifestage.toml"
    file.write_text(
        f'[kafka]\nbootstrap = "{settings.kafka.bootstrap}"\ngroup = "{settings.kafka.group}"\n'
        f'[topics]\nprefix = "{settings.topics.prefix}"\npartitions = 3\n'
    )
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)
    for options, verb, end in (
        (["--dry-run"], "create", f"{TOPICS} of {TOPICS} topics would change"),
        ([], "create", f"{TOPICS} of {TOPICS} topics changed"),
        ([], "keep", f"0 of {TOPICS} topics changed"),
    ):
        done = CliRunner().invoke(application(), ["provision", "--config", str(file), *options])
        assert done.exit_code == 0, done.output
        lines = done.output.splitlines()
        assert [line.split()[0] for line in lines[:-1]] == [verb] * TOPICS
        assert lines[-1].startswith(end)


def test_the_in_memory_broker_is_told_the_names_and_used_as_it_is() -> None:
    """Where nothing can be created, topics come to be by name; another count than it makes is refused with the right one."""
    with start_kafka_in_memory() as broker:
        bootstrap = broker.bootstrap
        with pytest.raises(ProvisionError, match=r"topics\.partitions is 8: set topics\.partitions = 4"):
            apply(Settings(), bootstrap, plan(Settings(), bootstrap))
        settings = Settings(topics=Topics(partitions=4))
        apply(settings, bootstrap, plan(settings, bootstrap))
        (sent,) = send(settings, bootstrap, [Outgoing("visits", b"ann", b"{}")])
        record = next(follow(settings, bootstrap, "visits", from_beginning=True))
        assert (sent.topic, sent.partition, sent.offset) == (record.topic, record.partition, record.offset)
        assert (record.key, record.value) == (b"ann", b"{}")
        for topic in topics_of(settings).all():
            assert {r.partition for r in read_all(bootstrap, topic.name, **KAFKA_PYTHON)} <= {0, 1, 2, 3}
