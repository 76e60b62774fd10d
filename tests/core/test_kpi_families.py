"""The parts of KPIs as a worker exposes them: of all its partitions, in bounded labels, at little cost."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from random import Random
from typing import get_args

from msgspec import structs

from lifestage import facts as f
from lifestage.facts import CostRecorded
from lifestage.kpi_contribute import BY_CHANNEL, Sums
from lifestage.kpi_days import Days
from lifestage.kpi_labels import CAMPAIGNS_MAX
from lifestage.kpi_live_company import cost
from lifestage.kpi_live_path import COHORT_FIRST, COHORT_RANKED, is_past
from lifestage.kpi_months import month_of, name_of
from lifestage.kpi_spread import bounds_of, spread
from lifestage.mailboxes import GROUPS, UNKNOWN
from lifestage.moments import DAY_MS, MAX_MS
from lifestage.wire import CostCategory
from streams.kpi_families import PartitionSums, families, fitting
from streams.kpi_values import LIMITS
from tests.company import shown
from tests.every_sum import every_sum

DAY = 20_000
STAGES = tuple(f"stage{n}" for n in range(8))
MANY = tuple(str(n) for n in range(1, 21))
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
    assert len(of_all) == len(bounds_of("response_time")) // 2 + 1
    assert [n for _, n in sorted(of_all)] == sorted(n for _, n in of_all)
    assert value(found, "response_time_bucket", le="47") == 0
    assert value(found, "response_time_bucket", le="68") == 1
    assert value(found, "response_time_bucket", le="+Inf") == 2
    assert value(found, "response_time_sum") == 3660
    assert value(found, "response_time_count") == 2
    assert value(found, "clv_1_bucket", currency="EUR", le="12") == 0
    assert value(found, "clv_1_bucket", currency="EUR", le="15") == 1
    assert value(found, "clv_1_sum", currency="EUR") == 12.34


def test_costs_are_those_of_the_window() -> None:
    """Pro rata: of 100 days the last 90 are in it, and of the present day all; of what no rule asks for there is none."""
    days = Days(90, DAY, is_past)
    begin = (DAY - 99) * DAY_MS
    told = CostRecorded(time=begin, source="erp", id="g", cost_id="g", amount_minor=100_00, currency="EUR",
                        category="marketing", period_start=begin, period_end=begin + 100 * DAY_MS)  # fmt: skip
    days.add(cost(told, 90))
    days.add(cost(structs.replace(told, category="support"), 90))
    found = page(days.totals())
    costs = {labels: n for (name, labels), n in found.items() if name == "lifestage_kpi_part_cost"}
    assert list(costs.values()) == [90.0]


def hostile() -> Days:
    """A partition of a hundred thousand values of each label that events name, and of all currencies."""
    days = Days(90, DAY, is_past)
    for n in range(100_000):
        days.add([(("sessions_by_source", f"s{n}", f"m{n % 7}"), DAY, 1), (("social_engagement", f"k{n}"), DAY, 1)])
        days.add([(("messages_sent/campaign", f"m{n}"), DAY, 1), (("messages_opened/campaign", f"m{n}"), DAY, 1)])
        days.add([(("leads/channel", f"c{n}"), DAY, 1), (("~cost", "marketing", "EUR", f"c{n}", "", ""), DAY, 1)])
    for n in range(26 * 26 * 26):
        code = "".join(chr(65 + n // 26**place % 26) for place in (2, 1, 0))
        for name, day, one in [(("orders", code), DAY, 1), *spread("clv_1", (code,), 100 + n, DAY)]:
            days.add([(name, day, one)])
    return days


def rich() -> Sums:
    """What a deployment with everything has: eight stages, 25 cohorts, four currencies, twenty values of each label."""
    values = {
        "stage": STAGES, "from": (*STAGES, "none"), "to": (*STAGES, "none"), "currency": ("CHF", "EUR", "GBP", "USD"),
        "channel": ("email", "push", "sms", "chat"), "kind": MANY, "step": MANY, "source": MANY, "medium": ("m",), "campaign": (*MANY[:CAMPAIGNS_MAX], "none"), "mailbox": (*GROUPS, UNKNOWN),
    }  # fmt: skip
    costs = {"category": get_args(CostCategory), "currency": values["currency"], "channel": (*MANY, "none")}
    return every_sum(DAY, values, (*MANY, "direct"), costs)


def test_of_hostile_values_no_event_is_lost() -> None:
    """What is not told apart is in `other`; of currencies the four with the most orders are shown."""
    sums = hostile().totals()
    found = page(sums, sums)
    for name in ("sessions_by_source", "social_engagement", "leads_by_channel", "messages_sent_by_campaign"):
        theirs = [n for (metric, _), n in found.items() if metric == "lifestage_kpi_part_" + name]
        assert len(theirs) <= 21
        assert sum(theirs) == 200_000
    currencies = {
        dict(labels)["currency"] for (name, labels), _ in found.items() if name == "lifestage_kpi_part_orders"
    }
    assert len(currencies) == LIMITS[0].currencies


def test_a_cohort_says_once_of_how_many_it_is() -> None:
    """Those of the last twelve months, with each month up to the last that is over."""
    found = page(rich())
    cohorts = {dict(labels)["cohort"] for name, labels in found if name == "lifestage_kpi_part_cohort_size"}
    assert len(cohorts) == 12
    assert max(cohorts) == name_of(month_of(DAY * DAY_MS) - 1)
    kept = [dict(labels) for name, labels in found if name == "lifestage_kpi_part_cohort_kept"]
    assert len(kept) == 12 * 13 / 2
    assert value(found, "cohort_size", cohort=max(cohorts)) == 5
    assert value(found, "cohort_kept", cohort=max(cohorts), months="00") == 4


def test_on_the_last_day_that_can_be_written_there_is_a_page() -> None:
    """The month after it has no name; what is shown of cohorts is that of the month before."""
    day = MAX_MS // DAY_MS
    sums: Sums = Counter({(COHORT_FIRST, "9999-11"): 5, (COHORT_RANKED, "9999-11", "9999-11"): 4})
    told = fitting([PartitionSums(day, 90, sums, ())], 1000)
    assert [family.name for family in families(told) if family.samples]


def partition(n: int, common: int) -> PartitionSums:
    """A partition with sixty channels of its own, of which it tells fifty apart: some that all have come first, often."""
    days = Days(90, DAY, is_past)
    for m in range(common):
        days.add([(("leads/channel", f"common{m}"), DAY, 10 + m)])
    for m in range(60):
        days.add([(("leads/channel", f"own{n}-{m}"), DAY, 100), (("leads/channel", f"late{m % 3}"), DAY, 1_000)])
    return PartitionSums(DAY, 90, days.totals(), days.places)


def test_only_what_all_partitions_tell_apart_is_told_apart() -> None:
    """However frequent a value is, where a partition has it in `other` it is there altogether."""
    found, told = page(partition(0, 5).sums), shown([partition(0, 5)])
    assert value(found, "leads_by_channel", channel="own0-0") == 100
    assert ("own0-0",) in told.told[BY_CHANNEL].values
    both = shown([partition(0, 5), partition(1, 5)])
    values = {key[1]: n for key, n in both.sums.items() if key[0] == "leads/channel"}
    assert {value for value in values if value.startswith("common")} == {f"common{m}" for m in range(5)}
    assert values["common4"] == 28
    assert {value for value in values if not value.startswith(("common", "late"))} == {"other"}
    everything = partition(0, 5).sums + partition(1, 5).sums
    assert sum(values.values()) == sum(n for key, n in everything.items() if key[0] == "leads/channel")


def test_what_every_worker_that_hides_any_tells_apart_is_whole() -> None:
    """Two workers at random, who choose each for itself: of each value that the rules show what both show is all there is."""
    for seed in range(60):
        chance = Random(seed)
        workers = [[_some(chance) for _ in range(chance.choice((1, 2)))] for _ in range(2)]
        all_of: Counter[str] = Counter()
        for days in (days for worker in workers for days, truth in worker for _ in [all_of.update(truth)]):
            assert days.day == DAY
        pages = [
            shown([PartitionSums(DAY, 90, days.totals(), days.places) for days, _ in worker]) for worker in workers
        ]
        hiding = [one.told[BY_CHANNEL].values for one in pages if one.told[BY_CHANNEL].hidden]
        seen = {key[1] for one in pages for key in one.sums if key[0] == "leads/channel"} - {"other"}
        whole = {value for value in seen if all((value,) in told for told in hiding)}
        for channel in whole:
            assert sum(one.sums["leads/channel", channel] for one in pages) == all_of[channel], (seed, channel)
        if not hiding:
            assert whole == set(all_of)


def _some(chance: Random) -> tuple[Days, Counter[str]]:
    days, truth = Days(90, DAY, is_past), Counter[str]()
    for _ in range(chance.choice((10, 200))):
        channel, n = f"c{min(chance.randrange(1, 90), chance.randrange(1, 90))}", chance.randrange(1, 9)
        days.add([(("leads/channel", channel), DAY, n)])
        truth[channel] += n
    return days, truth


def test_a_scrape_bears_costs_that_come_in_meanwhile() -> None:
    """Sums are added up while another thread adds new ones: none is lost, and no walk is broken off."""
    days = Days(90, DAY, is_past)

    def add() -> None:
        for n in range(20_000):
            days.add([(("~cost", "sales", "EUR", "none", str(n), str(n + 1)), DAY, 1)])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    adding, sizes = threading.Thread(target=add), [0]
    adding.start()
    try:
        while adding.is_alive():
            sizes.append(len(days.totals()))
    finally:
        adding.join()
        sys.setswitchinterval(interval)
    assert sizes == sorted(sizes)
    assert len(days.totals()) == 20_000


def test_costs_of_many_periods_are_few_sums() -> None:
    """Of each hour for 80 days, and of each day of another time zone: what is whole in the window is added up, exactly."""
    days, spent = Days(90, DAY, is_past), 0
    for hour in range(80 * 24):
        begin = (DAY - 80) * DAY_MS + hour * 3_600_000
        for length in (3_600_000, 24 * 3_600_000):
            if begin + length <= (DAY + 1) * DAY_MS - 1:
                days.add(cost(f.CostRecorded(time=begin, source="erp", id="g", cost_id="g", amount_minor=hour + 1, currency="EUR",
                                             category="marketing", period_start=begin, period_end=begin + length), 90))  # fmt: skip
                spent += hour + 1
    found = days.totals()
    assert {key: n for key, n in found.items() if key[0] == "cost"} == {
        ("cost", "marketing", "EUR", "none", "", ""): spent
    }
    assert value(page(found), "cost", category="marketing", currency="EUR", channel="none") == spent / 100
