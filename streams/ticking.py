"""Writing the log's clock into the log: a tick per owned partition, when something is due and at most every interval."""

from __future__ import annotations

import asyncio
import logging
import time

from config.settings import Settings
from lifestage import log
from lifestage.clock import Reading, read_clock
from lifestage.partition import Partition
from streams.outbox import NO_HEADERS, Outbox, acknowledged
from streams.profiles import ProfilesTable
from streams.sources import Sources
from streams.topics import Topics

logger = logging.getLogger("lifestage")


TIMERS_MAX = 50_000
"""Timers of one tick, which is kept whole: about 250 MB and 3 s. What is left fires with the next, without a pause."""


class Ticker:
    """Reads the clock for the whole group, and ticks the partitions that are owned now."""

    def __init__(
        self, sources: Sources, profiles: ProfilesTable, outbox: Outbox, topics: Topics, settings: Settings
    ) -> None:
        self._sources, self._profiles, self._outbox, self._topics = sources, profiles, outbox, topics
        self._settings = settings.clock
        self._written: dict[int, tuple[float, int]] = {}
        self.reading: Reading | None = None
        self.open = False

    async def run(self) -> None:
        """Read the clock every poll interval, for ever. A broker that is away holds the clock, and is said once."""
        troubled = False
        while True:
            await asyncio.sleep(min(self._settings.poll_interval_s, self._settings.tick_interval_s))
            if not self.open:
                continue
            try:
                await self.tick()
                troubled = False
            except (OSError, RuntimeError, TimeoutError) as error:
                if not troubled:
                    logger.warning("the clock is held: sources cannot be asked: %s", error)
                troubled = True

    async def tick(self) -> None:
        """Read the clock once and write the ticks that are called for."""
        wall = int(time.time() * 1000)
        c = self._settings
        self.reading = read_clock(
            wall, await self._sources.read(), c.mode, int(c.out_of_orderness_s * 1000), int(c.live_within_s * 1000)
        )
        now = self.reading.time
        if now is None:
            return
        for number, partition in list(self._profiles.owned.items()):
            if self.open and self._called_for(partition, now, self.reading.live):
                at = partition.bounded(now, TIMERS_MAX)
                tick = log.pack_tick(log.Tick(at, self.reading.live))
                await acknowledged(
                    await self._outbox.send(self._topics.log.name, number, [(None, tick, NO_HEADERS)]), "a tick"
                )
                # Not before: a tick that was never sent would be waited for until the partition goes.
                self._written[number] = (time.monotonic() if at == now else float("-inf"), at)

    def _called_for(self, partition: Partition, now: int, live: bool) -> bool:
        at, written = self._written.get(partition.number, (float("-inf"), partition.clock.time))
        if partition.clock.time < written or now <= partition.clock.time:
            return False
        if time.monotonic() - at < self._settings.tick_interval_s:
            return False
        due = partition.next_due
        grace = partition.rules.plan.plan.grace
        return (due is not None and due < now - grace) or live != partition.clock.live

    def forget(self, owned: set[int]) -> None:
        """Partitions that are gone: what was written for them does not count when they come back."""
        self._written = {number: at for number, at in self._written.items() if number in owned}
