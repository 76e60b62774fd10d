"""The read model is kept up to date beside the stream, which never waits for it.

The lifecycle agent hands over what became durable and goes on; a task of its own writes it to Redis, whenever there is
one. Everything here is derived: it may lag and be lost, and is filled again from the profiles.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import redis.asyncio

from streams.read_buffer import REREAD, Batch, Buffer, Pending, Stages, Told
from streams.read_refill import Lookup, Refill, Snapshot
from streams.read_store import (
    ADD_CHANGES,
    ENTER,
    GONE_S,
    WRITE_CUSTOMERS,
    WRITE_STAGES,
    Keys,
    View,
    document,
    gone,
)

__all__ = ["REREAD", "ReadModel", "View"]

log = logging.getLogger(__name__)

VIEWS_MAX: Final = 200_000
"""Views that may wait: 120 MB at 0.6 KB each, and 8 s of a worker whose every fact is of another customer."""
CUSTOMERS_PER_PIPELINE: Final = 500
"""About 3 ms of the event loop to encode and send."""
CHANGES_PER_PIPELINE: Final = 200
CHECK_S: Final = 1.0
"""How often the server is asked whether it is still the one that was filled."""
BACK_OFF_S: Final = (0.1, 5.0)
REST: Final = 3
"""After a pipeline the task rests this many times as long as that took, so at most a quarter of the core is its."""
REST_MAX_S: Final = 0.05
TROUBLE = (redis.RedisError, OSError, TimeoutError)


_encode = msgspec.json.Encoder().encode


class ReadModel:
    """Writes customers, counts and changes to Redis from a task of its own.

    All methods but `stop` return at once and are called in the event loop's thread. `lookup(partition, key)` reads the
    view of a customer as it is now (None = gone); `snapshot(partition)` goes through all views of an owned partition: it
    is read in slices, so it must bear changes of the profiles between two of its items. Both are only called for
    partitions that were adopted and not dropped. `client` is closed by `stop`; `timeout` (seconds) bounds each exchange.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        prefix: str,
        plan_id: str,
        recent: int,
        timeout: float,
        *,
        lookup: Lookup,
        snapshot: Snapshot,
        log_id: str = "",
        views_max: int = VIEWS_MAX,
    ) -> None:
        self._client, self._timeout, self._lookup = client, timeout, lookup
        self._keys = Keys(prefix, plan_id, log_id)
        self._recent = recent
        self._buffer = Buffer(views_max, recent)
        self._refill = Refill(client, self._keys, snapshot, lookup)
        self._owned: dict[int, Stages] = {}
        self._server: tuple[str, str] | None = None
        self._checked = float("-inf")
        self._told: deque[Told] = deque(maxlen=recent)
        self._wake, self._idle, self._written = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        """The writing task: it ends by `stop` only."""
        self.connected = False
        self.written_total = 0
        self.failures_total = 0
        self.refills_total = 0

    @property
    def pending(self) -> int:
        """Customers whose newest view is not in Redis yet; without those that a refill has still to read."""
        return len(self._buffer)

    def start(self) -> None:
        """Begin to write. Redis need not be there."""
        self.task = asyncio.get_running_loop().create_task(self._run(), name="read-model")

    async def stop(self, grace_s: float = 2.0) -> None:
        """Write what was submitted for at most `grace_s` seconds, then end and close the client."""
        if self.task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    # Not for a refill under way: it takes longer, and whoever owns the partition next completes it.
                    await self._written.wait()
            # redis-py may swallow a cancellation in the middle of an exchange: ask until it is done.
            while not self.task.done():
                self.task.cancel()
                await asyncio.wait([self.task], timeout=0.2)
        with contextlib.suppress(*TROUBLE):
            await self._client.aclose()

    def adopt(self, partition: int, stages: Mapping[str, int], version: int) -> None:
        """Take over a partition whose profiles are recovered up to log offset `version`: it is compared and completed."""
        counts = self._owned[partition] = Stages(max(version, 0), stages)
        self._refill.ask(partition, everything=False)
        self._buffer.count(partition, counts)
        self._stir()

    def submit(
        self,
        partition: int,
        customers: Mapping[str, Pending],
        changes: Sequence[Told],
        stages: Mapping[str, int],
        version: int,
    ) -> None:
        """Hand over what became durable in a partition at log offset `version`.

        `customers` by key: the view, None for a customer who is gone, or `REREAD` to have it looked up when it is
        written (cheaper for customers who change often). `changes` are not altered any more; `stages` are the
        customers of the whole partition by stage, and must not be changed afterwards.
        """
        if partition not in self._owned:
            self._refill.ask(partition, everything=False)
        counts = self._owned[partition] = Stages(max(version, 0), stages)
        self._buffer.add(partition, customers, changes)
        self._buffer.count(partition, counts)
        self._stir()

    def drop(self, partition: int) -> None:
        """Forget a partition that was revoked: another worker writes it from now on."""
        self._owned.pop(partition, None)
        self._buffer.drop(partition)
        self._refill.drop(partition)

    def refill(self) -> None:
        """Write every owned partition again, and the newest changes of this worker."""
        self.refills_total += 1
        for partition, counts in self._owned.items():
            self._refill.ask(partition, everything=True)
            self._buffer.count(partition, counts)
        self._buffer.restore(self._told)
        self._told.clear()
        self._stir()

    def _stir(self) -> None:
        self._idle.clear()
        self._written.clear()
        self._wake.set()

    async def _run(self) -> None:
        wait = BACK_OFF_S[0]
        while True:
            began = time.perf_counter()
            try:
                more = await self._round()
            except TROUBLE as error:
                self._failed(error)
                # The jitter keeps the workers of a group from coming back all at the same instant.
                await asyncio.sleep(wait * random.uniform(0.5, 1.0))
                wait = min(wait * 2, BACK_OFF_S[1])
                continue
            except Exception:
                # A defect of ours must not end the writing without a word: say it, and write everything again.
                log.exception("read model: a round failed; everything is written again")
                self.failures_total += 1
                await asyncio.sleep(BACK_OFF_S[1])
                self.refill()
                continue
            if not self.connected:
                log.info("read model: Redis answers")
            self.connected, wait = True, BACK_OFF_S[0]
            if more:
                await asyncio.sleep(min(REST * (time.perf_counter() - began), REST_MAX_S))
                continue
            self._idle.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._wake.wait()

    def _failed(self, error: Exception) -> None:
        self.failures_total += 1
        self._checked = float("-inf")
        if self.connected or self.failures_total == 1:
            log.warning(
                "read model: Redis is away (%s); stages are computed and announced all the same, what Redis shows grows "
                "old and is brought up to date when it is back",
                str(error) or f"no answer in {self._timeout:g} s",
            )
        self.connected = False

    async def _round(self) -> bool:
        """One pipeline at most. True when there is more to do."""
        self._wake.clear()
        async with asyncio.timeout(self._timeout):
            if time.monotonic() - self._checked >= CHECK_S:
                await self._check()
            await self._refill.prepare()
            await self._refill.sweep(self._buffer, self._owned.__contains__)
        filling = bool(self._refill)
        batch = self._buffer.take(
            CUSTOMERS_PER_PIPELINE // 2 if filling else CUSTOMERS_PER_PIPELINE, CHANGES_PER_PIPELINE
        )
        batch.drained = {partition for partition in batch.drained if partition not in self._refill}
        finished: int | None = None
        try:
            finished = self._refill.fill(batch, CUSTOMERS_PER_PIPELINE - batch.size(), self._buffer)
            if batch:
                await self._write(batch)
        except BaseException:
            self._buffer.put_back(batch, self._owned)
            raise
        finally:
            if finished is not None and finished in self._owned:
                self._buffer.count(finished, self._owned[finished])  # the next pipeline says that it is complete
        if not self._buffer:
            self._written.set()
        return bool(self._buffer) or bool(self._refill)

    async def _check(self) -> None:
        """Whether this is the server that was filled, and is still filled; if not, all is to be filled again."""
        keys = self._keys
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.info("server")
            fresh = f"{keys.log_id}/{uuid.uuid4().hex}"
            pipeline.eval(ENTER, 4, keys.epoch, keys.partitions, keys.changes, keys.change_ids, keys.log_id, fresh)
            info, epoch = await pipeline.execute()
        server = (str(info.get("run_id", "")), epoch.decode() if isinstance(epoch, bytes) else epoch)
        if self._server is not None and server != self._server:
            log.warning("read model: Redis was restarted or emptied; it is filled again")
            self.refill()
        self._server, self._checked = server, time.monotonic()

    async def _write(self, batch: Batch) -> None:
        keys = self._keys
        async with asyncio.timeout(self._timeout), self._client.pipeline(transaction=False) as pipeline:
            customers = self._add_customers(pipeline, batch)
            for partition, stages in batch.stages.items():
                mark = keys.complete(stages.version) if partition in batch.drained else ""
                counts = [text for stage, count in stages.counts.items() for text in (stage, count)]
                names = (keys.stages(partition), keys.partitions, keys.epoch)
                versions = (partition, keys.log_id, stages.version, mark, self._server[1] if self._server else "")
                pipeline.eval(WRITE_STAGES, 3, *names, *versions, *counts)
            if batch.changes:
                told = [part for change in batch.changes for part in (change.id, _encode(change))]
                pipeline.eval(ADD_CHANGES, 2, keys.changes, keys.change_ids, self._recent, *told)
            replies = await pipeline.execute()
        self._told.extend(batch.changes)
        self.written_total += sum(map(int, replies[:customers]))

    def _add_customers(self, pipeline: Any, batch: Batch) -> int:
        """Add the commands that write customers: one for those who are, one for those who are gone. How many."""
        writes: dict[int, tuple[list[str], list[bytes | int]]] = {0: ([], []), GONE_S: ([], [])}
        for partition, customers in batch.customers.items():
            head, version = self._keys.head(partition), self._owned[partition].version
            for key, waiting in customers.items():
                view = self._lookup(partition, key) if waiting is REREAD else waiting
                names, values = writes[GONE_S if view is None else 0]
                names.append(self._keys.customers + key)
                values += (version, gone(head, version)) if view is None else (view.applied, document(head, view))
        commands = 0
        for lives_s, (names, values) in writes.items():
            if names:
                pipeline.eval(WRITE_CUSTOMERS, len(names), *names, self._keys.log_id, lives_s, *values)
                commands += 1
        return commands
