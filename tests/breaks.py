"""Guards against zombies and standstill, and overrides of Faust, taken out one at a time.

`tests.broken_worker` knows these words, too; the tests of overrides also call them in their own process, with the
attribute restored by pytest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import agents.lifecycle
from streams.batches import BatchConsumer
from streams.fence import Fence
from streams.forwarding import Forwarder
from streams.keeper import Keeper
from streams.takeover import Watched
from streams.watchdogs import PartitionWatchdog, StallWatchdog

Set = Callable[[Any, str, Any], None]


def fence_off(put: Set = setattr) -> None:
    """Everything is written at once, and who has lost its membership joins again."""
    put(Fence, "is_open", lambda _: True)
    put(Fence, "watch", lambda *_: None)


def stall_off(put: Set = setattr) -> None:
    """Nobody minds that the event loop stands still."""
    put(StallWatchdog, "look", lambda _: None)


def takeovers_off(put: Set = setattr) -> None:
    """Nothing that is written late is suspect."""
    put(Watched, "recovered", lambda *_: None)
    put(Watched, "kept", lambda *_: None)
    put(Watched, "told", lambda *_: None)


def partition_watch_off(put: Set = setattr) -> None:
    """Nobody minds that a partition does not move."""

    async def blind(_: PartitionWatchdog) -> None:
        return

    put(PartitionWatchdog, "look", blind)


def revocations_uncounted(put: Set = setattr) -> None:
    """A seek does not see that a revocation has overtaken it."""
    put(BatchConsumer, "revocations", property(lambda _: 0, lambda *_: None))


def drain_off(put: Set = setattr) -> None:
    """Partitions are given up with work in flight."""

    async def at_once(self: BatchConsumer) -> None:
        await self.maybe_wait_for_commit_to_finish()
        await self.commit_and_end_transactions()

    put(BatchConsumer, "wait_empty", at_once)


def gaps_unseen(put: Set = setattr) -> None:
    """Nobody minds that the log skips."""
    put(agents.lifecycle, "check_next", lambda *_: None)


# -- standstill --------------------------------------------------------------------------------------------------------


def deaf_keeper(put: Set = setattr) -> None:
    """From the second run on, a flush never comes to its end."""
    flush = Keeper.flush

    async def stuck(self: Keeper, number: int) -> None:
        await flush(self, number)
        await asyncio.Event().wait()

    put(Keeper, "flush", stuck)


def deaf_forwarder(put: Set = setattr) -> None:
    """Intake takes records and sends none."""

    async def idle(_: Forwarder) -> None:
        await asyncio.Event().wait()

    put(Forwarder, "run", idle)


WORDS: dict[str, Callable[[], None]] = {
    word.__name__: word
    for word in (
        fence_off,
        stall_off,
        takeovers_off,
        partition_watch_off,
        revocations_uncounted,
        drain_off,
        gaps_unseen,
        deaf_keeper,
        deaf_forwarder,
    )
}
