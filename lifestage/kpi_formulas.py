"""From sums to values: the formulas of KPIs, and the only place where anything is divided and rounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from typing import NamedTuple

from lifestage.kpi_contribute import BY_CHANNEL, Sums
from lifestage.kpi_costs import spent
from lifestage.kpi_gather import Cost, Span
from lifestage.kpi_names import Unit
from lifestage.money import DIGITS

Labels = tuple[str, ...]


class Row(NamedTuple):
    """One value of a KPI by its labels, and of how many things it speaks."""

    labels: Labels
    value: float
    n: int


class Summary(NamedTuple):
    """Mean, median and 90th percentile of so many whole numbers."""

    n: int
    mean: Fraction
    median: Fraction
    p90: Fraction


class Found(NamedTuple):
    """All that formulas read."""

    sums: Sums
    costs: Sequence[Cost]
    spreads: Mapping[tuple[str, str], Summary]
    """By name and label value."""
    span: Span


class Count(NamedTuple):
    """A sum as it is."""

    of: str

    def rows(self, found: Found, unit: Unit) -> list[Row]:
        """One for each label value; none where nothing was counted."""
        return [Row(labels, as_shown(Fraction(n), unit, labels), n) for labels, n in _sums(found, self.of).items()]


class Ratio(NamedTuple):
    """(top − minus) × scale ÷ bottom, for the same labels."""

    top: str
    bottom: str
    minus: str = ""
    scale: Fraction = Fraction(1)
    as_far_as_top: bool = False
    """Whether there is no value where nothing was ever counted on top."""

    def rows(self, found: Found, unit: Unit) -> list[Row]:
        """One for each label value with a bottom."""
        top, minus, bottom = _sums(found, self.top), _sums(found, self.minus), _sums(found, self.bottom)
        return [
            Row(labels, as_shown((top.get(labels, 0) - minus.get(labels, 0)) * self.scale / n, unit, labels), n)
            for labels, n in bottom.items() if n > 0 and (not self.as_far_as_top or labels in top)
        ]  # fmt: skip


class PerCost(NamedTuple):
    """What was spent in the window for some categories ÷ a sum; by currency, or by currency and channel."""

    categories: frozenset[str]
    bottom: str

    def rows(self, found: Found, unit: Unit) -> list[Row]:
        """One for each currency in which anything was spent."""
        by_channel = self.bottom.endswith(BY_CHANNEL)
        totals: dict[Labels, Fraction] = {}
        for (currency, channel), minor in spent(found.costs, self.categories, found.span).items():
            labels = (currency, channel) if by_channel else (currency,)
            totals[labels] = totals.get(labels, Fraction(0)) + minor
        bottom = _sums(found, self.bottom)
        counts = {labels: bottom.get(labels[1:], 0) for labels in totals}
        return [Row(labels, as_shown(minor / counts[labels], unit, labels), counts[labels])
                for labels, minor in sorted(totals.items()) if counts[labels] > 0]  # fmt: skip


class Spread(NamedTuple):
    """Mean, median and 90th percentile of single values."""

    of: str

    def rows(self, found: Found, unit: Unit) -> list[Row]:
        """Three for each label value."""
        rows = []
        for (name, label), summary in sorted(found.spreads.items()):
            if name == self.of:
                for what in ("mean", "median", "p90"):
                    labels = (*((label,) if label else ()), what)
                    rows.append(Row(labels, as_shown(getattr(summary, what), unit, labels), summary.n))
        return rows


Formula = Count | Ratio | PerCost | Spread


def _sums(found: Found, name: str) -> dict[Labels, int]:
    return {key[1:]: n for key, n in sorted(found.sums.items()) if key[0] == name}


def as_shown(exact: Fraction, unit: Unit, labels: Labels) -> float:
    """A value as it is shown: money in major units, rounded half to even to the minor unit; ms as seconds."""
    if unit == "money":
        return round(exact) / 10.0 ** DIGITS.get(labels[0], 2)
    if unit == "seconds":
        exact /= 1000
    return int(exact) if unit in ("count", "distribution") and exact.denominator == 1 else float(exact)


def summary(values: Iterable[int], n: int) -> Summary:
    """The summary of `n` numbers in rising order, which are gone through once. The median of an even number of them is the
    mean of the two in the middle, the 90th percentile the least that 90 in 100 do not exceed."""
    low, high, top = (n - 1) // 2, n // 2, -(-9 * n // 10) - 1
    total, middle, p90 = 0, 0, 0
    for at, value in enumerate(islice(values, n)):
        total += value
        if at == low:
            middle += value
        if at == high:
            middle += value
        if at == top:
            p90 = value
    return Summary(n, Fraction(total, n), Fraction(middle, 2), Fraction(p90))
