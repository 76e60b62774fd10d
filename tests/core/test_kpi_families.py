"""The parts of KPIs as a worker exposes them: of all its partitions, in bounded labels, at little cost."""

from __future__ import annotations

from collections import Counter

from lifestage.facts import CostRecorded
from lifestage.kpi_contribute import Sums
from lifestage.kpi_days import Days
from lifestage.kpi_live_company import cost
from lifestage.kpi_live_path import is_past
from lifestage.kpi_spread import bounds_of, spread
from lifestage.moments import DAY_MS
from streams.kpi_families import CURRENCIES_MAX, PartitionSums, families, shown

DAY = 20_000
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def page(*partitions: Sums) -> Series:
    """All series of a worker whose partitions have these sums."""
    told = families(shown(PartitionSums(DAY, 90, sums) for sums in partitions))
    return {(s.name, frozenset(s.labels.items())): s.value for family in told for s in family.samples}


def value(series: Series, name: str, **labels: str) -> float | None:
    """One value; None where there is none."""
    return series.get(("lifestage_kpi_part_" + name, frozenset(labels.items())))


def test_sums_are_those_of_all_partitions() -> None:
    """Money in major units by the currency's digits; a sum without labels is 0 where nothing was counted."""
    found = page(
        Counter({("active",): 4, ("net_revenue", "EUR"): 1999, ("net_revenue", "JPY"): 5, ("orders", "EUR"): 2, ("orders", "JPY"): 1}),
        Counter({("active",): 3, ("net_revenue", "EUR"): 1, ("leads/channel", "cpc"): 2}),
    )  # fmt: skip
    assert value(found, "active") == 7
    assert value(found, "customers") == 0
    assert value(found, "net_revenue", currency="EUR") == 20.0
    assert value(found, "net_revenue", currency="JPY") == 5
    assert value(found, "net_revenue", currency="USD") is None
    assert value(found, "leads_by_channel", channel="cpc") == 2
    assert value(found, "new_customers_by_channel", channel="cpc") is None


def test_spreads_are_cumulative_with_every_bound() -> None:
    """Counts of at most so much, in seconds and in major units; the last is that of all."""
    sums: Sums = Counter({("orders", "EUR"): 1})
    for of, labels, single in (
        ("response_time", (), 60_000),
        ("response_time", (), 3_600_000),
        ("clv_1", ("EUR",), 1234),
    ):
        for name, _, n in spread(of, labels, single, 0):
            sums[name] += n
    found = page(sums)
    of_all = [
        (float(dict(labels)["le"]), n) for (name, labels), n in found.items() if name.endswith("response_time_bucket")
    ]
    assert len(of_all) == len(bounds_of("response_time"))
    assert [n for _, n in sorted(of_all)] == sorted(n for _, n in of_all)
    assert value(found, "response_time_bucket", le="56") == 0
    assert value(found, "response_time_bucket", le="68") == 1
    assert value(found, "response_time_bucket", le="+Inf") == 2
    assert value(found, "response_time_sum") == 3660
    assert value(found, "response_time_count") == 2
    assert value(found, "clv_1_bucket", currency="EUR", le="12") == 0
    assert value(found, "clv_1_bucket", currency="EUR", le="15") == 1
    assert value(found, "clv_1_sum", currency="EUR") == 12.34


def test_costs_are_those_of_the_window() -> None:
    """Pro rata: of 100 days the last 90 are in it, and of the present day all."""
    days = Days(90, DAY, is_past)
    begin = (DAY - 99) * DAY_MS
    told = CostRecorded(time=begin, source="erp", id="g", cost_id="g", amount_minor=100_00, currency="EUR",
                        category="marketing", period_start=begin, period_end=begin + 100 * DAY_MS)  # fmt: skip
    days.add(cost(told, 90))
    found = page(days.totals())
    costs = {labels: n for (name, labels), n in found.items() if name == "lifestage_kpi_part_cost"}
    assert list(costs.values()) == [90.0]


def hostile() -> Sums:
    """What a hundred thousand values of each label that events name, and all currencies, come to in a partition."""
    days = Days(90, DAY, is_past)
    for n in range(100_000):
        days.add([(("sessions_by_source", f"s{n}", f"m{n % 7}"), DAY, 1), (("social_engagement", f"k{n}"), DAY, 1)])
        days.add([(("leads/channel", f"c{n}"), DAY, 1), (("~cost", "marketing", "EUR", f"c{n}", "0", "1"), DAY, 1)])
    for n in range(26 * 26 * 26):
        code = "".join(chr(65 + n // 26**place % 26) for place in (2, 1, 0))
        for name, day, one in [(("orders", code), DAY, 1), *spread("clv_1", (code,), 100 + n, DAY)]:
            days.add([(name, day, one)])
    return days.totals()


def test_hostile_values_give_a_bounded_page() -> None:
    """Fewer than 2,000 series, none of the events lost from a sum."""
    sums = hostile()
    found = page(sums, sums)
    assert len(found) < 2_000
    for name in ("sessions_by_source", "social_engagement", "leads_by_channel"):
        theirs = [n for (metric, _), n in found.items() if metric == "lifestage_kpi_part_" + name]
        assert len(theirs) <= 21
        assert sum(theirs) == 200_000
    currencies = {
        dict(labels)["currency"] for (name, labels), _ in found.items() if name == "lifestage_kpi_part_orders"
    }
    assert len(currencies) == CURRENCIES_MAX
