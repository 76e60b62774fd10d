"""The due index: when time will move whom, an instant and a key in one `bytes`.

Bytes sort as the pairs would, and take 56 instead of 150 bytes for each customer; the collector need not look at them.
"""

from __future__ import annotations

_ZERO = 1 << 63
"""Added to every instant, so that those before 1970 sort before the others."""
_WIDTH = 9
"""Bytes for any number that a record of state can hold, one of a stranger too: −2⁶³ to 2⁶⁴ − 1."""


def entry(due: int, key: bytes) -> bytes:
    """The entry of a customer who is due at an instant (ms)."""
    return from_(due) + key


def from_(due: int) -> bytes:
    """What no entry due at an instant (ms), or later, sorts before, and all earlier ones do."""
    return (due + _ZERO).to_bytes(_WIDTH, "big")


def parts(entry: bytes) -> tuple[int, bytes]:
    """The instant (ms) and the key of an entry."""
    return int.from_bytes(entry[:_WIDTH], "big") - _ZERO, entry[_WIDTH:]
