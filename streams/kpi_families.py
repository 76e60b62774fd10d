"""The parts of KPIs as metrics: sums over the partitions of a worker, with bounded labels, at the moment Prometheus asks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from lifestage.kpi_contribute import Sums
from lifestage.kpi_gather import OTHER, Cost
from lifestage.kpi_labels import VALUES_MAX, bounded, divided
from lifestage.kpi_live_company import spent_of
from lifestage.kpi_live_path import cohorts
from lifestage.kpi_parts import COST, COST_LABELS, MONEY, PARTS, Part
from lifestage.kpi_spread import BUCKET, COUNT, LADDERS, OVER, SUM, bounds_of
from lifestage.money import DIGITS

CURRENCIES_MAX: Final = 4
"""Currencies that are told apart by a worker: those with the most orders. Others are left out, as they cannot be added up."""
_MS: Final = frozenset({"time_in_stage", "response_time", "resolution_time"})
"""Spreads of milliseconds; they are exposed in seconds."""
_OF_MONEY: Final = frozenset({"orders", "clv_orders" + COUNT, *MONEY})
"""Sums by currency."""
Samples = list[tuple[tuple[str, ...], float]]


class PartitionSums(NamedTuple):
    """The KPI sums of one partition as of the end of a day."""

    day: int
    window: int
    sums: Sums


class Shown(NamedTuple):
    """What a worker shows: sums with bounded labels, and costs in minor units by category, currency and channel."""

    sums: Sums
    costs: Mapping[tuple[str, str, str], Fraction]


def shown(partitions: Iterable[PartitionSums]) -> Shown:
    """All partitions together."""
    sums: Sums = Counter()
    costs: defaultdict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
    for one in partitions:
        for key, minor in spent_of(one.sums, one.day, one.window).items():
            costs[key] += minor
        for found in (one.sums, cohorts(one.sums, one.day)):
            for name, n in found.items():
                sums[name] += n
    currencies = _currencies(sums, costs)
    sums = Counter({name: n for name, n in sums.items() if _is_shown(name, currencies)})
    places = [key for key in costs if key[1] in currencies]
    named, moved = bounded(*divided(sums), [Cost(key[0], key[2], key[1], 0, 0, 0) for key in places])
    return Shown(named, _bounded_costs(costs, zip(places, moved, strict=True)))


def _currencies(sums: Mapping[tuple[str, ...], int], costs: Iterable[tuple[str, str, str]]) -> set[str]:
    """Those of the most orders and customers; with room left those of costs."""
    weight: Counter[str] = Counter()
    for name, n in sums.items():
        if name[0] in _OF_MONEY:  # an order that was cancelled has gross revenue, and stands no more
            weight[name[1]] += n if name[0] in ("orders", "clv_orders" + COUNT) else 0
    for _, currency, _ in costs:
        weight[currency] += 0
    return {code for _, code in sorted((-n, code) for code, n in weight.items() if code in DIGITS)[:CURRENCIES_MAX]}


def _is_shown(name: tuple[str, ...], currencies: set[str]) -> bool:
    of = name[0].removesuffix(BUCKET).removesuffix(SUM).removesuffix(COUNT)
    part = PARTS.get(name[0]) or PARTS.get(of)
    if part is None:
        return False
    return "currency" not in part.labels or name[1 + part.labels.index("currency")] in currencies


def _bounded_costs(
    costs: Mapping[tuple[str, str, str], Fraction], moved: Iterable[tuple[tuple[str, str, str], Cost]]
) -> dict[tuple[str, str, str], Fraction]:
    """Costs of channels as those of their customers are called; of channels that brought nobody the dearest."""
    found: defaultdict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
    for key, to in moved:
        found[to.category, to.currency, to.channel] += costs[key]
    dear: Counter[str] = Counter()
    for (_, _, channel), minor in found.items():
        dear[channel] += round(minor)
    kept = {channel for channel, _ in sorted(dear.items(), key=lambda one: (-one[1], one[0]))[: 2 * VALUES_MAX]}
    bounded_costs: defaultdict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
    for (category, currency, channel), minor in found.items():
        bounded_costs[category, currency, channel if channel in kept else OTHER] += minor
    return bounded_costs


def families(given: Shown) -> Iterator[Family]:
    """Each part as a gauge; a sum without labels is there also where it is 0."""
    by_name: defaultdict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
    for name, n in given.sums.items():
        by_name[name[0]].append((name[1:], n))
    for part in PARTS.values():
        if part.is_spread:
            yield from _spread(part, by_name)
            continue
        samples = by_name.get(part.of, [])
        if not part.labels and not samples:
            samples = [((), 0)]
        yield _family(part.metric, part, (), [(labels, _value(part, labels, n)) for labels, n in samples])
    costs = [(key, _major(minor, key[1])) for key, minor in given.costs.items()]
    yield _gauge(COST, "What was spent in the window.", COST_LABELS, costs)


def _spread(part: Part, by_name: Mapping[str, list[tuple[tuple[str, ...], int]]]) -> Iterator[Family]:
    counted: defaultdict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for labels, n in by_name.get(part.of + BUCKET, []):
        counted[labels[:-1]][labels[-1]] = n
    samples: Samples = []
    for labels, counts in counted.items():
        total = 0
        for bound, text in zip((*LADDERS[part.of], None), bounds_of(part.of), strict=True):
            total += counts.get(text, 0)
            le = OVER if bound is None else f"{_value(part, labels, bound):.12g}"
            samples.append(((*labels, le), total))
    yield _family(part.metric + BUCKET, part, ("le",), samples)
    sums = [(labels, _value(part, labels, n)) for labels, n in by_name.get(part.of + SUM, [])]
    yield _family(part.metric + SUM, part, (), sums)
    yield _family(part.metric + COUNT, part, (), [(labels, n) for labels, n in by_name.get(part.of + COUNT, [])])


def _value(part: Part, labels: Sequence[str], n: float) -> float:
    if part.of in MONEY:
        return _major(Fraction(n), labels[part.labels.index("currency")])
    return n / 1000 if part.of in _MS else n


def _major(minor: Fraction, currency: str) -> float:
    if minor.denominator == 1:
        return float(Decimal(minor.numerator).scaleb(-DIGITS[currency]))
    return float(minor / 10 ** DIGITS[currency])


def _family(metric: str, part: Part, more: tuple[str, ...], samples: Samples) -> Family:
    return _gauge(metric, f"Part of live KPIs: {part.of}.", (*part.labels, *more), samples)


def _gauge(metric: str, words: str, labels: Sequence[str], samples: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    family = GaugeMetricFamily(metric, words, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
