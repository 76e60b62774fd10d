"""`lifestage doctor` on a real Kafka: each thing that can be wrong with brokers, topics, records, clocks and state is broken, and told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewPartitions
from kafka.structs import OffsetAndMetadata

from config.settings import Settings
from lifestage.marker import FORMAT, MARKER_KEY, Marker, encode_marker
from lifestage.moments import iso
from streams import doctor_kafka, doctor_records, doctor_state
from streams.doctor import Ground, worst
from streams.embedded.kafka import KafkaServer
from streams.survey import Group, Member
from tests.doctors import alter, amiss, found, ground, with_
from tests.pipeline import Deployment, deployment
from tests.wire import create_topic, produce

pytestmark = pytest.mark.broker


@pytest.fixture
def bare(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """The topics of a deployment without a worker, to break."""
    with deployment(kafka.bootstrap, topic_prefix[-20:], tmp_path, topics__partitions="2") as made:
        yield made


def test_a_missing_topic_is_named_with_what_makes_it(bare: Deployment) -> None:
    """Before anything is provisioned topics are missing; of many that are the first are told, and how many more."""
    other = with_(bare.settings, "topics", prefix=bare.prefix + "other.")
    wrong = [one for one in found(doctor_kafka.topics, ground(bare, other)) if one.level == "FAIL"]
    assert wrong[0].found == f"{bare.prefix}other.visits is not there"
    assert wrong[2].found == f"{bare.prefix}other.purchases is not there (and 8 more like it)"
    assert len(wrong) == 3
    assert {one.fix for one in wrong} == {"lifestage provision"}


def test_other_partitions_of_a_topic_are_told(bare: Deployment) -> None:
    """Partitions that were added to a topic of ours: how many, how many there should be, and what that does."""
    admin = KafkaAdminClient(bootstrap_servers=bare.bootstrap)
    admin.create_partitions({bare.topics.stages.name: NewPartitions(3)})
    deadline = time.monotonic() + 30
    while len(admin.describe_topics([bare.topics.stages.name])[0]["partitions"]) < 3:
        assert time.monotonic() < deadline
    admin.close()
    one = amiss(doctor_kafka.topics, ground(bare))
    assert one.level == "FAIL"
    assert one.found == f"{bare.prefix}customer-stages has 3 partitions, topics.partitions is 2"
    assert "customers into other partitions" in one.means
    assert one.fix.startswith("set topics.partitions = 3, or another topics.prefix and kafka.group")


@pytest.mark.parametrize(
    ("topic", "configs", "said", "fix"),
    [
        ("stage-changes", {"retention_ms": "3600000"}, "retention.ms: 1 h, should be 365 d", "lifestage provision"),
        (
            "visits",
            {"compression_type": "producer"},
            "compression.type: producer, should be uncompressed",
            "lifestage provision",
        ),
        ("emails", {"cleanup_policy": "compact"}, "emails is compacted", "cleanup.policy=delete"),
        (
            "customer-stages",
            {"cleanup_policy": "delete"},
            "cleanup.policy: delete, should be compact",
            "lifestage provision",
        ),
    ],
)
def test_a_topic_with_other_settings_is_told(
    bare: Deployment, topic: str, configs: dict[str, str], said: str, fix: str
) -> None:
    """What it is, what it should be, and what sets it right."""
    alter(bare, bare.prefix + topic, **configs)
    one = amiss(doctor_kafka.topics, ground(bare))
    assert one.level == "FAIL"
    assert one.found.startswith(bare.prefix + topic)
    assert one.found.endswith(said)
    assert one.fix.endswith(fix)


def test_writes_that_can_never_be_acknowledged_are_told(bare: Deployment) -> None:
    """More copies asked for than there are: refused by every broker, with the number to set."""
    assert [one.level for one in found(doctor_kafka.copies, ground(bare))] == ["ok"]
    alter(bare, bare.topics.changes.name, min_insync_replicas="2")
    one = amiss(doctor_kafka.copies, ground(bare))
    assert (one.level, one.found) == ("FAIL", f"{bare.prefix}stage-changes: min.insync.replicas is 2, of 1")
    assert one.fix.endswith("--add-config min.insync.replicas=1")


def on(replicas: list[int], in_sync: list[int], leader: int = 1) -> list[dict[str, Any]]:
    """A topic of one partition as Kafka describes it."""
    return [{"partition_index": 0, "leader_id": leader, "replica_nodes": replicas, "isr_nodes": in_sync}]


@pytest.mark.parametrize(
    ("partitions", "least", "level", "said"),
    [
        (on([1, 2, 3], [1, 2, 3]), 2, "ok", ""),
        (on([1, 2, 3], [], -1), 2, "FAIL", "t[0] has no leader"),
        (on([1, 2, 3], [1]), 2, "FAIL", "t[0]: fewer copies in sync than min.insync.replicas, 2"),
        (on([1, 2, 3], [1, 2]), 2, "warn", "t[0]: a copy is not in sync"),
        (on([1, 2, 3], [1, 2, 3]), 3, "warn", "t: min.insync.replicas is 3, of 3"),
        (on([1], [1]), 1, "warn", "t: 1 copy, and there are 3 brokers"),
    ],
)
def test_what_is_wrong_with_copies(partitions: list[dict[str, Any]], least: int, level: str, said: str) -> None:
    """No leader and too few in sync fail; what only the next loss would stop is warned of."""
    told = list(doctor_kafka.judge_copies({"t": partitions}, {"t": least}, 3))
    assert worst(told) == level
    assert [one.found for one in told] == ([said] if said else [])


def test_a_dead_letter_that_would_not_fit_is_told(bare: Deployment) -> None:
    """An event that a source takes must fit into dead-letters with what is said of it."""
    assert [one.level for one in found(doctor_kafka.sizes, ground(bare))] == ["ok"]
    alter(bare, bare.topics.dead_letters.name, max_message_bytes="100000")
    one = amiss(doctor_kafka.sizes, ground(bare))
    assert (one.level, one.fix) == ("FAIL", "lifestage provision")
    assert one.found.startswith(f"{bare.prefix}dead-letters takes 100,000 bytes, sources up to 1,048,588")
    large = with_(bare.settings, "intake", max_event_bytes=2_000_000)
    assert sum(one.level == "warn" for one in found(doctor_kafka.sizes, ground(bare, large))) == 3


@pytest.mark.parametrize("codec", ["lz4", "zstd", "snappy"])
def test_a_record_that_no_worker_can_read_is_found(bare: Deployment, codec: str) -> None:
    """Its place, its codec, and the library to install; a gzip record beside it can be read."""
    alter(bare, bare.prefix + "visits", compression_type="producer")
    for compression, partition in (("gzip", 0), (codec, 1)):
        producer = Producer({"bootstrap.servers": bare.bootstrap, "compression.type": compression, "linger.ms": 200})
        for _ in range(50):
            producer.produce(bare.prefix + "visits", json.dumps(visit()).encode(), partition=partition)
        assert producer.flush(30) == 0
    one = amiss(doctor_records.records, ground(bare))
    assert one.level == "FAIL"
    assert one.found == f"{bare.prefix}visits[1]@49 is compressed with {codec}, for which there is no library"
    assert "pip install cramjam" in one.fix
    assert one.fix.endswith("lifestage provision")
    later = ground(bare, now=lambda: time.time() + 7_200)
    assert amiss(doctor_state.lag, later).found.startswith("100 records wait, the oldest for 2 h")


def visit() -> dict[str, Any]:
    """A visit that is taken in, long enough to be worth compressing."""
    return {
        "id": "v",
        "source": "web",
        "type": "web.visit",
        "customer_id": "ann",
        "url": "/" + "a" * 200,
        "time": iso(int(time.time() * 1000)),
    }


def test_a_record_of_the_future_is_found(bare: Deployment) -> None:
    """Where a topic takes its producers' timestamps: how far ahead, a failure beyond what intake tolerates."""
    alter(bare, bare.prefix + "visits", message_timestamp_type="CreateTime")
    for ahead, level in ((60, "warn"), (1_800, "FAIL")):
        value = json.dumps(visit()).encode()
        stamp = int((time.time() + ahead) * 1000)
        produce(bare.bootstrap, bare.prefix + "visits", [(b"a", value)], partition=0, timestamp_ms=stamp)
        one = amiss(doctor_records.records, ground(bare))
        assert one.level == level
        assert f"is of {iso(stamp)}, " in one.found
        assert "timedatectl set-ntp true" in one.fix


