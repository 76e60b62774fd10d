"""Many seeds, fast: on all cores, with a line of progress, and every failure with what runs it again."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.simulation.breaks import BREAKS
from tests.simulation.history import Failure, chosen, run
from tests.simulation.judge import Found

SHARE = 20
"""Seeds that a process takes at a time."""
NOTHING = Found(0, 0, 0, 0)


@dataclass
class Total:
    """What so many seeds came to."""

    seeds: int = 0
    steps: int = 0
    found: Found = NOTHING
    failures: list[Failure] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)

    def add(self, other: Total) -> None:
        """Take in another's."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.found = Found(*(mine + theirs for mine, theirs in zip(self.found, other.found, strict=True)))
        self.failures += other.failures
        for name, count in other.faults.items():
            self.faults[name] = self.faults.get(name, 0) + count


def run_seeds(first: int, count: int, broken: str = "", *, until_found: bool = False) -> Total:
    """Run seeds one after the other in this process; `until_found` ends with the first failure."""
    total = Total()
    for seed in range(first, first + count):
        mode, steps = chosen(seed)
        with BREAKS[broken]() if broken else nullcontext():
            came = run(mode, steps, seed)
        total.add(Total(1, len(steps), NOTHING, [], dict(came.faults)))
        if isinstance(came, Failure):
            total.failures.append(came)
            if until_found:
                break
        else:
            total.found = Found(*(a + b for a, b in zip(total.found, came.found, strict=True)))
        if seed % 10 == 0:
            gc.collect()
    return total


def _shares(first: int, count: int) -> Iterator[tuple[int, int]]:
    for at in range(first, first + count, SHARE):
        yield at, min(SHARE, first + count - at)


def run_many(first: int, count: int, broken: str = "", say: Callable[[Total], None] = lambda _: None) -> Total:
    """Run seeds on all cores; `say` is told how far it is. Ends with the first share that has a failure."""
    total, shares, running = Total(), _shares(first, count), set[Future[Total]]()
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        while not total.failures:
            while len(running) < 2 * workers and (share := next(shares, None)) is not None:
                running.add(pool.submit(run_seeds, *share, broken))
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                total.add(future.result())
            say(total)
        for future in running:
            future.cancel()
    return total


class Progress:
    """One line that is written over: seeds done, rate, time left."""

    def __init__(self, seeds: int) -> None:
        self._seeds, self._began = seeds, time.monotonic()

    def __call__(self, total: Total) -> None:
        """Write it."""
        passed = max(time.monotonic() - self._began, 0.001)
        rate = total.seeds / passed
        left = (self._seeds - total.seeds) / rate if rate else 0.0
        sys.stderr.write(
            f"\r{total.seeds:,} of {self._seeds:,} seeds, {rate:.0f} a second, {left:.0f} s left, "
            f"{len(total.failures)} failed "
        )
        sys.stderr.flush()
