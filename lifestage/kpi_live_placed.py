"""A further order behind all others, of which all stand for good: what is different by it, however many there are."""

from __future__ import annotations

from bisect import bisect_left

from lifestage.kpi_days import Entries
from lifestage.kpi_intervals import ACTIVE_DAYS, Intervals, common, hold, stretch, within, without
from lifestage.kpi_live import Now
from lifestage.look import Terms
from lifestage.moments import DAY_MS
from lifestage.profile import Order, Profile
from lifestage.standing import is_small


class Placed:
    """When a person's orders were placed that count, in order, where all of them stand for good: held beside the profile."""

    def __init__(self, orders: list[Order], terms: Terms) -> None:
        self.orders, self.count, self.day_zone = orders, len(orders), terms.day_zone
        self.times: list[int] | None = None
        """None: something became of one of them."""
        self.before = -1
        """The latest that was placed on another day, by the plan's days, than the last."""
        times = []
        for order in orders:
            if order.time is None or order.refunds or order.later or order.cancelled_at is not None:
                return
            if terms.min_net is None or not is_small(_amounts(order), terms.min_net):
                times.append(order.time)
        times.sort()
        self.times = times
        for time in reversed(times):
            if self._day(time) != self._day(times[-1]):
                self.before = time
                break

    def add(self, time: int) -> None:
        """One more, no earlier than any."""
        times = self.times
        assert times is not None
        if times and self._day(time) != self._day(times[-1]):
            self.before = times[-1]
        times.append(time)

    def _day(self, time: int) -> int:
        return (time + self.day_zone) // DAY_MS


def _amounts(order: Order) -> tuple[int, int, str]:
    return order.total_minor, order.net_minor, order.currency


PLACED = "placed"


def placed_of(profile: Profile, terms: Terms) -> Placed:
    """When a person's orders were placed; until `forget_placed` it is known."""
    found: Placed | None = profile.__dict__.get(PLACED)
    if found is None or found.orders is not profile.orders or found.count != len(profile.orders):
        found = profile.__dict__[PLACED] = Placed(profile.orders, terms)
    return found


def forget_placed(profile: Profile) -> None:
    """Something may become of an order."""
    profile.__dict__.pop(PLACED, None)


def another(placed: Placed, order: Order, now: Now) -> tuple[Entries, Intervals]:
    """What is different by a further order, no earlier than all others, of which all stand for good and one at least counts; and on
    which days more the person is active by it."""
    terms, window, times, time = now.rules.plan.terms, now.window, placed.times, order.time
    assert times
    assert time is not None
    placed.count += 1
    if terms.min_net is not None and is_small(_amounts(order), terms.min_net):
        return [], []
    day, last, first = time // DAY_MS, times[-1] // DAY_MS, times[0] // DAY_MS
    found: Entries = []
    begin = max(day, last + window)
    stretch(found, ("buyers",), begin, day + window, window)
    stretch(found, ("returning_customers",), begin, day + window, window)
    before = times[-2] // DAY_MS + window if len(times) > 1 else day
    stretch(found, ("repeat_buyers_by_orders",), max(day, before), last + window, window)
    before = placed.before // DAY_MS + window if placed.before >= 0 else day
    placed.add(time)
    if placed.before == times[-2]:
        stretch(found, ("repeat_buyers",), max(day, before), last + window, window)
    more = [(max(day, last + ACTIVE_DAYS), day + ACTIVE_DAYS)]
    if more[0][0] >= more[0][1]:
        return found, []
    _more_active(found, times, first, more, now)
    return found, more


def _more_active(found: Entries, times: list[int], first: int, more: Intervals, now: Now) -> None:
    """The last of some orders has made the person active on more days."""
    window = now.window
    begin, end = more[0]
    later = [(begin + window, end + window)]
    was: Intervals = []
    for n in range(bisect_left(times, (begin - window - ACTIVE_DAYS + 1) * DAY_MS), len(times) - 1):
        came = times[n] // DAY_MS + window
        if came >= end:
            break
        if was and came <= was[-1][1]:
            was[-1] = was[-1][0], came + ACTIVE_DAYS
        else:
            was.append((came, came + ACTIVE_DAYS))
    is_new = within(more, first, first + window)
    hold(found, ("active",), more)
    hold(found, ("active_before",), later)
    hold(found, ("retained",), common(more, was))
    hold(found, ("retained",), within(later, begin, end))
    hold(found, ("new_active",), is_new)
    hold(found, ("reactivated",), without(without(without(more, was), later), is_new))
