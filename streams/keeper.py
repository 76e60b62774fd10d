"""Keeping and telling, in the one order that survives a crash at any point.

Changes are sent as soon as they are decided, and so are messages to other partitions, or, in a backlog, with the next flush.
A flush of a partition then goes: both acknowledged → profiles and marker into the changelog, acknowledged → only now may the
offset be committed → read model. A flush that does not fit one Kafka batch is announced by a *prepared* marker, so that its
counts survive when it is cut off in the middle.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from faust.types import TP

from lifestage.change import Announced, encode_value, headers
from lifestage.kpi_pages import OWNER as KPIS
from lifestage.marker import MARKER_KEY, PREPARED_KEY
from lifestage.messages import Posted
from lifestage.pages import owner
from lifestage.partition import Checkpoint, Partition
from streams.batches import BatchConsumer
from streams.outbox import NO_HEADERS, Outbox, OutRecord, acknowledged
from streams.posting import Posting
from streams.profiles import APPLIED, ProfilesTable
from streams.stop import fail_stop
from streams.topics import Topics

BACKLOG = 4
"""An agent waits for a flush once this many times `flush_profiles` profiles are dirty: memory stays bounded."""


class Kept(NamedTuple):
    """What one flush made durable, for everything that is derived from it."""

    partition: Partition
    keys: tuple[bytes, ...]
    gone: tuple[bytes, ...]
    changes: tuple[Announced, ...]
    seconds: float


class Untold:
    """Changes and messages of a partition since its last flush."""

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[Any]] = []
        self.changes: list[Announced] = []
        self.newest: dict[str, OutRecord] = {}
        """By customer, as `customer-stages` gets it."""
        self.posts: list[asyncio.Future[Any]] = []


class Keeper:
    """Sends changes and keeps profiles for the partitions that are owned now."""

    def __init__(
        self,
        profiles: ProfilesTable,
        outbox: Outbox,
        topics: Topics,
        interval_s: float,
        most_dirty: int,
        kept: Callable[[Kept], None],
    ) -> None:
        self._profiles, self._outbox, self._topics = profiles, outbox, topics
        self._interval, self._most_dirty, self._kept = interval_s, most_dirty, kept
        self._gates: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._flushes: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._untold: defaultdict[int, Untold] = defaultdict(Untold)
        self._kick = asyncio.Event()
        self.already: dict[int, dict[str, int]] = {}
        """Partition → customer → the greatest seq that was out before its state was lost: up to it all would be repeats."""
        self.posting = Posting(outbox, topics)
        self.consumer: BatchConsumer | None = None
        self.open = False
        """Whether runs are folded: not between a drain and the next seek."""

    def gate(self, number: int) -> asyncio.Lock:
        """Held while a run is folded: no checkpoint is taken in the middle of one."""
        return self._gates[number]

    async def tell(self, number: int, changes: Iterable[Announced]) -> None:
        """Send changes to `stage-changes` now; their acknowledgement is awaited by the flush that keeps their state."""
        out = self.already.get(number, {})
        told = (
            [change for change in changes if change.data.seq > out.get(change.partitionkey, 0)] if out else [*changes]
        )
        if not told:
            return
        recorded = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()
        records: list[OutRecord] = [
            (change.partitionkey.encode(), encode_value(change.data), headers(change, recorded)) for change in told
        ]
        untold = self._untold[number]
        untold.changes += told
        for record, change in zip(records, told, strict=True):
            untold.newest[change.partitionkey] = (
                record if change.data.stage is not None else (record[0], None, record[2])
            )
        untold.futures += await self._outbox.send(self._topics.changes.name, number, records, join=True)

    async def post(self, number: int, posted: list[Posted]) -> None:
        """Send messages to other partitions now; their acknowledgement is awaited by the flush that keeps their state."""
        if posted:
            self._untold[number].posts += await self.posting.send(number, posted)

    async def folded(self, partition: Partition) -> None:
        """A run is folded: ask for a flush when much is dirty, and wait for it when too much is."""
        self._profiles.say_uncounted(partition)
        dirty = partition.unkept
        if dirty >= self._most_dirty:
            self._kick.set()
        if dirty >= BACKLOG * self._most_dirty:
            await self.flush(partition.number)

    async def run(self) -> None:
        """Flush what is dirty, every interval or sooner, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._kick.wait(), self._interval)
            self._kick.clear()
            await self.flush_all()

    async def flush_all(self) -> None:
        """Flush every owned partition that has moved since its last flush."""
        moved = [p.number for p in self._profiles.owned.values() if p.applied > p.marker.offset]
        if moved:
            await asyncio.gather(*(self.flush(number) for number in moved))

    async def drain(self) -> None:
        """Fold no more, and make durable all that was folded."""
        self.open = False
        # Not `flush_all`: a partition that looks flushed may have a flush on its way, or be in the middle of a run.
        await asyncio.gather(*(self.flush(number) for number in list(self._profiles.owned)))

    def reopen(self) -> None:
        """Fold again. Nothing may be dirty: the state is where the log is about to be read from."""
        for partition in self._profiles.owned.values():
            if partition.unkept:
                fail_stop(f"{self._topics.log.name}[{partition.number}]: profiles were dirty at a seek")
        for number in [n for n in self._untold if n not in self._profiles.owned]:
            del self._untold[number]
        for table in (self.already, self.posting.out):
            for number in [n for n in table if n not in self._profiles.owned]:
                del table[number]
        self.open = True

    async def flush(self, number: int) -> None:
        """Make durable what one partition has folded so far."""
        async with self._flushes[number]:
            started = asyncio.get_running_loop().time()
            async with self._gates[number]:
                partition = self._profiles.owned.get(number)
                if partition is None or partition.applied <= partition.marker.offset:
                    return
                # those that waited: whatever follows from what is kept must be in the log
                await self.post(number, partition.take_posted())
                checkpoint = partition.checkpoint(_breathe)
                untold = self._untold.pop(number, None) or Untold()
            await acknowledged(untold.posts, "messages")
            await self._tell_newest(number, untold)
            await self._keep(number, checkpoint)
            if checkpoint.final and self.consumer is not None:
                self.consumer.positions.reach(TP(self._topics.log.name, number), checkpoint.offset + 1)
            self._kept(
                Kept(
                    partition,
                    tuple(key for key, value in checkpoint.profiles.items() if value is not None),
                    tuple(key for key, value in checkpoint.profiles.items() if value is None),
                    tuple(untold.changes),
                    asyncio.get_running_loop().time() - started,
                )
            )

    async def _tell_newest(self, number: int, untold: Untold) -> None:
        """When all changes are acknowledged `customer-stages` gets the newest per customer: a seq that stands there is out."""
        await acknowledged(untold.futures, "stage changes")
        await acknowledged(
            await self._outbox.send(self._topics.stages.name, number, untold.newest.values()), "customer stages"
        )

    async def _keep(self, number: int, checkpoint: Checkpoint) -> None:
        pages = [(page, content, NO_HEADERS) for page, content in checkpoint.pages.items()]
        # what a prepared marker names must be there before it is
        first: list[OutRecord] = [page for page in pages if page[1] is not None and owner(page[0]) == KPIS]
        records: list[OutRecord] = [
            *(page for page in pages if page[1] is None or owner(page[0]) != KPIS),
            *(
                (key, value, NO_HEADERS if value is not None else [(APPLIED, b"%d" % checkpoint.gone[key])])
                for key, value in checkpoint.profiles.items()
            ),
        ]
        marker: OutRecord = (MARKER_KEY, checkpoint.marker, NO_HEADERS)
        if not checkpoint.final:
            await self._write(number, [*first, *records])
        elif self._outbox.fits_one([*first, *records, marker]):
            await self._write(number, [*first, *records, marker])
        else:
            if first:
                await self._write(number, first)
            await self._write(number, [(PREPARED_KEY, checkpoint.marker, NO_HEADERS), *records])
            await self._write(number, [marker])

    async def _write(self, number: int, records: list[OutRecord]) -> None:
        topic = self._topics.changelog.name
        for placed in await acknowledged(await self._outbox.send(topic, number, records), "profiles"):
            self._profiles.wrote(number, placed.offset)


def _breathe() -> None:
    """Nothing; but as it is interpreted, a thread that waits has its turn here: a scrape waits 5 ms, not for all that is encoded."""
