"""What others do to a deployment behind its back: records deleted, topics made anew, offsets set, partitions added."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from kafka import KafkaAdminClient, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions
from kafka.errors import BrokerResponseError, NoError

from streams.provision import apply, plan
from tests.pipeline import Deployment
from tests.wire import read_all


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    """Return when it holds; else fail and say what did not."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not {what} after {timeout_s:.0f} s"
        time.sleep(0.1)


def firsts(made: Deployment, topic: str) -> dict[int, int]:
    """The first offset that is kept, by partition."""
    consumer = KafkaConsumer(bootstrap_servers=made.bootstrap, enable_auto_commit=False)
    try:
        numbers = consumer.partitions_for_topic(topic) or set()
        found = consumer.beginning_offsets([TopicPartition(topic, number) for number in sorted(numbers)])
        return {tp.partition: offset for tp, offset in found.items()}
    finally:
        consumer.close()


def ends(made: Deployment, topic: str) -> dict[int, int]:
    """The next offset to be written, by partition."""
    return {tp.partition: end for tp, end in made.ends([topic]).items()}


@contextmanager
def admin_of(made: Deployment) -> Iterator[KafkaAdminClient]:
    """Somebody with every right."""
    admin = KafkaAdminClient(bootstrap_servers=made.bootstrap)
    try:
        yield admin
    finally:
        admin.close()


def delete_records(made: Deployment, topic: str, before: Mapping[int, int]) -> None:
    """Delete what stands before an offset, by partition; returns when it is gone. A compacted topic is made to allow it."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    with admin_of(made) as admin:
        policy = admin.describe_configs([resource], config_filter="all")["topic"][topic]["cleanup.policy"]["value"]
        alter(made, topic, cleanup_policy="delete")
        wait_until(lambda: _deleted(admin, topic, before), "deleted")
    alter(made, topic, cleanup_policy=policy)
    wait_until(lambda: all(firsts(made, topic)[number] == at for number, at in before.items()), "deleted")


def _deleted(admin: KafkaAdminClient, topic: str, before: Mapping[int, int]) -> bool:
    """Whether the broker does it: it hears of another policy a little later than the controller."""
    try:
        admin.delete_records({TopicPartition(topic, number): at for number, at in before.items()})
    except BrokerResponseError:
        return False
    return True


def empty(made: Deployment, topic: str, numbers: Iterable[int] | None = None) -> None:
    """Delete all records of a topic, or of some partitions of it; the topic stays."""
    held = ends(made, topic)
    delete_records(made, topic, {number: held[number] for number in (held if numbers is None else numbers)})


def remake(made: Deployment, topic: str) -> None:
    """Delete a topic and provision again."""
    with admin_of(made) as admin:
        admin.delete_topics([topic])
        wait_until(lambda: topic not in admin.list_topics(), "deleted")
    apply(made.settings, made.bootstrap, plan(made.settings, made.bootstrap))


def alter(made: Deployment, topic: str, **configs: str) -> None:
    """Change configs of a topic, named as Kafka names them with `_` for `.`."""
    named = {name.replace("_", "."): value for name, value in configs.items()}
    with admin_of(made) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, named)])


def set_commits(made: Deployment, offsets: Mapping[tuple[str, int], int]) -> None:
    """Set what the group has committed; waits until no member is left, as a killed worker stays one for a session."""
    wanted = {TopicPartition(*tp): OffsetAndMetadata(offset, "", -1) for tp, offset in offsets.items()}
    group = made.settings.kafka.group
    with admin_of(made) as admin:
        wait_until(lambda: _all_done(admin.alter_group_offsets(group, wanted)), "committed")
    held = made.committed()
    assert {tp: held[tp] for tp in wanted} == {tp: given.offset for tp, given in wanted.items()}


def _all_done(answer: Mapping[TopicPartition, type[Exception]]) -> bool:
    return all(error is NoError for error in answer.values())


def forget_group(made: Deployment) -> None:
    """Delete the group with all that it has committed; waits until no member is left."""
    group = made.settings.kafka.group
    with admin_of(made) as admin:
        wait_until(lambda: not admin.describe_groups([group])[group]["members"], "without members")
        admin.delete_groups([group])
    wait_until(lambda: not made.committed(), "forgotten")


def add_partitions(made: Deployment, topic: str, total: int) -> None:
    """Give a topic more partitions, and wait until they are known."""
    with admin_of(made) as admin:
        admin.create_partitions({topic: NewPartitions(total)})
        wait_until(lambda: len(admin.describe_topics([topic])[0]["partitions"]) == total, "added")


def compact(made: Deployment, topic: str, at_most: float) -> tuple[int, int]:
    """Let the broker's cleaner run over a topic until at most this part of its records is left; returns how many there
    were and are. The segment that is written to is never cleaned, so what was written last stays as it is."""
    before = len(read_all(made.bootstrap, topic))
    with admin_of(made) as admin:
        # else the cleaner looks once in 15 s
        admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "300"})])
    alter(
        made, topic, min_compaction_lag_ms="0", max_compaction_lag_ms="1", min_cleanable_dirty_ratio="0.001",
        delete_retention_ms="0",
    )  # fmt: skip
    wait_until(lambda: len(read_all(made.bootstrap, topic)) <= at_most * before, "compacted", 90)
    return before, len(read_all(made.bootstrap, topic))
