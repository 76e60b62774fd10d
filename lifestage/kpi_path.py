"""What one person's path through the stages adds to the sums."""

from __future__ import annotations

from collections.abc import Sequence

from lifestage.kpi_contribute import Spreads, Sums
from lifestage.kpi_gather import NONE, Span
from lifestage.kpi_months import end_of, month_of, name_of
from lifestage.plan import Compiled

MONTHS = 24
"""Cohorts are followed that began in the month of the instant or in so many before it."""
Step = tuple[int, str | None]
"""From when on (ms) the person stood in which stage."""


def walk(path: Sequence[Step], plan: Compiled, span: Span, sums: Sums) -> Spreads:
    """Add the moves of a path up to the end of the window, and return how long the stays were that ended in it."""
    spreads = Spreads()
    before: Step | None = None
    for at, stage in path:
        if span.has(at):
            came_from = before[1] if before is not None else None
            sums["transitions", came_from or NONE, stage or NONE] += 1
            if before is not None and before[1] is not None:
                spreads.append(("time_in_stage", before[1], at - before[0]))
        before = at, stage
    if path:
        _cohort(path, plan, span, sums)
    return spreads


def _cohort(path: Sequence[Step], plan: Compiled, span: Span, sums: Sums) -> None:
    first, last = month_of(path[0][0]), month_of(span.end)
    if first < last - MONTHS:
        return
    at = 0
    for month in range(first, last + 1):
        end = end_of(month)
        if end > span.end:
            break
        while at + 1 < len(path) and path[at + 1][0] <= end:
            at += 1
        stage = path[at][1]
        labels = name_of(first), f"{month - first:02}"
        sums["cohort_size", *labels] += 1
        sums["cohort_kept", *labels] += stage is not None and plan.rank[stage] is not None


def stand(stage: str | None, path: Sequence[Step], plan: Compiled, sums: Sums) -> None:
    """Add where a person stands, and how far they ever came."""
    if stage is not None:
        sums["stage_counts", stage] += 1
    high = max((plan.rank[one] or 0 for one in (stage, *(one for _, one in path)) if one is not None), default=0)
    for one in plan.ladder:
        if (plan.rank[one] or 0) <= high:
            sums["funnel", one] += 1
