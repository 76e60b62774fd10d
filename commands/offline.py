"""What the commands that read files of events share: options, the work itself, and the summary on stderr."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import typer

from commands.options import settings_of
from commands.outputs import check_outputs
from config.errors import UserFacingError

if TYPE_CHECKING:
    from commands.progress import Progress
    from lifestage.kpi_gather import Span
    from lifestage.plan import Plan
    from streams.offline import Result

Name = TypeVar("Name")
Move = tuple[str | None, str | None]

Files = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="Events as JSON, one a line, in any order; - for stdin.")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Let time pass up to here, exclusive; RFC 3339 or a date.")
]
RejectedFile = Annotated[
    Path | None, typer.Option("--rejected", metavar="FILE", help="Rejected events with the reason.")
]
Csv = Annotated[str | None, typer.Option("--csv", metavar="MAPPING", help="FILE... are CSV, read by this TOML file.")]
Memory = Annotated[
    int, typer.Option("--memory", metavar="MB", min=1, help="Sort this much in memory, each process; the rest on disk.")
]
Processes = Annotated[
    int | None, typer.Option("--processes", metavar="N", min=1, help="Else one a core, or one for little input.")
]
Json = Annotated[bool, typer.Option("--json", help="The result as one JSON document.")]
MovedFile = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Every customer who differs, with evidence of both.")
]
MEMORY_MB = 64
WRITTEN_A_REPORT = 5_000
DAY_MS = 86_400_000


class Asked(NamedTuple):
    """What a person asked for, as it was typed."""

    files: Sequence[str]
    until: str | None
    output: Path | None
    rejected: Path | None
    csv: str | None
    memory: int
    processes: int | None
    config: Path | None
    plans: Sequence[str] = ()
    """By name, or files."""


@contextmanager
def working_on(
    asked: Asked, plans: Sequence[Plan], names: Sequence[str] = (), span: Span | None = None
) -> Iterator[Work]:
    """Read the files and fold them under the plans; inside the `with` the result can be written.

    `span` is the window where KPIs are wanted: time ends with it. Rejected events are written at once. Raises `UserFacingError`.
    """
    from commands.progress import progress
    from commands.times import instant
    from streams.offline import working
    from streams.offline_mapping import mapping_of
    from streams.offline_work import Job

    outputs = {"--output": asked.output, "--rejected": asked.rejected}
    check_outputs(outputs, [*asked.files, *asked.plans, asked.csv, asked.config])
    job = Job(
        settings_of(asked.config),
        tuple(plans),
        tuple(names),
        until=span.end + 1 if span is not None else instant(asked.until) if asked.until is not None else None,
        span=span,
        aside=asked.rejected is not None,
        mapping=mapping_of(asked.csv) if asked.csv is not None else None,
        memory=asked.memory << 20,
    )
    with ExitStack() as stack:
        stack.enter_context(_ended_by_sigterm())
        shown = stack.enter_context(progress())
        out = stack.enter_context(writing(asked.output)) if asked.output else None
        aside = stack.enter_context(writing(asked.rejected)) if asked.rejected else None
        result = stack.enter_context(working(job, asked.files, shown, asked.processes))
        if aside is not None:
            with written(asked.rejected):
                _write_rejected(aside, result)
        yield Work(result, shown, out, asked)


class Work:
    """The result of the work, on its way to a person."""

    def __init__(self, result: Result, shown: Progress, out: IO[bytes] | None, asked: Asked) -> None:
        self.result, self.shown = result, shown
        self._out, self._asked = out, asked

    def write(self, count: int) -> None:
        """Write all documents, of which there are `count`: to --output, else to stdout. Raises `UserFacingError`."""
        self.shown.begin("writing", count)
        with written(self._asked.output):
            out = self._out or sys.stdout.buffer
            for number, line in enumerate(self.result.told(), 1):
                out.write(line)
                out.write(b"\n")
                if number % WRITTEN_A_REPORT == 0:
                    self.shown.reach(number, f"{number:,} lines")
            out.flush()

    def summary(self, seconds: float) -> list[str]:
        """What a person reads about the events that were read, in lines, with what is to be done about them."""
        from streams.files import hint

        result, asked = self.result, self._asked
        said = _accounted(result, seconds)
        if asked.csv is None and result.outcomes["rejected"] * 2 >= result.events > 0:
            found = hint(asked.files)
            if found is None and ": unparsable: " in "".join(result.first_rejected()[:1]):
                found = "events are JSON, one a line; --csv MAPPING reads rows of CSV"
            said += [f"  {found}"] if found is not None else []
        if result.until is None and (result.newest or 0) > time.time() * 1000 + DAY_MS:
            said.append(
                f"warning: the newest event is {iso_of(result.newest)}, ahead of now; --until TIME ends before it"
            )
        return said


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write; what is written is to be flushed. Raises `UserFacingError` naming it when it cannot be opened."""
    try:
        file = path.open("wb", buffering=1 << 20)
    except OSError as error:
        raise UserFacingError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        yield file
    finally:
        with suppress(OSError):  # what was flushed is there, and why the rest is not has been said
            file.close()


@contextmanager
def written(path: Path | None) -> Iterator[None]:
    """Say which file could not be written, in one line. None is stdout, whose reader may have gone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserFacingError(f"{path or 'stdout'}: cannot be written ({error.strerror})") from None


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does, so that temporary files go."""

    def end(_: int, __: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _write_rejected(aside: IO[bytes], result: Result) -> None:
    from msgspec.json import encode

    for file, line, one in result.rejected():
        document = {"file": file, "line": line, "reason": one.reason, "message": one.message, "event": one.event}
        aside.write(encode(document) + b"\n")
    aside.flush()


def until_when(result: Result) -> str:
    """Up to when time passed, for a person; empty where nothing happened."""
    if result.until is not None:
        return f" before {iso_of(result.until)}"
    return f" up to {iso_of(result.newest)}, the newest event" if result.newest is not None else ""


def iso_of(ms: int | None) -> str | None:
    """An instant (ms) as RFC 3339."""
    from lifestage.moments import iso

    return None if ms is None else iso(ms)


def counted(number: int, what: str) -> str:
    """`1 change`, `2 changes`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _accounted(result: Result, seconds: float) -> list[str]:
    outcomes, rate = result.outcomes, result.events / seconds if seconds else 0
    order = ["accepted", "duplicate", "suppressed", "rejected", "after --until"]
    counts = [f"{outcomes[name]:,} {name}" for name in order if outcomes[name] or name in ("accepted", "rejected")]
    said = [f"{counted(result.events, 'event')} in {seconds:.1f} s ({rate:,.0f} a second): {', '.join(counts)}"]
    first = result.first_rejected()
    said += [f"  {line}" for line in first]
    if outcomes["rejected"] > len(first):
        said.append(f"  and {outcomes['rejected'] - len(first):,} more; --rejected FILE keeps them all")
    return said


def table(moves: Counter[Move]) -> list[str]:
    """From → to with their numbers, the most frequent first, in lines."""
    return [f"  {(a or '-') + ' -> ' + (b or '-'):<28}{count:>9,}" for (a, b), count in ranked(moves)]


def population(stages: Counter[str]) -> str:
    """Customers by stage, in a line."""
    return ", ".join(f"{stage} {count:,}" for stage, count in ranked(stages) if count) or "none"


def ranked(counts: Counter[Name]) -> list[tuple[Name, int]]:
    """The most frequent first; of equals in the order of their names."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
