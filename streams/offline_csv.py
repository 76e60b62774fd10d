"""Rows of CSV files as events, by a mapping."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import msgspec

from config.errors import UserFacingError
from config.wording import meant
from lifestage.decode import Decoder
from lifestage.facts import Fact
from lifestage.invalid import shown
from lifestage.refusal import UNKNOWN, Refusal
from streams.files import Piece, opened, read_line
from streams.offline_mapping import OWN, Column, Mapping, zone_of
from streams.offline_read import Row

Values = list[str]
Give = Callable[[Values, dict[str, str]], object]
"""What a field gets from the cells of a row and from its `OWN` values; None: nothing."""

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_DELIMITERS = {";": ";", "\t": "\\t", "|": "|", ",": ","}
_NAMED = re.compile(r"\{([^{}]*)\}")
_PLACE = re.compile(r"\$\.([A-Za-z_.]+)")


class CellError(ValueError):
    """A cell does not hold what its column gives. The message names the column."""


class _Lines:
    """The lines of a file as text for the `csv` module; keeps the bytes of those that make up the row at hand."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file, self._encoding = file, encoding
        self._raw: list[bytes] = []

    def __iter__(self) -> Iterator[str]:
        first = True
        while line := read_line(self._file):
            self._raw.append(line)
            text = line.decode(self._encoding, errors="surrogateescape")
            yield text.removeprefix("\ufeff") if first else text
            first = False

    def taken(self) -> bytes:
        """The bytes of the row that was just read."""
        raw = b"".join(self._raw)
        self._raw.clear()
        return raw


def csv_rows(piece: Piece, mapping: Mapping, decoder: Decoder) -> Iterator[Row]:
    """The rows of a file; `number` is that of the first line of each. Raises `UserFacingError` for a header that does not fit."""
    with opened(piece.file) as file:
        source = _Lines(file, mapping.encoding)
        reader = csv.reader(source, delimiter=mapping.delimiter, strict=True)
        names, line, count = mapping.names, 0, 0
        if names is None:
            names = _header(piece, reader)
            line = reader.line_num
            yield Row(1, b"", len(source.taken()), None)
        maker = _Maker(names, mapping, piece, decoder)
        while True:
            try:
                cells = next(reader, None)
                if cells is None:
                    return
                decided = maker.decided(cells, count, line + 1) if cells else None
            except csv.Error as error:
                decided = _refused("unparsable", f"row: {error}")
            raw = source.taken()
            yield Row(line + 1, raw.strip(), len(raw), decided)
            line = reader.line_num
            count += decided is not None


