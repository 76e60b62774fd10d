"""The form of a dead letter: the record as it came, and beside it in headers of ours where it came from and why.

Key, value and the sender's headers stay as they were, so that it can be sent again. Beside the letters stand marks: which
of them `lifestage dead-letters redrive` has sent back, in the partition of the letters that they name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

VALUE_MAX = 1_500_000
"""Bytes of a value that a dead letter keeps: the topic takes 2 MiB, and 0.5 MiB are for key, headers and framing."""
PREFIX = "lifestage-"
"""How our headers begin; what a sender's record has of that name (a letter that was sent again) is replaced."""
CUT = PREFIX + "cut-from-bytes"
"""The header of a letter whose value is only the beginning of what came: how many bytes that was."""
REDRIVEN = PREFIX + "redriven"
"""The header of a record that was sent back: which dead letter it was. It stays when the record is rejected again."""
MARK = PREFIX + "redrive"
"""The header by which a mark is told from a letter."""


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
    kept = [(name, value) for name, value in original if not name.startswith(PREFIX) or name == REDRIVEN]
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


def identity(why: Why, key: bytes | None, value: bytes | None) -> str:
    """What a rejected record is known by: its place in its source, and its bytes, since a topic made anew counts from 0.

    A worker that was killed may have written the letter of one record twice: both have one identity.
    """
    hashed = blake2b(f"{why.topic}\0{why.partition}\0{why.offset}\0".encode(), digest_size=8)
    for part in (key, value):
        hashed.update(b"-" if part is None else b"%d:" % len(part) + part)
    return hashed.hexdigest()


class Marked(msgspec.Struct, frozen=True):
    """One letter in a mark: its offset and identity, and where in its source it goes to.

    `at` is the source partition's end when it was begun, so that it can be looked for from there; its place once sent.
    """

    offset: int
    identity: str
    topic: str
    partition: int
    at: int


class Mark(msgspec.Struct, frozen=True):
    """That letters of this partition are about to be sent back, or `sent`: acknowledged."""

    run: str
    sent: bool
    letters: list[Marked]


def mark(headers: Mapping[str, bytes], value: bytes | None) -> Mark | None:
    """The mark in a record of the dead-letter topic; None when it is none. Raises `ValueError` when it cannot be read."""
    if MARK not in headers:
        return None
    try:
        return msgspec.json.decode(value or b"", type=Mark)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"a mark of redriven letters that cannot be read: {error}") from None
