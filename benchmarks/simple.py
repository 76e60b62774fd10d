"""Job (a), as `peers/README.md` says it: what must come of the events, by a function that shares nothing with any contestant.

It recomputes everything from all events of a customer up to each of them, so there is no state that could go wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from benchmarks import compare
from benchmarks.broker import EventSet
from benchmarks.compare import Moves, outcome_of
from benchmarks.contest import Contestant
from benchmarks.events import SourceEvent, generate
from benchmarks.measuring import Job, Read
from streams.topics import CHANGES

TOPIC = "events"
Changes = Mapping[str, tuple[tuple[Any, ...], ...]]
"""By customer: what was announced, each change with all its fields, by seq."""
FIELDS = (
    "seq", "stage", "previous_stage", "entered_at", "trigger", "events", "orders", "spent_minor", "first_ms",
)  # fmt: skip


def ms(time: str) -> int:
    """An instant in milliseconds since 1970."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def events_of(count: int) -> Iterator[SourceEvent]:
    """The events of the job: those of all topics in one, in order of their time, keyed by customer."""
    return (event._replace(topic=TOPIC) for event in generate(count))


def expected(values: Iterable[bytes]) -> Changes:
    """What must be announced for events in any order."""
    by_customer: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for value in values:
        event = msgspec.json.decode(value)
        by_customer[event["customer_id"]].append(event)
    found = {}
    for customer, events in by_customer.items():
        events.sort(key=lambda event: datetime.fromisoformat(event["time"]))
        if changes := tuple(_changes(events)):
            found[customer] = changes
    return found


def _changes(events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
    before, seq = None, 0
    for count, event in enumerate(events, start=1):
        stage = _stage(events[:count])
        if stage != before:
            seq += 1
            orders = [one for one in events[:count] if one["type"] == "order.completed"]
            spent = sum(Decimal(one["total"]) for one in orders) * 100
            first = ms(events[0]["time"])
            yield (seq, stage, before, event["time"], event["id"], count, len(orders), int(spent), first)
            before = stage


def _stage(events: Sequence[Mapping[str, Any]]) -> str | None:
    days = {event["time"][:10] for event in events if event["type"] == "order.completed"}
    if days:
        return {1: "conversion", 2: "retention"}.get(len(days), "loyalty")
    mails = [event for event in events if event["type"] == "email.event"]
    if any(mail["event"] == "clicked" and not mail.get("machine", False) for mail in mails):
        return "acquisition"
    if len(mails) < len(events) or any(mail["event"] == "delivered" for mail in mails):
        return "reach"
    return None


def told(values: Iterable[bytes]) -> Changes:
    """What a contestant announced: of two records with the same seq the last, as any consumer would have it."""
    found: defaultdict[str, dict[int, tuple[Any, ...]]] = defaultdict(dict)
    for value in values:
        change = msgspec.json.decode(value)
        found[change["customer_id"]][change["seq"]] = tuple(change[field] for field in FIELDS)
    return {customer: tuple(by_seq[seq] for seq in sorted(by_seq)) for customer, by_seq in found.items()}


def difference(wanted: Changes, found: Changes) -> str:
    """Empty when both are the same; else how many customers differ, and the first of them."""
    wrong = [one for one in sorted({*wanted, *found}) if wanted.get(one) != found.get(one)]
    if not wrong:
        return ""
    first = wrong[0]
    return (
        f"{len(wrong)} of {len(wanted)} customers differ, such as {first}: "
        f"expected {wanted.get(first)}, found {found.get(first)}"
    )


def moves(wanted: Changes) -> Mapping[str, Moves]:
    """The same as the product's changes tell it: each move with its instant."""
    return {customer: tuple((change[3], change[1]) for change in changes) for customer, changes in wanted.items()}


def reference(events: EventSet) -> tuple[Changes, int]:
    """What must be announced, and how many changes that are."""
    wanted = expected(events.values())
    return wanted, sum(map(len, wanted.values()))


def differ(wanted: Changes, contestant: Contestant, records: Read) -> str:
    """Empty when a contestant's changes are those; of the product, whose documents are others, the moves are compared."""
    values = records[CHANGES]
    if not contestant.whole:
        return difference(wanted, told(record.value for record in values))
    found = outcome_of((dict(record.headers)["ce_id"].decode(), record.value) for record in values)
    return compare.difference(moves(wanted), found.paths)


def job() -> Job:
    """Job (a)."""
    return Job("a", "the simple job", (TOPIC,), (CHANGES,), events_of, reference, differ)
