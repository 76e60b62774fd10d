"""The end of a simulated history: nothing bad happens any more, and everything that is due gets done."""

from __future__ import annotations

from faust.types import TP

from tests.simulation.product import PARTITIONS
from tests.simulation.world import World, WrongError


def quiesce(world: World) -> None:
    """Nothing bad happens any more, and everything that is due gets done. Raises `WrongError` when it does not."""
    world.kafka.held.clear()
    for worker in world.workers:
        if worker.life.alive and worker.life.stopped:
            world.loop.resume(worker.life)
    for _ in range(1_200):
        if not any(w.life.alive for w in world.workers):
            world.start(0, 0)
        group = world.kafka.group
        for member in list(group.members.values()):
            if not member.life.alive:
                group.drop(member.life.name)
        world.flow(0, 0)
        world.check_troubles()
        if done(world):
            watched = world.loop.now + 2 * world.settings.kafka.session_timeout_s
            while any(w.takeovers.watched for w in world.workers if w.life.alive) and world.loop.now < watched + 3:
                world.flow(0, 0)
            if done(world):
                return
    raise WrongError(f"no end: {where(world)}")


def done(world: World) -> bool:
    """Whether all sources are in the log, all of the log is folded, durable and committed, and all has an owner."""
    committed = world.kafka.committed
    for topic in (*world.topics.sources, world.topics.log):
        for number in range(PARTITIONS):
            tp = TP(topic.name, number)
            if committed.get(tp, (0, ""))[0] < world.kafka.logs[tp].end:
                return False
    working = [w for w in world.workers if w.life.alive]
    if any(w.client.assigned and w.app.in_recovery for w in working):
        return False
    # What a dead owner left has to be recovered even where nothing is left to be folded: that mends late writes.
    return {number for w in working if w.keeper.open for number in w.profiles.owned} == set(range(PARTITIONS))


def where(world: World) -> str:
    """Ends and commits, for a message."""
    return ", ".join(
        f"{tp.topic}[{tp.partition}] {world.kafka.committed.get(tp, (0,))[0]}/{world.kafka.logs[tp].end}"
        for topic in (*world.topics.sources, world.topics.log)
        for tp in (TP(topic.name, number) for number in range(PARTITIONS))
    )
