"""What one source record becomes on its way into the log: a fact for a customer's partition, or an account of a refusal."""

from __future__ import annotations

from collections.abc import Mapping
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
        self._routes: dict[str, tuple[bytes, int]] = {}

    def name_sources(self, ids: Mapping[str, str]) -> None:
        """Take the sources' names and the ids that Kafka gave them, by which their records are told apart."""
        self._codes = {name: log.topic_code(name, id) for name, id in ids.items()}
        if len(set(self._codes.values())) != len(ids):
            raise ValueError(f"topics.sources = {tuple(ids)}: two have the same code; rename one of them")

    def enter(self, record: Any) -> Entry:
        """What a source record (an `aiokafka.ConsumerRecord`) becomes. Never raises for what is in it."""
        appended = record.timestamp if record.timestamp >= 0 else None  # Kafka says -1 for none
        decided = self._decode(record.value, appended, record.headers)
        code = self._codes[record.topic]
        if isinstance(decided, Fact):
            key = key_of(decided)
            assert key is not None
            route = self._routes.get(key)
            if route is None:
                route = self._route(key)
            value = log.pack(log.FACT, facts.encode(decided), code, record.partition, record.offset)
            second = self._second(decided, code, record) if type(decided) in self._of_two else None
            return Entry(decided.time, route[1], route[0], value, None, second)
        refused = log.Refused(decided.outcome, decided.source, decided.type, decided.reason)
        return Entry(
            None,
            record.partition % self._partitions,
            None,
            log.pack_refused(refused, code, record.partition, record.offset),
            dead_letter(record, decided) if decided.outcome == "rejected" else None,
        )

    def _second(self, fact: Fact, code: int, record: Any) -> Entry | None:
        """The record about the person who was referred: the second of its source record, so both are taken in once."""
        other = referred(fact)
        key = None if other is None else key_of(other)
        if other is None or key is None:
            return None
        raw, partition = self._routes.get(key) or self._route(key)
        value = log.pack(log.FACT, facts.encode(other), code, record.partition, record.offset, 1)
        return Entry(other.time, partition, raw, value)

    def _route(self, key: str) -> tuple[bytes, int]:
        if len(self._routes) >= ROUTES_MAX:
            self._routes.clear()
        raw = key.encode()
        route = self._routes[key] = (raw, partition_of(raw, self._partitions))
        return route


def doorway_of(settings: Settings, sources: tuple[str, ...], partitions: int) -> Doorway:
    """The way into a log of so many partitions, as a company has set it: without links a referral has one side."""
    return Doorway(decoder_of(settings), sources, partitions, two_sides=settings.identity.link)


def dead_letter(record: Any, refusal: Refusal) -> OutRecord:
    """The record as it came, with the reason, the place and where it stood, in headers."""
    why = Why(refusal.reason, refusal.message, record.topic, record.partition, record.offset)
    value, added = record.value, []
    if value is not None and len(value) > VALUE_MAX:
        # Larger than the topic takes, it would stop every worker that comes to it. The whole stands where `why` says.
        value, added = value[:VALUE_MAX], [(PREFIX + "cut-from-bytes", str(len(value)).encode())]
    return record.key, value, [*headers(why, record.headers), *added]
