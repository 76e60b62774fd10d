"""How a deployment stands, seen from outside: its group, commits, ends of topics, and the markers in its changelog.

It joins no group, commits nothing, and reads only the ends of topics, so it costs the same however much there is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType

from config.settings import Settings
from lifestage.clock import Source
from lifestage.marker import MARKER_KEY, Marker
from lifestage.pages import is_page
from lifestage.state import StateError, read_marker, read_page, read_profile
from streams.closing import Closing
from streams.connections import UnreachableError, kafka_python
from streams.provision_plan import Existing
from streams.raw_requests import came, fetch, produce, refusal
from streams.topics import topics_of

__all__ = ["Commit", "Group", "Member", "Survey", "Tail", "TopicPartition"]

LATEST, EARLIEST = -1, -2
LOOK_BACK = (64, 2_048, 65_536)
"""Records before the end of a changelog partition among which its marker is looked for: a flush ends with one."""
POLL_MS = 200
NOT_YET = (
    kafka_errors.CoordinatorNotAvailableError,
    kafka_errors.CoordinatorLoadInProgressError,
    kafka_errors.NotCoordinatorError,
)


class Member(NamedTuple):
    """A worker as the group knows it. `url` is where it says that its metrics are."""

    id: str
    client: str
    host: str
    url: str
    partitions: Mapping[str, tuple[int, ...]]


class Group(NamedTuple):
    """A consumer group: its state in Kafka's words, `Dead` for one that is not there."""

    name: str
    state: str
    members: tuple[Member, ...]


class Commit(NamedTuple):
    """What a group has committed of a partition, and the event time (ms) that reading has come to there."""

    offset: int
    reached: int | None


class Tail(NamedTuple):
    """The end of a changelog partition: how much there is, its newest marker, and what of it cannot be read."""

    number: int
    records: int
    marker: Marker | None
    problem: str


