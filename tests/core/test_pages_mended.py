"""A page that is written again stands behind the record that names it: wherever compaction leaves it, it is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import pages
from lifestage.partition import Partition
from lifestage.state import StateError
from tests.core.effort import effort
from tests.core.histories import partition, record, records, visit
from tests.core.test_pages import compacted, grown, shrink, whole
from tests.core.test_restore import Kept, due, flushes, read, records_of

some = effort(150)
KEY = b"c1"


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pages are cut from 300 bytes on, so that short histories have many, names in pages too."""
    with monkeypatch.context() as patched:
        shrink(patched)
        yield


class Spoilt(NamedTuple):
    """A changelog in which pages were removed late and written again, and up to where it may be compacted."""

    changelog: list[Kept]
    until: int
    """Behind it stand a former owner's late records, which compaction must leave alone until they are written over."""


@st.composite
def spoilt(draw: st.DrawFn) -> Spoilt:
    """Pages in force are removed after any flush; they are written again alone, or by a new owner, sooner or later."""
    history, every = records(grown(draw(st.integers(20, 100)), draw(st.integers(0, 1 << 16)))), draw(st.integers(4, 40))
    made, changelog, removed = partition(), list[Kept](), set[bytes]()
    for at in range(0, len(history), every):
        made.fold(history[at : at + every])
        changelog += records_of(made.checkpoint())
        in_force = sorted(made.shelf.named.get(KEY, ()))
        late = draw(st.lists(st.sampled_from(in_force), max_size=3, unique=True)) if in_force else []
        changelog += [Kept(page, None) for page in late]
        removed.update(late)
        then = draw(st.sampled_from(("nothing", "alone", "new owner")))
        if then == "alone":
            changelog += _alone(made, removed)
        elif then == "new owner":
            made = read(changelog)
            removed.clear()
    made.fold([record(len(history), visit(400, "z", "c2"))])
    changelog += records_of(made.checkpoint())
    until = len(changelog)
    former = flushes(history[: draw(st.integers(0, len(history)))], draw(st.integers(4, 40)))
    mains = [one for flush in former for one in flush if one.key == KEY]
    changelog += mains[: draw(st.integers(0, 2))]
    return Spoilt([*changelog, *_alone(made, removed)], until)


def _alone(made: Partition, removed: set[bytes]) -> list[Kept]:
    """The removed pages that are still in force, once more, without the record that names them."""
    found = [Kept(page, made.shelf.pages[page]) for page in sorted(removed) if page in made.shelf.pages]
    removed.clear()
    return found


def state(made: Partition) -> tuple[object, ...]:
    """All that a partition has read."""
    return whole(made), made.shelf.pages, made.shelf.named, made.marker, due(made), made.outdone


@some
@given(spoilt(), st.data(), st.booleans())
def test_compaction_takes_nothing(case: Spoilt, data: st.DataObject, tombstones: bool) -> None:
    """However much of a changelog with pages that were written again is compacted, the same state is read."""
    until = data.draw(st.integers(0, case.until) | st.just(case.until))
    left = [*compacted(case.changelog[:until], tombstones), *case.changelog[until:]]
    assert state(read(left)) == state(read(case.changelog))


def spoilt_once() -> tuple[list[Kept], list[Kept], Kept]:
    """Two flushes of a customer, and a page of the second."""
    first, second = flushes(records(grown(60)), 30)
    return first, second, next(one for one in second if pages.is_page(one.key) and one.value is not None)


def test_a_page_may_come_last() -> None:
    """A page that stands behind all other records is found; the same record without it is refused."""
    first, second, page = spoilt_once()
    changelog = [*first, *second, Kept(page.key, None)]
    assert whole(read(compacted([*changelog, page]))) == whole(read([*first, *second]))
    with pytest.raises(StateError, match="pages that it names are missing"):
        read(compacted(changelog))


def test_a_late_removal_of_another_page_is_withstood() -> None:
    """While a record waits for one page, a late tombstone of another page that it names takes nothing."""
    first, second, page = spoilt_once()
    other = next(one for one in second if pages.is_page(one.key) and one.value is not None and one.key != page.key)
    found = read([*compacted([*first, *second, Kept(page.key, None)]), Kept(other.key, None), page])
    assert whole(found) == whole(read([*first, *second]))
    found.fold([record(60, visit(400, "z", "c2"))])
    assert found.checkpoint().pages[other.key] == other.value


def test_few_torn_records_are_held() -> None:
    """Of any number of records that a page is missing of, those are held that no marker's own has outdone."""
    kept = flushes(records([visit(n / 100, f"e{n}") for n in range(200)]), 5)
    made, held = partition(), set[int]()
    for one in [one for flush in kept for one in flush if not pages.is_page(one.key)]:
        made.restore(*one)
        held.add(max((len(torn.mains) for torn in made.shelf.torn.values()), default=0))
    assert held == {0, 1, 2}
