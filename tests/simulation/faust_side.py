"""What Faust is to the product in a worker: the app, the consumer's thread, the table manager and its recovery.

Where Faust's behaviour matters it is followed, and said.
"""

# ruff: noqa: ARG002, ASYNC109 - the signatures are Faust's
from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from faust.types import TP
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from streams.batches import BatchConsumer, BatchThread
from streams.profiles import ProfilesTable
from streams.recovery import OrderedRecovery
from tests.simulation.clients import Client


class App:
    """Faust's app, as far as the product and Faust's consumer look at it."""

    in_transaction = client_only = should_stop = in_recovery = False
    tracer = None
    consumer_generation_id = -1

    def __init__(self, changelog: str) -> None:
        self.conf = SimpleNamespace(
            broker_commit_every=None,
            broker_commit_interval=0.2,
            broker_commit_livelock_soft_timeout=300.0,
            broker_max_poll_records=4_000,
            broker_request_timeout=1e9,
            broker_session_timeout=10.0,
            broker_heartbeat_interval=2.5,
            broker_max_poll_interval=300.0,
            stream_wait_empty=True,
            ConsumerScheduler=lambda: None,
        )
        self.flow_control = FlowControlEvent()
        self.tables = SimpleNamespace(changelog_topics={changelog})
        self.sensors = SimpleNamespace(on_message_in=None)
        self.on_rebalance_complete = self
        self._fetcher = self
        self.producer = None
        self.assignor = SimpleNamespace(assigned_standbys=set)
        self.queues: dict[str, ThrowableQueue] = {}
        self.agents: dict[str, Callable[[Any], Any]] = {}

    def topic(self, *names: str, **_: Any) -> tuple[str, ...]:
        """Topics, for an agent."""
        return names

    def agent(self, topics: Any, name: str) -> Callable[[Any], Any]:
        """Take the product's agents as they are; their records come through `queues`."""

        def take(body: Any) -> Any:
            self.agents[name] = body
            self.queues[name] = ThrowableQueue(flow_control=self.flow_control, maxsize=0)
            self.flow_control.manage_queue(self.queues[name])
            return body

        return take

    async def runs(self, name: str) -> Any:
        """What an agent iterates over. As Faust's stream, it skips what a rebalance has overtaken."""
        queue = self.queues[name]
        while True:
            message = await queue.get()
            if self.flow_control.is_active() and message.generation_id == self.consumer_generation_id:
                yield message

    async def send(self) -> None:
        """A signal that nobody listens to."""

    async def maybe_start(self) -> None:
        """The fetcher runs all the time."""

    def on_rebalance_end(self) -> None:
        """Nothing to do."""

    on_rebalance_return = on_rebalance_end

    def _start_span_from_rebalancing(self, name: str) -> Any:
        return nullcontext()


class Thread(BatchThread):
    """The product's consumer thread, in the simulation's only one."""

    def __init__(self, consumer: Consumer, client: Client) -> None:
        self.consumer, self.app, self.client = consumer, consumer.app, client

    def __post_init__(self) -> None:
        """Nothing of Faust's."""

    def _ensure_consumer(self) -> Any:
        return self.client

    async def call_thread(self, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Do it here."""
        return await work(*args, **options)

    def assignment(self) -> set[TP]:
        """What the group has given."""
        return set(self.client.assigned)

    def highwater(self, tp: TP) -> Any:
        """The end as of the newest fetch; None before the first."""
        return self.client.highwaters.get(tp)

    async def crash(self, reason: BaseException) -> None:
        """A crashed service is the end of the worker."""
        raise reason


class Consumer(BatchConsumer):
    """The product's consumer."""

    def __init__(self, app: App, client: Client, revoked: Any, assigned: Any) -> None:
        self._client = client
        transport = SimpleNamespace(app=app, create_transaction_manager=lambda **_: None)
        super().__init__(transport, lambda _: None, revoked, assigned)

    def _new_consumer_thread(self) -> Any:
        return Thread(self, self._client)

    def add_dependency(self, service: Any) -> Any:
        """Nothing is started by Faust here."""
        return service

    async def wait(self, *things: Any, **_: Any) -> Any:
        """As mode's `Service.wait` for one event."""
        await things[0].wait()

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """As Faust's, less its sensors and attachments."""
        offsets = self._filter_committable_offsets(list(self._filter_tps_with_pending_acks(topics)))
        offsets = {tp: offset for tp, offset in offsets.items() if tp in self.assignment()}
        return bool(offsets) and await self._commit(offsets)


class Table(ProfilesTable):
    """The product's table without Faust's constructor."""

    changelog_topic: Any = None

    def __init__(self, changelog: str) -> None:
        self.changelog_topic = SimpleNamespace(get_topic_name=lambda: changelog)
        self._recover_callbacks: set[Any] = set()


class Tables(dict[str, Any]):
    """The table manager, as a recovery looks at it."""

    @property
    def changelog_topics(self) -> set[str]:
        """The changelogs of all tables."""
        return set(self)

    def on_actives_ready(self) -> None:
        """Nothing to do."""

    on_standbys_ready = on_actives_ready


class Restoring(OrderedRecovery):
    """The product's last act of a recovery, after a reading of the changelog as Faust does it."""

    def __init__(self, app: App, consumer: Consumer, table: Table, changelog: str) -> None:
        self.app, self._consumer, self._table, self._changelog = app, consumer, table, changelog
        self.tables = Tables({changelog: table})
        self.actives_for_table: dict[Any, set[TP]] = {table: set()}
        self.standbys_for_table: dict[Any, set[TP]] = {table: set()}
        self.completed = asyncio.Event()
        self._starts: dict[TP, int] = {}
        self.active_tps: set[TP] = set()
        self.tp_to_table: dict[TP, Any] = {}
        self.active_highwaters: Any = {}
        self._signal_recovery_start = asyncio.Event()

    def active_remaining_total(self) -> int:
        """Not asked for."""
        return 0

    def _set_recovery_ended(self) -> None:
        self.app.in_recovery = False

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        await coro

    async def run(self, generation: int) -> None:
        """From an assignment to running agents, again when not all was read; another assignment calls it off."""
        self.signal_recovery_start.set()
        while self.signal_recovery_start.is_set():
            self.signal_recovery_start.clear()
            await self._read(generation)

    async def _read(self, generation: int) -> None:
        client, table = self._consumer._thread.client, self._table
        self.app.in_recovery = True
        self._starts.clear()
        actives = {tp for tp in client.assigned if tp.topic == self._changelog}
        ends = await client.end_offsets(sorted(actives))
        for tp in sorted(actives):
            known = table.persisted_offset(tp)
            position = 0 if known is None else known + 1
            while position < ends[tp]:
                records = await client.read(tp, position)
                if not records:
                    self._starts[tp] = ends[tp] - 1  # emptied: its first record is the next
                    break
                message = SimpleNamespace(partition=tp.partition, records=records)
                table.apply_changelog_batch([SimpleNamespace(message=message)])
                position = records[-1].offset + 1
        self.actives_for_table[table] = self.active_tps = actives
        self.tp_to_table = dict.fromkeys(actives, table)
        self.active_highwaters = {tp: ends[tp] - 1 for tp in actives}
        await self.on_recovery_completed(generation)
