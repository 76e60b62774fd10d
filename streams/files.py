"""Events in files: JSON, one a line, as they would stand in a source topic; read whole, or in pieces side by side."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from config.errors import UserFacingError

STDIN = "-"
PIECE = 8 << 20
"""Bytes of a piece: some 25,000 events, a sixth of a second's work."""
LINE_MAX = 16 << 20
"""A line is read up to here and the rest of it skipped, so that a file without line ends does not fill the memory."""


PACKED = {
    b"\x1f\x8b": "gzip; unpack it: gunzip -k",
    b"\x28\xb5\x2f\xfd": "zstd; unpack it: unzstd",
    b"\xfd7zXZ\x00": "xz; unpack it: unxz -k",
    b"BZh": "bzip2; unpack it: bunzip2 -k",
    b"PK\x03\x04": "zip, as spreadsheets are too; save those as CSV, or unpack it: unzip",
}
"""How packed files begin, what they are, and what unpacks them."""


class Piece(NamedTuple):
    """The lines of a file that begin in [start, end), or in `data`, a part of a stream. `end` None: all of a stream."""

    number: int
    """Of all pieces of all files, in their order."""
    given: int
    """Which of the given files it is of; one may be given twice."""
    file: str
    start: int
    end: int | None
    data: bytes | None = None

    @property
    def name(self) -> str:
        """The file as it is shown."""
        return "stdin" if self.file == STDIN else self.file

    @property
    def size(self) -> int:
        """In bytes; 0 for all of a stream."""
        return len(self.data) if self.data is not None else (self.end or self.start) - self.start


class Line(NamedTuple):
    """A line that holds something. `file` is as it was named, `number` counts from 1, `end` is bytes read of all files."""

    file: str
    number: int
    value: bytes
    end: int

    @property
    def place(self) -> str:
        """`file:line`, as editors and compilers write it."""
        return f"{self.file}:{self.number}"


class PieceLine(NamedTuple):
    """A line of a piece, without its end and margins; empty for a blank one. `number` counts from 1 at the piece's first."""

    number: int
    value: bytes
    size: int
    """In bytes, as it was read."""


def size_of(files: Sequence[str]) -> int | None:
    """Bytes of all files together; None when one of them is stdin or another stream. Raises `UserFacingError`."""
    sizes = [_size(name) for name in files]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _size(name: str) -> int | None:
    if name == STDIN:
        return None
    path = Path(name)
    if not path.exists():
        raise UserFacingError(f"{name}: no such file")
    if path.is_dir():
        raise UserFacingError(f"{name}: a folder; name the files in it, such as {name.rstrip('/')}/*.jsonl")
    if not path.is_file():
        return None
    with opened(name) as file:
        begin = file.read(max(map(len, PACKED)))
    for mark, said in PACKED.items():
        if begin.startswith(mark):
            raise UserFacingError(f"{name}: packed by {said} {name}")
    return path.stat().st_size


def hint(files: Sequence[str]) -> str | None:
    """What to do about the first file that is seen to hold no lines of JSON; None where nothing is known of it."""
    for name in files:
        if name == STDIN or not Path(name).is_file():
            continue
        with opened(name) as file:
            line = read_line(file).removeprefix(codecs.BOM_UTF8).strip()
        if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return f"{name} is UTF-16; save it as UTF-8"
        if line.startswith(b"["):
            return f"{name} is one JSON array; write its events one a line, such as by  jq -c '.[]' {name}"
        if line == b"{":
            return f"{name} is JSON over several lines; write an event a line, such as by  jq -c . {name}"
        is_row = not line.startswith(b"{") and any(sign in line for sign in b",;\t")
        if is_row or name.lower().endswith((".csv", ".tsv")):
            return f"{name} looks like CSV; --csv MAPPING says which column gives which field"
    return None


def pieces(files: Sequence[str], whole: bool = False, most: int = PIECE) -> Iterator[Piece]:
    """All files in pieces of `most` bytes, in order. Files become ranges, streams are read here, a piece at a time.

    `whole`: a file is one piece, since its rows need not end with its lines. Raises `UserFacingError`.
    """
    number = 0
    for given, name in enumerate(files):
        for piece in [_all(name)] if whole else _blocks(name, most) if _size(name) is None else _ranges(name, most):
            yield piece._replace(number=number, given=given)
            number += 1


def _all(name: str) -> Piece:
    return Piece(0, 0, name, 0, _size(name))


def _ranges(name: str, most: int) -> Iterator[Piece]:
    size = _size(name) or 0
    return (Piece(0, 0, name, start, min(start + most, size)) for start in range(0, size, most))


def _blocks(name: str, most: int) -> Iterator[Piece]:
    with opened(name) as stream:
        first = True
        while data := _read(stream, most):
            data, first = data.removeprefix(codecs.BOM_UTF8) if first else data, False
            if not data.endswith(b"\n"):
                data += read_line(stream)
            yield Piece(0, 0, name, 0, None, data)


def _read(stream: IO[bytes], most: int) -> bytes:
    """Up to `most` bytes, fewer at the end. Not in one call: between its parts Python heeds no Ctrl-C."""
    assert isinstance(stream, io.BufferedIOBase)
    parts, left = [], most
    while left and (part := stream.read1(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


@contextmanager
def opened(name: str) -> Iterator[IO[bytes]]:
    """A file or stdin, to be read. Raises `UserFacingError` naming it, also for what goes wrong inside the `with`."""
    try:
        if name == STDIN:
            yield sys.stdin.buffer
        else:
            with Path(name).open("rb", buffering=1 << 20) as file:
                yield file
    except OSError as error:
        raise UserFacingError(f"{name}: cannot be read ({error.strerror})") from None


def lines(files: Sequence[str], most: int = PIECE) -> Iterator[Line]:
    """All lines of all files in order, blank ones left out; `-` is stdin. Raises `UserFacingError` naming the file."""
    end = before = given = 0
    for piece in pieces(files, most=most):
        if piece.given != given:
            before, given = 0, piece.given
        number = 0
        for number, value, size in lines_in(piece):
            end += size
            if value:
                yield Line(piece.name, before + number, value, end)
        before += number


def lines_in(piece: Piece) -> Iterator[PieceLine]:
    """The lines of a piece. Raises `UserFacingError` naming the file."""
    with io.BytesIO(piece.data) if piece.data is not None else opened(piece.file) as file:
        at = _first(file, piece.start)
        number = 0
        while piece.end is None or at < piece.end:
            line = read_line(file)
            if not line:
                return
            number += 1
            size = len(line)
            at += size if size < LINE_MAX else file.tell() - at
            if number == 1 and piece.start == 0 and piece.data is None:
                line = line.removeprefix(codecs.BOM_UTF8)
            yield PieceLine(number, line.strip(), size)


def _first(file: IO[bytes], start: int) -> int:
    """Go to the first line that begins at `start` or later; its position."""
    if start == 0:
        return 0
    file.seek(start - 1)
    read_line(file)
    return file.tell()


def read_line(file: IO[bytes]) -> bytes:
    """The next line with its end, cut at `LINE_MAX`; empty at the end of the file."""
    line = file.readline(LINE_MAX)
    if len(line) == LINE_MAX and not line.endswith(b"\n"):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(LINE_MAX)
    return line
