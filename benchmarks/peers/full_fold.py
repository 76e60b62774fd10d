"""The rules of job (b) as README.md says them, over plain lists and dicts: what each Python peer checks and folds with.

Standard library alone: each peer runs in an environment of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from zlib import crc32

from benchmarks.peers.fold import ms

DAY = 86_400_000
BUCKETS = 8
NEVER = -1
FAR = 1 << 62
STAGES = (None, "reach", "acquisition", "conversion", "retention", "loyalty", "dormant", "at_risk", "churned")
HAPPENINGS = frozenset({"sent", "delivered", "opened", "clicked", "bounced", "complained", "unsubscribed"})

KNOWN, KNOWN_AT, ACTIVE_AT, ORDERED_AT, ORDERS, DAYS, DAY1, DAY2, DAY3, STAGE, SEQ, NOW, TIMER = range(13)
State = list[int]
"""What is known, since when; the newest activity and order; orders, days with one, the newest order of each of the three newest
such days; stage, seq, up to when it is judged, and the day for which a timer is set."""
NEW = (0, NEVER, NEVER, NEVER, 0, 0, NEVER, NEVER, NEVER, 0, 0, NEVER, FAR)
Change = dict[str, Any]


class RefusedError(ValueError):
    """An event that goes to the dead letters, with the reason."""


def checked(event: Any) -> dict[str, Any]:
    """What the fold needs of an event. Raises `RefusedError` when it is none."""
    if not isinstance(event, dict):
        raise RefusedError("no object")
    for name in ("id", "source", "customer_id", "type", "time"):
        if not isinstance(event.get(name), str) or not event[name]:
            raise RefusedError(f"{name} is missing")
    try:
        at = ms(event["time"])
    except ValueError:
        raise RefusedError("time is none") from None
    kind = event["type"]
    needed = {"id": event["id"], "customer_id": event["customer_id"], "kind": "", "at": at}
    if kind == "web.visit":
        _text(event, "url")
        needed["kind"] = "visit"
    elif kind == "email.event":
        _text(event, "message_id")
        if event.get("event") not in HAPPENINGS:
            raise RefusedError("event is none of those that a mail has")
        human = not event.get("machine")
        needed["kind"] = event["event"] if human or event["event"] == "delivered" else ""
    elif kind == "order.completed":
        _text(event, "order_id")
        _text(event, "currency")
        _amount(event)
        needed["kind"] = "order"
    else:
        raise RefusedError("type is unknown")
    return needed


def _text(event: Mapping[str, Any], name: str) -> None:
    if not isinstance(event.get(name), str) or not event[name]:
        raise RefusedError(f"{name} is missing")


def _amount(event: Mapping[str, Any]) -> None:
    try:
        amount = Decimal(event.get("total", ""))
    except (InvalidOperation, TypeError):
        raise RefusedError("total is no amount") from None
    if not (amount.is_finite() and amount >= 0):
        raise RefusedError("total is no amount")


def timer(state: State) -> int | None:
    """The day for which a timer must be set now, unless one is set that comes before it."""
    day = due(state) // DAY
    if day >= state[TIMER] or day >= FAR // DAY:
        return None
    state[TIMER] = day
    return day


def fire(customer: str, state: State, day: int) -> list[Change]:
    """A timer of a day that is over; another may then have to be set. Nothing, when a sooner one has taken its place."""
    if state[TIMER] != day:
        return []
    state[TIMER] = FAR
    return advance(customer, state, (day + 1) * DAY)


def bucket_of(customer: str) -> int:
    """Which of `BUCKETS` a customer is in, for a peer whose state can only be walked below one key."""
    return crc32(customer.encode()) % BUCKETS


def stage_at(state: State, t: int) -> int:
    """Where a customer stands at `t`, as a place in `STAGES`."""
    ordered = state[ORDERED_AT]
    if ordered != NEVER:
        if t - ordered >= 90 * DAY:
            return 8 if t - ordered >= 180 * DAY else 7
        if state[DAYS] >= 3 and state[DAY3] > t - 365 * DAY:
            return 5
        return 4 if state[DAYS] >= 2 else 3
    if not state[KNOWN]:
        return 0
    active = state[ACTIVE_AT]
    return 6 if t - (active if active != NEVER else state[KNOWN_AT]) >= 90 * DAY else state[KNOWN]


def due(state: State) -> int:
    """The next instant after that up to which it is judged at which time alone could move a customer."""
    ordered, now = state[ORDERED_AT], state[NOW]
    if ordered != NEVER:
        found = FAR
        if state[DAYS] >= 3 and state[DAY3] + 365 * DAY > now:
            found = state[DAY3] + 365 * DAY
        for age in (90 * DAY, 180 * DAY):
            if now < ordered + age < found:
                return ordered + age
        return found
    if not state[KNOWN]:
        return FAR
    at = (state[ACTIVE_AT] if state[ACTIVE_AT] != NEVER else state[KNOWN_AT]) + 90 * DAY
    return at if at > now else FAR


def advance(customer: str, state: State, until: int) -> list[Change]:
    """Judge a customer at each instant below `until` at which time alone could move them."""
    found: list[Change] = []
    while (at := due(state)) < until:
        state[NOW] = at
        _judge(customer, state, at, "", found)
    return found


def add(state: State, event: Mapping[str, Any]) -> list[Change]:
    """Add an event in its time, after what was due before it."""
    customer, at, kind = event["customer_id"], event["at"], event["kind"]
    found = advance(customer, state, at)
    state[NOW] = at
    if kind == "order":
        state[ORDERS] += 1
        state[ORDERED_AT] = at
        if state[DAYS] == 0 or state[DAY1] // DAY != at // DAY:
            state[DAYS] += 1
            state[DAY3], state[DAY2] = state[DAY2], state[DAY1]
        state[DAY1] = at
    elif kind in {"visit", "clicked", "delivered"}:
        if state[KNOWN] == 0:
            state[KNOWN_AT] = at
        state[KNOWN] = 2 if kind == "clicked" else max(state[KNOWN], 1)
    if kind in {"visit", "clicked", "opened"}:
        state[ACTIVE_AT] = at
    _judge(customer, state, at, event["id"], found)
    return found


def _judge(customer: str, state: State, at: int, trigger: str, found: list[Change]) -> None:
    stage, before = stage_at(state, at), state[STAGE]
    if stage == before:
        return
    state[STAGE] = stage
    state[SEQ] += 1
    found.append({
        "customer_id": customer, "seq": state[SEQ], "stage": STAGES[stage], "previous_stage": STAGES[before],
        "entered_ms": at, "trigger": trigger, "orders": state[ORDERS],
    })  # fmt: skip
