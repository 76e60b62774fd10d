"""A profile of any size is kept in small records, and read back whole however its keeping was cut off."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import pages, shelf
from lifestage.change import encode_value
from lifestage.facts import ConsentChanged, Fact, OrderUpdated
from lifestage.marker import MARKER_KEY, PREPARED_KEY, Marker
from lifestage.partition import Partition
from lifestage.profile import Profile, decode_head, encode
from lifestage.shelf import Shelf
from lifestage.state import StateError
from tests.core.effort import effort
from tests.core.histories import START, Record, Tick, at_day, cancel, order, partition, record, records, refund, visit
from tests.core.test_restore import Kept, flushes, read, records_of

some = effort(60)
RECORD_MAX = 64 * 1024


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pages are cut from 300 bytes on, so that short histories have many, names in pages too."""
    with monkeypatch.context() as patched:
        shrink(patched)
        yield


def shrink(patched: pytest.MonkeyPatch) -> None:
    """Let profiles of 300 bytes be kept in pages of 40 to 120."""
    for name, bytes_ in (("ABOVE", 300), ("SMALLEST", 40), ("LARGEST", 120), ("NAMES_MAX", 6)):
        patched.setattr(pages, name, bytes_)


def grown(events: int, seed: int = 1) -> list[Fact | Tick]:
    """A year of one customer: visits, orders, refunds and cancellations, some late, and a tick now and then."""
    drawn, found, placed = random.Random(seed), list[Fact | Tick](), 0
    for n in range(events):
        day = 365 * n / events + drawn.choice((0, 0, 0, -2)) + drawn.random() / 100
        what = drawn.random()
        if what < 0.25 or not placed:
            placed += 1
            found.append(order(day, f"e{n}", f"o{placed}", drawn.randrange(100, 99_999)))
        elif what < 0.3:
            found.append(refund(day, f"e{n}", f"o{drawn.randint(1, placed)}", drawn.randrange(100, 9_999)))
        elif what < 0.33:
            found.append(cancel(day, f"e{n}", f"o{drawn.randint(1, placed)}"))
        elif what < 0.35:
            found.append(at_day(day))
        else:
            found.append(visit(day, f"e{n}"))
    return found


def sizes(kept: list[Kept]) -> list[int]:
    """Bytes of each record but the marker, with its key."""
    return [len(one.key) + len(one.value or b"") for one in kept if one.key != MARKER_KEY]


def whole(made: Partition) -> dict[bytes, bytes]:
    """Every profile as it would be kept without pages."""
    return dict(made.whole())


# -- cutting and joining -----------------------------------------------------------------------------------------------


@some
@given(st.integers(0, 3_000_000), st.integers(0, 1 << 32), st.booleans())
def test_what_is_cut_is_joined(size: int, seed: int, dull: bool) -> None:
    """Bytes of any size, random or all alike, come back as they were, from records of at most 64 KB and a head."""
    content = b"\0" * size if dull else random.Random(seed).randbytes(size)
    profile = Profile(due=7, stage="reach", applied=12, newest=START)
    main, cut = pages.split(b"c1", profile, content or b"x")
    assert pages.join(b"c1", main, cut) == (content or b"x")
    assert pages.named(b"c1", main, cut) == cut.keys()
    assert max(len(value) + len(key) for key, value in [(b"c1", main), *cut.items()]) <= RECORD_MAX
    head = decode_head(main)
    assert (head.due, head.stage, head.format, head.applied) == (7, "reach", pages.PAGED, 12)
    assert pages.is_paged(main)
    assert all(pages.is_page(key) and pages.owner(key) == b"c1" for key in cut)


@some
@given(st.integers(100_000, 400_000), st.integers(0, 1 << 32), st.data())
def test_a_change_in_the_middle_leaves_the_rest(size: int, seed: int, data: st.DataObject) -> None:
    """Bytes put in or taken out anywhere change the pieces that they touch and one or two beside; all others stay."""
    content = random.Random(seed).randbytes(size)
    at = data.draw(st.integers(0, size))
    put, taken = data.draw(st.binary(max_size=30)), data.draw(st.integers(0, 30))
    before, after = pages.cut(content), pages.cut(content[:at] + put + content[at + taken :])
    assert len(set(after) - set(before)) <= 6


def test_keys_of_pages_are_told_from_others() -> None:
    """The keys of customers and markers are no pages'; a page's key is, whatever bytes its name has."""
    for key in (b"c1", b"", "größe".encode(), b"anon:v", MARKER_KEY):
        assert not pages.is_page(key)
    assert pages.is_page(b"c1\0" + b"\0" * 16)
    assert pages.owner(b"c1\0" + b"\0" * 16) == b"c1"


