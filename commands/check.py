"""`lifestage check`: a plan file, refused with its place or told in short."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lifestage.language import Sheet


def run(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A plan file, or the name of a shipped plan.")],
) -> None:
    """Check a plan and show what it holds: stages in precedence, windows, and the facts it asks.

    A wrong plan is one line with file, line, column and what was probably meant, and exit code 1.
    """
    from config.plan_files import sheet_of

    for line in told(sheet_of(plan)):
        typer.echo(line)


def told(sheet: Sheet) -> Iterator[str]:
    """What a plan holds, in lines."""
    from lifestage.language_write import condition_text, zone
    from lifestage.plan import Compiled, duration

    compiled, plan = Compiled(sheet.plan), sheet.plan
    yield f"plan     {plan.id} version {plan.version}, hash {compiled.hash}"
    if sheet.title:
        yield f"title    {sheet.title}"
    forget = plan.forget_anonymous
    kept = "kept" if forget is None else f"forgotten after {duration(forget)}"
    yield f"policy   grace {duration(plan.grace) if plan.grace else 'none'}, days in {zone(plan.day_zone)}, anonymous visitors {kept}"
    yield f"ladder   {' < '.join(compiled.ladder)}"
    yield "windows  " + (", ".join(f"{name} {duration(ms)}" for name, ms in sheet.windows.items()) or "none")
    facts = sorted({leaf.operand for asked in compiled.asked.values() for leaf in asked.leaves})
    yield f"facts    {', '.join(facts)}"
    yield "stages   in precedence: the first that holds"
    width = max(len(stage.name) for stage in plan.stages)
    for stage in plan.stages:
        rank = f"rank {stage.rank}" if stage.rank is not None else "no rank"
        yield f"  {stage.name:<{width}}  {rank:<8}  {condition_text(stage.when)}"
