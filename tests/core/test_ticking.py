"""The clock's ticks are written of a reading that nothing can be overtaken by, and the log is asked only when one is due."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from config.settings import Clock, Settings
from lifestage import log
from lifestage.clock import Source
from lifestage.partition import Partition
from streams import ticking
from streams.outbox import OutRecord
from streams.ticking import Ticker
from streams.topics import topics_of
from tests.core.histories import RULES, START, order, partition, records
from tests.core.oracle import DAY

SETTINGS = Settings(clock=Clock(mode="wall", poll_interval_s=0.01, tick_interval_s=3600))
LOG = topics_of(SETTINGS).log


class Broker:
    """Stands where Kafka is: a source that holds the clock at an instant, and a log of which one partition may lag."""

    def __init__(self, now: int) -> None:
        self.now, self.ends, self.commits = now, dict.fromkeys(range(LOG.partitions), 9), dict[int, int]()
        self.asked: list[str] = []
        self.ticks: list[int] = []

    async def read(self) -> list[Source]:
        """One record is unread, and all before an instant are read."""
        return [Source("visits", 0, 2, 1, self.now)]

    async def log_ends(self) -> dict[int, int]:
        """Where the log ends."""
        self.asked.append("ends")
        return dict(self.ends)

    async def log_commits(self) -> dict[int, int]:
        """What is committed of it; all of it but for what is set."""
        self.asked.append("commits")
        return self.ends | self.commits

    async def send(self, _: str, __: int, sent: list[OutRecord], *, join: bool) -> list[Any]:
        """Take a tick, which waits for no place of its own."""
        assert join
        self.ticks += [log.tick(value or b"").time for _, value, _ in sent]
        return []


def started(broker: Any, owned: Partition) -> Ticker:
    """A ticker of a worker that owns one partition."""
    profiles: Any = SimpleNamespace(owned={owned.number: owned})
    ticker = Ticker(broker, profiles, broker, topics_of(SETTINGS), SETTINGS)
    ticker.open = True
    return ticker


def bought() -> Partition:
    """A customer who would be at risk 90 days after the start."""
    made = partition()
    made.fold(records([order(0, "e0", "o0")]))
    return made


async def test_while_nothing_is_due_nothing_is_asked_of_the_log() -> None:
    """Polls go on, and each asks the sources alone; when time has come to somebody, the log is asked once and a tick follows."""
    broker, owned = Broker(START + 80 * DAY), bought()
    owned.fold([(1, None, log.pack_tick(log.Tick(START, live=False)))])
    ticker = started(broker, owned)
    for _ in range(5):
        await ticker.tick()
    assert (broker.asked, broker.ticks) == ([], [])
    broker.now = START + 91 * DAY
    await ticker.tick()
    assert broker.asked == ["commits", "ends"]
    assert len(broker.ticks) == 1


@pytest.mark.parametrize("window", [0, 90])
async def test_a_new_day_calls_for_a_tick_where_kpis_are_counted(window: int) -> None:
    """Nobody is due, but what came today counts for the KPIs once it is today: one tick after midnight, and none in the day."""
    owned = partition(RULES._replace(window=window))
    owned.fold(records([order(0, "e0", "o0")]))
    midnight = START // DAY * DAY + 30 * DAY
    owned.fold([(1, None, log.pack_tick(log.Tick(midnight - DAY // 2, live=False)))])
    broker = Broker(midnight - 1)
    ticker = started(broker, owned)
    await ticker.tick()
    assert broker.ticks == []
    broker.now = midnight + 3_600_000
    await ticker.tick()
    assert len(broker.ticks) == (window > 0)
    if owned.kpis is not None:
        owned.fold([(2, None, log.pack_tick(log.Tick(broker.ticks[0], live=False)))])
        assert owned.kpis.at.day == midnight // DAY
        broker.now = midnight + DAY - 3_600_000
        await started(broker, owned).tick()
        assert len(broker.ticks) == 1


async def test_a_tick_is_of_the_reading_that_was_settled() -> None:
    """A partition of the log lags: it is named, nothing is written; when it has caught up the tick says what was read before
    that, not what is read by then."""
    broker, first = Broker(START + 91 * DAY), START + 91 * DAY - 5_000
    ticker = started(broker, bought())
    broker.commits = {6: 7}
    await ticker.tick()
    broker.now += DAY
    await ticker.tick()
    assert broker.ticks == []
    assert [(s.topic, s.partition, s.end, s.committed, s.reached) for s in ticker.holders] == [
        (LOG.name, 6, 9, 7, first)
    ]
    broker.commits = {}
    await ticker.tick()
    assert broker.ticks == [first]
    assert ticker.holders == ()


async def test_what_is_durable_here_need_not_be_committed() -> None:
    """A worker that owns the whole log asks nobody what is committed of it."""
    broker = Broker(START + 91 * DAY)
    ticker = started(broker, bought())
    durable = {TP(LOG.name, number): 9 for number in range(LOG.partitions)}
    consumer: Any = SimpleNamespace(positions=SimpleNamespace(durable=durable))
    ticker.consumer = consumer
    await ticker.tick()
    assert broker.asked == ["ends"]
    assert len(broker.ticks) == 1


async def test_a_worker_that_gives_its_partitions_up_writes_no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is drained while a reading waits for it: the wait ends, and no tick is written."""
    broker = Broker(START + 91 * DAY)
    broker.commits = {6: 7}
    ticker = started(broker, bought())
    monkeypatch.setattr(ticking, "LOOK_S", 0)

    async def drained() -> dict[int, int]:
        ticker.open = False
        return broker.ends

    broker.log_commits = drained  # type: ignore[method-assign]
    await ticker.tick()
    assert broker.ticks == []