def test_a_profile_without_pages_is_its_own_record() -> None:
    """Up to 60,000 bytes a profile is kept as older releases keep it."""
    made = partition()
    made.fold(records([order(n, f"e{n}", f"o{n}") for n in range(900)]))
    kept, value = made.checkpoint(), encode(made.shown(b"c1") or Profile())
    assert 40_000 < len(value) <= pages.ABOVE
    assert (kept.pages, kept.profiles) == ({}, {b"c1": value})
    assert pages.join(b"c1", value, {}) == value


# -- histories ---------------------------------------------------------------------------------------------------------


def test_no_record_is_large() -> None:
    """A customer with 3,000 events, an order changed 400 times and 4,000 purposes is kept in records of at most 64 KB."""
    asked = [
        ConsentChanged(time=START + n, source="s", id=f"p{n}", customer_id="c1", purposes=dict.fromkeys((f"p{n}-{m}" for m in range(50)), True))
        for n in range(80)
    ]  # fmt: skip
    updates = [
        OrderUpdated(time=START + n, source="s", id=f"u{n}", customer_id="c1", order_id="o1", currency="EUR",
                     total_minor=n, net_minor=n)
        for n in range(400)
    ]  # fmt: skip
    visits = [visit(1 + n / 1_000, f"v{n}") for n in range(1_500)]
    orders = [order(3 + n / 10, f"e{n}", f"o{n}", n) for n in range(1_000)]
    kept = flushes(records([*asked, *updates, *visits, *orders]), 600)
    assert max(size for flush in kept for size in sizes(flush)) <= RECORD_MAX
    made = read([one for flush in kept for one in flush])
    assert sum(len(value) for value in whole(made).values()) > 150_000


def test_a_year_of_20_000_events_is_kept_in_small_records() -> None:
    """A customer with 20,000 events, every fourth an order, is kept in records of at most 64 KB and read back whole."""
    days = [(n, n / 55) for n in range(20_000)]
    history = records([visit(day, f"e{n}") if n % 4 else order(day, f"e{n}", f"o{n}", n) for n, day in days])
    made, kept = partition(), list[Kept]()
    for at in range(0, len(history), 4_000):
        made.fold(history[at : at + 4_000])
        kept += records_of(made.checkpoint())
    profile = made.shown(b"c1")
    assert profile is not None
    assert len(profile.orders) == 5_000
    assert max(sizes(kept)) <= RECORD_MAX
    assert whole(read(compacted(kept))) == whole(made)


def test_a_flush_writes_what_changed() -> None:
    """One more order of a customer with 2,000 rewrites a few pages, and none that is not touched."""
    made = partition()
    made.fold(records([order(n / 10, f"e{n}", f"o{n}") for n in range(2_000)]))
    first = made.checkpoint()
    made.fold([record(2_000, order(201, "e", "o"))])
    second = made.checkpoint()
    new = [value for value in second.pages.values() if value is not None]
    assert sum(len(value or b"") for value in first.pages.values()) > 80_000
    assert len(new) <= 6
    assert sum(map(len, new)) < 40_000


