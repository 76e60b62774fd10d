"""The log's clock: up to which instant all facts are believed to be in the log."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage.clock import Source, read_clock

NOW = 1_000_000
LIVE_WITHIN = 60_000
SLACK = 2_000


def source(partition: int, unread: int, reached: int | None, topic: str = "visits") -> Source:
    """A source partition of 50 records of which so many are unread."""
    return Source(topic, partition, end=50, committed=50 - unread, reached=reached)


READ = source(0, 0, NOW - 500)
EMPTY = Source("emails", 0, end=0, committed=0, reached=None)
QUIET = source(1, 0, 10)
UNKNOWN = source(2, 0, None)

CASES: dict[str, tuple[list[Source], int | None, int | None, bool, list[int]]] = {
    # name: sources, time in mode wall, time in mode data, live in mode wall, partitions that hold
    "all read": ([READ], NOW, NOW - 500 - SLACK, True, []),
    "idle partitions hold nothing": ([READ, EMPTY, QUIET, UNKNOWN], NOW, NOW - 500 - SLACK, True, []),
    "nothing was ever written": ([EMPTY], NOW, None, True, []),
    "a backlog holds at what was reached": ([READ, source(3, 9, 400_000)], 398_000, 398_000, False, [3]),
    "the furthest behind holds": ([source(3, 9, 400_000), source(4, 1, 300_000)], 298_000, 298_000, False, [4, 3]),
    "a short backlog is live": ([READ, source(3, 1, NOW - 50_000)], NOW - 52_000, NOW - 52_000, True, [3]),
    "a backlog just out of live": ([source(3, 1, NOW - 58_001)], NOW - 60_001, NOW - 60_001, False, [3]),
    "a backlog just within live": ([source(3, 1, NOW - 58_000)], NOW - 60_000, NOW - 60_000, True, [3]),
    "unread and never read: nothing can be said": ([READ, source(5, 50, None)], None, None, False, [5]),
    "never read is the furthest behind": ([source(3, 1, 5), source(5, 50, None)], None, None, False, [5, 3]),
    "an instant 0 was reached": ([source(6, 1, 0), source(5, 2, 7)], -SLACK, -SLACK, False, [6, 5]),
    "data from the future does not push the clock": ([source(3, 1, NOW + 90_000)], NOW, NOW + 88_000, True, [3]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("mode", ["wall", "data"])
def test_the_table_of_clocks(name: str, mode: Literal["wall", "data"]) -> None:
    """Unread records hold the clock where reading has come to; with nothing unread it is the wall clock, or the data's end."""
    sources, wall, data, live, holders = CASES[name]
    reading = read_clock(NOW, sources, mode, SLACK, LIVE_WITHIN)
    assert reading.time == (wall if mode == "wall" else data)
    assert reading.live == (live and mode == "wall")
    assert [held.partition for held in reading.holders] == holders


_sources = st.lists(
    st.builds(
        source, st.integers(0, 9), st.integers(0, 50), st.one_of(st.none(), st.integers(0, 2 * NOW)), st.just("visits")
    ),
    min_size=1,
)


@given(_sources, st.randoms(use_true_random=False))
def test_the_order_of_sources_plays_no_part(sources: list[Source], chance: object) -> None:
    """Whoever is asked first, the clock reads the same."""
    shuffled = list(sources)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (read_clock(NOW, known, "wall", SLACK, LIVE_WITHIN) for known in (sources, shuffled))
    assert (first.time, first.live) == (second.time, second.live)


@given(_sources)
def test_nobody_whose_events_wait_is_overtaken(sources: list[Source]) -> None:
    """The clock is past no instant that a partition with unread records has yet to reach, nor past the wall clock."""
    time = read_clock(NOW, sources, "wall", SLACK, LIVE_WITHIN).time
    for known in sources:
        if known.committed < known.end:
            assert time is None or (known.reached is not None and time <= known.reached - SLACK)
    assert time is None or time <= NOW
