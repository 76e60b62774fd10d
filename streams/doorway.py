"""What one source record becomes on its way into the log: a fact for a customer's partition, or an account of a refusal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from config.settings import Settings
from lifestage import facts, log
from lifestage.decode import Decoder
from lifestage.facts import Fact
from lifestage.keys import key_of, murmur2
from lifestage.refusal import Refusal
from lifestage.sides import OF_TWO, referred
from streams.dead_letters import PREFIX, VALUE_MAX, Why, headers
from streams.outbox import OutRecord

ROUTES_MAX = 200_000
"""Keys whose partition is remembered: murmur2 costs 0.4 µs, a look-up 0.05. About 40 MB when full."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What one source record puts into the log: one record, or two, and a dead letter beside it where the event was rejected."""

    time: int | None
    partition: int
    key: bytes | None
    value: bytes
    dead_letter: OutRecord | None = None
    second: Entry | None = None
    """What the event says of a second person, for the partition of theirs."""


class Route(msgspec.Struct, frozen=True, gc=False):
    """A key as it stands in the log, and the partition that is its own. A tuple would be walked by the collector, and in a
    flood of new ids there would be 17,000 more each second: 10 ms of pause, where no other object stays."""

    raw: bytes
    partition: int


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, as Kafka's own producers choose it (murmur2)."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def decoder_of(settings: Settings) -> Decoder:
    """The door as a company has set it."""
    intake = settings.intake
    return Decoder(
        settings.identity.secret.encode(),
        max_bytes=intake.max_event_bytes,
        max_depth=intake.max_depth,
        future_ms=int(intake.future_tolerance_s * 1000),
        blocked_ids=intake.blocked_ids,
        link=settings.identity.link,
    )


class Doorway:
    """Decodes source records of one deployment and addresses them to partitions of its log."""

    def __init__(self, decoder: Decoder, sources: tuple[str, ...], partitions: int, *, two_sides: bool = True) -> None:
        """Without `two_sides` a referral gives one record: workers of a release without identity cannot read the second."""
        self._decode = decoder.decode
        self._partitions, self._of_two = partitions, OF_TWO if two_sides else frozenset()
        self.name_sources(dict.fromkeys(sources, ""))
        self._routes: dict[str, Route] = {}

    def name_sources(self, ids: Mapping[str, str]) -> None:
        """Take the sources' names and the ids that Kafka gave them, by which their records are told apart."""
        self._codes = {name: log.topic_code(name, id) for name, id in ids.items()}
        if len(set(self._codes.values())) != len(ids):
            raise ValueError(f"topics.sources = {tuple(ids)}: two have the same code; rename one of them")

    def enter(self, record: Any) -> Entry:
        """What a source record (an `aiokafka.ConsumerRecord`) becomes. Never raises for what is in it."""
        return self.enter_run([record], record.topic, record.partition)[0]

    def enter_run(self, records: Iterable[Any], topic: str, partition: int) -> list[Entry]:
        """What records of one source partition become, each with offset, timestamp, key, value and headers."""
        entries: list[Entry] = []
        decode, routes, of_two, code = self._decode, self._routes, self._of_two, self._codes[topic]
        for record in records:
            offset, appended = record.offset, record.timestamp
            # Kafka says -1 for none
            decided = decode(record.value, appended if appended >= 0 else None, record.headers)
            if isinstance(decided, Fact):
                key = key_of(decided)
                assert key is not None
                route = routes.get(key) or self._route(key)
                value = log.pack(log.FACT, facts.encode(decided), code, partition, offset)
                second = self._second(decided, code, partition, offset) if type(decided) in of_two else None
                entries.append(Entry(decided.time, route.partition, route.raw, value, None, second))
            else:
                entries.append(self._refused(record, decided, topic, partition))
        return entries

    def _refused(self, record: Any, refusal: Refusal, topic: str, partition: int) -> Entry:
        """The account of a record that became no fact, with a dead letter where it was rejected."""
        refused = log.Refused(refusal.outcome, refusal.source, refusal.type, refusal.reason)
        why = Why(refusal.reason, refusal.message, topic, partition, record.offset)
        return Entry(
            None,
            partition % self._partitions,
            None,
            log.pack_refused(refused, self._codes[topic], partition, record.offset),
            _dead_letter(record, why) if refusal.outcome == "rejected" else None,
        )

    def _second(self, fact: Fact, code: int, partition: int, offset: int) -> Entry | None:
        """The record about the person who was referred: the second of its source record, so both are taken in once."""
        other = referred(fact)
        key = None if other is None else key_of(other)
        if other is None or key is None:
            return None
        route = self._routes.get(key) or self._route(key)
        value = log.pack(log.FACT, facts.encode(other), code, partition, offset, 1)
        return Entry(other.time, route.partition, route.raw, value)

    def _route(self, key: str) -> Route:
        if len(self._routes) >= ROUTES_MAX:
            self._routes.clear()
        raw = key.encode()
        route = self._routes[key] = Route(raw, partition_of(raw, self._partitions))
        return route


def doorway_of(settings: Settings, sources: tuple[str, ...], partitions: int) -> Doorway:
    """The way into a log of so many partitions, as a company has set it: without links a referral has one side."""
    return Doorway(decoder_of(settings), sources, partitions, two_sides=settings.identity.link)


def _dead_letter(record: Any, why: Why) -> OutRecord:
    """The record as it came, with the reason, the place and where it stood, in headers."""
    value, added = record.value, []
    if value is not None and len(value) > VALUE_MAX:
        # Larger than the topic takes, it would stop every worker that comes to it. The whole stands where `why` says.
        value, added = value[:VALUE_MAX], [(PREFIX + "cut-from-bytes", str(len(value)).encode())]
    return record.key, value, [*headers(why, record.headers), *added]