class Survey(Closing):
    """Asks one Kafka. Every question raises `UnreachableError` when the broker gives no answer."""

    def __init__(self, settings: Settings, bootstrap: str) -> None:
        self.settings, self.topics, self.bootstrap = settings, topics_of(settings), bootstrap
        self._options = {
            "bootstrap_servers": [part.strip() for part in bootstrap.split(",")],
            **kafka_python(settings),
        }
        with self._asking("its cluster"):
            self.admin = KafkaAdminClient(**self._options)

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except kafka_errors.AuthorizationError as error:
            raise UnreachableError(
                f"Kafka at {self.bootstrap}: asking for {what} was refused ({type(error).__name__}): "
                "give kafka.username the rights Describe and DescribeConfigs, or ask as somebody who has them"
            ) from error
        except kafka_errors.KafkaError as error:
            raise UnreachableError(
                f"Kafka at {self.bootstrap}: asking for {what} failed ({str(error) or type(error).__name__}): "
                "try again, and look at the broker's log if it stays"
            ) from error

    def close(self) -> None:
        """Disconnect."""
        self.admin.close()

    # -- topics ----------------------------------------------------------------------------------

    def names(self) -> set[str]:
        """All topics that are there."""
        with self._asking("topics"):
            return set(self.admin.list_topics())

    def described(self, names: Collection[str]) -> dict[str, list[dict[str, Any]]]:
        """The partitions of topics that are there, as Kafka describes them: leader, replicas, those in sync."""
        if not names:
            return {}
        with self._asking("topics"):
            found = self.admin.describe_topics(sorted(names))
        return {topic["name"]: topic["partitions"] for topic in found if not topic["error_code"]}

    def existing(self, partitions: Mapping[str, list[dict[str, Any]]]) -> dict[str, Existing]:
        """Topics as `streams.provision_plan` compares them, with the configs in force."""
        if not partitions:
            return {}
        with self._asking("topic configs"):
            resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in partitions]
            configs = self.admin.describe_configs(resources, config_filter="all")["topic"]
        return {
            name: Existing(
                len(of),
                min(len(one["replica_nodes"]) for one in of),
                {key: entry["value"] for key, entry in configs[name].items()},
            )
            for name, of in partitions.items()
        }

    def offsets(self, partitions: Collection[TopicPartition], which: int) -> dict[TopicPartition, int]:
        """`EARLIEST`: the first offset of each partition; `LATEST`: the next to be written."""
        if not partitions:
            return {}
        with self._asking("the ends of topics"):
            found = self.admin.list_partition_offsets(dict.fromkeys(partitions, which))
        return {tp: found[tp].offset for tp in partitions}

    def refused(self, topic: str, leader: int, batch: bytes) -> str:
        """What the leader of partition 0 of a topic says to a batch that it cannot take: all its words."""
        timeout = int(self.settings.kafka.request_timeout_s * 1000)
        with self._asking(f"a refusal of {topic}"):
            return refusal(self.admin._manager.run(self._send, produce(topic, batch, timeout), leader))

    async def _send(self, request: Any, node: int) -> Any:
        return await self.admin._manager.send(request, node_id=node)

    # -- the group -------------------------------------------------------------------------------

    def group(self, name: str) -> Group:
        """A group and its members, by host and id."""
        with self._asking(f"group {name!r}"):
            found = self._of_coordinator(lambda: self.admin.describe_groups([name]))[name]
        members = sorted(map(_member, found["members"]), key=lambda one: (one.host, one.url, one.id))
        return Group(name, found["group_state"], tuple(members))

    def _of_coordinator(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """An answer about a group. A broker that is new, or has just taken a group over, has none for a second or so."""
        until = time.monotonic() + self.settings.kafka.request_timeout_s
        while True:
            try:
                return ask()
            except NOT_YET:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def commits(self, name: str) -> dict[TopicPartition, Commit]:
        """All that a group has committed; empty for one that is not there."""
        with self._asking(f"commits of group {name!r}"):
            try:
                found = self._of_coordinator(lambda: self.admin.list_group_offsets(name))[name]
            except kafka_errors.GroupIdNotFoundError:
                return {}
        return {tp: Commit(at.offset, _time(at.metadata)) for tp, at in found.items() if at.offset >= 0}

    def sources(self, name: str, of: Iterable[str]) -> list[Source]:
        """How far a group has read each partition of topics, and how far they go: what the log's clock is read from.

        A topic that is not there has none. The ends are asked for first: so it claims too little work, never too much.
        """
        described = self.described(self.names() & set(of))
        partitions = [TopicPartition(topic, one["partition_index"]) for topic, on in described.items() for one in on]
        firsts, ends = self.offsets(partitions, EARLIEST), self.offsets(partitions, LATEST)
        committed = self.commits(name)
        nothing = Commit(0, None)
        return [
            Source(
                tp.topic,
                tp.partition,
                ends[tp],
                min(max(committed.get(tp, nothing).offset, firsts[tp]), ends[tp]),
                committed.get(tp, nothing).reached,
            )
            for tp in sorted(partitions)
        ]

    # -- records ---------------------------------------------------------------------------------

    @contextmanager
    def _consumer(self, **options: Any) -> Iterator[KafkaConsumer]:
        with self._asking("records"):
            consumer = KafkaConsumer(
                group_id=None,
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                auto_offset_reset="earliest",
                check_crcs=False,
                **self._options | options,
            )
            try:
                yield consumer
            finally:
                consumer.close()

    def waiting_since(self, waiting: Iterable[Source]) -> dict[TopicPartition, int]:
        """When the oldest unread record of each partition came, ms: as its batch says, which is not unpacked for it."""
        wanted = {TopicPartition(one.topic, one.partition): one.committed for one in waiting if one.committed < one.end}
        described = self.described({tp.topic for tp in wanted})
        leaders = {
            TopicPartition(topic, one["partition_index"]): one["leader_id"]
            for topic, on in described.items()
            for one in on
        }
        since: dict[TopicPartition, int] = {}
        for leader in set(leaders.values()) - {-1}:
            led = {tp: offset for tp, offset in wanted.items() if leaders.get(tp) == leader}
            # Of one partition the broker gives a whole batch, however large; what of others is too large is asked for again.
            while led and (found := self._first_batches(leader, led)):
                since |= found
                led = {tp: offset for tp, offset in led.items() if tp not in found}
        return since

    def _first_batches(self, leader: int, wanted: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        with self._asking("what waits"):
            return came(self.admin._manager.run(self._send, fetch(wanted, POLL_MS), leader))

    def newest(self, topic: str, n: int) -> list[bytes]:
        """The values of the newest `n` records of a topic, by their timestamps, the newest first."""
        described = self.described(self.names() & {topic}).get(topic, [])
        tps = [TopicPartition(topic, one["partition_index"]) for one in described]
        firsts, ends = self.offsets(tps, EARLIEST), self.offsets(tps, LATEST)
        found: list[tuple[int, int, int, bytes]] = []
        with self._consumer(max_poll_records=5_000) as consumer:
            for tp in tps:
                since = max(firsts[tp], ends[tp] - n)
                found += [
                    (record.timestamp, record.offset, record.partition, record.value)
                    for record in self._between(consumer, tp, since, ends[tp])
                    if record.value is not None
                ]
        return [value for *_, value in sorted(found, reverse=True)[:n]]

    def tails(self) -> list[Tail]:
        """The end of each changelog partition, read back as far as its newest marker, each record as a recovery reads it."""
        name = self.topics.changelog.name
        described = self.described(self.names() & {name}).get(name, [])
        partitions = [TopicPartition(name, one["partition_index"]) for one in described]
        firsts, ends = self.offsets(partitions, EARLIEST), self.offsets(partitions, LATEST)
        with self._consumer(max_poll_records=5_000, max_partition_fetch_bytes=1 << 20) as consumer:
            return [self._tail(consumer, tp, firsts[tp], ends[tp]) for tp in sorted(partitions)]

    def _tail(self, consumer: KafkaConsumer, tp: TopicPartition, first: int, end: int) -> Tail:
        marker: Marker | None = None
        problem = ""
        for back in LOOK_BACK:
            since = max(first, end - back)
            for record in self._between(consumer, tp, since, end):
                try:
                    marker = _read(record.key, record.value, tp) or marker
                except StateError as error:
                    problem = problem or str(error)
            if marker is not None or problem or since == first:
                break
        return Tail(tp.partition, end - first, marker, problem)

    def _between(self, consumer: KafkaConsumer, tp: TopicPartition, since: int, end: int) -> Iterator[Any]:
        if since >= end:
            return
        consumer.assign([tp])
        consumer.seek(tp, since)
        until = time.monotonic() + self.settings.kafka.request_timeout_s
        while consumer.position(tp) < end:
            found = consumer.poll(timeout_ms=POLL_MS).get(tp, [])
            yield from (record for record in found if record.offset < end)
            if found:
                until = time.monotonic() + self.settings.kafka.request_timeout_s
            elif time.monotonic() > until:
                raise UnreachableError(
                    f"Kafka at {self.bootstrap}: no more of {tp.topic}[{tp.partition}] came: "
                    "try again, and look at the broker's log if it stays"
                )


def _read(key: bytes, value: bytes | None, tp: TopicPartition) -> Marker | None:
    """Read a record as a recovery does; the marker, if it is one. Raises `StateError`."""
    if value is None or key is None:
        return None
    if key == MARKER_KEY:
        return read_marker(value, tp.topic, tp.partition)
    if is_page(key):
        read_page(key, value, tp.topic, tp.partition)
    elif 0 not in key:
        read_profile(key, value, tp.topic, tp.partition)
    return None


def _member(member: Mapping[str, Any]) -> Member:
    assigned = member["member_assignment"]
    topics = assigned["assigned_partitions"] if isinstance(assigned, dict) else []
    client, _, address = member["client_id"].partition("@")
    return Member(
        member["member_id"],
        client,
        str(member["client_host"]).lstrip("/"),
        f"http://{address}" if address else "",
        {one["topic"]: tuple(sorted(one["partitions"])) for one in topics},
    )


def _time(metadata: str | None) -> int | None:
    """The event time that intake commits with an offset."""
    text = metadata or ""
    return int(text) if text.lstrip("-").isdigit() and int(text) > -(1 << 59) else None
