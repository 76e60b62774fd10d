"""A Faust transport that hands agents runs of raw records, so that Faust's cost is paid once per ~1,000 records.

What it changes in Faust's consumer, and why (each override is pinned by `streams.pins` and its contract test):

- `getmany` yields one `BatchMessage` per run; nothing of a fetch that a rebalance or seek has overtaken gets through;
- no 1 s nap when every partition is full, and a fetch wait of 100 ms instead of 1,500;
- offsets are committed up to what is *durable* (`positions`), never up to what an agent has merely taken;
- `perform_seek` goes where the state says, in one step inside the consumer's thread;
- on revocation: stop, drain, commit, and only then let go.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from copy import copy
from typing import Any, cast

import aiokafka
import faust
from aiokafka.consumer.fetcher import READ_UNCOMMITTED
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.consumer import ensure_TP, ensure_TPset
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from streams.fence import Fence
from streams.lenient import BARE
from streams.patience import ask_at_intervals
from streams.stop import fail_stop

RUN_MAX = 1_000
"""Records in one run: at 15 µs each an agent holds the loop for about 15 ms."""
FETCH_WAIT_MS = 100
"""A long poll that was sent before a seek holds back every partition of that broker for this long."""

Record = Any
"""As aiokafka parses it: .offset, .key, .value, .timestamp, .headers."""


class BatchMessage(driver.ConsumerMessage):
    """A run of records of one partition. `offset` is that of the last one, `records` has them all, in order."""

    __slots__ = ("records",)
    records: list[Record]


class BatchSchema(faust.Schema):
    """Hands a `BatchMessage` through untouched: agents decode for themselves."""

    def compile(self, app: Any, **kwargs: Any) -> Any:
        """The decoder that Faust's conductor calls: once per run."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message, None, message)

        return decode


class Positions:
    """Where each partition stands: what is durable, what is committed, and what is said along with a commit."""

    def __init__(self) -> None:
        self.durable: dict[TP, int] = {}
        """The next offset that a restart would have to read."""
        self.committed: dict[TP, int] = {}
        self.metadata: dict[TP, str] = {}
        self.expected: dict[TP, int] = {}
        """The next offset that must be handed out; a run that starts below it was read twice."""
        self.said: dict[TP, str] = {}
        """What was said along with the group's newest commit."""
        self._holes: dict[TP, tuple[int, int]] = {}
        """The newest offsets, from and to, that hold no record: markers of transactions, what was aborted or compacted."""

    def seek(self, targets: Mapping[TP, int], committed: Mapping[TP, int | None]) -> None:
        """Start anew from `targets`. Where the group's commit is another, the next commit says so."""
        for table in (self.durable, self.committed, self.metadata, self.expected, self._holes):
            table.clear()
        self.durable.update(targets)
        self.committed.update({tp: offset for tp, offset in committed.items() if offset is not None})
        self.expected.update(targets)
        self.metadata.update({tp: said for tp, said in self.said.items() if tp in targets})

    def past(self, tp: TP, offset: int) -> int:
        """`offset`, or where the next record could be when there is none at it."""
        begin, end = self._holes.get(tp, (0, 0))
        return end if begin <= offset < end else offset

    def pass_over(self, tp: TP, offset: int) -> None:
        """Between what was handed out and `offset` there is no record: a commit must not stay before it for ever."""
        begin = self.expected.get(tp)
        if begin is None or offset <= begin:
            return
        known = self._holes.get(tp, (0, 0))
        self._holes[tp] = (known[0] if known[1] == begin else begin, offset)
        self.expected[tp] = offset
        self.durable[tp] = self.past(tp, self.durable[tp])

    def reach(self, tp: TP, offset: int, metadata: str = "") -> None:
        """All effects of records below `offset` are durable."""
        if tp in self.durable and offset > self.durable[tp]:
            self.durable[tp] = self.past(tp, offset)
            self.metadata[tp] = metadata


