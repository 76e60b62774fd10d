"""Where to go on reading after a recovery: the state says it, and what contradicts the state stops the process."""

from __future__ import annotations

from collections.abc import Mapping

from faust.types import TP

from streams.batches import BatchConsumer
from streams.profiles import ProfilesTable
from streams.stop import fail_stop
from streams.topics import Topics


async def targets(
    consumer: BatchConsumer,
    profiles: ProfilesTable,
    topics: Topics,
    assigned: set[TP],
    committed: Mapping[TP, int | None],
) -> dict[TP, int]:
    """The next offset to read of each assigned partition: log partitions after their marker, sources after the commit.

    A position before the first record kept, or behind the end, means that records are gone or the topic is another
    one: going on would lose or skip without a word, so the process stops and says which.
    """
    first, end = await consumer._thread.bounds(assigned)
    found = {}
    for tp in assigned:
        if tp.topic == topics.log.name:
            applied = profiles.partition(tp.partition).applied
            wanted = applied + 1 if applied >= 0 else None
            _check_log(tp, wanted, committed[tp], first[tp], end[tp])
        else:
            wanted = committed[tp]
            _check_source(tp, wanted, first[tp], end[tp])
        found[tp] = first[tp] if wanted is None else wanted
    return found


def _check_log(tp: TP, wanted: int | None, committed: int | None, first: int, end: int) -> None:
    """Stop unless the log has all that the state lacks, and all that it was ever said to have."""
    place = f"{tp.topic}[{tp.partition}]"
    if wanted is None and first > 0:
        fail_stop(
            f"{place} starts at offset {first}, but no state has what came before: the changelog has lost its records "
            "and they cannot be made again. Restore the changelog, or start with a new topics.prefix and kafka.group"
        )
    if wanted is not None and wanted > end:
        fail_stop(
            f"{place}: the changelog stands at offset {wanted}, but the topic ends at {end}: it was created anew or cut. "
            "Restore the topic, or start with a new topics.prefix and kafka.group"
        )
    if wanted is not None and wanted < first:
        fail_stop(
            f"{place}: the changelog stands at offset {wanted}, but records before {first} are gone (retention). They "
            "cannot be folded any more: restore the topic, or start with a new topics.prefix and kafka.group"
        )
    if committed is not None and committed > end:
        # The state says where to read. But nothing was ever committed that had not been in the log.
        fail_stop(
            f"{place}: the group's commit stands at offset {committed}, but the topic ends at {end}. If the commit was "
            "set by hand, reset it to the earliest: the changelog says where to go on. If the topic was created anew or "
            "cut, restore it, or start with a new topics.prefix and kafka.group"
        )


def _check_source(tp: TP, wanted: int | None, first: int, end: int) -> None:
    """Stop unless the source has all that was not taken in yet."""
    place = f"{tp.topic}[{tp.partition}]"
    if wanted is not None and wanted > end:
        fail_stop(
            f"{place}: the group's commit stands at offset {wanted}, but the topic ends at {end}: it was created anew or "
            "cut, or the commit was set by hand. Reset the group's offsets of this topic to the earliest: what was taken "
            "in before is not taken in twice"
        )
    if wanted is not None and wanted < first:
        fail_stop(
            f"{place}: the group's commit stands at offset {wanted}, but records before {first} are gone (retention). "
            "Restore them, or take the loss: reset the group's offsets of this topic to the earliest"
        )
