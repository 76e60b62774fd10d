"""Writing the log's clock into the log: a tick per owned partition, when something is due and at most every interval; where
KPIs are counted also when a day is over.

A tick must overtake no fact, be it in a source or on its way between partitions of the log. So a reading that calls for a
tick is first settled (`lifestage.clock.Rounds`); while nothing is due, nothing is asked of the log.
"""

from __future__ import annotations

import asyncio
import logging
import time

from faust.types import TP

from config.settings import Settings
from lifestage import log
from lifestage.clock import Reading, Rounds, Source, read_clock
from lifestage.kpi_days import day_of
from lifestage.partition import Partition
from streams.batches import BatchConsumer
from streams.outbox import NO_HEADERS, Outbox, acknowledged
from streams.profiles import ProfilesTable
from streams.sources import Sources
from streams.topics import Topics

logger = logging.getLogger("lifestage")


TIMERS_MAX = 50_000
"""Timers of one tick, which is kept whole: about 250 MB and 3 s. What is left fires with the next, without a pause."""
LOOK_S = 0.05
"""Between two looks at commits that a round waits for."""


class Ticker:
    """Reads the clock for the whole group, and ticks the partitions that are owned now."""

    def __init__(
        self, sources: Sources, profiles: ProfilesTable, outbox: Outbox, topics: Topics, settings: Settings
    ) -> None:
        self._sources, self._profiles, self._outbox, self._topics = sources, profiles, outbox, topics
        self._settings = settings.clock
        self._written: dict[int, tuple[float, int]] = {}
        self._settling: tuple[Reading, Rounds] | None = None
        """A reading that calls for ticks, while something may be on its way that it believes to be in the log."""
        self._settled: Reading | None = None
        """A reading that ticks are written of."""
        self.reading: Reading | None = None
        self.holders: tuple[Source, ...] = ()
        """Partitions of the log that hold the clock: a reading has waited for them for more than a poll interval."""
        self.consumer: BatchConsumer | None = None
        self.open = False

    async def run(self) -> None:
        """Read the clock every poll interval, for ever. A broker that is away holds the clock, and is said once."""
        troubled = False
        while True:
            await asyncio.sleep(self._poll_s)
            if not self.open:
                continue
            try:
                await self.tick()
                troubled = False
            except (OSError, RuntimeError, TimeoutError) as error:
                if not troubled:
                    logger.warning("the clock is held: sources cannot be asked: %s", error)
                troubled = True

    @property
    def _poll_s(self) -> float:
        return min(self._settings.poll_interval_s, self._settings.tick_interval_s)

    async def tick(self) -> None:
        """Read the clock once, settle a reading that calls for ticks, and write them when it is."""
        wall = int(time.time() * 1000)
        c = self._settings
        self.reading = read_clock(
            wall, await self._sources.read(), c.mode, int(c.out_of_orderness_s * 1000), int(c.live_within_s * 1000)
        )
        if self._settled is not None and not self._owes(self._settled):
            self._settled = None
        if self._settled is None:
            await self._settle(self.reading)
        if self._settled is not None:
            await self._write(self._settled)

    async def _settle(self, reading: Reading) -> None:
        """Go on with what is being settled, or begin with this reading; for a poll interval at most."""
        if self._settling is None and reading.time is not None and self._calls(reading):
            self._settling = reading, Rounds()
            await self._hear_commits(self._settling[1])
        if self._settling is None:
            self.holders = ()
            return
        until, (reading, rounds) = time.monotonic() + self._poll_s, self._settling
        while self.open and not rounds.over:
            if rounds.asks == "ends":
                rounds.hear_ends(await self._sources.log_ends())
                continue
            await self._hear_commits(rounds)
            if rounds.lagging:
                if time.monotonic() > until:
                    break
                await asyncio.sleep(LOOK_S)
        self.holders = self._held_by(rounds, reading)
        if rounds.over:
            self._settling, self._settled = None, reading

    async def _hear_commits(self, rounds: Rounds) -> None:
        """What is durable here will be committed, and need not be waited for; the commits say it of the other workers."""
        topic, numbers = self._topics.log.name, range(self._topics.log.partitions)
        durable = {} if self.consumer is None else self.consumer.positions.durable
        ours = {number: durable[tp] for number in numbers if (tp := TP(topic, number)) in durable}
        rounds.hear_commits(ours)
        if len(ours) < len(numbers):
            rounds.hear_commits(await self._sources.log_commits())

    def _held_by(self, rounds: Rounds, reading: Reading) -> tuple[Source, ...]:
        return tuple(
            Source(self._topics.log.name, number, end, committed, reading.time)
            for number, (end, committed) in rounds.lagging.items()
        )

    async def _write(self, settled: Reading) -> None:
        now = settled.time
        assert now is not None
        for number, partition in list(self._profiles.owned.items()):
            if self.open and self._called_for(partition, now, settled.live):
                at = partition.bounded(now, TIMERS_MAX)
                tick = log.pack_tick(log.Tick(at, settled.live))
                # Behind what waits for its partition. With a batch of its own it would wait for a place: rounds of a flood that
                # join left it none for as long as they came, and the clock of all partitions stood still.
                sent = await self._outbox.send(self._topics.log.name, number, [(None, tick, NO_HEADERS)], join=True)
                await acknowledged(sent, "a tick")
                # Not before: a tick that was never sent would be waited for until the partition goes.
                self._written[number] = (time.monotonic() if at == now else float("-inf"), at)

    def _calls(self, reading: Reading) -> bool:
        """Whether ticks of a reading are called for."""
        now = reading.time
        return now is not None and any(
            self._called_for(partition, now, reading.live) for partition in self._profiles.owned.values()
        )

    def _owes(self, settled: Reading) -> bool:
        """Whether ticks of a settled reading are still to be written, some perhaps once others are folded."""
        return self._calls(settled) or any(
            at == float("-inf") and number in self._profiles.owned and self._profiles.owned[number].clock.time < tick
            for number, (at, tick) in self._written.items()
        )

    def _called_for(self, partition: Partition, now: int, live: bool) -> bool:
        at, written = self._written.get(partition.number, (float("-inf"), partition.clock.time))
        if partition.clock.time < written or now <= partition.clock.time:
            return False
        if time.monotonic() - at < self._settings.tick_interval_s:
            return False
        if partition.kpis is not None and day_of(now) > day_of(partition.clock.time):
            return True  # what came today counts once it is today
        due = partition.next_due
        grace = partition.rules.plan.plan.grace
        return (due is not None and due < now - grace) or live != partition.clock.live

    def forget(self, owned: set[int]) -> None:
        """Partitions that are gone: what was written for them does not count when they come back."""
        self._written = {number: at for number, at in self._written.items() if number in owned}
