"""A company that does not exist, and the parts of KPIs that its two workers would show, at any instant.

It is the same each time: trade by the days of the week, two currencies, three channels, a year of cohorts. Its sums are made
up; how they are shown is the workers' own way.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from lifestage.kpi_contribute import Sums
from lifestage.kpi_live_company import COST
from lifestage.kpi_live_path import COHORT_FIRST, COHORT_RANKED
from lifestage.kpi_months import month_of, name_of
from lifestage.kpi_names import BOUNDS
from lifestage.kpi_parts import LIVE, MONEY, PARTS, Part
from lifestage.kpi_spread import BUCKET, COUNT, LADDERS, SUM, bounds_of
from lifestage.plan import Compiled
from streams.kpi_families import PartitionSums, Shown, families, limited, summed
from streams.kpi_values import LIMITS
from streams.stage_limits import ordinary_moves
from tests.core.histories import CLM5

DAY_S = 86_400
WINDOW = 90
COHORTS = ("cohort_size", "cohort_kept")
PARTITIONS = 8
"""Partitions of the log, half of them each worker's."""
WORKERS = {"10.0.0.11:9464": 0.55, "10.0.0.12:9464": 0.45}
"""Where each answers, and its share of the customers."""
STAGES = {
    "reach": 61_400,
    "acquisition": 9_250,
    "conversion": 6_830,
    "retention": 4_410,
    "loyalty": 1_960,
    "at_risk": 1_180,
    "churned": 5_320,
    "dormant": 2_110,
}
SHARES: Mapping[str, Mapping[str, float]] = {
    "currency": {"EUR": 0.68, "USD": 0.32},
    "channel": {"email": 0.71, "push": 0.2, "sms": 0.09},
    "campaign": {"none": 0.42, "welcome": 0.27, "spring sale": 0.19, "cart reminder": 0.12},
    "mailbox": {
        "gmail": 0.31,
        "outlook": 0.22,
        "gmx": 0.17,
        "other": 0.13,
        "yahoo": 0.08,
        "apple": 0.07,
        "proton": 0.02,
    },
    "kind": {"like": 0.6, "comment": 0.17, "share": 0.13, "follow": 0.08, "other": 0.02},
    "step": {"1": 1.0, "2": 0.74, "3": 0.58, "4": 0.47, "5": 0.41},
    "category": {"marketing": 0.62, "sales": 0.23, "support": 0.1, "retention": 0.05},
}
FIRST = {"ads": 0.34, "direct": 0.26, "email": 0.21, "organic": 0.16, "other": 0.03}
"""By which channel customers came first."""
ORIGINS = {
    ("google", "organic"): 0.31, ("direct", "none"): 0.24, ("google", "cpc"): 0.17, ("newsletter", "email"): 0.12,
    ("instagram", "social"): 0.08, ("partner.example", "referral"): 0.05, ("other", "other"): 0.03,
}  # fmt: skip
SUMS = {
    "sessions": 214_000, "visitors": 88_400, "sessions_by_source": 214_000, "direct_sessions": 51_300, "impressions": 3_120_000, "ad_clicks": 41_200,
    "social_engagement": 18_300, "leads": 9_320, "leads/channel": 9_320, "visitors_who_became_leads": 8_110, "qualified_leads": 3_870,
    "new_customers": 2_480, "new_customers/channel": 2_480, "trials": 1_310, "trials_paid": 402, "trials_open": 160, "leads_who_bought": 1_720,
    "leads_open": 3_300, "carts": 14_600, "carts_abandoned": 9_930, "carts_at_step": 11_800, "carts_past_step": 8_900,
    "first_orders_after_ticket": 190, "orders": 13_240, "orders/channel": 13_240, "gross_revenue": 871_000, "net_revenue": 702_000, "net_revenue/channel": 702_000, "net_sold": 731_000, "net_refunded": 29_200,
    "active": 8_610, "active_before": 8_120, "retained": 5_980, "new_active": 2_210, "reactivated": 420, "buyers": 8_390, "repeat_buyers": 3_020,
    "repeat_buyers_by_orders": 3_190, "returning_customers": 5_910, "promoters": 610, "detractors": 240, "nps_answers": 1_180, "satisfied": 1_730,
    "csat_answers": 2_060, "ces_thousandths": 3_960_000, "ces_answers": 720, "customers": 21_700, "customers_who_referred": 690,
    "new_customers_referred": 310, "advocates": 1_120, "acts_of_active": 61_000, "pages": 893_000, "messages_sent": 612_000,
    "messages_delivered_of_sent": 598_000, "messages_delivered": 598_000, "messages_bounced": 9_800, "messages_complained": 410,
    "messages_opened": 151_000, "messages_clicked": 19_400, "messages_unsubscribed": 1_340, "tickets_solved": 2_610,
    "tickets_solved_by_bot": 820, "stage_counts": 0, "transitions": 0, "funnel": 0,
    "clv_known_net": 1_950_000, "clv_goods": 1_120_000,
}  # fmt: skip
"""What each sum of the definitions comes to, about, over all; money in major units."""
SPREADS = {
    "clv_1": (10_850, 16_000, 1.1), "clv_orders": (10_850, 2.1, 0.8), "response_time": (2_900, 6_800_000, 1.3),
    "resolution_time": (2_500, 68_000_000, 1.1), "time_in_stage": (9_000, 1_900_000_000, 1.0),
}  # fmt: skip
"""How many single values, their middle and how wide they are spread, as the spreads count them."""
TARGETS = {
    "crr": 0.75,
    "churn_rate": 0.3,
    "aov": 55,
    "refund_rate": 0.03,
    "cac": 40,
    "nps": 40,
    "csat": 0.85,
    "complaint_rate": 0.001,
    "rpr": 0.3,
    "response_time": 7200,
    "cart_abandonment": 0.65,
    "ces": 5,
    "lead_conversion_rate": 0.1,
}


