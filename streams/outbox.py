"""Sending runs of records: idempotent, in order per partition, with futures that somebody awaits."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import aiokafka
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import TopicPartition

from streams.fence import Fence, FencedClient, clock
from streams.patience import ask_at_intervals, never_expire
from streams.stop import fail_stop

BATCH_BYTES = 900_000
"""Below the broker's default limit of 1,048,588 bytes a batch, with room for its header."""

Headers = list[tuple[str, bytes]]
NO_HEADERS: Headers = []
OutRecord = tuple[bytes | None, bytes | None, Headers]


class Outbox:
    """The one producer of a worker. With a `fence` it writes nothing while that is closed, and waits instead."""

    def __init__(
        self, connection: dict[str, Any], compression: str, request_timeout_s: float, fence: Fence | None = None
    ) -> None:
        self._options = connection | {
            "acks": "all",
            "enable_idempotence": True,
            "max_batch_size": BATCH_BYTES,
            "max_request_size": BATCH_BYTES + 100_000,
            "compression_type": None if compression == "none" else compression,
            "request_timeout_ms": int(request_timeout_s * 1000),
            "linger_ms": 0,
        }
        self._fence, self._timeout_s = fence, request_timeout_s
        self._producer: Any = None
        self._unanswered: dict[object, float] = {}
        """Batches that are not acknowledged, oldest first, with the time since when."""

    async def start(self, topics: Iterable[str] = ()) -> None:
        """Connect, and ask where `topics` are. Raises `aiokafka.errors.KafkaConnectionError` when no broker answers.

        The first record of a topic that was not asked for fails when no broker can be asked for the request timeout.
        """
        self._producer = aiokafka.AIOKafkaProducer(**self._options)
        ask_at_intervals(self._producer.client)
        never_expire(self._producer)
        if self._fence is not None:
            sender = self._producer._sender
            sender.client = FencedClient(sender.client, self._fence)
        await self._producer.start()
        for topic in topics:
            await self._producer.partitions_for(topic)

    @property
    def waits_s(self) -> float:
        """For how long the oldest batch has not been acknowledged; 0 when there is none."""
        return clock() - min(self._unanswered.values(), default=clock())

    @property
    def producer_id(self) -> int:
        """Under which number the brokers have each batch that this one writes, and none of another's; -1 before the start."""
        return int(self._producer._txn_manager.producer_id)

    async def stop(self) -> None:
        """Send what is queued and disconnect. What is not acknowledged within the request timeout stops the process.

        Nothing durable is lost by that: a flush has been awaited before, and ticks, which are not, are written again.
        """
        if self._producer is None:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.stop()
        except TimeoutError:
            fail_stop(
                f"at the end {len(self._unanswered)} batches were not acknowledged within {self._timeout_s:g} s "
                "(kafka.request_timeout_s): Kafka is away. The next worker writes again what they held"
            )

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        return len(await self._producer.partitions_for(topic))

    async def send(
        self, topic: str, partition: int, records: Iterable[OutRecord], *, join: bool = False
    ) -> list[asyncio.Future[Any]]:
        """Queue records for one partition as few batches; a future a batch, done when it is acknowledged.

        With `join` they may come behind records of a batch that has not been sent yet: one request holds one batch of a
        partition, so that each further one would wait for a whole request, and its sender with it.
        """
        left, futures = [*records], []
        if join and (queued := self._queued(topic, partition)) is not None and (at := _fill(queued._builder, left, 0)):
            left, futures = left[at:], [asyncio.shield(queued.future)]
        return [*futures, *[await self._submit(batch, topic, partition) for batch in self._batches(left)]]

    def fits_one(self, records: Sequence[OutRecord]) -> bool:
        """Whether the records are sure to make a single batch, which a broker appends whole or not at all."""
        return sum(len(key or b"") + len(value or b"") + 100 for key, value, _ in records) < BATCH_BYTES

    def _batches(self, records: Iterable[OutRecord]) -> Iterable[Any]:
        left, at = [*records], 0
        while at < len(left):
            batch = self._producer.create_batch()
            at = _fill(batch, left, at)
            yield batch

    def _queued(self, topic: str, partition: int) -> Any:
        """The newest batch of a partition that was never on its way, or None: what was has its number and its bytes."""
        waiting = self._producer._message_accumulator._batches.get(TopicPartition(topic, partition))
        return waiting[-1] if waiting and not waiting[-1].retry_count else None

    async def _submit(self, batch: Any, topic: str, partition: int) -> asyncio.Future[Any]:
        batch.close()
        ticket = object()
        self._unanswered[ticket] = clock()
        while True:
            try:
                future: asyncio.Future[Any] = await self._producer.send_batch(batch, topic, partition=partition)
                break
            except KafkaTimeoutError:
                # No place in the queue: Kafka is away, or the fence is closed. What is taken is bounded, so wait.
                continue
            except BaseException:
                del self._unanswered[ticket]
                raise
        future.add_done_callback(lambda _: self._unanswered.pop(ticket, None))
        return future


def _fill(batch: Any, records: Sequence[OutRecord], at: int) -> int:
    """Put records, from the one at `at` on, into a batch until it is full; returns where the rest begins."""
    # Straight to the builder, half of what `BatchBuilder.append` takes: it numbers the records, and no more.
    append, count = batch._builder.append, batch._relative_offset
    try:
        for key, value, headers in itertools.islice(records, at, None):
            if append(count, None, key, value, headers) is None:
                break
            count, at = count + 1, at + 1
    finally:
        # whatever happens, a batch that others have joined says how many it holds
        batch._relative_offset = count
    return at


async def acknowledged(futures: Iterable[asyncio.Future[Any]], what: str) -> list[Any]:
    """Wait until all are acknowledged. A failed send stops the process: going on would lose it (upstream logs it)."""
    done = []
    for future in futures:
        try:
            done.append(await future)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # a record that may be lost is the end, whatever the reason
            fail_stop(f"{what} could not be sent", error)
    return done
