"""How far the whole group has read the sources and folded the log: what the log's clock is read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from lifestage.clock import Source
from streams.patience import ask_at_intervals


class Sources:
    """Asks the broker for the ends of all source partitions, and of the log's, and for what the group has committed of them."""

    def __init__(
        self, connection: dict[str, Any], group: str, topics: tuple[str, ...], log: str = "", partitions: int = 0
    ) -> None:
        """`topics` are the sources; `log` has so many `partitions`, which never change."""
        self._group, self._topics = group, topics
        self._log = [TopicPartition(log, number) for number in range(partitions)]
        self._connection = connection
        self._observer: Any = None
        self._admin: Any = None

    async def start(self) -> None:
        """Connect."""
        self._observer = aiokafka.AIOKafkaConsumer(**self._connection, group_id=None, enable_auto_commit=False)
        self._admin = AIOKafkaAdminClient(**self._connection)
        for client in (self._observer, self._admin):
            ask_at_intervals(client._client)
        await self._observer.start()
        await self._admin.start()

    async def stop(self) -> None:
        """Disconnect."""
        if self._admin is not None:
            await self._admin.close()
            await self._observer.stop()

    async def read(self) -> list[Source]:
        """Every source partition: first the ends, then the commits, so that what lags is never taken for read."""
        # Asked every time: a source may be given more partitions while we run, and what waits there holds the clock.
        described = await self._admin.describe_topics(list(self._topics))
        known = {d["topic"] for d in described if not d["error_code"] and d["partitions"]}
        if unknown := sorted(set(self._topics) - known):
            # Taken for a topic without partitions it would not hold the clock, whatever waits in it.
            raise KafkaError(f"the broker does not say what is in {', '.join(unknown)}")
        partitions = [TopicPartition(d["topic"], p["partition"]) for d in described for p in d["partitions"]]
        # Records that retention has taken were never to be read: they must not hold the clock.
        starts = await self._observer.beginning_offsets(partitions)
        ends = await self._observer.end_offsets(partitions)
        committed = await self._committed(partitions, "source")
        found = []
        for tp in partitions:
            offset, metadata = committed[tp]
            metadata = metadata or ""  # librdkafka's in-memory cluster has none where Kafka has an empty one
            reached = int(metadata) if metadata.lstrip("-").isdigit() else None
            if reached is not None and reached < -(1 << 59):
                reached = None
            found.append(Source(tp.topic, tp.partition, ends[tp], max(offset, starts[tp]), reached))
        return found

    async def log_ends(self) -> dict[int, int]:
        """The next offset to be written of each partition of the log."""
        return {tp.partition: end for tp, end in (await self._observer.end_offsets(self._log)).items()}

    async def log_commits(self) -> dict[int, int]:
        """Up to where each partition of the log is folded, kept and committed by whoever owns it; 0 where nothing is."""
        committed = await self._committed(self._log, "log")
        return {tp.partition: max(0, committed[tp][0]) for tp in self._log}

    async def _committed(self, partitions: list[TopicPartition], what: str) -> Mapping[TopicPartition, Any]:
        committed: Mapping[TopicPartition, Any] = await self._admin.list_consumer_group_offsets(
            self._group, partitions=partitions
        )
        if missing := [tp for tp in partitions if tp not in committed]:
            # A coordinator that is moving or loading answers with an error that aiokafka leaves out, and with nothing else.
            raise KafkaError(
                f"the group's coordinator does not say what is committed of {len(missing)} {what} partitions"
            )
        return committed
