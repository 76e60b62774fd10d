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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import compare, core, full, full_peers, simple, simple_peers, table
from benchmarks.broker import EventSet
from benchmarks.contest import Contestant
from benchmarks.contestants import CHECKOUT
from benchmarks.measuring import DifferentError, Job, Run, run_once
from config.settings import Identity, Settings
from lifestage.change import encode_value
from lifestage.decode import Decoder
from lifestage.facts import Fact
from lifestage.replay import replay
from streams.embedded.kafka import start_kafka_server
from streams.embedded.process import ServiceError
from streams.rules import rules_of

__all__ = ["DifferentError", "contest", "expected_of", "main", "only", "replaced"]

DOCUMENT = CHECKOUT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- peers -->\n", "<!-- /peers -->\n"
OURS = ("lifestage's batch path", "lifestage, whole worker", "lifestage, no identity")
PARTS = ("a", "b", "core")
Rounds = dict[str, list[Run]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its tables. Returns the exit code."""
    options = _options(arguments)
    logging.basicConfig(level=logging.CRITICAL)  # aiokafka tells of every leader that is not elected yet
    load = os.getloadavg()[0]
    shown = []
    with tempfile.TemporaryDirectory(prefix="lifestage-bench-") as home:
        try:
            jobs = [(job, only(made(), options.contestants)) for job, made in JOBS if job.name in options.only]
            if jobs:
                found = contest(jobs, options.events, options.rounds, Path(home))
                shown += [f"### {job.title}\n\n{table.render(found[job.name], OURS)}" for job, _ in jobs]
        except (ServiceError, DifferentError, compare.BrokenHistoryError) as error:
            print(f"the benchmark failed: {error}", file=sys.stderr)
            return 1
    if "core" in options.only:
        say("the core alone, compiled and uncompiled")
        shown.append(f"### The core alone\n\n{core.rows(core.figures(min(options.events, 200_000)))}")
    text = "\n\n".join([*shown, table.machine(load)])
    print(f"\n{text}")
    if options.write:
        written = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(replaced(written, f"{text}\n\nMade by `make bench{_said(options)}`.\n"), encoding="utf-8")
        print(f"written to {DOCUMENT}")
    return 0


JOBS: list[tuple[Job, Callable[[], list[Contestant]]]] = [
    (simple.job(), simple_peers.contestants),
    (full.job(), full_peers.contestants),
]


def only(contestants: list[Contestant], names: Sequence[str]) -> list[Contestant]:
    """Those whose name has one of `names` in it; all, when there are none."""
    return [one for one in contestants if not names or any(name.lower() in one.name.lower() for name in names)]


def contest(jobs: Sequence[tuple[Job, list[Contestant]]], events: int, rounds: int, home: Path) -> Mapping[str, Rounds]:
    """All rounds of all jobs, in turns, each run checked: what each took, by job and contestant.

    Raises `ServiceError`, or `DifferentError` before any figure is known to anybody.
    """
    for job, contestants in jobs:
        job.count = events
        say(f"{job.title}: drawing {events:,} events, and what must come of them")
        for contestant in contestants:
            job.given(contestant.share)
            contestant.prepare(say)
    found: dict[str, Rounds] = {job.name: {} for job, _ in jobs}
    turns = [(n, job, one) for n in range(1, rounds + 1) for job, contestants in jobs for one in contestants]
    took: dict[tuple[str, str], float] = {}
    with start_kafka_server(home, say=say) as kafka:
        say(f"{kafka.description} at {kafka.bootstrap}")
        for at, (number, job, contestant) in enumerate(turns):
            began = time.monotonic()
            run = asyncio.run(run_once(job, contestant, kafka.bootstrap, home / "runs", say))
            found[job.name].setdefault(contestant.name, []).append(run)
            took[job.name, contestant.name] = time.monotonic() - began
            left = _left([(job.name, one.name) for _, job, one in turns[at + 1 :]], took)
            say(
                f"round {number} of {rounds}, ({job.name}) {contestant.name}: {run.changes:,} changes of {run.events:,} events "
                f"are right ({took[job.name, contestant.name]:.0f} s with everything; about {left / 60:.0f} min left)"
            )
    return found


def _left(turns: Sequence[tuple[str, str]], took: Mapping[tuple[str, str], float]) -> float:
    """Seconds that turns will take, as they took before; of those that are new, as others."""
    usual = statistics.mean(took.values())
    return sum(took.get(turn, usual) for turn in turns)


def expected_of(events: EventSet) -> Mapping[str, compare.Moves]:
    """The path of every customer, by replaying the events in order of their time without Kafka."""
    decode = Decoder(b"bench").decode
    settings = Settings(identity=Identity(secret="bench"))  # noqa: S106 - it keys the hashes of made-up ids
    facts = []
    for value in events.values():
        fact = decode(value, None)
        if not isinstance(fact, Fact):
            raise DifferentError(f"the generator made an event that is refused: {fact.message}")
        facts.append(fact)
    told = replay(facts, rules_of(settings)).changes
    return compare.outcome_of((change.id, encode_value(change.data)) for change in told).paths


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
    given = f"--events {options.events} --rounds {options.rounds} --only {','.join(options.only)}"
    return f' ARGS="{given}"'


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="events of a job; slow peers get a share of them")
    parser.add_argument("--rounds", type=int, default=3, help="each contestant once in each")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, with commas, of {', '.join(PARTS)}")
    parser.add_argument("--contestants", default="", help="only those whose name has one of these in it, with commas")
    parser.add_argument("--quick", action="store_true", help="40,000 events, one round: does it work, not how fast")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args(arguments)
    if options.quick:
        options.events, options.rounds = 40_000, 1
    if options.events < 1_000 or options.rounds < 1:
        parser.error("--events must be 1,000 or more, --rounds 1 or more")
    options.only = [part.strip() for part in options.only.split(",") if part.strip()]
    options.contestants = [part.strip() for part in options.contestants.split(",") if part.strip()]
    if unknown := [part for part in options.only if part not in PARTS]:
        parser.error(f"no part is called {unknown[0]}: --only takes {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
