"""`lifestage check`: a plan file, refused with its place or told in short, and its stories, each true or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lifestage.language import Sheet
    from lifestage.plan import Compiled, Plan
    from lifestage.stories import Failure


def run(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A plan file, or the name of a shipped plan.")],
    *,
    text: Annotated[bool, typer.Option("--text", help="Print the plan alone, as it is read back.")] = False,
) -> None:
    """Check a plan, run its stories and show what it holds: policies, stages in precedence, windows, facts, KPIs.

    A wrong plan is one line with file, line, column and what was probably meant; stories that are not true are one line
    each. Exit code 1 for both.
    """
    from config.plan_files import sheet_of

    sheet = sheet_of(plan)
    failures = untrue(sheet)
    for line in _read_back(sheet.plan) if text else told(sheet, failures):
        typer.echo(line)
    for failure in failures:
        typer.echo(str(failure), err=True)
    if failures:
        raise typer.Exit(1)


def untrue(sheet: Sheet) -> list[Failure]:
    """Where the stories of a plan are not true."""
    from lifestage.cause import Rules
    from lifestage.plan import Compiled
    from lifestage.stories import run as run_story

    rules = Rules(Compiled(sheet.plan))
    return [failure for story in sheet.stories for failure in run_story(story, rules)]


def told(sheet: Sheet, failures: Sequence[Failure]) -> Iterator[str]:
    """What a plan holds, in lines; `failures` are those of its stories."""
    from lifestage.plan import Compiled, duration

    compiled, plan = Compiled(sheet.plan), sheet.plan
    yield f"plan     {plan.id} version {plan.version}, hash {compiled.hash}"
    if sheet.title:
        yield f"title    {sheet.title}"
    yield f"policy   {', '.join(_policies(plan))}"
    yield f"ladder   {' < '.join(compiled.ladder)}"
    yield "windows  " + (", ".join(f"{name} {duration(ms)}" for name, ms in sheet.windows.items()) or "none")
    yield "options  " + (", ".join(f"{name} {'on' if on else 'off'}" for name, on in sheet.options.items()) or "none")
    yield from _stages(sheet)
    yield from _facts(compiled)
    yield from _kpis(sheet)
    yield f"stories  {len(sheet.stories) or 'none'}"
    for story in sheet.stories:
        last = story.lines[-1].place.line
        wrong = any(story.place.line <= failure.place.line <= last for failure in failures)
        yield f"  {'not true' if wrong else 'true':<8}  {story.name}"


def _policies(plan: Plan) -> Iterator[str]:
    from lifestage.language_write import amount, zone
    from lifestage.plan import duration

    yield f"grace {duration(plan.grace) if plan.grace else 'none'}"
    yield f"days in {zone(plan.day_zone)}"
    forget = plan.forget_anonymous
    yield f"anonymous visitors {'kept' if forget is None else f'forgotten after {duration(forget)}'}"
    if plan.forward_only:
        yield "forward only"
    if plan.min_order_net is not None:
        yield f"orders from {amount(*plan.min_order_net)} net on"


def _stages(sheet: Sheet) -> Iterator[str]:
    from lifestage.language_write import condition_text

    yield "stages   in precedence: the first that holds"
    width = max(len(stage.name) for stage in sheet.plan.stages)
    for stage in sheet.plan.stages:
        rank = f"rank {stage.rank}" if stage.rank is not None else "no rank"
        yield f"  {stage.name:<{width}}  {rank:<8}  {condition_text(stage.when)}"


def _facts(compiled: Compiled) -> Iterator[str]:
    from lifestage.language_facts import UNIT_SAYS, fact_name
    from lifestage.operands import OPERANDS

    leaves = [leaf for asked in compiled.asked.values() for leaf in asked.leaves]
    facts = {fact_name(leaf): OPERANDS[leaf.operand] for leaf in leaves}
    yield f"facts    {len(facts)} that conditions ask"
    width = max(len(name) for name in facts)
    for name in sorted(facts):
        yield f"  {name:<{width}}  {UNIT_SAYS[facts[name].unit]:<14}  {facts[name].says}"


def _kpis(sheet: Sheet) -> Iterator[str]:
    from lifestage.kpi_names import KPIS
    from lifestage.plan import duration

    labels = [(label, written.stage.name) for written in sheet.stages for label in written.kpis]
    yield "kpis     " + ("of stages" if labels else "none")
    width = max((len(label.name) for label, _ in labels), default=0)
    for label, stage in labels:
        target = label.target
        seconds = KPIS[label.name].unit == "seconds"
        shown = "" if target is None else duration(round(target * 1000)) if seconds else f"{target:g}"
        yield f"  {label.name:<{width}}  {stage}{', target ' if shown else ''}{shown}"


def _read_back(plan: Plan) -> Iterator[str]:
    from lifestage.language import unparse

    yield unparse(plan).removesuffix("\n")
