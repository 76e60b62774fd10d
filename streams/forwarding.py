"""From source partitions to the log: merged by event time, sent in rounds, and committed once a round is acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from faust.types import TP

from streams.batches import FETCH_WAIT_MS, BatchConsumer, BatchMessage
from streams.doorway import Doorway, Entry
from streams.merging import Merge, Ranked, Settling
from streams.outbox import NO_HEADERS, Outbox, OutRecord, acknowledged
from streams.topics import Topics

ROUND_MAX, ROUND_BYTES = 4_000, 8 << 20
"""Records and bytes of one round: about 30 ms of sending work between two looks at everything else."""
ROUNDS_IN_FLIGHT = 4
FULL = 10_000
"""A source partition of which so many records are held is not fetched, until it is half that."""
HELD_BYTES, SHARE_LEAST = 128 << 20, 1 << 20
"""What a worker holds of what it has not sent, in all: its source partitions have equal shares, each at least the least.

A share of its own, because the merge needs a word of each partition: one that floods must not keep the others out.
"""
RECORD_BYTES = 300
"""What a record takes beside its bytes: measured, as objects of the merge and of the log's record."""
PATIENCE_S, PATIENCE_FOR_ORDER_S = 0.5, 5.0
"""How long the merge waits for a partition that should have more, before it goes on without its word; the longer one
where data moves the clock, and order counts for more than latency."""


SETTLE_S = 2 * FETCH_WAIT_MS / 1000
"""Where data moves the clock, an event time that is new waits this long for what other partitions still have to say of
the time before it: within that, each idle partition has been asked again. Where the wall clock rules, latency counts
for more."""


class Held:
    """How much of each source partition is held here: came in, and is not handed to the producer yet."""

    def __init__(self) -> None:
        self._records: dict[TP, int] = {}
        self._bytes: dict[TP, int] = {}

    def add(self, tp: TP, records: int, size: int) -> None:
        """Count a run in, or with negative numbers out."""
        self._records[tp] = self._records.get(tp, 0) + records
        self._bytes[tp] = self._bytes.get(tp, 0) + size

    def clear(self) -> None:
        """Nothing is held any more."""
        self._records.clear()
        self._bytes.clear()

    def over(self, tp: TP, records: int, size: int) -> bool:
        """Whether a partition has that many records, or bytes."""
        return self._records.get(tp, 0) >= records or self._bytes.get(tp, 0) >= size

    @property
    def total(self) -> int:
        """Bytes of all partitions."""
        return sum(self._bytes.values())


def size_of(entry: Entry) -> int:
    """The memory that an entry takes."""
    size = RECORD_BYTES + len(entry.value)
    if entry.dead_letter is not None:
        key, value, headers = entry.dead_letter
        size += len(key or b"") + len(value or b"") + sum(len(name) + len(told or b"") for name, told in headers)
    if entry.second is not None:
        size += size_of(entry.second)
    return size


