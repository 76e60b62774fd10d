"""Sorted runs become one, however many they are."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from streams.offline_spill import Run, records_of, store

FAN_IN = 64
"""Runs that are merged at a time: 10 MB of blocks."""


Kept = Callable[[bytes], bool]
"""Which records are wanted."""


def merged(runs: Sequence[Run], place: Path, fan_in: int = FAN_IN, kept: Kept | None = None) -> Iterator[bytes]:
    """The records of all runs that are `kept`, in order. More than `fan_in` runs are first merged to fewer, in files that
    begin with `place`.

    Raises `UserFacingError` when there is no room for them.
    """
    left = list(runs)
    for n in itertools.count():
        if len(left) <= fan_in:
            break
        first, left = left[:fan_in], left[fan_in:]
        left.append(store(place.with_name(f"{place.name}.{n}"), heapq.merge(*(_records(run, kept) for run in first))))
    if len(left) == 1:
        return _records(left[0], kept)
    return heapq.merge(*(_records(run, kept) for run in left))


def _records(run: Run, kept: Kept | None) -> Iterator[bytes]:
    return records_of(run) if kept is None else filter(kept, records_of(run))