class BatchThread(driver.AIOKafkaConsumerThread):
    """The consumer's own thread: fetching, seeking and committing."""

    epoch = 0
    """Raised by each seek, so that no record from before a seek comes after it."""
    fetched: Mapping[TP, int] = {}
    """Where the newest fetch left the partitions that it was asked for."""

    async def on_start(self) -> None:
        """Connect, with the fence told of each answer of the group from the first on."""
        await super().on_start()
        if self.consumer.fence is not None:
            self.consumer.fence.watch(self._ensure_consumer()._coordinator)

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Hard-coded to 1500 upstream; the consumer hands it to its fetcher when it starts.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        # What a producer of a company has aborted never happened. (Ours has no transactions.)
        consumer._isolation_level = "read_committed"
        consumer._key_deserializer = BARE
        ask_at_intervals(consumer._client)
        return consumer

    async def fetch(
        self, active: frozenset[TP], timeout: float, max_records: int
    ) -> tuple[Mapping[Any, list[Record]], int, int]:
        """Records of `active`, with the epoch and generation they belong to."""
        return cast(
            "tuple[Mapping[Any, list[Record]], int, int]",
            await self.call_thread(self._fetch_runs, active, timeout, max_records),
        )

    async def _fetch_runs(
        self, active: frozenset[TP], timeout: float, max_records: int
    ) -> tuple[Mapping[Any, list[Record]], int, int]:
        app, delegate = self.app, self.consumer
        state = (self.epoch, app.consumer_generation_id)
        self.fetched = {}
        if not delegate.flow_active:
            return {}, *state
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise driver.ConsumerStoppedError
        with fetcher._subscriptions.fetch_context():
            records = await fetcher.fetched_records(active, timeout=timeout, max_records=max_records)
        if records and ((self.epoch, app.consumer_generation_id) != state or not delegate.flow_active):
            # The fetch waited through a rebalance or a seek: it may hold records of a partition that we kept, from a
            # position that is no longer ours. Nothing has run since they were taken, so giving them back is exact.
            for tp, run in records.items():
                if consumer._subscription.is_assigned(tp):
                    consumer.seek(tp, run[0].offset)
            return {}, *state
        self.fetched = self._positions(consumer, active)
        return records, *state

    @staticmethod
    def _positions(consumer: aiokafka.AIOKafkaConsumer, tps: Iterable[TP]) -> dict[TP, int]:
        """Up to where each assigned partition was fetched: all records before it are handed out, or there are none."""
        subscription = consumer._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        states = {tp: assignment.state_value(TopicPartition(*tp)) for tp in tps} if assignment is not None else {}
        return {tp: state._position for tp, state in states.items() if state is not None and state.has_valid_position}

    async def seek_all(self, targets: Mapping[TP, int]) -> None:
        """Seek every partition of `targets` in one step."""
        await self.call_thread(self._seek_all, dict(targets))

    async def _seek_all(self, targets: Mapping[TP, int]) -> None:
        self.epoch += 1
        consumer = self._ensure_consumer()
        for tp, offset in targets.items():
            consumer.seek(TopicPartition(*tp), offset)

    async def _seek_wait(self, consumer: aiokafka.AIOKafkaConsumer, partitions: Mapping[TP, int]) -> None:
        self.epoch += 1
        await super()._seek_wait(consumer, partitions)

    def highwater(self, tp: TP) -> int:
        """Up to where a partition may be read, as of the newest fetch: what an open transaction holds back is no news."""
        stable = self._ensure_consumer().last_stable_offset(tp)
        return cast("int", super().highwater(tp) if stable is None or stable < 0 else stable)

    async def bounds(self, tps: Iterable[TP]) -> tuple[dict[TP, int], dict[TP, int]]:
        """(first offset kept, next offset to be written) of each partition, whether what is there is committed or not."""
        return cast("tuple[dict[TP, int], dict[TP, int]]", await self.call_thread(self._bounds, list(tps)))

    async def _bounds(self, tps: list[TP]) -> tuple[dict[TP, int], dict[TP, int]]:
        consumer = self._ensure_consumer()
        # Of its own isolation the consumer would be told where the first open transaction begins.
        uncommitted = copy(consumer._fetcher)
        uncommitted._isolation_level = READ_UNCOMMITTED
        first, end = await asyncio.gather(
            consumer.beginning_offsets(tps), uncommitted.end_offsets(tps, consumer._request_timeout_ms)
        )
        return {ensure_TP(tp): o for tp, o in first.items()}, {ensure_TP(tp): o for tp, o in end.items()}

    async def standing(self, tps: Iterable[TP]) -> tuple[dict[TP, int], dict[TP, int]]:
        """(next offset to be fetched, next offset to be written) of each assigned partition."""
        return cast("tuple[dict[TP, int], dict[TP, int]]", await self.call_thread(self._standing, list(tps)))

    async def _standing(self, tps: list[TP]) -> tuple[dict[TP, int], dict[TP, int]]:
        consumer = self._ensure_consumer()
        ends = await consumer.end_offsets([TopicPartition(*tp) for tp in tps])
        return self._positions(consumer, tps), {ensure_TP(tp): end for tp, end in ends.items()}

    async def committed(self, tps: Iterable[TP]) -> dict[TP, int | None]:
        """The group's committed offset of each partition, None where there is none."""
        return cast("dict[TP, int | None]", await self.call_thread(self._read_committed, list(tps)))

    async def _read_committed(self, tps: list[TP]) -> dict[TP, int | None]:
        consumer = self._ensure_consumer()
        held = await consumer._coordinator.fetch_committed_offsets([TopicPartition(*tp) for tp in tps])
        found = {ensure_TP(tp): at for tp, at in held.items() if at.offset >= 0}
        self.consumer.positions.said.update({tp: at.metadata for tp, at in found.items()})
        return {tp: found[tp].offset if tp in found else None for tp in tps}

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        owned = self.assignment()
        metadata = self.consumer.positions.metadata
        wanted = {
            TopicPartition(*tp): OffsetAndMetadata(offset, metadata.get(tp, ""))
            for tp, offset in offsets.items()
            if tp in owned
        }
        try:
            await consumer.commit(wanted)
        except driver.CommitFailedError:
            # A rebalance has overtaken us: the new owner goes on from what is durable, and so lose nothing.
            return False
        except Exception as error:  # noqa: BLE001  # any other failed commit leaves offsets in doubt
            await self.crash(error)
            return False
        return True


