"""Ids and headers of changes: all but the time of writing must be those that a fold of the log gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

import msgspec

Of = tuple[str, int]
"""Whose change it is, and its seq."""


class Envelope(NamedTuple):
    """What a change is told under."""

    id: bytes
    headers: bytes
    """A hash of all headers but the time of writing, which is another each time."""


def envelope_of(pairs: Iterable[tuple[str, bytes]]) -> Envelope:
    """The envelope that a record's headers are."""
    told = sorted((name, value) for name, value in pairs if name != "ce_recordedtime")
    return Envelope(dict(told)["ce_id"], blake2b(msgspec.msgpack.encode(told), digest_size=16).digest())


def envelopes_amiss(due: Mapping[Of, Envelope], told: Mapping[Of, Envelope]) -> list[str]:
    """Changes that are due and were told under another id, or with other headers."""
    found = []
    for key, seq in sorted(due.keys() & told.keys()):
        wanted, was = due[key, seq], told[key, seq]
        if wanted.id != was.id:
            found.append(f"{key} seq {seq} is due as {wanted.id!r} and was told as {was.id!r}")
        elif wanted != was:
            found.append(f"headers of {key} seq {seq} are not those that are due")
    return found
