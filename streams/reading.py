"""Where to go on reading after a recovery: the state says it, and what contradicts the state stops the process."""

from __future__ import annotations

from faust.types import TP

from streams.batches import BatchConsumer
from streams.profiles import ProfilesTable
from streams.stop import fail_stop
from streams.topics import Topics


async def targets(consumer: BatchConsumer, profiles: ProfilesTable, topics: Topics, assigned: set[TP]) -> dict[TP, int]:
    """The next offset to read of each assigned partition: log partitions after their marker, sources after the commit.

    A position before the first record kept, or behind the end, means that records are gone or the topic is another
    one: going on would lose or skip without a word, so the process stops and says which.
    """
    thread = consumer._thread
    first, end = await thread.bounds(assigned)
    committed = await thread.committed([tp for tp in assigned if tp.topic != topics.log.name])
    found = {}
    for tp in assigned:
        if tp.topic == topics.log.name:
            partition = profiles.partition(tp.partition)
            wanted: int | None = partition.applied + 1 if partition.applied >= 0 else None
            holder = "the changelog"
        else:
            wanted = committed.get(tp)
            holder = "the group's commit"
        if wanted is None:
            if tp.topic == topics.log.name and first[tp] > 0:
                fail_stop(f"{tp.topic}[{tp.partition}] starts at offset {first[tp]}, but no state has what came before")
            found[tp] = first[tp]
        elif wanted > end[tp]:
            fail_stop(
                f"{tp.topic}[{tp.partition}]: {holder} stands at offset {wanted}, but the topic ends at {end[tp]}: it was "
                "created anew or cut. Start with a new kafka.group, or restore the topic"
            )
        elif wanted < first[tp]:
            fail_stop(
                f"{tp.topic}[{tp.partition}]: {holder} stands at offset {wanted}, but records before {first[tp]} are gone "
                "(retention). They cannot be folded any more: start with a new kafka.group, or restore the topic"
            )
        else:
            found[tp] = wanted
    return found
