"""The stories of the shipped plans through the door and the lifecycle agent, on bytes, without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from faust.types import TP

from agents.lifecycle import define_lifecycle
from config.settings import Identity, Settings
from lifestage import log
from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.keys import email_key
from lifestage.language_stories import Story
from lifestage.messages import Posted
from lifestage.partition import Partition
from lifestage.stories import Move, differences, end_of, moves_of
from streams.batches import BatchMessage
from streams.doorway import Doorway, decoder_of
from tests.stories.shipped import Told, earlier, event, renamed, stories

SECRET = "a secret of the tests, 32 bytes."
SOURCE, LOG, NUMBER = "visits", "customer-events", 3
LONG_AGO = 3653
"""Days. A story may be long, and the door refuses an event of the future."""


class Agents:
    """Stands where Faust is: it keeps the agent that is defined, and what the agent tells."""

    def __init__(self, rules: Rules) -> None:
        self.folded = Partition(rules, LOG, NUMBER)
        self.agent_of: Callable[[Any], Any] = lambda _: None
        self.told: list[Announced] = []
        self.open = True
        self.runs = 0

    def agent(self, _: object, name: str) -> Callable[[Any], Any]:
        """Keep the agent."""
        assert name == "lifecycle"

        def keep(function: Any) -> Any:
            self.agent_of = function
            return function

        return keep

    def partition(self, number: int) -> Partition:
        """The one partition."""
        assert number == NUMBER
        return self.folded

    def gate(self, _: int) -> asyncio.Lock:
        """Open to whoever comes."""
        return asyncio.Lock()

    async def tell(self, _: int, changes: Iterable[Announced]) -> None:
        """Keep what is announced."""
        self.told += changes

    async def post(self, _: int, posted: Iterable[Posted]) -> None:
        """Messages are for other partitions: a story is about each id by itself."""
        assert all(one.key for one in posted)

    async def folded_run(self, _: Partition) -> None:
        """Count the runs."""
        self.runs += 1


def log_of(story: Story) -> list[tuple[bytes | None, bytes]]:
    """What intake writes into the log: each event, as a sender writes it, through the door; and a tick at the end."""
    settings = Settings(identity=Identity(secret=SECRET))
    door = Doorway(decoder_of(settings), (SOURCE,), 8)
    found: list[tuple[bytes | None, bytes]] = []
    for line in story.lines:
        if line.fact is not None:
            record = SimpleNamespace(
                topic=SOURCE, partition=0, offset=len(found), timestamp=-1, key=None, headers=(),
                value=msgspec.json.encode(event(line.fact)),
            )  # fmt: skip
            entry = door.enter(record)
            assert entry.dead_letter is None, entry
            found.append((entry.key, entry.value))
    return [*found, (None, log.pack_tick(log.Tick(end_of(story), live=False)))]


async def runs_of(records: list[tuple[bytes | None, bytes]], most: int) -> AsyncIterator[BatchMessage]:
    """The log as the consumer hands it out, so many records at a time."""
    for first in range(0, len(records), most):
        together = records[first : first + most]
        last = first + len(together) - 1
        run = BatchMessage(LOG, NUMBER, last, 0.0, 0, [], None, b"", None, tp=TP(LOG, NUMBER))
        run.records = [
            SimpleNamespace(offset=first + at, key=key, value=value) for at, (key, value) in enumerate(together)
        ]
        yield run


def as_told(moves: Iterable[Move], story: Story) -> list[Move]:
    """Moves by the names of the story: an address has become a key on its way."""
    names = {email_key(line.key.removeprefix("email:"), SECRET.encode()): line.key for line in story.lines}
    return [move._replace(key=names.get(move.key, move.key)) for move in moves]


@pytest.mark.parametrize("told", stories(), ids=str)
@pytest.mark.parametrize("most", [1, 3, 1000])
async def test_a_story_is_true_through_the_agent(told: Told, most: int) -> None:
    """However the log is cut into runs, the lifecycle agent tells what the story tells."""
    story = earlier(renamed(told.story, "s"), LONG_AGO)
    faust: Any = Agents(told.rules)
    taken: list[int] = []
    keeper: Any = SimpleNamespace(gate=faust.gate, open=True, tell=faust.tell, post=faust.post, folded=faust.folded_run)
    define_lifecycle(faust, None, faust, keeper, taken.append)
    records = log_of(story)
    await faust.agent_of(runs_of(records, most))
    assert sum(taken) == len(records)
    assert faust.runs == len(taken) == -(-len(records) // most)
    assert [str(failure) for failure in differences(story, as_told(moves_of(faust.told), story))] == []
