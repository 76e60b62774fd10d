"""`lifestage whatif`: a plan with other windows over the same events, and who would stand elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from commands import compiled, offline
from commands.options import ConfigFile, settings_of
from config.errors import OptionError, UserFacingError
from config.wording import meant

if TYPE_CHECKING:
    from lifestage.language import Sheet

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

    began = time.monotonic()
    named = plan or settings_of(config).lifecycle.plan
    before = sheet_of(named)
    changes = changes_of(change, before)
    after = changes.sheet(named)
    for name in changes.unread(named, after):
        typer.echo(
            f"warning: --set {name}: no condition reads the window {name!r}, so its length changes nothing", err=True
        )
    titles = [f"{before.plan.id} version {before.plan.version}", ", ".join(changes.told(before))]
    asked = offline.Asked(files, until, output, rejected, csv, memory, processes, config, [named])
    Comparison(("before", "after"), titles, until).tell(asked, [before.plan, after.plan], json, began)


class Changes(NamedTuple):
    """What `--set` gives: windows (ms) and options by name."""

    windows: dict[str, int]
    options: dict[str, bool]

    def told(self, before: Sheet) -> list[str]:
        """Each change, from what it was to what it is."""
        found = [
            f"{name} {duration_of(before.windows[name])} -> {duration_of(ms)}" for name, ms in self.windows.items()
        ]
        return found + [f"{name} {ONOFF[before.options[name]]} -> {ONOFF[on]}" for name, on in self.options.items()]

    def sheet(self, plan: str) -> Sheet:
        """The plan with these changes. Raises `OptionError` where they make it wrong."""
        from config.plan_files import sheet_of

        try:
            return sheet_of(plan, self.windows, self.options)
        except UserFacingError as error:
            said = [f"{name}={duration_of(ms)}" for name, ms in self.windows.items()]
            said += [f"{name}={ONOFF[wanted]}" for name, wanted in self.options.items()]
            raise OptionError(f"--set {' --set '.join(said)}: with it, {error}") from None

    def unread(self, plan: str, after: Sheet) -> list[str]:
        """The changed windows that no condition reads, with all that is changed."""
        found = []
        for name in self.windows:
            others = Changes({other: ms for other, ms in self.windows.items() if other != name}, self.options)
            with suppress(OptionError):  # without it the plan is wrong: it is read
                before = others.sheet(plan)
                if before.windows[name] != after.windows[name] and before.plan == after.plan:
                    found.append(name)
        return found


def duration_of(ms: int) -> str:
    """A length of time as a plan has it."""
    from lifestage.plan import duration

    return duration(ms)


def changes_of(given: Sequence[str], plan: Sheet) -> Changes:
    """The windows and options of `--set NAME=LENGTH` and `--set NAME=on`. Raises `OptionError` for what is neither."""
    changes = Changes({}, {})
    for one in given:
        name, equals, value = (part.strip() for part in one.partition("="))
        if not name or not equals or not value:
            raise OptionError(f"--set {one!r}: expected WINDOW=LENGTH, such as at_risk=60d, or OPTION=on")
        if name in changes.windows or name in changes.options:
            raise OptionError(f"--set {one!r}: {name!r} is set a second time; once is enough")
        if name in plan.options:
            if value not in ONOFF:
                raise OptionError(f"--set {one!r}: {name!r} is an option; write {name}=on or {name}=off")
            changes.options[name] = value == "on"
        elif name in plan.windows:
            changes.windows[name] = _length(one, name, value)
        else:
            raise OptionError(f"--set {one!r}: the plan has no window or option {name!r}{meant(name, [*plan.windows, *plan.options])}")  # fmt: skip
    return changes


def _length(given: str, name: str, value: str) -> int:
    from lifestage.language_words import Place, PlanError, Word, duration

    if value in ONOFF:
        raise OptionError(f"--set {given!r}: {name!r} is a window; write a length of time, such as {name}=60d")
    try:
        return duration(Word(value, "amount", Place("--set", 1, 1)))
    except PlanError as error:
        raise OptionError(f"--set {given!r}: {error.problem}; {error.suggestion}") from None
