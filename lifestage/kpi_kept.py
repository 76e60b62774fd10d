"""What KPIs need of a person beside the ledger and the path: sessions, messages, leads, trials, carts, tickets, answers, acts.

It is a set of facts: noted in any order (`lifestage.kpi_note`), or in two that are then united, they give the same. Things go
by a 64-bit hash of their source and id. Days are counted since 1970, instants are ms UTC. What must not count twice where two
fact sets have it stands with 32 bits of its event's id as long as the event could come again; later as a number for its day.
Of who only visits and reads messages there is no `Rest`. The encoding is an array; fields are only appended. Nothing here refers to
what refers to it, so that the collector of garbage need not look at any of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from lifestage.moments import DAY_MS

Counts = tuple[int, ...]
"""Day, amount, 32 bits of the event's id (0: of several events, or of one that cannot come again); and again."""


HAPPENINGS = ("sent", "delivered", "bounced", "opened", "clicked", "complained", "unsubscribed")
"""What is told of messages by KPIs."""
SENT, DELIVERED = 0, 1
PLACES = {name: place for place, name in enumerate(HAPPENINGS)}


class Session(msgspec.Struct, array_like=True, gc=False):
    """One session, by its first visit: of several in one instant that with the smallest id."""

    began: int
    event: str
    """Id of the first visit; empty when no other can come in its instant."""
    origin: str | None
    """Source and medium with a tab between them; None: came by themselves."""
    visits: Counts
    """The pages that were seen."""


class Message(msgspec.Struct, array_like=True, gc=False):
    """One message, by the first that happened to it."""

    first: int
    event: str
    channel: str
    days: tuple[int, ...]
    """Of each of `HAPPENINGS` the first day on which it happened, -1 where it did not; and the last day of all."""


class Lead(msgspec.Struct, array_like=True, gc=False):
    """One lead: when it was captured first, and what was said of it: (time, event, qualified), the last of each day."""

    captured: int
    last: int
    said: list[tuple[int, str, bool]] = []


class Trial(msgspec.Struct, array_like=True, gc=False):
    """One trial: its first start as (time, event, begins, planned end), its first end, and the first that was a purchase.

    None is let go, as in the ledger: it may begin long after all that is said of it.
    """

    start: tuple[int, str, int, int | None] | None = None
    ended: int | None = None
    converted: int | None = None


class Cart(msgspec.Struct, array_like=True, gc=False):
    """One cart: its first act, the last one of each day, and on which days which step of the checkout was the furthest.

    Of a cart that came to the checkout that is kept for good: another set may say so again.
    """

    first: int
    acts: list[int] = []
    steps: list[tuple[int, int]] = []
    """Day and step; only those further than all before."""
    checkout: int | None = None
    """The day of the first step of the checkout."""


class Ticket(msgspec.Struct, array_like=True, gc=False):
    """One ticket: its creation, replies by agents and first solution as (time, event); a solution says whether a bot's it was.

    None is let go that was created or solved: another set may say so again, long after.
    """

    last: int
    created: tuple[int, str] | None = None
    replies: list[tuple[int, str]] = []
    """All up to the creation, and the first after it."""
    solved: tuple[int, str, bool] | None = None
    first: int | None = None
    """The day of the first act."""


class Goods(msgspec.Struct, array_like=True, gc=False, frozen=True, order=True):
    """What an order's goods cost, minor units, as an `order.completed` or `order.updated` said."""

    order: int
    time: int
    event: str
    update: bool
    minor: int


Answer = tuple[int, str, str, int]
"""Time, source, event, score in thousandths; by the first three."""


class Rest(msgspec.Struct, array_like=True, gc=False):
    """What few have."""

    counts: dict[str, Counts] = {}
    """What is added up, by its name: acts, impressions, clicks on ads, social acts by kind."""
    leads: dict[int, Lead] = {}
    trials: dict[int, Trial] = {}
    carts: dict[int, Cart] = {}
    tickets: dict[int, Ticket] = {}
    answers: dict[str, list[Answer]] = {}
    """By metric, the last of each day."""
    praise: list[int] = []
    """Days on which they recommended us, or praised us in a review."""
    won: list[int] = []
    """Days on which a recommendation of theirs won a customer."""
    referred: int | None = None
    """The first day on which it was said that somebody recommended us to them."""
    asked: list[int] = []
    """When they opened tickets."""
    goods: list[Goods] = []


class Kept(msgspec.Struct, array_like=True, gc=False):
    """What is kept of one person."""

    window: int
    """Days."""
    looked: int = 0
    """The day of the horizon as of which it was looked last for what can go."""
    left: int = 0
    """How many sessions and messages were left then."""
    visits: list[int] = []
    """Runs of days with visits: first, last, first, last …; those no further apart than the window are one."""
    touch: tuple[int, str, str, str] | None = None
    """The channel by which the person came first: time, source, event, channel."""
    sessions: dict[int, Session] = {}
    messages: dict[int, Message] = {}
    rest: Rest | None = None


Told = TypeVar("Told", bound=tuple[Any, ...])


def add_run(runs: list[int], day: int, window: int) -> None:
    """Add a day to runs of days; runs no further apart than the window become one."""
    if not runs or day > runs[-1] + window:
        runs += (day, day)
    elif day >= runs[-2]:
        runs[-1] = max(runs[-1], day)
    else:
        runs[:] = joined([*zip(runs[::2], runs[1::2], strict=True), (day, day)], window)


def joined(some: Iterable[tuple[int, int]], window: int) -> list[int]:
    """Runs of days of some (first, last), in any order; those no further apart than the window are one."""
    found: list[int] = []
    for first, last in sorted(some):
        if found and first <= found[-1] + window:
            found[-1] = max(found[-1], last)
        else:
            found += (first, last)
    return found


def last_of_each_day(told: Iterable[Told]) -> list[Told]:
    """Of what was told, each beginning with its time, the greatest of each day, in order."""
    by_day: dict[int, Told] = {}
    for one in sorted(told):
        by_day[one[0] // DAY_MS] = one
    return [*by_day.values()]


def furthest(steps: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of (day, step) those that are further than all before; of one day's the furthest."""
    found: list[tuple[int, int]] = []
    for day, step in sorted(steps):
        if found and step <= found[-1][1]:
            continue
        if found and found[-1][0] == day:
            found.pop()
        found.append((day, step))
    return found


def answered(created: tuple[int, str] | None, replies: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    """Of the replies to a ticket those that tell the first after its creation, also should that turn out to be earlier."""
    found: list[tuple[int, str]] = []
    for reply in sorted(set(replies)):
        found.append(reply)
        if created is not None and reply > created:
            break
    return found
