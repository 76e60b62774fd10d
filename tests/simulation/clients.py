"""The clients of one worker on the simulated Kafka: what aiokafka is to the product, as far as it looks at it.

Where aiokafka's behaviour matters it is followed, and said.
"""

# ruff: noqa: ARG002, ASYNC109 - the signatures are aiokafka's
from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from aiokafka.errors import CommitFailedError, KafkaError, OutOfOrderSequenceNumber, UnknownMemberIdError
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest
from aiokafka.protocol.produce import ProduceRequest
from faust.types import TP

from streams.lenient import Others
from tests.simulation.kafka import Record, SimulatedKafka
from tests.simulation.loop import Life

FETCHED_MAX = 12
"""Records of one partition in one answer: small, so that runs end anywhere."""


class Builder:
    """What numbers and holds the records of a batch."""

    def __init__(self, limit: int) -> None:
        self.records: list[tuple[bytes | None, Any, Any]] = []
        self._left = limit

    def append(self, offset: int, _: Any, key: bytes | None, value: bytes | None, headers: Any) -> object | None:
        """Add the record with the next number; None when there is no room."""
        if offset != len(self.records):
            raise ValueError(f"record {offset} comes after {len(self.records)} records")
        size = len(key or b"") + len(value or b"") + 100
        if self.records and size > self._left:
            return None
        self._left -= size
        self.records.append((key, value, headers))
        return self


class Batch:
    """What a producer's `create_batch` gives."""

    def __init__(self, limit: int) -> None:
        self._builder = Builder(limit)
        self._relative_offset = 0

    @property
    def records(self) -> list[tuple[bytes | None, Any, Any]]:
        """What is in here."""
        return self._builder.records

    def record_count(self) -> int:
        """Records in here, as whoever filled it says."""
        return self._relative_offset

    def close(self) -> None:
        """No more are added."""


class Queued:
    """A batch that waits for its turn, or has it: then no record may join it, as in aiokafka's `MessageBatch`."""

    def __init__(self, batch: Batch) -> None:
        self._builder = batch
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.retry_count = 0


class Producing(ProduceRequest):
    """A produce request, as the fence knows it."""

    def __init__(self, tp: TP, batch: Batch) -> None:
        self.tp, self.batch = tp, batch


