"""Which KPIs a merge or split would change, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from commands.offline import counted
from lifestage.money import DIGITS

if TYPE_CHECKING:
    from lifestage.preview_kpis import Amount, Changed, Kpis

DECIMALS = {"ratio": 4, "number": 2, "nps": 1, "ces": 2, "seconds": 1, "distribution": 4}
"""Of values by unit; money has those of its currency."""


def kpi_lines(found: Kpis) -> Iterator[str]:
    """Each KPI by its name, before and after: the value, and of what it is divided. Of a cohort the last month is told."""
    yield f"kpis of theirs over the {counted(found.window_days, 'day')} up to {found.until}, before -> after"
    table = [
        (_name(of, months), f"{_amount(of, of.before)} -> {_amount(of, of.after)}") for of, months in _told(found.changed)
    ]  # fmt: skip
    width = max((len(name) for name, _ in table), default=0)
    yield from (f"  {name:<{width}}  {change}" for name, change in table)
    if not table:
        yield "  unchanged"
    if found.unknown:
        yield (
            f"  not told are {counted(len(found.unknown), 'KPI')}, such as {', '.join(found.unknown[:3])}: what they are made of is "
            "kept with kpis.live alone; --json names them"
        )


def _told(changed: tuple[Changed, ...]) -> Iterator[tuple[Changed, str]]:
    """What is told, and for which months of a cohort; not again by channel, campaign or mailbox what changes alike in all."""
    for _, together in groupby(changed, lambda one: one.kpi):
        some = list(together)
        own = [one for one in some if one.by is None]
        alike = [(one.before, one.after) for one in own]
        for _, months in groupby(own, lambda one: one.labels.get("cohort", id(one))):
            first, *others = months
            yield ([first, *others][-1], f"{first.labels['months']} to " if others else "")
        yield from ((one, "") for one in some if one.by is not None and (one.before, one.after) not in alike)


def _name(of: Changed, months: str) -> str:
    """As `lifestage kpis` writes it; a label by which it is told besides has its name before it."""
    labels = [f"{label} {value}" if label == of.by else value for label, value in of.labels.items()]
    if months:
        labels[-1] = months + labels[-1]
    return f"{of.kpi}{{{', '.join(labels)}}}" if labels else of.kpi


def _amount(of: Changed, amount: Amount) -> str:
    if amount.denominator is None:
        return _part(of, amount.value or 0, is_money=of.unit == "money")
    above = "?" if amount.numerator is None else _part(of, amount.numerator)
    if of.costs is not None:
        above = "costs" if of.costs == "numerator" else f"({above} - costs)"
    made = f"{above} ÷ {_part(of, amount.denominator)}"
    if of.costs is not None or amount.numerator is None:
        return made
    return f"{'none' if amount.value is None else _value(of, amount.value)} ({made})"


def _value(of: Changed, value: float) -> str:
    return f"{value:,.{_digits(of) if of.unit == 'money' else DECIMALS.get(of.unit, 0)}f}"


def _part(of: Changed, part: float, *, is_money: bool = False) -> str:
    """Counts are whole, all else is money, times or answers."""
    if isinstance(part, int) and not is_money:
        return f"{part:,}"
    return f"{part:,.{1 if of.unit == 'seconds' else _digits(of)}f}"


def _digits(of: Changed) -> int:
    return DIGITS.get(of.labels.get("currency", ""), 2)
