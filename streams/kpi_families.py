"""The parts of KPIs as metrics: sums over the partitions of a worker, with bounded labels, at the moment Prometheus asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from lifestage.kpi_contribute import BY_CHANNEL, Sums
from lifestage.kpi_costs import ACQUISITION
from lifestage.kpi_days import Name
from lifestage.kpi_gather import OTHER
from lifestage.kpi_labels import CURRENCY, KINDS, Kind, in_other, place_of
from lifestage.kpi_live_company import spent_about
from lifestage.kpi_live_path import cohorts
from lifestage.kpi_months import month_of, name_of
from lifestage.kpi_parts import COST, COST_LABELS, MONEY, PARTS, Part
from lifestage.kpi_spread import BUCKET, COUNT, LADDERS, OVER, SUM, bounds_of
from lifestage.moments import DAY_MS, MAX_MS
from lifestage.money import DIGITS
from streams.kpi_values import LIMITS, Limits, Told, chosen, currencies
from streams.stage_limits import SHOWN, TIME_IN_STAGE, Path, bounds_told

TOLD_LABELS: Final = ("label", "currency", "channel", "source", "medium", "kind", "campaign")
"""Of what says which values are told apart: the label, and its value or values under their own names."""
TRANSITIONS: Final = "transitions"
COHORTS_MAX: Final = 12
"""Cohorts that are shown: those of the last months."""
_MS: Final = frozenset({"time_in_stage", "response_time", "resolution_time"})
"""Spreads of milliseconds; they are exposed in seconds."""
_OF_MONEY: Final = frozenset({"orders", "clv_orders" + COUNT, *MONEY})
"""Sums by currency."""
_CURRENCY_AT: Final = {
    part.of + more: 1 + part.labels.index("currency") if "currency" in part.labels else 0
    for part in PARTS.values() for more in ((BUCKET, SUM, COUNT) if part.is_spread else ("",))
}  # fmt: skip
"""By the names of the sums that are shown: which of the name is its currency, 0 of those without."""
Samples = list[tuple[tuple[str, ...], float]]


class PartitionSums(NamedTuple):
    """The KPI sums of one partition as of the end of a day, and the label values that are told apart there."""

    day: int
    window: int
    sums: Sums
    places: Collection[Name] = ()


class Shown(NamedTuple):
    """What a worker shows: sums with bounded labels, costs in minor units by category, currency and channel, and which values
    of each label it tells apart."""

    sums: Sums
    costs: Mapping[tuple[str, str, str], Fraction]
    told: Mapping[str, Told]
    every: int = 1
    """Of the bounds of `time_in_stage` (`stage_limits.Path`)."""


class Summed(NamedTuple):
    """All sums and costs of a worker, whatever their labels, and what each partition tells apart."""

    sums: Sums
    costs: Mapping[tuple[str, str, str], Fraction]
    places: Sequence[Collection[Name]]
    every: int = 1


ALL_OF_IT: Final = Path()


def summed(partitions: Iterable[PartitionSums], path: Path = ALL_OF_IT) -> Summed:
    """All partitions together; of transitions those that a plan's path tells apart."""
    given = [*partitions]
    sums: Sums = Counter()
    costs: defaultdict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
    for one in _by_day(given):
        for key, minor in spent_about(one.sums, one.day, one.window).items():
            if key[0] in ACQUISITION:  # no rule asks for others
                costs[key] += minor
        for found in (one.sums, _cohorts(one)):
            _add(sums, found)
    if path.transitions is not None:
        _fold_transitions(sums, path.transitions)
    return Summed(sums, costs, [one.places for one in given], path.every)


def _fold_transitions(sums: Sums, told: Collection[tuple[str, str]]) -> None:
    for name in [name for name in sums if name[0] == TRANSITIONS and name[1:] not in told]:
        other = TRANSITIONS, OTHER, OTHER
        sums[other] += sums.pop(name)


def fitting(partitions: Iterable[PartitionSums], room: int, path: Path = ALL_OF_IT) -> Shown:
    """What a worker shows in at most so many series: with the widest of `LIMITS` with which it fits, or the last."""
    given = summed(partitions, path)
    widest = limited(given, LIMITS[0])
    if series_of(widest) <= room:
        return widest
    narrower = LIMITS[1:-1]
    tried: dict[Limits, Shown] = {}

    def fits(limits: Limits) -> bool:
        tried[limits] = limited(given, limits)
        return series_of(tried[limits]) <= room

    limits = LIMITS[1 + bisect_left(narrower, True, key=fits)]
    return tried.get(limits) or limited(given, limits)


def limited(given: Summed, limits: Limits) -> Shown:
    """The sums with bounded labels. Of currencies those with the most orders; others are left out, as they cannot be added up."""
    money = currencies(_weights(given.sums, given.costs), limits.currencies)
    sums = Counter({name: n for name, n in given.sums.items() if _is_shown(name, money)})
    costs = {key: minor for key, minor in given.costs.items() if key[1:2] in money.values}
    told = chosen(sums, costs, given.places, limits)
    return Shown(_bounded(sums, told), _bounded_costs(costs, told), told | {CURRENCY.label: money}, given.every)


