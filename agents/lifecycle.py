"""Lifecycle: one writer per customer. Folds the log, judges, announces, keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lifestage.partition import Partition
from streams.batches import BatchMessage
from streams.keeper import Keeper
from streams.profiles import ProfilesTable
from streams.stop import fail_stop

BACKLOG = 500
"""A run of so many records shows that more of the log waits. What comes of it for other partitions may then wait for the
next flush: it goes out in a few large batches, where one for each slice of a run and partition would hold 14 messages."""
POSTS_MOST = 2_000
"""Messages of a partition that wait for a flush at the most: about 0.5 MB."""


def check_next(partition: Partition, run: BatchMessage) -> None:
    """Stop where the log skips: records between what was folded and what comes would be lost without a word."""
    expected, first = partition.applied + 1, run.records[0].offset
    if first > expected > 0:
        fail_stop(f"{partition.topic}[{partition.number}]: offset {first} came where {expected} was expected")


def are_to_go(posts: int, run: BatchMessage) -> bool:
    """Whether so many messages to other partitions are sent now, in the middle of a run or at its end, not with the next flush."""
    return posts >= (POSTS_MOST if len(run.records) >= BACKLOG else 1)


def define_lifecycle(
    app: Any, log: Any, profiles: ProfilesTable, keeper: Keeper, folded: Callable[[int], None]
) -> None:
    """The agent on the log: every decision is in `Partition.folding`, every promise of durability in `Keeper`."""

    @app.agent(log, name="lifecycle")
    async def lifecycle(runs: Any) -> None:
        try:
            async for run in runs:
                assert isinstance(run, BatchMessage)
                async with keeper.gate(run.partition):
                    if not keeper.open:
                        continue
                    partition = profiles.partition(run.partition)
                    check_next(partition, run)
                    for changes in partition.folding((r.offset, r.key, r.value) for r in run.records):
                        if are_to_go(len(partition.posted), run):
                            await keeper.post(run.partition, partition.take_posted())
                        await keeper.tell(run.partition, changes)
                        await asyncio.sleep(0)
                await keeper.folded(partition)
                folded(len(run.records))
        except Exception as error:  # noqa: BLE001  # an agent that dies would go on without the record
            fail_stop("lifecycle failed: a record of the log could not be folded", error)
