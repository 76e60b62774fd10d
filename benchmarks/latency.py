"""From the sending of an event to its change, at a steady rate: a contestant of job (a) that has caught up, and who keeps up."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiokafka
import msgspec
from aiokafka.structs import TopicPartition

from benchmarks import simple
from benchmarks.broker import EventSet, Watch, preload, watching
from benchmarks.contest import Contestant, Where
from benchmarks.events import SourceEvent
from benchmarks.measuring import PARTITIONS, DifferentError, Job, Say, settings_of, started, topics_made
from benchmarks.table import spread
from lifestage.moments import iso
from streams.doorway import partition_of
from streams.embedded.process import Child, ServiceError
from streams.outbox import NO_HEADERS, Outbox, OutRecord
from streams.topics import CHANGES

RATES = (1_000, 10_000)
SLICE_S = 0.02
WARM = 0.25
"""Of the time: what is not counted, while interpreters, compilers and connections warm up."""
FIRST = 100
"""Events that are sent before, to see that the contestant is there."""
BEHIND_S = 20.0
SILENT_S = 1.0
"""Who keeps up has said all once nothing more comes for so long."""
START_S = 120.0
LIVE = {"PEER_TAIL": "1", "LIFESTAGE_CLOCK_MODE": "wall"}
"""As a live deployment: Bytewax waits for more at the end of a topic, and our clock is the wall's, its default."""


class Lag(NamedTuple):
    """From sending to change, in ms; None where the contestant did not keep up."""

    p50: float | None
    p99: float | None


class Heard(NamedTuple):
    """A change as it came."""

    at: float
    record: Any


async def measured(
    job: Job, contestant: Contestant, bootstrap: str, home: Path, rate: int, seconds: float, say: Say
) -> Lag:
    """Run a contestant at a rate, and compare what it said. Raises `ServiceError` or `DifferentError`."""
    settings = settings_of(job)
    where = Where(settings, bootstrap, home / "data")
    shutil.rmtree(where.directory, ignore_errors=True)
    where.directory.mkdir(parents=True)
    await preload(bootstrap, settings, EventSet([], PARTITIONS))
    if names := [where.prefix + name for name in contestant.topics()]:
        await topics_made(bootstrap, names, PARTITIONS)
    drawn = drafts(job.draw(FIRST + round(rate * seconds)))
    outbox = Outbox({"bootstrap_servers": bootstrap}, "none", 30)
    await outbox.start()
    async with watching(bootstrap) as watch:
        child = started(contestant, where, home / f"{where.prefix}log", LIVE)
        try:
            paced = Paced(drawn, rate, where, outbox)
            kept_up = await paced.run(job, watch, child)
            if not kept_up:
                say(f"  {contestant.name} does not keep up with {rate:,} events/s")
                return Lag(None, None)
            expected, _ = job.reference(paced.given())
            wrong = job.differ(expected, contestant, {CHANGES: [heard.record for heard in paced.heard]})
        finally:
            await asyncio.to_thread(child.stop, 30)
            await outbox.stop()
            await watch.delete(where.prefix)
    if wrong:
        raise DifferentError(f"{contestant.name} says something else than the reference: {wrong}")
    return paced.lag()


class Draft(NamedTuple):
    """An event but for its time, which is that of its sending."""

    id: str
    key: bytes
    partition: int
    head: bytes
    tail: bytes


def drafts(events: Iterable[SourceEvent]) -> list[Draft]:
    """Events without their times."""
    found = []
    for event in events:
        head, name, rest = event.value.partition(b'"time":"')
        _, quote, tail = rest.partition(b'"')
        one = msgspec.json.decode(event.value)["id"]
        found.append(Draft(one, event.key, partition_of(event.key, PARTITIONS), head + name, quote + tail))
    return found