def test_clocks_that_differ_are_found_and_nothing_is_written(bare: Deployment) -> None:
    """The broker says its time in refusing a batch: by how much this machine is ahead or behind; no record comes of it."""
    (one,) = found(doctor_records.clock, ground(bare))
    assert (one.level, one.found) == (
        "ok",
        "the broker is at a loopback address: one clock, unless the port is forwarded",
    )
    alter(bare, bare.topics.stages.name, message_timestamp_after_max_ms="3600000")
    (one,) = found(doctor_records.clock, ground(bare))
    assert one.level == "ok"
    assert "the broker's, give or take" in one.found
    for ahead, level, said in ((3_600, "FAIL", "ahead of"), (-3_600, "FAIL", "behind"), (200, "warn", "ahead of")):
        one = amiss(doctor_records.clock, ground(bare, now=lambda ahead=ahead: time.time() + ahead))  # type: ignore[misc]
        assert one.level == level
        assert f" {said} the broker's" in one.found
        assert one.fix.startswith("timedatectl set-ntp true")
    assert set(bare.ends([bare.topics.stages.name]).values()) == {0}


def test_without_a_way_to_ask_for_the_time_nothing_is_sent(bare: Deployment) -> None:
    """Where the topic is not compacted a record without a key would be taken: the broker is not asked, and it is said."""
    alter(bare, bare.topics.stages.name, message_timestamp_after_max_ms="3600000", cleanup_policy="delete")
    on_it = ground(bare)
    away = Ground(on_it.settings, "example.invalid:9092", "", facts={"calls": frozenset({19})})
    with doctor_kafka.survey(Ground(on_it.settings, on_it.bootstrap, "", facts=away.facts)) as asked:
        assert doctor_records.measure(on_it, asked) == f"topic {bare.topics.stages.name} is not as provisioned"
    assert set(bare.ends([bare.topics.stages.name]).values()) == {0}


