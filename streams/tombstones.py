"""What a tombstone in the changelog says of itself, which its key alone could not."""

from __future__ import annotations

from collections.abc import Iterable

APPLIED = "applied"
"""Header of a tombstone: the log offset, in decimal digits, that the forgotten profile had applied."""


def applied_of(headers: Iterable[tuple[str, bytes]]) -> int:
    """What a tombstone says that it has applied; -1 where it says nothing, as those of older releases."""
    for name, value in headers:
        if name == APPLIED:
            return int(value)
    return -1
