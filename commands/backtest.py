"""`lifestage backtest`: two plans over the same events, and who stands elsewhere under the other."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from commands import compiled, offline
from commands.options import ConfigFile


def run(
    files: offline.Files,
    *,
    plan: Annotated[str, typer.Option("--plan", metavar="A", help="A plan file or shipped plan.")],
    against: Annotated[str, typer.Option("--against", metavar="B", help="The plan to compare it with.")],
    until: offline.Until = None,
    json: offline.Json = False,
    output: offline.MovedFile = None,
    rejected: offline.RejectedFile = None,
    csv: offline.Csv = None,
    memory: offline.Memory = offline.MEMORY_MB,
    processes: offline.Processes = None,
    config: ConfigFile = None,
) -> None:
    """Compare two plans on the events in FILE..., which are read once: who would stand elsewhere at the end.

    Customers by their stage under A and under B, and the number of changes of each. --output keeps each customer who
    differs as a line of JSON: both stages, since when, and why. A summary goes to stderr.
    """
    compiled.use(os.environ)  # first: what follows imports the core

    from commands.comparison import Comparison
    from config.plan_files import sheet_of

    began = time.monotonic()
    sheets = [sheet_of(plan), sheet_of(against)]
    asked = offline.Asked(files, until, output, rejected, csv, memory, processes, config, [plan, against])
    comparison = Comparison(("a", "b"), [f"{sheet.plan.id} version {sheet.plan.version}" for sheet in sheets], until)
    comparison.tell(asked, [sheet.plan for sheet in sheets], json, began)
