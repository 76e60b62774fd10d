"""Filling the read model again: after a partition was taken over, and after the server lost what it had."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import redis.asyncio

from streams.read_buffer import Batch, Buffer
from streams.read_store import PARTITIONS_OF, Keys, View

Snapshot = Callable[[int], Iterator[tuple[str, View]]]
Lookup = Callable[[int, str], View | None]

SLICE_S: Final = 0.004
"""How long a slice may read views at a time: with encoding and sending it stays below 10 ms of the event loop."""
SCAN_KEYS: Final = 500


class Refill:
    """Goes through the owned partitions that were asked for, then removes customers whom nobody has any more.

    A partition taken over is read from the mark that its last owner left: views with `applied` at or below it stand
    there already. After a loss, everything is written.
    """

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, snapshot: Snapshot, lookup: Lookup) -> None:
        self._client, self._keys, self._snapshot, self._lookup = client, keys, snapshot, lookup
        self._asked: dict[int, bool] = {}
        self._views: Iterator[tuple[str, View]] | None = None
        self._since = -1
        self._cursor: int | None = None
        self._pattern = re.sub(r"([*?\[\]\\])", r"\\\1", keys.customers) + "*"

    def __contains__(self, partition: int) -> bool:
        """Whether that partition is not yet filled."""
        return partition in self._asked

    def __bool__(self) -> bool:
        """Whether there is anything left to do."""
        return bool(self._asked) or self._cursor is not None

    def ask(self, partition: int, *, everything: bool) -> None:
        """Fill that partition, from the beginning if it is under way; with `everything` whatever the mark says."""
        everything = everything or self._asked.get(partition, False)
        self.drop(partition)
        self._asked[partition] = everything
        self._cursor = 0

    def drop(self, partition: int) -> None:
        """Stop filling that partition."""
        if partition in self._asked and next(iter(self._asked)) == partition:
            self._views = None
        self._asked.pop(partition, None)

    async def prepare(self) -> None:
        """Open the next partition. Raises what the client raises."""
        if self._asked and self._views is None:
            partition = next(iter(self._asked))
            reply: Any = self._client.hget(self._keys.partitions, f"{partition}:complete")
            mark = await reply
            if partition == next(iter(self._asked), None):  # else it was revoked meanwhile
                self._since = -1 if self._asked[partition] else self._keys.since(mark)
                self._views = iter(self._snapshot(partition))

    def fill(self, batch: Batch, room: int, buffer: Buffer) -> int | None:
        """Put up to `room` views into the batch, for at most `SLICE_S`; the partition when that was its last one."""
        if self._views is None:
            return None
        partition = next(iter(self._asked))
        taken = batch.customers.setdefault(partition, {})
        until = time.perf_counter() + SLICE_S
        finished: int | None = None
        while room > 0 and time.perf_counter() < until:
            entry = next(self._views, None)
            if entry is None:
                finished, self._views = partition, None
                del self._asked[partition]
                break
            key, view = entry
            if view.applied > self._since and key not in taken and not buffer.holds(partition, key):
                taken[key] = view
                room -= 1
        if not taken:
            del batch.customers[partition]
        return finished

    async def sweep(self, buffer: Buffer, owned: Callable[[int], bool]) -> None:
        """Look at the next stored customers, and mark as gone whom their owner, us, does not know. May raise as redis.

        A worker that was killed may not have written that a customer is gone.
        """
        if self._asked or self._cursor is None:
            return
        cursor, found = await self._client.scan(self._cursor, match=self._pattern, count=SCAN_KEYS)
        partitions: list[int] = []
        if found:
            reply: Any = self._client.eval(PARTITIONS_OF, len(found), *found)
            partitions = await reply
        for name, partition in zip(found, partitions, strict=True):
            key = (name.decode() if isinstance(name, bytes) else name).removeprefix(self._keys.customers)
            if owned(partition) and not buffer.holds(partition, key) and self._lookup(partition, key) is None:
                buffer.add(partition, {key: None}, ())
        if self._cursor is not None:
            self._cursor = int(cursor) or None
