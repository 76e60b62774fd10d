"""What a contestant is: how it is started on a prepared Kafka, and how it is seen that its last event is durable."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from benchmarks import equipment
from benchmarks.broker import Watch
from config.settings import Settings
from streams.embedded.process import free_ports
from streams.topics import topics_of

COMMIT_S = 1.0
"""How often peers commit. Their defaults are 3 s (Faust), 5 s (Quix), 10 s (Bytewax) and 30 s (Kafka Streams): with those the
end of a short run would mostly be waiting."""


class Where(NamedTuple):
    """One run's surroundings."""

    settings: Settings
    bootstrap: str
    directory: Path
    """For the contestant's own files; empty, and gone after the run."""

    @property
    def prefix(self) -> str:
        """What the run's topics begin with."""
        return self.settings.topics.prefix


class Contestant(Protocol):
    """One implementation of a job."""

    @property
    def name(self) -> str:
        """As in the table."""

    @property
    def share(self) -> float:
        """Of the events, and so of the customers: a slow one gets fewer, so that it ends."""

    @property
    def whole(self) -> bool:
        """Whether its changes are the product's documents, rather than the job's own small ones."""

    @property
    def ours(self) -> bool:
        """Whether it is ours; else a peer, or what ours is compared with."""

    @property
    def elsewhere(self) -> bool:
        """Whether its state is in Kafka, so that another machine can take over; else it is in its own files alone."""

    def topics(self) -> Iterable[str]:
        """Topics that it expects to be there, without prefix, beside those of the job."""

    def prepare(self, say: equipment.Say) -> None:
        """Install and compile what it needs, before anything is measured."""

    def command(self, where: Where) -> list[str]:
        """What to start."""

    def environment(self, where: Where) -> Mapping[str, str]:
        """With which variables, beside those of this process."""

    async def durable(self, watch: Watch, where: Where, events: int) -> int | None:
        """How many events are durable, with all that follows from them; None: all are when its process has ended."""


def addresses(where: Where) -> dict[str, str]:
    """What every peer is told."""
    return {
        "PEER_BROKER": where.bootstrap,
        "PEER_PREFIX": where.prefix,
        "PEER_DATADIR": str(where.directory),
        "PEER_COMMIT_S": str(COMMIT_S),
        "PEER_THREADS": "1",
    }


async def committed(watch: Watch, group: str, topics: Sequence[str]) -> int:
    """How many records of topics a group has committed."""
    found = await watch.committed(group)
    return sum(max(0, offset) for tp, offset in found.items() if tp.topic in topics)


class Peer:
    """What most peers have in common: a Python program in an environment of its own."""

    name, lock, module, share = "", "", "", 1.0
    ours, whole, elsewhere = False, False, True

    def topics(self) -> Iterable[str]:
        """None."""
        return ()

    def prepare(self, say: equipment.Say) -> None:
        """Its environment."""
        equipment.python_of(self.lock, say)

    def command(self, where: Where) -> list[str]:  # noqa: ARG002  # others ask
        """Its module."""
        return [str(equipment.python_of(self.lock, lambda _: None)), "-P", "-m", self.module]

    def environment(self, where: Where) -> Mapping[str, str]:
        """Its addresses."""
        return addresses(where)


@dataclass(frozen=True)
class Ours:
    """`lifestage worker`: both hops in one process."""

    name: str = "lifestage, whole worker"
    share: float = 1.0
    settings: tuple[tuple[str, str], ...] = (("REDIS_ENABLED", "false"),)
    """Variables without LIFESTAGE_ that differ from the defaults."""
    ours = whole = elsewhere = True

    def topics(self) -> Iterable[str]:
        """None: they are provisioned."""
        return ()

    def prepare(self, say: equipment.Say) -> None:
        """Nothing: it is there."""

    def command(self, where: Where) -> list[str]:  # noqa: ARG002  # others ask
        """What a user types."""
        return [sys.executable, "-P", "-m", "commands", "worker"]

    def environment(self, where: Where) -> Mapping[str, str]:
        """Defaults, but for where things are, and a clock that only the data move."""
        (port,) = free_ports(1)
        given = {
            "KAFKA_BOOTSTRAP": where.bootstrap,
            "KAFKA_GROUP": where.settings.kafka.group,
            "TOPICS_PREFIX": where.prefix,
            "TOPICS_SOURCES": ",".join(where.settings.topics.sources),
            "IDENTITY_SECRET": where.settings.identity.secret,
            "CLOCK_MODE": "data",
            "METRICS_PORT": str(port),
            "REDIS_PREFIX": where.prefix,
            "HOME": str(where.directory),
            **dict(self.settings),
        }
        return {f"LIFESTAGE_{name}": value for name, value in given.items()}

    async def durable(self, watch: Watch, where: Where, events: int) -> int | None:
        """The committed offset of the log, which only what is kept can be.

        The log holds messages between partitions, too. Those that come of a record are in it before that is committed: all
        is done when nothing is left of the sources and the log, and nothing came to the log while that was asked.
        """
        topics = topics_of(where.settings)
        ends = await watch.ends([topics.log.name], topics.log.partitions)
        held = await watch.committed(where.settings.kafka.group)
        folded = sum(min(end, max(0, held.get(tp, 0))) for tp, end in ends.items())
        sources = [topic.name for topic in topics.sources]
        read = sum(max(0, offset) for tp, offset in held.items() if tp.topic in sources)
        still = await watch.ends([topics.log.name], topics.log.partitions) == ends
        done = folded >= sum(ends.values()) and read >= events and still
        return events if done else min(folded, events - 1)