def test_without_a_worker_that_is_said(bare: Deployment) -> None:
    """A warning with the command; a stranger in the group is a failure with its name."""
    one = amiss(doctor_state.group, ground(bare))
    assert (one.level, one.fix) == ("warn", "lifestage worker")
    with joined(bare, bare.prefix + "visits", bare.prefix + "g", client_id="somebody"):
        (strange, _) = [one for one in found(doctor_state.group, ground(bare)) if one.level != "ok"]
    assert strange.level == "FAIL"
    assert strange.found == f"group {bare.prefix}g: somebody at 127.0.0.1 is no worker"


@contextmanager
def joined(made: Deployment, topic: str, group: str, client_id: str = "kafka-python") -> Iterator[KafkaConsumer]:
    """Have a consumer in a group as long as the block runs, with its partitions.

    A member that assigns a topic which its metadata lacks gives itself nothing, and looks again only when the metadata
    is old (five minutes by default, longer than any test waits).
    """
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=made.bootstrap,
        group_id=group,
        client_id=client_id,
        enable_auto_commit=False,
        metadata_max_age_ms=500,
    )
    try:
        deadline = time.monotonic() + 60
        while not consumer.assignment():
            consumer.poll(timeout_ms=100)
            assert time.monotonic() < deadline
        yield consumer
    finally:
        consumer.close()


@pytest.mark.parametrize(
    ("state", "owned", "level", "said"),
    [
        ("Stable", [(0, 1), (2, 3)], "ok", "2 at work, who own all 4 partitions of the log"),
        ("Stable", [(0, 1), (2,)], "FAIL", "nobody owns customer-events[3]"),
        ("Stable", [(0, 1), (2, 3), ()], "warn", "1 of 3 workers own nothing"),
        ("PreparingRebalance", [(0, 1)], "warn", "PreparingRebalance"),
    ],
)
def test_what_is_wrong_with_members(state: str, owned: list[tuple[int, ...]], level: str, said: str) -> None:
    """Partitions that nobody owns fail; workers too many and a rebalance are warned of."""
    settings = with_(Settings(), "topics", partitions=4)
    members = tuple(
        Member(f"w{n}", "lifestage-worker", "10.0.0.1", "", {"customer-events": mine}) for n, mine in enumerate(owned)
    )
    told = list(doctor_state.judge_group(settings, Group("lifestage", state, members)))
    assert worst(told) == level
    assert any(one.found.endswith(said) for one in told)


def test_two_groups_on_one_log_are_found(bare: Deployment) -> None:
    """Another deployment on the same prefix: a failure while it works, a warning while only its changelog is left."""
    other, log = bare.prefix + "twin", bare.topics.log.name
    create_topic(bare.bootstrap, f"{other}-{bare.prefix}profiles-changelog", 2)
    assert len(found(doctor_state.group, ground(bare))) == 1
    with joined(bare, log, other) as consumer:
        consumer.commit({TopicPartition(log, 0): OffsetAndMetadata(0, "", -1)})
        _, twin = found(doctor_state.group, ground(bare))
    assert (twin.level, twin.found) == ("FAIL", f"group {other} works on {log}, too (1 members)")
    assert "give one another topics.prefix" in twin.fix
    _, left = found(doctor_state.group, ground(bare))
    assert (left.level, left.found) == ("warn", f"group {other} has worked on {log}, too")
    assert left.fix.endswith(f"kafka-topics.sh --delete --topic {other}-{bare.prefix}profiles-changelog")


