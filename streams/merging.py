"""Merging source partitions by event time, record by record, without ever reordering one of them.

Each partition's records are ranked by the greatest event time seen in it so far, which never falls along the partition;
so a stable sort by rank keeps each partition's own order. What may be passed on is bounded by the slowest partition
that has more to read.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

import msgspec

P = TypeVar("P", bound=Hashable)
T = TypeVar("T")


BEFORE_ALL = -(1 << 60)
"""Rank of refused records before any event time was seen in their partition."""
UNSEEN = BEFORE_ALL - 1
"""Bound of a partition that has records, none of which came in yet: it may have anything to say."""


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
        """Add a partition's next record, and say its rank; `time` None (a refused record) ranks with what came before."""
        reached = self.reached.get(source)
        if time is not None and (reached is None or time > reached):
            reached = self.reached[source] = time
        rank = reached if reached is not None else BEFORE_ALL
        self._waiting.setdefault(source, []).append(Ranked(rank, source, offset, item))
        return rank

    def waiting(self, source: P) -> int:
        """Records of a partition that are in here."""
        return len(self._waiting.get(source, ()))

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def clear(self) -> None:
        """Forget everything: the partitions will be read again from what is committed."""
        self._waiting.clear()
        self.reached.clear()

    def take(self, more: Mapping[P, bool], patient: bool = True, below: int = 1 << 62) -> list[Ranked[P, T]]:
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
