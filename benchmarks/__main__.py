"""`make bench`: ours and the peers on the same work and the same Kafka, in turns; outputs compared before any figure."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import compare, core, parts, plot, table
from benchmarks.contestants import CHECKOUT
from benchmarks.measuring import DifferentError
from benchmarks.replaying import expected_of
from streams.embedded.kafka import start_kafka_server
from streams.embedded.process import ServiceError
from streams.embedded.redis import start_redis

__all__ = ["DifferentError", "expected_of", "in_turns", "main", "measured", "replaced"]

DOCUMENT = CHECKOUT / "docs" / "benchmarks.md"
PICTURE = DOCUMENT.with_suffix(".svg")
BEGIN, END = "<!-- peers -->\n", "<!-- /peers -->\n"
PARTS = (*(part.name for part in parts.ALL), "core")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its tables. Returns the exit code."""
    options = _options(arguments)
    logging.basicConfig(level=logging.CRITICAL)  # aiokafka tells of every leader that is not elected yet
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="lifestage-bench-") as home:
        try:
            shown, drawn = measured(options, Path(home))
        except (ServiceError, DifferentError, compare.BrokenHistoryError) as error:
            print(f"the benchmark failed: {error}", file=sys.stderr)
            return 1
    if "core" in options.only:
        say("the core alone, compiled and uncompiled")
        shown.append(f"### The core alone\n\n{core.rows(core.figures(min(options.events, 200_000)))}")
    text = "\n\n".join([*shown, table.machine(load)])
    print(f"\n{text}")
    if options.write:
        if drawn:
            PICTURE.write_text(drawn, encoding="utf-8")
            text = f"![Events a second by contestant]({PICTURE.name})\n\n{text}"
        written = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(replaced(written, f"{text}\n\nMade by `make bench{_said(options)}`.\n"), encoding="utf-8")
        print(f"written to {DOCUMENT}")
    return 0


def measured(options: argparse.Namespace, home: Path) -> tuple[list[str], str]:
    """The tables of all parts that need a broker, each run of each contestant in turns and checked; and a picture.

    Raises `ServiceError`, or `DifferentError` before any figure is known to anybody.
    """
    wanted = [part for part in parts.ALL if part.name in options.only]
    if not wanted:
        return [], ""
    with start_redis(home / "redis") as redis:
        every = [part(options, home / "runs", redis.url) for part in wanted]
        return _measured(every, options, home)


def _measured(every: Sequence[parts.Part], options: argparse.Namespace, home: Path) -> tuple[list[str], str]:
    for part in every:
        say(f"{part.title}: drawing events, and what must come of them")
        part.prepare(say)
    with start_kafka_server(home, say=say) as kafka:
        say(f"{kafka.description} at {kafka.bootstrap}")
        turns = [turn for part in every for turn in part.turns(kafka.bootstrap, say)]
        found = in_turns(turns, options.rounds)
    ours = [one.name for part in every for one in part.contestants if one.ours]
    rated = {f"{part.title}: events/s": part.rows(found) for part in every if isinstance(part, parts.Simple)}
    return [f"### {part.title}\n\n{part.render(found)}" for part in every], plot.svg(rated, ours) if rated else ""


def in_turns(turns: Sequence[parts.Turn], rounds: int) -> parts.Found:
    """Each turn once in each round: what each found, by its key."""
    found: parts.Found = {}
    took: dict[parts.Key, float] = {}
    for number in range(1, rounds + 1):
        for at, turn in enumerate(turns):
            began = time.monotonic()
            result = asyncio.run(turn.go())
            found.setdefault(turn.key, []).append(result)
            took[turn.key] = time.monotonic() - began
            usual = statistics.mean(took.values())
            left = [*turns[at + 1 :], *[*turns] * (rounds - number)]
            minutes = sum(took.get(one.key, usual) for one in left) / 60
            say(
                f"round {number} of {rounds}, {' '.join(map(str, turn.key))}: {turn.said(result)} "
                f"({took[turn.key]:.0f} s with everything; about {minutes:.0f} min left)"
            )
    return found


def replaced(document: str, text: str) -> str:
    """A document with `text` between its two marks. Raises `ValueError` when it has none."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no {BEGIN.strip()} … {END.strip()} to write between")
    return f"{before}{begin}{text}{end}{after}"


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def _said(options: argparse.Namespace) -> str:
    given = f"--events {options.events} --rounds {options.rounds} --seconds {options.seconds:g} --profiles {options.profiles} --only {','.join(options.only)}"
    return f' ARGS="{given}"'


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--events", type=int, default=500_000, help="events of a job; slow peers get a share of them")
    parser.add_argument("--rounds", type=int, default=3, help="each contestant once in each")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, with commas, of {', '.join(PARTS)}")
    parser.add_argument("--contestants", default="", help="only those whose name has one of these in it, with commas")
    parser.add_argument(
        "--profiles", type=int, default=1_000_000, help="customers to come back with; a share for slow peers"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of each rate, for latency")
    parser.add_argument(
        "--quick", action="store_true", help="20,000 events, 5 s, one round: does it work, not how fast"
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args(arguments)
    if options.quick:
        options.events, options.rounds, options.seconds, options.profiles = 20_000, 1, 5.0, 20_000
    if min(options.events, options.profiles) < 1_000 or options.rounds < 1:
        parser.error("--events and --profiles must be 1,000 or more, --rounds 1 or more")
    options.only = [part.strip() for part in options.only.split(",") if part.strip()]
    options.contestants = [part.strip() for part in options.contestants.split(",") if part.strip()]
    if unknown := [part for part in options.only if part not in PARTS]:
        parser.error(f"no part is called {unknown[0]}: --only takes {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
