"""The core alone, on one core of the machine: decoding, folding and judging a mixed stream, without Kafka.

`python -m benchmarks.core` measures in this process and prints one line of JSON. `figures` runs it for each way.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from commands import compiled

BUSY = 50
"""Events a customer of the second stream: a shop's regulars rather than its first weeks."""


class CoreFigures(NamedTuple):
    """One run. Times are CPU seconds of the process; `changes` are announced with their whole document."""

    core: str
    events: int
    customers: int
    changes: int
    decode_s: float
    fold_s: float

    @property
    def rate(self) -> float:
        """Facts a second, decoded, folded and judged."""
        return self.events / (self.decode_s + self.fold_s)


def figures(events: int) -> list[CoreFigures]:
    """The stream of the benchmark and one of regulars, compiled where it is and uncompiled; one process each."""
    found = []
    for wanted in ("1", "0"):
        for each in ((), ("--each", str(BUSY))):
            done = subprocess.run(
                [sys.executable, "-P", "-m", "benchmarks.core", "--events", str(events), *each],
                env={**os.environ, compiled.VARIABLE: wanted, "PYTHONPATH": str(compiled.ROOT)},
                capture_output=True,
                text=True,
                check=True,
            )
            found.append(CoreFigures(**json.loads(done.stdout)))
    return found


def rows(found: Sequence[CoreFigures]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| core | events a customer | share that changes a stage | decode, µs | fold and judge, µs | facts/s |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.core} | {one.events / one.customers:.1f} | {100 * one.changes / one.events:.0f} % "
        f"| {1e6 * one.decode_s / one.events:.1f} | {1e6 * one.fold_s / one.events:.1f} | {one.rate:,.0f} |"
        for one in found
    ]
    return "\n".join(lines)


def measured(events: int, each: float | None) -> CoreFigures:
    """Decode, fold and judge so many events in this process, the best of three times."""
    said = compiled.use(os.environ)
    from benchmarks.events import customers_of, generate
    from benchmarks.folding import decoded, folded

    customers = customers_of(events) if each is None else max(1, round(events / each))
    values = [event.value for event in generate(events, customers=customers)]
    best: CoreFigures | None = None
    for _ in range(3):
        gc.collect()
        began = time.process_time()
        facts = decoded(values)
        between = time.process_time()
        changes = folded(facts)
        ended = time.process_time()
        name = "compiled" if said.endswith(" compiled") else "uncompiled"
        found = CoreFigures(name, events, customers, changes, between - began, ended - between)
        best = found if best is None or found.rate > best.rate else best
    assert best is not None
    return best


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure once and print a line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.core", description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--each", type=float, help="events a customer; by default as in the benchmark")
    options = parser.parse_args(arguments)
    print(json.dumps(measured(options.events, options.each)._asdict()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
