"""The Faust app of one worker: the two agents, the table between them, and what is started and stopped with them."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

from faust.types import TP

from agents.intake import define_intake
from agents.lifecycle import define_lifecycle
from config.settings import Settings
from lifestage.cause import Rules
from lifestage.log import topic_code
from streams import connections
from streams.batches import BatchConsumer, BatchSchema
from streams.collector import WorkerMetrics
from streams.doorway import doorway_of
from streams.engine import faust_app
from streams.fence import Fence
from streams.forwarding import SETTLE_S, Forwarder
from streams.keeper import Keeper, Kept
from streams.outbox import Outbox
from streams.profiles import ProfilesTable
from streams.provision import check_topics
from streams.read_model import ReadModel
from streams.reading import targets
from streams.rebuild import Rebuilds
from streams.rules import rules_of, targets_of
from streams.sources import Sources
from streams.stop import fail_stop
from streams.takeover import Takeovers, watch_s
from streams.ticking import Ticker
from streams.topics import Topics, topics_of
from streams.view import WorkerView, accounts_of, written_of
from streams.watchdogs import NO_FOLD, PartitionWatchdog, StallWatchdog


class Worker:
    """Everything of one worker, wired: the app, its agents and its tasks."""

    def __init__(self, settings: Settings, bootstrap: str, redis_url: str | None, data: Path, version: str) -> None:
        self.settings, self._bootstrap = settings, bootstrap
        self.topics: Topics = topics_of(settings)
        rules = rules_of(settings)
        self.app = faust_app(settings, bootstrap, data)
        self.fence = Fence(settings.kafka.session_timeout_s)
        self.metrics = self._measured(rules, version)
        connection = connections.aiokafka(settings) | {"bootstrap_servers": bootstrap}
        self.outbox = Outbox(connection, settings.kafka.compression, settings.kafka.request_timeout_s, self.fence)
        self.profiles = self._table(rules)
        self.view = WorkerView(self.profiles, self.topics)
        self.metrics.view = self.view
        self.keeper = Keeper(
            self.profiles,
            self.outbox,
            self.topics,
            settings.lifecycle.flush_interval_s,
            settings.lifecycle.flush_profiles,
            self._kept,
        )
        names = tuple(topic.name for topic in self.topics.sources)
        self._doorway = doorway_of(settings, names, self.topics.log.partitions)
        self.forwarder = Forwarder(
            self._doorway,
            self.outbox,
            self.topics,
            self.metrics.counts.dead_letter,
            SETTLE_S if settings.clock.mode == "data" else 0.0,
        )
        self.sources = Sources(
            connection, settings.kafka.group, names, self.topics.log.name, self.topics.log.partitions
        )
        self.ticker = Ticker(self.sources, self.profiles, self.outbox, self.topics, settings)
        self.view.ticker = self.ticker
        self.read_model: ReadModel | None = None
        self._redis_url = redis_url
        self._guard(connection)
        self._accounted: dict[int, dict[tuple[str, str, str], int]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.profiles.lost = self._lost
        define_intake(self.app, self.app.topic(*names, schema=BatchSchema(), acks=False), self.forwarder)
        define_lifecycle(
            self.app,
            self.app.topic(self.topics.log.name, schema=BatchSchema(), acks=False),
            self.profiles,
            self.keeper,
            self.metrics.batch_events.observe,
        )

    def _measured(self, rules: Rules, version: str) -> WorkerMetrics:
        """What is told to Prometheus, but for the view of the state."""
        metrics = WorkerMetrics(version, rules.plan.plan, rules.plan.hash, self.topics.log.name)
        metrics.targets = targets_of(self.settings)
        metrics.log_partitions = self.topics.log.partitions
        metrics.holds = lambda: self.fence.holds
        return metrics

    def _guard(self, connection: dict[str, Any]) -> None:
        """What looks after state that is lost, written over or stands still."""
        kafka = self.settings.kafka
        self.rebuilds = Rebuilds(
            connection,
            kafka.request_timeout_s,
            self.topics,
            self.profiles,
            self.outbox,
            self.keeper.already,
            self.keeper.posting.out,
        )
        self.profiles.on_recover(self.rebuilds.prepare)
        self.takeovers = Takeovers(
            connection,
            self.keeper,
            self.profiles,
            self.outbox,
            self.topics,
            watch_s(kafka.session_timeout_s, kafka.request_timeout_s),
            self.metrics.counts.repair,
        )
        self._stall = StallWatchdog(kafka.session_timeout_s)

    def _table(self, rules: Rules) -> ProfilesTable:
        log, changelog = self.topics.log, self.topics.changelog
        topic = self.app.topic(changelog.name, schema=BatchSchema(), partitions=log.partitions, acks=False)
        profiles = ProfilesTable(
            self.app,
            name="profiles",
            key_type=bytes,
            value_type=bytes,
            partitions=log.partitions,
            # With 1, upstream resumes the changelog's partitions after the recovery.
            recovery_buffer_size=2,
            changelog_topic=topic,
        )
        profiles.prepare(rules, log.name)
        self.app.tables.add(profiles)
        return profiles

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect and start everything but Faust itself, which the caller starts next."""
        ids = await asyncio.to_thread(check_topics, self.settings, self._bootstrap)
        self._doorway.name_sources({topic.name: ids[topic.name] for topic in self.topics.sources})
        self.profiles.code = topic_code(self.topics.log.name, ids[self.topics.log.name])
        self._stall.start()
        await self.outbox.start(topic.name for topic in self.topics.all() if topic not in self.topics.sources)
        await self.takeovers.start()
        await self.sources.start()
        if self._redis_url is not None:
            self.read_model = ReadModel(
                connections.redis_async(self.settings, self._redis_url),
                self.settings.redis.prefix,
                f"{self.profiles.rules.plan.plan.id}:{self.profiles.rules.plan.hash}",
                self.settings.redis.recent_changes,
                self.settings.redis.timeout_s,
                lookup=self.view.lookup,
                snapshot=self.view.snapshot,
                log_id=ids[self.topics.log.name],
            )
            self.read_model.start()
            self.metrics.read_model = self.read_model
        for name, work in (
            ("forward", self.forwarder.run),
            ("confirm", self.forwarder.confirm),
            ("keep", self.keeper.run),
            ("tick", self.ticker.run),
            ("watch takeovers", self.takeovers.run),
        ):
            self._tasks.append(asyncio.create_task(_guarded(name, work), name=name))

    async def stop(self) -> None:
        """Stop what `start` started. Faust has been stopped before, so everything is flushed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.read_model is not None:
            await self.read_model.stop()
        await self.sources.stop()
        await self.takeovers.stop()
        await self.outbox.stop()
        self._stall.stop()

    def attach(self, consumer: BatchConsumer) -> None:
        """Give the consumer what it asks for at a seek and before a revocation."""
        for user in (self.forwarder, self.keeper, self.view, self.rebuilds, self.ticker):
            user.consumer = consumer
        self.view.remaining = self.app.tables.recovery.active_remaining_total
        consumer.fence = self.fence
        consumer.targets = self._targets
        consumer.reopen = self._reopen
        consumer.drain = self._drain
        watchdog = PartitionWatchdog(
            consumer,
            self.fence,
            self.outbox,
            self._folded,
            lambda: self.view.recovering,
            self.settings.lifecycle.stuck_after_s,
        )
        self._tasks.append(asyncio.create_task(_guarded("watch partitions", watchdog.run), name="watch partitions"))

    def _folded(self, tp: TP) -> int:
        partition = self.profiles.owned.get(tp.partition) if tp.topic == self.topics.log.name else None
        return NO_FOLD if partition is None else partition.applied

    async def _targets(self, assigned: set[TP], committed: dict[TP, int | None]) -> dict[TP, int]:
        assert self.keeper.consumer is not None
        await self.takeovers.mark({tp.partition for tp in assigned if tp.topic == self.topics.log.name})
        return await targets(self.keeper.consumer, self.profiles, self.topics, assigned, committed)

    def _reopen(self, found: dict[TP, int]) -> None:
        owned = set(self.profiles.owned)
        self.forwarder.reopen(found)
        self.keeper.reopen()
        self.takeovers.reopen()
        self.ticker.forget(owned)
        self._adopt(owned)
        self.ticker.open = True
        self.view.recovering = False
        # Profiles are bytes and live long: what is there now need never be walked again.
        gc.collect()
        gc.freeze()

    async def _drain(self) -> None:
        self.view.recovering = True
        self.ticker.open = False
        try:
            async with asyncio.timeout(self.settings.kafka.request_timeout_s):
                await self.forwarder.drain()
                await self.keeper.drain()
        except TimeoutError as error:
            fail_stop("what was taken could not be made durable before partitions went", error)

    def _lost(self, number: int) -> None:
        # At once, not after the recovery: a customer who cannot be looked up any more would be written as gone.
        self._accounted.pop(number, None)
        self.rebuilds.lost(number)
        self.takeovers.lost(number)
        if self.read_model is not None:
            self.read_model.drop(number)

    def _adopt(self, owned: set[int]) -> None:
        for number in owned - set(self._accounted):
            partition = self.profiles.owned[number]
            self._accounted[number] = accounts_of(partition)
            self.metrics.counts.adopt(number, partition.marker.identity)
            if self.read_model is not None:
                self.read_model.adopt(number, dict(partition.marker.population), partition.applied)

    # -- after a flush ---------------------------------------------------------------------------

    def _kept(self, kept: Kept) -> None:
        partition, counts = kept.partition, self.metrics.counts
        self.rebuilds.passed(partition)
        self.metrics.flush_seconds.observe(kept.seconds)
        for change in kept.changes:
            counts.change(change.data.previous_stage, change.data.stage, change.data.kind)
        now = accounts_of(partition)
        before = self._accounted.get(partition.number, {})
        for key, count in now.items():
            if count > before.get(key, 0):
                counts.add(*key, count - before.get(key, 0))
        self._accounted[partition.number] = now
        counts.happened(partition.number, partition.marker.identity)
        if self.read_model is not None:
            self.read_model.submit(
                partition.number,
                written_of(kept.keys, kept.gone),
                kept.changes,
                dict(partition.marker.population),
                partition.marker.offset,
            )


async def _guarded(name: str, work: Any) -> None:
    try:
        await work()
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001  # an agent that dies would go on without the record
        fail_stop(f"task {name} failed", error)
