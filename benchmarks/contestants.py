"""The whole worker on a prepared Kafka with three topics of events, for benchmarks that compare it with itself."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from benchmarks.broker import EventSet, Watch, preload, watching
from benchmarks.compare import Outcome, outcome_of
from config.settings import Identity, Kafka, Settings, Topics
from streams.embedded.process import Child, ServiceError, free_ports
from streams.topics import topics_of

CHECKOUT = Path(__file__).parent.parent
POLL_S = 0.025
STALLED_S = 60.0
"""A contestant that has not moved for this long will not end."""
TICKS = os.sysconf("SC_CLK_TCK")


class Measured(NamedTuple):
    """One run of one contestant."""

    events: int
    wall_s: float
    """From the first event taken to the last one durable."""
    cpu_s: float
    """Of the contestant's process, in that time."""
    peak_rss_mb: float
    outcome: Outcome

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.wall_s


class Progress(NamedTuple):
    """How far a contestant is: `taken` > 0 starts the clock, `durable` = all of the events stops it."""

    taken: int
    durable: int


class Contestant(Protocol):
    """One implementation of the job."""

    @property
    def name(self) -> str:
        """As in the table."""

    def command(self) -> list[str]:
        """What to start."""

    def environment(self, settings: Settings, bootstrap: str, directory: Path) -> Mapping[str, str]:
        """With which variables, beside those of this process."""

    async def progress(self, watch: Watch, settings: Settings, events: int) -> Progress:
        """How far it is."""


@dataclass(frozen=True)
class Ours:
    """`lifestage worker`: both hops in one process."""

    redis_url: str = ""
    """Empty: without the read model."""

    @property
    def name(self) -> str:
        """As in the table."""
        return "lifestage, with Redis" if self.redis_url else "lifestage"

    def command(self) -> list[str]:
        """What a user types."""
        return [sys.executable, "-P", "-m", "commands", "worker"]

    def environment(self, settings: Settings, bootstrap: str, directory: Path) -> Mapping[str, str]:
        """Defaults, but for where things are, and a clock that only the data move."""
        (port,) = free_ports(1)
        given = {
            "KAFKA_BOOTSTRAP": bootstrap,
            "KAFKA_GROUP": settings.kafka.group,
            "TOPICS_PREFIX": settings.topics.prefix,
            "IDENTITY_SECRET": settings.identity.secret,
            "CLOCK_MODE": "data",
            "METRICS_PORT": str(port),
            "REDIS_ENABLED": "true" if self.redis_url else "false",
            "REDIS_URL": self.redis_url,
            "REDIS_PREFIX": settings.topics.prefix,
            "HOME": str(directory),
        }
        return {f"LIFESTAGE_{name}": value for name, value in given.items()}

    async def progress(self, watch: Watch, settings: Settings, events: int) -> Progress:
        """Taken once it is in the log; durable once the log's offset is committed, which only what is kept can be.

        The log holds messages between partitions, too. Those that come of a record are in it before that is committed: all
        is done when nothing is left of the sources and the log, and nothing came to the log while that was asked.
        """
        topics = topics_of(settings)
        ends = await watch.ends([topics.log.name], topics.log.partitions)
        taken = sum(ends.values())
        if taken < events:
            return Progress(taken, 0)
        committed = await watch.committed(settings.kafka.group)
        folded = sum(min(end, max(0, committed.get(tp, 0))) for tp, end in ends.items())
        sources = [topic.name for topic in topics.sources]
        read = sum(max(0, offset) for tp, offset in committed.items() if tp.topic in sources)
        if folded < taken or read < events or await watch.ends([topics.log.name], topics.log.partitions) != ends:
            return Progress(taken, min(folded, events - 1))
        return Progress(taken, events)


async def measure(contestant: Contestant, bootstrap: str, events: EventSet, directory: Path) -> Measured:
    """Run a contestant once on fresh topics with the events already in them. Raises `ServiceError` when it fails."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    settings = Settings(
        kafka=Kafka(group=f"{prefix}group"),
        topics=Topics(prefix=prefix),
        identity=Identity(secret="the benchmark hashes no real address"),  # noqa: S106 - no secret of anybody
    )
    await preload(bootstrap, settings, events)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIFESTAGE_")}
    environment = inherited | {"PYTHONPATH": str(CHECKOUT)}
    environment |= contestant.environment(settings, bootstrap, directory / "data")
    async with watching(bootstrap) as watch:
        child = Child(contestant.command(), directory / f"{prefix}log", environment)
        try:
            wall, cpu, rss = await _time(contestant, child, watch, settings, events.count)
        finally:
            await asyncio.to_thread(child.stop, 30)
        topic = topics_of(settings).changes
        records = await watch.read(topic.name, topic.partitions)
        told = outcome_of((dict(record.headers)["ce_id"].decode(), record.value) for record in records)
        await watch.delete(prefix)
    return Measured(events.count, wall, cpu, rss, told)


async def _time(
    contestant: Contestant, child: Child, watch: Watch, settings: Settings, events: int
) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, peak MB) from the last look that saw nothing taken to the first that saw all durable."""
    started, used = time.monotonic(), 0.0
    seen, moved = Progress(0, 0), started
    while True:
        if child.returncode is not None:
            raise ServiceError(f"{contestant.name} ended with status {child.returncode}; its log is {child.log}")
        looked, cpu = time.monotonic(), cpu_of(child.pid)
        now = await contestant.progress(watch, settings, events)
        if now.taken == 0:
            started, used = looked, cpu
        if now.durable >= events:
            return time.monotonic() - started, cpu_of(child.pid) - used, peak_of(child.pid)
        if now != seen:
            seen, moved = now, looked
        elif looked - moved > STALLED_S:
            raise ServiceError(f"{contestant.name} stands still at {now} of {events} events; its log is {child.log}")
        await asyncio.sleep(POLL_S)


def cpu_of(pid: int) -> float:
    """Seconds of processor time that a process has used, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def family_of(pid: int) -> list[int]:
    """A process and all that it has started, directly or not."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            found += map(int, children.read_text(encoding="ascii").split())
    return found


def machine_cpu() -> float:
    """Seconds of processor time that the machine has spent on anything, all cores together, since it was started."""
    user, nice, system, _, _, irq, softirq = map(int, Path("/proc/stat").read_text(encoding="ascii").split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def peak_of(pid: int) -> float:
    """The most memory that a process has had, in MB of 2²⁰ bytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no VmHWM in /proc/{pid}/status")
