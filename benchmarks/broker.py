"""What the benchmark itself does on Kafka: topics of one run, its events put in beforehand, ends watched, changes read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import TopicPartition

from benchmarks.events import SourceEvent
from config.settings import Settings
from streams import provision
from streams.doorway import partition_of
from streams.outbox import NO_HEADERS, Outbox, OutRecord, acknowledged

CHUNK = 20_000
"""Events between two looks at acknowledgements: a few MB in flight."""


class EventSet:
    """One set of events in memory, each with its partition, ready to be put in again and again."""

    def __init__(self, events: Iterable[SourceEvent], partitions: int) -> None:
        """Take the events in their order; a key's partition is that of Kafka's own producers."""
        self.topics: dict[str, dict[int, list[OutRecord]]] = {}
        self.count = 0
        routes: dict[bytes, int] = {}
        for topic, key, value in events:
            partition = routes.get(key)
            if partition is None:
                partition = routes[key] = partition_of(key, partitions)
            self.topics.setdefault(topic, {}).setdefault(partition, []).append((key, value, NO_HEADERS))
            self.count += 1

    def values(self) -> Iterable[bytes]:
        """The events as bytes, in no particular order."""
        for by_partition in self.topics.values():
            for records in by_partition.values():
                for _, value, _ in records:
                    if value is not None:
                        yield value


async def preload(bootstrap: str, settings: Settings, events: EventSet) -> None:
    """Make the topics of a deployment and put all events into its sources."""
    await asyncio.to_thread(lambda: provision.apply(settings, bootstrap, provision.plan(settings, bootstrap)))
    outbox = Outbox({"bootstrap_servers": bootstrap}, "none", 30)
    await outbox.start()
    try:
        for topic, by_partition in events.topics.items():
            for partition, records in by_partition.items():
                for at in range(0, len(records), CHUNK):
                    sent = await outbox.send(settings.topics.prefix + topic, partition, records[at : at + CHUNK])
                    await acknowledged(sent, "events of the benchmark")
    finally:
        await outbox.stop()


class Watch:
    """Asks for the ends of topics and for what a group has committed."""

    def __init__(self, consumer: aiokafka.AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        self._consumer, self._admin = consumer, admin

    async def ends(self, topics: Sequence[str], partitions: int) -> dict[TopicPartition, int]:
        """The next offset to be written, by partition; empty for a topic that is not there yet."""
        there = await self._consumer.topics()
        wanted = [TopicPartition(topic, n) for topic in topics if topic in there for n in range(partitions)]
        return dict(await self._consumer.end_offsets(wanted)) if wanted else {}

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """The group's committed offsets; nothing while the topic that holds them is being made."""
        try:
            found = await self._admin.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:
            return {}
        return {tp: told.offset for tp, told in found.items()}

    async def read(self, topic: str, partitions: int) -> list[aiokafka.ConsumerRecord]:
        """All records of a topic up to its end as of now."""
        tps = [TopicPartition(topic, n) for n in range(partitions)]
        ends = await self._consumer.end_offsets(tps)
        self._consumer.assign([tp for tp in tps if ends[tp]])
        await self._consumer.seek_to_beginning()
        records: list[aiokafka.ConsumerRecord] = []
        left = {tp for tp in tps if ends[tp]}
        while left:
            for run in (await self._consumer.getmany(timeout_ms=1000)).values():
                records += run
            left = {tp for tp in left if await self._consumer.position(tp) < ends[tp]}
        return records

    async def delete(self, prefix: str) -> None:
        """Delete the topics of one run, so that the next finds as much disk and page cache as this one did."""
        mine = [topic for topic in await self._consumer.topics() if prefix in topic]
        await self._admin.delete_topics(mine)


@asynccontextmanager
async def watching(bootstrap: str) -> AsyncIterator[Watch]:
    """A `Watch` on a broker."""
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await consumer.start()
    await admin.start()
    try:
        yield Watch(consumer, admin)
    finally:
        await admin.close()
        await consumer.stop()
