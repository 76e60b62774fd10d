"""When what comes of a run of the log for other partitions is sent: at once, or, where more waits, in large batches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from agents.lifecycle import BACKLOG, POSTS_MOST, define_lifecycle
from lifestage import log
from lifestage.facts import WebVisit
from streams.batches import BatchMessage
from tests.core.histories import START, record
from tests.core.test_keeper import NUMBER, TOPICS, Desk


def run_of(first: int, count: int) -> BatchMessage:
    """A run of the log of so many visits from an offset on, each of a customer and a visitor who are new: a message each."""
    topic = TOPICS.log.name
    message = BatchMessage(
        topic, NUMBER, first + count - 1, 0.0, 0, [], None, b"", None, tp=TP(topic, NUMBER), generation_id=1
    )
    message.records = []
    for n in range(first, first + count):
        visit = WebVisit(time=START + n, source="shop", id=f"e{n}", url="/", customer_id=f"c{n}", anonymous_id=f"v{n}")
        offset, key, value = record(n, visit)
        message.records.append(SimpleNamespace(offset=offset, key=key, value=value))
    return message


class Agent:
    """The lifecycle agent over a desk, given runs by hand; no flush comes in between."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.desk.keeper.open = True
        self.agent: Any = None
        app: Any = SimpleNamespace(agent=lambda *_, **__: self._take)
        table: Any = SimpleNamespace(partition=lambda _: self.desk.folded)
        define_lifecycle(app, None, table, self.desk.keeper, lambda _: None)

    def _take(self, agent: Any) -> Any:
        self.agent = agent
        return agent

    async def folds(self, *runs: BatchMessage) -> int:
        """Fold runs; how many messages are out by then."""

        async def given() -> AsyncIterator[BatchMessage]:
            for run in runs:
                yield run

        # what is dirty would be flushed in between
        self.desk.keeper._most_dirty = 1_000_000
        await self.agent(given())
        return len(self.desk.wire.of(TOPICS.log.name))


async def test_what_comes_of_a_small_run_is_sent_at_once() -> None:
    """Where nothing else waits, nobody is kept waiting for a flush."""
    assert await Agent().folds(run_of(0, BACKLOG - 1)) == BACKLOG - 1


async def test_in_a_backlog_messages_wait_for_the_flush() -> None:
    """What comes of runs that are large goes out with the flush, all of it, before anything is kept."""
    agent = Agent()
    assert await agent.folds(run_of(0, BACKLOG), run_of(BACKLOG, BACKLOG)) == 0
    await agent.desk.keeper.flush(NUMBER)
    sent = [topic for topic, _ in agent.desk.wire.sent if topic in (TOPICS.log.name, TOPICS.changelog.name)]
    assert sent[: 2 * BACKLOG] == [TOPICS.log.name] * 2 * BACKLOG
    assert set(sent[2 * BACKLOG :]) == {TOPICS.changelog.name}


async def test_what_waits_goes_before_what_comes_later() -> None:
    """A small run behind large ones sends what they have left, first: a reader drops what is not in the order of its origin."""
    agent = Agent()
    assert await agent.folds(run_of(0, BACKLOG), run_of(BACKLOG, 1)) == BACKLOG + 1
    by_partition: dict[int, list[int]] = {}
    for (topic, to), (_, (_, value, _)) in zip(agent.desk.wire.placed, agent.desk.wire.sent, strict=True):
        if topic == TOPICS.log.name:
            by_partition.setdefault(to, []).append(log.header(value or b"").offset)
    assert len(by_partition) > 1
    assert all(offsets == sorted(offsets) for offsets in by_partition.values())


async def test_no_more_than_so_many_wait() -> None:
    """However long no flush comes, messages do not pile up: they are sent once they are too many."""
    agent = Agent()
    most = 0
    for first in range(0, 2 * POSTS_MOST, BACKLOG):
        await agent.folds(run_of(first, BACKLOG))
        most = max(most, len(agent.desk.folded.posted))
    assert most < POSTS_MOST
    assert len(agent.desk.wire.of(TOPICS.log.name)) == 2 * POSTS_MOST
