"""`lifestage replay --log`: the live log folded once more, which gives the same changes byte for byte."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import typer

from commands.offline import counted, population, ranked, writing, written
from config.errors import UserFacingError

if TYPE_CHECKING:
    from commands.progress import Progress
    from config.settings import Settings
    from lifestage.cause import Rules
    from lifestage.change import Announced
    from lifestage.partition import Partition
    from streams.log_reader import LogReader

DIRTY_MAX = 2_000
"""Profiles that are held decoded; beyond it they become bytes, a tenth of the memory."""


def run_log(settings: Settings, plan: str | None = None, until: Iterable[str] = (), output: Path | None = None) -> None:
    """Fold the live log up to its end and write the changes, one a line, by partition and in its order.

    `until` are `PARTITION:OFFSET`, exclusive. A summary goes to stderr. Raises `UserFacingError`.
    """
    from commands.progress import progress
    from streams.log_reader import LogReader
    from streams.running import bootstrap_of

    rules, stops = rules_for(settings, plan), offsets(until)
    began, done = time.monotonic(), Done()
    with ExitStack() as stack:
        reader = stack.enter_context(LogReader(settings, bootstrap_of(settings)))
        ends = _ends(reader, stops)
        reader.check_whole(number for number, end in ends.items() if end)
        out = stack.enter_context(writing(output)) if output else sys.stdout.buffer
        shown = stack.enter_context(progress())
        shown.begin("replaying", sum(ends.values()))
        _write(out, replayed(reader, rules, ends, done, shown), output)
    typer.echo(summary(done, time.monotonic() - began), err=True)


def rules_for(settings: Settings, plan: str | None) -> Rules:
    """The rules that the workers go by, or those of a plan file or shipped plan that is named. Raises `UserFacingError`."""
    from config.plan_files import sheet_of
    from streams.rules import rules_of, rules_with

    return rules_of(settings) if plan is None else rules_with(settings, sheet_of(plan).plan)


@dataclass(slots=True)
class Done:
    """What was read and what came of it, over all partitions."""

    records: int = 0
    changes: int = 0
    partitions: int = 0
    moves: Counter[str] = field(default_factory=Counter)
    population: Counter[str] = field(default_factory=Counter)


def offsets(given: Iterable[str]) -> dict[int, int]:
    """Partition → offset from words such as `3:1200`. Raises `typer.BadParameter`."""
    found: dict[int, int] = {}
    for word in given:
        number, colon, offset = word.partition(":")
        if not (colon and number.isdecimal() and offset.isdecimal()):
            raise typer.BadParameter(f"--until-offset {word!r}: write PARTITION:OFFSET, such as 3:1200")
        if int(number) in found:
            raise typer.BadParameter(f"--until-offset {word!r}: partition {int(number)} is named twice")
        found[int(number)] = int(offset)
    return found


def _ends(reader: LogReader, stops: Mapping[int, int]) -> dict[int, int]:
    """Where each partition ends for us. Raises `UserFacingError` for an offset that is not there yet."""
    for number, offset in stops.items():
        if number not in reader.ends:
            raise UserFacingError(
                f"--until-offset {number}:{offset}: {reader.topic} has partitions 0 to {max(reader.ends)}"
            )
        if offset > reader.ends[number]:
            raise UserFacingError(
                f"--until-offset {number}:{offset}: {reader.topic}[{number}] ends at {reader.ends[number]}"
            )
    return {**reader.ends, **stops}


def replayed(
    reader: LogReader, rules: Rules, ends: Mapping[int, int], done: Done, shown: Progress
) -> Iterator[Announced]:
    """The changes of all partitions, one partition after the other, each in log order; `done` counts along."""
    from lifestage.partition import Partition

    began = time.monotonic()
    for number in sorted(ends):
        partition = Partition(rules, reader.topic, number)
        for run in reader.records(number, ends[number]):
            for changes in _folding(partition, run):
                done.changes += len(changes)
                yield from changes
            done.records += len(run)
            if partition.unkept > DIRTY_MAX:
                partition.checkpoint()
            rate = done.records / max(time.monotonic() - began, 0.001)
            shown.reach(done.records, f"{done.changes:,} changes, {rate:,.0f} records a second")
        done.partitions += 1
        done.moves.update(partition.marker.moves)
        done.population.update(partition.marker.population)


def _folding(partition: Partition, run: list[tuple[int, bytes | None, bytes]]) -> Iterator[list[Announced]]:
    from msgspec import DecodeError

    from lifestage.log import LogFormatError

    try:
        for changes in partition.folding(run):
            partition.take_posted()  # the messages that came of these records are in the log
            yield changes
    except (LogFormatError, DecodeError) as error:
        raise foreign(partition, partition.applied + 1, error) from None


def foreign(partition: Partition, offset: int, error: Exception) -> UserFacingError:
    """The error of a log record that no version of this program wrote."""
    place = f"{partition.topic}[{partition.number}]@{offset}"
    return UserFacingError(f"{place}: not a record that this version can read ({error})")


def _write(out: IO[bytes], changes: Iterable[Announced], path: Path | None) -> None:
    """Write changes, one a line. Raises `UserFacingError` naming the file that takes no more."""
    from lifestage.change import encode_value

    for change in changes:
        line = encode_value(change) + b"\n"
        with written(path):
            out.write(line)
    with written(path):
        out.flush()


def summary(done: Done, seconds: float) -> str:
    """What a person reads at the end."""
    rate = done.records / seconds if seconds else 0
    said = [
        f"{counted(done.records, 'record')} of {counted(done.partitions, 'partition')} in {seconds:.1f} s ({rate:,.0f} a second)",
        counted(done.changes, "change"),
    ]
    for name, count in ranked(done.moves):
        before, after, kind = name.split("→")
        move = f"{before or '-'} -> {after or '-'} ({kind})"
        said.append(f"  {move:<40}{count:>9,}")
    return "\n".join([*said, f"customers by stage: {population(done.population)}"])
