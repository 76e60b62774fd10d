"""Encoded profiles by key, packed: what a worker holds of a million customers, with 40 bytes beside each instead of 320.

A dict would hold two objects for each customer, an allocator rounds each of them up, and profiles that grow with every
event leave gaps of every size behind. Here a few customers share one `bytes` object, which is made anew when one of them
changes. How many share one is bounded by linear hashing: with each few customers more one object is split in two, so
nothing ever stands still while a large table grows. It costs 1.2 µs for each profile that is kept; so what a recovery
reads waits unpacked, and is packed while the worker works.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView, Mapping
from typing import cast

EACH = 4
"""Customers in one object, on the average."""
LARGEST_KEY, LARGEST = 255, 4_096
"""Bytes of a key and of a value that is packed: larger ones stand alone, so that their neighbours cost no more."""
AT_ONCE = 2_000
"""How many of those who wait are packed by a flush or a tick: about 5 ms of work."""
_HEAD = 4
"""Bytes that say of one customer, in front of all keys and values: 8 bits of the key's hash, the size of the key, that of
the value in two."""
_MOST = 255
"""Customers whom one object can hold, whatever their hashes: who comes after stands alone."""
_BYTE = [bytes([n]) for n in range(256)]
_TAG = 40
"""From which bit on a hash gives the 8 bits, which tell most of the neighbours apart: the lower ones say where they stand."""


class Packed:
    """A mapping of bytes to bytes, in no order."""

    def __init__(self) -> None:
        self._shared: list[bytes] = [b"\0"]
        """How many customers it holds, the head of each, and behind them each one's key and value."""
        self._mask = 0
        """Bits of the hash that say where a key stands, one fewer than needed for objects that are split already."""
        self._split = 0
        """How many of them are."""
        self._count = 0
        self._alone: dict[bytes, bytes] = {}
        """What is too large to share."""
        self._waiting: dict[bytes, bytes] = {}
        """What is not packed yet; nothing of it stands elsewhere."""

    # -- asking ----------------------------------------------------------------------------------

    def get(self, key: bytes, default: bytes | None = None) -> bytes | None:
        """The value of a key."""
        if self._waiting:
            waits = self._waiting.get(key)
            if waits is not None:
                return waits
        hashed = hash(key)
        shared = self._shared[self._place(hashed)]
        tag, size, at = hashed >> _TAG & 255, len(key), 1 + shared[0] * _HEAD
        for head in range(1, at, _HEAD):
            end = at + shared[head + 1]
            behind = end + (shared[head + 2] | shared[head + 3] << 8)
            if shared[head] == tag and shared[head + 1] == size and shared[at:end] == key:
                return shared[end:behind]
            at = behind
        return self._alone.get(key, default) if self._alone else default

    def __getitem__(self, key: bytes) -> bytes:
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def __contains__(self, key: object) -> bool:
        wanted = cast("bytes", key)
        if self._waiting and wanted in self._waiting:
            return True
        hashed = hash(wanted)
        shared = self._shared[self._place(hashed)]
        return _find(shared, hashed >> _TAG & 255, wanted)[0] > 0 or (bool(self._alone) and wanted in self._alone)

    def __len__(self) -> int:
        return self._count + len(self._alone) + len(self._waiting)

    def __iter__(self) -> Iterator[bytes]:
        """Each key; what is packed meanwhile, or stands elsewhere as the table grows, is not left out, and may come twice."""
        yield from [*self._waiting, *self._alone]
        number = 0
        while number < len(self._shared):
            yield from _names(self._shared[number])
            number += 1

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Each key with its value; of what changes meanwhile some may be left out or come twice."""
        yield from [*self._waiting.items(), *self._alone.items()]
        number = 0
        while number < len(self._shared):
            yield from _entries(self._shared[number])
            number += 1

    def keys(self) -> KeysView[bytes]:
        """The keys, as a set."""
        return KeysView(cast("Mapping[bytes, bytes]", self))

    def __eq__(self, other: object) -> bool:
        return dict(self.items()) == (dict(other.items()) if isinstance(other, Packed) else other)

    def __hash__(self) -> int:
        raise TypeError("what is packed changes")

    # -- changing --------------------------------------------------------------------------------

    def wait(self, key: bytes, value: bytes) -> None:
        """Let a key have a value, which `pack` is to pack; five times as quick while nothing is packed."""
        if self._count or self._alone:
            self[key] = value
        else:
            self._waiting[key] = value

    def wait_first(self, key: bytes, value: bytes) -> bool:
        """As `wait`, but only for a key that has no value and while nothing is packed; whether it was so."""
        if self._count or self._alone:
            return False
        waiting = self._waiting
        known = len(waiting)
        waiting.setdefault(key, value)
        return len(waiting) > known

    def pack(self, most: int = AT_ONCE) -> None:
        """Pack some of what waits."""
        for _ in range(min(most, len(self._waiting))):
            key, value = self._waiting.popitem()
            self[key] = value
        if not self._waiting:
            self._waiting = {}  # a dict that was large stays large

    def __setitem__(self, key: bytes, value: bytes) -> None:
        if self._waiting:
            self._waiting.pop(key, None)
        hashed = hash(key)
        place = self._place(hashed)
        shared = self._shared[place]
        tag, size = hashed >> _TAG & 255, len(value)
        head, at, behind = _find(shared, tag, key)
        if size > LARGEST or len(key) > LARGEST_KEY or (not head and shared[0] == _MOST):
            if head:
                self._shared[place] = _without(shared, head, at, behind)
                self._count -= 1
            self._alone[key] = value
            return
        sized = [_BYTE[size & 255], _BYTE[size >> 8]]
        if head:
            start = at + len(key)
            parts = [shared[: head + 2], *sized, shared[head + _HEAD : start], value, shared[behind:]]
            self._shared[place] = b"".join(parts)
            return
        if self._alone:
            self._alone.pop(key, None)
        heads, named = 1 + shared[0] * _HEAD, [_BYTE[tag], _BYTE[len(key)], *sized]
        parts = [_BYTE[shared[0] + 1], shared[1:heads], *named, shared[heads:], key, value]
        self._shared[place] = b"".join(parts)
        self._count += 1
        if self._count > EACH * len(self._shared):
            self._grow()

    def __delitem__(self, key: bytes) -> None:
        if self.pop(key) is None:
            raise KeyError(key)

    def pop(self, key: bytes, default: bytes | None = None) -> bytes | None:
        """The value of a key, which is there no more."""
        if self._waiting and key in self._waiting:
            return self._waiting.pop(key)
        if self._alone and key in self._alone:
            return self._alone.pop(key)
        hashed = hash(key)
        place = self._place(hashed)
        shared = self._shared[place]
        head, at, behind = _find(shared, hashed >> _TAG & 255, key)
        if not head:
            return default
        self._shared[place] = _without(shared, head, at, behind)
        self._count -= 1
        return shared[at + len(key) : behind]

    def update(self, other: Mapping[bytes, bytes]) -> None:
        """Let each key of another mapping have its value there."""
        for key, value in other.items():
            self[key] = value

    # -- where keys stand ------------------------------------------------------------------------

    def _place(self, hashed: int) -> int:
        place = hashed & self._mask
        return hashed & (self._mask << 1 | 1) if place < self._split else place

    def _grow(self) -> None:
        """Split the next object in two, by one bit more of the hash."""
        bit = self._mask + 1
        stay: list[tuple[bytes, bytes]] = []
        go: list[tuple[bytes, bytes]] = []
        for one in _entries(self._shared[self._split]):
            (go if hash(one[0]) & bit else stay).append(one)
        self._shared[self._split] = _shared(stay)
        self._shared.append(_shared(go))
        self._split += 1
        if self._split > self._mask:
            self._mask, self._split = self._mask << 1 | 1, 0


def _find(shared: bytes, tag: int, key: bytes) -> tuple[int, int, int]:
    """Where the head of a key stands, the key, and what is behind its value; zeros where it is not there."""
    size, at = len(key), 1 + shared[0] * _HEAD
    for head in range(1, at, _HEAD):
        end = at + shared[head + 1]
        behind = end + (shared[head + 2] | shared[head + 3] << 8)
        if shared[head] == tag and shared[head + 1] == size and shared[at:end] == key:
            return head, at, behind
        at = behind
    return 0, 0, 0


def _without(shared: bytes, head: int, at: int, behind: int) -> bytes:
    return b"".join([_BYTE[shared[0] - 1], shared[1:head], shared[head + _HEAD : at], shared[behind:]])


def _entries(shared: bytes) -> list[tuple[bytes, bytes]]:
    at, found = 1 + shared[0] * _HEAD, []
    for head in range(1, at, _HEAD):
        end = at + shared[head + 1]
        behind = end + (shared[head + 2] | shared[head + 3] << 8)
        found.append((shared[at:end], shared[end:behind]))
        at = behind
    return found


def _names(shared: bytes) -> list[bytes]:
    at, found = 1 + shared[0] * _HEAD, []
    for head in range(1, at, _HEAD):
        end = at + shared[head + 1]
        found.append(shared[at:end])
        at = end + (shared[head + 2] | shared[head + 3] << 8)
    return found


def _shared(entries: list[tuple[bytes, bytes]]) -> bytes:
    parts = [_BYTE[len(entries)]]
    for key, value in entries:
        size = len(value)
        parts += [_BYTE[hash(key) >> _TAG & 255], _BYTE[len(key)], _BYTE[size & 255], _BYTE[size >> 8]]
    for key, value in entries:
        parts += [key, value]
    return b"".join(parts)
