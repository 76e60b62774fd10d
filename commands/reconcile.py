"""`lifestage reconcile`: whether the KPIs that workers keep are those of the log."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from commands.options import ConfigFile, settings_of
from config.errors import OptionError

if TYPE_CHECKING:
    from streams.reconcile import Difference
    from streams.recounting import Outcome

SHOWN_MAX = 100
"""Differences that are shown one by one in text."""


def run(
    *,
    every: Annotated[
        str | None, typer.Option("--every", metavar="LENGTH", help="Count again and again, so long after each begin.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="HOST:PORT", help="With --every: where Prometheus finds the result."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON object.")] = False,
    config: ConfigFile = None,
) -> None:
    """Compute all KPI sums anew from the live log, and compare them with those that the workers keep.

    The log is folded to where each partition was kept last, and what its persons add is found by the functions that compute
    KPIs of files. Each sum that differs is named. The workers do not notice. Exit code 1 if any differs, or could not be
    compared.
    """
    # the core runs as it is written, not compiled: so what workers compiled is held to it, too
    if metrics is not None and every is None:
        raise OptionError("--metrics needs --every LENGTH, such as --every 1h: else there is nobody to be asked")

    from commands.progress import progress
    from streams.recounting import check_counted, reconcile
    from streams.rules import rules_of
    from streams.running import as_demo, bootstrap_of

    settings = as_demo(settings_of(config))
    rules, bootstrap = rules_of(settings), bootstrap_of(settings)
    check_counted(rules)

    def once() -> Outcome:
        with progress() as shown:
            known = [""]
            began = time.monotonic()

            def reach(what: str, done: int, total: int) -> None:
                if what != known[0]:
                    known[0] = what
                    shown.begin(what, total or None)
                shown.reach(done, f"{done / max(time.monotonic() - began, 0.001):,.0f} a second")

            outcome = reconcile(settings, bootstrap, rules, reach)
        typer.echo(document(outcome) if json else "\n".join(lines(outcome)))
        sys.stdout.flush()
        return outcome

    if every is not None:
        _again(once, _length(every), metrics)
    elif not is_well(once()):
        raise typer.Exit(1)


def is_well(outcome: Outcome) -> bool:
    """Whether every sum was compared, and none differs."""
    return not outcome.found.differences and not outcome.uncounted


def lines(outcome: Outcome) -> list[str]:
    """What a person reads: each difference, what could not be compared, and a summary."""
    found = outcome.found
    said = [f"{outcome.topic}[{one.partition}] {_of(one)}" for one in found.differences[:SHOWN_MAX]]
    if len(found.differences) > SHOWN_MAX:
        said.append(f"... and {len(found.differences) - SHOWN_MAX:,} more, all of them with --json")
    said += [f"{outcome.topic}[{number}]: not compared: {why}" for number, why in sorted(outcome.uncounted.items())]
    total, wrong = found.sums.total(), len(found.differences)
    verdict = f"{wrong:,} of {total:,} sums differ" if wrong else f"all {total:,} sums agree"
    rate = found.records / max(outcome.seconds, 0.001)
    done = f"{len(outcome.offsets)} partitions, {found.records:,} records, {found.persons:,} persons"
    return [*said, f"{verdict}: {done} in {outcome.seconds:.1f} s ({rate:,.0f} records a second)"]


def _of(one: Difference) -> str:
    labels = f"{{{', '.join(one.labels)}}}" if one.labels else ""
    return f"{one.name}{labels}: kept {_number(one.kept)}, the log says {_number(one.recounted)}"


def _number(value: int | Fraction) -> int | float:
    return int(value) if value == int(value) else float(value)


def document(outcome: Outcome) -> str:
    """The same as JSON. Amounts are minor units, times are ms."""
    found = outcome.found
    return msgspec.json.encode(
        {
            "sums": found.sums.total(),
            "records": found.records,
            "persons": found.persons,
            "seconds": round(outcome.seconds, 3),
            "offsets": {str(number): offset for number, offset in sorted(outcome.offsets.items())},
            "not_compared": {str(number): why for number, why in sorted(outcome.uncounted.items())},
            "differences": [
                {
                    "partition": one.partition,
                    "sum": one.name,
                    "labels": one.labels,
                    "kept": _number(one.kept),
                    "recounted": _number(one.recounted),
                }
                for one in found.differences
            ],
        }
    ).decode()


def _length(given: str) -> float:
    from lifestage.language_words import Place, PlanError, Word, duration

    try:
        length = duration(Word(given, "amount", Place("--every", 1, 1)))
    except PlanError as error:
        raise OptionError(f"--every {given!r}: {error.problem}; {error.suggestion}") from None
    if length <= 0:
        raise OptionError(f"--every {given!r}: expected a length of time above 0, such as 1h")
    return length / 1000


def _again(once: Callable[[], Outcome], every_s: float, metrics: str | None) -> None:
    """Count until the process is asked to end. Why a recount cannot be made is said, and it is tried again."""
    from config.errors import UserFacingError
    from streams.recount_metrics import RecountMetrics

    told = RecountMetrics.at(metrics) if metrics is not None else None
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            began = time.monotonic()
            try:
                outcome = once()
            except UserFacingError as error:
                typer.echo(f"lifestage: {error}; it is counted again after --every", err=True)
                if told is not None:
                    told.fail(str(error))
            else:
                if told is not None:
                    told.take(outcome)
            time.sleep(max(0.0, began + every_s - time.monotonic()))
    except KeyboardInterrupt:
        return
    finally:
        if told is not None:
            told.stop()
        signal.signal(signal.SIGTERM, before)
