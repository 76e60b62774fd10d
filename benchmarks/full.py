"""Job (b), as `peers/README.md` says it: its events, and what must come of them by a function that shares nothing with any contestant.

The reference recomputes a customer's stage from all events, at every instant at which anything could turn.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count as numbers
from typing import Any, NamedTuple

import msgspec

from benchmarks import compare, events, simple
from benchmarks.broker import EventSet
from benchmarks.contest import Contestant
from benchmarks.events import SourceEvent, generate
from benchmarks.measuring import PARTITIONS, Job, Read
from benchmarks.peers.full_fold import bucket_of
from lifestage.moments import iso
from streams.doorway import partition_of
from streams.topics import CHANGES, DEAD_LETTERS

START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
DAY = 86_400_000
SPAN = 500 * DAY
END = START + SPAN + 100 * DAY
"""When the last events come, so that everybody else's timers are due or not due, and nothing is in between."""
EACH = 20
"""Events a customer: enough for three days of orders in a year, and for silences of 90 and 180 days."""
BROKEN = 100
"""Every so many events one that must be refused comes beside them."""
SHARDS = 97
FIELDS = ("seq", "stage", "previous_stage", "entered_ms", "trigger", "orders")
AGES = (90 * DAY, 180 * DAY, 365 * DAY)
SLACK = 60_000
_decode, _encode = msgspec.json.decode, msgspec.json.encode


class Expected(NamedTuple):
    """What must come of the events."""

    changes: simple.Changes
    refused: Counter[bytes]


