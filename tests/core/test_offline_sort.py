"""The external sort: whatever its limits and its order of input, it gives what sorting in memory gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.errors import UserFacingError
from lifestage.facts import Fact, WebVisit
from lifestage.keys import key_of
from streams import offline_spill
from streams.offline_merge import merged
from streams.offline_records import by_customer, fact_record
from streams.offline_spill import OVERHEAD, Spool, records_of, store
from tests.core.histories import thorough

records = st.lists(st.binary(max_size=12), max_size=60)


@thorough
@given(records, st.integers(1, 40 * OVERHEAD), st.integers(2, 5), st.booleans())
def test_runs_merge_to_what_sorting_gives(given: list[bytes], budget: int, fan_in: int, keep: bool) -> None:
    """With any budget and any number of runs merged at a time, the records come out sorted, each as often as it went in."""
    with TemporaryDirectory() as folder:
        spool = Spool(Path(folder), "run", 1, budget)
        for record in given:
            spool.add(record)
        (runs,) = spool.runs(keep)
        assert sum(isinstance(run, list) for run in runs) <= keep
        assert list(merged(runs, Path(folder) / "merged", fan_in)) == sorted(given)


@thorough
@given(st.lists(st.tuples(st.binary(max_size=6), st.integers(0, 2)), max_size=40), st.integers(1, 20 * OVERHEAD))
def test_parts_are_kept_apart(given: list[tuple[bytes, int]], budget: int) -> None:
    """A record comes back in the part it was given to."""
    with TemporaryDirectory() as folder:
        spool = Spool(Path(folder), "run", 3, budget)
        for record, part in given:
            spool.add(record, part)
        for part, runs in enumerate(spool.runs()):
            expected = sorted(record for record, its in given if its == part)
            assert list(merged(runs, Path(folder) / f"merged-{part}", 2)) == expected


def test_what_is_held_stays_within_the_budget(tmp_path: Path) -> None:
    """A file is written each time the budget is full, and none while it is not."""
    spool = Spool(tmp_path, "run", 1, 10 * (100 + OVERHEAD))
    for n in range(9):
        spool.add(bytes(99) + bytes([n]))
    assert list(tmp_path.iterdir()) == []
    for n in range(21):
        spool.add(bytes(99) + bytes([n]))
    assert len(list(tmp_path.iterdir())) == 3


def test_a_run_longer_than_a_block_is_read_block_by_block(tmp_path: Path) -> None:
    """100,000 records are many blocks, and come back as they went in."""
    given = [n.to_bytes(20, "big") for n in range(100_000)]
    run = store(tmp_path / "run", given)
    assert run.end > 20 * offline_spill.BLOCK
    assert list(records_of(run)) == given


def test_no_room_is_one_line_that_says_where(tmp_path: Path) -> None:
    """A folder that takes no file is named, with what to do."""
    spool = Spool(tmp_path / "nowhere", "run", 1, 1)
    with pytest.raises(UserFacingError, match=r"nowhere: no temporary file can be written \(No such file.*TMPDIR"):
        spool.add(b"x")


names = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf", "Cn", "Zl", "Zp")), min_size=1, max_size=4)
visits: Callable[..., st.SearchStrategy[WebVisit]] = lambda **fields: st.builds(  # noqa: E731
    WebVisit, url=st.just("/"), time=st.sampled_from((0, 255, 256, 1 << 40)), source=names, id=names, **fields
)


@thorough
@given(st.lists(visits(customer_id=names), max_size=12))
@example([WebVisit(url="/", time=0, source="s", id="i", customer_id=name) for name in ("a", "a!", "ab", "á", "￿", "𐀀")])
def test_facts_come_back_by_customer_and_time_in_the_order_of_their_texts(given: list[Fact]) -> None:
    """Records sort as (customer, time, source, id) do, also where one name begins with another or is beyond ASCII."""
    found = sorted(fact_record((key_of(fact) or "").encode(), fact) for fact in given)
    back = [(key, list(facts)) for key, _, facts in by_customer(found)]
    assert [key for key, _ in back] == sorted({fact.customer_id or "" for fact in given})
    assert [fact for _, facts in back for fact in facts] == sorted(
        given, key=lambda fact: (fact.customer_id or "", fact.time, fact.source, fact.id)
    )
