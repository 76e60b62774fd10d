"""Many seeds, fast: on all cores, with a line of progress, and every failure with what runs it again.

Python's hashes of words are another in each process, and with them the order of a set, which the product may follow. So
seeds are run in processes whose hashes are the same each time: a seed is one history, on every machine.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from typing import Any
from unittest.mock import patch

from tests.simulation.breaks import BREAKS
from tests.simulation.history import Failure, chosen, run
from tests.simulation.judge import Found

SAME_HASHES = {"PYTHONHASHSEED": "0"}
SHARE = 10
"""Seeds that a process takes at a time."""
LIFE = 15
"""Shares that one process runs: what killed lives leave behind grows."""
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


def until_found(first: int, count: int, broken: str) -> Total:
    """Run seeds one after the other up to the first that fails."""
    return run_seeds(first, count, broken, most=1)


def run_seeds(first: int, count: int, broken: str = "", *, most: int = 1 << 30) -> Total:
    """Run seeds one after the other in this process, until so many have failed."""
    total = Total()
    for seed in range(first, first + count):
        mode, steps = chosen(seed)
        with BREAKS[broken]() if broken else nullcontext():
            came = run(mode, steps, seed)
        total.add(Total(1, len(steps), NOTHING, [], dict(came.faults)))
        if isinstance(came, Failure):
            total.failures.append(came)
            if len(total.failures) >= most:
                break
        else:
            total.found = Found(*(a + b for a, b in zip(total.found, came.found, strict=True)))
        if seed % 10 == 0:
            gc.collect()
    return total


def alike(work: Callable[..., Any], *given: Any) -> Any:
    """What `work` returns in a process whose hashes are the same each time; that process is kept for the next one's work."""
    return _other().submit(work, *given).result()


def end_other() -> None:
    """End the process that `alike` keeps, if there is one."""
    if _other.cache_info().currsize:
        _other().shutdown()
        _other.cache_clear()


@cache
def _other() -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with patch.dict(os.environ, SAME_HASHES):
        pool.submit(int).result()  # it has begun, with what is set here
    return pool


def _shares(first: int, count: int) -> Iterator[tuple[int, int]]:
    for at in range(first, first + count, SHARE):
        yield at, min(SHARE, first + count - at)


def run_many(first: int, count: int, broken: str = "", say: Callable[[Total], None] = lambda _: None) -> Total:
    """Run seeds on all cores; `say` is told how far it is. Ends with the first share that has a failure."""
    total, shares, running = Total(), _shares(first, count), set[Future[Total]]()
    workers = os.cpu_count() or 1
    spawned = get_context("spawn")
    with (
        patch.dict(os.environ, SAME_HASHES),
        ProcessPoolExecutor(workers, mp_context=spawned, max_tasks_per_child=LIFE) as pool,
    ):
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
