"""What it costs that events link ids: every event carries two, an address and a customer id; linking on against off, in turns.

    python -m benchmarks.identity [--events 200000] [--repeats 3] [--each 50] [--fold]

First the fold alone, its messages to other partitions folded as well, in CPU time; then `lifestage worker` on a Kafka of its
own, from the first event taken to the last one durable: in CPU time, too, so that what else runs on the machine matters less.
Both are compared with an offline replay, and so with each other.
`--fold` leaves the worker out. Ids are linked once, so what matters is how many events a customer has: 6.7 in the stream of
`make bench`, all of whose customers are new, or as `--each` says.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from commands import compiled

if TYPE_CHECKING:  # what imports the core must wait until it is chosen which one
    from benchmarks.events import SourceEvent

ON, OFF = "linking on", "linking off"
ASKED = 0.90
"""What is asked: with linking on so much of the events a second without it."""
EACH = 400_000 / 60_000
"""Events a customer in the stream of `make bench`."""
SECRET = "the benchmark hashes no real address"  # noqa: S105 - no secret of anybody


def with_addresses(events: int, each: float) -> Iterator[SourceEvent]:
    """The events of the benchmark, `each` a customer, with the customer's address beside the customer id in every one."""
    from benchmarks.events import generate

    for event in generate(events, customers=max(1, round(events / each))):
        fields = msgspec.json.decode(event.value)
        fields["email"] = f"{fields['customer_id']}@mail.example"
        fields.pop("recipient", None)
        yield event._replace(value=msgspec.json.encode(fields))


# -- the fold alone --------------------------------------------------------------------------------------------------


def folds(events: int, each: float, repeats: int) -> dict[str, list[float]]:
    """Events a CPU second of the fold, with linking on and off in turns, in a process of its own with the compiled core."""
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "benchmarks.identity",
            "--here",
            "--events",
            str(events),
            "--each",
            str(each),
            "--repeats",
            str(repeats),
        ],
        env={**os.environ, "PYTHONPATH": str(compiled.ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def folded_here(events: int, each: float, repeats: int) -> dict[str, list[float]]:
    """As `folds`, in this process."""
    say(compiled.use(os.environ))
    from benchmarks.folding import decoded, packed, worked
    from config.settings import Identity, Settings
    from streams.rules import rules_of

    gc.set_threshold(200_000, 20, 100)  # as in a worker
    records = packed(decoded(event.value for event in with_addresses(events, each)))
    rates: dict[str, list[float]] = {ON: [], OFF: []}
    for _ in range(repeats):
        for name in (ON, OFF):
            rules = rules_of(Settings(identity=Identity(secret=SECRET, link=name == ON)))
            gc.collect()
            gc.freeze()  # as a worker does, whose profiles and records are not to be walked over and over
            began = time.process_time()
            messages = worked(records, rules)
            rates[name].append(events / (time.process_time() - began))
            say(f"fold, {name}: {rates[name][-1]:,.0f} events/s, {messages:,} messages")
    return rates


# -- the whole worker ------------------------------------------------------------------------------------------------


def workers(events: int, each: float, repeats: int, home: Path) -> dict[str, list[float]]:
    """Events a CPU second of the whole worker, with linking on and off in turns; each output is compared before it counts."""
    from benchmarks.__main__ import DifferentError, expected_of
    from benchmarks.broker import EventSet
    from benchmarks.compare import difference
    from benchmarks.contestants import Ours, measure
    from config.settings import Settings
    from streams.embedded.kafka import start_kafka_server

    @dataclass(frozen=True)
    class Linking(Ours):
        """`lifestage worker`, with linking on or off."""

        on: bool = True

        @property
        def name(self) -> str:
            """As in the table."""
            return ON if self.on else OFF

        def environment(self, settings: Settings, bootstrap: str, directory: Path) -> Mapping[str, str]:
            """As `Ours`, and the setting."""
            return {
                **Ours.environment(self, settings, bootstrap, directory),
                "LIFESTAGE_IDENTITY_LINK": "true" if self.on else "false",
            }

    given = EventSet(with_addresses(events, each), Settings().topics.partitions)
    expected = expected_of(given)
    rates: dict[str, list[float]] = {ON: [], OFF: []}
    with start_kafka_server(home, say=say) as kafka:
        asyncio.run(measure(Linking(), kafka.bootstrap, given, home / "warm"))
        for number in range(repeats):
            for contestant in (Linking(on=True), Linking(on=False)):
                found = asyncio.run(measure(contestant, kafka.bootstrap, given, home / f"run{number}"))
                if wrong := difference(expected, found.outcome.paths):
                    raise DifferentError(f"{contestant.name} says something else than an offline replay: {wrong}")
                rates[contestant.name].append(events / found.cpu_s)
                say(f"worker, {contestant.name}: {found.rate:,.0f} events/s, {found.cpu_s:.1f} CPU s")
    return rates


def row(what: str, rates: Mapping[str, Sequence[float]]) -> str:
    """One line of the table: medians, and the ratio turn by turn."""
    ratios = [on / off for on, off in zip(rates[ON], rates[OFF], strict=True)]
    on, off = (statistics.median(rates[name]) for name in (ON, OFF))
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    return f"| {what} | {on:,.0f} | {off:,.0f} | {middle:.2f} ({low:.2f} to {high:.2f}) |"


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table. Returns the exit code: 1 where the worker's ratio is below what is asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identity", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--each", type=float, default=EACH, help="events a customer")
    parser.add_argument("--repeats", type=int, default=3, help="turns, each once with linking on and once off")
    parser.add_argument("--fold", action="store_true", help="only the fold, without Kafka")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here:
        print(json.dumps(folded_here(options.events, options.each, options.repeats)))
        return 0
    logging.basicConfig(level=logging.CRITICAL)  # aiokafka tells of every leader that is not elected yet
    before = os.getloadavg()[0]
    rows = [row("the fold alone, CPU time", folds(options.events, options.each, options.repeats))]
    enough = True
    if not options.fold:
        with tempfile.TemporaryDirectory(prefix="lifestage-bench-") as home:
            rates = workers(options.events, options.each, options.repeats, Path(home))
        rows.append(row("the whole worker, CPU time", rates))
        enough = statistics.median(on / off for on, off in zip(rates[ON], rates[OFF], strict=True)) >= ASKED
    from benchmarks.table import machine

    print("| events a CPU second | linking on | linking off | ratio |\n|---|--:|--:|--:|\n" + "\n".join(rows))
    print(
        f"\n{options.events:,} events, {options.each:.1f} a customer, each with an address and a customer id; {machine(before)}"
    )
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
