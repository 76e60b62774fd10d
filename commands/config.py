"""`lifestage config`: what is in force, and where each value comes from."""

from __future__ import annotations

import json
import os

import typer

from commands.options import ConfigFile
from config.settings import load_with_places
from config.wording import redacted


def run(config: ConfigFile = None) -> None:
    """Show the settings in force as TOML, with the place of each that is no default. Secrets are shown as `…`."""
    settings, places = load_with_places(config, os.environ)
    for section in settings.__struct_fields__:
        typer.echo(f"[{section}]")
        table = getattr(settings, section)
        for name in table.__struct_fields__:
            line = f"{name} = {_toml(redacted(section, name, getattr(table, name)))}"
            place = places.get((section, name))
            typer.echo(f"{line:<44}  # {place}" if place else line)
        typer.echo()


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # A string of JSON is a string of TOML, and so are its numbers, true and false.
    return json.dumps(value, ensure_ascii=False)
