"""Rebuilding lost state from the log without saying again what has been said.

Where the changelog of a partition holds no marker although the log has records, the whole log is folded once more. What
that gives was mostly announced before; so the changes that are out already are looked up first, in `customer-stages`
and, as that keeps nothing of who left, in what is kept of `stage-changes`. A change that got into the second and not
into the first, because the worker died in between, is copied: nobody will announce it any more. The group's commit stays where it was until
the rebuild has passed it: a rebuild that was cut off is known by it and goes on as one. What records below that commit have
to tell other partitions is in the log since, and is not sent once more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import aiokafka
import msgspec
from aiokafka.structs import TopicPartition
from faust.types import TP

from lifestage.partition import Partition
from streams.batches import BatchConsumer
from streams.outbox import Outbox, OutRecord, acknowledged
from streams.profiles import ProfilesTable
from streams.stop import fail_stop
from streams.topics import Topics

logger = logging.getLogger("lifestage")

TELL_EVERY_S = 10.0


class _Plan(msgspec.Struct, gc=False):
    hash: str


class _Said(msgspec.Struct, gc=False):
    """What a change says of its place: the rest of it is not decoded."""

    seq: int
    stage: str | None
    plan: _Plan


_said = msgspec.json.Decoder(_Said).decode


class Out:
    """What is out of one partition's changes, read first from `customer-stages`, then from `stage-changes`."""

    def __init__(self, plan_hash: str) -> None:
        self._plan_hash = plan_hash
        self.seqs: dict[str, int] = {}
        """Customer → the greatest seq that is out."""
        self._shown: set[bytes] = set()
        """Customers who have a stage in `customer-stages`."""
        self.behind: dict[bytes, OutRecord] = {}
        """By customer, what `customer-stages` should say and does not."""

    def newest(self, records: Iterable[Any]) -> None:
        """Take records of `customer-stages`, in order."""
        for record in records:
            if record.value is None:
                self._shown.discard(record.key)
            else:
                self._shown.add(record.key)
                self._rises(record, _said(record.value))

    def changes(self, records: Iterable[Any]) -> None:
        """Take records of `stage-changes`, in order."""
        for record in records:
            said = _said(record.value)
            if not self._rises(record, said):
                continue
            if said.stage is not None:
                self.behind[record.key] = (record.key, record.value, list(record.headers))
            elif record.key in self._shown:
                self.behind[record.key] = (record.key, None, list(record.headers))
            else:
                self.behind.pop(record.key, None)

    def _rises(self, record: Any, said: _Said) -> bool:
        """Note the seq if it is the greatest; what another plan announced is not what this one would."""
        key = record.key.decode()
        if said.plan.hash != self._plan_hash or said.seq <= self.seqs.get(key, 0):
            return False
        self.seqs[key] = said.seq
        return True


