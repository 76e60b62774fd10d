"""Job (a) on the product's batch path: `streams.batches`, `streams.recovery`, `streams.outbox` and their one order of writing.

Runs as `python -m benchmarks.ours_simple` with PEER_BROKER, PEER_PREFIX and PEER_DATADIR; ends with SIGTERM. The state
is a list a customer in memory; a flush makes changes durable, then what has changed with the marker, then the offset.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from faust.types import TP

from benchmarks.peers.fold import STAGES
from config.settings import Kafka, Settings, Topics
from lifestage.moments import DAY_MS, parse
from streams.batches import BatchSchema
from streams.engine import crashed, faust_app
from streams.fence import Fence
from streams.outbox import NO_HEADERS, Outbox, OutRecord, acknowledged
from streams.profiles import ProfilesTable
from streams.reading import targets
from streams.stop import fail_stop
from streams.topics import Topic, topics_of
from streams.topics import Topics as Wired

FLUSH_S = Settings().lifecycle.flush_interval_s
MARKER = b"\x00"
PARTITIONS = Settings().topics.partitions
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[int]).decode
_json = msgspec.json.Encoder().encode


class Event(msgspec.Struct):
    """The fields of an event that the rules read."""

    id: str
    type: str
    time: str
    event: str = ""
    total: str = ""
    machine: bool = False


_decode = msgspec.json.Decoder(Event).decode


class Customers:
    """One partition: its customers, each a list as in `peers.fold` with the offset of its last event behind it."""

    uncounted = ""

    def __init__(self, number: int) -> None:
        self.number, self.applied, self.kept = number, -1, -1
        self.states: dict[bytes, list[int]] = {}
        self.dirty: set[bytes] = set()
        self.futures: list[asyncio.Future[Any]] = []
        self.flushing = asyncio.Lock()

    def restore_until_gone(self, records: Iterable[Any]) -> None:
        """Take in records of the changelog, none of which is a tombstone."""
        for record in records:
            if record.key == MARKER:
                (self.applied,) = _unpack(record.value)
                self.kept = self.applied
            else:
                self.states[record.key] = _unpack(record.value)

    def recovered(self) -> None:
        """All is in."""

    def fold(self, records: Any) -> list[OutRecord]:
        """Fold a run; what is to be announced of it."""
        found: list[OutRecord] = []
        states, dirty = self.states, self.dirty
        for record in records:
            key, offset = record.key, record.offset
            state = states.get(key)
            if state is None:
                state = states[key] = [0, 0, 0, 0, 0, 0, -1, 0, 0, 0, -1]
            if offset <= state[10]:
                continue  # a flush that was cut off had kept it
            event = _decode(record.value)
            before = state[8]
            _add(state, event)
            state[10] = offset
            dirty.add(key)
            if state[8] != before:
                state[9] += 1
                found.append((key, _told(key, state, before, event), NO_HEADERS))
        self.applied = records[-1].offset
        return found


def _add(state: list[int], event: Event) -> None:
    at = parse(event.time)
    if state[0] == 0:
        state[1] = at
    state[0] += 1
    state[2] = at
    kind = event.type
    if kind == "web.visit":
        state[7] = state[7] or 1
    elif kind == "email.event":
        if event.event == "delivered":
            state[7] = state[7] or 1
        elif event.event == "clicked" and not event.machine:
            state[7] = 2
    elif kind == "order.completed":
        state[3] += 1
        state[4] += int(event.total.replace(".", ""))
        day = at // DAY_MS
        if day != state[6]:
            state[5] += 1
            state[6] = day
    state[8] = 2 + min(state[5], 3) if state[5] else state[7]


def _told(key: bytes, state: list[int], before: int, event: Event) -> bytes:
    return _json({
        "customer_id": key.decode(), "seq": state[9], "stage": STAGES[state[8]], "previous_stage": STAGES[before],
        "entered_at": event.time, "trigger": event.id, "events": state[0], "orders": state[3],
        "spent_minor": state[4], "first_ms": state[1],
    })  # fmt: skip


class CustomersTable(ProfilesTable):
    """The product's table, holding `Customers` in place of the product's partitions."""

    owned: dict[int, Any]

    def begin(self) -> None:
        """Nothing is owned yet."""
        self.owned, self._fresh, self._known, self.restored = {}, set(), {}, 0
        self.lost = lambda _: None

    def partition(self, number: int) -> Any:
        """The fold of an owned partition."""
        found = self.owned.get(number)
        if found is None:
            found = self.owned[number] = Customers(number)
            self._fresh.add(number)
        return found


class Worker:
    """The app, its agent and its flushes."""

    def __init__(self, bootstrap: str, prefix: str, data: Path) -> None:
        settings = Settings(kafka=Kafka(group=f"{prefix}simple"), topics=Topics(prefix=prefix))
        events = Topic(f"{prefix}events", "customer", "events", PARTITIONS, "delete", -1, "LogAppendTime")
        named = topics_of(settings)
        changelog = Topic(f"{prefix}simple-changelog", "customer", "", PARTITIONS, "compact", -1, "CreateTime")
        self.topics = Wired((), events, changelog, named.changes, named.stages, named.dead_letters)
        self.app = faust_app(settings, bootstrap, data)
        self.fence = Fence(settings.kafka.session_timeout_s)
        self.outbox = Outbox({"bootstrap_servers": bootstrap}, "none", settings.kafka.request_timeout_s, self.fence)
        topic = self.app.topic(changelog.name, schema=BatchSchema(), partitions=PARTITIONS, acks=False)
        self.table = CustomersTable(
            self.app, name="customers", key_type=bytes, value_type=bytes, partitions=PARTITIONS,
            recovery_buffer_size=2, changelog_topic=topic,
        )  # fmt: skip
        self.table.begin()
        self.app.tables.add(self.table)
        self.open = False
        self._define_agent()

    def _define_agent(self) -> None:
        @self.app.agent(self.app.topic(self.topics.log.name, schema=BatchSchema(), acks=False), name="simple")
        async def simple(runs: Any) -> None:
            try:
                async for run in runs:
                    if self.open:
                        mine = self.table.partition(run.partition)
                        if changes := mine.fold(run.records):
                            mine.futures += await self.outbox.send(self.topics.changes.name, run.partition, changes)
                        await asyncio.sleep(0)
            except Exception as error:  # noqa: BLE001  # an agent that dies would go on without the record
                fail_stop("the fold failed", error)

    def attach(self) -> None:
        """Give the consumer what it asks for at a seek and before a revocation."""
        consumer = self.consumer = self.app.consumer
        consumer.fence = self.fence
        consumer.targets = lambda assigned, committed: targets(consumer, self.table, self.topics, assigned, committed)
        consumer.reopen = self._reopen
        consumer.drain = self._drain

    def _reopen(self, _: dict[TP, int]) -> None:
        self.open = True
        gc.collect()
        gc.freeze()

    async def _drain(self) -> None:
        self.open = False
        await self.flush()

    async def flush_always(self) -> None:
        """Flush, every interval, for ever."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Make durable what all partitions have folded so far."""
        await asyncio.gather(*(self._flush(mine) for mine in [*self.table.owned.values()]))

    async def _flush(self, mine: Customers) -> None:
        async with mine.flushing:
            upto = mine.applied
            if upto <= mine.kept:
                return
            futures, mine.futures = mine.futures, []
            states: list[OutRecord] = [(key, _pack(mine.states[key]), NO_HEADERS) for key in mine.dirty]
            mine.dirty = set()
            await acknowledged(futures, "changes")
            # In one partition of one idempotent producer the marker is behind what it speaks of.
            records = [*states, (MARKER, _pack([upto]), NO_HEADERS)]
            sent = await self.outbox.send(self.topics.changelog.name, mine.number, records)
            for placed in await acknowledged(sent, "customers"):
                self.table.wrote(mine.number, placed.offset)
            mine.kept = upto
            self.consumer.positions.reach(TP(self.topics.log.name, mine.number), upto + 1)


def _stop_of(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    stop = asyncio.Event()
    signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


async def main() -> None:
    """Run until SIGTERM."""
    gc.set_threshold(200_000, 20, 100)  # as `lifestage worker`
    environment = os.environ
    worker = Worker(environment["PEER_BROKER"], environment["PEER_PREFIX"], Path(environment["PEER_DATADIR"]))
    stop = _stop_of(asyncio.get_running_loop())
    await worker.outbox.start()
    worker.attach()
    flushing = asyncio.create_task(worker.flush_always())
    await worker.app.start()
    crashing, ending = asyncio.create_task(crashed(worker.app)), asyncio.create_task(stop.wait())
    await asyncio.wait([ending, crashing, flushing], return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        fail_stop("a service of the worker crashed", worker.app.crash_reason)
    crashing.cancel()
    await worker.app.stop()
    flushing.cancel()
    await worker.outbox.stop()


if __name__ == "__main__":
    asyncio.run(main())