class BatchConsumer(driver.Consumer):
    """Faust's consumer, of runs."""

    _thread: BatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.positions = Positions()
        self.full: set[TP] = set()
        """Partitions whose agent has enough: not fetched until it takes them out."""
        self.targets: Callable[[set[TP], dict[TP, int | None]], Awaitable[dict[TP, int]]] | None = None
        """Where to go on reading after a recovery, given what is assigned and committed; set by the app."""
        self.reopen: Callable[[dict[TP, int]], None] = lambda _: None
        """Called once positions are those of the state: agents may take runs again; set by the app."""
        self.revocations = 0
        """Raised by each revocation: a seek that one has overtaken must not let anything go on."""
        self.fence: Fence | None = None
        """Told when the group has confirmed this worker; set by the app before the start."""
        self.drain: Callable[[], Awaitable[None]] | None = None
        """Finish and make durable all that was taken; set by the app."""
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, BatchMessage]]:
        """Runs of records of the active partitions, in turn."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        if self.should_stop:
            return
        active = frozenset(self._get_active_partitions()) - self.full
        if len(active) < len(self.positions.durable):
            # A partition that is out because its agent is busy may be wanted any moment: no long poll without it.
            timeout = 0.01
        if not active:
            await asyncio.sleep(0.005)
            return
        thread = self._thread
        records, epoch, generation = await thread.fetch(active, timeout, self.app.conf.broker_max_poll_records)
        fetched = thread.fetched
        for tp, run in _in_turn(records):
            # After any of these a seek follows before flow resumes, so what is dropped here is read again.
            if (
                self.should_stop
                or not self.flow_active
                or thread.epoch != epoch
                or self.app.consumer_generation_id != generation
            ):
                return
            yield tp, self._batch(tp, run, generation)
        if self.flow_active and thread.epoch == epoch and self.app.consumer_generation_id == generation:
            for tp, offset in fetched.items():
                self.positions.pass_over(tp, offset)

    def _batch(self, tp: TP, run: list[Record], generation: int) -> BatchMessage:
        expected = self.positions.expected.get(tp)
        if expected is not None:
            if run[0].offset < expected:
                fail_stop(f"{tp.topic}[{tp.partition}]: offset {run[0].offset} came again, expected {expected}")
            self.positions.expected[tp] = run[-1].offset + 1
        message = BatchMessage(
            tp.topic, tp.partition, run[-1].offset, 0.0, 0, [], None, b"", None, tp=tp, generation_id=generation
        )
        message.records = run
        return message

    async def perform_seek(self) -> None:
        """Go where the state says. The group's offsets are a hint; the marker in the changelog is the truth."""
        assigned = {tp for tp in ensure_TPset(self.assignment()) if not self._is_changelog_tp(tp)}
        assert self.targets is not None
        revocations = self.revocations
        # After a crash the commit may be behind the marker: without a new record nothing else would ever bring it up.
        committed = await self._thread.committed(assigned)
        targets = await self.targets(assigned, committed)
        await self._thread.seek_all(targets)
        if self.revocations != revocations:
            return
        self.reopen(targets)
        self.positions.seek(targets, committed)
        self.full.clear()
        self._read_offset.update(targets)
        self._committed_offset.update(targets)

    def end_offset(self, tp: TP) -> int | None:
        """Up to where a partition may be read, as of the newest fetch; None before the first."""
        try:
            return cast("int | None", self.highwater(tp))
        except (AssertionError, driver.IllegalStateError):
            return None

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        positions = self.positions
        return (
            tp
            for tp, durable in list(positions.durable.items())
            if durable > positions.committed.get(tp, -1) and (topics is None or tp in topics or tp.topic in topics)
        )

    def _new_offset(self, tp: TP) -> int | None:
        return self.positions.durable.get(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return offset > self.positions.committed.get(tp, -1)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        done = await super()._commit(offsets)
        if done:
            for tp, offset in offsets.items():
                if tp in self.positions.durable:
                    self.positions.committed[tp] = offset
        return cast(bool, done)

    async def wait_empty(self) -> None:
        """Make durable all that agents have taken, then commit it. Stock waits for acks, which runs do not have."""
        if self.drain is not None:
            await self.drain()
        # One commit may be on its way with older offsets: wait for it, or the next would do nothing.
        await self.maybe_wait_for_commit_to_finish()
        await self.commit_and_end_transactions()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop, drain and commit *before* Faust forgets what was taken (upstream forgets first)."""
        self.revocations += 1
        self.stop_flow()
        self.app.flow_control.suspend()
        self.app.flow_control.clear()
        await self.wait_empty()
        await super().on_partitions_revoked(revoked)

    @Service.task
    async def _commit_livelock_detector(self) -> None:
        """Nothing: stock looks at acks, and so would warn about every batched partition."""


def _in_turn(records: Mapping[Any, list[Record]]) -> Iterator[tuple[TP, list[Record]]]:
    """Runs of at most RUN_MAX records, a run of each partition after the other."""
    runs = [
        [(ensure_TP(tp), found[at : at + RUN_MAX]) for at in range(0, len(found), RUN_MAX)]
        for tp, found in records.items()
    ]
    for row in itertools.zip_longest(*runs):
        yield from (pair for pair in row if pair is not None)


class BatchTransport(driver.Transport):
    """The transport that the app is given."""

    Consumer = BatchConsumer
