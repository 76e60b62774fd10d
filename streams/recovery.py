"""Recovery in the order that loses nothing, and with errors that stop the process.

Stock Faust resumes partitions and seeks while the fetcher runs, then clears the queues that were just filled
(faust-streaming issue 596): events between are never handed to an agent. Here: callbacks, seek while everything is
still paused, open the queues, resume the partitions, resume the flow.
"""

from __future__ import annotations

import logging
from typing import Any, cast

from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP

from streams.stop import fail_stop

logger = logging.getLogger("lifestage")
_UNKNOWN = 1 << 62


class OrderedRecovery(Recovery):
    """Faust's recovery service, reading what the table lacks, with its last act in a safe order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._starts: dict[TP, int] = {}
        """By changelog partition, the offset up to which it was known when its reading began."""
        super().__init__(*args, **kwargs)

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        """As upstream, but a step that took too long ends the process: upstream takes it for the end of the service,
        and leaves a worker that owns partitions, is alive and does nothing."""
        try:
            await super()._wait(coro, timeout)
        except ServiceStopped:
            if not self.should_stop and not self.crashed:
                fail_stop(f"a step of the recovery was not done within {timeout} s")
            raise

    async def _build_offsets(self, consumer: Any, tps: set[TP], destination: Any, title: str) -> None:
        """Where reading starts: behind what the table has in memory, and nowhere else.

        Upstream keeps offsets of its own. Of two assignments in quick succession it skips the first, in which the table
        has dropped a partition, and then takes the partition's changelog for read: one of 150 takeovers by a worker
        that had just started went on from an empty state.
        """
        for tp in tps:
            known = self.tp_to_table[tp].persisted_offset(tp)
            destination[tp] = -1 if known is None else known
        await super()._build_offsets(consumer, tps, destination, title)
        if title == "active":
            self._starts = dict(destination)

    def _unread(self) -> set[TP]:
        """Changelog partitions of ours that are not in memory to their end as of when the reading began."""
        unread = set()
        for tp in self.active_tps:
            known = self.tp_to_table[tp].persisted_offset(tp)
            # what was deleted from the front is not to be read: an emptied changelog starts at its end
            reached = max(-1 if known is None else known, self._starts.get(tp, -1))
            if reached < self.active_highwaters.get(tp, _UNKNOWN):
                unread.add(tp)
        return unread

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Go from restored tables to running agents; not before all is read, whatever upstream takes for read."""
        app, consumer = self.app, self.app.consumer
        # What a revocation comes in between is not gone on with: a table has then left its look-up where it was.
        revocations = consumer.revocations
        try:
            await app.on_rebalance_complete.send()
            if app.consumer_generation_id != generation_id:
                return  # what the table owns by now is read by the recovery of that rebalance
            if unread := self._unread():
                logger.warning("the changelog of %s is read once more: not all of it came", sorted(unread))
                self.signal_recovery_start.set()
                return
            self._set_recovery_ended()
            for table in self.tables.values():
                await table.on_recovery_completed(self.actives_for_table[table], self.standbys_for_table[table])
            if app.consumer_generation_id != generation_id or consumer.revocations != revocations:
                return  # the recovery of that rebalance goes on from here
            assignment = consumer.assignment()
            # Also with nothing assigned: that is how the worker learns that it has nothing, and is ready.
            await self._wait(consumer.perform_seek(), timeout=app.conf.broker_request_timeout)
            if consumer.revocations != revocations:
                return
        except (RebalanceAgain, ServiceStopped):
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, half a recovery must not go live
            fail_stop("recovery failed", error)
        self.completed.set()
        app.flow_control.resume()
        consumer.resume_partitions({tp for tp in assignment if not self._is_changelog_tp(tp)})
        consumer.resume_flow()
        await cast(Any, app)._fetcher.maybe_start()
        self.tables.on_actives_ready()
        if not app.assignor.assigned_standbys():
            self.tables.on_standbys_ready()
        app.on_rebalance_end()


class OrderedTables(TableManager):
    """The table manager that installs it."""

    _ordered: OrderedRecovery | None = None

    async def on_start(self) -> None:
        """As upstream, without its second of waiting for tables that may yet be added: ours is there before the start."""
        await self._update_channels()
        await self.recovery.start()

    @property
    def recovery(self) -> OrderedRecovery:
        """The recovery service of this app."""
        if self._ordered is None:
            self._ordered = self._recovery = OrderedRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._ordered
