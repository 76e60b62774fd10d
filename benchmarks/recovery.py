"""How long partitions stand still: after a worker was killed, and after it was started again. Real processes.

    python -m benchmarks.recovery [--profiles 100000] [--repeats 3]

Every setting is the default that a user gets, but for addresses and, where said, `kafka.instance_id`. Two workers under
load; partitions *move again* once an event that was sent after the fault is taken in, folded, durable and committed, in
every partition of the log and of the source.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import re
import statistics
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiokafka.structs import TopicPartition

from benchmarks import state
from benchmarks.broker import Watch, watching
from benchmarks.contestants import CHECKOUT, cpu_of, peak_of
from benchmarks.table import machine
from config.settings import Identity, Kafka, Settings, Topics
from lifestage.moments import iso
from streams import provision
from streams.embedded.kafka import start_kafka_server
from streams.embedded.process import Child, ServiceError, free_ports
from streams.embedded.redis import start_redis
from streams.outbox import NO_HEADERS, Outbox, acknowledged
from streams.topics import topics_of

RATE = 500
"""Events a second during everything: enough to move every partition twenty times a second."""
LOOK_S = 0.05
LONGEST_S = 120.0


@dataclass
class Ground:
    """Where it all happens."""

    settings: Settings
    bootstrap: str
    redis_url: str
    home: Path
    watch: Watch
    outbox: Outbox
    keys: list[list[bytes]]
    started: int = 0
    figures: dict[str, list[float]] = field(default_factory=dict)

    def worker(self, instance_id: str = "") -> Worker:
        """Start a worker; not ready yet."""
        self.started += 1
        return Worker(self, f"w{self.started}", instance_id)

    def note(self, what: str, value: float) -> None:
        """Keep one figure."""
        self.figures.setdefault(what, []).append(value)
        print(f"{what}: {value:,.1f}   (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)

    async def ends(self) -> dict[TopicPartition, int]:
        """The ends of the log and of the source that is sent to."""
        topics = topics_of(self.settings)
        return await self.watch.ends([topics.log.name, self.source], topics.log.partitions)

    @property
    def source(self) -> str:
        """The source that is sent to."""
        return f"{self.settings.topics.prefix}visits"

    async def moving(self, since: float, alive: Sequence[Worker]) -> float:
        """Seconds from `since` until every partition has committed what was sent after now."""
        wanted = await self.ends()
        while time.monotonic() < since + LONGEST_S:
            committed = await self.watch.committed(self.settings.kafka.group)
            if all(committed.get(tp, 0) > end for tp, end in wanted.items()):
                return time.monotonic() - since
            for worker in alive:
                worker.check()
            await asyncio.sleep(LOOK_S)
        raise ServiceError(f"partitions did not move again within {LONGEST_S:.0f} s; logs are in {self.home}")


class Worker:
    """`lifestage worker` with default settings."""

    def __init__(self, ground: Ground, name: str, instance_id: str) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        given = {
            "KAFKA_BOOTSTRAP": ground.bootstrap,
            "KAFKA_GROUP": ground.settings.kafka.group,
            "KAFKA_INSTANCE_ID": instance_id,
            "TOPICS_PREFIX": ground.settings.topics.prefix,
            "IDENTITY_SECRET": ground.settings.identity.secret,
            "METRICS_PORT": str(port),
            "REDIS_URL": ground.redis_url,
            "REDIS_PREFIX": ground.settings.topics.prefix,
            "HOME": str(ground.home / name),
        }
        # Where an environment forbids bytecode to be kept, each start would compile everything: 1.5 s that no user has.
        ours = ("LIFESTAGE_", "PYTHONDONTWRITEBYTECODE")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        inherited |= {"PYTHONPATH": str(CHECKOUT), "PYTHONPYCACHEPREFIX": str(ground.home / "bytecode")}
        inherited |= {f"LIFESTAGE_{key}": value for key, value in given.items()}
        self.began = time.monotonic()
        command = [sys.executable, "-P", "-m", "commands", "worker"]
        self.child = Child(command, ground.home / f"{name}.log", inherited)

    def check(self) -> None:
        """Raises `ServiceError` when it has ended."""
        if self.child.returncode is not None:
            raise ServiceError(f"a worker ended with status {self.child.returncode}:\n{self.child.printed()[-3000:]}")

    async def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0 while nothing answers."""
        try:
            text = await asyncio.to_thread(lambda: urllib.request.urlopen(f"{self.url}/metrics", timeout=5).read())  # noqa: S310
        except OSError:
            return 0.0
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text.decode(), re.MULTILINE))

    async def owns(self, least: int, most: int) -> None:
        """Return when it owns that many log partitions and their state."""
        while not least <= await self.metric('lifestage_partitions_owned{topic="[^"]*customer-events"}') <= most:
            self.check()
            await asyncio.sleep(LOOK_S)

    async def recovery_rate(self) -> tuple[float, float]:
        """Changelog records a second, and µs of CPU for each, from the first look that finds some read to the first that
        finds all."""
        first = last = (0.0, 0.0, 0.0)
        while True:
            self.check()
            done = await self.metric("lifestage_recovery_records_done")
            now, cpu = time.monotonic(), cpu_of(self.child.pid)
            if done > last[1]:
                first, last = (first if first[1] else (now, done, cpu)), (now, done, cpu)
            if done and not await self.metric("lifestage_recovery_active"):
                read = last[1] - first[1]
                return read / max(last[0] - first[0], 1e-3), (last[2] - first[2]) / max(read, 1) * 1e6
            await asyncio.sleep(2 * LOOK_S)  # a look takes 2 ms of the worker