def commit(made: Deployment, topic: str, offset: int) -> None:
    """Set the group's commit of partition 0 of a topic."""
    consumer = KafkaConsumer(
        bootstrap_servers=made.bootstrap, group_id=made.settings.kafka.group, enable_auto_commit=False
    )
    tp = TopicPartition(topic, 0)
    consumer.assign([tp])
    consumer.commit({tp: OffsetAndMetadata(offset, "", -1)})
    consumer.close()


def test_commits_that_a_topic_does_not_have_are_found(bare: Deployment) -> None:
    """Beyond its end, and before what retention has left: a worker would stop, and how to set them is said."""
    visits = bare.prefix + "visits"
    produce(bare.bootstrap, visits, [(None, b"{}")] * 5, partition=0)
    commit(bare, visits, 9)
    one = amiss(doctor_state.lag, ground(bare))
    assert (one.level, one.found) == ("FAIL", f"the commit of {visits}[0] stands at 9, and it ends at 5")
    assert one.fix.endswith(f"--reset-offsets --to-earliest --execute --group {bare.prefix}g --topic {visits}")
    commit(bare, visits, 1)
    admin = KafkaAdminClient(bootstrap_servers=bare.bootstrap)
    admin.delete_records({TopicPartition(visits, 0): 3})
    admin.close()
    one = amiss(doctor_state.lag, ground(bare))
    assert (one.level, one.found) == ("FAIL", f"2 records of {visits}[0] were deleted before they were read")


def test_what_waits_for_long_is_told(bare: Deployment) -> None:
    """How many records wait and for how long the oldest; what has come just now is no news."""
    produce(bare.bootstrap, bare.prefix + "visits", [(None, b"{}")] * 5)
    (one,) = found(doctor_state.lag, ground(bare))
    assert (one.level, one.found) == ("ok", "5 records wait")
    one = amiss(doctor_state.lag, ground(bare, now=lambda: time.time() + 7_200))
    assert one.level == "warn"
    assert one.found.startswith("5 records wait, the oldest for 2 h")


def test_state_that_cannot_be_read_is_found(bare: Deployment) -> None:
    """A marker of a newer release and one that is none of ours, in words of the worker that would stop at them."""
    assert [one.level for one in found(doctor_state.state, ground(bare))] == ["ok"]
    changelog = bare.topics.changelog.name
    newer = encode_marker(Marker(format=FORMAT + 1, plan="x"))
    produce(bare.bootstrap, changelog, [(MARKER_KEY, newer)], partition=0)
    produce(bare.bootstrap, changelog, [(b"ann", b"rubbish")], partition=1)
    first, second = found(doctor_state.state, ground(bare))
    assert (first.level, first.fix) == ("FAIL", "start that release again")
    assert "was kept in format 2 by a newer release" in first.found
    assert second.level == "FAIL"
    assert "the profile of 'ann' in the changelog is corrupt" in second.found
    assert "lifestage provision" in second.fix


def test_state_ahead_of_its_log_is_found(bare: Deployment) -> None:
    """A log that was made anew under its state; a clock of the future; and a log whose state is missing."""
    plan, ids = folded_with(bare)
    produce(bare.bootstrap, bare.topics.log.name, [(None, b"x")] * 3, partition=1)
    later = int((time.time() + 86_400) * 1000)
    for number, marker in (
        (0, Marker(offset=7, plan=plan, ids=ids)),
        (1, Marker(offset=2, plan=plan, ids=ids, clock=later)),
    ):
        produce(bare.bootstrap, bare.topics.changelog.name, [(MARKER_KEY, encode_marker(marker))], partition=number)
    ahead, clock, *_ = [one for one in found(doctor_state.state, ground(bare)) if one.level != "ok"]
    assert ahead.level == "FAIL"
    assert ahead.found.endswith("[0] was folded up to 8, and the log ends at 0")
    assert clock.level == "warn"
    assert f"the log's clock stands at {iso(later)}, " in clock.found


def folded_with(made: Deployment) -> tuple[str, str]:
    """The hash of the plan and the fingerprint of the secret, as a marker has them."""
    from lifestage.restored import Restored
    from streams.rules import rules_of

    marker = Restored(rules_of(made.settings), "", 0).marker
    return marker.plan, marker.ids
