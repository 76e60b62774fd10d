"""Sums of every part of KPIs at once, with the values of labels that are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

from lifestage.kpi_contribute import BY_CHANNEL, Sums
from lifestage.kpi_live_path import COHORT_FIRST, COHORT_RANKED
from lifestage.kpi_months import month_of, name_of
from lifestage.kpi_parts import PARTS
from lifestage.kpi_spread import bounds_of, spread
from lifestage.moments import DAY_MS

COHORTS = 25


def every_sum(
    day: int, values: Mapping[str, Sequence[str]], by_channel: Sequence[str], costs: Mapping[str, Sequence[str]]
) -> Sums:
    """Every combination of these values, every bound of a spread, 25 cohorts up to a day, and costs by category, currency and channel.

    `by_channel` stands for the channels of parts that are told by where customers came from, which have more than messages have.
    """
    found: Sums = Counter()
    for part in PARTS.values():
        if part.of.startswith("cohort_"):
            continue
        of_part = {**values, "channel": by_channel} if part.of.endswith(BY_CHANNEL) else values
        for labels in product(*(of_part[label] for label in part.labels)):
            if part.is_spread:
                found.update({(f"{part.of}_bucket", *labels, bound): 1 for bound in bounds_of(part.of)})
                found.update({name: n for name, _, n in spread(part.of, labels, 500, day)[1:]})
            else:
                found[part.of, *labels] = 5
    this = month_of(day * DAY_MS)
    for cohort in range(this - COHORTS + 1, this + 1):
        found[COHORT_FIRST, name_of(cohort)] = 5
        found[COHORT_RANKED, name_of(cohort), name_of(cohort)] = 4
    for labels in product(costs["category"], costs["currency"], costs["channel"]):
        found["cost", *labels, "", ""] = 7
    return found
