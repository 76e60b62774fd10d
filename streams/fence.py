"""The fence: nothing is written by a worker that may have lost its partitions without knowing.

A worker that was stopped (SIGSTOP, a suspended machine, a cut network) and goes on is a zombie: its partitions may have
another owner, and what waits in its buffers would be written after what the new owner wrote. The broker takes a member
for dead when no heartbeat has come for a session timeout. So a produce request is written only within 0.8 session
timeouts of the *sending* of a heartbeat that the broker has answered: it has counted from then on or later. An answer
that was on its way when the worker was stopped is as old as its question, and so opens nothing.

Beyond that, sends wait. When a heartbeat of the same membership is answered again they go on: the broker forgets no
member while it is away itself, so a broker that restarts ends no worker. When the answer is that the member is unknown,
the partitions may be somebody else's and the process ends; nothing of what waited is written.

A worker whose `kafka.instance_id` another process has taken learns of it by its next heartbeat: until then, and at most
until 0.8 session timeouts after its last one, its fence stays open beside the new owner, who watches for longer than
that and writes again what it spoils (`streams.takeover`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from aiokafka import errors
from aiokafka.client import ConnectionGroup
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest
from aiokafka.protocol.produce import ProduceRequest

from streams.stop import fail_stop

SHARE = 0.8
"""Of a session timeout; the rest is for a request on its way to the broker."""
POLL_S = 0.05

logger = logging.getLogger("lifestage")


def clock() -> float:
    """Seconds that also count while the machine is suspended, where the system has such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Fence:
    """Whether this worker is sure to be a member of its group still. Confirmed in one thread, asked in another."""

    def __init__(self, session_timeout_s: float, now: Callable[[], float] = clock) -> None:
        self._limit_s, self._now = SHARE * session_timeout_s, now
        self._confirmed = float("-inf")
        self.holds = 0
        """How often sends had to wait."""

    def confirm(self, asked: float) -> None:
        """A question that was sent at `asked` (see `clock`) was answered: then, this worker was a member."""
        self._confirmed = max(self._confirmed, asked)

    def is_open(self) -> bool:
        """Whether something may be written now."""
        return self._now() - self._confirmed < self._limit_s

    async def passed(self) -> None:
        """Return when something may be written."""
        if self.is_open():
            return
        self.holds += 1
        logger.warning("sends wait: no heartbeat was answered for %g s", self._limit_s)
        while not self.is_open():  # noqa: ASYNC110  # set by another thread, and by the clock alone
            await asyncio.sleep(POLL_S)
        logger.warning("sends go on: the group knows this worker still")

    def watch(self, coordinator: Any) -> None:
        """Hear of each answer that an aiokafka coordinator gets, and end the process when membership is lost.

        Call it before the coordinator has joined. All ways on which it learns that it is no member any more (a heartbeat,
        a commit, a join, a sync) come to `reset_generation`; so does leaving in good order, which is told by `_closing`.
        """
        send, reset = coordinator._send_req, coordinator.reset_generation

        async def listened(request: Any) -> Any:
            asked = self._now()
            answer = await send(request)
            if _says_member(request, answer):
                self.confirm(asked)
            return answer

        def lost() -> None:
            if coordinator.generation > 0 and not coordinator._closing.done() and not _joins_with_nothing(coordinator):
                fail_stop(
                    f"this worker is no member of group {coordinator.group_id} any more: it was silent for longer than "
                    "kafka.session_timeout_s, or another one has its kafka.instance_id. Its partitions may have another "
                    "owner, so what it had not written yet is left to that one"
                )
            reset()

        coordinator._send_req, coordinator.reset_generation = listened, lost


def _joins_with_nothing(coordinator: Any) -> bool:
    """Whether a member that owned nothing before is between a join and its sync, where a broker that restarts forgets it.

    One that owned something has drained by then, but its memory would miss what an owner in between has written.
    """
    return coordinator._performed_join_prepare and not coordinator._subscription.assigned_partitions()


def _says_member(request: Any, answer: Any) -> bool:
    if isinstance(request, HeartbeatRequest):
        # While a rebalance is prepared the broker answers so, and counts the heartbeat: nobody else owns anything yet.
        return answer.error_code in (errors.NoError.errno, errors.RebalanceInProgressError.errno)
    return isinstance(request, SyncGroupRequest) and answer.error_code == errors.NoError.errno


class FencedClient:
    """The client of aiokafka's sender, with the fence right before a produce request is written.

    Not earlier: the sender is a task of its own, which may be the first to run when a stopped process goes on.
    """

    def __init__(self, client: Any, fence: Fence) -> None:
        self._client, self._fence = client, fence

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, *, group: Any = ConnectionGroup.DEFAULT) -> Any:
        """As aiokafka's, which writes at once when it is connected; produce requests only while the fence is open."""
        if isinstance(request, ProduceRequest):
            while True:
                await self._fence.passed()
                # Connecting may take as long as a request may. Not ready: the client would connect once more, unfenced.
                if not await self._client.ready(node_id, group=group):
                    raise errors.NodeNotReadyError(f"node {node_id} is not ready for a produce request")
                if self._fence.is_open():
                    break
        return await self._client.send(node_id, request, group=group)
