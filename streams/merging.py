"""Merging source partitions by event time, record by record, without ever reordering one of them.

Each partition's records are ranked by the greatest event time seen in it so far, which never falls along the partition;
so a stable sort by rank keeps each partition's own order. What may be passed on is bounded by the slowest partition
that has more to read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

P = TypeVar("P", bound=Hashable)
T = TypeVar("T")


BEFORE_ALL = -(1 << 60)
"""Rank of refused records before any event time was seen in their partition."""
UNSEEN = BEFORE_ALL - 1
"""Bound of a partition that has records, none of which came in yet: it may have anything to say."""


ENDLESS = 1 << 62
"""Above every rank."""


class Ranked(msgspec.Struct, Generic[P, T], frozen=True, gc=False):
    """One record on its way: rank (ms), where it came from, and what it carries."""

    rank: int
    source: P
    offset: int
    item: T


class Merge(Generic[P, T]):
    """Buffers of several source partitions, taken out in order of event time."""

    def __init__(self) -> None:
        self._waiting: dict[P, list[Ranked[P, T]]] = {}
        self.reached: dict[P, int] = {}
        """Greatest event time (ms) put in, by partition."""

    def put(self, source: P, offset: int, time: int | None, item: T) -> int:
        """Add a partition's next record; `time` None (a refused record) ranks with what came before.

        Returns the rank if its partition had not reached that, else `ENDLESS`: others have been waited for already.
        """
        return self.put_run(source, ((offset, time, item),))

    def put_run(self, source: P, records: Iterable[tuple[int, int | None, T]]) -> int:
        """Add a partition's next records (offset, time, item), as `put` does each; returns the least of what that does."""
        reached, new = self.reached.get(source), ENDLESS
        mine = self._waiting.setdefault(source, [])
        for offset, time, item in records:
            if time is not None and (reached is None or time > reached):
                # what is new rises from record to record
                new, reached = min(new, time), time
            mine.append(Ranked(BEFORE_ALL if reached is None else reached, source, offset, item))
        if reached is not None:
            self.reached[source] = reached
        return new

    def waiting(self, source: P) -> int:
        """Records of a partition that are in here."""
        return len(self._waiting.get(source, ()))

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def clear(self) -> None:
        """Forget everything: the partitions will be read again from what is committed."""
        self._waiting.clear()
        self.reached.clear()

    def take(self, more: Mapping[P, bool], patient: bool = True, below: int = ENDLESS) -> list[Ranked[P, T]]:
        """All records that may go, in order. `more` says which partitions have unread records beyond those in here.

        Such a partition bounds the others: only what ranks at or below its newest record goes. Not `patient`: no such
        bound. In any case only what ranks below `below` goes.
        """
        bound = below - 1
        if patient:
            for source, unread in more.items():
                if unread:
                    mine = self._waiting.get(source)
                    bound = min(bound, mine[-1].rank if mine else self.reached.get(source, UNSEEN))
        taken: list[Ranked[P, T]] = []
        for source, mine in self._waiting.items():
            if mine and mine[-1].rank <= bound:
                taken += mine
                self._waiting[source] = []
            elif mine and mine[0].rank <= bound:
                cut = _first_above(mine, bound)
                taken += mine[:cut]
                self._waiting[source] = mine[cut:]
        taken.sort(key=_rank)
        return taken


class Settling:
    """Which event times have been known for so long that other partitions have said what they have from before them."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._young: deque[tuple[float, int]] = deque()
        """(instant, event time) of what came in within `wait_s`."""

    def hear(self, now: float, new: int) -> None:
        """A run came in whose least new event time is `new`."""
        if self._wait_s and new < ENDLESS:
            self._young.append((now, new))

    def below(self, now: float) -> int:
        """What ranks below this has settled."""
        young, limit = self._young, now - self._wait_s
        while young and young[0][0] <= limit:
            young.popleft()
        return min((new for _, new in young), default=ENDLESS)

    def clear(self) -> None:
        """Forget everything."""
        self._young.clear()


def _rank(ranked: Ranked[P, T]) -> int:
    return ranked.rank


def _first_above(ranks: list[Ranked[P, T]], bound: int) -> int:
    low, high = 0, len(ranks)
    while low < high:
        middle = (low + high) // 2
        if ranks[middle].rank <= bound:
            low = middle + 1
        else:
            high = middle
    return low
