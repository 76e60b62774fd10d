"""Which KPIs a merge or split would change: what the customers concerned add to each, before and after.

The sums are those that workers count (`lifestage.kpi_step`), as of the end of the clock's day, and the formulas those of the
definitions. Where nothing is kept for KPIs, what ledger and path say alone is told, and of which KPIs that is nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Literal, NamedTuple

import msgspec

from lifestage.kpi_contribute import Sums
from lifestage.kpi_days import Days
from lifestage.kpi_formulas import Count, Formula, Found, PerCost, Ratio, Spread, Summary, as_shown
from lifestage.kpi_gather import Span
from lifestage.kpi_live import Group, Now
from lifestage.kpi_live_orders import customers, orders_money
from lifestage.kpi_live_path import cohorts, is_past, path
from lifestage.kpi_live_worth import worth
from lifestage.kpi_names import Unit
from lifestage.kpi_parts import GOODS, KNOWN_NET, MONEY, PURCHASES
from lifestage.kpi_spread import COUNT, SUM
from lifestage.kpi_step import everything
from lifestage.kpis import DEFINITIONS, Definition
from lifestage.moments import DAY_MS, iso
from lifestage.profile import Profile

Labels = tuple[str, ...]
_OF_LEDGER: tuple[Group, ...] = (orders_money, customers, worth, path)
_BY_LEDGER = frozenset({
    "gross_revenue", "orders", "net_revenue", "net_sold", "net_refunded", "customers", "active", "active_before", "retained",
    "new_active", "new_customers", "reactivated", "buyers", "repeat_buyers", "repeat_buyers_by_orders", "returning_customers",
    "clv_1" + SUM, "clv_1" + COUNT, "clv_3" + SUM, "clv_3" + COUNT, "clv_4" + COUNT, "stage_counts", "funnel",
})  # fmt: skip
"""The sums that are right without what is kept for KPIs: all orders are in the ledger, but not all moves on the path, and by which
channel a person came is not known."""
_BEFORE_COSTS = "clv_4"
"""What has no value of some customers alone, as costs are borne by all."""
_IN_THOUSANDTHS = "ces_thousandths"


class Amount(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a KPI is of some customers alone, in its unit; None where that is not known, or nothing is to be divided by."""

    value: float | None
    numerator: float | None = None
    """Of a KPI that is divided; money in major units, times in seconds."""
    denominator: float | None = None


class Changed(msgspec.Struct, frozen=True):
    """One value of a KPI that would be another, or be made of others."""

    kpi: str
    title: str
    unit: Unit
    labels: dict[str, str]
    before: Amount
    after: Amount
    by: str | None = None
    """The label by which it is told besides, where that is not one of its own."""
    costs: Literal["numerator", "subtracted"] | None = None
    """Where costs are what is divided, or are taken off it: they are everybody's, and not told here."""


class Kpis(msgspec.Struct, frozen=True):
    """All KPIs that would change."""

    window_days: int
    until: str
    """The last day of the window."""
    changed: tuple[Changed, ...]
    """In the order of the definitions."""
    unknown: tuple[str, ...]
    """KPIs of which nothing can be said, as what they are made of is not kept."""


class _Made(NamedTuple):
    """Of which sums a value is made: (top − minus) ÷ bottom, where there are any."""

    top: str = ""
    minus: str = ""
    bottom: str = ""

    def names(self) -> set[str]:
        return {name for name in self if name}


def kpis_of(before: Mapping[str, Profile], after: Mapping[str, Profile], now: Now, *, noted: bool) -> Kpis:
    """What differs between customers by key, as of the end of a day. `noted`: all that KPIs need of them was kept."""
    was, is_now = _sums(before, now, noted), _sums(after, now, noted)
    changed: list[Changed] = []
    unknown: list[str] = []
    for definition in DEFINITIONS:
        if not noted and _BY_LEDGER.isdisjoint(_made(definition.formula).names()):
            unknown.append(definition.name)
            continue
        for by in (None, *(label for label, _ in definition.by)) if noted else (None,):
            changed += _changed(definition, by, was, is_now, noted)
    return Kpis(now.window, iso(now.day * DAY_MS)[:10], tuple(changed), tuple(unknown))


def _sums(profiles: Mapping[str, Profile], now: Now, noted: bool) -> Sums:
    """What some customers add up to as of the end of the day, with the sums of cohorts and lifetime values."""
    days = Days(now.window, now.day, is_past)
    for key, profile in profiles.items():
        if noted:
            days.add(everything(key, profile, now))
        else:
            days.add([entry for group in _OF_LEDGER for entry in group(key, profile, now)])
    found = days.totals()
    found.update(cohorts(found, now.day))
    found.update(_worths(found))
    return found


