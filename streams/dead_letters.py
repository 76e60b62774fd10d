"""The form of a dead letter: the record as it came, and beside it in headers of ours where it came from and why.

Key, value and the sender's headers stay as they were, so that it can be sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

VALUE_MAX = 1_500_000
"""Bytes of a value that a dead letter keeps: the topic takes 2 MiB, and 0.5 MiB are for key, headers and framing."""
PREFIX = "lifestage-"
"""How our headers begin; what a sender's record has of that name (a letter that was sent again) is replaced."""


@dataclass(frozen=True, slots=True)
class Why:
    """Where a record came from and why it was rejected. `reason` is one of `lifestage.refusal.REASONS`."""

    reason: str
    message: str
    topic: str
    partition: int
    offset: int


def headers(why: Why, original: Iterable[tuple[str, bytes]] = ()) -> list[tuple[str, bytes]]:
    """The headers of a dead letter: the record's own, then ours."""
    ours = {
        "reason": why.reason,
        "message": why.message,
        "topic": why.topic,
        "partition": str(why.partition),
        "offset": str(why.offset),
    }
    kept = [(name, value) for name, value in original if not name.startswith(PREFIX)]
    return [*kept, *((PREFIX + name, text.encode()) for name, text in ours.items())]


def why(headers: Mapping[str, bytes]) -> Why:
    """What our headers say. Raises `ValueError` when it is no dead letter."""
    try:
        given = {
            name: headers[PREFIX + name].decode() for name in ("reason", "message", "topic", "partition", "offset")
        }
        return Why(given["reason"], given["message"], given["topic"], int(given["partition"]), int(given["offset"]))
    except (KeyError, ValueError):
        raise ValueError("no dead letter: it lacks headers that say where it came from") from None
