"""Costs: what of them falls into a window, and what of them each customer bears in lifetime values.

A cost is spread evenly over its period. All is exact: nothing is rounded here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import accumulate

from lifestage.kpi_contribute import Bought
from lifestage.kpi_gather import Cost, Span
from lifestage.kpi_months import end_of, month_of

ACQUISITION, KEEPING = frozenset({"marketing", "sales"}), frozenset({"retention", "support"})
"""The categories of costs that win customers, and that keep them."""


def overlap(cost: Cost, begin: int, end: int) -> Fraction:
    """The minor units of a cost that fall between two instants, pro rata."""
    within = min(cost.end, end) - max(cost.start, begin)
    return Fraction(cost.minor * within, cost.end - cost.start) if within > 0 else Fraction(0)


def spent(costs: Iterable[Cost], categories: frozenset[str], span: Span) -> dict[tuple[str, str], Fraction]:
    """What was spent in the window for these categories, by (currency, channel)."""
    found: defaultdict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for cost in costs:
        if cost.category in categories and min(cost.end, span.end) > max(cost.start, span.begin):
            found[cost.currency, cost.channel] += overlap(cost, span.begin, span.end)
    return dict(found)


class Steps:
    """A number that changes at some places: the sum of the changes up to one."""

    def __init__(self, changes: Mapping[int, Fraction | int]) -> None:
        self._places = sorted(changes)
        self._sums = list(accumulate(Fraction(changes[place]) for place in self._places))

    def at(self, place: int) -> Fraction:
        """The number at a place."""
        found = bisect_right(self._places, place)
        return self._sums[found - 1] if found else Fraction(0)


class Shares:
    """Who bears which cost, as of `t` (ms): a period's marketing and sales its new customers, a month's retention and support
    those active at its end. Of a cost with a channel only those bear a share who first came by it.
    """

    def __init__(self, costs: Iterable[Cost], t: int, channels_of_none: str) -> None:
        self._t = t
        self._all = channels_of_none
        begun = [cost for cost in costs if cost.start < t]
        self._winning = [cost for cost in begun if cost.category in ACQUISITION]
        self._channels = {cost.channel for cost in self._winning}
        self._edges = sorted({edge for cost in self._winning for edge in (cost.start, min(cost.end, t + 1))})
        self._won: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._active: Counter[int] = Counter()
        self._keeping: defaultdict[tuple[int, str], Fraction] = defaultdict(Fraction)
        for cost in begun:
            if cost.category in KEEPING:
                self._spread(cost)
        self._prices: dict[tuple[str, str], Steps] = {}

    def _spread(self, cost: Cost) -> None:
        until = min(cost.end, self._t)
        for month in range(month_of(cost.start), month_of(until - 1) + 1):
            start, end = end_of(month - 1) + 1, end_of(month) + 1
            self._keeping[month, cost.currency] += overlap(cost, start, min(end, until))

    def count(self, one: Bought) -> None:
        """A customer who may bear a share; all are to be counted, once each, before the first is asked for."""
        segment = bisect_right(self._edges, one.first)
        if one.channel in self._channels:
            self._won[one.channel][segment] += 1
        self._won[""][segment] += 1
        self._active.update(one.months)

    def settle(self) -> None:
        """Work out the shares, now that everybody is counted."""
        alike: defaultdict[tuple[str, str, int, int], Fraction] = defaultdict(Fraction)
        for cost in self._winning:
            channel = "" if cost.channel == self._all else cost.channel
            first = bisect_right(self._edges, cost.start)
            last = bisect_right(self._edges, min(cost.end, self._t + 1) - 1)
            alike[channel, cost.currency, first, last] += overlap(cost, cost.start, self._t)
        won = {channel: Steps(segments) for channel, segments in self._won.items()}
        turns: defaultdict[tuple[str, str], defaultdict[int, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
        for (channel, currency, first, last), minor in alike.items():
            theirs = won.get(channel)
            count = theirs.at(last) - theirs.at(first - 1) if theirs is not None else 0
            if count:
                turns[channel, currency][first] += minor / count
                turns[channel, currency][last + 1] -= minor / count
        self._prices = {place: Steps(steps) for place, steps in turns.items()}

    def of(self, one: Bought) -> Fraction:
        """What a customer bears in the currency of what they bought, minor units."""
        segment = bisect_right(self._edges, one.first)
        prices = (self._prices.get((channel, one.currency)) for channel in ("", one.channel))
        share = sum((price.at(segment) for price in prices if price is not None), Fraction(0))
        for month in one.months:
            cost = self._keeping.get((month, one.currency))
            if cost is not None:
                share += cost / self._active[month]
        return share
