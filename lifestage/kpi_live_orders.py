"""What a person's orders add to live KPIs: money, order by order, and customers, from the days on which orders stand."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

from lifestage.kpi_contribute import BY_CHANNEL, Orders, Sums, money
from lifestage.kpi_days import LEVEL, Entries, day_of, level, whole_days
from lifestage.kpi_gather import DIRECT
from lifestage.kpi_intervals import (
    ACTIVE_DAYS,
    EVER,
    Intervals,
    common,
    first_orders,
    hold,
    standing_days,
    union,
    within,
    without,
)
from lifestage.kpi_live import Now
from lifestage.kpi_live_placed import Placed
from lifestage.ledger import order_instants
from lifestage.look import Terms
from lifestage.moments import DAY_MS
from lifestage.profile import Order, Profile
from lifestage.standing import is_small

# -- money ---------------------------------------------------------------------------------------


def orders_money(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """What all orders of a person add in money."""
    found: Entries = []
    for order in profile.orders:
        found += order_money(order, now)
    return found


def order_money(order: Order, now: Now) -> Entries:
    """What one order adds in money: on its own day, and what becomes of it later until it leaves the window."""
    if order.time is None:
        return []
    placed, terms = order.time // DAY_MS, now.rules.plan.terms
    if placed <= now.day - now.window:
        return []
    if order.refunds or order.later or order.cancelled_at is not None:
        return _changing_money(order, placed, now)
    total, net, currency = order.total_minor, order.net_minor, order.currency
    if terms.min_net is not None and is_small((total, net, currency), terms.min_net):
        return []
    found: Entries = [
        (("gross_revenue", currency), placed, total),
        (("orders", currency), placed, 1),
        (("net_sold", currency), placed, net),
    ]
    if net >= 0:
        found.append((("net_revenue", currency), placed, net))
    else:
        found.append((("net_refunded", currency), placed, net))
    return found


def _changing_money(order: Order, placed: int, now: Now) -> Entries:
    alone, end, terms = Profile(orders=[order]), placed + now.window, now.rules.plan.terms

    def at(day: int) -> Sums:
        sums: Sums = Counter()
        span = whole_days(day, now.window)
        money(Orders(alone, span.end, terms), span, sums)
        return sums

    before = at(placed)
    found: Entries = [(name, placed, amount) for name, amount in before.items() if amount]
    for turn in sorted({day_of(instant) for instant in order_instants(order)}):
        if placed < turn < end:
            sums = at(turn)
            # in order: in the marker they stand as they come
            for name in sorted(before.keys() | sums.keys()):
                differs = sums[name] - before[name]
                if differs:
                    found += [(level(name), turn, differs), (level(name), end, -differs)]
            before = sums
    return found


_TOLD = frozenset({"orders", "net_revenue", level(("orders",))[0], level(("net_revenue",))[0]})
"""What of an order is told by channel, too."""


def orders_by_channel(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001
    """The orders of a person, and what they come to, by the channel that the person first came by."""
    found: Entries = []
    for order in profile.orders:
        found += order_by_channel(order, profile, now)
    return found


def order_by_channel(order: Order, profile: Profile, now: Now) -> Entries:
    """The same of one order."""
    touch = profile.kpi.touch if profile.kpi is not None else None
    channel = DIRECT if touch is None else touch[3]
    found: Entries = [
        ((name[0] + BY_CHANNEL, name[1], channel), day, amount)
        for name, day, amount in order_money(order, now) if name[0] in _TOLD
    ]  # fmt: skip
    known = 0 if touch is None else touch[0] // DAY_MS
    return found if known <= now.day else _direct_until(found, known, now.window)


def _direct_until(entries: Entries, known: int, window: int) -> Entries:
    """The same where the channel is known from a day to come on only: all as levels."""
    found: Entries = []
    for (of, currency, channel), day, amount in entries:
        lasts = of.startswith(LEVEL)
        of = of if lasts else LEVEL + of  # noqa: PLW2901
        name, until = (of, currency, channel), (of, currency, DIRECT)
        for at, step in ((day, amount),) if lasts else ((day, amount), (day + window, -amount)):
            found.append((name, max(at, known), step))
            if at < known:
                found += ((until, at, step), (until, known, -step))
    return found


_CUSTOMERS, _ACTIVE, _NEW_ACTIVE = level(("customers",)), level(("active",)), level(("new_active",))
_ACTIVE_BEFORE, _RETAINED, _REACTIVATED = level(("active_before",)), level(("retained",)), level(("reactivated",))


# -- customers -----------------------------------------------------------------------------------


def customers(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001
    """Whether and since when a person is a customer, an active, a new, a returning one."""
    if not profile.orders:
        return []
    times = _plain_times(profile, now)
    if times is None:
        return _changing_customers(profile, now)
    return _plain_customers(profile, times, now) if times else []


def _plain_times(profile: Profile, now: Now) -> list[int] | None:
    """When the orders were placed, in order, where all stand for good and none but an only one is of a day to come; None where
    not."""
    times = Placed(profile, now.rules.plan.terms).times
    return None if times is not None and len(times) > 1 and times[-1] // DAY_MS > now.day else times


def _plain_customers(profile: Profile, times: list[int], now: Now) -> Entries:
    """Of orders that stand for good: from the present day on the first of them and the last few say all."""
    window, zone = now.window, now.rules.plan.terms.day_zone
    first, last = times[0] // DAY_MS, times[-1] // DAY_MS
    # there is only one where it is of a day to come
    today = max(now.day, last)
    gone = today - window
    found: Entries = [(_CUSTOMERS, today, 1)]
    if first > gone:
        found.append((("new_customers",), first, 1))
        _plain_by_channel(found, profile, times, now)
    if last > gone:
        found.append((("buyers",), last, 1))
        if last > first:
            found.append((("returning_customers",), last, 1))
            if first > gone:
                found.append((("returning_customers",), first, -1))
        if len(times) > 1 and (before := times[-2] // DAY_MS) > gone:
            found.append((("repeat_buyers_by_orders",), before, 1))
            _repeat(found, times, zone, gone)
    if last + ACTIVE_DAYS > gone:
        _plain_active(found, times, first, last + ACTIVE_DAYS, today, window)
    return found


def _plain_by_channel(found: Entries, profile: Profile, times: list[int], now: Now) -> None:
    """A new customer by channel."""
    first, today = times[0] // DAY_MS, max(now.day, times[-1] // DAY_MS)
    if first > today - now.window:
        touch = profile.kpi.touch if profile.kpi is not None else None
        if touch is not None and touch[0] // DAY_MS > today:
            _by_channel(found, profile, [(first, first + now.window)])
        else:
            found.append((("new_customers" + BY_CHANNEL, DIRECT if touch is None else touch[3]), first, 1))


def _repeat(found: Entries, times: list[int], zone: int, gone: int) -> None:
    """Two order-days in the window: as long as the latest order of an earlier day than the last is in it."""
    last = (times[-1] + zone) // DAY_MS
    for n in range(len(times) - 2, -1, -1):
        placed = times[n] // DAY_MS
        if placed <= gone:
            return
        if (times[n] + zone) // DAY_MS != last:
            found.append((("repeat_buyers",), placed, 1))
            return


def _plain_active(found: Entries, times: list[int], first: int, end: int, today: int, window: int) -> None:
    """Active up to `end`, and before the window, which shows as long as it lasted."""
    if end > today:
        found += ((_ACTIVE, today, 1), (_ACTIVE, end, -1))
        new = min(end, first + window)
        if new > today:
            found += ((_NEW_ACTIVE, today, 1), (_NEW_ACTIVE, new, -1))
    at = max(today, first + window)
    for begin, until in _was_active(times, today, window):
        found += ((_ACTIVE_BEFORE, begin, 1), (_ACTIVE_BEFORE, until, -1))
        if begin < end:
            found += ((_RETAINED, begin, 1), (_RETAINED, min(until, end), -1))
        if at < (gap := min(begin, end)):
            found += ((_REACTIVATED, at, 1), (_REACTIVATED, gap, -1))
        at = max(at, until)
    if at < end:
        found += ((_REACTIVATED, at, 1), (_REACTIVATED, end, -1))


def _was_active(times: list[int], today: int, window: int) -> Intervals:
    """From the present day on the days on which the person was active a window before."""
    found: Intervals = []
    for n in range(bisect_left(times, (today - window - ACTIVE_DAYS + 1) * DAY_MS), len(times)):
        begin = times[n] // DAY_MS + window
        until = begin + ACTIVE_DAYS
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], until
        else:
            found.append((max(begin, today), until))
    return found


def _changing_customers(profile: Profile, now: Now) -> Entries:
    """The same whatever becomes of orders, and when."""
    window, terms = now.window, now.rules.plan.terms
    found: Entries = []
    ever: list[tuple[int, int]] = []
    active: list[tuple[int, int]] = []
    bought: list[tuple[int, int]] = []
    by_day: dict[int, list[tuple[int, int]]] = {}
    for order in profile.orders:
        if order.time is None:
            continue
        stands, placed = standing_days(order, terms), order.time // DAY_MS
        ever += stands
        active += within(stands, placed, placed + ACTIVE_DAYS)
        within_window = within(stands, placed, placed + window)
        bought += within_window
        by_day.setdefault((order.time + terms.day_zone) // DAY_MS, []).extend(within_window)
    is_active, is_new = union(active), _new(profile, terms, window)
    was_active = [(begin + window, end + window) for begin, end in is_active]
    buyers = union(bought)
    hold(found, ("active_before",), was_active)
    hold(found, ("active",), is_active)
    hold(found, ("retained",), common(was_active, is_active))
    hold(found, ("customers",), union(ever))
    hold(found, ("new_active",), common(is_new, is_active))
    hold(found, ("reactivated",), without(without(is_active, was_active), is_new))
    hold(found, ("new_customers",), is_new)
    hold(found, ("buyers",), buyers)
    hold(found, ("repeat_buyers",), _twice(one for days in by_day.values() for one in union(days)))
    hold(found, ("repeat_buyers_by_orders",), _twice(bought))
    hold(found, ("returning_customers",), without(buyers, is_new))
    _by_channel(found, profile, is_new)
    return found


def _new(profile: Profile, terms: Terms, window: int) -> Intervals:
    """On which days their first standing order is in the window."""
    found: list[tuple[int, int]] = []
    for begin, end, time in first_orders(profile, terms):
        placed = time // DAY_MS
        found += within([(begin, end)], placed, placed + window)
    return union(found)


def _twice(some: Iterable[tuple[int, int]]) -> Intervals:
    """The days in two of the intervals or more."""
    found: list[tuple[int, int]] = []
    last = -EVER
    for begin, end in sorted(some):
        if begin < last:
            found.append((begin, min(end, last)))
        last = max(last, end)
    return union(found)


def by_channel(key: str, profile: Profile, now: Now) -> Entries:
    """What orders and customers add by the channel that the person first came by."""
    found = orders_by_channel(key, profile, now)
    times = _plain_times(profile, now)
    if times is None:
        _by_channel(found, profile, _new(profile, now.rules.plan.terms, now.window))
    elif times:
        _plain_by_channel(found, profile, times, now)
    return found


def _by_channel(found: Entries, profile: Profile, is_new: Intervals) -> None:
    """New customers by the channel that they first came by, from the day on which they did."""
    name = "new_customers" + BY_CHANNEL
    touch = profile.kpi.touch if profile.kpi is not None else None
    if touch is None:
        hold(found, (name, DIRECT), is_new)
        return
    known = touch[0] // DAY_MS
    hold(found, (name, DIRECT), within(is_new, -EVER, known))
    hold(found, (name, touch[3]), within(is_new, known, EVER))
