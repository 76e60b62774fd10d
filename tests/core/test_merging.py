"""Merging source partitions by event time: each keeps its order, and none runs far ahead of one that has more to read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.merging import ENDLESS, Merge, Ranked, Settling

_times = st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=12)
_partitions = st.dictionaries(st.sampled_from("abcd"), _times, min_size=1)


def filled(partitions: dict[str, list[int | None]]) -> Merge[str, int]:
    """A merge with these records; each carries its place in its partition."""
    merge = Merge[str, int]()
    for source, times in partitions.items():
        for offset, time in enumerate(times):
            merge.put(source, offset, time, offset)
    return merge


def ranks(taken: list[Ranked[str, int]]) -> list[int]:
    """The ranks of records in the order in which they were taken."""
    return [ranked.rank for ranked in taken]


@given(_partitions, st.dictionaries(st.sampled_from("abcd"), st.booleans()), st.lists(st.sampled_from("abcd")))
def test_a_partition_is_never_reordered(
    partitions: dict[str, list[int | None]], more: dict[str, bool], then: list[str]
) -> None:
    """In whatever rounds records are taken, a partition's come out in their order, all of them, once."""
    merge = filled(partitions)
    taken = merge.take(more)
    for source in then:
        merge.put(source, 100 + len(taken), None, 0)
        taken += merge.take(more)
    taken += merge.take({})
    for source, times in partitions.items():
        offsets = [ranked.offset for ranked in taken if ranked.source == source]
        assert offsets == sorted(offsets)
        assert offsets[: len(times)] == list(range(len(times)))
    assert len(merge) == 0


@given(_partitions, st.dictionaries(st.sampled_from("abcd"), st.booleans()))
def test_a_round_is_in_order_and_bounded_by_the_slowest(
    partitions: dict[str, list[int | None]], more: dict[str, bool]
) -> None:
    """A round rises by rank, leaves only what ranks above the bound, and passes no partition that has more to read."""
    merge = filled(partitions)
    taken = merge.take(more)
    assert ranks(taken) == sorted(ranks(taken))
    for source, unread in more.items():
        if unread and source in merge.reached:
            assert all(rank <= merge.reached[source] for rank in ranks(taken))
    left = merge.take({})
    assert not taken or not left or max(ranks(taken)) <= max(ranks(left))


@given(_partitions)
def test_with_nothing_unread_or_no_patience_all_goes(partitions: dict[str, list[int | None]]) -> None:
    """At the end of all partitions, or when waiting has lasted too long, everything goes, by rank."""
    count = sum(map(len, partitions.values()))
    for more, patient in (
        ({}, True),
        (dict.fromkeys(partitions, False), True),
        (dict.fromkeys(partitions, True), False),
    ):
        merge = filled(partitions)
        taken = merge.take(more, patient)
        assert len(taken) == count
        assert ranks(taken) == sorted(ranks(taken))


def test_a_late_record_goes_with_what_came_before_it() -> None:
    """A record older than its neighbour before it, or without a time, ranks with that neighbour: order before time."""
    merge = filled({"a": [10, 3, None, 12], "b": [5, 11]})
    assert [(ranked.source, ranked.offset) for ranked in merge.take({})] == [
        ("b", 0), ("a", 0), ("a", 1), ("a", 2), ("b", 1), ("a", 3)
    ]  # fmt: skip


def test_the_slowest_with_more_to_read_bounds_the_others() -> None:
    """What is ahead of a partition that has more to read waits for it, also when all that was read of it has gone."""
    merge = filled({"slow": [10], "fast": [5, 10, 11, 99]})
    assert ranks(merge.take({"slow": True, "fast": True})) == [5, 10, 10]
    assert merge.take({"slow": True, "fast": True}) == []
    merge.put("slow", 1, 50, 1)
    assert ranks(merge.take({"slow": True, "fast": True})) == [11, 50]
    assert ranks(merge.take({"slow": False, "fast": True})) == [99]


def test_forgetting_leaves_nothing() -> None:
    """After `clear` nothing waits and no partition has reached anything."""
    merge = filled({"a": [1], "b": [2]})
    merge.clear()
    assert (len(merge), merge.waiting("a"), merge.reached, merge.take({})) == (0, 0, {}, [])


WAIT = 10
_written = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 3), st.integers(0, WAIT - 1)), max_size=40
)


@given(_written)
def test_what_is_written_in_order_goes_in_order(written: list[tuple[str, int, int, int]]) -> None:
    """Where records come in within the wait after they were written, by event time, they go by event time, and all do."""
    merge, settling = Merge[str, int](), Settling(WAIT)
    time = now = 0
    arrivals: list[tuple[int, str, int]] = []
    last: dict[str, int] = {}
    for source, later, since, delay in written:
        time, now = time + later, now + since
        last[source] = max(last.get(source, 0), now + delay)
        arrivals.append((last[source], source, time))
    taken: list[Ranked[str, int]] = []
    for instant in range(now + 2 * WAIT + 1):
        for offset, (arrived, source, time) in enumerate(arrivals):
            if arrived == instant:
                settling.hear(instant, merge.put(source, offset, time, 0))
        taken += merge.take({}, below=settling.below(instant))
    assert len(taken) == len(written)
    assert ranks(taken) == sorted(ranks(taken))


@pytest.mark.parametrize("time", [500, None])
def test_a_partition_whose_time_stands_holds_nobody(time: int | None) -> None:
    """One that has ever more of one event time, or of refused records, is waited for once, and not as long as it goes on."""
    merge, settling = Merge[str, int](), Settling(WAIT)
    taken = 0
    for now in range(100):
        for source, said in (("standing", time), ("rising", 1_000 + now)):
            settling.hear(now, merge.put(source, now, said, 0))
        taken += len(merge.take({}, below=settling.below(now)))
    assert merge.waiting("standing") == 0
    assert merge.waiting("rising") == WAIT
    assert taken == 200 - WAIT


def test_only_what_settled_goes() -> None:
    """A new event time holds itself and what is above it for the wait; without a wait nothing is held."""
    merge, settling = filled({"a": [1, 5], "b": [7]}), Settling(WAIT)
    settling.hear(0, 1)
    settling.hear(3, 7)
    assert [ranks(merge.take({}, below=settling.below(now))) for now in (9, 10, 12, 13)] == [[], [1, 5], [], [7]]
    settling.hear(20, 8)
    settling.clear()
    at_once = Settling(0)
    at_once.hear(20, 8)
    assert settling.below(20) == at_once.below(20) > 1 << 60


@given(st.lists(st.lists(st.one_of(st.none(), st.integers(-50, 50)), max_size=8), max_size=4))
def test_a_run_goes_in_as_its_records_do(runs: list[list[int | None]]) -> None:
    """Runs of a partition leave the same behind as their records one by one, and say the least of what those say."""
    together, apart = Merge[str, int](), Merge[str, int]()
    for run in runs:
        records = [(offset, time, offset) for offset, time in enumerate(run)]
        said = together.put_run("a", records)
        assert said == min((apart.put("a", *record) for record in records), default=ENDLESS)
        assert together.reached == apart.reached
    assert together.take({}) == apart.take({})
