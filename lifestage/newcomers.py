"""New visitors without a name, counted by source and minute of event time: a flood of ids makes no more than a bound of them.

They are also let in at a pace, by when Kafka took in their events: a tenth of a minute's number at once, and then a
sixtieth more each second. Taken in all at once they would hold up everybody else for as long as that takes.
"""

from __future__ import annotations

from lifestage.log import ARRIVALS
from lifestage.marker import SOURCES_MAX, Marker

MINUTE, MINUTE_S = 60_000, 60
MINUTES = 7
"""Of a source the newest minutes are counted apart: clocks may be up to 5 minutes ahead, and one that is does not cut short the others."""
AT_ONCE = 10
"""Such a part of a minute's number comes in at once: of 60,000 what is 0.4 s of work for a worker."""
ALWAYS_AT_ONCE = 500
"""Where a minute's number is small there is nothing to spread: so many never hold up anybody for longer than 10 ms."""
EARLIER_S = 60
"""Source partitions are not read in step: what arrived up to so long before the newest makes no time pass."""


def admit(marker: Marker, source: str, time: int, arrived: int, most: int, *, again: bool = False) -> bool:
    """Count one more new visitor of a source, whose event is of an instant (ms) and arrived in a second (`log.arrival`).

    False, and not counted, where it is one too many. `again`: it was let in before, and is counted in any case.
    """
    fresh, at = minute_of(marker.fresh, source, time)
    paced = marker.paced
    if source not in paced and len(paced) >= SOURCES_MAX:
        source = "other"
    newest, level = arrived, MINUTE_S * at_once(most)
    if source in paced:
        newest, level = _refilled(paced[source], arrived, most, level)
    if not again and (fresh[at] >= most or (arrived and level < MINUTE_S)):
        return False
    fresh[at] += 1
    if arrived:
        paced[source] = [newest, max(0, level - MINUTE_S)]
    return True


def at_once(most: int) -> int:
    """How many of a minute's number may come in at once."""
    return max(most // AT_ONCE, min(most, ALWAYS_AT_ONCE))


def _refilled(bucket: list[int], arrived: int, most: int, full: int) -> tuple[int, int]:
    """The newest arrival, and what may come in by then, in sixtieths of a visitor: `most` more each second until it is full."""
    newest, level = bucket
    since = (arrived - newest) % ARRIVALS
    if since > ARRIVALS - EARLIER_S:
        return newest, min(full, level)
    return arrived, min(full, level + since * most)


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
