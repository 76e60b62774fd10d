"""The contestants of job (a)."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from benchmarks import equipment
from benchmarks.broker import Watch
from benchmarks.contest import COMMIT_S, Contestant, Ours, Peer, Where, committed


class OursSimple(Peer):
    """`benchmarks/ours_simple.py`: the batch path with the job's own fold."""

    name, ours = "lifestage's batch path", True

    def topics(self) -> Iterable[str]:
        """Its changelog, which the product would provision."""
        return ("simple-changelog",)

    def prepare(self, say: equipment.Say) -> None:
        """Nothing: it is there."""

    def command(self, where: Where) -> list[str]:  # noqa: ARG002  # as others
        """A small app."""
        return [sys.executable, "-P", "-m", "benchmarks.ours_simple"]

    async def durable(self, watch: Watch, where: Where, events: int) -> int | None:  # noqa: ARG002  # as others
        """What is committed: changes and state are before that."""
        return await committed(watch, f"{where.prefix}simple", [f"{where.prefix}events"])


class PlainFaust(Peer):
    """`peers/simple_faust.py`."""

    name, lock, module, share = "plain Faust", "faust", "benchmarks.peers.simple_faust", 0.1

    def command(self, where: Where) -> list[str]:
        """What its documentation says to type."""
        return [*super().command(where), "worker", "-l", "warn", "--without-web"]

    async def durable(self, watch: Watch, where: Where, events: int) -> int | None:  # noqa: ARG002  # as others
        """Its table's changelog has a record for each event; its commits come later and are not waited for."""
        ends = await watch.ends([f"{where.prefix}plain-faust-customers-changelog"], where.settings.topics.partitions)
        return sum(ends.values())


class Quix(Peer):
    """`peers/simple_quix.py`."""

    name, lock, module, share = "Quix Streams", "quixstreams", "benchmarks.peers.simple_quix", 0.5

    async def durable(self, watch: Watch, where: Where, events: int) -> int | None:  # noqa: ARG002  # as others
        """What is committed: a checkpoint has flushed changes and changelog before that."""
        return await committed(watch, f"{where.prefix}quix", [f"{where.prefix}events"])


class Bytewax(Peer):
    """`peers/simple_bytewax.py`, which reads to the end and ends: then all snapshots are in SQLite."""

    name, lock, elsewhere = "Bytewax", "bytewax", False

    def command(self, where: Where) -> list[str]:
        """Make the recovery folder and run, as its documentation says, in one process with one worker."""
        python = str(equipment.python_of(self.lock, lambda _: None))
        folder = str(where.directory)
        run = f"-m bytewax.run benchmarks.peers.simple_bytewax:flow -r {folder} -s {COMMIT_S:g} -b 0"
        made = f"test -f {folder}/part-0.sqlite3 || {python} -P -m bytewax.recovery {folder} 1"
        return ["/bin/sh", "-c", f"{{ {made}; }} && exec {python} -P {run}"]

    async def durable(self, watch: Watch, where: Where, events: int) -> int | None:  # noqa: ARG002  # as others
        """When it has ended."""
        return None


class KafkaStreams(Peer):
    """`peers/SimpleStreams.java`: a RocksDB store behind the record cache, one thread."""

    name = "Kafka Streams"

    def prepare(self, say: equipment.Say) -> None:
        """Jars and classes."""
        equipment.streams_command("SimpleStreams", 1024, say)

    def command(self, where: Where) -> list[str]:  # noqa: ARG002  # as others
        """Java."""
        return equipment.streams_command("SimpleStreams", 1024, lambda _: None)

    async def durable(self, watch: Watch, where: Where, events: int) -> int | None:  # noqa: ARG002  # as others
        """What is committed: the caches are flushed, and all that was sent is acknowledged, before that."""
        return await committed(watch, f"{where.prefix}streams", [f"{where.prefix}events"])


def contestants() -> list[Contestant]:
    """All of job (a), ours first."""
    return [OursSimple(), Ours(), KafkaStreams(), Bytewax(), Quix(), PlainFaust()]
