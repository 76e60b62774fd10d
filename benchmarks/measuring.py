"""One run of one contestant: prepared, started, watched until all is durable, read and compared."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.broker import EventSet, Watch, preload, watching
from benchmarks.contest import Contestant, Where
from benchmarks.contestants import CHECKOUT, POLL_S, STALLED_S, cpu_of, family_of, machine_cpu, peak_of
from benchmarks.events import SourceEvent
from config.settings import Identity, Kafka, Settings, Topics
from streams.embedded.process import Child, ServiceError
from streams.topics import CHANGES

PARTITIONS = Settings().topics.partitions
SAY_S = 5.0
QUIET_S = 30.0
"""Three ticks of the product: with nothing new for so long, no timer is left to fire."""
Say = Callable[[str], None]
Read = Mapping[str, list[Any]]
"""By topic, without prefix, the records that are in it at the end of a run."""


class DifferentError(RuntimeError):
    """A contestant's output is not what the events mean: no figure may be shown."""


class Run(NamedTuple):
    """What one run of one contestant took."""

    events: int
    wall_s: float
    """From the last look that saw no change announced to the first that saw all durable."""
    cpu_s: float
    """Of the contestant's processes in that time, and while the last timers fire."""
    peak_mb: float
    start_s: float
    """From the start of the process to its first change, with events waiting for it."""
    changes: int
    later_s: float = 0.0
    """From all events durable to the last change of a timer out and durable: who waits for a clock is not working."""
    busy: float = 0.0
    """Cores that the contestant kept busy until all events were durable."""
    machine: float = 0.0
    """The same of all processes: the broker and the benchmark are the rest."""

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.wall_s


class Given(NamedTuple):
    """The events of a run, and what must come of them."""

    events: EventSet
    expected: Any
    changes: int


@dataclass
class Job:
    """What contestants are given, and what must come of it."""

    name: str
    title: str
    sources: tuple[str, ...]
    reads: tuple[str, ...]
    """Topics whose records are compared."""
    draw: Callable[[int], Iterable[SourceEvent]]
    reference: Callable[[EventSet], tuple[Any, int]]
    """What must come of events, and how many changes that are."""
    differ: Callable[[Any, Contestant, Read], str]
    """Empty when what a contestant wrote is what was expected; else what is wrong."""
    count: int = 0
    _given: dict[int, Given] = field(default_factory=dict)

    def given(self, share: float) -> Given:
        """That share of the events, drawn and replayed once."""
        count = max(1, round(self.count * share))
        if count not in self._given:
            events = EventSet(self.draw(count), PARTITIONS)
            self._given[count] = Given(events, *self.reference(events))
        return self._given[count]


async def topics_made(bootstrap: str, names: Iterable[str], partitions: int) -> None:
    """Make compacted topics that a contestant expects."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        config = {"cleanup.policy": "compact"}
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=config) for name in names])
    finally:
        await admin.close()


def settings_of(job: Job) -> Settings:
    """A deployment of its own for one run."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    return Settings(
        kafka=Kafka(group=f"{prefix}group"),
        topics=Topics(prefix=prefix, sources=job.sources),
        identity=Identity(secret="the benchmark hashes no real address"),  # noqa: S106 - no secret of anybody
    )


def started(contestant: Contestant, where: Where, log: Path, more: Mapping[str, str] | None = None) -> Child:
    """Start a contestant, with `more` variables; those that would set the product up another way are not inherited."""
    ours = ("LIFESTAGE_", "PYTHONDONTWRITEBYTECODE")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # Where an environment forbids bytecode to be kept, each start would compile everything, which no user has.
    inherited |= {"PYTHONPATH": str(CHECKOUT), "PYTHONPYCACHEPREFIX": str(log.parent / "bytecode")}
    return Child(contestant.command(where), log, inherited | dict(contestant.environment(where)) | dict(more or {}))


