"""One frozen `Settings`, read once at start from defaults, a TOML file and the environment.

Order, later wins: the defaults (`config.sections`) < the TOML file < variables `LIFESTAGE_<SECTION>_<NAME>`.
A wrong value is refused with the file and line (or the variable), the name, the value and what was meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from config.checks import check, is_loopback
from config.errors import SettingsError
from config.sections import (
    Clock,
    Identity,
    Intake,
    Kafka,
    Lifecycle,
    Mechanism,
    Metrics,
    Redis,
    Security,
    Settings,
    Topics,
)
from config.sources import Given, read_environment, read_file
from config.wording import shown

__all__ = [
    "Clock",
    "Identity",
    "Intake",
    "Kafka",
    "Lifecycle",
    "Mechanism",
    "Metrics",
    "Redis",
    "Security",
    "Settings",
    "SettingsError",
    "Topics",
    "is_loopback",
    "load",
    "load_with_places",
]


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in force.

    `path` is a TOML file with one table per section; `environment` is usually `os.environ`.
    Raises `SettingsError` for an unknown name, a value of the wrong type or out of range, or an unsafe combination.
    """
    return load_with_places(path, environment)[0]


def load_with_places(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> tuple[Settings, dict[tuple[str, str], str]]:
    """The settings in force, and where each that is no default was set: (section, name) to `file:line` or a variable.

    Raises as `load` does.
    """
    sections: dict[str, type[msgspec.Struct]] = get_type_hints(Settings)
    given = Given({}, {})
    if path is not None:
        read_file(path, sections, given)
    read_environment(environment or {}, sections, given)
    settings = _build(sections, given)
    check(settings, given.places)
    return settings, given.places


def _build(sections: Mapping[str, type[msgspec.Struct]], given: Given) -> Settings:
    built: dict[str, Any] = {}
    for section, cls in sections.items():
        hints = get_type_hints(cls)
        values = {
            name: _converted(section, name, value, hints[name], given)
            for (of, name), value in given.values.items()
            if of == section
        }
        built[section] = cls(**values)
    return Settings(**built)


def _converted(section: str, name: str, value: object, kind: Any, given: Given) -> object:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        choices = f"; one of {', '.join(map(str, get_args(kind)))}" if get_origin(kind) is Literal else ""
        place = given.places[section, name]
        raise SettingsError(
            f"{place}: {section}.{name} = {shown(section, name, value)}: {_plain(error)}{choices}"
        ) from None


def _plain(error: msgspec.ValidationError) -> str:
    """msgspec's words in a person's: lower case, without the quotes and Python's `str`."""
    words = {"`str`": "a text", "`int`": "a whole number", "`float`": "a number", "`bool`": "true or false"}
    text = str(error)
    for theirs, ours in {**words, "`array`": "a list", "`object`": "a table"}.items():
        text = text.replace(theirs, ours)
    return text[:1].lower() + text[1:]
