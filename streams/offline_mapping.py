"""Mappings: a TOML file that says which column of a CSV file gives which field of an event."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, get_args
from zoneinfo import ZoneInfo

import msgspec

from config.errors import UserFacingError
from config.text_files import text_of
from config.wording import meant
from lifestage import events

SHIPPED = Path(__file__).parents[1] / "config" / "mappings"
_SOME_TIME = datetime(2024, 2, 28, 22, 30, tzinfo=UTC)
OWN = ("row", "line", "file")
"""What a template may name besides columns: rows from 0, the line, the file's name without folder and ending."""

As = Literal["text", "number", "boolean"]


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a column gives. `time` is a format of strptime, read in `zone`: UTC, ±hh:mm, or a name such as Europe/Berlin."""

    field: str
    as_: As = msgspec.field(default="text", name="as")
    time: str | None = None
    zone: str = "UTC"


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How rows become events. An empty cell gives nothing."""

    columns: dict[str, str | Column] = {}
    constants: dict[str, Any] = {}
    templates: dict[str, str] = {}
    delimiter: str = ","
    encoding: str = "utf-8"
    names: list[str] | None = None
    """The columns' names where the file's first line does not hold them."""

    def column(self, name: str) -> Column:
        """What the column gives."""
        given = self.columns[name]
        return Column(given) if isinstance(given, str) else given


class _Text(NamedTuple):
    """A mapping file, to say where something stands in it."""

    file: str
    text: str

    def refuse(self, section: str, key: str, problem: str) -> NoReturn:
        """Raise `UserFacingError` with file, line and column of a key."""
        now = ""
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := re.match(r"\s*\[\s*([^\]]*?)\s*\]", line):
                now = header[1]
                if now == (key if not section else section if not key else None):
                    raise UserFacingError(f"{self.file}:{number}:1: {problem}")
            elif now == section and (found := re.match(rf"""(\s*)["']?{re.escape(key)}["']?\s*[=.]""", line)) and key:
                raise UserFacingError(f"{self.file}:{number}:{len(found[1]) + 1}: {problem}")
        raise UserFacingError(f"{self.file}: {f'{section}.{key}: '.strip('.') if key else ''}{problem}")