async def run_once(job: Job, contestant: Contestant, bootstrap: str, home: Path, say: Say) -> Run:
    """Run a contestant on fresh topics with the events already in them, and compare.

    Raises `ServiceError` when it fails, `DifferentError` when its output is not what the events mean.
    """
    settings, given = settings_of(job), job.given(contestant.share)
    where = Where(settings, bootstrap, home / "data")
    shutil.rmtree(where.directory, ignore_errors=True)
    where.directory.mkdir(parents=True)
    await preload(bootstrap, settings, given.events)
    if names := [where.prefix + name for name in contestant.topics()]:
        await topics_made(bootstrap, names, PARTITIONS)
    async with watching(bootstrap) as watch:
        child = started(contestant, where, home / f"{where.prefix}log")
        try:
            timed = Timed(contestant, child, watch, where, given, say)
            taken = await timed.run()
            records = {name: await watch.read(where.prefix + name, PARTITIONS) for name in job.reads}
            wrong = job.differ(given.expected, contestant, records)
            if wrong and contestant.whole:
                # Corrections count as changes, too: there may be as many as are expected before the last timer has fired.
                await timed.quiet()
                records = {name: await watch.read(where.prefix + name, PARTITIONS) for name in job.reads}
                wrong = job.differ(given.expected, contestant, records)
        finally:
            await asyncio.to_thread(child.stop, 30)
        await watch.delete(where.prefix)
    if wrong:
        raise DifferentError(f"{contestant.name} says something else than the reference: {wrong}")
    return taken._replace(changes=len(records[CHANGES]))


@dataclass
class Timed:
    """Looks at a contestant until it is done."""

    contestant: Contestant
    child: Child
    watch: Watch
    where: Where
    given: Given
    say: Say

    async def run(self) -> Run:
        """The figures. Raises `ServiceError` when it ends too early or stands still."""
        events = self.given.events.count
        began = started = moved = said = time.monotonic()
        used, cpu, peak, seen, start_s, wall = 0.0, 0.0, 0.0, 0, 0.0, 0.0
        all_used, busy, machine, family = 0.0, 0.0, 0.0, [self.child.pid]
        while True:
            looked = time.monotonic()
            ended = self.child.returncode
            if ended is None:
                # Of one that ends by itself the last look alive is what there is.
                with contextlib.suppress(ValueError, OSError):
                    cpu, peak = sum(map(cpu_of, family)), sum(map(peak_of, family))
            elif ended != 0:
                raise self._failed(f"ended with status {ended}")
            done, changes = await self._look(ended, events)
            now = time.monotonic()
            if changes == 0:
                started, used, all_used, start_s = looked, cpu, machine_cpu(), looked - began
                family = family_of(self.child.pid) if ended is None else family
            if done >= events:
                if not wall:
                    wall = now - started
                    busy, machine = (cpu - used) / wall, (machine_cpu() - all_used) / wall
                if changes >= self.given.changes or ended == 0 or looked - moved > QUIET_S:
                    later = now - started - wall
                    return Run(events, wall, cpu - used, peak, start_s, changes, later, busy, machine)
            elif ended == 0:
                raise self._failed("ended early")
            if changes + done > seen:
                seen, moved = changes + done, looked
            elif looked - moved > STALLED_S:
                raise self._failed(f"stands still at {done} of {events} events")
            if looked - said >= SAY_S and changes:
                said = looked
                self._tell(changes, looked - started)
            await asyncio.sleep(POLL_S)

    def _failed(self, how: str) -> ServiceError:
        """With the end of its log, which is gone with the benchmark."""
        last = "\n  ".join(self.child.printed().strip().splitlines()[-15:])
        return ServiceError(f"{self.contestant.name} {how}; the end of its log:\n  {last}")

    async def quiet(self) -> None:
        """Return when no change has come for a while."""
        seen, moved = -1, time.monotonic()
        while time.monotonic() - moved < QUIET_S:
            _, changes = await self._look(None, self.given.events.count)
            if changes != seen:
                seen, moved = changes, time.monotonic()
            await asyncio.sleep(10 * POLL_S)

    async def _look(self, ended: int | None, events: int) -> tuple[int, int]:
        """(events durable, changes announced)."""
        changes = sum((await self.watch.ends([self.where.prefix + CHANGES], PARTITIONS)).values())
        done = await self.contestant.durable(self.watch, self.where, events)
        if done is None:
            done = events if ended == 0 else 0
        return done, changes

    def _tell(self, changes: int, since_s: float) -> None:
        """How far it is, by the changes that are out."""
        share = min(1.0, changes / max(1, self.given.changes))
        rate = share * self.given.events.count / max(since_s, 0.001)
        left = since_s * (1 - share) / max(share, 0.001)
        self.say(f"  {self.contestant.name}: {share:.0%}, about {rate:,.0f} events/s, {left:.0f} s left")
