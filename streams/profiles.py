"""The table of profiles: a real Faust table (changelog, recovery, assignment by Faust) whose values are bytes of ours.

State lives in one `Partition` per owned log partition and is dropped whole when the partition goes. Recovery reads the
changelog in runs. Plain `table[key] = value` is refused: the flush in `streams.keeper` is the only writer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from operator import length_hint
from typing import Any

from faust.tables.table import Table
from faust.types import TP

from lifestage.cause import Rules
from lifestage.log import NO_TOPIC
from lifestage.partition import Partition
from streams.stop import fail_stop
from streams.tombstones import APPLIED, applied_of

logger = logging.getLogger("lifestage")

__all__ = ["APPLIED", "ProfilesTable", "applied_of"]


class ProfilesTable(Table):
    """Profiles of the owned partitions, and how far each one's changelog has been read or written."""

    rules: Rules
    log_topic: str
    code = NO_TOPIC
    """The code of the log itself, by which its partitions know each other's messages; set before the first is folded."""

    def prepare(self, rules: Rules, log_topic: str) -> None:
        """Give the table what a fold goes by; once, before the app starts."""
        self.rules, self.log_topic = rules, log_topic
        self.owned: dict[int, Partition] = {}
        self._fresh: set[int] = set()
        self._known: dict[int, int] = {}
        self._uncounted: dict[int, str] = {}
        self.restored = 0
        """Changelog records read since the process started."""
        self.lost: Callable[[int], None] = lambda _: None
        """Told of each partition at the moment its state is dropped: whoever looks customers up must stop then."""

    def partition(self, number: int) -> Partition:
        """The fold of an owned log partition."""
        partition = self.owned.get(number)
        if partition is None:
            partition = self.owned[number] = Partition(self.rules, self.log_topic, number, self.code)
            self._fresh.add(number)
        return partition

    def say_uncounted(self, partition: Partition) -> None:
        """Log once why no KPIs of a partition are counted, if they are asked for."""
        why = partition.uncounted
        if why and self._uncounted.get(partition.number) != why:
            self._uncounted[partition.number] = why
            logger.warning("%s[%d]: no KPIs are counted, as %s", self.log_topic, partition.number, why)

    def wrote(self, number: int, offset: int) -> None:
        """Our own record at `offset` of the changelog is acknowledged: no recovery need read it."""
        if offset > self._known.get(number, -1):
            self._known[number] = offset

    # -- what Faust calls ------------------------------------------------------------------------

    def persisted_offset(self, tp: TP) -> int | None:
        """How far the changelog is known; nothing for a partition that is not in memory."""
        return self._known.get(tp.partition)

    async def need_active_standby_for(self, tp: TP) -> bool:
        """Memory is the only store, so a standby's copy is never at hand."""
        return True

    def reset_state(self) -> None:
        """Forget everything; Faust asks for it when local data cannot be trusted."""
        self.owned.clear()
        self._fresh.clear()
        self._known.clear()

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly: set[TP], generation_id: int = 0) -> None:
        """Drop revoked partitions whole: state, due index, counts."""
        topic = self.changelog_topic.get_topic_name()
        for tp in revoked:
            if tp.topic == topic:
                if self.owned.pop(tp.partition, None) is not None:
                    self.lost(tp.partition)
                self._known.pop(tp.partition, None)
                self._uncounted.pop(tp.partition, None)
                self._fresh.discard(tp.partition)
        for tp in assigned:
            if tp.topic == topic:
                self.partition(tp.partition)

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Read runs of changelog records into the partitions. An error stops the process: half a state is none."""
        number, records, left = -1, [], iter(())
        try:
            for event in batch:
                message = event.message
                number, records = message.partition, message.records
                partition = self.owned.get(number)
                if partition is None:
                    # Buffered before it was revoked. Taken in, it would pass for a state that is known up to here.
                    continue
                left = iter(records)
                while (gone := partition.restore_until_gone(left)) is not None:
                    partition.restore(gone.key, None, applied_of(gone.headers))
                self.restored += len(records)
                self.wrote(number, records[-1].offset)
        except Exception as error:  # noqa: BLE001  # half a state is none
            topic, at = self.changelog_topic.get_topic_name(), len(records) - length_hint(left) - 1
            offset = records[at].offset if at >= 0 else -1
            fail_stop(f"changelog {topic}[{number}]@{offset} cannot be read", error)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """All changelog records are in: make the newly owned partitions ready to fold."""
        for tp in active_tps:
            if tp.partition in self._fresh:
                partition = self.partition(tp.partition)
                partition.recovered()
                self._fresh.discard(tp.partition)
                self.say_uncounted(partition)
        await self.call_recover_callbacks()

    def on_key_set(self, key: Any, value: Any) -> None:
        """Refused: a single write would go past the flush and its order."""
        raise TypeError("profiles are written by the flush only")

    on_key_del = on_key_set
