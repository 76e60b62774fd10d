"""Recovery in the order that loses nothing, and with errors that stop the process.

Stock Faust resumes partitions and seeks while the fetcher runs, then clears the queues that were just filled
(faust-streaming issue 596): events between are never handed to an agent. Here: callbacks, seek while everything is
still paused, open the queues, resume the partitions, resume the flow.
"""

from __future__ import annotations

from typing import Any, cast

from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped

from streams.stop import fail_stop


class OrderedRecovery(Recovery):
    """Faust's recovery service with its last act in a safe order."""

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        """As upstream, but a step that took too long ends the process: upstream takes it for the end of the service,
        and leaves a worker that owns partitions, is alive and does nothing."""
        try:
            await super()._wait(coro, timeout)
        except ServiceStopped:
            if not self.should_stop and not self.crashed:
                fail_stop(f"a step of the recovery was not done within {timeout} s")
            raise

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Go from restored tables to running agents."""
        app, consumer = self.app, self.app.consumer
        # What a revocation comes in between is not gone on with: a table has then left its look-up where it was.
        revocations = consumer.revocations
        try:
            await app.on_rebalance_complete.send()
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