class Producer:
    """The client of an outbox: one request in flight for a partition, as an idempotent producer has it."""

    def __init__(self, kafka: SimulatedKafka, life: Life, limit: int) -> None:
        self._kafka, self._life, self._limit = kafka, life, limit
        kafka.producers += 1
        self.producer_id = kafka.producers
        self._txn_manager = self
        self._message_accumulator = self
        self.client: Any = self
        """What writes requests; the product puts its fence before it."""
        self._sender = self
        self._batches: dict[TP, deque[Queued]] = {}
        self._broken: set[TP] = set()
        self._senders: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect."""

    stop = start

    def create_batch(self) -> Batch:
        """An empty batch."""
        return Batch(self._limit)

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        """Queue a batch; the future is done when it is acknowledged."""
        tp, queued = TP(topic, partition), Queued(batch)
        queue = self._batches.get(tp)
        if queue is not None:
            queue.append(queued)
        else:
            self._batches[tp] = deque([queued])
            task = asyncio.create_task(self._send_all(tp))
            self._senders.add(task)
            task.add_done_callback(self._senders.discard)
        return queued.future

    async def _send_all(self, tp: TP) -> None:
        queue = self._batches[tp]
        while queue:
            queued = queue[0]
            queued.retry_count += 1
            future = queued.future
            try:
                if tp in self._broken:
                    raise OutOfOrderSequenceNumber
                placed = await self.client.send(0, Producing(tp, queued._builder))
            except KafkaError as error:
                # An idempotent producer has numbered what comes after it: the broker takes none of that any more.
                self._broken.add(tp)
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():  # who waited may have been called off
                    future.set_result(placed)
            queue.popleft()
        del self._batches[tp]

    async def ready(self, node: int, *, group: Any = None) -> bool:
        """Connected."""
        return True

    async def send(self, node: int, request: Producing, *, group: Any = None) -> Any:
        """Put a batch on the wire."""
        tp, batch = request.tp, request.batch

        def write() -> Any:
            offset = self._kafka.append(tp, batch.records, producer=self.producer_id)
            return SimpleNamespace(offset=offset, topic=tp.topic, partition=tp.partition)

        what = f"{batch.record_count()} to {tp.topic}[{tp.partition}]"
        return await self._kafka.ask(self._life, f"{tp.topic}-{tp.partition}", what, write)

    async def partitions_for(self, topic: str) -> set[int]:
        """Partitions of a topic."""
        return {tp.partition for tp in self._kafka.logs if tp.topic == topic}


HEARTBEAT = HeartbeatRequest("group", 1, "member")
SYNC = SyncGroupRequest("group", 1, "member", None, [])


class Coordinator:
    """aiokafka's side of the membership: what the fence watches."""

    group_id = "group"
    _performed_join_prepare = False

    def __init__(self, kafka: SimulatedKafka, life: Life) -> None:
        self._kafka, self._life = kafka, life
        self.generation = -1
        self._closing = asyncio.get_running_loop().create_future()
        self._send_req: Callable[[Any], Awaitable[Any]] = self._send
        self.reset_generation: Callable[[], None] = self._reset

    def _reset(self) -> None:
        self.generation = -1

    async def _send(self, request: Any) -> Any:
        group, life, generation = self._kafka.group, self._life, self.generation
        if request is SYNC:
            answer = self._kafka.ask(life, "group", "join", lambda: group.join(life), lambda: group.placed(life))
            await answer
            member = group.members.get(life.name)
            return SimpleNamespace(error_code=0 if member is not None and member.life is life else 25)
        code = await self._kafka.ask(life, "group", "heartbeat", lambda: group.hear(life, generation))
        return SimpleNamespace(error_code=code)

    async def fetch_committed_offsets(self, tps: Iterable[Any]) -> dict[Any, Any]:
        """The group's commits, where there are any."""
        asked = list(tps)
        held = await self._kafka.ask(
            self._life, "commits", "ask", lambda: {tp: self._kafka.committed.get(TP(*tp)) for tp in asked}
        )
        return {tp: SimpleNamespace(offset=said[0], metadata=said[1]) for tp, said in held.items() if said is not None}

    async def beat(self) -> bool:
        """Send a heartbeat. Says whether the group is being made anew."""
        code = (await self._send_req(HEARTBEAT)).error_code
        if code == UnknownMemberIdError.errno:
            self.reset_generation()
        return bool(code)

    async def join(self) -> tuple[int, frozenset[int]] | None:
        """Join and wait for what is given: generation and partitions; None when it has to be tried again."""
        answer = await self._send_req(SYNC)
        member = self._kafka.group.members.get(self._life.name)
        if answer.error_code or member is None or member.joined:
            return None
        self.generation = member.generation
        return member.generation, member.assigned


