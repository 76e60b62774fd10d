"""Profiles that stay decoded: who has changed of late is likely to change again, and decoding is a quarter of a fold's work.

What is held under a key is what its bytes would give, or the profile that a fold is changing.
"""

from __future__ import annotations

from typing import Final

from lifestage.profile import Profile

HALF: Final = 1_000_000
"""Encoded bytes of the profiles of one half. Decoded ones take seven times as much: about 14 MB for each partition."""


class Warm:
    """Profiles by key, in two halves: a newer one that is full becomes the older one, and who has not changed since goes."""

    def __init__(self) -> None:
        self._newer: dict[bytes, tuple[Profile, int]] = {}
        self._older: dict[bytes, tuple[Profile, int]] = {}
        self._size = 0
        """Encoded bytes of the newer half."""

    def get(self, key: bytes) -> Profile | None:
        """A profile as it was kept last, or None."""
        held = self._newer.get(key) or self._older.get(key)
        return None if held is None else held[0]

    def keep(self, key: bytes, profile: Profile, size: int) -> None:
        """Hold a profile that was kept in so many bytes."""
        known = self._newer.get(key)
        self._size += size if known is None else size - known[1]
        if self._size > HALF:
            self._older, self._newer, self._size = self._newer, {}, size
        self._newer[key] = profile, size

    def drop(self, key: bytes) -> None:
        """Hold a profile no longer."""
        held = self._newer.pop(key, None)
        if held is not None:
            self._size -= held[1]
        self._older.pop(key, None)
