"""The due index: when time will move whom.

What is due soon is a heap of entries: an instant and a key in one `bytes`, which sort as the pairs would. All else waits
in slots of some hours, unsorted, in 5 bytes and the key for each customer; an entry in a heap takes 72.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from struct import Struct

_ZERO = 1 << 63
"""Added to every instant, so that those before 1970 sort before the others."""
_WIDTH = 9
"""Bytes for any number that a record of state can hold, one of a stranger too: −2⁶³ to 2⁶⁴ − 1."""
_SLOT = 24
"""A slot holds the instants of 2²⁴ ms, 4.7 hours: of 100,000 customers who are due within a quarter about 200."""
_IN_SLOT = (1 << _SLOT) - 1
_waiting = Struct("<BHH")
_pack, _unpack = _waiting.pack, _waiting.unpack_from
_HEAD = _waiting.size
"""The 24 bits of an instant, and the size of the key behind."""


def entry(due: int, key: bytes) -> bytes:
    """The entry of a customer who is due at an instant (ms)."""
    return from_(due) + key


def from_(due: int) -> bytes:
    """What no entry due at an instant (ms), or later, sorts before, and all earlier ones do."""
    return (due + _ZERO).to_bytes(_WIDTH, "big")


def parts(entry: bytes) -> tuple[int, bytes]:
    """The instant (ms) and the key of an entry."""
    return int.from_bytes(entry[:_WIDTH], "big") - _ZERO, entry[_WIDTH:]


class Due:
    """Entries, taken in any order and given in theirs. The same one may be in here twice, and is given once."""

    def __init__(self) -> None:
        self._soon: list[bytes] = []
        """A heap of all entries up to the slot `_open`."""
        self._open = -_ZERO
        self._slots: dict[int, bytearray] = {}
        """By the instant in slots, what is due later."""
        self._order: list[int] = []
        """A heap of these."""
        self._later = 0
        """How many entries are in them."""

    def __len__(self) -> int:
        return len(self._soon) + self._later

    def __iter__(self) -> Iterator[bytes]:
        """All entries, unordered."""
        yield from list(self._soon)
        for slot in list(self._slots):
            yield from self._entries(slot)

    def push(self, due: int, key: bytes) -> None:
        """Take an entry."""
        slot = due >> _SLOT
        if slot <= self._open:
            heappush(self._soon, entry(due, key))
            return
        within = due & _IN_SLOT
        one = _pack(within >> 16, within & 0xFFFF, len(key)) + key
        held = self._slots.get(slot)
        if held is None:
            self._slots[slot] = bytearray(one)
            heappush(self._order, slot)
        else:
            held += one
        self._later += 1

    def pop(self, until: bytes) -> bytes | None:
        """The first entry, which goes with all that are the same, if it is before `until` (see `from_`)."""
        if not self._soon:
            self._uncover()
        if not self._soon or self._soon[0] >= until:
            return None
        found = heappop(self._soon)
        while self._soon and self._soon[0] == found:
            heappop(self._soon)
        return found

    @property
    def first(self) -> int | None:
        """The first instant."""
        if not self._soon:
            self._uncover()
        return parts(self._soon[0])[0] if self._soon else None

    def beyond(self, most: int, until: int) -> int | None:
        """The instant of the entry number `most` (from 1), where more than so many are due before `until` (ms)."""
        before = from_(until)
        found = sorted([parts(one)[0] for one in self._soon if one < before])
        for slot in sorted([slot for slot in self._slots if slot <= until >> _SLOT]):
            if len(found) > most:
                break
            found += sorted([parts(one)[0] for one in self._entries(slot) if one < before])
        return found[most - 1] if len(found) > most else None

    def _uncover(self) -> None:
        """Let the next slot be the heap."""
        if self._order:
            slot = heappop(self._order)
            self._soon, self._open = self._entries(slot), slot
            heapify(self._soon)
            self._later -= len(self._soon)
            del self._slots[slot]

    def _entries(self, slot: int) -> list[bytes]:
        held, at, start = bytes(self._slots[slot]), 0, slot << _SLOT
        found = []
        while at < len(held):
            high, low, size = _unpack(held, at)
            at += _HEAD + size
            found.append(entry(start + (high << 16 | low), held[at - size : at]))
        return found