class Client:
    """aiokafka's consumer, as the batch thread uses it; also what `Sources` asks."""

    _closed = False
    _request_timeout_ms = 40_000

    def __init__(self, kafka: SimulatedKafka, life: Life, key_deserializer: Any = None) -> None:
        self._kafka, self._life, self._wanted = kafka, life, key_deserializer
        life.clients += 1
        self._fetches, self._asks = f"fetch {life.clients}", f"ask {life.clients}"
        self.assigned: set[TP] = set()
        self.positions: dict[TP, int] = {}
        self.highwaters: dict[TP, int] = {}
        self._client = self._fetcher = self._subscription = self._subscriptions = self
        self._coordinator = Coordinator(kafka, life)
        self.subscription = SimpleNamespace(assignment=self)
        self.is_assigned: Callable[[Any], bool] = lambda tp: TP(*tp) in self.assigned
        self.fetch_context = nullcontext

    def give(self, assigned: set[TP]) -> None:
        """A generation has begun: what was fetched and where reading stood is forgotten."""
        self.assigned = set(assigned)
        self.positions = {}
        self.highwaters = {}

    def state_value(self, tp: Any) -> Any:
        """Where reading of an assigned partition stands."""
        if TP(*tp) not in self.assigned:
            return None
        position = self.positions.get(TP(*tp))
        return SimpleNamespace(_position=position, has_valid_position=position is not None)

    def seek(self, tp: Any, offset: int) -> None:
        """Go on reading elsewhere."""
        self.positions[TP(*tp)] = offset

    async def fetched_records(self, active: Iterable[TP], timeout: float, max_records: int) -> dict[TP, list[Record]]:
        """A fetch. What has been overtaken by a seek is dropped, as aiokafka does."""
        wanted = {tp: self.positions[tp] for tp in sorted(active) if tp in self.positions}
        if not wanted:
            await asyncio.sleep(timeout)
            return {}

        def read() -> dict[TP, tuple[list[Record], int]]:
            logs = self._kafka.logs
            return {tp: (logs[tp].since(at, FETCHED_MAX), logs[tp].end) for tp, at in wanted.items()}

        found = await self._kafka.ask(self._life, self._fetches, "fetch", read)
        records = {}
        for tp, (run, end) in found.items():
            if self.positions.get(tp) != wanted[tp] or tp not in self.assigned:
                continue
            self.highwaters[tp] = end
            if run:
                records[tp] = run
                self.positions[tp] = run[-1].offset + 1
        if not records:
            await asyncio.sleep(timeout)
        return records

    async def read(self, tp: TP, offset: int) -> list[Record]:
        """One fetch of a changelog."""
        found: list[Record] = await self._kafka.ask(
            self._life, self._fetches, "fetch", lambda: self._kafka.logs[tp].since(offset, FETCHED_MAX)
        )
        return found

    async def commit(self, offsets: Mapping[Any, Any]) -> None:
        """Commit in the generation that this member knows. Raises `CommitFailedError` when it is not the group's."""
        said = {TP(*tp): (held.offset, held.metadata) for tp, held in offsets.items()}
        generation, kafka = self._coordinator.generation, self._kafka
        if not await kafka.ask(self._life, "group", "commit", lambda: kafka.commit(self._life, generation, said)):
            self._coordinator.reset_generation()
            raise CommitFailedError

    async def beginning_offsets(self, tps: Iterable[Any]) -> dict[Any, int]:
        """The first offset kept, 0: retention has no part in this."""
        return dict.fromkeys(tps, 0)

    async def end_offsets(self, tps: Iterable[Any], timeout_ms: float | None = None) -> dict[Any, int]:
        """The next offset to be written; as the consumer's own, and as its fetcher's."""
        asked = list(tps)
        found: dict[Any, int] = await self._kafka.ask(
            self._life, self._asks, "ask", lambda: {tp: self._kafka.logs[TP(*tp)].end for tp in asked}
        )
        return found

    # -- as an admin client ----------------------------------------------------------------------

    async def describe_topics(self, topics: list[str]) -> list[dict[str, Any]]:
        """Topics and their partitions."""
        return [
            {
                "topic": name,
                "error_code": 0,
                "partitions": [
                    {"partition": tp.partition, "error_code": 0} for tp in self._kafka.logs if tp.topic == name
                ],
            }
            for name in topics
        ]

    async def list_consumer_group_offsets(self, group: str, partitions: Iterable[Any]) -> dict[Any, tuple[int, str]]:
        """What the group has committed, with what was said along with it."""
        asked = list(partitions)
        found: dict[Any, tuple[int, str]] = await self._kafka.ask(
            self._life, self._asks, "ask", lambda: {tp: self._kafka.committed.get(TP(*tp), (0, "")) for tp in asked}
        )
        return found

    # -- as a reader of its own ------------------------------------------------------------------

    async def start(self) -> None:
        """Connect."""

    stop = close = start

    def assign(self, tps: Iterable[Any]) -> None:
        """Read these partitions, which no group gives out."""
        self.give({TP(*tp) for tp in tps})
        self.positions = dict.fromkeys(self.assigned, 0)

    async def seek_to_beginning(self, *tps: Any) -> None:
        """Read from the first record."""
        for tp in tps:
            self.positions[TP(*tp)] = 0

    async def position(self, tp: Any) -> int:
        """The next offset to be read."""
        return self.positions[TP(*tp)]

    async def getmany(self, *tps: Any, timeout_ms: int = 0, max_records: int = 0) -> dict[Any, list[Record]]:
        """One fetch. Where compaction has left nothing more, the position goes to the end."""
        wanted = sorted(TP(*tp) for tp in tps or self.assigned)
        found = await self.fetched_records(wanted, timeout_ms / 1000, max_records)
        for tp in wanted:
            if not found.get(tp) and tp in self.positions:
                self.positions[tp] = max(self.positions[tp], self.highwaters.get(tp, 0))
        if not isinstance(self._wanted, Others):
            return dict(found)
        passed = self._wanted.producer_id()
        by_others = {tp: [record for record in run if record.producer != passed] for tp, run in found.items()}
        return {tp: run for tp, run in by_others.items() if run}

    def unsubscribe(self) -> None:
        """Read nothing."""
        self.give(set())
