"""New visitors without a name, counted by source and minute of event time: a flood of ids makes no more than a bound of them.

Within a minute they are let in at a pace, by event time as well, so that the log alone says who is: taken in all at once,
they would hold up everybody else for as long as that takes.
"""

from __future__ import annotations

from typing import Final

from lifestage.marker import SOURCES_MAX

MINUTE: Final = 60_000
MINUTES: Final = 7
"""Of a source the newest minutes are counted apart: clocks may be up to 5 minutes ahead, and one that is does not cut short the others."""
AT_ONCE: Final = 10
"""Such a part of a minute's number may come in its first instant: of 60,000 what is 0.4 s of work for a worker."""
ALWAYS_AT_ONCE: Final = 500
"""Where a minute's number is small there is nothing to spread: so many never hold up anybody for longer than 10 ms."""


def has_room(fresh: list[int], at: int, time: int, most: int) -> bool:
    """Whether one more new visitor, whose event is of an instant (ms), may come in beside those of its minute, whose count
    stands `at` there (`minute_of`): up to a tenth of `most` at the minute's beginning, and `most` in even steps by its end.

    Of an older minute, which is counted with others, so many may come at any time.
    """
    count = fresh[at]
    if count >= most:
        return False
    return (
        count < max(most // AT_ONCE, ALWAYS_AT_ONCE) + most * (time % MINUTE) // MINUTE
        or time // MINUTE < fresh[at - 1]
    )


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
