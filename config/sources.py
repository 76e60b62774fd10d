"""The two places settings come from: a TOML file, and variables of the environment."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_origin, get_type_hints

import msgspec

from config.errors import SettingsError
from config.wording import meant, shown

Sections = Mapping[str, type[msgspec.Struct]]
NO_SETTINGS = frozenset({"LIFESTAGE_COMPILED", "LIFESTAGE_CONFIG", "LIFESTAGE_HOME"})
"""Variables that start like settings and are none: whether a worker runs the compiled core, where the settings file is,
and where local data is kept."""


class Given(NamedTuple):
    """What was set, by (section, name), and the place of each: `file:line` or `environment VARIABLE`."""

    values: dict[tuple[str, str], Any]
    places: dict[tuple[str, str], str]


def read_file(path: Path, sections: Sections, given: Given) -> None:
    """Add what a TOML file sets. Raises `SettingsError` when it cannot be read, or names what does not exist."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); give an existing file with --config") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8 text") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    for section, table in tables.items():
        line = _line_of(text, section)
        if section not in sections:
            raise SettingsError(f"{path}:{line}: unknown section [{section}]{meant(section, sections)}")
        if not isinstance(table, dict):
            raise SettingsError(f"{path}:{line}: {section} must be a table: write [{section}]")
        known = sections[section].__struct_fields__
        for name, value in table.items():
            place = f"{path}:{_line_of(text, section, name)}"
            if name not in known:
                raise SettingsError(f"{place}: unknown setting {section}.{name}{meant(name, known)}")
            given.values[section, name] = value
            given.places[section, name] = place


def _line_of(text: str, section: str, name: str | None = None) -> int:
    """The line, from 1, at which a section, or a name in it, is set. tomllib keeps no lines, so the text is searched."""
    header = re.compile(rf"\s*\[\s*\"?{re.escape(section)}\"?\s*\]")
    inline = re.compile(rf"\s*{re.escape(section)}\s*[=.]")
    setting = re.compile(rf"\s*(?:{re.escape(section)}\s*\.\s*)?\"?{re.escape(name or '')}\"?\s*=")
    here, found = False, 1
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            here = header.match(line) is not None
        starts = header.match(line) or inline.match(line)
        if name is None and starts:
            return number
        if name is not None and (here or inline.match(line)) and setting.match(line):
            return number
        if starts:
            found = number
    return found


def read_environment(environment: Mapping[str, str], sections: Sections, given: Given) -> None:
    """Add what variables `LIFESTAGE_<SECTION>_<NAME>` set, over what is there. A list is written with commas."""
    known = {f"LIFESTAGE_{s}_{f}".upper(): (s, f) for s, cls in sections.items() for f in cls.__struct_fields__}
    for variable, text in environment.items():
        if not variable.startswith("LIFESTAGE_") or variable in NO_SETTINGS:
            continue
        if variable not in known:
            raise SettingsError(f"environment: unknown variable {variable}{meant(variable, known)}")
        section, name = known[variable]
        kind = get_type_hints(sections[section])[name]
        given.places[section, name] = f"environment {variable}"
        try:
            given.values[section, name] = _from_text(kind, text)
        except ValueError as error:
            value = shown(section, name, text)
            raise SettingsError(f"environment {variable}: {section}.{name} = {value}: {error}") from None


def _from_text(kind: Any, text: str) -> object:
    if get_origin(kind) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ValueError("expected true or false")
        return text.lower() in ("true", "1", "yes")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError("expected a whole number" if kind is int else "expected a number") from None
    return text
