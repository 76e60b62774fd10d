"""Events in files: JSON, one a line, as they would stand in a source topic."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from config.errors import UserFacingError

STDIN = "-"


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


def size_of(files: Sequence[str]) -> int | None:
    """Bytes of all files together; None when one of them is stdin or another stream. Raises as `lines` does."""
    total = 0
    for name in files:
        if name == STDIN:
            return None
        path = Path(name)
        if not path.exists():
            raise UserFacingError(f"{name}: no such file")
        if path.is_dir():
            raise UserFacingError(f"{name}: a folder; name the files in it, such as {name.rstrip('/')}/*.jsonl")
        if not path.is_file():
            return None
        total += path.stat().st_size
    return total


def lines(files: Sequence[str]) -> Iterator[Line]:
    """All lines of all files in order, blank ones left out; `-` is stdin. Raises `UserFacingError` naming the file."""
    end = 0
    for name in files:
        try:
            with sys.stdin.buffer if name == STDIN else Path(name).open("rb") as file:
                for number, line in enumerate(file, 1):
                    end += len(line)
                    value = line.strip()
                    if value:
                        yield Line("stdin" if name == STDIN else name, number, value, end)
        except OSError as error:
            raise UserFacingError(f"{name}: cannot be read ({error.strerror})") from None
