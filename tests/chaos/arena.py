"""Where faults happen: deployments on one real Kafka, a load, and two judges of what came of it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.table import Row
from tests.pipeline import Deployment, deployment, differences, truth_of, written_by
from tests.workers import Worker

END_MS = 1_300_000_000_000
"""Later than any event of a load: everybody's timers fire."""


class Arena:
    """Makes deployments that nobody else uses, and judges them. All chance in it comes from one seed."""

    def __init__(self, kafka_bootstrap: str, home: Path, seed: int) -> None:
        self.bootstrap, self.home, self.seed = kafka_bootstrap, home, seed
        self._made = 0

    def chance(self, name: str) -> random.Random:
        """Chance of one's own: the same for the same seed and name, whatever else is run."""
        return random.Random(f"{self.seed}/{name}")

    @contextmanager
    def deployment(self, name: str, **settings: str) -> Iterator[Deployment]:
        """A deployment with topics and a folder of its own; `settings` as `Deployment` takes them."""
        self._made += 1
        own = f"{name}-{self._made}-{random.SystemRandom().randrange(1 << 32):08x}"
        with deployment(self.bootstrap, f"{own}.", self.home / own, **settings) as made:
            yield made

    def say(self, row: Row, done: int, words: str = "") -> None:
        """Report that `done` of the row's faults are done."""

    def finish(self, made: Deployment, workers: Sequence[Worker], timeout_s: float = 120) -> None:
        """Let everything be folded, then all time pass; stop the workers in an orderly way."""
        made.wait_done(timeout_s, alive=workers)
        made.end_tick(END_MS)
        made.wait_done(timeout_s, alive=workers)
        for worker in workers:
            status = worker.terminate()
            assert status == 0, f"{worker.name} ended with {status}:\n{worker.log()[-2000:]}"

    def judge(self, made: Deployment, row: Row) -> None:
        """Add to the row what both judges find: the fold of the log, and the load's own account of what it sent."""
        truth, written = truth_of(made), written_by(made)
        row.events += truth.accounted.total()
        row.profiles += len(truth.profiles)
        row.repeats += written.repeats
        row.failures += differences(made)
