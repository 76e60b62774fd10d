"""The contestants of job (b)."""

from __future__ import annotations

from benchmarks import equipment
from benchmarks.broker import Watch
from benchmarks.contest import Contestant, Ours, Peer, Where, committed

NO_IDENTITY = (("REDIS_ENABLED", "false"), ("IDENTITY_LINK", "false"))


class TwoHops(Peer):
    """One that commits both its topics, each after what follows from it."""

    group, keyed = "", ""
    """Without prefix; `{group}` in `keyed` stands for the whole name of the group."""

    async def durable(self, watch: Watch, where: Where, events: int) -> int | None:
        """What is committed of the second hop, once the first is; all events, when nothing is left of either."""
        group = where.prefix + self.group
        read = await committed(watch, group, [f"{where.prefix}events"])
        keyed = self.keyed.format(prefix=where.prefix, group=group)
        ends = sum((await watch.ends([keyed], where.settings.topics.partitions)).values())
        folded = await committed(watch, group, [keyed])
        return events if read >= events and folded >= ends > 0 else min(folded, events - 1)


class PlainFaust(TwoHops):
    """`peers/full_faust.py`."""

    name, lock, module, share = "plain Faust", "faust", "benchmarks.peers.full_faust", 0.05
    group, keyed = "plain-faust", "{prefix}plain-faust-keyed"

    def command(self, where: Where) -> list[str]:
        """What its documentation says to type."""
        return [*super().command(where), "worker", "-l", "warn", "--without-web"]


class Quix(TwoHops):
    """`peers/full_quix.py`."""

    name, lock, module, share = "Quix Streams", "quixstreams", "benchmarks.peers.full_quix", 0.2
    group, keyed = "quix", "repartition__{group}--{prefix}events--bucket"


class KafkaStreams(TwoHops):
    """`peers/FullStreams.java`: two sub-topologies with a repartition topic between them, one thread."""

    name, group, keyed = "Kafka Streams", "streams", "{group}-keyed-repartition"

    def prepare(self, say: equipment.Say) -> None:
        """Jars and classes."""
        equipment.streams_command("FullStreams", 1024, say)

    def command(self, where: Where) -> list[str]:  # noqa: ARG002  # as others
        """Java."""
        return equipment.streams_command("FullStreams", 1024, lambda _: None)


def contestants() -> list[Contestant]:
    """All of job (b), ours first."""
    return [Ours("lifestage, no identity", settings=NO_IDENTITY), KafkaStreams(), Quix(), PlainFaust()]
