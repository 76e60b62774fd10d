"""Two bare hops with the product's own fold: what the whole worker is measured against.

Decode, address, append to the log; read the log, fold, send changes and messages, keep profiles. Two plain aiokafka consumers
and a producer in one process: no Faust, no rebalancing, no clock or timers, no merging by time, no `customer-stages`, no
Redis, no metrics, no guards, no recovery. Runs as `python -m benchmarks.bare_loop` with PEER_BROKER, PEER_PREFIX and
PEER_SETTINGS, a TOML file of the product's settings.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from pathlib import Path
from typing import Any

from commands import compiled

compiled.use(os.environ)  # before anything imports the core

import aiokafka  # noqa: E402
from aiokafka.structs import TopicPartition  # noqa: E402

from config.settings import Settings, load  # noqa: E402
from lifestage.change import Announced, encode_value, headers  # noqa: E402
from lifestage.log import topic_code  # noqa: E402
from lifestage.marker import MARKER_KEY  # noqa: E402
from lifestage.partition import Partition  # noqa: E402
from streams.doorway import doorway_of, partition_of  # noqa: E402
from streams.outbox import NO_HEADERS, Outbox, OutRecord, acknowledged  # noqa: E402
from streams.rules import rules_of  # noqa: E402
from streams.topics import topics_of  # noqa: E402

Futures = list[asyncio.Future[Any]]
RUN_MAX = 1_000
RECORDED = b"2026-01-01T00:00:00.000Z"


class Loop:
    """Both hops."""

    def __init__(self, settings: Settings, bootstrap: str) -> None:
        self.topics = topics_of(settings)
        self.interval_s = settings.lifecycle.flush_interval_s
        names = tuple(topic.name for topic in self.topics.sources)
        self.door = doorway_of(settings, names, self.topics.log.partitions)
        self.outbox = Outbox({"bootstrap_servers": bootstrap}, "none", 30)
        code, rules = topic_code(self.topics.log.name, ""), rules_of(settings)
        self.partitions = [Partition(rules, self.topics.log.name, n, code) for n in range(self.topics.log.partitions)]
        self.untold: list[Futures] = [[] for _ in self.partitions]
        self.sent: Futures = []
        self.read: dict[TopicPartition, int] = {}
        options = {
            "bootstrap_servers": bootstrap, "group_id": f"{settings.kafka.group}", "enable_auto_commit": False,
            "auto_offset_reset": "earliest", "max_partition_fetch_bytes": 2 << 20, "fetch_max_wait_ms": 100,
        }  # fmt: skip
        self.first, self.second = (aiokafka.AIOKafkaConsumer(**options) for _ in range(2))
        every = range(self.topics.log.partitions)
        self.first.assign([TopicPartition(name, n) for name in names for n in every])
        self.second.assign([TopicPartition(self.topics.log.name, n) for n in every])

    async def enter(self) -> None:
        """The first hop, for ever."""
        while True:
            found = await self.first.getmany(timeout_ms=100, max_records=4_000)
            for tp, records in found.items():
                runs: dict[int, list[OutRecord]] = {}
                for record in records:
                    entry = self.door.enter(record)
                    runs.setdefault(entry.partition, []).append((entry.key, entry.value, NO_HEADERS))
                for partition, run in runs.items():
                    self.sent += await self.outbox.send(self.topics.log.name, partition, run)
                self.read[tp] = records[-1].offset + 1
                await asyncio.sleep(0)

    async def fold(self) -> None:
        """The second hop, for ever."""
        while True:
            found = await self.second.getmany(timeout_ms=100, max_records=4_000)
            for tp, records in found.items():
                for at in range(0, len(records), RUN_MAX):
                    run = records[at : at + RUN_MAX]
                    partition = self.partitions[tp.partition]
                    await self._tell(tp.partition, partition.fold((r.offset, r.key, r.value) for r in run))
                    await asyncio.sleep(0)

    async def _tell(self, number: int, changes: list[Announced]) -> None:
        untold = self.untold[number]
        runs: dict[int, list[OutRecord]] = {}
        for key, value in self.partitions[number].take_posted():
            runs.setdefault(partition_of(key, len(self.partitions)), []).append((key, value, NO_HEADERS))
        for partition, run in runs.items():
            untold += await self.outbox.send(self.topics.log.name, partition, run)
        told: list[OutRecord] = [
            (change.partitionkey.encode(), encode_value(change.data), headers(change, RECORDED)) for change in changes
        ]
        if told:
            untold += await self.outbox.send(self.topics.changes.name, number, told)

    async def keep(self) -> None:
        """Keep what has changed and commit, every interval, for ever."""
        while True:
            await asyncio.sleep(self.interval_s)
            read, sent, self.sent = dict(self.read), self.sent, []
            await acknowledged(sent, "facts")
            if read:
                await self.first.commit(read)
            await asyncio.gather(*(self._keep(partition) for partition in self.partitions))

    async def _keep(self, partition: Partition) -> None:
        if partition.applied <= partition.marker.offset:
            return
        kept = partition.checkpoint()
        futures, self.untold[partition.number] = self.untold[partition.number], []
        await acknowledged(futures, "changes")
        records: list[OutRecord] = [(key, value, NO_HEADERS) for key, value in kept.pages.items()]
        records += [(key, value, NO_HEADERS) for key, value in kept.profiles.items()]
        records.append((MARKER_KEY, kept.marker, NO_HEADERS))
        await acknowledged(await self.outbox.send(self.topics.changelog.name, partition.number, records), "profiles")
        await self.second.commit({TopicPartition(self.topics.log.name, partition.number): kept.offset + 1})

    async def run(self) -> None:
        """Until SIGTERM."""
        ended, running = asyncio.Event(), asyncio.get_running_loop()
        signal.signal(signal.SIGTERM, lambda *_: running.call_soon_threadsafe(ended.set))
        await self.outbox.start()
        await self.first.start()
        await self.second.start()
        tasks = [asyncio.create_task(work()) for work in (self.enter, self.fold, self.keep)]
        waiting = asyncio.create_task(ended.wait())
        done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.first.stop()
        await self.second.stop()
        await self.outbox.stop()


async def main() -> None:
    """Run until SIGTERM."""
    gc.set_threshold(200_000, 20, 100)  # as `lifestage worker`
    settings = load(Path(os.environ["PEER_SETTINGS"]), {})
    await Loop(settings, os.environ["PEER_BROKER"]).run()


if __name__ == "__main__":
    asyncio.run(main())
