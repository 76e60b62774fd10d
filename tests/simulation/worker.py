"""One simulated worker: the product's own parts, wired by the product, on a simulated Kafka."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from faust.types import TP

from agents.app import Worker
from config.settings import Settings
from lifestage.cause import Rules
from streams.profiles import ProfilesTable
from tests.simulation.clients import Client
from tests.simulation.faust_side import Consumer, Restoring, Table
from tests.simulation.kafka import SimulatedKafka
from tests.simulation.loop import Life, SteppedLoop


class SimulatedWorker(Worker):
    """`agents.app.Worker` as it wires, starts, drains and reopens itself; around it, what Faust does between these."""

    app: Any

    def __init__(self, settings: Settings, kafka: SimulatedKafka, loop: SteppedLoop, life: Life) -> None:
        self.life, self._kafka, self._loop = life, kafka, loop
        super().__init__(settings, "simulated:9092", None, Path(), "simulated")
        self.fence._now = loop.time
        changelog = self.topics.changelog.name
        self.client = Client(kafka, life)
        self.coordinator = self.client._coordinator
        self.consumer = Consumer(self.app, self.client, self._revoked, self._assigned)
        self.app.consumer = self.consumer
        self.recovery = Restoring(self.app, self.consumer, self.profiles, changelog)
        self.app.tables.recovery = self.recovery
        self.leaving = False
        self._disturbed = asyncio.Event()
        """A heartbeat has said that the group is being made anew."""
        self._before: set[TP] = set()
        self._recovering: asyncio.Task[None] | None = None

    def _table(self, rules: Rules) -> ProfilesTable:
        table = Table(self.topics.changelog.name)
        table.prepare(rules, self.topics.log.name)
        return table

    def begin(self) -> None:
        """Start everything that runs in a worker."""
        self._loop.begin(self.life, self._watched(self._run), f"{self.life.name} run")

    async def _run(self) -> None:
        await self.start()
        self.attach(self.consumer)
        self.fence.watch(self.coordinator)
        for name, work in (
            ("intake", lambda: self.app.agents["intake"](self.app.runs("intake"))),
            ("lifecycle", lambda: self.app.agents["lifecycle"](self.app.runs("lifecycle"))),
            ("fetch", self._fetch),
            ("commit", self._commit),
            ("group", self._belong),
            ("beat", self._beat),
        ):
            self._loop.begin(self.life, self._watched(work), f"{self.life.name} {name}")

    async def _watched(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """What fails in a task is told to the judge."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001  # whatever it is, it must be known
            self._loop.troubles.append(f"{self.life.name}: {traceback.format_exc(limit=-4)}{error}")

    def leave(self, left: Callable[[], object]) -> None:
        """Begin what SIGTERM begins: no more is taken, what was taken is made durable and committed; `left` at the end."""
        self.leaving = True

        async def ending() -> None:
            self.consumer.stop_flow()
            await self.consumer.wait_empty()
            self.coordinator._closing.set_result(None)
            left()
            self.life.alive = False

        self._loop.begin(self.life, self._watched(ending), f"{self.life.name} leave")

    # -- what Faust does -------------------------------------------------------------------------

    async def _fetch(self) -> None:
        """Faust's fetcher."""
        consumer, queues = self.consumer, self.app.queues
        while True:
            await asyncio.sleep(0)
            async for tp, message in consumer.getmany(0.1):
                read = consumer._read_offset[tp]
                if (read is None or message.offset >= read) and consumer.flow_active:
                    queues["lifecycle" if tp.topic == self.topics.log.name else "intake"].put_nowait(message)
                    consumer._read_offset[tp] = message.offset

    async def _commit(self) -> None:
        """Faust's commit handler."""
        while True:
            await asyncio.sleep(0.2)
            await self.consumer.commit()

    async def _belong(self) -> None:
        """aiokafka's coordinator: let go, join, take what is given, and again when a heartbeat says so."""
        while True:
            await self.consumer.on_partitions_revoked(set(self.client.assigned))
            self._disturbed.clear()
            given = await self.coordinator.join()
            if given is None:
                continue
            generation, numbers = given
            names = [*(topic.name for topic in self.topics.sources), self.topics.log.name, self.topics.changelog.name]
            assigned = {TP(name, number) for name in names for number in numbers}
            self.client.give(assigned)
            self.app.consumer_generation_id = generation
            await self.consumer.on_partitions_assigned(assigned, generation)
            await self._disturbed.wait()

    async def _beat(self) -> None:
        """aiokafka's heartbeats. They go on while a drain holds the rebalance up."""
        while True:
            await asyncio.sleep(self.settings.kafka.session_timeout_s / 4)
            await self.beat()

    async def beat(self) -> None:
        """One heartbeat."""
        if self.coordinator.generation >= 0 and await self.coordinator.beat():
            self._disturbed.set()

    async def _revoked(self, _: set[TP]) -> None:
        """Faust's app: everything is paused, buffers are cleared, what was taken is awaited."""
        if self.client.assigned:
            self.consumer.stop_flow()
            self.app.flow_control.suspend()
            self.consumer.pause_partitions(self.client.assigned)
            self.app.flow_control.clear()
            await self.consumer.wait_empty()

    async def _assigned(self, assigned: set[TP], generation: int) -> None:
        """Faust's app and its table manager: tables learn what is gone, a recovery starts."""
        revoked, newly = self._before - assigned, assigned - self._before
        self._before = set(assigned)
        self.consumer.pause_partitions(assigned)
        await self.profiles.on_rebalance(assigned, revoked, newly, generation)
        if generation != self.app.consumer_generation_id:
            return
        if self._recovering is not None:
            self._recovering.cancel()
        self._recovering = self._loop.begin(
            self.life, self._watched(partial(self.recovery.run, generation)), f"{self.life.name} recover"
        )