def _worths(sums: Sums) -> Sums:
    """CLV 2, 3 and 4 as spreads, too. Of all customers together CLV 3 is CLV 1; CLV 4 is told before the costs that they bear."""
    found: Sums = Counter()
    for (name, *labels), n in sums.items():
        if name != PURCHASES + COUNT:
            continue
        total, known, goods = (sums[of, *labels] for of in (PURCHASES + SUM, KNOWN_NET, GOODS))
        of = {"clv_3": total, _BEFORE_COSTS: total - goods}
        if known > 0:
            of["clv_2"] = round(total * Fraction(known - goods, known))
        for called, amount in of.items():
            found[called + SUM, *labels], found[called + COUNT, *labels] = amount, n
    return found


def _made(formula: Formula) -> _Made:
    match formula:
        case Count(of):
            return _Made(top=of)
        case Ratio(top, bottom, minus):
            return _Made(top, minus, bottom)
        case PerCost(_, bottom):
            return _Made(bottom=bottom)
        case Spread(of):
            return _Made(top=of + SUM, bottom=of + COUNT)


def _changed(definition: Definition, by: str | None, was: Sums, is_now: Sums, noted: bool) -> Iterator[Changed]:
    formula = definition.formula_by(by)
    assert formula is not None
    names = _made(formula).names()
    before, after = (_values(formula, definition.unit, sums) for sums in (was, is_now))
    for labels in sorted({key[1:] for key in was.keys() | is_now.keys() if key[0] in names}):
        one = _amount(formula, definition.unit, was, labels, before.get(labels), noted)
        other = _amount(formula, definition.unit, is_now, labels, after.get(labels), noted)
        if one != other:
            named = dict(zip(_named(definition, by), labels, strict=True))
            yield Changed(definition.name, definition.title, definition.unit, named, one, other, by, _costs(definition))


def _costs(definition: Definition) -> Literal["numerator", "subtracted"] | None:
    if isinstance(definition.formula, PerCost):
        return "numerator"
    return "subtracted" if definition.name == _BEFORE_COSTS else None


def _named(definition: Definition, by: str | None) -> Labels:
    """What values are told by here: without statistics, and without the currencies of costs, which are not told."""
    left_out = "currency" if isinstance(definition.formula, PerCost) else "statistic"
    return tuple(label for label in definition.labels_by(by) if label != left_out)


def _values(formula: Formula, unit: Unit, sums: Sums) -> dict[Labels, float]:
    """The values by the definitions' own formulas; of spreads the mean."""
    if not isinstance(formula, Spread):
        return {row.labels: row.value for row in formula.rows(Found(sums, [], {}, Span(0, 0)), unit)}
    spreads = {
        (formula.of, "".join(labels)): Summary(n, Fraction(sums[formula.of + SUM, *labels], n), Fraction(0), Fraction(0))
        for (name, *labels), n in sums.items() if name == formula.of + COUNT and n > 0
    }  # fmt: skip
    rows = formula.rows(Found(sums, [], spreads, Span(0, 0)), unit)
    return {row.labels[:-1]: row.value for row in rows if row.labels[-1] == "mean"}


def _amount(formula: Formula, unit: Unit, sums: Sums, labels: Labels, value: float | None, noted: bool) -> Amount:
    made = _made(formula)
    if isinstance(formula, Count):
        return Amount(value or 0)
    unknown = set() if noted else made.names() - _BY_LEDGER
    is_whole = not unknown and not made.top.startswith(_BEFORE_COSTS)
    above = sums[made.top, *labels] - sums[made.minus, *labels]
    return Amount(
        value if is_whole else None,
        _shown(made.top, above, unit, labels) if made.top and not unknown & {made.top, made.minus} else None,
        _shown(made.bottom, sums[made.bottom, *labels], unit, labels) if made.bottom not in unknown else None,
    )


def _shown(name: str, n: int, unit: Unit, labels: Labels) -> float:
    """A sum in the unit in which people tell it."""
    if name == _IN_THOUSANDTHS:
        return n / 1000
    if name in MONEY or (name.startswith("clv_") and name.endswith(SUM)):
        return as_shown(Fraction(n), "money", labels)
    return as_shown(Fraction(n), "seconds" if unit == "seconds" and name.endswith(SUM) else "count", labels)