async def load(ground: Ground) -> None:
    """Visits of now, of customers who are there, for ever."""
    chance, number, count = random.Random(7), 0, 0
    topics = topics_of(ground.settings)
    run = uuid.uuid4().hex[:6]
    began = time.monotonic()
    while True:
        count = int((time.monotonic() - began) * RATE) - number
        at = iso(int(time.time() * 1000))
        for partition in range(topics.log.partitions):
            records = []
            for _ in range(count // topics.log.partitions):
                key = chance.choice(ground.keys[partition])
                number += 1
                event = {
                    "id": f"v{run}-{number}", "source": "shop", "type": "web.visit", "time": at,
                    "customer_id": key.decode(), "url": "https://shop.example/", "session_id": f"s{number}",
                }  # fmt: skip
                records.append((key, msgspec.json.encode(event), NO_HEADERS))
            await acknowledged(await ground.outbox.send(ground.source, partition, records), "load")
        await asyncio.sleep(0.04)


async def alone(ground: Ground) -> None:
    """One worker reads the state of all partitions."""
    worker = ground.worker()
    rate, cpu_us = await worker.recovery_rate()
    ground.note("recovery of all partitions, records/s", rate)
    ground.note("recovery of all partitions, µs of CPU a record", cpu_us)
    await worker.owns(1, 1_000)
    ground.note("start to owning all, s", time.monotonic() - worker.began)
    ground.note("peak memory, MB", peak_of(worker.child.pid))
    await asyncio.to_thread(worker.child.stop, 30)


async def faults(ground: Ground, repeats: int) -> None:
    """Two workers: one is killed and the other takes over; then, with names of their own, killed or stopped and back."""
    half = ground.settings.topics.partitions // 2
    loading = asyncio.create_task(load(ground))
    try:
        stays, other = ground.worker(), ground.worker()
        for _ in range(repeats):
            await asyncio.gather(stays.owns(half, half), other.owns(half, half))
            await asyncio.sleep(3)
            at = time.monotonic()
            await asyncio.to_thread(other.child.kill)
            ground.note("kill -9 to moving, other worker, s", await ground.moving(at, [stays]))
            other = ground.worker()
        for worker in (stays, other):
            await asyncio.to_thread(worker.child.stop, 30)
        stays, other = ground.worker("one"), ground.worker("two")
        for signal in ["kill -9", "SIGTERM"] * repeats:
            await asyncio.gather(stays.owns(half, half), other.owns(half, half))
            await asyncio.sleep(3)
            at = time.monotonic()
            await asyncio.to_thread(other.child.kill) if signal == "kill -9" else await asyncio.to_thread(
                other.child.stop, 30
            )
            other = ground.worker("two")
            ground.note(f"{signal} to moving, same worker restarted, s", await ground.moving(at, [stays, other]))
        for worker in (stays, other):
            await asyncio.to_thread(worker.child.stop, 30)
    finally:
        loading.cancel()
        await asyncio.wait([loading])
    if not loading.cancelled():
        loading.result()


@asynccontextmanager
async def ground(home: Path, profiles: int) -> AsyncIterator[Ground]:
    """A Kafka and a Redis of one's own with `profiles` profiles in every partition."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    secret = Identity(secret="the benchmark hashes no real address")  # noqa: S106 - no secret of anybody
    settings = Settings(kafka=Kafka(group=f"{prefix}group"), topics=Topics(prefix=prefix), identity=secret)
    with start_kafka_server(home, say=say) as kafka, start_redis(home / "redis") as redis:
        await asyncio.to_thread(
            lambda: provision.apply(settings, kafka.bootstrap, provision.plan(settings, kafka.bootstrap))
        )
        outbox = Outbox({"bootstrap_servers": kafka.bootstrap}, "none", 30)
        await outbox.start()
        try:
            keys = await asyncio.to_thread(state.keys_of, settings.topics.partitions, profiles)
            each, size = await state.fill(settings, outbox, keys)
            say(f"{settings.topics.partitions} partitions of {each:,} profiles, {size:.0f} bytes each")
            async with watching(kafka.bootstrap) as watch:
                yield Ground(settings, kafka.bootstrap, redis.url, home, watch, outbox, keys)
        finally:
            await outbox.stop()


async def run(home: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """All figures."""
    async with ground(home, options.profiles) as made:
        for _ in range(options.repeats):
            await alone(made)
        if not options.alone:
            await faults(made, options.repeats)
        return made.figures


def table(figures: dict[str, list[float]]) -> str:
    """The figures as Markdown."""
    lines = ["| | median | least | greatest | runs |", "|---|---|---|---|---|"]
    for what, values in figures.items():
        shown = (f"{value:,.0f}" if value >= 100 else f"{value:.1f}" for value in _spread(values))
        lines.append(f"| {what} | {' | '.join(shown)} | {len(values)} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--profiles", type=int, default=100_000, help="profiles in each partition")
    parser.add_argument("--repeats", type=int, default=3, help="how often each fault is done")
    parser.add_argument("--alone", action="store_true", help="only the recovery of one worker, without faults")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.CRITICAL)  # aiokafka tells of every leader that is not elected yet
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="lifestage-bench-") as home:
        try:
            figures = asyncio.run(run(Path(home), options))
        except ServiceError as error:
            print(f"the benchmark failed: {error}", file=sys.stderr)
            return 1
    print(f"{table(figures)}\n\n{machine(before)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