class Oracle(Partition):
    """A partition that keeps every profile as one record, and decodes it anew for each fold."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.shelf = Plain()


class Plain(Shelf):
    """A shelf that is never used."""

    def put(self, _: bytes, profile: Profile) -> bytes:
        """Encode a profile."""
        return encode(profile)


def plain(history: list[Record], every: int) -> tuple[dict[bytes, bytes], list[bytes], Marker]:
    """What a partition without pages makes of a log: profiles, changes, counts."""
    made, told = partition(), list[bytes]()
    oracle = Oracle(made.rules, made.topic, made.number)
    for at in range(0, len(history), every):
        told += [encode_value(change.data) for change in oracle.fold(history[at : at + every])]
        oracle.checkpoint()
    return dict(oracle.stored.items()), told, oracle.marker


def compacted(changelog: list[Kept], tombstones: bool = False) -> list[Kept]:
    """What compaction leaves: the newest record of each key, in their order, with or without tombstones."""
    newest = {one.key: at for at, one in enumerate(changelog)}
    left = [one for at, one in enumerate(changelog) if newest[one.key] == at]
    return [one for one in left if tombstones or one.value is not None]


@st.composite
def cuts(draw: st.DrawFn) -> tuple[list[Record], int, list[tuple[int, int, bool]]]:
    """A log, how often it is kept, and lives: each ends after so many log records, so many records into its last flush.

    After some the changelog is compacted.
    """
    made = grown(draw(st.integers(20, 120)), draw(st.integers(0, 1 << 16)))
    history = records([*made, at_day(draw(st.sampled_from((366, 600))))])
    lives = draw(st.lists(st.tuples(st.integers(1, len(history)), st.integers(0, 60), st.booleans()), max_size=5))
    return history, draw(st.integers(5, 40)), lives


def survived(history: list[Record], every: int, lives: list[tuple[int, int, bool]]) -> list[Kept]:
    """The changelog of lives that were cut off; the last one folds all and keeps it."""
    changelog: list[Kept] = []
    for until, cut, compact in [*lives, (len(history), -1, True)]:
        now = read(changelog)
        while now.applied < until - 1:
            now.fold(history[now.applied + 1 : min(until, now.applied + 1 + every)])
            kept = now.checkpoint()
            found = records_of(kept) if kept.final else records_of(kept)[:-1]
            if kept.final:
                found.insert(0, Kept(PREPARED_KEY, kept.marker))
            changelog += found[:cut] if now.applied >= until - 1 and cut >= 0 else found
        if compact:
            changelog = compacted(changelog)
    return changelog


@pytest.mark.usefixtures("tiny")
class TestTiny:
    """With pages so small that a short history has dozens."""

    @some
    @given(cuts())
    def test_a_flush_that_is_cut_off_anywhere_is_read_whole(
        self, case: tuple[list[Record], int, list[tuple[int, int, bool]]]
    ) -> None:
        """However flushes are cut off and compacted, what is read back in the end is what one record each would hold."""
        history, every, lives = case
        profiles, _, marker = plain(history, len(history))
        found = read(survived(history, every, lives))
        assert whole(found) == profiles
        assert found.marker == marker
        assert found.shelf.pages.keys() == frozenset().union(*found.shelf.named.values())

    @some
    @given(st.integers(20, 100), st.integers(0, 1 << 16), st.integers(1, 30))
    def test_pages_change_nothing(self, events: int, seed: int, every: int) -> None:
        """Changes, profiles and counts are those of a partition that knows no pages and keeps nothing decoded."""
        history = records(grown(events, seed))
        made, told = partition(), list[bytes]()
        for at in range(0, len(history), every):
            told += [encode_value(change.data) for change in made.fold(history[at : at + every])]
            made.checkpoint()
        assert (whole(made), told, made.marker) == plain(history, every)

    @some
    @given(st.integers(20, 80), st.integers(0, 1 << 16), st.integers(1, 20), st.integers(1, 20), st.data())
    def test_the_furthest_writer_counts_with_pages_too(
        self, events: int, seed: int, every: int, other: int, data: st.DataObject
    ) -> None:
        """A former owner's mains, pages and tombstones anywhere among the owner's lead to the owner's profiles."""
        history = records(grown(events, seed))
        owner = [one for flush in flushes(history, every) for one in flush]
        until = data.draw(st.integers(0, len(history)))
        waiting = [one for flush in flushes(history[:until], other) for one in flush]
        mixed: list[Kept] = []
        for one in owner:
            late = data.draw(st.integers(0, 4))
            mixed += [*waiting[:late], one]
            del waiting[:late]
        assert whole(read([*mixed, *waiting])) == plain(history, len(history))[0]

    def test_no_page_is_left_behind(self) -> None:
        """After a cut-off flush the pages that nobody names go with the next; in the end there are those that are named."""
        history = records(grown(100))
        changelog = survived(history, 20, [(30, 3, False), (60, 5, False)])
        again = read(changelog)
        again.fold([record(len(history), visit(400, "z"))])
        changelog += records_of(again.checkpoint())
        again.fold([record(len(history) + 1, visit(401, "zz"))])
        changelog += records_of(again.checkpoint())
        there: dict[bytes, bytes] = {}
        for key, value, _ in changelog:
            there.pop(key, None)
            if value is not None:
                there[key] = value
        left = {key for key in there if pages.is_page(key)} - pages.named(b"c1", there[b"c1"], there)
        # those that the last flush replaced go with the one after it
        assert left <= set(again.shelf.begin())

    def test_a_page_is_removed_after_its_successor_is_kept(self) -> None:
        """A flush removes only pages that no main record of an earlier flush names."""
        kept = flushes(records(grown(100)), 10)
        named: frozenset[bytes] = frozenset()
        removed = 0
        there: dict[bytes, bytes] = {}
        for flush in kept:
            gone = {one.key for one in flush if one.value is None}
            assert not gone & named
            removed += len(gone)
            there.update({one.key: one.value for one in flush if one.value is not None})
            if pages.is_paged(there[b"c1"]):
                named = pages.named(b"c1", there[b"c1"], there)
        assert removed > 20

    def test_a_customer_shrinks(self) -> None:
        """When a profile needs no pages any more it is one record again, and its pages go."""
        made = partition()
        made.fold(records([visit(n / 100, f"e{n}") for n in range(60)]))
        assert pages.is_paged(made.checkpoint().profiles[b"c1"] or b"")
        made.fold([record(60, at_day(60)), record(61, visit(60, "z"))])
        shrunk = made.checkpoint()
        assert not pages.is_paged(shrunk.profiles[b"c1"] or b"")
        made.fold([record(62, visit(61, "zz"))])
        assert set(made.checkpoint().pages.values()) == {None}
        assert made.shelf.pages == {}

    def test_a_missing_page_is_no_state(self) -> None:
        """A record that the marker vouches for, and whose page is gone, ends the start, with whose it is and what to do."""
        kept = [one for flush in flushes(records(grown(60)), 60) for one in flush]
        missing = [one for one in kept if not pages.is_page(one.key)]
        with pytest.raises(
            StateError, match=r"\[3\]: the profile of 'c1' in the changelog is corrupt \(pages that it names"
        ):
            read(missing)

    def test_a_page_of_other_bytes_is_no_state(self) -> None:
        """A page whose bytes are not those that it is named after is refused when it is read."""
        kept = [one for flush in flushes(records(grown(60)), 60) for one in flush]
        page = next(one for one in kept if pages.is_page(one.key))
        assert page.value is not None
        for wrong in (page.value[:-1], page.value[:-1] + bytes([page.value[-1] ^ 1]), b""):
            with pytest.raises(StateError, match="a page of it holds other bytes than were kept"):
                partition().restore(page.key, wrong)

    def test_a_record_that_is_ahead_without_its_pages_is_passed_over(self) -> None:
        """A former owner's record beyond the marker, whose pages a new owner removed, is left: the log leads there again."""
        history = records(grown(60))
        first, second = flushes(history, 30)
        mains = [one for one in second if one.key == b"c1"]
        found = read([*first, *mains])
        assert whole(found) == whole(read(first))
        found.fold(history)
        found.checkpoint()
        assert whole(found) == plain(history, 60)[0]

    def test_a_page_that_is_removed_late_is_written_again(self) -> None:
        """A former owner's late tombstone takes no page that is named; the next flush writes the page once more."""
        kept = [one for flush in flushes(records(grown(60)), 60) for one in flush]
        page = next(one for one in kept if pages.is_page(one.key))
        found = read([*kept, Kept(page.key, None)])
        assert whole(found) == whole(read(kept))
        found.fold([record(60, visit(400, "z", "c2"))])
        again = found.checkpoint()
        assert again.pages == {page.key: page.value}
        assert again.profiles[b"c1"] == found.stored[b"c1"]
        assert whole(read([*compacted([*kept, Kept(page.key, None)]), *records_of(again)])) == whole(found)


