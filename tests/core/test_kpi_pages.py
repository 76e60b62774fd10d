"""KPI sums kept in pages: what any flush kept is read again as it was, from no more than it names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lifestage import kpi_pages
from lifestage.kpi_days import Days, Entry, _never
from lifestage.kpi_pages import KeptDays, Written, named
from lifestage.marker import Marker, decode_marker, encode_marker
from lifestage.money import MAX_MINOR
from tests.core.effort import effort
from tests.core.test_kpi_days import NAMES, by_hand

some = st.tuples(
    st.sampled_from([*NAMES, *(("sessions_by_source", f"s{n}", "x") for n in range(6))]),
    st.integers(-5, 40),
    st.one_of(st.integers(-3, 3), st.sampled_from((1 << 62, 1 - (1 << 62), -(1 << 63), 5 * (1 << 64) + 1))),
)
acts = st.lists(st.one_of(st.lists(some, max_size=200), st.integers(-8, 45), st.none()), max_size=25)
WINDOW = 9


def read(written: Written, kept: dict[bytes, bytes]) -> Days:
    """What a recovery makes of it, with the pages that it names and no others."""
    mark = decode_marker(encode_marker(Marker(kpis=written.mark))).kpis
    assert mark is not None
    assert named(mark, kept) == written.named
    return KeptDays.read(mark, {key: kept[key] for key in written.named}, _never).days


@contextmanager
def limits(late: int, journal: int) -> Iterator[None]:
    """Other limits for a while, so that few entries fill a marker and few pages the journal."""
    before = kpi_pages.LATE_MAX, kpi_pages.JOURNAL_MAX
    kpi_pages.LATE_MAX, kpi_pages.JOURNAL_MAX = late, journal
    try:
        yield
    finally:
        kpi_pages.LATE_MAX, kpi_pages.JOURNAL_MAX = before


@effort(300)
@given(acts, st.sampled_from(((60, 24), (5, 3), (0, 1), (3, 0))))
def test_what_was_kept_is_read_as_it_was(told: list[list[Entry] | int | None], most: tuple[int, int]) -> None:
    """After any flush, now and on all days to come; also by who has read it once before and goes on from there."""
    with limits(*most):
        _go_on(told)


def _go_on(told: list[list[Entry] | int | None]) -> None:
    first, kept = KeptDays(Days(WINDOW, 0)), dict[bytes, bytes]()
    written = first.write()
    both, added = [first, first], list[Entry]()
    for act in told:
        if isinstance(act, list):
            both[0].days.add(act)
            if both[1] is not both[0]:
                both[1].days.add(act)
            added += act
        elif act is not None:
            for one in both:
                one.days.turn(act)
        else:
            for one in dict.fromkeys(both):
                written = one.write()
                kept |= written.pages
                assert all(len(page) < 64_000 for page in written.pages.values())
                again = read(written, kept)
                again.turn(one.days.day)
                assert again.totals() == by_hand(added, WINDOW, one.days.day)
                assert again.places == one.days.places
                for day in range(one.days.day, one.days.day + 45, 7):
                    again.turn(day)
                    assert again.totals() == by_hand(added, WINDOW, day)
            mark = decode_marker(encode_marker(Marker(kpis=written.mark))).kpis
            assert mark is not None
            both[1] = KeptDays.read(mark, {key: kept[key] for key in written.named}, _never)
            both[1].days.turn(both[0].days.day)


def test_a_flush_writes_little_of_much() -> None:
    """A hundred days are there: what a few entries add stands in the marker, and all of it is written anew now and then only."""
    kept = KeptDays(Days(90, 0))
    for day in range(100):
        kept.days.add([((f"sum{n}", "a-label-of-some-length"), day, 1) for n in range(100)])
    first = kept.write()
    assert len(first.pages) >= 100
    written, marks = 0, 0
    for n in range(1_000):
        kept.days.add([((f"sum{(n + m) % 100}", "a-label-of-some-length"), m % 3, 1) for m in range(3)])
        again = kept.write()
        written += sum(map(len, again.pages.values()))
        marks += len(msgspec.msgpack.encode(again.mark))
    assert marks < 1_000 * 4_000
    assert written < 1_000 * 1_000


def test_a_lost_page_is_found() -> None:
    """Whichever it is of those that the marker needs: of the index, of days, of the journal."""
    kept, pages = KeptDays(Days(90, 0)), dict[bytes, bytes]()
    last = kept.write()
    for times in (100, 1):
        for day in range(times):
            kept.days.add([((f"sum{n}",), day, 1) for n in range(100)])
        last = kept.write()
        pages |= last.pages
    assert KeptDays.read(last.mark, pages, _never).days.totals()["sum7",] == 2
    assert len(last.named) > 100
    assert last.mark.journal
    for lost in last.named:
        with pytest.raises(LookupError):
            KeptDays.read(last.mark, {key: page for key, page in pages.items() if key != lost}, _never)


def test_the_longest_labels_fit_a_record() -> None:
    """A page of entries whose labels are all as long as they can be stays below 64 KB."""
    kept = KeptDays(Days(90, 0))
    label = "x" * 40
    for n in range(3 * kpi_pages.ENTRIES_MAX):
        kept.days.add([(("a_sum_of_a_long_name_in_it_" + str(n), label, label), 3, 1 << 50)])
    written = kept.write()
    assert all(len(page) < 64_000 for page in written.pages.values())
    assert len(written.pages) == 3


@given(st.lists(st.integers(-(1 << 140), 1 << 140), min_size=3, max_size=3))
@example([1 << 62, 1 << 63, -(1 << 62)])
@example([1, -1, (1 << 62) - 1])
def test_sums_of_any_size_are_kept_as_they_are(sums: list[int]) -> None:
    """Of a company whose revenue has more than 64 bits a flush goes through, and the next owner has the same."""
    marker = Marker(sums={"EUR": sums, "USD": [1, 2, 3]})
    assert decode_marker(encode_marker(marker)) == marker
    assert marker.sums["EUR"] is sums


def test_many_orders_of_the_greatest_amount_are_kept() -> None:
    """A million of them in a window, journal and sections alike."""
    for most in ((60, 24), (0, 0)):
        with limits(*most):
            kept = KeptDays(Days(WINDOW, 0))
            for day in (0, 1):
                kept.days.add(
                    [
                        (("gross_revenue", "EUR"), day, MAX_MINOR * 1_000_000),
                        (("~clv_1_sum", "EUR"), day, -MAX_MINOR * 1_000_000),
                    ]
                )
            written = kept.write()
            found = read(written, written.pages)
            found.turn(1)
            assert found.totals() == {
                ("gross_revenue", "EUR"): 2 * MAX_MINOR * 10**6,
                ("clv_1_sum", "EUR"): -2 * MAX_MINOR * 10**6,
            }
