"""`lifestage replay`: the stage changes of files of events, without Kafka."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands import compiled, offline
from commands.options import ConfigFile, settings_of
from commands.outputs import check_outputs, or_stdout

if TYPE_CHECKING:
    from streams.offline import Result


def run(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Events as JSON, one a line, in any order; - for stdin."),
    ] = None,
    *,
    log: Annotated[bool, typer.Option("--log", help="The live log, from its first record to its end.")] = False,
    until_offset: Annotated[
        list[str] | None,
        typer.Option("--until-offset", metavar="PARTITION:OFFSET", help="With --log: up to there, exclusive."),
    ] = None,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="PLAN", help="A plan file or shipped plan; else lifecycle.plan.")
    ] = None,
    until: offline.Until = None,
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Changes; else stdout.")] = None,
    rejected: offline.RejectedFile = None,
    csv: offline.Csv = None,
    memory: offline.Memory = offline.MEMORY_MB,
    processes: offline.Processes = None,
    config: ConfigFile = None,
) -> None:
    """Compute every stage change of the events in FILE..., which may be in any order.

    One change a line as JSON, by time, then customer: what live processing announces, without corrections on the way.
    A summary goes to stderr. Without --until time ends with the newest event. With --log the live log is replayed instead:
    the same changes byte for byte, by partition and in the log's order.
    """
    compiled.use(os.environ)  # first: what follows imports the core

    from commands.replay_log import run_log
    from config.plan_files import sheet_of

    if log:
        for given, name in ((files, "FILE"), (until, "--until"), (rejected, "--rejected"), (csv, "--csv")):
            if given:
                raise typer.BadParameter(f"--log takes no {name}")
        check_outputs({"--output": or_stdout(output)}, [plan, config])
        run_log(settings_of(config), plan, until_offset or (), or_stdout(output))
        return
    if not files or until_offset:
        raise typer.BadParameter("--until-offset is for --log" if files else "name files, - for stdin, or --log")
    began = time.monotonic()
    named = plan or settings_of(config).lifecycle.plan
    sheet = sheet_of(named)
    asked = offline.Asked(files, until, or_stdout(output), rejected, csv, memory, processes, config, [named])
    with offline.working_on(asked, [sheet.plan]) as work:
        work.write(work.result.moves[0].total())
    typer.echo("\n".join([*work.summary(time.monotonic() - began), *summary(work.result)]), err=True)


def summary(result: Result) -> list[str]:
    """What a person reads about the changes, in lines."""
    moves = result.moves[0]
    said = [f"{offline.counted(moves.total(), 'change')}{offline.until_when(result)}"]
    return [*said, *offline.table(moves), f"customers by stage: {offline.population(result.population[0])}"]
