"""What `backtest` and `whatif` tell: two plans over the same events, side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from commands import offline

if TYPE_CHECKING:
    from lifestage.plan import Plan
    from streams.offline import Result


class Comparison(NamedTuple):
    """`names` are those of the two sides in documents, `titles` those that a person reads."""

    names: tuple[str, str]
    titles: Sequence[str]
    until: str | None

    def tell(self, asked: offline.Asked, plans: Sequence[Plan], json: bool, began: float) -> None:
        """Do the work; the comparison goes to stdout as text or JSON, the summary to stderr. Raises `UserFacingError`."""
        from msgspec.json import encode

        with offline.working_on(asked, plans, self.names) as work:
            if asked.output is not None:
                work.write(work.result.differ.total())
        result = work.result
        typer.echo("\n".join(work.summary(time.monotonic() - began)), err=True)
        typer.echo(encode(self.document(plans, result)) if json else "\n".join(self.lines(result)))

    def document(self, plans: Sequence[Plan], result: Result) -> dict[str, Any]:
        """The comparison as JSON: with sides named a and b, `plan_a`, `changes_a`, `stages_a` and so on."""
        from lifestage.plan import Compiled

        found: dict[str, Any] = {"customers": result.customers, "differ": result.differ.total(), "until": self.until}
        found["as_of"] = offline.iso_of(result.newest if result.until is None else result.until)
        for name, plan in zip(self.names, plans, strict=True):
            found[f"plan_{name}"] = {"id": plan.id, "version": plan.version, "hash": Compiled(plan).hash}
        for name, moves in zip(self.names, result.moves, strict=True):
            found[f"changes_{name}"] = moves.total()
        for name, stages in zip(self.names, result.population, strict=True):
            found[f"stages_{name}"] = {stage: count for stage, count in offline.ranked(stages) if count}
        found["moves"] = [{"from": a, "to": b, "customers": n} for (a, b), n in offline.ranked(result.differ)]
        return found

    def lines(self, result: Result) -> list[str]:
        """The comparison for a person."""
        differ, customers = result.differ.total(), offline.counted(result.customers, "customer")
        when = offline.until_when(result)
        said = [
            f"{differ:,} of {customers} stand{'s' if differ == 1 else ''} elsewhere at the end{when and f':{when}'}"
        ]
        said += offline.table(result.differ)
        width = max(map(len, self.names))
        for name, title, moves in zip(self.names, self.titles, result.moves, strict=True):
            said.append(f"{name:<{width}}  {offline.counted(moves.total(), 'change')}: {title}")
        for name, stages in zip(self.names, result.population, strict=True):
            said.append(f"{name:<{width}}  customers by stage: {offline.population(stages)}")
        return said
