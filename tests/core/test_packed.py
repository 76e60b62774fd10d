"""What is packed is a mapping as a dict is one, however much of it waits, stands alone, or shares an object."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import packed
from lifestage.packed import LARGEST, LARGEST_KEY, Packed

_keys = st.one_of(st.binary(max_size=2), st.sampled_from([b"k" * LARGEST_KEY, b"k" * (LARGEST_KEY + 1)]))
_values = st.one_of(st.binary(max_size=3), st.sampled_from([b"v" * size for size in (255, 256, LARGEST, LARGEST + 1)]))
_doings = st.lists(
    st.tuples(st.sampled_from(["set", "set", "wait", "first", "pop", "pack"]), _keys, _values), max_size=60
)


def _holds(made: Packed, wanted: dict[bytes, bytes]) -> None:
    assert len(made) == len(wanted)
    assert sorted(made.items()) == sorted(wanted.items())
    assert sorted(made) == sorted(wanted) == sorted(made.keys())
    assert made == wanted
    for key, value in wanted.items():
        assert key in made
        assert made[key] == made.get(key) == value


@given(_doings)
def test_it_holds_what_a_dict_holds(doings: list[tuple[str, bytes, bytes]]) -> None:
    """After any keys were set, left to wait, packed and taken out, large ones too, what was set last is there and no more."""
    made, wanted = Packed(), dict[bytes, bytes]()
    for doing, key, value in doings:
        if doing == "pop":
            assert made.pop(key) == wanted.pop(key, None)
            assert key not in made
            assert made.get(key) is None
        elif doing == "pack":
            made.pack(len(value))
        elif doing == "first":
            was_first = made.wait_first(key, value)
            assert was_first <= (key not in wanted)
            assert wanted or was_first
            if was_first:
                wanted[key] = value
        else:
            wanted[key] = value
            if doing == "wait":
                made.wait(key, value)
            else:
                made[key] = value
        _holds(made, wanted)


@pytest.mark.parametrize("each", [packed.EACH, 100_000])
def test_many_keys_are_found_while_it_grows(monkeypatch: pytest.MonkeyPatch, each: int) -> None:
    """Each of thousands is found with its newest value, also when more fall together than one object can hold."""
    monkeypatch.setattr(packed, "EACH", each)
    made, wanted = Packed(), dict[bytes, bytes]()
    for number in range(3_000):
        for key in (b"c%d" % number, b"c%d" % (number // 2)):
            made[key] = wanted[key] = b"%d" % number * (number % 7)
    _holds(made, wanted)
    for number in range(0, 3_000, 3):
        assert made.pop(b"c%d" % number) == wanted.pop(b"c%d" % number)
    _holds(made, wanted)


def test_what_waits_is_packed_little_by_little() -> None:
    """A call packs no more than it is asked to; a key that is set meanwhile has that value ever after."""
    made = Packed()
    for number in range(10):
        made.wait(b"%d" % number, b"old")
    made[b"9"] = b"new"
    for _ in range(4):
        made.pack(3)
    _holds(made, {b"%d" % number: b"new" if number == 9 else b"old" for number in range(10)})


@given(st.integers(0, 300), st.integers(0, 200), st.integers(1, 300))
def test_who_goes_through_it_meets_all_that_stay(waiting: int, seen: int, more: int) -> None:
    """Whatever is packed meanwhile, and however the table grows: all keys that were there before, and their values."""
    made = Packed()
    for number in range(waiting):
        made.wait(b"w%d" % number, b"v")
    for number in range(100):
        made[b"k%d" % number] = b"v" * (LARGEST + 1 if number % 30 == 7 else number)
    there = dict(made.items())
    assert len(there) == waiting + 100
    names, both = iter(made), made.items()
    met = [next(names, b"") for _ in range(seen)]
    met_both = [next(both, (b"", b"")) for _ in range(seen)]
    made.pack(waiting // 2)
    for number in range(more):
        made[b"new%d" % number] = b"v"
    made.pack()
    assert there.keys() <= {*met, *names}
    assert there.items() <= {*met_both, *both}


def test_a_key_that_is_not_there_cannot_be_taken() -> None:
    """As of a dict, and nothing is changed by it."""
    made = Packed()
    made.update({b"a": b"1"})
    with pytest.raises(KeyError):
        made[b"b"]
    with pytest.raises(KeyError):
        del made[b"b"]
    del made[b"a"]
    _holds(made, {})