def _by_day(partitions: Sequence[PartitionSums]) -> Iterator[PartitionSums]:
    """The sums of all that are as of the same day together: costs and cohorts of eight partitions are worked out at once."""
    for day, window in dict.fromkeys((one.day, one.window) for one in partitions):
        sums: Sums = Counter()
        for one in partitions:
            if (one.day, one.window) == (day, window):
                _add(sums, one.sums)
        yield PartitionSums(day, window, sums)


def _add(sums: Sums, more: Mapping[Name, int]) -> None:
    for name, n in more.items():
        sums[name] = sums.get(name, 0) + n


def _cohorts(one: PartitionSums) -> Sums:
    """The last cohorts; how many persons one is, once."""
    # on the last day of a month it is over: then this month's is the last of them
    since = name_of(month_of(min(max(one.day + 1, 0) * DAY_MS, MAX_MS)) - COHORTS_MAX)
    found: Sums = Counter()
    for (name, cohort, months), n in cohorts(one.sums, one.day).items():
        if cohort >= since:
            found[(name, cohort, months) if name == "cohort_kept" else (name, cohort)] = n
    return found


def _weights(sums: Mapping[Name, int], costs: Iterable[tuple[str, str, str]]) -> Counter[str]:
    """Of each currency the orders and customers; with room left those of costs are told, too."""
    weight: Counter[str] = Counter()
    for name, n in sums.items():
        if name[0] in _OF_MONEY and name[1] in DIGITS:
            # an order that was cancelled has gross revenue, and stands no more
            weight[name[1]] += n if name[0] in ("orders", "clv_orders" + COUNT) else 0
    for _, currency, _ in costs:
        if currency in DIGITS:
            weight[currency] += 0
    return weight


def _is_shown(name: Name, money: Told) -> bool:
    at = _CURRENCY_AT.get(name[0], -1)
    return at >= 0 and (not at or (name[at],) in money.values)


def _bounded(sums: Mapping[Name, int], told: Mapping[str, Told]) -> Sums:
    """The sums with those of all values that are not told apart in `other`."""
    found: Sums = Counter()
    for name, n in sums.items():
        place = place_of(name)
        is_told = place is None or place[1:] in told[place[0]].values
        found[name if is_told else in_other(name)] += n
    return found


def _bounded_costs(
    costs: Mapping[tuple[str, str, str], Fraction], told: Mapping[str, Told]
) -> dict[tuple[str, str, str], Fraction]:
    """Costs with channels as those of their customers are called."""
    found: defaultdict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
    for (category, currency, channel), minor in costs.items():
        found[category, currency, channel if (channel,) in told[BY_CHANNEL].values else OTHER] += minor
    return found


def families(given: Shown) -> Iterator[Family]:
    """Each part as a gauge; a sum without labels is there also where it is 0."""
    by_name: defaultdict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
    for name, n in given.sums.items():
        by_name[name[0]].append((name[1:], n))
    for part in PARTS.values():
        if part.is_spread:
            yield from _spread(part, by_name, given.every)
            continue
        samples = by_name.get(part.of, [])
        if not part.labels and not samples:
            samples = [((), 0)]
        yield _family(part.metric, part, (), [(labels, _value(part, labels, n)) for labels, n in samples])
    costs = [(key, _major(minor, key[1])) for key, minor in given.costs.items()]
    yield _gauge(COST, "What was spent in the window.", COST_LABELS, costs)


def series_of(given: Shown) -> int:
    """How many series they are, with those that say what is told apart."""
    count = Counter(name[0] for name in given.sums)
    spreads = {(name[0], name[1:-1]) for name in given.sums if name[0].endswith(BUCKET)}
    found = len(given.costs) + len(hidden_of(given)) + len(told_of(given))
    for part in PARTS.values():
        if part.is_spread:
            of = part.of
            found += (
                (len(_bounds(of, given.every)) + 1) * sum(name == of + BUCKET for name, _ in spreads)
                + count[of + SUM]
                + count[of + COUNT]
            )
        else:
            found += count[part.of] or not part.labels
    return found


def hidden_of(given: Shown) -> Samples:
    """Of each label how many values are not told apart, at least."""
    return [((_kind(of).label,), each.hidden) for of, each in given.told.items()]


def told_of(given: Shown) -> Samples:
    """The values that are told apart of the labels of which any are not, by `TOLD_LABELS`."""
    found: Samples = []
    for of, each in given.told.items():
        for values in sorted(each.values) if each.hidden else ():
            if set(values) != {OTHER}:
                labels = {"label": _kind(of).label, **dict(zip(_kind(of).labels, values, strict=True))}
                found.append((tuple(labels.get(label, "") for label in TOLD_LABELS), 1))
    return found


def _kind(of: str) -> Kind:
    return KINDS.get(of, CURRENCY)


def _bounds(of: str, every: int) -> tuple[float, ...]:
    return bounds_told(every) if of == TIME_IN_STAGE else SHOWN[of]


def _spread(part: Part, by_name: Mapping[str, list[tuple[tuple[str, ...], int]]], every: int) -> Iterator[Family]:
    counted: defaultdict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for labels, n in by_name.get(part.of + BUCKET, []):
        counted[labels[:-1]][labels[-1]] = n
    samples: Samples = []
    told = frozenset(_bounds(part.of, every))
    for labels, counts in counted.items():
        total = 0
        for bound, text in zip((*LADDERS[part.of], None), bounds_of(part.of), strict=True):
            total += counts.get(text, 0)
            if bound is not None and bound not in told:
                continue
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
