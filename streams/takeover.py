"""After a takeover: what a former owner writes late is found, and what it has spoilt is written again.

The fence keeps a zombie from writing, all but what is in the network already. So for a while (see
`watch_s`) the new owner goes on reading its changelog partition, from where its recovery ended, and its partition of
`customer-stages`. Both are compacted: the newest record of a key is all that stays. A late record there that says less
than what we have would in the end be the state. Nothing is lost at once: a recovery takes of two records the one that has applied more, and
compaction leaves records of the last hour alone.

All other topics need no repair: facts of the log are known by their position of origin, a tick never turns the clock
back, changes and dead letters are repeats with the same id, the read model refuses an older version.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

import aiokafka
import msgspec
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from faust.types import TP

from lifestage import profile as profiles
from lifestage.kpi_pages import OWNER as KPIS
from lifestage.marker import MARKER_KEY, PREPARED_KEY, decode_marker, encode_marker
from lifestage.pages import is_page, join, owner
from lifestage.partition import Partition
from lifestage.profile import Profile
from streams.fence import clock
from streams.keeper import Keeper
from streams.lenient import BARE, Others
from streams.outbox import NO_HEADERS, Outbox, OutRecord, acknowledged
from streams.profiles import APPLIED, ProfilesTable, applied_of
from streams.topics import Topics

logger = logging.getLogger("lifestage")

LINGERS_S = 60
"""For so long and more a kernel goes on sending what was written to a connection that has been closed since."""
POLL_MS = 200
RUN_MAX = 1_000
FETCH_BYTES = 1 << 20


def watch_s(session_timeout_s: float, request_timeout_s: float) -> float:
    """For how long after a takeover a late write is looked for: longer than one can be under way.

    What was written while the fence was open stays in the kernel while the network is cut: until the request times out,
    and then, its connection closed, for as long as the kernel tries.
    """
    return 2 * session_timeout_s + 2 * request_timeout_s + LINGERS_S


class _Seq(msgspec.Struct, gc=False):
    seq: int


_seq_of = msgspec.json.Decoder(_Seq).decode


class Watched:
    """What others have written of one partition since it was taken over, and what of it says less than what we have.

    What we wrote ourselves need not come in here: `Partition.stored` and the marker are as far before it is written.
    """

    def __init__(self, until: float) -> None:
        self.until = until
        self.profiles: dict[bytes, tuple[int, bool]] = {}
        """Customer → what its newest record read has applied, and whether that is a tombstone."""
        self.marker = -1
        """The log offset of the newest marker read."""
        self.pages: dict[bytes, bool] = {}
        """Page → whether its newest record read holds it."""
        self.stages: dict[bytes, int | None] = {}
        """Customer → seq of the newest record of `customer-stages` read, None for a tombstone."""
        self.suspects: set[bytes] = set()
        """Customers, pages and the marker."""
        self.stage_suspects: set[bytes] = set()

    def recovered(self, partition: Partition) -> None:
        """Take what the recovery has found: late writes that nobody has mended since."""
        self.suspects.update(partition.outdone)
        self.profiles.update(partition.outdone)
        if MARKER_KEY in partition.outdone:
            self.marker, _ = self.profiles.pop(MARKER_KEY)
        partition.outdone = {}

    def kept(self, partition: Partition, record: Any) -> None:
        """Take a record of the changelog."""
        key = record.key
        if key == PREPARED_KEY:
            return  # a recovery takes the furthest, and needs it only until the marker has come there
        if key == MARKER_KEY:
            self.marker = decode_marker(record.value).offset
            less = self.marker < partition.marker.offset
        elif is_page(key):
            self.pages[key] = record.value is not None
            less = self.pages[key] != (key in partition.shelf.pages)
        else:
            gone, stored = record.value is None, partition.stored.get(key)
            applied = applied_of(record.headers) if gone else profiles.decode_head(record.value).applied
            self.profiles[key] = applied, gone
            # Of one whom we do not keep, a record may come from further in the log than we are, or from before we let go.
            less = not gone if stored is None else applied < profiles.decode_head(stored).applied
        if less:
            self.suspects.add(key)

    def told(self, partition: Partition, record: Any) -> None:
        """Take a record of `customer-stages`."""
        seq = self.stages[record.key] = None if record.value is None else _seq_of(record.value).seq
        known = partition.shown(record.key)
        if seq is None or (known is not None and seq < known.seq):
            self.stage_suspects.add(record.key)

    def lacking(self, partition: Partition) -> list[OutRecord]:
        """Records of the changelog to be written again; everything that we have written has been read."""
        found: list[OutRecord] = []
        # A record stands behind the pages that it names. Compaction leaves a page where it was written last.
        named: dict[bytes, OutRecord] = {}
        for key in self.suspects - {MARKER_KEY}:
            if is_page(key):
                content, customer = partition.shelf.pages.get(key), owner(key)
                if content is None and customer == KPIS:
                    # a late marker may name it, and be in force until ours has come as far
                    continue
                if self.pages[key] != (content is not None):
                    found.append((key, content, NO_HEADERS))
                    if content is not None and customer in partition.stored:
                        named[customer] = customer, partition.stored[customer], NO_HEADERS
                continue
            applied, gone = self.profiles[key]
            stored = partition.stored.get(key)
            if stored is not None and applied < profiles.decode_head(stored).applied:
                named[key] = key, stored, NO_HEADERS
            elif stored is None and not gone:
                # whom a flush that was cut off forgot, behind its marker, stays forgotten until the log has been folded to there
                furthest = max(partition.marker.offset, partition.gone.get(key, -1))
                if applied <= furthest:
                    found.append((key, None, [(APPLIED, b"%d" % furthest)]))
        return [*found, *named.values()]


class Takeovers:
    """Watches the partitions that were taken over lately, with a consumer of its own outside the group."""

    def __init__(
        self,
        connection: dict[str, Any],
        keeper: Keeper,
        table: ProfilesTable,
        outbox: Outbox,
        topics: Topics,
        for_s: float,
        repaired: Callable[[str], None],
    ) -> None:
        """`for_s`: see `watch_s`."""
        self._connection, self._keeper, self._table, self._outbox = connection, keeper, table, outbox
        self._changelog, self._stages = topics.changelog.name, topics.stages.name
        self._for_s, self._repaired = for_s, repaired
        self.watched: dict[int, Watched] = {}
        self._known: set[int] = set()
        self._next: dict[TopicPartition, int] = {}
        """Where reading is to begin: of the changelog where the recovery ended, of the stages where they ended then."""
        self._ends: dict[int, int] = {}
        self._changed = asyncio.Event()
        self._consumer: Any = None

    async def start(self) -> None:
        """Connect."""
        # What we write makes most of what comes in. Our numbers and what we keep are as far before a record is written, so
        # nothing follows from reading it.
        self._consumer = self._new_consumer(Others(lambda: self._outbox.producer_id))
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    def _new_consumer(self, key_deserializer: Any = BARE) -> Any:
        return aiokafka.AIOKafkaConsumer(
            **self._connection,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            key_deserializer=key_deserializer,
            # In a flood some fetches a second instead of some dozen; what is late is found half a second later.
            fetch_min_bytes=FETCH_BYTES,
        )

    async def mark(self, numbers: set[int]) -> None:
        """Partitions are about to be opened: see where their stages end, before anything of ours is in there."""
        new = [TopicPartition(self._stages, number) for number in numbers - self._known]
        self._ends = {tp.partition: end for tp, end in (await self._consumer.end_offsets(new)).items()} if new else {}

    def reopen(self) -> None:
        """Partitions are open: watch those that were not ours before."""
        for number, partition in self._table.owned.items():
            if number not in self._known and number in self._ends:
                known = self._table.persisted_offset(TP(self._changelog, number))
                self._next[TopicPartition(self._changelog, number)] = 0 if known is None else known + 1
                self._next[TopicPartition(self._stages, number)] = self._ends[number]
                self.watched[number] = Watched(clock() + self._for_s)
                self.watched[number].recovered(partition)
        self._known = set(self._table.owned)
        self._changed.set()

    def lost(self, number: int) -> None:
        """A partition has gone."""
        self._known.discard(number)
        self._forget(number)

    def _forget(self, number: int) -> None:
        if self.watched.pop(number, None) is not None:
            self._changed.set()

    async def run(self) -> None:
        """Watch for ever. What cannot be read now is read later: late writes stay where they are."""
        while True:
            if not self.watched:
                await self._changed.wait()
            try:
                await self._look()
            except (KafkaError, OSError, TimeoutError) as error:
                logger.warning("late writes cannot be looked for: %s: %s", type(error).__name__, error)
                await asyncio.sleep(1)

    async def _look(self) -> None:
        self._assign()
        if not self.watched:
            return
        # Asked before reading: what was written until the time is up has been read when reading has come there.
        over = {number for number, watched in self.watched.items() if clock() > watched.until}
        ends = await self._consumer.end_offsets(self._partitions(over)) if over else {}
        await self._read()
        for number in self._suspected():
            await self._judge(number)
        for number in over - self._suspected():
            if all(self._next.get(tp, end) >= end for tp, end in ends.items() if tp.partition == number):
                self._forget(number)

    def _suspected(self) -> set[int]:
        return {n for n, watched in self.watched.items() if watched.suspects or watched.stage_suspects}

    def _partitions(self, numbers: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(topic, n) for n in numbers for topic in (self._changelog, self._stages)]

    def _assign(self) -> None:
        if not self._changed.is_set():
            return
        self._changed.clear()
        assigned = self._partitions(self.watched)
        self._next = {tp: self._next[tp] for tp in assigned}
        if not assigned:
            self._consumer.unsubscribe()
            return
        self._consumer.assign(assigned)
        for tp, offset in self._next.items():
            self._consumer.seek(tp, offset)

    async def _read(self) -> None:
        self._assign()
        assigned = [*self._next]
        found = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=RUN_MAX)
        # Not by the records: what was passed over has been read, too.
        positions = {tp: await self._consumer.position(tp) for tp in assigned}
        if self._changed.is_set():
            return  # partitions came or went meanwhile: reading begins anew, and all of this is read again
        for tp, records in found.items():
            watched, partition = self.watched.get(tp.partition), self._table.owned.get(tp.partition)
            if watched is None or partition is None:
                continue
            take = watched.kept if tp.topic == self._changelog else watched.told
            for record in records:
                take(partition, record)
        self._next.update(positions)

    async def _judge(self, number: int) -> None:
        """See under the lock of flushes, with all that we wrote read, whether the newest records are ours; mend."""
        async with self._keeper._flushes[number]:
            if not self._keeper.open:
                return  # drained: a partition that stays is seen to after the seek, one that goes is its owner's
            ends = await self._consumer.end_offsets(self._partitions([number]))
            while any(self._next.get(tp, end) < end for tp, end in ends.items()) and number in self.watched:
                await self._read()
            watched, partition = self.watched.get(number), self._table.owned.get(number)
            if watched is None or partition is None:
                return
            records = watched.lacking(partition)
            if MARKER_KEY in watched.suspects and watched.marker < partition.marker.offset:
                async with self._keeper.gate(number):
                    # Where more was folded, or a prepared marker is to be reached, the next flush writes a newer one.
                    if partition.applied == partition.marker.offset and partition.prepared is None:
                        records.append((MARKER_KEY, encode_marker(partition.marker), NO_HEADERS))
            stages = [key for key in watched.stage_suspects if self._told_less(watched, partition, key)]
            await self._mend(number, self._changelog, records)
            watched.suspects, watched.stage_suspects = set(), set(stages)
        if stages:
            await self._mend_stages(number, watched, partition)

    async def _mend_stages(self, number: int, watched: Watched, partition: Partition) -> None:
        """Write again what was told of customers and spoilt. It is looked for without the lock: flushes do not wait."""
        due = {key: known for key in watched.stage_suspects if (known := _durable(partition, key)) is not None}
        found = await self._newest(number, due)
        async with self._keeper._flushes[number]:
            if not self._keeper.open or self.watched.get(number) is not watched:
                return
            # What a flush has told since is newer than what was found, and was written behind what had spoilt it.
            told = {key for key, before in due.items() if _seq_in(partition, key) != before.seq}
            await self._mend(number, self._stages, [record for key, record in found.items() if key not in told])
            watched.stage_suspects = set()

    def _told_less(self, watched: Watched, partition: Partition, key: bytes) -> bool:
        known = _durable(partition, key)
        if known is None:
            return False
        seq = watched.stages[key]
        return known.seq > 0 and (known.stage is not None if seq is None else seq < known.seq)

    async def _newest(self, number: int, due: dict[bytes, Profile]) -> dict[bytes, OutRecord]:
        """The records that `customer-stages` had of customers before they were spoilt: they are in it still."""
        found: dict[bytes, OutRecord] = {
            key: (key, None, NO_HEADERS) for key, known in due.items() if known.stage is None
        }
        reader, tp = self._new_consumer(), TopicPartition(self._stages, number)
        await reader.start()
        try:
            reader.assign([tp])
            end = (await reader.end_offsets([tp]))[tp]
            await reader.seek_to_beginning(tp)
            while await reader.position(tp) < end and number in self.watched:
                for record in (await reader.getmany(tp, timeout_ms=POLL_MS)).get(tp, ()):
                    if record.key in due and record.value is not None:
                        known = due[record.key]
                        if known.stage is not None and known.seq == _seq_of(record.value).seq:
                            found[record.key] = record.key, record.value, list(record.headers)
        finally:
            await reader.stop()
        return found

    async def _mend(self, number: int, topic: str, records: list[OutRecord]) -> None:
        if not records:
            return
        logger.warning("%s[%d]: a former owner wrote late; %d records are written again", topic, number, len(records))
        for placed in await acknowledged(await self._outbox.send(topic, number, records), "repairs"):
            if topic == self._changelog:
                self._table.wrote(number, placed.offset)
        for key, _, _ in records:
            self._repaired(_kind(topic == self._changelog, key or b""))


def _durable(partition: Partition, key: bytes) -> Profile | None:
    """A customer's profile as of the last flush."""
    stored = partition.stored.get(key)
    return None if stored is None else profiles.decode(join(key, stored, partition.shelf.pages))


def _seq_in(partition: Partition, key: bytes) -> int | None:
    known = _durable(partition, key)
    return None if known is None else known.seq


def _kind(changelog: bool, key: bytes) -> str:
    if not changelog:
        return "stage"
    return "marker" if key == MARKER_KEY else "page" if is_page(key) else "profile"
