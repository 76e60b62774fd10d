"""KPI sums as partitions keep them: equal sums may stand in different pages, by where flushes fell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lifestage.kpi_days import Days
from lifestage.kpi_live_path import is_past
from lifestage.kpi_pages import KeptDays
from lifestage.marker import KpiMark
from lifestage.partition import Partition

LATER = (0, 1, 30, 90, 200)
"""Days after the present one on which sums are looked at, too."""


def kpi_differences(due: Partition, told: Partition) -> list[str]:
    """Where the sums that one partition would keep are not those of another, on the present day or on days to come."""
    if due.kpis is None or told.kpis is None:
        both = due.kpis is None and told.kpis is None
        return (
            []
            if both
            else [f"KPIs are counted: {due.kpis is not None} became {told.kpis is not None} {told.uncounted}"]
        )
    return [*_differ(due, _copy(told))]


def kept_differences(due: Partition, told: KpiMark | None, pages: Mapping[bytes, bytes]) -> list[str]:
    """The same for what a marker says, with all pages that there are."""
    if due.kpis is None or told is None:
        both = due.kpis is None and told is None
        return [] if both else [f"KPIs are counted: {due.kpis is not None} became {told is not None}"]
    return [f"partition {due.number}: {differs}" for differs in _differ(due, KeptDays.read(told, pages, is_past).days)]


def _differ(due: Partition, theirs: Days) -> Iterator[str]:
    ours = _copy(due)
    for later in LATER:
        day = _today(due) + later
        ours.turn(day)
        theirs.turn(day)
        right, found = ours.totals(), theirs.totals()
        for name in sorted(right.keys() | found.keys()):
            if right.get(name, 0) != found.get(name, 0):
                yield f"KPI sum {name} in {later} days: {right.get(name, 0)} became {found.get(name, 0)}"


def _today(partition: Partition) -> int:
    assert partition.kpis is not None
    return partition.kpis.days.day


def _copy(partition: Partition) -> Days:
    assert partition.kpis is not None
    written = partition.kpis.kept.write()
    found = KeptDays.read(written.mark, partition.shelf.pages | written.pages, is_past).days
    found.turn(partition.kpis.days.day)
    return found
