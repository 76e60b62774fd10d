"""The log's clock: up to which instant all facts are believed to be in the log (semantics §1.7). A pure function."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple


class Source(NamedTuple):
    """How far one source partition has been read: next offset to be written, next to be read, event time reached."""

    topic: str
    partition: int
    end: int
    committed: int
    reached: int | None
    """Greatest event time (ms) among what was read; None when nothing was, or it is not known."""


class Reading(NamedTuple):
    """`time`: all facts before it are believed to be in the log; None when nothing can be said yet."""

    time: int | None
    live: bool
    holders: tuple[Source, ...]
    """The lagging source partitions that hold the clock back, the furthest behind first."""


def read_clock(
    wall: int, sources: Iterable[Source], mode: Literal["wall", "data"], out_of_orderness: int, live_within: int
) -> Reading:
    """Read the clock. `wall` (ms) must have been taken before the sources' ends were asked for.

    While any source partition has unread records, time stands where reading has come to, less `out_of_orderness` (ms).
    With nothing unread it is the wall clock, or in mode `data` the newest event time less `out_of_orderness`.
    `live` when that is within `live_within` ms of the wall clock; mode `data` is never live.
    """
    known = list(sources)
    lagging = sorted((s for s in known if s.committed < s.end), key=lambda s: (s.reached is not None, s.reached or 0))
    if lagging:
        least = lagging[0].reached
        time = None if least is None else least - out_of_orderness
        if time is not None and mode == "wall":
            time = min(time, wall)
    elif mode == "wall":
        time = wall
    else:
        newest = max((s.reached for s in known if s.reached is not None), default=None)
        time = None if newest is None else newest - out_of_orderness
    live = mode == "wall" and time is not None and wall - time <= live_within
    return Reading(time, live, tuple(lagging))
