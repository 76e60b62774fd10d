"""The recording rules of Prometheus that make KPIs of the parts that workers expose: one for each value of the definitions.

`lifestage_kpi_<name>` is the KPI of that name, `…_by_channel` the same by channel, and so on: numerators and denominators are added up
over the workers of a job first, and divided then. `lifestage_kpi_off_target` says whether a KPI misses its target.

There is no value rather than one of a part: `lifestage_kpi_whole` is there while each partition is counted by exactly one
worker, `lifestage_kpi_whole_<label>` for each label value that no worker hides anything of. All rules are bound to these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

from lifestage.kpi_contribute import BY_CHANNEL
from lifestage.kpi_formulas import Count, Formula, PerCost, Ratio, Spread
from lifestage.kpi_gather import OTHER
from lifestage.kpi_labels import CURRENCY, KINDS, Kind
from lifestage.kpi_names import BOUNDS
from lifestage.kpi_parts import (
    COHORT_SIZE,
    COST,
    COST_LABELS,
    GOODS,
    KNOWN_NET,
    LIVE,
    ORDERS,
    PARTS,
    PURCHASES,
    metric_of,
)
from lifestage.kpis import UP, Definition

WHOLE = "lifestage_kpi_whole"
COUNTED, EXPECTED = "lifestage_kpi_counted", "lifestage_kpi_partitions_expected"
HIDDEN, TOLD = "lifestage_kpi_hidden_values", "lifestage_kpi_told"
TARGET, OFF_TARGET = "lifestage_kpi_target", "lifestage_kpi_off_target"
_FREE = tuple(kind for kind in KINDS.values() if not kind.by)
"""Labels whose values events name freely, but for channels: those of messages are few."""
QUANTILES = {"median": "0.5", "p90": "0.9"}
_HEAD = """# The KPIs, made of the parts that workers expose. Printed by `lifestage kpis --rules` from the definitions in
# lifestage/kpis.py: change them there. What each KPI is: docs/kpis.md, by its name.
"""


class Rule(NamedTuple):
    """One recording rule: its name, its expression in lines, and what labels it adds; in PromQL."""

    record: str
    lines: tuple[str, ...]
    labels: tuple[tuple[str, str], ...] = ()


def record_of(definition: Definition, by: str | None = None) -> str:
    """The name under which a KPI is recorded, by its own labels or by another."""
    return f"lifestage_kpi_{definition.name}" + (f"_by_{by}" if by else "")


def rules() -> Iterator[Rule]:
    """What all others are bound to, and those of all KPIs that are counted live, in the order of the definitions."""
    yield Rule(
        WHOLE,
        (
            f"group by (job) (count by (job) (sum by (job, partition) ({COUNTED}) == 1)",
            f"== max by (job) ({EXPECTED}))",
        ),
    )
    for kind in (CURRENCY, *KINDS.values()):
        yield Rule(whole_of(kind), tuple(_whole(kind)))
    for definition in LIVE:
        yield from _bound(definition.formula, record_of(definition), definition.labels, CURRENCY, *_FREE)
        for by, formula in definition.by:
            kinds = [kind for kind in KINDS.values() if kind.label == by]
            yield from _bound(formula, record_of(definition, by), definition.labels_by(by), CURRENCY, *kinds)


def whole_of(kind: Kind) -> str:
    """The name of what is there for each value of a label that is whole."""
    return f"{WHOLE}_{kind.label}"


def _whole(kind: Kind) -> Iterator[str]:
    """The values that all workers tell apart which hide any; all values where none does."""
    metrics = [COST] if kind.label in COST_LABELS else []
    metrics += [
        part.metric + "_count" if part.is_spread else part.metric
        for part in PARTS.values()
        if set(kind.labels) <= set(part.labels) and part.of.endswith(kind.by)
    ]
    hidden, told = (f'{name}{{label="{kind.label}"}}' for name in (HIDDEN, TOLD))
    yield f"(group {_by(kind.labels)} ({' or '.join(metrics)})"
    yield f"unless on (job) {hidden} > 0"
    yield f"or count {_by(kind.labels)} ({told})"
    yield f"== on (job) group_left () count by (job) ({hidden} > 0))"
    yield _guard(())


def _guard(kinds: Iterable[Kind]) -> str:
    """What binds a rule: to the values of these labels that are whole, which are none where not all partitions are counted."""
    bound = [f"and on ({', '.join(('job', *kind.labels))}) {whole_of(kind)}" for kind in kinds]
    return " ".join(bound or [f"and on (job) {WHOLE}"])


def _bound(formula: Formula, record: str, labels: tuple[str, ...], *free: Kind) -> Iterator[Rule]:
    kinds = [kind for kind in free if set(kind.labels) <= set(labels)]
    if isinstance(formula, Count) and kinds and CURRENCY not in kinds:
        yield from _named(metric_of(formula.of), record, kinds[0])
        return
    for rule in _of(formula, record, labels):
        yield rule._replace(lines=(*rule.lines, _guard(kinds)))


def _named(metric: str, record: str, kind: Kind) -> Iterator[Rule]:
    """A count by the values that are whole, and of all others together what is left."""
    named = " or ".join(f'{metric}{{{label}!="{OTHER}"}}' for label in kind.labels)
    guard = _guard([kind])
    yield Rule(record, (f"sum {_by(kind.labels)} ({named})", guard))
    rest = (
        f"({_sum(metric, ())}",
        f"- (sum by (job) (({named}) {guard}) or 0 * {_sum(metric, ())}) > 0)",
        _guard(()),
    )
    yield Rule(record, rest, tuple((label, OTHER) for label in kind.labels))


def targets() -> Iterator[Rule]:
    """1 for each value of a KPI that is worse than the plan's target, 0 for the others; nothing where there is no target.

    Of money the mean is held against it, of times the median.
    """
    for one in LIVE:
        if one.better and one.unit in BOUNDS:
            of = record_of(one)
            if isinstance(one.formula, Spread):
                of += f'{{statistic="{"mean" if one.unit == "money" else "median"}"}}'
            worse = "<" if one.better == UP else ">"
            lines = (of, f'{worse} bool on (job) group_left () max by (job) ({TARGET}{{kpi="{one.name}"}})')
            yield Rule(OFF_TARGET, lines, (("kpi", one.name),))


def text() -> str:
    """The rules as a file for Prometheus."""
    groups = (("lifestage-kpis", rules()), ("lifestage-kpi-targets", targets()))
    return _HEAD + "groups:\n" + "\n".join(f"  - name: {name}\n    rules:\n{_written(made)}" for name, made in groups)


def _written(made: Iterator[Rule]) -> str:
    found = []
    for rule in made:
        lines = [f"      - record: {rule.record}", "        expr: >-", *(f"          {line}" for line in rule.lines)]
        if rule.labels:
            lines.append(f"        labels: {{{', '.join(f'{name}: {value}' for name, value in rule.labels)}}}")
        found.append("\n".join(lines) + "\n")
    return "".join(found)


def _of(formula: Formula, record: str, labels: tuple[str, ...]) -> Iterator[Rule]:
    match formula:
        case Count(of):
            yield Rule(record, (_sum(metric_of(of), labels),))
        case Ratio():
            yield Rule(record, tuple(_ratio(formula, labels)))
        case PerCost():
            yield Rule(record, tuple(_per_cost(formula, labels)))
        case Spread(of):
            told = tuple(label for label in labels if label != "statistic")
            yield from _spread(metric_of(_SIZES.get(of, of)), record, told, _WORTH.get(of))


def _by(labels: tuple[str, ...]) -> str:
    return f"by ({', '.join(('job', *labels))})"


def _sum(metric: str, labels: tuple[str, ...]) -> str:
    return f"sum {_by(labels)} ({metric})"


def _ratio(formula: Ratio, labels: tuple[str, ...]) -> Iterator[str]:
    """A sum that nobody has counted anything for is 0 where there is a denominator, and so is not left out."""
    top, bottom = (_sum(metric_of(of), labels) for of in (formula.top, formula.bottom))
    if formula.bottom == COHORT_SIZE:
        yield top
        yield f"/ on (job, cohort) group_left () ({_sum(metric_of(COHORT_SIZE), ('cohort',))} > 0)"
        return
    may_lack = formula.top != formula.bottom and not formula.as_far_as_top
    top = f"({top} or 0 * {bottom})" if may_lack else top
    if formula.minus:
        yield f"({top}"
        yield f"- ({_sum(metric_of(formula.minus), labels)} or 0 * {bottom}))"
    else:
        yield top
    if formula.scale != 1:
        yield f"* {_number(formula.scale)}"
    yield f"/ ({bottom} > 0)"


def _number(scale: Fraction) -> str:
    return str(scale) if scale.denominator == 1 else f"({scale.numerator} / {scale.denominator})"


def _per_cost(formula: PerCost, labels: tuple[str, ...]) -> Iterator[str]:
    """What was spent is told by currency; whom it brought is not."""
    shared = ("channel",) if formula.bottom.endswith(BY_CHANNEL) else ()
    spent = f'{COST}{{category=~"{"|".join(sorted(formula.categories))}"}}'
    yield _sum(spent, labels)
    yield f"/ on ({', '.join(('job', *shared))}) group_left () ({_sum(metric_of(formula.bottom), shared)} > 0)"


_KNOWN_NET, _GOODS = (_sum(metric_of(of), ("currency",)) for of in (KNOWN_NET, GOODS))
_NET, _COUNT = (_sum(f"{metric_of(of)}_sum", ("currency",)) for of in (PURCHASES, ORDERS))
_SIZES = {"clv_2": PURCHASES, "clv_3": ORDERS}
_WORTH = {"clv_2": f"({_KNOWN_NET} - {_GOODS}) / ({_KNOWN_NET} > 0)", "clv_3": f"{_NET} / ({_COUNT} > 0)"}
"""What lifetime values are made of, and by what these are to be multiplied: the margin, and the average order."""


def _spread(metric: str, record: str, labels: tuple[str, ...], times: str | None) -> Iterator[Rule]:
    counted = f"({_sum(f'{metric}_count', labels)} > 0)"
    more = (f"* ({times})",) if times is not None else ()
    yield Rule(record, (_sum(f"{metric}_sum", labels), f"/ {counted}", *more), (("statistic", "mean"),))
    for name, share in QUANTILES.items():
        buckets = _sum(f"{metric}_bucket", (*labels, "le"))
        lines = (f"histogram_quantile({share}, {buckets})", *more, f"and {counted}")
        yield Rule(record, lines, (("statistic", name),))
