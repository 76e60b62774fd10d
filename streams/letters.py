"""Reads the dead letters as they stand, with what became of each: new, a repeat after a restart, or redriven.

It joins no consumer group and commits nothing. Memory: 100 bytes a letter that it has come by, and what it is asked to keep.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from config.errors import UserFacingError
from config.settings import Settings
from streams.closing import Closing
from streams.connections import UnreachableError, reach_kafka
from streams.dead_letters import CUT, REDRIVEN, Mark, Why, identity, mark, why
from streams.topics import topics_of

RECORDS_A_POLL = 2_000
POLL_MS = 200
_PLACE = re.compile(r"(?:(?P<topic>[\w.-]+?)[\[-])?(?P<partition>\d+)\]?[:@](?P<offset>\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """A record's place in Kafka."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter; `timestamp` is when it was written, in ms."""

    place: Place
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    why: Why

    @property
    def identity(self) -> str:
        """See `streams.dead_letters.identity`."""
        return identity(self.why, self.key, self.value)

    @property
    def source(self) -> Place:
        """Where it came in."""
        return Place(self.why.topic, self.why.partition, self.why.offset)

    def header(self, name: str) -> str | None:
        """The last header of a name as text."""
        return next((value.decode(errors="replace") for had, value in reversed(self.headers) if had == name), None)

    @property
    def cut_from(self) -> str | None:
        """How many bytes the value had, if only its beginning is kept."""
        return self.header(CUT)

    @property
    def again(self) -> str | None:
        """Which letter it was before, if it was redriven and rejected once more."""
        return self.header(REDRIVEN)


@dataclass(slots=True)
class Begun:
    """A letter that redrives have begun with: from where on it may be in its source, and when the last began (ms)."""

    end: int
    written: int


@dataclass(slots=True)
class Marks:
    """What marks say of letters, by identity."""

    begun: dict[str, Begun] = field(default_factory=dict)
    sent: dict[str, Place] = field(default_factory=dict)

    def take(self, found: Mark, timestamp: int) -> None:
        """Remember a mark."""
        for marked in found.letters:
            if found.sent:
                self.sent[marked.identity] = Place(marked.topic, marked.partition, marked.at)
            else:
                known = self.begun.setdefault(marked.identity, Begun(marked.at, timestamp))
                known.end, known.written = min(known.end, marked.at), max(known.written, timestamp)


def place_of(word: str, settings: Settings) -> Place:
    """The place that a person means: `dead-letters[3]@17`, `dead-letters-3:17`, `3:17`, or of a source, `purchases[1]@5`.

    Without a topic it is the dead letters. Raises `UserFacingError`.
    """
    topics = topics_of(settings)
    found = _PLACE.fullmatch(word)
    if found is None:
        raise UserFacingError(
            f"{word!r} is no place: write PARTITION:OFFSET of the dead letters, such as 3:17, or {topics.dead_letters.name}[3]@17"
        )
    names = [topics.dead_letters.name, *(topic.name for topic in topics.sources)]
    given = found["topic"] or topics.dead_letters.name
    for name in (given, settings.topics.prefix + given):
        if name in names:
            return Place(name, int(found["partition"]), int(found["offset"]))
    raise UserFacingError(f"{word!r}: {given} is neither {names[0]} nor a source ({', '.join(names[1:])})")


