"""KPI sums by day: entries in any order, days that pass, and whole days against the offline functions."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage.kpi_contribute import Sums
from lifestage.kpi_days import LEVEL, PLACES_MAX, Days, Entry, Name, end_of_day, whole_days
from lifestage.moments import DAY_MS
from tests.core.effort import effort

NAMES: tuple[Name, ...] = (("a",), ("b", "EUR"), (LEVEL + "a",), (LEVEL + "c",))
far = st.sampled_from((-200, -96, 95, 96, 191, 192, 400))
entries = st.lists(
    st.tuples(st.sampled_from(NAMES), st.one_of(st.integers(-5, 30), far), st.integers(-3, 3)), max_size=30
)
acts = st.lists(st.one_of(entries, st.integers(-8, 40), far), max_size=12)


def by_hand(added: list[Entry], window: int, day: int) -> Sums:
    """The sums as the definition says."""
    found: Sums = Counter()
    for name, at, amount in added:
        lasts = name[0].startswith(LEVEL)
        if at <= day and (lasts or at > day - window):
            found[(name[0].removeprefix(LEVEL), *name[1:])] += amount
    return Counter({name: amount for name, amount in found.items() if amount})


@effort(400)
@given(acts, st.integers(1, 20), st.integers(-10, 10))
def test_sums_are_those_of_the_entries(told: list[list[Entry] | int], window: int, day: int) -> None:
    """Whenever they are added, before their day, on it or long after it, and however the days pass."""
    days, added = Days(window, day), list[Entry]()
    for act in told:
        if isinstance(act, int):
            days.turn(act)
        else:
            days.add(act)
            added += act
        assert days.totals() == by_hand(added, window, days.day)
        days.recount()
        assert days.totals() == by_hand(added, window, days.day)


@effort(100)
@given(acts, entries, st.integers(1, 20))
def test_what_is_taken_back_leaves_nothing(told: list[list[Entry] | int], last: list[Entry], window: int) -> None:
    """Also when some of it has left the window meanwhile: not even a record of a day."""
    days, added = Days(window, 0), list[Entry]()
    for act in [*told, last]:
        if isinstance(act, int):
            days.turn(act)
        else:
            days.add(act)
            added += act
    days.add(added, -1)
    assert not days.totals()
    days.settle()
    assert not days.base
    assert not any(days.flows.values())
    assert not any(days.levels.values())


def test_whole_days_end_with_a_day() -> None:
    """The window of seven days up to day 10 holds the first millisecond of day 4 and the last of day 10; nothing of today is over."""
    span = whole_days(10, 7)
    assert [span.has(at) for at in (4 * DAY_MS - 1, 4 * DAY_MS, 11 * DAY_MS - 1, 11 * DAY_MS)] == [
        False,
        True,
        True,
        False,
    ]
    assert span.end == end_of_day(10)
    assert [span.is_over(at) for at in (10 * DAY_MS - 1, 10 * DAY_MS)] == [True, False]


@pytest.mark.parametrize("kind", ["sessions_by_source", LEVEL + "sessions_by_source"])
def test_values_that_events_name_are_bounded_first_come(kind: str) -> None:
    """Those beyond are `other` for good, also when they are taken back; those of before stay what they are."""
    days = Days(7, 0)
    for n in range(100_000):
        days.add([((kind, f"spam-{n}", "x"), 0, 1)])
    found = days.totals()
    assert len(found) == PLACES_MAX + 1
    assert found["sessions_by_source", "other", "other"] == 100_000 - PLACES_MAX
    for n in range(100_000):
        days.add([((kind, f"spam-{n}", "x"), 0, 1)], -1)
    assert not days.totals()
    assert len(days._names) <= PLACES_MAX + 1
