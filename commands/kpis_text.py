"""How `lifestage kpis` tells what it found: as one JSON object, and as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lifestage.kpi_formulas import Row
    from lifestage.kpi_gather import Span
    from lifestage.kpis import Definition
    from lifestage.language import Sheet
    from streams.offline_kpi_values import Values


def document(found: Values) -> str:
    """KPI name → value, or object by label, in the order of the labels."""
    from msgspec import json

    told: dict[str, Any] = {}
    for name, rows in found.rows.items():
        for row in rows:
            if not row.labels:
                told[name] = row.value
                continue
            place = told.setdefault(name, {})
            for label in row.labels[:-1]:
                place = place.setdefault(label, {})
            place[row.labels[-1]] = row.value
    return json.format(json.encode(told), indent=2).decode()


def lines(found: Values, sheet: Sheet, span: Span) -> Iterator[str]:
    """A table with unit, number of things spoken of, stage and target; then what has no value, and who is worth most."""
    from lifestage.kpis import DEFINITIONS
    from lifestage.moments import iso
    from lifestage.money import DIGITS, major
    from lifestage.plan import duration

    plan = sheet.plan
    yield f"as of {iso(span.end)}, over {duration(span.end - span.begin)}, plan {plan.id} version {plan.version}"
    stages = {label.name: (written.stage.name, label.target) for written in sheet.stages for label in written.kpis}
    ladder = sorted(plan.stages, key=lambda stage: (stage.rank is None, stage.rank))
    places = {stage.name: at for at, stage in enumerate(ladder)}
    table = [("kpi", "value", "unit", "n", "stage", "target")]
    for one in DEFINITIONS:
        rows = found.rows.get(one.name, [])
        for row in sorted(rows, key=lambda row: places[row.labels[0]]) if one.labels[:1] == ("stage",) else rows:
            stage, target = stages.get(one.name, (one.stage, None))
            table.append(_cells(one, row, stage, target))
    widths = [max(len(line[at]) for line in table) for at in range(len(table[0]))]
    for name, value, unit, n, stage, aim in table:
        yield (
            f"{name:<{widths[0]}}  {value:>{widths[1]}}  {unit:<{widths[2]}}  {n:>{widths[3]}}  "
            f"{stage:<{widths[4]}}  {aim}"
        ).rstrip()
    absent = [one.name for one in DEFINITIONS if one.name not in found.rows]
    if absent:
        yield f"no value, as nothing to divide by or to count: {', '.join(absent)}"
    for top in found.top:
        yield f"worth most  {top.key}  {major(top.net_minor, DIGITS.get(top.currency, 2))} {top.currency}"


def _cells(one: Definition, row: Row, stage: str, target: float | None) -> tuple[str, str, str, str, str, str]:
    from lifestage.kpi_formulas import Count
    from lifestage.money import DIGITS

    is_money, is_count = one.unit == "money", isinstance(one.formula, Count)
    unit = row.labels[0] if is_money else "s" if one.unit == "seconds" else ""
    digits = {"ratio": 4, "number": 2, "nps": 1, "ces": 2, "seconds": 1, "distribution": 4}.get(one.unit, 0)
    digits = DIGITS.get(unit, 2) if is_money else 0 if is_count else digits
    name = f"{one.name}{{{', '.join(row.labels)}}}" if row.labels else one.name
    is_of_money = one.unit == "ratio" and one.labels == ("currency",)
    n = "" if is_count or is_of_money else f"{row.n:,}"
    return name, f"{row.value:,.{digits}f}", unit, n, stage, "" if target is None else f"{target:g}"
