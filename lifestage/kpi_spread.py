"""Single values as counts by size: what medians of a window are made of where no value is kept.

The bounds are fixed for each spread, so that counts of any partitions may be added up. From the least bound to the greatest
each is at most a quarter above the one before it: so a value that is read anywhere between two neighbours is at most a
quarter off; half as much as it is where every second bound is shown. (Numbers of orders below ten are at most a hundredth
off.) Sum and count are exact, and so is the mean.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from lifestage.kpi_days import Entries, Name

_TENTHS = (10, 12, 15, 18, 22, 27, 33, 39, 47, 56, 68, 82)
"""The preferred numbers of the series E12."""
OVER = "+Inf"
"""The bound of what is above all others."""
BUCKET, SUM, COUNT = "_bucket", "_sum", "_count"
"""At the end of the name of a spread: how many values are at most the bound and above the one before, their sum, how many."""


def _ladder(least: int, greatest: int) -> tuple[int, ...]:
    """The bounds from a power of ten, 10 at least, up to another."""
    found = []
    while least < greatest:
        found += [tenth * least // 10 for tenth in _TENTHS]
        least *= 10
    return (*found, greatest)


_MONEY = _ladder(10, 10**9)
_FEW = tuple(bound for n in range(1, 10) for bound in (n - 0.01, n))
"""Whole numbers that are to be read as themselves."""
LADDERS: dict[str, tuple[float, ...]] = {
    "time_in_stage": _ladder(10**3, 10**12),
    "response_time": _ladder(10**3, 10**10),
    "resolution_time": _ladder(10**4, 10**10),
    "clv_1": _MONEY,
    "clv_orders": (*_FEW, *_ladder(10, 10**4)),
}
"""By the name of a spread its bounds: ms, minor units, orders."""
_COARSE = {"time_in_stage": 0, "response_time": 0, "resolution_time": 0, "clv_orders": 10}
"""Spreads of which from a value on every second bound is shown, so that there are not too many series."""
_LEAST = {"time_in_stage": 10**5, "clv_1": 10**2}
"""The least bound that is shown of those of which there are many, one for each stage or currency."""


def _written(bound: float) -> str:
    """A bound as text: a whole one without a fraction, also where the compiled core holds it as a float (1, not 1.0)."""
    return str(int(bound)) if bound == int(bound) else str(bound)


_WRITTEN: Final = {name: (*map(_written, bounds), OVER) for name, bounds in LADDERS.items()}
_HUNDREDTHS: Final = {name: [round(100 * bound) for bound in bounds] for name, bounds in LADDERS.items()}
"""The bounds in hundredths, whole numbers: of these the compiled core finds the one at hand in a third of what `bisect_left` takes."""


def bound_of(name: str, value: int) -> str:
    """The least bound of a spread that a value does not exceed, in whole numbers as text."""
    bounds, wanted = _HUNDREDTHS[name], 100 * value
    low, high = 0, len(bounds)
    while low < high:
        middle = (low + high) >> 1
        if bounds[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return _WRITTEN[name][low]


def bounds_of(name: str) -> tuple[str, ...]:
    """All bounds of a spread in rising order; the last is that of what is above all others."""
    return _WRITTEN[name]


def is_shown(name: str, bound: float | None) -> bool:
    """Whether a spread is shown up to a bound; None is that of what is above all others."""
    if bound is None:
        return True
    if bound < _LEAST.get(name, 0):
        return False
    coarse = _COARSE.get(name)
    if coarse is None or bound < coarse:
        return True
    ladder = LADDERS[name]
    return bound == ladder[-1] or bisect_left(ladder, bound) % 2 == 0


def spread(name: str, labels: Name, value: int, day: int, amount: int = 1) -> Entries:
    """The entries of a single value on a day; with an amount of -1 those that take it back. A name may be a level's."""
    bound = bound_of(name.removeprefix("~"), value)
    return [
        ((name + BUCKET, *labels, bound), day, amount),
        ((name + SUM, *labels), day, amount * value),
        ((name + COUNT, *labels), day, amount),
    ]