class Sample(NamedTuple):
    """One sample of a series."""

    name: str
    labels: dict[str, str]
    value: float


def shown(partitions: Iterable[PartitionSums]) -> Shown:
    """What a worker shows where there is room for all that it may tell apart."""
    return limited(summed(partitions), LIMITS[0])


def wave(name: str, at: float, width: float = 0.03) -> float:
    """A week's rise and fall, each name's its own."""
    days, turn = at / DAY_S, zlib.crc32(name.encode()) % 100 / 100
    return 1 + width * math.sin(2 * math.pi * (days / 7 + turn)) + 0.3 * width * math.sin(2 * math.pi * (days + turn))


def kpis(at: float, share: float = 1.0, targets: Mapping[str, float] | None = None) -> Iterator[Sample]:
    """What a worker with this share of the customers shows of KPIs, with a target for each that may have one if none are said."""
    day = int(at // DAY_S)
    counted = PartitionSums(day, WINDOW, sums(at, share))
    for family in families(shown([counted])):
        for sample in family.samples:
            yield Sample(sample.name, dict(sample.labels), sample.value)
    yield from counted_by(range(PARTITIONS // 2) if share > 0.5 else range(PARTITIONS // 2, PARTITIONS), PARTITIONS)
    for label in ("currency", "channel", "campaign", "source", "kind"):
        yield Sample("lifestage_kpi_hidden_values", {"label": label}, 0)
    yield Sample("lifestage_kpi_window_seconds", {}, WINDOW * DAY_S)
    yield Sample("lifestage_kpi_day_timestamp_seconds", {}, (day + 1) * DAY_S)
    yield Sample("lifestage_kpi_complete", {}, 1)
    for one in LIVE:
        if one.better and one.unit in BOUNDS and (targets is None or one.name in targets):
            yield Sample("lifestage_kpi_target", {"kpi": one.name}, (targets or {}).get(one.name, 1))


def counted_by(partitions: Collection[int], expected: int) -> Iterator[Sample]:
    """Which partitions a worker counts, of how many."""
    for number in partitions:
        yield Sample("lifestage_kpi_counted", {"partition": str(number)}, 1)
    yield Sample("lifestage_kpi_partitions", {}, len(partitions))
    yield Sample("lifestage_kpi_partitions_expected", {}, expected)


def sums(at: float, share: float) -> Sums:
    """The sums of such a worker: in minor units, ms and whole numbers."""
    found: Sums = Counter()
    for part in PARTS.values():
        if part.of in COHORTS:
            continue
        if part.is_spread:
            found.update(_spread(part, at, share))
            continue
        for labels, size in _told(part):
            of = part.of.partition("/")[0] if part.labels in (("campaign",), ("mailbox",)) else part.of
            value = SUMS[of] * size if size <= 1 else size
            value *= share * wave(part.of.split("_")[0], at) * wave(of, at, 0.006) * (100 if part.of in MONEY else 1)
            found[part.of, *labels.values()] = round(value)
    found.update(_cohorts(at, share))
    begin, end = str(int(at - 60 * DAY_S) * 1000), str(int(at + 30 * DAY_S) * 1000)
    for category, size in SHARES["category"].items():
        for currency, of_it in SHARES["currency"].items():
            for channel, part_of_it in (FIRST if category == "marketing" else {"none": 1.0}).items():
                spent = 24_000_000 * size * of_it * part_of_it * share * wave(channel, at)
                found[COST, category, currency, channel, begin, end] = round(spent)
    return found


def _told(part: Part) -> Iterator[tuple[dict[str, str], float]]:
    """The label values of a sum, each with its share of it, or with a number above 1 that it comes to."""
    match part.labels:
        case ():
            yield {}, 1
        case ("channel",):
            yield from _each("channel", FIRST if part.of.endswith("/channel") else SHARES["channel"])
        case ("source", "medium"):
            yield from (({"source": source, "medium": medium}, size) for (source, medium), size in ORIGINS.items())
        case ("stage",):
            reached = 0
            for stage, count in reversed(STAGES.items()):
                ranked = Compiled(CLM5).rank[stage] is not None
                reached += count
                if part.of == "stage_counts" or ranked:
                    yield {"stage": stage}, count if part.of == "stage_counts" else reached
        case ("currency", "channel"):
            for currency, of_it in SHARES["currency"].items():
                for channel, by_it in FIRST.items():
                    yield {"currency": currency, "channel": channel}, of_it * by_it
        case ("from", "to"):
            for (before, stage, _), size in moves().items():
                yield {"from": before, "to": stage}, size
        case (label,):
            yield from _each(label, SHARES[label])
        case _:
            raise AssertionError(part)


def _each(label: str, shares: Mapping[str, float]) -> Iterator[tuple[dict[str, str], float]]:
    return (({label: value}, size) for value, size in shares.items())


def _cohorts(at: float, share: float) -> Sums:
    """Who came in the months of a year, and by how many more or fewer of them stand in a ranked stage at the end of each later one."""
    found: Sums = Counter()
    last = month_of(int(at * 1000))
    for first in range(last - 12, last):
        size = round(900 * share * (1 + 0.05 * (first % 3)))
        found[COHORT_FIRST, name_of(first)] = size
        stood = 0
        for months in range(last - first):
            stands = round(size * (0.3 + 0.65 * math.exp(-months / 2.5) - 0.02 * (first % 3)))
            found[COHORT_RANKED, name_of(first), name_of(first + months)] = stands - stood
            stood = stands
    return found


def moves() -> dict[tuple[str, str, str], float]:
    """How often customers moved from where to where in the window."""
    found = {}
    for before, stage, kind in ordinary_moves(CLM5):
        likely = {"entry": 0.16, "advance": 0.2, "skip": 0.03, "demotion": 0.01}.get(kind, 0.05)
        found[before, stage, kind] = max(
            2.0, likely * STAGES[stage] * (1 if before == "none" else STAGES[before] / 61_400 + 0.1)
        )
    return found


def _spread(part: Part, at: float, share: float) -> Sums:
    number, middle, width = SPREADS[part.of]
    found: Sums = Counter()
    values = STAGES if "stage" in part.labels else SHARES["currency"]
    for number_of, labels in enumerate([(value,) for value in values] if part.labels else [()]):
        count = round(number * share / (1 + number_of) * wave(part.of, at, 0.02))
        typical = middle * (1 + 0.3 * number_of) * wave(part.of + "size", at)
        before = 0
        for bound, text in zip((*LADDERS[part.of], math.inf), bounds_of(part.of), strict=True):
            below = round(count * 0.5 * (1 + math.erf(math.log(bound / typical) / width / math.sqrt(2))))
            found[part.of + BUCKET, *labels, text] = below - before
            before = below
        found[part.of + SUM, *labels] = round(count * typical * math.exp(width**2 / 2))
        found[part.of + COUNT, *labels] = count
    return found


def recount(at: float) -> Iterator[Sample]:
    """What the recount of each hour shows: no difference."""
    for of in PARTS:
        yield Sample("lifestage_reconcile_difference", {"kpi": of}, 0)
    for state, count in (("compared", PARTITIONS), ("not_compared", 0)):
        yield Sample("lifestage_reconcile_partitions", {"state": state}, count)
    yield Sample("lifestage_reconcile_up", {}, 1)
    yield Sample("lifestage_reconcile_timestamp_seconds", {}, at // 3600 * 3600)
    yield Sample("lifestage_reconcile_duration_seconds", {}, 210 * wave("recount", at, 0.1))