class Rebuilds:
    """The rebuilds of one worker: what each has to pass, and what was announced before."""

    def __init__(
        self,
        connection: dict[str, Any],
        timeout_s: float,
        topics: Topics,
        profiles: ProfilesTable,
        outbox: Outbox,
        already: dict[int, dict[str, int]],
        posted: dict[int, int],
    ) -> None:
        """`already` (partition → customer → greatest seq that is out) is the keeper's: it drops what is not above.

        So is `posted` (partition → offset below which messages are out), which drops what is below.
        """
        self._connection, self._timeout, self._topics, self._profiles = connection, timeout_s, topics, profiles
        self._outbox, self._already, self._posted = outbox, already, posted
        self._until: dict[int, int] = {}
        """By partition, the end of the log when its rebuild began: all that can have been said is from before it."""
        self._told = 0.0
        self.consumer: BatchConsumer | None = None

    async def prepare(self) -> None:
        """See which owned partitions have lost their state, and look up what of them is out. Any error stops the process.

        Called when the changelog has been read, and before any record of the log is.
        """
        revocations = self.consumer.revocations if self.consumer is not None else 0
        try:
            lost = await self._lost_state()
            if lost:
                await self._look_up(lost, revocations)
        except Exception as error:  # noqa: BLE001  # going on without would say everything again
            fail_stop("what was announced before the state was lost could not be read", error)

    async def _lost_state(self) -> dict[int, tuple[int, int]]:
        """Owned partitions whose state stands before where it has been, with the end of their log and the group's commit."""
        assert self.consumer is not None
        log, thread = self._topics.log.name, self.consumer._thread
        owned = {TP(log, number): partition for number, partition in self._profiles.owned.items()}
        first, end = await thread.bounds(owned)
        committed = await thread.committed(owned)
        lost = {}
        for tp, partition in owned.items():
            began = partition.applied < 0 and first[tp] == 0 < end[tp]
            cut_off = (committed[tp] or 0) > partition.applied + 1
            if (began or cut_off) and partition.applied + 1 < end[tp]:
                lost[tp.partition] = end[tp], committed[tp] or 0
        return lost

    async def _look_up(self, lost: dict[int, tuple[int, int]], revocations: int) -> None:
        consumer = aiokafka.AIOKafkaConsumer(
            **self._connection, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            for number, (end, committed) in lost.items():
                out = Out(self._profiles.rules.plan.hash)
                for topic, take in ((self._topics.stages, out.newest), (self._topics.changes, out.changes)):
                    if not await self._read(consumer, TopicPartition(topic.name, number), take, revocations):
                        return
                await acknowledged(
                    await self._outbox.send(self._topics.stages.name, number, out.behind.values()), "customer stages"
                )
                self._already[number], self._until[number], self._posted[number] = out.seqs, end, committed
                logger.warning(
                    "rebuilding %s[%d] from the log: %d records; changes of %d customers are out already",
                    self._topics.log.name, number, end - self._profiles.owned[number].applied - 1, len(out.seqs),
                )  # fmt: skip
        finally:
            await consumer.stop()

    async def _read(
        self, consumer: Any, tp: TopicPartition, take: Callable[[list[Any]], None], revocations: int
    ) -> bool:
        """Take in one partition of changes to its end as of now, and say so; not when a rebalance comes in between, as
        whoever owns what after it looks it up anew. Raises `TimeoutError` when no more of it comes."""
        assert self.consumer is not None
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        await consumer.seek_to_beginning(tp)
        heard = time.monotonic()
        while (position := await consumer.position(tp)) < end:
            records = (await consumer.getmany(tp, timeout_ms=200, max_records=2_000)).get(tp, [])
            take(records)
            if await consumer.position(tp) > position:
                heard = time.monotonic()
            elif time.monotonic() - heard > self._timeout:
                raise TimeoutError(f"{tp.topic}[{tp.partition}]: nothing after offset {position} of {end}")
            if self.consumer.revocations != revocations:
                return False
        return True

    def passed(self, partition: Partition) -> None:
        """The partition is durable up to its marker: a rebuild that has come to its end needs its table no more."""
        until = self._until.get(partition.number)
        if until is None:
            return
        if partition.marker.offset + 1 >= until:
            self.lost(partition.number)
            logger.warning("%s[%d] is rebuilt", self._topics.log.name, partition.number)
        elif time.monotonic() - self._told > TELL_EVERY_S:
            self._told = time.monotonic()
            logger.warning(
                "rebuilding %s[%d]: %d %%", self._topics.log.name, partition.number, 100 * partition.applied // until
            )

    def lost(self, number: int) -> None:
        """The partition is not ours any more."""
        self._until.pop(number, None)
        self._already.pop(number, None)
        self._posted.pop(number, None)

    def remaining(self) -> dict[int, int]:
        """By partition that is being rebuilt, the records of the log still to be folded."""
        owned = self._profiles.owned
        return {
            number: max(0, until - owned[number].applied - 1)
            for number, until in list(self._until.items())
            if number in owned
        }

    def readiness(self) -> str:
        """What a rebuild is waiting for, in words; nothing when there is none."""
        remaining, total = sum(self.remaining().values()), sum(list(self._until.values()))
        if not total:
            return ""
        return f"rebuilding {len(self._until)} partitions from the log {100 * (total - remaining) // total} %"
