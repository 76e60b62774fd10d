"""Records that do not fit in memory: sorted in memory by a budget, written to files as runs.

A record is bytes, and the order of records is that of their bytes, so sorting and merging are done without a look
inside. A file is a row of blocks, each a length and a msgpack array of records.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from config.errors import UserFacingError

BLOCK = 64 << 10
"""Bytes of a block: what merging holds of each run, as bytes and as records."""
OVERHEAD = 49
"""Bytes that a record takes beside its own: 33 of the object, 8 in the list, 8 lost to rounding."""

_length = struct.Struct("<I")
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(list[bytes]).decode


class Stored(NamedTuple):
    """A run in a stretch of a file."""

    path: str
    start: int
    end: int


Run = Stored | list[bytes]
"""Records in order: in a file, or in memory."""


class Spool:
    """Takes records in any order, by part, and gives each part back as sorted runs."""

    def __init__(self, folder: Path, name: str, parts: int = 1, budget: int = 64 << 20) -> None:
        self._place = folder / name
        self._budget = budget
        self._held: list[list[bytes]] = [[] for _ in range(parts)]
        self._size = 0
        self._files = 0
        self._runs: list[list[Run]] = [[] for _ in range(parts)]

    def add(self, record: bytes, part: int = 0) -> None:
        """Take one record. Raises `UserFacingError` when it cannot be stored."""
        self._held[part].append(record)
        self._size += len(record) + OVERHEAD
        if self._size >= self._budget:
            self.flush()

    def flush(self) -> None:
        """Write what is held to a file, a run for each part."""
        if not self._size:
            return
        path = self._place.with_name(f"{self._place.name}.{self._files}")
        self._files += 1
        with storing(path) as file:
            for part, records in enumerate(self._held):
                if records:
                    records.sort()
                    start = file.tell()
                    _write(file, records)
                    self._runs[part].append(Stored(str(path), start, file.tell()))
                    records.clear()
        self._size = 0

    def runs(self, keep: bool = False) -> list[list[Run]]:
        """The runs of each part. `keep`: what is still held stays in memory."""
        if keep:
            for part, records in enumerate(self._held):
                if records:
                    records.sort()
                    self._runs[part].append(records)
        else:
            self.flush()
        return self._runs


@contextmanager
def storing(path: Path) -> Iterator[IO[bytes]]:
    """A new temporary file. Raises `UserFacingError` when there is no room for it."""
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise UserFacingError(
            f"{path.parent}: no temporary file can be written ({error.strerror}); TMPDIR names another folder"
        ) from None


def store(path: Path, records: Iterable[bytes]) -> Stored:
    """Write records that are in order as one run."""
    with storing(path) as file:
        _write(file, records)
        return Stored(str(path), 0, file.tell())


def _write(file: IO[bytes], records: Iterable[bytes]) -> None:
    block: list[bytes] = []
    size = 0
    for record in records:
        block.append(record)
        size += len(record)
        if size >= BLOCK:
            _write_block(file, block)
            block, size = [], 0
    if block:
        _write_block(file, block)


def _write_block(file: IO[bytes], block: list[bytes]) -> None:
    encoded = _encode(block)
    file.write(_length.pack(len(encoded)))
    file.write(encoded)


def records_of(run: Run) -> Iterator[bytes]:
    """The records of a run, in order."""
    if isinstance(run, list):
        yield from run
        return
    with Path(run.path).open("rb") as file:
        at = file.seek(run.start)
        while at < run.end:
            (size,) = _length.unpack(file.read(_length.size))
            yield from _decode(file.read(size))
            at += _length.size + size
