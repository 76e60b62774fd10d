"""The format of a record in the log `customer-events`, final since version 1.

A 24-byte header, big endian, then the payload::

    version u8 · kind u8 · origin topic u16 · origin partition u32 · origin offset u64 · n u16 · flags u16 · key id u32

*origin* names the source record that caused this one (`topic_code` of its topic, 0 = none) and `n` which of its
several records this is: within a log partition, records of one origin partition come in rising (offset, n), so
that a re-read after a crash is recognised and dropped without looking at ids.
*key id* is 0 for plain payloads and names the customer's encryption key later.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple

import msgspec

VERSION: Final = 1
FACT: Final = 1
TICK: Final = 2
MESSAGE: Final = 3
REFUSED: Final = 4
NO_TOPIC: Final = 0

_header = struct.Struct(">BBHIQHHI")
HEADER_SIZE: Final = _header.size
unpack_header: Final = _header.unpack_from


class Header(NamedTuple):
    """The fixed first 24 bytes of a log record."""

    version: int
    kind: int
    topic: int
    partition: int
    offset: int
    n: int
    flags: int
    key_id: int


class Tick(msgspec.Struct, frozen=True, array_like=True):
    """All facts with time < `time` (ms) are believed to be in the log. `live` puts later changes in mode live."""

    time: int
    live: bool
    holder: str = ""


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """A source record that became no fact: counted where it can be counted once."""

    outcome: str
    source: str
    type: str
    reason: str


class LogFormatError(ValueError):
    """A log record that no version of this program wrote."""


_tick = msgspec.msgpack.Decoder(Tick)
_refused = msgspec.msgpack.Decoder(Refused)
_encode = msgspec.msgpack.encode


def topic_code(name: str, id: str = "") -> int:
    """The 16-bit code of a source topic, 1 to 65535: CRC-32 of its name and of the id that Kafka gave it, folded.

    A topic that was deleted and made anew counts from 0 again: under its new id its records are not taken for repeats.
    """
    return zlib.crc32(f"{name}{id}".encode()) % 65_535 + 1


def pack(kind: int, payload: bytes, topic: int = NO_TOPIC, partition: int = 0, offset: int = 0, n: int = 0) -> bytes:
    """One log record's value."""
    return _header.pack(VERSION, kind, topic, partition, offset, n, 0, 0) + payload


def pack_tick(tick: Tick) -> bytes:
    """The record of a tick. It has no origin."""
    return pack(TICK, _encode(tick))


def pack_refused(refused: Refused, topic: int, partition: int, offset: int) -> bytes:
    """The record that accounts for a source record which became no fact."""
    return pack(REFUSED, _encode(refused), topic, partition, offset)


def header(value: bytes) -> Header:
    """The header of a record. Raises `LogFormatError` when it is none of ours."""
    if len(value) < HEADER_SIZE or value[0] != VERSION:
        raise LogFormatError(f"not a log record of version {VERSION}: {value[:8]!r}…")
    return Header(*unpack_header(value))


def tick(value: bytes) -> Tick:
    """The tick in a record of kind `TICK`."""
    return _tick.decode(memoryview(value)[HEADER_SIZE:])


def refused(value: bytes) -> Refused:
    """The refusal in a record of kind `REFUSED`."""
    return _refused.decode(memoryview(value)[HEADER_SIZE:])