class LetterReader(Closing):
    """The dead letters of a deployment up to the ends that they had when this was made, or were last asked for."""

    def __init__(self, settings: Settings, bootstrap: str) -> None:
        """Connect. Raises `UnreachableError`, or `UserFacingError` when the topic is not there."""
        self.topic = topics_of(settings).dead_letters.name
        self.foreign = 0
        """Records met that are neither letters nor marks."""
        self._bootstrap, self._patience = bootstrap, settings.kafka.request_timeout_s
        self.options = reach_kafka(settings, bootstrap).options
        try:
            self._consumer = KafkaConsumer(
                group_id=None,
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                auto_offset_reset="earliest",  # retention may take a segment away while it is read
                max_poll_records=RECORDS_A_POLL,
                max_partition_fetch_bytes=4 << 20,
                **self.options,
            )
        except kafka_errors.KafkaError as error:
            raise self._unreachable(error) from error
        try:
            self.ends = self.ends_of(self.topic)
            self.begins = self._begins()
        except BaseException:
            self._consumer.close()
            raise

    def _unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(f"Kafka at {self._bootstrap}: reading failed ({type(error).__name__}: {error})")

    def ends_of(self, topic: str) -> dict[int, int]:
        """Partition → the next offset to be written. The client now and then drops some of an answer: it is asked again."""
        try:
            numbers = self._consumer.partitions_for_topic(topic)
            if not numbers:
                raise UserFacingError(f"topic {topic} is not there: `lifestage provision` makes it")
            wanted = [TopicPartition(topic, number) for number in sorted(numbers)]
            for _ in range(10):
                try:
                    return {p.partition: end for p, end in self._consumer.end_offsets(wanted).items()}
                except KeyError:
                    time.sleep(0.1)
        except kafka_errors.KafkaError as error:
            raise self._unreachable(error) from error
        raise UserFacingError(f"Kafka at {self._bootstrap} does not say where {topic} ends: try again")

    def _begins(self) -> dict[int, int]:
        partitions = [TopicPartition(self.topic, number) for number in self.ends]
        try:
            return {p.partition: first for p, first in self._consumer.beginning_offsets(partitions).items()}
        except kafka_errors.KafkaError as error:
            raise self._unreachable(error) from error

    def scan(self, begins: Mapping[int, int] | None = None) -> Iterator[Letter | tuple[Mark, Place, int]]:
        """Letters, and marks with their place and time, partition by partition, in order; those of `begins`, or all."""
        for number, begin in (self.begins if begins is None else begins).items():
            for record in self.records(self.topic, number, begin, self.ends[number]):
                place = Place(record.topic, record.partition, record.offset)
                named = dict(record.headers)
                try:
                    found = mark(named, record.value)
                    if found is not None:
                        yield found, place, record.timestamp
                        continue
                    told = why(named)
                except ValueError:
                    self.foreign += 1
                    continue
                yield Letter(place, record.timestamp, record.key, record.value, tuple(record.headers), told)

    def chosen(self, offsets: Mapping[int, Collection[int]]) -> Iterator[Letter]:
        """The letters at certain offsets, by partition → offsets."""
        for number, wanted in offsets.items():
            for found in self.scan({number: min(wanted)}):
                if isinstance(found, Letter) and found.place.offset in wanted:
                    yield found
                if (found.place if isinstance(found, Letter) else found[1]).offset >= max(wanted):
                    break

    def records(self, topic: str, number: int, begin: int, end: int) -> Iterator[Any]:
        """Kafka's own records of one partition, from `begin` to `end`, exclusive; what retention took is passed over.

        Raises `UnreachableError` when nothing comes for as long as `kafka.request_timeout_s`.
        """
        partition = TopicPartition(topic, number)
        try:
            self._consumer.assign([partition])
            begin = max(begin, self._consumer.beginning_offsets([partition])[partition])
            self._consumer.seek(partition, begin)
            heard, at = time.monotonic(), begin
            while at < end:
                found = self._consumer.poll(timeout_ms=POLL_MS).get(partition, [])
                for record in found:
                    if record.offset < end:
                        yield record
                reached = self._consumer.position(partition)
                if reached > at:
                    heard, at = time.monotonic(), reached
                elif time.monotonic() - heard > self._patience:
                    raise UnreachableError(
                        f"Kafka at {self._bootstrap}: no more of {topic}[{number}] came within {self._patience:g} s, "
                        f"at offset {at} of {end}"
                    )
        except kafka_errors.KafkaError as error:
            raise self._unreachable(error) from error

    def refresh(self) -> dict[int, int]:
        """Look again where the letters end, and say where they ended before."""
        before, self.ends = self.ends, self.ends_of(self.topic)
        return before

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


@dataclass(slots=True)
class Wanted:
    """Which letters are meant: all that is given must hold. `places` are of letters or of records in their sources."""

    reason: str | None = None
    source: str | None = None
    since: int | None = None
    places: frozenset[Place] = frozenset()

    def has(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        return (
            (self.reason is None or letter.why.reason == self.reason)
            and (self.source is None or letter.why.topic == self.source)
            and (self.since is None or letter.timestamp >= self.since)
            and (not self.places or letter.place in self.places or letter.source in self.places)
        )


@dataclass(slots=True)
class Scan:
    """One reading of the letters: each rejected record once, whichever repeats there are of it."""

    reader: LetterReader
    wanted: Wanted
    begins: Mapping[int, int] | None = None
    """Where to begin in each partition; else at its first letter, also when only new ones are wanted: a mark from before
    speaks of a letter that a restart has repeated since."""
    marks: Marks = field(default_factory=Marks)
    seen: set[str] = field(default_factory=set)
    """Identities of the letters that were wanted."""
    repeats: int = 0
    read: int = 0

    def letters(self) -> Iterator[Letter]:
        """The letters that are wanted, the first of each; `marks` are complete after the last."""
        for found in self.reader.scan(self.begins):
            self.read += 1
            if not isinstance(found, Letter):
                self.marks.take(found[0], found[2])
            elif self.wanted.has(found):
                known = found.identity
                if known in self.seen:
                    self.repeats += 1
                else:
                    self.seen.add(known)
                    yield found
