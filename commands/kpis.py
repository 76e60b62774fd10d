"""`lifestage kpis`: the KPIs of files of events as of an instant, without Kafka."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from commands import compiled, offline
from commands.options import ConfigFile, settings_of
from config.errors import OptionError

At = Annotated[str | None, typer.Option("--at", metavar="TIME", help="As of then, inclusive; RFC 3339 or a date.")]
Window = Annotated[str, typer.Option("--window", metavar="LENGTH", help="How long before --at counts, such as 90d.")]
By = Annotated[
    str | None,
    typer.Option(
        "--by", metavar="LABEL", help="channel: costs, customers, orders by the first one; campaign, mailbox: messages."
    ),
]


def run(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE...", help="Events as JSON, one a line, in any order; - for stdin."),
    ] = None,
    *,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="PLAN", help="A plan file or shipped plan; else lifecycle.plan.")
    ] = None,
    at: At = None,
    window: Window = "90d",
    by: By = None,
    json: Annotated[bool, typer.Option("--json", help="Each KPI with its value as one JSON object.")] = False,
    page: Annotated[bool, typer.Option("--page", help="Print the definitions, docs/kpis.md, and end.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="Print Prometheus' recording rules, and end.")] = False,
    rejected: offline.RejectedFile = None,
    csv: offline.Csv = None,
    memory: offline.Memory = offline.MEMORY_MB,
    processes: offline.Processes = None,
    config: ConfigFile = None,
) -> None:
    """Compute the KPIs of the events in FILE... as of an instant, over the window before it.

    Persons are followed as by `lifestage replay`: who came by several ids counts once. A KPI without a denominator has no
    value. A summary of what was read goes to stderr.
    """
    compiled.use(os.environ)  # first: what follows imports the core

    from commands.kpis_text import document, lines
    from config.plan_files import sheet_of
    from lifestage.kpi_gather import Span
    from lifestage.kpis import BREAKDOWNS
    from streams.offline_kpi_values import values

    if page or rules:
        typer.echo(_made(page), nl=False)
        return
    if not files or at is None:
        raise typer.BadParameter(_missing(files))
    if by not in (None, *BREAKDOWNS):
        raise OptionError(f"--by {by!r}: expected {', '.join(BREAKDOWNS[:-1])} or {BREAKDOWNS[-1]}")
    end = _at(at)
    span = Span(end - _length(window), end)
    began = time.monotonic()
    named = plan or settings_of(config).lifecycle.plan
    sheet = sheet_of(named)
    asked = offline.Asked(files, None, None, rejected, csv, memory, processes, config, [named])
    with offline.working_on(asked, [sheet.plan], span=span) as work:
        found = values(work.result, span, by, work.shown)
        if json:
            typer.echo(document(found))
        else:
            typer.echo("\n".join(lines(found, sheet, span)))
    summary = "\n".join(work.summary(time.monotonic() - began))
    typer.echo(summary.replace("after --until", "after --at"), err=True)


def _made(page: bool) -> str:
    from lifestage.kpi_page import page as made
    from lifestage.kpi_rules import text

    return made() if page else text()


def _missing(files: list[str] | None) -> str:
    hint = f"such as  lifestage kpis {files[0] if files else 'events.jsonl'} --at 2026-01-31"
    missing = "--at TIME says as of when" if files else "name files, or - for stdin"
    return f"{missing}, {hint} (what workers count live is on /metrics and the dashboards)"


def _at(given: str) -> int:
    from commands.times import instant
    from lifestage.moments import MAX_MS, iso

    try:
        ms = instant(given)
    except typer.BadParameter as error:
        raise OptionError(f"--at {error}") from None
    if not 0 <= ms < MAX_MS:
        raise OptionError(f"--at {given!r}: expected an instant from {iso(0)} to before {iso(MAX_MS)}")
    return ms


def _length(given: str) -> int:
    from lifestage.language_words import Place, PlanError, Word, duration

    try:
        length = duration(Word(given, "amount", Place("--window", 1, 1)))
    except PlanError as error:
        raise OptionError(f"--window {given!r}: {error.problem}; {error.suggestion}") from None
    if length <= 0:
        raise OptionError(f"--window {given!r}: expected a length of time above 0, such as 90d")
    return length