def draw(count: int) -> Iterator[SourceEvent]:
    """Events of 500 days under keys that are no customers, broken ones among them, and last one of each source partition
    for each partition of customers: what a busy stream has all the time, and what tells a fold how late it is."""
    chance = random.Random(events.SEED)
    for n, event in enumerate(generate(count, customers=max(1, count // EACH))):
        fields = _decode(event.value)
        at = simple.ms(fields["time"])
        fields["time"] = iso(START + (at - events.START) * (SPAN // DAY) // (events.SPAN // DAY))
        key = b"shard-%02d" % (int(event.key[1:]) % SHARDS)
        yield SourceEvent(simple.TOPIC, key, _encode(fields))
        if n % BROKEN == 0:
            yield SourceEvent(simple.TOPIC, key, broken(chance, fields, n))
    yield from closing()


def broken(chance: random.Random, fields: dict[str, Any], n: int) -> bytes:
    """An event with one thing wrong."""
    visit = {
        "id": f"x-{n}", "source": "shop", "type": "web.visit", "time": fields["time"], "customer_id": fields["customer_id"],
        "url": "https://shop.example/",
    }  # fmt: skip
    order = visit | {"type": "order.completed", "order_id": f"x-{n}", "currency": "EUR", "total": "10.00"}
    kinds: tuple[dict[str, Any], ...] = (
        {name: value for name, value in visit.items() if name != "id"},
        {name: value for name, value in visit.items() if name != "customer_id"},
        {name: value for name, value in order.items() if name != "currency"},
        visit | {"time": "yesterday"},
        visit | {"type": "web.vist"},
        order | {"total": "ten"},
        order | {"total": "-1.00"},
        visit | {"type": "email.event", "message_id": f"x-{n}", "event": "teleported"},
    )
    at = chance.randrange(len(kinds) + 1)
    return _encode(kinds[at]) if at < len(kinds) else b'{"id": "x-%d", "type": ' % n


def closing() -> Iterator[SourceEvent]:
    """A visit at the end from each source partition to each partition of customers, whether Kafka's or a peer's bucket."""
    named: dict[int, list[str]] = defaultdict(list)
    for n in numbers():
        name = f"end-{n}"
        target = partition_of(name.encode(), PARTITIONS)
        if bucket_of(name) == target and len(named[target]) < PARTITIONS:
            named[target].append(name)
            if sum(map(len, named.values())) == PARTITIONS**2:
                break
    keys: dict[int, bytes] = {}
    for n in numbers():
        if len(keys) == PARTITIONS:
            break
        keys.setdefault(partition_of(b"end-%d" % n, PARTITIONS), b"end-%d" % n)
    for source in range(PARTITIONS):
        for target in range(PARTITIONS):
            at = END + source * PARTITIONS + target
            fields = {
                "id": f"end-{source}-{target}", "source": "shop", "type": "web.visit", "time": iso(at),
                "customer_id": named[target][source], "url": "https://shop.example/",
            }  # fmt: skip
            yield SourceEvent(simple.TOPIC, keys[source], _encode(fields))


def reference(given: EventSet) -> tuple[Expected, int]:
    """What must be announced and refused, and how many changes that are."""
    by_customer: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    refused: Counter[bytes] = Counter()
    for value in given.values():
        event = _sound(value)
        if event is None:
            refused[value] += 1
        else:
            by_customer[event["customer_id"]].append(event)
    changes = {customer: told for customer, mine in by_customer.items() if (told := tuple(_changes(mine)))}
    return Expected(changes, refused), sum(map(len, changes.values()))


def _sound(value: bytes) -> dict[str, Any] | None:
    """The event with its time in ms; None when it must be refused. The generator marks those: their ids begin with x."""
    if value.startswith((b'{"id":"x-', b'{"id": "x-')) or not value.startswith(b'{"id":'):
        return None
    event: dict[str, Any] = _decode(value)
    event["at"] = simple.ms(event["time"])
    return event


def _changes(mine: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    mine.sort(key=lambda event: int(event["at"]))
    at = {int(event["at"]): event["id"] for event in mine}
    instants = sorted({*at, *(one + age for one in at for age in AGES)})
    before, seq, done = None, 0, 0
    for t in instants:
        if t > END + SLACK:
            break
        while done < len(mine) and mine[done]["at"] <= t:
            done += 1
        stage = _stage(mine[:done], t)
        if stage != before:
            if t not in at and t > END - SLACK:
                raise AssertionError("a timer is due where the clock ends: nobody could say whether it has fired")
            seq += 1
            orders = sum(event["type"] == "order.completed" for event in mine[:done])
            yield (seq, stage, before, t, at.get(t, ""), orders)
            before = stage


def _stage(past: Sequence[Mapping[str, Any]], t: int) -> str | None:
    bought = [event["at"] for event in past if event["type"] == "order.completed"]
    if bought:
        silent = t - max(bought)
        if silent >= 90 * DAY:
            return "churned" if silent >= 180 * DAY else "at_risk"
        newest: dict[int, int] = {}
        for one in bought:
            newest[one // DAY] = max(one, newest.get(one // DAY, 0))
        if sum(one > t - 365 * DAY for one in newest.values()) >= 3:
            return "loyalty"
        return "retention" if len(newest) >= 2 else "conversion"
    mails = [event for event in past if event["type"] == "email.event"]
    human = [mail for mail in mails if not mail.get("machine", False)]
    visits = [event["at"] for event in past if event["type"] == "web.visit"]
    clicked = [mail["at"] for mail in human if mail["event"] == "clicked"]
    known = [*visits, *clicked, *(mail["at"] for mail in mails if mail["event"] == "delivered")]
    if not known:
        return None
    active = [*visits, *clicked, *(mail["at"] for mail in human if mail["event"] == "opened")]
    if t - (max(active) if active else min(known)) >= 90 * DAY:
        return "dormant"
    return "acquisition" if clicked else "reach"


def told(values: Iterable[bytes]) -> simple.Changes:
    """What a contestant announced."""
    found: defaultdict[str, dict[int, tuple[Any, ...]]] = defaultdict(dict)
    for value in values:
        change = _decode(value)
        found[change["customer_id"]][change["seq"]] = tuple(change[field] for field in FIELDS)
    return {customer: tuple(by_seq[seq] for seq in sorted(by_seq)) for customer, by_seq in found.items()}


def moves(wanted: simple.Changes) -> Mapping[str, compare.Moves]:
    """The same as the product's changes tell it: each move with its instant."""
    return {customer: tuple((iso(one[3]), one[1]) for one in changes) for customer, changes in wanted.items()}


def differ(wanted: Expected, contestant: Contestant, records: Read) -> str:
    """Empty when changes and dead letters are those; else what is wrong."""
    letters = Counter(record.value for record in records[DEAD_LETTERS])
    if letters != wanted.refused:
        missing, surplus = wanted.refused - letters, letters - wanted.refused
        one = next(iter(missing or surplus))
        return f"{missing.total()} dead letters are missing, {surplus.total()} are too many, such as {one!r}"
    values = records[CHANGES]
    if not contestant.whole:
        return simple.difference(wanted.changes, told(record.value for record in values))
    found = compare.outcome_of((dict(record.headers)["ce_id"].decode(), record.value) for record in values)
    return compare.difference(moves(wanted.changes), found.paths)


def job() -> Job:
    """Job (b)."""
    return Job("b", "the full job", (simple.TOPIC,), (CHANGES, DEAD_LETTERS), draw, reference, differ)
