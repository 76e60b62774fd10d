"""Two watchdogs: one bites when the event loop stands still, the other when a partition does.

Both end the process by `fail_stop`: what is durable is consistent, and the next start goes on from there. A worker that
is alive and does nothing is worse than one that is down: nobody takes its partitions.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from faust.types import TP

from streams.batches import BatchConsumer
from streams.fence import SHARE, Fence, clock
from streams.outbox import Outbox
from streams.stop import fail_stop

logger = logging.getLogger("lifestage")

BEAT_S = 0.1
LOOKS = 6
"""Looks at the partitions in the time after which one that has not moved is stuck."""
ASK_S = 5.0
"""A broker that has not said within this time where a partition ends is away."""
PATIENCE_S = 2.0
"""A write that is not acknowledged after this time waits for Kafka, and so may everything else."""


class StallWatchdog:
    """Ends the process when the event loop has not turned for 0.8 session timeouts, whatever holds it.

    A stopped process (SIGSTOP) and a suspended machine count: by then the partitions may have another owner. Whichever
    runs first when the process goes on, the loop or the watching thread, sees the gap.
    """

    def __init__(self, session_timeout_s: float, now: Callable[[], float] = clock) -> None:
        self._limit_s, self._now = SHARE * session_timeout_s, now
        self._beaten = now()
        self._ended = threading.Event()
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch the running event loop."""
        self._beaten = self._now()
        self._beat(asyncio.get_running_loop())
        threading.Thread(target=self._watch, name="stall watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._ended.set()
        if self._handle is not None:
            self._handle.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self.look()
        self._beaten = self._now()
        self._handle = loop.call_later(BEAT_S, self._beat, loop)

    def _watch(self) -> None:
        while not self._ended.wait(BEAT_S):
            self.look()

    def look(self) -> None:
        """End the process if it has stood still for too long."""
        still = self._now() - self._beaten
        if still > self._limit_s:
            fail_stop(
                f"the event loop stood still for {still:.1f} s, longer than {SHARE:g} of kafka.session_timeout_s: the "
                "process was stopped, the machine was suspended or has too little processor time"
            )


Standing = tuple[int | None, int | None, int | None, int]
"""Where a partition stands: fetched up to, handed out up to, durable up to, folded up to. Any move is progress."""


class PartitionWatchdog:
    """Ends the process when an owned partition that has something to do has not moved for `after_s`.

    It has something to do while records lie beyond what was fetched, or what was handed out is not durable yet. It moves
    when any more of it is fetched, handed out, folded or durable. Time does not count while Kafka is away (the fence is
    closed, a write waits, the broker does not answer) or the worker recovers. A source that is fetched and waits may be
    held by another that is behind in event time: it is stuck only when no source moves.
    """

    def __init__(
        self,
        consumer: BatchConsumer,
        fence: Fence,
        outbox: Outbox,
        folded: Callable[[TP], int],
        busy: Callable[[], bool],
        after_s: float,
    ) -> None:
        self._consumer, self._fence, self._outbox = consumer, fence, outbox
        self._folded, self._busy, self._after_s = folded, busy, after_s
        self._seen: dict[TP, tuple[Standing, float]] = {}
        self._sources_moved = 0.0

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(self._after_s / LOOKS)
            await self.look()

    async def look(self) -> None:
        """Look once at all partitions."""
        revocations = self._consumer.revocations
        found = await self._ends() if self._may_look() else None
        if found is None or not self._may_look() or self._consumer.revocations != revocations:
            self._seen.clear()
            return
        fetched, ends = found
        now, positions = clock(), self._consumer.positions
        waiting: list[tuple[TP, bool]] = []
        for tp in list(positions.durable):
            unread = ends.get(tp, 0) > fetched.get(tp, ends.get(tp, 0))
            taken, durable = positions.expected.get(tp), positions.durable[tp]
            standing = (fetched.get(tp), taken, durable, self._folded(tp))
            before = self._seen.get(tp)
            moved = before is None or before[0] != standing
            if moved and self._folded(tp) == NO_FOLD:
                self._sources_moved = now
            if before is None or moved or not (unread or (taken is not None and taken > durable)):
                self._seen[tp] = standing, now
            elif now - before[1] > self._after_s:
                waiting.append((tp, unread and tp not in self._consumer.full))
        for tp, unread in waiting:
            if unread or self._folded(tp) != NO_FOLD or now - self._sources_moved > self._after_s:
                self._stop(tp, ends.get(tp, -1))

    def _may_look(self) -> bool:
        return self._fence.is_open() and not self._busy() and self._outbox.waits_s < PATIENCE_S

    async def _ends(self) -> tuple[dict[TP, int], dict[TP, int]] | None:
        try:
            async with asyncio.timeout(ASK_S):
                return await self._consumer._thread.standing(list(self._consumer.positions.durable))
        except Exception as error:  # noqa: BLE001  # no answer, whatever the reason, is no proof that a partition is stuck
            logger.warning("cannot see whether partitions move: %s: %s", type(error).__name__, error)
            return None

    def _stop(self, tp: TP, end: int) -> None:
        fetched, taken, durable, folded = self._seen[tp][0]
        fail_stop(
            f"{tp.topic}[{tp.partition}] has not moved for {self._after_s:g} s (lifecycle.stuck_after_s): it ends at {end}, "
            f"is fetched up to {fetched}, handed out up to {taken}, durable up to {durable}"
            + ("" if folded == NO_FOLD else f", folded up to {folded + 1}")
        )


NO_FOLD = -2
"""What is said of a partition that is not folded: a source's."""
