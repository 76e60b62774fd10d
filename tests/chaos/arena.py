"""Where faults happen: deployments on one real Kafka, loads, and three judges of what came of it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path

from commands.progress import Progress
from streams.recounting import Outcome
from tests.chaos.naive import Naive
from tests.chaos.recount import amiss, recount
from tests.chaos.shop import CHUNK, latecomers, shop
from tests.chaos.table import Row
from tests.chaos.verdict import letters_of, slips
from tests.load import Load
from tests.pipeline import Deployment, deployment, findings, truth_of, written_by
from tests.wire import produce
from tests.workers import Worker

END_MS = 1_700_000_000_000
"""2023-11-14, later than any event of a load of 3.5 million: everybody's timers fire."""
PROGRESS = 1_000
"""What a progress that an arena reports to begins with as its total."""
TOLD_MAX = 20
"""Findings of one run that are told in words; the rest is counted."""


class Trade(Load):
    """A load from `tests.chaos.shop`, and its own account of what it sent."""

    def __init__(self, made: Deployment, seed: int, rate: int) -> None:
        """`rate` a second from `with` to its end; use `send` alone for so many at once."""
        self._seed, self.late = seed, 0
        given = ((said.topic, said.customer.encode(), said.value) for said in shop(seed))
        super().__init__(made.bootstrap, made.prefix, seed, rate, given, CHUNK)

    def send_late(self, made: Deployment, visits: int) -> None:
        """When all time has passed, and this load is closed or not: so many `visits` that come too late."""
        late = [(one.customer.encode(), one.value) for one in latecomers(self._seed, visits)]
        produce(made.bootstrap, made.prefix + "visits", late)
        self.late = visits

    def naive(self) -> Naive:
        """What must have become of all that was sent."""
        return Naive().hear(islice(shop(self._seed), self.sent)).hear(latecomers(self._seed, self.late))


class Arena:
    """Makes deployments that nobody else uses, and judges them. All chance in it comes from one seed."""

    def __init__(self, kafka_bootstrap: str, home: Path, seed: int, progress: Progress | None = None) -> None:
        """`progress` is told of each fault, if it is given and has begun."""
        self.bootstrap, self.home, self.seed = kafka_bootstrap, home, seed
        self._progress, self._began = progress, time.monotonic()
        self._numbers = count(1)
        self._loads: dict[str, Trade] = {}
        self._recounts: dict[str, Outcome] = {}
        """By deployment what came of its KPIs before all time passed."""

    def chance(self, name: str) -> random.Random:
        """Chance of one's own: the same for the same seed and name, whatever else is run."""
        return random.Random(f"{self.seed}/{name}")

    @contextmanager
    def deployment(self, name: str, **settings: str) -> Iterator[Deployment]:
        """A deployment with topics and a folder of its own that counts KPIs; `settings` as `Deployment` takes them."""
        settings = {"kpis__live": "true"} | settings
        own = f"{name}-{next(self._numbers)}-{random.SystemRandom().randrange(1 << 32):08x}"
        with deployment(self.bootstrap, f"{own}.", self.home / own, **settings) as made:
            yield made

    def load(self, made: Deployment, rate: int) -> Trade:
        """A load whose every event is known to the second judge: `with` it at `rate` a second, or `send`."""
        found = self._loads[made.prefix] = Trade(made, self.chance(made.prefix.split("-")[0]).randrange(1 << 32), rate)
        return found

    def say(self, row: Row, done: int, words: str = "") -> None:
        """Report that `done` of the row's faults are done."""
        if self._progress is not None:
            rate = 60 * done / (time.monotonic() - self._began)
            said = f"{done} of {row.asked}, {rate:.1f} a minute"
            self._progress.reach(PROGRESS * done // max(row.asked, 1), f"{said}, {words}" if words else said)

    def finish(self, made: Deployment, workers: Sequence[Worker], timeout_s: float = 300) -> None:
        """Let everything be folded, then all time pass, then a few come too late; stop the workers in an orderly way."""
        for worker in workers:
            worker.wait_ready(timeout_s)  # one that was started just now would die of the signal that it is to end at
        made.wait_done(timeout_s, alive=workers)
        if made.settings.kpis.live:
            # now: when all time has passed, nothing is in a window any more
            self._recounts[made.prefix] = recount(made)
        made.end_tick(END_MS)
        made.wait_done(timeout_s, alive=workers)
        load = self._loads.get(made.prefix)
        if load is not None:
            load.send_late(made, 100)
            made.wait_done(timeout_s, alive=workers)
        for worker in workers:
            status = worker.terminate()
            assert status == 0, f"{worker.name} ended with {status}:\n{worker.log()[-2000:]}"

    def judge(self, made: Deployment, row: Row) -> None:
        """Add to the row what the judges find: the fold of the log, the load's own account of what it sent, and the KPIs
        computed anew from the log.

        Call it when the workers have stopped. Without a load of `load` the second judge has nothing to say, and where no
        KPIs are counted the third.
        """
        truth, written = truth_of(made), written_by(made)
        row.events += truth.accounted.total()
        row.profiles += len(truth.profiles)
        row.repeats += written.repeats
        found = findings(made, truth, written)
        load = self._loads.get(made.prefix)
        if load is not None:
            found.wrong += slips(load.naive(), written, letters_of(made.read(made.topics.dead_letters.name)))
        if made.settings.kpis.live:
            found.wrong += self._miscounted(made, row)
        row.wrong += len(found.wrong)
        row.missing += len(found.missing)
        row.conflicting += len(found.conflicting)
        row.gaps += len(found.gaps)
        row.failures += [f"{made.prefix} {words}" for words in found.all[:TOLD_MAX]]

    def _miscounted(self, made: Deployment, row: Row) -> list[str]:
        """What is wrong with the KPIs of a deployment, before all time passed and in the end."""
        outcomes = {"in the end": recount(made)}
        if made.prefix in self._recounts:
            outcomes["before all time passed"] = self._recounts.pop(made.prefix)
        sums = sum(outcome.found.sums.total() for outcome in outcomes.values())
        row.notes.append(f"{sums:,} KPI sums computed anew from the log")
        return [words for when, outcome in outcomes.items() for words in amiss(outcome, when)]