class Forwarder:
    """Takes entries of all source partitions of this worker and puts them into the log."""

    def __init__(
        self, doorway: Doorway, outbox: Outbox, topics: Topics, rejected: Callable[[str], None], settle_s: float = 0.0
    ) -> None:
        self._doorway, self._outbox, self._topics, self._rejected = doorway, outbox, topics, rejected
        self._merge: Merge[TP, Entry] = Merge()
        self._ready: list[Ranked[TP, Entry]] = []
        self._settling = Settling(settle_s)
        self._patience_s = PATIENCE_FOR_ORDER_S if settle_s else PATIENCE_S
        self._rounds: asyncio.Queue[tuple[list[asyncio.Future[Any]], dict[TP, Ranked[TP, Entry]]]] = asyncio.Queue(
            ROUNDS_IN_FLIGHT
        )
        self._arrived = asyncio.Event()
        self._sending = asyncio.Lock()
        self.consumer: BatchConsumer | None = None
        self.open = False
        """Whether records are taken: not between a drain and the next seek."""
        self._next: dict[TP, int] = {}
        """The next offset that has not come in here, by source partition."""
        self.held = Held()

    def put(self, batch: BatchMessage) -> None:
        """Take a run of a source partition."""
        if not self.open or self.consumer is None:
            return
        tp, records = batch.tp, batch.records
        entries = self._doorway.enter_run(records, tp.topic, tp.partition)
        new = self._merge.put_run(
            tp, ((record.offset, entry.time, entry) for record, entry in zip(records, entries, strict=True))
        )
        size = sum(map(size_of, entries))
        self._settling.hear(time.monotonic(), new)
        self._next[tp] = batch.offset + 1
        self.held.add(tp, len(records), size)
        if self.held.over(tp, FULL, self._share()):
            self.consumer.full.add(tp)
        self._arrived.set()

    def reopen(self, targets: dict[TP, int]) -> None:
        """Take records again, from where the consumer is just being put."""
        names = {topic.name for topic in self._topics.sources}
        self._next = {tp: offset for tp, offset in targets.items() if tp.topic in names}
        self._forget()
        self._settling.clear()
        self.open = True

    async def drain(self) -> None:
        """Take no more, forget what is not sent, and wait until all that was sent is acknowledged."""
        self.open = False
        async with self._sending:
            self._forget()
        await self._rounds.join()

    def _forget(self) -> None:
        self._merge.clear()
        self.held.clear()
        self._ready = []

    async def run(self) -> None:
        """Send rounds for ever."""
        last = asyncio.get_running_loop().time()
        while True:
            if not self._ready and not len(self._merge):
                self._arrived.clear()
                await self._arrived.wait()
                last = asyncio.get_running_loop().time()
            async with self._sending:
                sent = await self._send_round(asyncio.get_running_loop().time() - last < self._patience_s)
            if sent:
                last = asyncio.get_running_loop().time()
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(0.002)

    async def confirm(self) -> None:
        """Await acknowledgements, round after round, and move the source positions."""
        while True:
            futures, ends = await self._rounds.get()
            await acknowledged(futures, "facts")
            if self.consumer is not None:
                for tp, ranked in ends.items():
                    self.consumer.positions.reach(tp, ranked.offset + 1, str(ranked.rank))
            self._rounds.task_done()

    async def _send_round(self, patient: bool) -> bool:
        if not self._ready:
            self._ready = self._merge.take(self._unread(), patient, self._settling.below(time.monotonic()))
        if not self._ready:
            return False
        round_ = self._round()
        by_partition: defaultdict[int, list[OutRecord]] = defaultdict(list)
        letters: dict[int, list[OutRecord]] = {}
        ends: dict[TP, Ranked[TP, Entry]] = {}
        for ranked in round_:
            tp, entry = ranked.source, ranked.item
            by_partition[entry.partition].append((entry.key, entry.value, NO_HEADERS))
            ends[tp] = ranked
            if (second := entry.second) is not None:
                by_partition[second.partition].append((second.key, second.value, NO_HEADERS))
            if entry.dead_letter is not None:
                letters.setdefault(tp.partition % self._topics.dead_letters.partitions, []).append(entry.dead_letter)
                self._rejected(dict(entry.dead_letter[2])["lifestage-reason"].decode())
        futures = []
        for partition, letter in letters.items():
            futures += await self._outbox.send(self._topics.dead_letters.name, partition, letter, join=True)
        for partition, records in by_partition.items():
            futures += await self._outbox.send(self._topics.log.name, partition, records, join=True)
        await self._rounds.put((futures, ends))
        self._make_room()
        return True

    def _round(self) -> list[Ranked[TP, Entry]]:
        """Take the next records out: as many as make a round, at least one."""
        size, end = 0, 0
        out: defaultdict[TP, list[int]] = defaultdict(list)
        for ranked in self._ready[:ROUND_MAX]:
            own = size_of(ranked.item)
            if end and size + own > ROUND_BYTES:
                break
            out[ranked.source].append(own)
            size, end = size + own, end + 1
        for tp, sizes in out.items():
            self.held.add(tp, -len(sizes), -sum(sizes))
        round_, self._ready = self._ready[:end], self._ready[end:]
        return round_

    def _share(self) -> int:
        return max(SHARE_LEAST, HELD_BYTES // max(1, len(self._next)))

    def _unread(self) -> dict[TP, bool]:
        """Which of our source partitions have records in Kafka beyond those that came in here."""
        assert self.consumer is not None
        ends = {tp: self.consumer.end_offset(tp) for tp in self._next}
        past = self.consumer.positions.past
        return {tp: end is None or end > past(tp, self._next[tp]) for tp, end in ends.items()}

    def _make_room(self) -> None:
        assert self.consumer is not None
        for tp in self.consumer.full & self._next.keys():
            if not self.held.over(tp, FULL // 2, self._share() // 2):
                self.consumer.full.discard(tp)
