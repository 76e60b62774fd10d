"""New visitors without a name, counted by source and minute of event time: a flood of ids makes no more than a bound of them."""

from __future__ import annotations

from lifestage.marker import SOURCES_MAX

MINUTE = 60_000
MINUTES = 7
"""Of a source the newest minutes are counted apart: clocks may be up to 5 minutes ahead, and one that is does not cut short the others."""


def minute_of(known: dict[str, list[int]], source: str, time: int) -> tuple[list[int], int]:
    """The counts of a source's newest minutes (`Marker.fresh`), and where in there that of an instant (ms) stands: one from
    before all of them is the oldest one's."""
    if source not in known and len(known) >= SOURCES_MAX:
        source = "other"
    fresh = known.setdefault(source, [])
    minute = time // MINUTE
    at = len(fresh)
    while at and fresh[at - 2] > minute:
        at -= 2
    if at and fresh[at - 2] == minute:
        return fresh, at - 1
    if len(fresh) < 2 * MINUTES:
        fresh[at:at] = minute, 0
    elif at:
        fresh[at:at] = minute, 0
        del fresh[:2]
        at -= 2
    return fresh, at + 1
