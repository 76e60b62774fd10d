"""What several commands share: which settings file, and how its settings are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from config.settings import Settings, load


def _from_root(context: typer.Context, value: Path | None) -> Path | None:
    """`lifestage --config F worker` means the same as `lifestage worker --config F`; the nearer one wins."""
    parent = context.parent
    while value is None and parent is not None:
        value, parent = parent.params.get("config"), parent.parent
    return value


ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file with settings.", callback=_from_root, show_default=False),
]
"""The type of a command's `config` parameter: `def run(config: ConfigFile = None) -> None`."""

RootConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", envvar="LIFESTAGE_CONFIG", help="TOML file with settings."),
]
"""The same option before the command's name, where the environment may give it too."""


def settings_of(config: Path | None) -> Settings:
    """The settings in force for a command: defaults, then the file, then `LIFESTAGE_…` variables.

    Raises `SettingsError`, which `commands.main` turns into one line and exit code 2.
    """
    return load(config, os.environ)
