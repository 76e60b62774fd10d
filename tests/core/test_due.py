"""The due index gives what is due in order, whichever way it came in; an entry sorts as the pair that it stands for."""

from __future__ import annotations

from bisect import insort

from hypothesis import given
from hypothesis import strategies as st

from lifestage.due import Due, entry, from_, parts

_LEAST, _MOST = -(1 << 63), (1 << 64) - 1
_SLOTS = [n << 24 for n in range(-2, 3)]
_instants = st.one_of(
    st.integers(-3, 3), st.integers(_LEAST, _MOST), st.sampled_from([255, 256, _LEAST, _MOST, *_SLOTS]),
    st.integers(_SLOTS[0] - 3, _SLOTS[-1] + 3),
)  # fmt: skip
_pairs = st.tuples(_instants, st.binary(max_size=3))


@given(st.lists(_pairs))
def test_entries_sort_as_their_pairs(pairs: list[tuple[int, bytes]]) -> None:
    """In the order of instants, before 1970 too, and of the keys within one; each gives its pair back."""
    assert [parts(one) for one in sorted(entry(*pair) for pair in pairs)] == sorted(pairs)


@given(_pairs, _instants)
def test_what_is_due_before_an_instant_sorts_before_it(pair: tuple[int, bytes], instant: int) -> None:
    """An entry sorts before an instant exactly when it is due before it."""
    assert (entry(*pair) < from_(instant)) == (pair[0] < instant)


@given(st.lists(st.one_of(_pairs, _instants)))
def test_what_is_due_is_given_in_order(doings: list[tuple[int, bytes] | int]) -> None:
    """Whatever is put in between: all that is due before an instant comes out, earliest first and once, and nothing else."""
    made, wanted = Due(), list[tuple[int, bytes]]()
    for one in doings:
        if isinstance(one, tuple):
            made.push(*one)
            insort(wanted, one)
        else:
            while (found := made.pop(from_(one))) is not None:
                assert parts(found) == wanted[0]
                wanted = [pair for pair in wanted if pair != wanted[0]]
            assert not wanted or wanted[0][0] >= one
        assert len(made) == len(wanted)
        assert sorted(map(parts, made)) == wanted
        assert made.first == (wanted[0][0] if wanted else None)


@given(st.lists(_pairs), st.integers(1, 4), _instants)
def test_where_more_than_so_many_are_due(pairs: list[tuple[int, bytes]], most: int, until: int) -> None:
    """The instant of the last of so many is said if more are due before an instant, also after some were taken."""
    made = Due()
    for due, key in pairs:
        made.push(due, key)
    gone = made.pop(from_(_MOST))
    wanted = [pair for pair in sorted(pairs) if gone is None or pair != parts(gone)]
    before = [due for due, _ in wanted if due < until]
    assert made.beyond(most, until) == (before[most - 1] if len(before) > most else None)
