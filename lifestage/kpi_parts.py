"""The parts of KPIs that workers expose for their partitions: what rules add up over the workers and divide.

Each sum of the definitions is a metric `lifestage_kpi_part_…` of its own, and each spread of single values three: how many
values are at most so much, their sum, and their count.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lifestage.kpi_contribute import BY_CHANNEL
from lifestage.kpi_formulas import Count, Formula, PerCost, Ratio, Spread
from lifestage.kpis import DEFINITIONS

PREFIX = "lifestage_kpi_part_"
MONEY = frozenset({
    "gross_revenue", "net_revenue", "net_revenue" + BY_CHANNEL, "net_sold", "net_refunded", "clv_known_net", "clv_goods", "clv_1",
})  # fmt: skip
"""The sums and spreads that are amounts of minor units; they are exposed in major ones."""
COST = "lifestage_kpi_part_cost"
COST_LABELS = ("category", "currency", "channel")
"""What was spent in the window, in major units: the part whose numbers are no sum of persons."""


_OF_PURCHASES = frozenset({"clv_1", "clv_2", "clv_3"})
LIVE = tuple(definition for definition in DEFINITIONS if definition.name != "clv_4")
"""The KPIs that workers count. What customers bear of costs takes the first orders of all of them, so it is told of files only."""
COHORT_SIZE = "cohort_size"
"""Of how many persons a cohort is, the same in each of its months: exposed once."""
KNOWN_NET, GOODS, PURCHASES, ORDERS = "clv_known_net", "clv_goods", "clv_1", "clv_orders"
"""What lifetime values are made of: of the standing orders of whose goods a cost is known their net and that cost; by
customer what their standing orders brought, and how many they are. Of these CLV 1, 2 and 3 are made."""


class Part(NamedTuple):
    """One sum or spread as a metric: its name on the wire and the names of its labels, without `le`."""

    metric: str
    of: str
    """Its name in `Sums` or `Spreads`."""
    labels: tuple[str, ...]
    is_spread: bool = False


def metric_of(of: str) -> str:
    """The metric of a sum or spread: `leads/channel` is `lifestage_kpi_part_leads_by_channel`."""
    name, _, by = of.partition("/")
    return f"{PREFIX}{name}_by_{by}" if by else PREFIX + name


def parts() -> dict[str, Part]:
    """Every sum and spread of which live KPIs are made, by its name there."""
    found: dict[str, Part] = {}
    for definition in LIVE:
        for by, formula in ((None, definition.formula), *definition.by):
            for part in _of(formula, definition.labels if by == "channel" else definition.labels_by(by)):
                if part.of not in _OF_PURCHASES:
                    assert found.setdefault(part.of, part) == part, f"{part.of} has labels of two kinds"
                elif part.of == PURCHASES:
                    found |= {each: _purchases(each) for each in (PURCHASES, ORDERS, KNOWN_NET, GOODS)}
    return found


def _of(formula: Formula, labels: tuple[str, ...]) -> Iterator[Part]:
    match formula:
        case Spread(of):
            yield Part(metric_of(of), of, tuple(label for label in labels if label != "statistic"), is_spread=True)
        case Count(of):
            yield _sum(of, labels)
        case PerCost(_, bottom):
            yield _sum(bottom, ())
        case Ratio(top, bottom, minus):
            for of in dict.fromkeys((top, bottom, minus)):
                if of:
                    yield _sum(of, labels)


def _purchases(of: str) -> Part:
    return Part(metric_of(of), of, ("currency",), is_spread=of in {PURCHASES, ORDERS})


def _sum(of: str, labels: tuple[str, ...]) -> Part:
    if of == COHORT_SIZE:
        labels = ("cohort",)
    return Part(metric_of(of), of, (*labels, "channel") if of.endswith(BY_CHANNEL) else labels)


PARTS = parts()
"""By the name of the sum or spread, in the order of the definitions."""
