"""Days on which something holds, as intervals [first, end) in rising order, and of orders when they stand.

What holds on a day holds as of its end. All is whole numbers: days since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lifestage.kpi_contribute import ACTIVE_MS
from lifestage.kpi_days import Entries, Name, end_of_day
from lifestage.ledger import amounts_at, fell_at, order_instants
from lifestage.look import Terms
from lifestage.moments import DAY_MS
from lifestage.profile import Order, Profile
from lifestage.standing import is_small

EVER: Final = 1 << 40
"""The end of what never ceases."""
ACTIVE_DAYS: Final = ACTIVE_MS // DAY_MS
Intervals = list[tuple[int, int]]


def union(some: Iterable[tuple[int, int]]) -> Intervals:
    """The days in any of the intervals, which may come in any order."""
    found: Intervals = []
    for begin, end in sorted(some):
        if begin >= end:
            continue
        if found and begin <= found[-1][1]:
            if end > found[-1][1]:
                found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found


def common(one: Intervals, other: Intervals) -> Intervals:
    """The days in both."""
    found: Intervals = []
    i = j = 0
    while i < len(one) and j < len(other):
        begin, end = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if begin < end:
            found.append((begin, end))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return found


def within(some: Intervals, begin: int, end: int) -> Intervals:
    """The days of [begin, end) among them."""
    return [
        (first if first > begin else begin, last if last < end else end)
        for first, last in some if first < end and last > begin and begin < end
    ]  # fmt: skip


def without(one: Intervals, other: Intervals) -> Intervals:
    """The days of the one that are not in the other."""
    found: Intervals = []
    for begin, end in one:
        at = begin
        for first, last in other:
            if last <= at or first >= end:
                continue
            if first > at:
                found.append((at, first))
            at = last
        if at < end:
            found.append((at, end))
    return found


def hold(entries: Entries, name: Name, some: Iterable[tuple[int, int]], amount: int = 1) -> None:
    """Let a sum be higher by an amount on those days."""
    level = "~" + name[0], *name[1:]
    for begin, end in some:
        if begin < end:
            entries.append((level, begin, amount))
            if end < EVER:
                entries.append((level, end, -amount))


def stretch(entries: Entries, name: Name, begin: int, end: int, window: int, amount: int = 1) -> None:
    """Let a sum be higher by an amount from a day until another: as a flow, where that is as long as the window."""
    if end - begin == window:
        entries.append((name, begin, amount))
    elif begin < end:
        level = "~" + name[0], *name[1:]
        entries.append((level, begin, amount))
        entries.append((level, end, -amount))


def placed_days(order: Order, terms: Terms) -> Intervals:
    """On which days an order is placed and no smaller than counts."""
    if order.time is None:
        return []
    first = order.time // DAY_MS
    least = terms.min_net
    if least is None:
        return [(first, EVER)]
    turns = sorted({first, *(version.time // DAY_MS for version in order.later)})
    held = [not is_small(amounts_at(order, end_of_day(day)), least) for day in turns]
    return _runs(turns, held)


def standing_days(order: Order, terms: Terms) -> Intervals:
    """On which days an order stands."""
    placed = placed_days(order, terms)
    if not placed or (not order.refunds and order.cancelled_at is None):
        return placed
    turns = sorted({at // DAY_MS for at in order_instants(order)})
    held = [fell_at(order, end_of_day(day)) is None for day in turns]
    return common(placed, _runs(turns, held))


def _runs(turns: list[int], held: list[bool]) -> Intervals:
    return union((day, turns[n + 1] if n + 1 < len(turns) else EVER) for n, day in enumerate(turns) if held[n])


def active_days(profile: Profile, terms: Terms, since: int) -> Intervals:
    """On which days, as far as they are not before `since`, the person is active: with an order that stands and was placed in
    the 90 days up to then."""
    found: Intervals = []
    least = terms.min_net
    for order in profile.orders:
        time = order.time
        if time is None:
            continue
        first = time // DAY_MS
        if first + ACTIVE_DAYS <= since:
            continue
        if least is None and order.cancelled_at is None and not order.refunds:
            found.append((first, first + ACTIVE_DAYS))
        else:
            found += within(standing_days(order, terms), first, first + ACTIVE_DAYS)
    return found if len(found) < 2 else union(found)


def customer_days(profile: Profile, terms: Terms) -> Intervals:
    """On which days any order of the person stands."""
    return union(days for order in profile.orders for days in standing_days(order, terms))


def first_orders(profile: Profile, terms: Terms) -> list[tuple[int, int, int]]:
    """The person's first standing order as of each day: (from this day, until that, its time), in rising order."""
    found: list[tuple[int, int, int]] = []
    taken: Intervals = []
    for order in sorted(profile.orders, key=_placed):
        if order.time is not None:
            days = standing_days(order, terms)
            found += [(begin, end, order.time) for begin, end in without(days, taken)]
            taken = union([*taken, *days])
            if taken and taken[0][1] == EVER and taken[0][0] <= order.time // DAY_MS:
                # no later order is ever the first
                break
    return sorted(found)


def _placed(order: Order) -> tuple[int, int]:
    return (EVER * DAY_MS if order.time is None else order.time), order.id
