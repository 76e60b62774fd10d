"""The log's clock: up to which instant all facts are believed to be in the log (semantics §1.7). Pure: others ask Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

HOPS = 4
"""How often something is sent on from one partition of the log to the next: a fact from anonymous id to address to customer
to whom that was merged into; facts of an id that is linked are asked for, sent, and sent on to survivors."""


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


class Rounds:
    """Tells when nothing that a reading believed to be in the log is on its way from one of its partitions to another.

    What a record of the log causes in other partitions is in the log before that record is committed. So in one round
    (the ends are asked for, then all commits come to them) whatever was on its way has gone one hop further; after `hops`
    rounds it has arrived. And when all ends are committed as they are asked for, nothing is on its way at all.
    Other records, ticks among them, may come in all the time: a round waits only for what its ends were.
    """

    def __init__(self, hops: int = HOPS) -> None:
        """Begin; to be called after the reading."""
        self._left = hops
        self._ends: Mapping[int, int] | None = None
        self._committed: dict[int, int] = {}

    @property
    def over(self) -> bool:
        """Whether a tick of the reading overtakes nothing."""
        return self._left <= 0

    @property
    def asks(self) -> Literal["ends", "commits"]:
        """What has to be heard next; it must be asked for after what was heard last."""
        return "ends" if self._ends is None else "commits"

    def hear_ends(self, ends: Mapping[int, int]) -> None:
        """Take the next offset to be written of every partition of the log."""
        self._ends = ends
        if not self.lagging:
            self._left = 0

    def hear_commits(self, committed: Mapping[int, int]) -> None:
        """Take up to where partitions are folded and committed. It may be a word of some only, and of old: what was
        committed stays folded."""
        for number, offset in committed.items():
            self._committed[number] = max(offset, self._committed.get(number, 0))
        if self._ends is not None and not self.lagging:
            self._left -= 1
            self._ends = None

    @property
    def lagging(self) -> dict[int, tuple[int, int]]:
        """By partition that the round waits for: where it ended, and up to where it is committed."""
        return {
            number: (end, self._committed.get(number, 0))
            for number, end in (self._ends or {}).items()
            if self._committed.get(number, 0) < end
        }