def shipped() -> dict[str, Path]:
    """The file of each shipped mapping, by its name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def mapping_of(given: str) -> Mapping:
    """The mapping in a file, or else a shipped one by its name. Raises `UserFacingError` with the place that is wrong."""
    path = Path(given)
    if not path.exists():
        if given not in shipped():
            raise UserFacingError(f"no mapping {given!r}{meant(given, [*shipped(), 'a TOML file'])}")
        path = shipped()[given]
    text = _Text(str(path), text_of(path, "a TOML file"))
    try:
        given_words = tomllib.loads(text.text)
    except tomllib.TOMLDecodeError as error:
        raise UserFacingError(_placed(path, str(error))) from None
    mapping = _shaped(given_words, text)
    _check_format(mapping, text)
    _check_fields(mapping, text)
    return mapping


def _placed(path: Path, said: str) -> str:
    found = re.fullmatch(r"(.*) \(at line ([0-9]+), column ([0-9]+)\)", said)
    return f"{path}:{found[2]}:{found[3]}: {found[1]}" if found else f"{path}: {said}"


def _shaped(given: dict[str, Any], text: _Text) -> Mapping:
    columns = given.get("columns")
    for name, column in columns.items() if isinstance(columns, dict) else ():
        try:
            msgspec.convert(column, str | Column)
        except msgspec.ValidationError as error:
            text.refuse("columns", name, _unshaped(str(error), ["field", "as", "time", "zone"]))
    try:
        return msgspec.convert(given, Mapping)
    except msgspec.ValidationError as error:
        problem, _, at = str(error).partition(" - at `$.")
        unknown = re.search(r"unknown field `([^`]*)`", problem)
        key = unknown[1] if unknown else re.split(r"[`.\[]", at)[0]
        text.refuse("", key, _unshaped(problem, [*Mapping.__struct_fields__]))


def _unshaped(said: str, known: Iterable[str]) -> str:
    """What msgspec found wrong, in words."""
    unknown = re.search(r"unknown field `([^`]*)`", said)
    return f"unknown word {unknown[1]!r}{meant(unknown[1], known)}" if unknown else said.partition(" - at `")[0]


def _check_format(mapping: Mapping, text: _Text) -> None:
    if len(mapping.delimiter) != 1 or mapping.delimiter in '"\r\n':
        text.refuse("", "delimiter", f"{mapping.delimiter!r} separates no columns; one character, such as ; or \\t")
    try:
        plain = 'a,"\n'.encode(mapping.encoding) == b'a,"\n'
    except LookupError:
        plain = False
    if not plain:
        text.refuse("", "encoding", f"cannot read {mapping.encoding!r}; give utf-8, latin-1, cp1252 or the like")
    for name in mapping.columns:
        column = mapping.column(name)
        try:
            zone_of(column.zone)
        except ValueError:
            text.refuse("columns", name, f"no zone {column.zone!r}; UTC, +02:00, or a name such as Europe/Berlin")
        if column.time is not None and "%" not in column.time:
            text.refuse("columns", name, f"{column.time!r} is no format of a time; such as %Y-%m-%d %H:%M")
        if column.time is not None and (problem := _wrong_format(column.time)):
            text.refuse("columns", name, f"{column.time!r} is no format of a time: {problem}; such as %Y-%m-%d %H:%M")


def _wrong_format(form: str) -> str | None:
    """Why a time that is written by the format could not be read by it."""
    try:
        datetime.strptime(_SOME_TIME.strftime(form), form)  # noqa: DTZ007 - only whether it can be read
    except ValueError as error:
        return str(error).partition(" in format ")[0]
    return None


def zone_of(zone: str) -> tzinfo:
    """The zone of that name. Raises `ValueError`."""
    if zone == "UTC":
        return timezone.utc  # noqa: UP017 - a zone like the fixed ones below
    if found := re.fullmatch(r"([+-])([01][0-9]):([0-5][0-9])", zone):
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(offset if found[1] == "+" else -offset)
    try:
        return ZoneInfo(zone)
    except (OSError, KeyError) as error:
        raise ValueError(zone) from error


def _check_fields(mapping: Mapping, text: _Text) -> None:
    """Each field is given once and is one of the event's, and none is missing."""
    given: dict[str, tuple[str, str]] = {}
    for section, key, field in _given(mapping):
        if field in given:
            text.refuse(section, key, f"field {field!r} is given a second time, first by {'.'.join(given[field])}")
        given[field] = section, key
    for field, (section, key) in given.items():
        below = next((other for other in given if other.startswith(f"{field}.")), None)
        if below and not isinstance(mapping.constants.get(field), dict):
            text.refuse(section, key, f"field {field!r} is given whole, and {below!r} in it as well")
    for key, template in mapping.templates.items():
        known = [*OWN, *(mapping.names or [])]
        for name in re.findall(r"\{([^{}]*)\}", template):
            if mapping.names is not None and name not in known:
                text.refuse("templates", key, f"no column {name!r}{meant(name, known)}")
    kinds = {str(kind.__struct_config__.tag): kind for kind in get_args(events.AnyEvent)}
    kind = mapping.constants.get("type")
    if kind is None and "type" not in given:
        raise UserFacingError(f'{text.file}: nothing gives the type of the event; such as [constants] type = "order.completed"')  # fmt: skip
    if kind is not None and kind not in kinds:
        text.refuse("constants", "type", f"no type {kind!r}{meant(str(kind), kinds)}")
    if kind is not None:
        _check_kind(kind, msgspec.structs.fields(kinds[kind]), given, text)


def _given(mapping: Mapping) -> Iterable[tuple[str, str, str]]:
    """(section, key, field) of all that gives a field."""
    yield from (("columns", name, mapping.column(name).field) for name in mapping.columns)
    yield from (("constants", name, name) for name in mapping.constants)
    yield from (("templates", name, name) for name in mapping.templates)


def _check_kind(
    kind: str, fields: Iterable[msgspec.structs.FieldInfo], given: dict[str, tuple[str, str]], text: _Text
) -> None:
    known = {field.encode_name: field.required for field in fields}
    for field, (section, key) in given.items():
        top = field.split(".")[0]
        if top not in known and top != "type":
            text.refuse(section, key, f"{kind} has no field {top!r}{meant(top, known)}")
    for name, required in known.items():
        if required and name not in given:
            raise UserFacingError(f"{text.file}: nothing gives {name!r}, which {kind} needs; add a column, a constant or a template")  # fmt: skip