class Eager(Shelf):
    """A shelf that removes a page in the very flush that ceases to name it."""

    def take(self, gone: set[bytes]) -> dict[bytes, bytes | None]:
        """Remove what is named no more."""
        return super().take(gone | self._unnamed)


def test_a_page_that_goes_too_early_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were pages removed with the flush that replaces them, one that is cut off would leave the old record without them."""
    shrink(monkeypatch)
    history = records(grown(60))
    for kind in (Shelf, Eager):
        made = partition()
        made.shelf = kind()
        made.fold(history[:40])
        first = records_of(made.checkpoint())
        made.fold(history[40:])
        cut = [one for one in records_of(made.checkpoint()) if pages.is_page(one.key)]
        if kind is Shelf:
            assert whole(read(compacted([*first, *cut]))) == whole(read(first))
        else:
            with pytest.raises(StateError, match="pages that it names are missing"):
                read(compacted([*first, *cut]))


def test_large_profiles_stay_decoded_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between flushes large profiles stay decoded up to so many encoded bytes, those that were folded last."""
    shrink(monkeypatch)
    monkeypatch.setattr(shelf, "WARM_BYTES", 12_000)
    made = partition()
    for n in range(8):
        made.fold([record(n * 40 + at, order(at, f"e{at}", f"o{at}", customer=f"c{n}")) for at in range(40)])
        made.checkpoint()
    warm = made.shelf._warm
    assert list(warm) == sorted(warm)[-len(warm) :]
    assert "c7" in [key.decode() for key in warm]
    assert len(warm) < 8
    assert sum(size for _, size in warm.values()) <= 12_000
    assert made.shelf._warmth == sum(size for _, size in warm.values())
