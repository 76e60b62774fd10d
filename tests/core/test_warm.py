"""Profiles that stay decoded between flushes are what their bytes say, and no more of them than is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import warm
from lifestage.profile import Profile
from lifestage.warm import Warm
from tests.core.histories import RULES, order, partition, records, visit

_doings = st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(1, 60)), max_size=60)


@given(_doings)
def test_it_holds_what_was_kept_last(doings: list[tuple[int, int | None]]) -> None:
    """Of profiles kept and dropped in any order as many stay as two halves have room for, the last among them, none outdated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warm, "HALF", 100)
        made, kept = Warm(), dict[bytes, tuple[Profile, int]]()
        for n, (name, size) in enumerate(doings):
            key = b"c%d" % name
            kept.pop(key, None)
            if size is None:
                made.drop(key)
            else:
                kept[key] = Profile(applied=n), size
                made.keep(key, *kept[key])
            held = [one for one in kept if made.get(one) is not None]
            assert all(made.get(one) is kept[one][0] for one in held)
            assert all(made.get(b"c%d" % other) is None for other in range(10) if b"c%d" % other not in kept)
            assert sum(kept[one][1] for one in held) <= 200
            assert size is None or key in held


def test_who_does_not_come_back_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of customers who come once leaves the last of them decoded, and all of them kept."""
    monkeypatch.setattr(warm, "HALF", 2_000)
    made = partition()
    log = records([visit(n // 20, f"e{n}", f"c{n}") for n in range(400)])
    for at in range(0, 400, 20):
        made.fold(log[at : at + 20])
        made.checkpoint()
    held = [key for key in made.stored if made.warm.get(key) is not None]
    assert b"c399" in held
    assert 1_000 < sum(len(made.stored[key]) for key in held) <= 4_000
    assert len(made.stored) == 400


def test_what_was_worked_out_goes_with_the_flush() -> None:
    """What KPIs have worked out of a profile is not held beyond the flush, though the profile is."""
    made = partition(RULES._replace(window=30))
    made.fold(records([order(n, f"e{n}", f"o{n}") for n in range(3)] + [visit(4, "v")]))
    profile = made.dirty[b"c1"]
    assert profile.__dict__
    made.checkpoint()
    assert made.warm.get(b"c1") is profile
    assert not profile.__dict__


def test_who_is_looked_at_without_a_change_is_read_again() -> None:
    """After a repeat, which changes nothing, the next fact finds what the bytes say, whatever the repeat has done to the profile."""
    made = partition()
    log = records([visit(0, "e"), visit(0, "e"), visit(1, "f")])
    made.fold(log[:1])
    made.checkpoint()
    assert made.warm.get(b"c1") is not None
    made.fold(log[1:2])
    assert not made.dirty
    assert made.warm.get(b"c1") is None
    made.fold(log[2:])
    assert made.dirty[b"c1"].newest == visit(1, "f").time
