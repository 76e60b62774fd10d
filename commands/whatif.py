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


def run(
    files: offline.Files,
    *,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="PLAN", help="A plan file or shipped plan; else lifecycle.plan.")
    ] = None,
    change: Annotated[
        list[str],
        typer.Option("--set", metavar="WINDOW=LENGTH", help="Another length of a window, such as at_risk=60d."),
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
    """Change windows of a plan and see who would stand elsewhere at the end, on the events in FILE...

    Customers by their stage before and after, and the number of changes of each. --output keeps each customer who
    differs as a line of JSON: both stages, since when, and why. A summary goes to stderr.
    """
    compiled.use(os.environ)  # first: what follows imports the core

    from commands.comparison import Comparison
    from config.plan_files import sheet_of
    from lifestage.plan import duration

    began = time.monotonic()
    named = plan or settings_of(config).lifecycle.plan
    windows = windows_of(change)
    sheets = [sheet_of(named), sheet_of(named, windows)]
    changed = ", ".join(f"{name} {duration(sheets[0].windows[name])} -> {duration(ms)}" for name, ms in windows.items())
    asked = offline.Asked(files, until, output, rejected, csv, memory, processes, config)
    before, after = sheets[0].plan, sheets[1].plan
    comparison = Comparison(("before", "after"), [f"{before.id} version {before.version}", changed], until)
    comparison.tell(asked, [before, after], json, began)


def windows_of(given: Sequence[str]) -> dict[str, int]:
    """The windows of `--set NAME=LENGTH`, in ms. Raises `UserFacingError` for what is none."""
    from lifestage.language_words import Place, PlanError, Word, duration

    found: dict[str, int] = {}
    for one in given:
        name, equals, length = (part.strip() for part in one.partition("="))
        if not name or not equals or not length:
            raise UserFacingError(f"--set {one!r}: expected WINDOW=LENGTH, such as at_risk=60d")
        if name in found:
            raise UserFacingError(f"--set {one!r}: window {name!r} is set a second time; once is enough")
        try:
            found[name] = duration(Word(length, "amount", Place("--set", 1, 1)))
        except PlanError as error:
            raise UserFacingError(f"--set {one!r}: {error.problem}; {error.suggestion}") from None
    return found
