"""Companies at random, as sums and customers of which KPIs are made, and the same as parts that two workers show."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction
from random import Random
from typing import NamedTuple

from lifestage.kpi_contribute import Bought, Sums
from lifestage.kpi_costs import Shares, spent
from lifestage.kpi_formulas import Found, Summary, summary
from lifestage.kpi_gather import NONE, Cost, Span
from lifestage.kpi_parts import COST, MONEY, PARTS, Part
from lifestage.kpi_spread import LADDERS, OVER, bound_of
from lifestage.kpi_worth import Worths
from lifestage.money import DIGITS
from tests.company import Sample

SPAN = Span(1_700_000_000_000, 1_707_776_000_000)
VALUES = {
    "currency": ("EUR", "JPY"), "channel": ("ads", "email"), "stage": ("loyalty", "reach"), "kind": ("like",), "source": ("a", "b"), "medium": ("c",),
    "step": ("1", "2"), "from": ("none", "reach"), "to": ("reach", "loyalty"), "cohort": ("2024-01",), "months": ("00", "01"),
}  # fmt: skip
WORKERS = ("a", "b")


class Company(NamedTuple):
    """What formulas read, and what workers show of the same."""

    found: Found
    samples: list[Sample]


def company(seed: int) -> Company:
    """One company: numerators, denominators and costs may be missing or 0, on one worker or on both."""
    chance = Random(seed)
    sums: Sums = Counter()
    samples: list[Sample] = []
    for part in PARTS.values():
        if not part.is_spread and not part.of.startswith("clv_"):
            for labels in _labels(part, chance):
                values = [chance.choice((0, chance.randrange(2000))) for _ in range(chance.choice((1, 2)))]
                sums[part.of, *labels.values()] = sum(values)
                samples += [_shown(part, labels, n, worker) for worker, n in zip(WORKERS, values, strict=False)]
    costs = [
        Cost(chance.choice(("marketing", "sales", "support")), chance.choice(("ads", "email", NONE)), chance.choice(VALUES["currency"]), chance.randrange(1, 9999), SPAN.begin, SPAN.end)
        for _ in range(chance.randrange(5))
    ]  # fmt: skip
    for one in costs:
        minor = sum(spent([one], frozenset({one.category}), SPAN).values(), Fraction(0))
        labels = {"category": one.category, "currency": one.currency, "channel": one.channel}
        samples.append(
            Sample(COST, labels | {"instance": chance.choice(WORKERS)}, float(minor / 10 ** DIGITS[one.currency]))
        )
    spreads: dict[tuple[str, str], Summary] = {}
    for values_of in (_times(chance), _worths(chance)):
        for sample, summaries in values_of:
            samples += sample
            spreads |= summaries
    return Company(Found(sums, costs, spreads, SPAN), _added(samples))


def _added(samples: list[Sample]) -> list[Sample]:
    """Each series once: what a worker spent twice for the same is one number."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = defaultdict(float)
    for name, labels, value in samples:
        found[name, frozenset(labels.items())] += value
    return [Sample(name, dict(labels), value) for (name, labels), value in found.items()]


def _labels(part: Part, chance: Random) -> Iterator[dict[str, str]]:
    told: list[dict[str, str]] = [{}]
    for label in part.labels:
        told = [before | {label: value} for before in told for value in VALUES[label]]
    return (labels for labels in told if chance.random() < 0.85)


def _shown(part: Part, labels: dict[str, str], n: int, worker: str) -> Sample:
    scale = 10 ** DIGITS[labels["currency"]] if part.of in MONEY else 1
    return Sample(part.metric, labels | {"instance": worker}, n / scale)


Made = Iterator[tuple[list[Sample], dict[tuple[str, str], Summary]]]


def _times(chance: Random) -> Made:
    for of, told in (
        ("response_time", [{}]),
        ("resolution_time", [{}]),
        ("time_in_stage", [{"stage": stage} for stage in VALUES["stage"]]),
    ):
        for labels in told:
            values = sorted(int(chance.lognormvariate(15, 1.5)) + 10_000 for _ in range(chance.choice((0, 500))))
            if values:
                label = labels.get("stage", "")
                yield _sized(of, labels, values, 1000, chance), {(of, label): summary(values, len(values))}


def _worths(chance: Random) -> Made:
    """Customers of which a third have orders of whose goods a cost is known."""
    for currency in VALUES["currency"]:
        customers = [_customer(currency, number, chance) for number in range(chance.choice((0, 600)))]
        if not customers:
            continue
        worths = Worths(Shares([], SPAN.end, NONE))
        for one in customers:
            worths.count(one)
        worths.settle()
        scale = 10 ** DIGITS[currency]
        labels = {"currency": currency}
        samples = _sized("clv_1", labels, [one.net_minor for one in customers], scale, chance)
        samples += _sized("clv_orders", labels, [one.orders for one in customers], 1, chance)
        for of, n in (
            ("clv_known_net", sum(one.known_net_minor for one in customers)),
            ("clv_goods", sum(one.goods_minor for one in customers)),
        ):
            samples.append(_shown(PARTS[of], labels, n, chance.choice(WORKERS)))
        told = [worths.of(one) for one in customers]
        found = {}
        for name in ("clv_1", "clv_2", "clv_3"):
            values = sorted(round(each[name]) for each in told)
            found[name, currency] = summary(values, len(values))
        yield samples, found


def _customer(currency: str, number: int, chance: Random) -> Bought:
    net = int(chance.lognormvariate(9, 1)) + 100
    known = net if number % 3 == 0 else 0
    orders = chance.choice((1, 1, 1, 2, 3, 5, 12, 40))
    return Bought(f"c{number}", currency, orders, net, known, known * 6 // 10, SPAN.begin, "ads", (), is_main=True)


def _sized(of: str, labels: dict[str, str], values: list[int], scale: int, chance: Random) -> list[Sample]:
    """A spread as two workers show it, each of some of the values."""
    found = []
    cut = chance.randrange(len(values) + 1)
    order = chance.sample(values, len(values))
    metric = PARTS[of].metric
    for worker, theirs in zip(WORKERS, (order[:cut], order[cut:]), strict=True):
        here = labels | {"instance": worker}
        counted = Counter(bound_of(of, value) for value in theirs)
        below = 0
        for bound in map(str, LADDERS[of]):
            below += counted[bound]
            found.append(Sample(f"{metric}_bucket", here | {"le": f"{float(bound) / scale:g}"}, below))
        found.append(Sample(f"{metric}_bucket", here | {"le": "+Inf"}, below + counted[OVER]))
        found.append(Sample(f"{metric}_sum", here, sum(theirs) / scale))
        found.append(Sample(f"{metric}_count", here, len(theirs)))
    return found
