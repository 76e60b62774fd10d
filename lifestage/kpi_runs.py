"""A name that is used again after long silence means another thing: which acts are one thing's, whatever the order they come in.

Acts under one name are one thing as long as no two neighbours in time lie more days apart than the limit: the window and
`SPARE_DAYS`. Of the things that one name means the newest goes by the name's number, each older one by the next number after it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from lifestage.fact import Fact
from lifestage.facts import (
    CartUpdated,
    CheckoutStep,
    EmailEvent,
    LeadCaptured,
    TicketCreated,
    TicketReplied,
    TicketSolved,
    WebVisit,
)
from lifestage.moments import DAY_MS

SPARE_DAYS = 30
"""A thing that was not heard of for the window and so many days more is forgotten: what comes of its name is another one."""
Thing = TypeVar("Thing")


class Kind(NamedTuple, Generic[Thing]):
    """How things of a kind are put together."""

    days: Callable[[Thing], tuple[int, int]]
    """The days of the first and the last act."""
    united: Callable[[Thing, Thing], Thing]
    """Of two parts of one thing the whole; of a part and itself a copy."""


def key_on(things: dict[int, Thing], id: int, day: int, limit: int, kind: Kind[Thing]) -> int:
    """Under which number there is, or has to be put, what a name means on a day; things that an act on it joins become one."""
    newest = things.get(id)
    if newest is None:
        return id
    begun, last = kind.days(newest)
    if begun <= day <= last + limit:
        return id
    runs = [things.pop(id + n) for n in range(_length(things, id))]
    near, others = list[Thing](), list[Thing]()
    for run in runs:
        begun, last = kind.days(run)
        (near if begun - limit <= day <= last + limit else others).append(run)
    at = sum(kind.days(run)[0] > day for run in others)
    for n, run in enumerate(others):
        things[id + n + (n >= at)] = run
    if near:
        things[id + at] = reduce(kind.united, near)
    return id + at


def _length(things: dict[int, Thing], id: int) -> int:
    count = 0
    while id + count in things:
        count += 1
    return count


def united_things(a: dict[int, Thing], b: dict[int, Thing], limit: int, kind: Kind[Thing]) -> dict[int, Thing]:
    """The things of both, sharing nothing that changes with either."""
    found: dict[int, Thing] = {}
    ids = sorted(a.keys() | b.keys())
    begin, sides = 0, (a,) if a is b else (a, b)
    for end, id in enumerate(ids, 1):
        if end == len(ids) or ids[end] != id + 1:
            runs = [things[one] for one in ids[begin:end] for things in sides if one in things]
            for n, run in enumerate(reversed(_joined(runs, limit, kind))):
                found[ids[begin] + n] = run
            begin = end
    return found


def _joined(runs: list[Thing], limit: int, kind: Kind[Thing]) -> list[Thing]:
    """The things that parts of things of one name are, the oldest first."""
    found: list[Thing] = []
    for run in sorted(runs, key=kind.days):
        if found and kind.days(run)[0] <= kind.days(found[-1])[1] + limit:
            found[-1] = kind.united(found[-1], run)
        else:
            # united with itself: a copy in the same order as any
            found.append(kind.united(run, run))
    return found


_NAMES: dict[type[Fact], str] = {
    WebVisit: "session_id",
    EmailEvent: "message_id",
    LeadCaptured: "lead_id",
    CartUpdated: "cart_id",
    CheckoutStep: "cart_id",
    TicketCreated: "ticket_id",
    TicketReplied: "ticket_id",
    TicketSolved: "ticket_id",
}
"""Whose names are used again."""


class Renaming:
    """The facts of one person in order of time, with another name for each other thing."""

    def __init__(self, window: int) -> None:
        self._limit = window + SPARE_DAYS
        self._known: dict[tuple[str, str, str], tuple[int, int]] = {}
        """By what is named, source and name: the day of the latest act, and how many things were before."""

    def told(self, fact: Fact) -> Fact:
        """The fact, should it name a thing that is not the first of its name, with a name of its own for that."""
        field = _NAMES.get(type(fact))
        name = getattr(fact, field) if field is not None else None
        if field is None or not name or not counts(fact):
            return fact
        day, key = fact.time // DAY_MS, (field, fact.source, name)
        last, before = self._known.get(key, (day, 0))
        before += day > last + self._limit
        self._known[key] = day, before
        return replace(fact, **{field: f"{name}\0{before}"}) if before else fact


def counts(fact: Fact) -> bool:
    """Whether KPIs take note of a fact: not of what bots and machines do."""
    return not fact.bot and not (type(fact) is EmailEvent and fact.machine and fact.event in ("opened", "clicked"))
