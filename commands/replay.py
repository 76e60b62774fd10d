"""`lifestage replay`: the stage changes of files of events, without Kafka."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, TypeVar

import typer

from commands.options import ConfigFile, settings_of
from config.errors import UserFacingError

if TYPE_CHECKING:
    from commands.progress import Progress
    from config.settings import Settings
    from lifestage.cause import Rules
    from lifestage.change import Announced
    from lifestage.facts import Fact
    from lifestage.refusal import Refusal
    from streams.files import Line

Name = TypeVar("Name")

SHOWN_REJECTED = 5
CUSTOMERS_A_ROUND = 500
REPORT_EVERY = 2_000


def run(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Events as JSON, one a line; - for stdin.")],
    *,
    plan: Annotated[str | None, typer.Option("--plan", metavar="NAME", help="The plan; else lifecycle.plan.")] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Let time pass up to here, exclusive; RFC 3339.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Changes; else stdout.")] = None,
    rejected: Annotated[
        Path | None, typer.Option("--rejected", metavar="FILE", help="Rejected events with the reason.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Compute every stage change of the events in FILE..., which may be in any order.

    One change a line as JSON, by time, then customer: what live processing announces, without corrections on the way.
    A summary goes to stderr. Without --until time ends with the newest event.
    """
    from commands.progress import progress
    from commands.times import instant
    from streams.rules import rules_of

    settings = settings_of(config)
    rules = rules_of(settings, plan)
    end = instant(until) if until is not None else None
    began = time.monotonic()
    with ExitStack() as stack:
        shown = stack.enter_context(progress())
        aside = stack.enter_context(_writing(rejected)) if rejected else None
        taken = Taken(aside)
        taken.read(settings, files, shown, end)
        done = fold(taken, rules, end, shown)
        out = stack.enter_context(_writing(output)) if output else sys.stdout.buffer
        _write(out, done.changes)
    typer.echo(summary(taken, done, until, time.monotonic() - began), err=True)


def _writing(path: Path) -> IO[bytes]:
    try:
        return path.open("wb")
    except OSError as error:
        raise UserFacingError(f"{path}: cannot be written ({error.strerror})") from None


@dataclass(slots=True)
class Taken:
    """What was read: facts by customer, and what became of every line."""

    aside: IO[bytes] | None = None
    facts: dict[str, list[Fact]] = field(default_factory=dict)
    newest: int | None = None
    outcomes: Counter[str] = field(default_factory=Counter)
    first_rejected: list[str] = field(default_factory=list)
    read_lines: int = 0

    def read(self, settings: Settings, files: Sequence[str], shown: Progress, until: int | None) -> None:
        """Decode all lines. A line that is no event is counted, and goes to `aside`."""
        from streams.doorway import decoder_of
        from streams.files import lines, size_of

        decode = decoder_of(settings).decode
        shown.begin("reading", size_of(files))
        for line in lines(files):
            self.read_lines += 1
            decided = decode(line.value, None)
            if isinstance(decided, tuple):
                self._refuse(line, decided)
            elif until is not None and decided.time >= until:
                self.outcomes["after --until"] += 1
            else:
                self._keep(decided)
            if self.read_lines % REPORT_EVERY == 0:
                shown.reach(line.end, f"{self.read_lines:,} events")

    def _keep(self, fact: Fact) -> None:
        from lifestage.keys import key_of

        key = key_of(fact)
        assert key is not None, "a decoded fact names somebody"
        self.facts.setdefault(key, []).append(fact)
        self.newest = fact.time if self.newest is None else max(self.newest, fact.time)

    def _refuse(self, line: Line, refusal: Refusal) -> None:
        from msgspec.json import encode

        self.outcomes[refusal.outcome] += 1
        if refusal.outcome != "rejected":
            return
        if len(self.first_rejected) < SHOWN_REJECTED:
            self.first_rejected.append(f"{line.place}: {refusal.reason}: {refusal.message}")
        if self.aside is not None:
            text = line.value.decode(errors="replace")
            place = {"file": line.file, "line": line.number, "reason": refusal.reason, "message": refusal.message}
            self.aside.write(encode({**place, "event": text}) + b"\n")


@dataclass(slots=True)
class Done:
    """What the fold gave. `changes` are by (time, customer, seq)."""

    changes: list[Announced] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    population: Counter[str] = field(default_factory=Counter)


def fold(taken: Taken, rules: Rules, until: int | None, shown: Progress) -> Done:
    """Replay every customer up to `until` (ms, exclusive), or up to the newest fact of all, inclusive."""
    from lifestage.moments import parse
    from lifestage.replay import replay

    end = until if until is not None else (taken.newest or 0) + 1
    keys, done = sorted(taken.facts), Done()
    shown.begin("computing", len(keys))
    for first in range(0, len(keys), CUSTOMERS_A_ROUND):
        some = keys[first : first + CUSTOMERS_A_ROUND]
        path = replay((fact for key in some for fact in taken.facts.pop(key)), rules, end)
        done.changes += path.changes
        done.outcomes += path.outcomes
        done.population += path.population
        shown.reach(first + len(some), f"{len(done.changes):,} changes")
    done.changes.sort(key=lambda a: (parse(a.time), a.partitionkey, a.data.seq))
    return done


def _write(out: IO[bytes], changes: Sequence[Announced]) -> None:
    from lifestage.change import encode_value

    for change in changes:
        out.write(encode_value(change) + b"\n")
    out.flush()


def summary(taken: Taken, done: Done, until: str | None, seconds: float) -> str:
    """What a person reads at the end."""
    outcomes = done.outcomes + taken.outcomes
    order = ["accepted", "duplicate", "suppressed", "rejected", "after --until"]
    counts = [f"{outcomes[name]:,} {name}" for name in order if outcomes[name] or name in ("accepted", "rejected")]
    rate = taken.read_lines / seconds if seconds else 0
    said = [f"{taken.read_lines:,} events in {seconds:.1f} s ({rate:,.0f} a second): {', '.join(counts)}"]
    said += [f"  {line}" for line in taken.first_rejected]
    if outcomes["rejected"] > len(taken.first_rejected):
        said.append(f"  and {outcomes['rejected'] - len(taken.first_rejected):,} more; --rejected FILE keeps them all")
    said.append(f"{len(done.changes):,} changes{f' before {until}' if until else ''}")
    moves = Counter((change.data.previous_stage, change.data.stage) for change in done.changes)
    said += [f"  {(a or '-') + ' -> ' + (b or '-'):<28}{count:>9,}" for (a, b), count in ranked(moves)]
    standing = ", ".join(f"{stage} {count:,}" for stage, count in ranked(done.population) if count)
    return "\n".join([*said, f"customers by stage: {standing or 'none'}"])


def ranked(counts: Counter[Name]) -> list[tuple[Name, int]]:
    """The most frequent first; of equals in the order of their names."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