def _header(piece: Piece, reader: Iterator[list[str]]) -> list[str]:
    try:
        return [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise UserFacingError(f"{piece.name}:1: no header of a CSV file ({error})") from None


class _Maker:
    """Makes events of the rows of one file."""

    def __init__(self, names: list[str], mapping: Mapping, piece: Piece, decoder: Decoder) -> None:
        self._names, self._decode, self._file = names, decoder.decode, Path(piece.file).stem
        self._constants = mapping.constants
        self._columns = {mapping.column(name).field: name for name in mapping.columns}
        self._give: list[tuple[list[str], Give]] = [
            (column.field.split("."), _cell(self._at(name, piece, column.field), name, column))
            for name, column in ((name, mapping.column(name)) for name in mapping.columns)
        ]
        for field, template in mapping.templates.items():
            self._give.append((field.split("."), self._template(template, piece, field)))

    def decided(self, cells: Values, row: int, line: int) -> Fact | Refusal:
        """What the door makes of a row."""
        if len(cells) != len(self._names):
            return _refused("unparsable", f"row: expected {len(self._names)} columns, got {len(cells)}")
        own = {"row": str(row), "line": str(line), "file": self._file}
        event = _nested(self._constants)
        try:
            for path, give in self._give:
                value = give(cells, own)
                if value is not None:
                    _put(event, path, value)
            decided = self._decode(msgspec.json.encode(event), None)
        except CellError as error:
            return _refused("wrong_type", str(error))
        except UnicodeEncodeError:
            return _refused("unparsable", f"column {self._unreadable(cells)!r}: expected text in the encoding of the mapping")  # fmt: skip
        if isinstance(decided, Refusal):
            found = _PLACE.match(decided.message)
            name = self._columns.get(found[1]) if found else None
            return decided if name is None else decided._replace(message=f"column {name!r}: {decided.message}")
        return decided

    def _unreadable(self, cells: Values) -> str:
        return next(name for name, cell in zip(self._names, cells, strict=True) if not _is_text(cell))

    def _at(self, name: str, piece: Piece, field: str) -> int:
        if self._names.count(name) == 1:
            return self._names.index(name)
        problem = "two columns" if name in self._names else "no column"
        other = _other_delimiter(self._names)
        remedy = f"; its columns seem to be separated by {other}: put  delimiter = {other}  on top of the mapping" if other else meant(name, self._names)  # fmt: skip
        raise UserFacingError(f"{piece.name}:1: {problem} {name!r}, which the mapping has for {field!r}{remedy}")

    def _template(self, template: str, piece: Piece, field: str) -> Give:
        places = {name: self._at(name, piece, field) for name in _NAMED.findall(template) if name not in OWN}

        def give(cells: Values, own: dict[str, str]) -> object:
            return _NAMED.sub(lambda found: own[found[1]] if found[1] in own else cells[places[found[1]]], template)

        return give


def _other_delimiter(names: list[str]) -> str | None:
    """What seems to separate the columns of a header that was read as one column, as TOML has it."""
    found = max(_DELIMITERS, key=names[0].count) if len(names) == 1 else None
    return f'"{_DELIMITERS[found]}"' if found is not None and found in names[0] else None


def _cell(at: int, name: str, column: Column) -> Give:
    read = _reader(name, column)

    def give(cells: Values, _: dict[str, str]) -> object:
        text = cells[at].strip()
        return read(text) if text else None

    return give


def _reader(name: str, column: Column) -> Callable[[str], object]:
    if column.time is not None:
        return _time_reader(name, column.time, column.zone)
    if column.as_ == "number":
        return lambda text: _number(name, text)
    if column.as_ == "boolean":
        return lambda text: _boolean(name, text)
    return lambda text: text


def _time_reader(name: str, form: str, zone: str) -> Callable[[str], str]:
    here = zone_of(zone)

    @lru_cache(maxsize=20_000)  # the days of 50 years: reading one costs 10 µs
    def read(text: str) -> str:
        try:
            found = datetime.strptime(text, form)  # noqa: DTZ007 - the zone comes below
        except ValueError:
            raise CellError(f"column {name!r}: expected a time as {form}, got {shown('', text)}") from None
        if found.tzinfo is None:
            found = found.replace(tzinfo=here)
        return found.astimezone(UTC).isoformat().replace("+00:00", "Z")

    return read


def _number(name: str, text: str) -> msgspec.Raw:
    if not _NUMBER.fullmatch(text):
        raise CellError(f"column {name!r}: expected a number, got {shown('', text)}")
    return msgspec.Raw(text.encode())


def _boolean(name: str, text: str) -> bool:
    found = _BOOLEANS.get(text.lower())
    if found is None:
        raise CellError(f"column {name!r}: expected {', '.join(_BOOLEANS)}, got {shown('', text)}")
    return found


def _nested(constants: dict[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for field, value in constants.items():
        _put(event, field.split("."), deepcopy(value))
    return event


def _put(event: dict[str, Any], path: list[str], value: object) -> None:
    for step in path[:-1]:
        event = event.setdefault(step, {})
    event[path[-1]] = value


def _is_text(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(reason: str, message: str) -> Refusal:
    return Refusal("rejected", reason, message, UNKNOWN, UNKNOWN)
