"""Sorted runs become one, however many they are."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from streams.offline_spill import Run, records_of, store

FAN_IN = 64
"""Runs that are merged at a time: 10 MB of blocks."""


def merged(runs: Sequence[Run], place: Path, fan_in: int = FAN_IN) -> Iterator[bytes]:
    """The records of all runs, in order. More than `fan_in` runs are first merged to fewer, in files that begin with `place`.

    Raises `UserFacingError` when there is no room for them.
    """
    left = list(runs)
    for n in itertools.count():
        if len(left) <= fan_in:
            break
        first, left = left[:fan_in], left[fan_in:]
        left.append(store(place.with_name(f"{place.name}.{n}"), heapq.merge(*map(records_of, first))))
    if len(left) == 1:
        return records_of(left[0])
    return heapq.merge(*map(records_of, left))
