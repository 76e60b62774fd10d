"""`lifestage whatif`: a plan with other windows over the same events, and who would stand elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from commands import compiled, offline
from commands.options import ConfigFile, settings_of
from config.errors import UserFacingError

ONOFF = ("off", "on")


def run(
    files: offline.Files,
    *,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="PLAN", help="A plan file or shipped plan; else lifecycle.plan.")
    ] = None,
    change: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Another length of a window, such as at_risk=60d; an option on or off."
        ),
    ],
    until: offline.Until = None,
    json: offline.Json = False,
    output: offline.MovedFile = None,
    rejected: offline.RejectedFile = None,
    csv: offline.Csv = None,
    memory: offline.Memory = offline.MEMORY_MB,
    processes: offline.Processes = None,
    config: ConfigFile = None,
) -> None:
    """Change windows and options of a plan and see who would stand elsewhere at the end, on the events in FILE...

    Customers by their stage before and after, and the number of changes of each. --output keeps each customer who
    differs as a line of JSON: both stages, since when, and why. A summary goes to stderr.
    """
    compiled.use(os.environ)  # first: what follows imports the core

    from commands.comparison import Comparison
    from config.plan_files import sheet_of
    from lifestage.plan import duration

    began = time.monotonic()
    named = plan or settings_of(config).lifecycle.plan
    windows, options = changes_of(change)
    before, after = sheet_of(named), sheet_of(named, windows, options)
    changed = [f"{name} {duration(before.windows[name])} -> {duration(ms)}" for name, ms in windows.items()]
    changed += [f"{name} {ONOFF[before.options[name]]} -> {ONOFF[wanted]}" for name, wanted in options.items()]
    asked = offline.Asked(files, until, output, rejected, csv, memory, processes, config, [named])
    titles = [f"{before.plan.id} version {before.plan.version}", ", ".join(changed)]
    Comparison(("before", "after"), titles, until).tell(asked, [before.plan, after.plan], json, began)


def changes_of(given: Sequence[str]) -> tuple[dict[str, int], dict[str, bool]]:
    """The windows (ms) and options of `--set NAME=LENGTH` and `--set NAME=on`. Raises `UserFacingError` for what is neither."""
    from lifestage.language_words import Place, PlanError, Word, duration

    windows: dict[str, int] = {}
    options: dict[str, bool] = {}
    for one in given:
        name, equals, value = (part.strip() for part in one.partition("="))
        if not name or not equals or not value:
            raise UserFacingError(f"--set {one!r}: expected WINDOW=LENGTH, such as at_risk=60d, or OPTION=on")
        if name in windows or name in options:
            raise UserFacingError(f"--set {one!r}: {name!r} is set a second time; once is enough")
        if value in ONOFF:
            options[name] = value == "on"
            continue
        try:
            windows[name] = duration(Word(value, "amount", Place("--set", 1, 1)))
        except PlanError as error:
            raise UserFacingError(f"--set {one!r}: {error.problem}; {error.suggestion}") from None
    return windows, options
