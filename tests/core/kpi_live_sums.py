"""What live entries come to by the definition, and what offline sums are as of whole days: both sides of a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from lifestage.kpi_contribute import Spreads, Sums
from lifestage.kpi_days import LEVEL, Entries, whole_days
from lifestage.kpi_live_path import COHORT_FIRST, COHORT_RANKED, cohorts
from lifestage.kpi_path import Step, stand, walk
from lifestage.kpi_spread import BUCKET, COUNT, SUM, bounds_of, spread
from lifestage.plan import Compiled


def value_at(entries: Iterable[tuple[tuple[str, ...], int, int]], day: int, window: int) -> Sums:
    """Flows of the window and levels up to the day; sums by cohort as their definitions name them."""
    found: Sums = Counter()
    for name, on, amount in entries:
        if on <= day and (name[0].startswith(LEVEL) or on > day - window):
            found[name[0].removeprefix(LEVEL), *name[1:]] += amount
    found.update(cohorts(found, day))
    return without_zero({name: n for name, n in found.items() if name[0] not in (COHORT_FIRST, COHORT_RANKED)})


def without_zero(sums: Mapping[tuple[str, ...], int]) -> Sums:
    """The sums that are not 0."""
    return Counter({name: n for name, n in sums.items() if n})


def walked(path: Sequence[Step], stage: str | None, plan: Compiled, day: int, window: int, sums: Sums) -> None:
    """Add to the sums what the offline functions say of a path as of the end of a day, its spreads by size."""
    span = whole_days(day, window)
    past = [step for step in path if step[0] <= span.end]
    add_spreads(walk(past, plan, span, sums), sums)
    stand(past[-1][1] if path else stage, past, plan, sums) if past or not path else None


def add_spreads(spreads: Spreads, sums: Sums) -> None:
    """Single values as sums."""
    entries: Entries = []
    for name, label, value in spreads:
        entries += spread(name, (label,) if label else (), value, 0)
    for sum, _, amount in entries:
        sums[sum] += amount


def quantile(share: Fraction, of: str, labels: tuple[str, ...], sums: Sums) -> float:
    """What Prometheus' `histogram_quantile` makes of the counts by size."""
    bounds = bounds_of(of)
    rank, below, before = share * sums[of + COUNT, *labels], 0, 0.0
    for bound in bounds:
        here = sums[of + BUCKET, *labels, bound]
        if below + here >= rank and here:
            if bound == bounds[-1]:
                return float(bounds[-2])
            return before + (float(bound) - before) * float((rank - below) / here)
        below, before = below + here, float(bound)
    raise AssertionError("nothing was counted")


def mean(of: str, labels: tuple[str, ...], sums: Sums) -> Fraction:
    """Sum ÷ count."""
    return Fraction(sums[of + SUM, *labels], sums[of + COUNT, *labels])
