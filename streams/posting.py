"""Sending the messages of one log partition to others: into the log again, each to the partition of its key.

They go out in order, as soon as they are decided or, in a backlog, with the next flush. Their acknowledgement is awaited before anything of the state they
follow from is kept: so a commit of the log says that all that follows from what is below it is in the log. After a crash in
between they are sent again, with the same origin, by which whoever reads them twice drops them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from lifestage import log
from lifestage.messages import Posted
from streams.doorway import partition_of
from streams.outbox import NO_HEADERS, Outbox, OutRecord
from streams.topics import Topics


class Posting:
    """Sends messages for the partitions that are owned now."""

    def __init__(self, outbox: Outbox, topics: Topics) -> None:
        self._outbox, self._log = outbox, topics.log
        self.out: dict[int, int] = {}
        """By partition that is being rebuilt, the offset below which all that its records brought is in the log already."""

    async def send(self, number: int, posted: Iterable[Posted]) -> list[asyncio.Future[Any]]:
        """Queue messages of one partition of the log, a run for each that they go to; a future a batch."""
        out = self.out.get(number, 0)
        runs: dict[int, list[OutRecord]] = {}
        for key, value in posted:
            if not out or log.header(value).offset >= out:
                runs.setdefault(partition_of(key, self._log.partitions), []).append((key, value, NO_HEADERS))
        return [
            future
            for partition, records in runs.items()
            for future in await self._outbox.send(self._log.name, partition, records, join=True)
        ]