@dataclass
class Paced:
    """Events on their way, and the changes that came of them."""

    drafts: Sequence[Draft]
    rate: int
    where: Where
    outbox: Outbox
    heard: list[Heard] = field(default_factory=list)
    _sent: dict[str, float] = field(default_factory=dict)
    _values: list[SourceEvent] = field(default_factory=list)
    _newest: dict[bytes, int] = field(default_factory=dict)

    def given(self) -> EventSet:
        """What was sent."""
        return EventSet(self._values, PARTITIONS)

    async def run(self, job: Job, watch: Watch, child: Child) -> bool:
        """Send all and hear all changes; whether the contestant kept up."""
        topic = self.where.prefix + CHANGES
        consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=self.where.bootstrap, group_id=None, auto_offset_reset="earliest", fetch_max_wait_ms=5
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, n) for n in range(PARTITIONS)])
            await self._send(self.drafts[:FIRST])
            deadline = time.monotonic() + START_S
            while not sum((await watch.ends([topic], PARTITIONS)).values()):
                if child.returncode is not None or time.monotonic() > deadline:
                    raise ServiceError(f"no change within {START_S:.0f} s; its log is {child.log}")
                await asyncio.sleep(0.05)
            sending = asyncio.create_task(self._send_all())
            while not sending.done():
                await self._hear(consumer)
            await sending
            # To work out the reference takes a second or two, in which what is still on its way would wait unheard.
            await self._hear_until_silent(consumer)
            _, count = job.reference(self.given())
            behind = time.monotonic() + BEHIND_S
            while len(self.heard) < count and time.monotonic() < behind:
                await self._hear(consumer)
            return len(self.heard) >= count
        finally:
            await consumer.stop()

    async def _hear(self, consumer: aiokafka.AIOKafkaConsumer) -> None:
        for run in (await consumer.getmany(timeout_ms=100)).values():
            at = time.monotonic()
            self.heard += [Heard(at, record) for record in run]

    async def _hear_until_silent(self, consumer: aiokafka.AIOKafkaConsumer) -> None:
        known, since = -1, time.monotonic()
        while time.monotonic() - since < SILENT_S:
            if len(self.heard) != known:
                known, since = len(self.heard), time.monotonic()
            await self._hear(consumer)

    async def _send_all(self) -> None:
        """Send at the rate, in slices; a slice that comes late is as long as it is late."""
        began, done = time.monotonic(), FIRST
        while done < len(self.drafts):
            due = FIRST + int((time.monotonic() - began) * self.rate)
            await self._send(self.drafts[done:due])
            done = max(done, due)
            await asyncio.sleep(SLICE_S)

    async def _send(self, some: Sequence[Draft]) -> None:
        runs: dict[int, list[OutRecord]] = {}
        at, now = time.monotonic(), int(time.time() * 1000)
        for draft in some:
            # No two events of a customer in one instant, where a contestant might judge both together.
            instant = self._newest[draft.key] = max(now, self._newest.get(draft.key, 0) + 1)
            value = draft.head + iso(instant).encode() + draft.tail
            runs.setdefault(draft.partition, []).append((draft.key, value, NO_HEADERS))
            self._values.append(SourceEvent(simple.TOPIC, draft.key, value))
            self._sent[draft.id] = at
        for partition, records in runs.items():
            await self.outbox.send(f"{self.where.prefix}{simple.TOPIC}", partition, records)

    def lag(self) -> Lag:
        """From sending to arrival, of what was sent when all was warm."""
        first, last = self._sent[self.drafts[FIRST].id], self._sent[self.drafts[-1].id]
        cut, found = first + (last - first) * WARM, []
        for one in self.heard:
            trigger = msgspec.json.decode(one.record.value)["trigger"]
            at = self._sent[trigger if isinstance(trigger, str) else trigger["event_id"]]
            if at >= cut:
                found.append(one.at - at)
        found.sort()
        return Lag(1000 * statistics.median(found), 1000 * found[int(0.99 * (len(found) - 1))])


def render(rounds: Mapping[tuple[str, int], Sequence[Lag]]) -> str:
    """A row a contestant, two columns a rate."""
    names = list(dict.fromkeys(name for name, _ in rounds))
    head = "".join(f" p50 at {rate:,}/s, ms | p99 at {rate:,}/s, ms |" for rate in RATES)
    lines = [f"| |{head}", "|---|" + "---|---|" * len(RATES)]
    for name in names:
        cells = []
        for rate in RATES:
            lags = rounds[name, rate]
            for values in ([lag.p50 for lag in lags], [lag.p99 for lag in lags]):
                known = [value for value in values if value is not None]
                cells.append(spread(known, 1) if len(known) == len(values) else "does not keep up")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
