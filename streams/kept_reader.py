"""Reads what is kept of a few ids, from the workers' changelog: exactly what a worker that took over now would go on from.

It joins no consumer group and commits nothing. Of each partition that it is asked about it reads all, and keeps only what
is asked for, so memory does not grow with the number of customers.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from config.errors import UserFacingError
from config.settings import Settings
from lifestage.cause import Rules
from lifestage.kpi_pages import OWNER as KPIS
from lifestage.marker import MARKER_KEY, PREPARED_KEY, Marker
from lifestage.pages import is_page, owner
from lifestage.partition import Partition
from lifestage.profile import Profile
from lifestage.state import StateError
from streams.closing import Closing
from streams.connections import UnreachableError, reach_kafka
from streams.doorway import partition_of
from streams.tombstones import applied_of
from streams.topics import topics_of

RECORDS_A_POLL = 5_000
POLL_MS = 200
LOOK_BACK = 50_000
"""Records of the log that are gone through for the one by which an id was joined: half a second."""
HOPS_MAX = 1_000
"""Ids that are followed to whom they belong."""
Reached = Callable[[int, int, int], None]
"""Told while a partition is read: its number, the offset reached, its end."""


@dataclass(slots=True)
class Reading:
    """One partition of the changelog, as far as it was read for some keys."""

    state: Partition
    wanted: set[bytes]
    at: int | None = None
    """The next offset to read; None before the first."""
    settled: Partition | None = field(default=None)
    """The state made ready, until more is read."""

    def take(self, key: bytes, value: bytes | None, applied: int) -> None:
        """Take a record, if it is asked for."""
        if (owner(key) if is_page(key) else key) in self.wanted or key in (MARKER_KEY, PREPARED_KEY):
            self.state.restore(key, value, applied)


class KeptReader(Closing):
    """What is kept of ids, as of when each partition was first read, or of the last `catch_up`."""

    def __init__(self, settings: Settings, bootstrap: str, rules: Rules, reached: Reached = lambda *_: None) -> None:
        """Connect. Raises `UnreachableError`, or `UserFacingError` when the topic is not there."""
        topics = topics_of(settings)
        self.topic, self._log = topics.changelog.name, topics.log.name
        self._rules, self._reached = rules, reached
        self._bootstrap, self._patience = bootstrap, settings.kafka.request_timeout_s
        self._readings: dict[int, Reading] = {}
        try:
            self._consumer = KafkaConsumer(
                group_id=None,
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                auto_offset_reset="earliest",  # compaction may take away what is being read
                max_poll_records=RECORDS_A_POLL,
                max_partition_fetch_bytes=8 << 20,
                # the broker has checked them, and TCP what it sent; in Python the sums take as long as all else
                check_crcs=False,
                **reach_kafka(settings, bootstrap).options,
            )
        except kafka_errors.KafkaError as error:
            self._fail(error)
        try:
            self.partitions = len(self._consumer.partitions_for_topic(self.topic) or ())
            if not self.partitions:
                raise UserFacingError(f"topic {self.topic} is not there: `lifestage provision` makes it")
        except BaseException:
            self._consumer.close()
            raise

    def _fail(self, error: Exception) -> NoReturn:
        raise UnreachableError(
            f"Kafka at {self._bootstrap}: reading {self.topic} failed ({type(error).__name__}: {error})"
        ) from error

    # -- asking ----------------------------------------------------------------------------------

    def number(self, key: str) -> int:
        """The partition that a key belongs to."""
        return partition_of(key.encode(), self.partitions)

    def want(self, keys: Iterable[str]) -> None:
        """Read what is kept of these, each partition once; asking for one by one reads a partition for each."""
        lacking: dict[int, set[bytes]] = {}
        for key in keys:
            known = self._readings.get(self.number(key))
            if known is None or key.encode() not in known.wanted:
                lacking.setdefault(self.number(key), set()).add(key.encode())
        for number, wanted in lacking.items():
            known = self._readings.get(number)
            also = known.wanted if known is not None else set()
            self._readings[number] = Reading(Partition(self._rules, self._log, number), wanted | also)
            self._read(number)

    def profile(self, key: str) -> Profile | None:
        """What is kept of an id, or None. Raises `UserFacingError` where it cannot be gone on with."""
        return self._settled(key).profile(key.encode())

    def records(self, key: str) -> list[tuple[bytes, bytes]]:
        """The same as records of the changelog, to be restored: pages first."""
        state, main = self._settled(key), key.encode()
        if main not in state.stored:
            return []
        pages = [(page, state.shelf.pages[page]) for page in sorted(state.shelf.named.get(main, ()))]
        return [*pages, (main, state.stored[main])]

    def marker(self, key: str) -> Marker:
        """The marker of an id's partition."""
        return self._settled(key).marker

    def markers(self) -> list[Marker]:
        """The markers of all partitions that were asked for."""
        return [reading.state.marker for reading in self._readings.values()]

    @property
    def horizon(self) -> int:
        """Events since then are known one by one, ms: the lateness before the newest clock that was read."""
        return max(marker.clock for marker in self.markers()) - self._rules.lateness

    def sums(self, number: int) -> Partition:
        """A partition's marker and KPI sums, without its profiles. Raises `UserFacingError` where they cannot be read."""
        reading = Reading(Partition(self._rules, self._log, number), {KPIS})
        self._readings[number] = reading
        self._read(number)
        try:
            reading.state.recovered()
        except StateError as error:
            raise UserFacingError(str(error)) from None
        del self._readings[number]
        return reading.state

    def chain(self, key: str) -> tuple[str, ...]:
        """An id, the one that it belongs to, and so on; whose profile it is comes last. Empty for one that is not known."""
        found: list[str] = []
        for _ in range(HOPS_MAX):
            profile = self.profile(key)
            if profile is None:
                break
            found.append(key)
            if profile.kin is None or profile.kin.alias is None or profile.kin.alias in found:
                break
            key = profile.kin.alias
        return tuple(found)

    def catch_up(self) -> None:
        """Read what has come in since, of all partitions that were asked for."""
        for number in self._readings:
            self._read(number)

    def log_record(self, key: str, offset: int) -> bytes | None:
        """The value at an offset of the log partition that a key belongs to; None where it is not kept any more."""
        partition = TopicPartition(self._log, self.number(key))
        try:
            self._consumer.assign([partition])
            if not self._consumer.beginning_offsets([partition])[partition] <= offset < self._end(partition):
                return None
            self._consumer.seek(partition, offset)
            until = time.monotonic() + self._patience
            while time.monotonic() < until:
                for record in self._consumer.poll(timeout_ms=POLL_MS, max_records=1).get(partition, []):
                    return bytes(record.value) if record.offset == offset and record.value is not None else None
        except kafka_errors.KafkaError as error:
            self._fail(error)
        raise self._stalled(partition, offset, offset + 1)

    def log_before(self, key: str, offset: int) -> list[bytes]:
        """The values of a key among the last `LOOK_BACK` records before an offset of its log partition, the newest first."""
        partition, found = TopicPartition(self._log, self.number(key)), list[bytes]()
        try:
            self._consumer.assign([partition])
            self._consumer.seek(
                partition, max(self._consumer.beginning_offsets([partition])[partition], offset - LOOK_BACK)
            )
            heard = time.monotonic()
            while (position := self._consumer.position(partition)) < offset:
                records = self._consumer.poll(timeout_ms=POLL_MS).get(partition, [])
                found += [
                    bytes(one.value)
                    for one in records
                    if one.key == key.encode() and one.offset < offset and one.value is not None
                ]
                if records:
                    heard = time.monotonic()
                elif time.monotonic() - heard > self._patience:
                    raise self._stalled(partition, position, offset)
        except kafka_errors.KafkaError as error:
            self._fail(error)
        return found[::-1]

    # -- reading ---------------------------------------------------------------------------------

    def _settled(self, key: str) -> Partition:
        self.want([key])
        reading = self._readings[self.number(key)]
        if reading.settled is None:
            # `recovered` ends a recovery; here more may be read
            ready = copy.deepcopy(reading.state, {id(self._rules): self._rules})
            try:
                ready.recovered()
            except StateError as error:
                raise UserFacingError(str(error)) from None
            reading.settled = ready
        return reading.settled

    def _read(self, number: int) -> None:
        reading, partition = self._readings[number], TopicPartition(self.topic, number)
        reading.settled = None
        try:
            self._consumer.assign([partition])
            if reading.at is None:
                self._consumer.seek_to_beginning(partition)
            else:
                self._consumer.seek(partition, reading.at)
            self._poll(reading, partition, self._end(partition))
        except StateError as error:
            raise UserFacingError(str(error)) from None
        except kafka_errors.KafkaError as error:
            self._fail(error)

    def _end(self, partition: TopicPartition) -> int:
        """The next offset to be written. The client now and then drops some of an answer: it is asked again."""
        for _ in range(10):
            try:
                return int(self._consumer.end_offsets([partition])[partition])
            except KeyError:
                time.sleep(0.1)
        raise UserFacingError(f"Kafka at {self._bootstrap} does not say where {partition.topic} ends: try again")

    def _poll(self, reading: Reading, partition: TopicPartition, end: int) -> None:
        heard = time.monotonic()
        while (position := self._consumer.position(partition)) < end:
            found = self._consumer.poll(timeout_ms=POLL_MS).get(partition, [])
            for record in found:
                applied = applied_of(record.headers) if record.value is None else -1
                reading.take(record.key, record.value, applied)
            if found:
                heard = time.monotonic()
                self._reached(partition.partition, position, end)
            elif time.monotonic() - heard > self._patience:
                raise self._stalled(partition, position, end)
        reading.at = max(position, end)

    def _stalled(self, partition: TopicPartition, at: int, end: int) -> UnreachableError:
        return UnreachableError(
            f"Kafka at {self._bootstrap}: no more of {partition.topic}[{partition.partition}] came within "
            f"{self._patience:g} s, at offset {at} of {end}"
        )

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
