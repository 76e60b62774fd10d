"""What a worker's Kafka clients do while no broker answers: ask at intervals, say so at intervals, and give up nothing.

While a partition has no leader aiokafka's producer asks for the cluster's state again as soon as it was answered, or
nobody was there to answer: 700 times a second and worker, each time with two lines of log where no broker listens.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

RETRY_S = 0.1
"""At least between two questions of one client for the cluster's state, as in Kafka's own clients."""
SAY_S = 10.0


def ask_at_intervals(client: Any) -> None:
    """Have an aiokafka client ask for the cluster's state every `RETRY_S` at most."""
    update, asked = client._metadata_update, float("-inf")

    async def patient(cluster: Any, topics: Any) -> bool:
        nonlocal asked
        await asyncio.sleep(max(0.0, asked + RETRY_S - time.monotonic()))
        asked = time.monotonic()
        return bool(await update(cluster, topics))

    client._metadata_update = patient


def never_expire(producer: Any) -> None:
    """Keep what an idempotent aiokafka producer has queued, however long a partition is without a leader.

    Sent or not, it has its place in the order of its partition: what is dropped after `request_timeout_ms`, as upstream
    does it while there is no leader, leaves a gap that the broker refuses all that follows for.
    """
    producer._message_accumulator._batch_ttl = float("inf")


class AtIntervals(logging.Filter):
    """Lets a line through when none with the same words was in the last `SAY_S`, and says how many were left out."""

    def __init__(self, logger: str) -> None:
        """For the lines of `logger` and of the loggers below it; all others pass."""
        super().__init__(logger)
        self._said: dict[tuple[str, str], float] = {}
        self._left_out: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written."""
        if not super().filter(record):
            return True
        words, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._said.get(words, float("-inf")) < SAY_S:
            self._left_out[words] = self._left_out.get(words, 0) + 1
            return False
        self._said[words] = now
        if count := self._left_out.pop(words, 0):
            record.msg, record.args = f"{record.getMessage()} (and {count} lines like it before)", ()
        return True
