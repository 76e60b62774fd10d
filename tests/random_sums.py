"""Companies at random, as sums of which KPIs are made, and the same as two workers show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from random import Random
from typing import NamedTuple

from lifestage.kpi_contribute import Bought, Sums
from lifestage.kpi_costs import Shares
from lifestage.kpi_days import whole_days
from lifestage.kpi_formulas import Found, Summary, summary
from lifestage.kpi_gather import NONE, Cost
from lifestage.kpi_live_company import COST
from lifestage.kpi_live_path import COHORT_FIRST, COHORT_RANKED, cohorts
from lifestage.kpi_parts import PARTS, Part
from lifestage.kpi_spread import spread
from lifestage.kpi_worth import Worths
from lifestage.moments import DAY_MS
from streams.kpi_families import PartitionSums, families
from tests.company import Sample, counted_by, shown

DAY, WINDOW = 19_760, 90
SPAN = whole_days(DAY, WINDOW)
VALUES = {
    "currency": ("EUR", "JPY"), "channel": ("ads", "email"), "stage": ("loyalty", "reach"), "kind": ("like",), "source": ("a", "b"), "medium": ("c",),
    "step": ("1", "2"), "from": ("none", "reach"), "to": ("reach", "loyalty"), "cohort": ("2023-12", "2024-01"), "campaign": ("spring", "none"), "mailbox": ("gmail", "unknown"),
}  # fmt: skip
WORKERS = 2


class Company(NamedTuple):
    """What formulas read, and what workers show of the same."""

    found: Found
    samples: list[Sample]


def company(seed: int) -> Company:
    """One company: numerators, denominators and costs may be missing or 0, on one worker or on both."""
    chance = Random(seed)
    theirs: list[Sums] = [Counter() for _ in range(WORKERS)]
    for part in PARTS.values():
        if not part.is_spread and not part.of.startswith(("clv_", "cohort_")):
            for labels in _labels(part, chance):
                for sums in theirs[: chance.choice((1, 2))]:
                    sums[part.of, *labels] = chance.choice((0, chance.randrange(2000)))
    for cohort in VALUES["cohort"]:
        for sums in theirs[: chance.randrange(3)]:
            sums[COHORT_FIRST, cohort] = chance.randrange(20, 90)
            sums[COHORT_RANKED, cohort, cohort] = chance.randrange(20)
    costs = [
        Cost(chance.choice(("marketing", "sales", "support")), chance.choice(("ads", "email", NONE)), chance.choice(VALUES["currency"]), chance.randrange(1, 9999), SPAN.begin - chance.randrange(DAY_MS), SPAN.end)
        for _ in range(chance.randrange(5))
    ]  # fmt: skip
    for one in costs:
        chance.choice(theirs)[COST, one.category, one.currency, one.channel, str(one.start), str(one.end)] += one.minor
    spreads = {**_times(chance, theirs), **_worths(chance, theirs)}
    samples = []
    for number, sums in enumerate(theirs):
        for family in families(shown([PartitionSums(DAY, WINDOW, sums)])):
            samples += [Sample(one.name, {**one.labels, "instance": str(number)}, one.value) for one in family.samples]
        for each in counted_by([number], WORKERS):
            samples.append(each._replace(labels={**each.labels, "instance": str(number)}))
    return Company(Found(_all(theirs), costs, spreads, SPAN), samples)


def _all(theirs: Sequence[Sums]) -> Sums:
    """Both together, with cohorts as the definitions have them; of what is not told apart a worker shows 0, too."""
    found: Sums = Counter({(part.of,): 0 for part in PARTS.values() if not part.labels and not part.is_spread})
    for sums in theirs:
        for part in (sums, cohorts(sums, DAY)):
            for name, n in part.items():
                found[name] += n
    return found


def _labels(part: Part, chance: Random) -> Iterator[tuple[str, ...]]:
    every = product(*(VALUES[label] for label in part.labels))
    return (labels for labels in every if chance.random() < 0.85)


Summaries = dict[tuple[str, str], Summary]


def _times(chance: Random, theirs: Sequence[Sums]) -> Summaries:
    found = {}
    for of, label in (
        ("response_time", ""),
        ("resolution_time", ""),
        *(("time_in_stage", stage) for stage in VALUES["stage"]),
    ):
        values = sorted(int(chance.lognormvariate(15, 1.5)) + 10_000 for _ in range(chance.choice((0, 500))))
        if values:
            _sized(of, (label,) if label else (), values, chance, theirs)
            found[of, label] = summary(values, len(values))
    return found


def _worths(chance: Random, theirs: Sequence[Sums]) -> Summaries:
    """Customers of which a third have orders of whose goods a cost is known."""
    found = {}
    for currency in VALUES["currency"]:
        customers = [_customer(currency, number, chance) for number in range(chance.choice((0, 600)))]
        if not customers:
            continue
        worths = Worths(Shares([], SPAN.end, NONE))
        for one in customers:
            worths.count(one)
        worths.settle()
        _sized("clv_1", (currency,), [one.net_minor for one in customers], chance, theirs)
        _sized("clv_orders", (currency,), [one.orders for one in customers], chance, theirs)
        for one in customers:
            sums = chance.choice(theirs)
            sums["clv_known_net", currency] += one.known_net_minor
            sums["clv_goods", currency] += one.goods_minor
        told = [worths.of(one) for one in customers]
        for name in ("clv_1", "clv_2", "clv_3"):
            values = sorted(round(each[name]) for each in told)
            found[name, currency] = summary(values, len(values))
    return found


def _customer(currency: str, number: int, chance: Random) -> Bought:
    net = int(chance.lognormvariate(9, 1)) + 100
    known = net if number % 3 == 0 else 0
    orders = chance.choice((1, 1, 1, 2, 3, 5, 12, 40))
    return Bought(f"c{number}", currency, orders, net, known, known * 6 // 10, SPAN.begin, "ads", (), is_main=True)


def _sized(of: str, labels: tuple[str, ...], values: Sequence[int], chance: Random, theirs: Sequence[Sums]) -> None:
    """Add single values, each to one of the workers."""
    for value in values:
        sums = chance.choice(theirs)
        for name, _, amount in spread(of, labels, value, DAY):
            sums[name] += amount
