"""An entry of the due index sorts as the pair that it stands for, and gives it back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lifestage.due import entry, from_, parts

_LEAST, _MOST = -(1 << 63), (1 << 64) - 1
_instants = st.one_of(st.integers(-3, 3), st.integers(_LEAST, _MOST), st.sampled_from([255, 256, _LEAST, _MOST]))
_pairs = st.tuples(_instants, st.binary(max_size=3))


@given(st.lists(_pairs))
def test_entries_sort_as_their_pairs(pairs: list[tuple[int, bytes]]) -> None:
    """In the order of instants, before 1970 too, and of the keys within one; each gives its pair back."""
    assert [parts(one) for one in sorted(entry(*pair) for pair in pairs)] == sorted(pairs)


@given(_pairs, _instants)
def test_what_is_due_before_an_instant_sorts_before_it(pair: tuple[int, bytes], instant: int) -> None:
    """An entry sorts before an instant exactly when it is due before it."""
    assert (entry(*pair) < from_(instant)) == (pair[0] < instant)
