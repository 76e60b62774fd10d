"""A worker that dies at a named point, or with one of its guards taken out: what the tests of faults are tested with.

    python -m tests.broken_worker ARM WORDS worker …

WORDS, with commas, are names of `POINTS` (die there, once the file ARM exists), of `BREAKS` or of `tests.breaks` (work
wrongly), or of `HANDICAPS` (work slowly).
Kafka batches are kept small, so that a flush of a few hundred customers is many of them and can be cut in the middle.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from faust.types import TP

from commands.main import main
from lifestage.clock import Reading, Rounds
from lifestage.marker import MARKER_KEY, PREPARED_KEY
from lifestage.messages import Posted
from lifestage.partition import Checkpoint, Partition
from lifestage.profile import Profile
from lifestage.restored import Restored
from streams import forwarding, keeper, outbox, reading, ticking
from streams.batches import BatchThread
from streams.doorway import partition_of
from streams.forwarding import Forwarder
from streams.keeper import Keeper
from streams.outbox import NO_HEADERS, Outbox, OutRecord
from streams.posting import Posting
from streams.profiles import ProfilesTable
from tests.breaks import WORDS

DIED = 77
"""Exit code at a named point: no other way out has it."""
BATCH_BYTES = 6_000
arm = Path()


def die() -> NoReturn:
    """End here and now, as SIGKILL would."""
    os._exit(DIED)


# -- points ------------------------------------------------------------------------------------------------------------


def log_half_written() -> None:
    """A round of facts is in one partition of the log and not in the others."""
    send = Outbox.send

    async def dying(
        self: Outbox, topic: str, partition: int, records: Iterable[OutRecord], *, join: bool = False
    ) -> Any:
        futures = await send(self, topic, partition, records, join=join)
        if topic.endswith("customer-events") and arm.exists():
            await asyncio.gather(*futures)
            die()
        return futures

    Outbox.send = dying  # type: ignore[method-assign]


def log_written() -> None:
    """A round of facts is in the log, and the offsets of its sources are not committed."""
    acknowledged = outbox.acknowledged

    async def dying(futures: Any, what: str) -> Any:
        done = await acknowledged(futures, what)
        if arm.exists():
            die()
        return done

    forwarding.acknowledged = dying  # type: ignore[attr-defined]


def changes_acknowledged() -> None:
    """Changes are out, and nothing of the state they follow from is kept."""
    keep = Keeper._keep

    async def dying(self: Keeper, number: int, checkpoint: Checkpoint) -> None:
        if arm.exists() and len(checkpoint.profiles) > 20:
            die()
        await keep(self, number, checkpoint)

    Keeper._keep = dying  # type: ignore[method-assign]


def messages_half_written() -> None:
    """What one partition tells others is in some of them, and nothing of the state that it follows from is kept."""
    send = Posting.send

    async def dying(self: Posting, number: int, posted: Iterable[Posted]) -> Any:
        given = list(posted)
        if not given or not arm.exists():
            return await send(self, number, given)
        partition = partition_of(given[0].key, self._log.partitions)
        some = [one for one in given if partition_of(one.key, self._log.partitions) == partition]
        await asyncio.gather(*await send(self, number, some))
        die()

    Posting.send = dying  # type: ignore[method-assign]


def messages_written() -> None:
    """What partitions tell each other is in the log, and nothing of the state that it follows from is kept."""
    acknowledged = outbox.acknowledged

    async def dying(futures: Any, what: str) -> Any:
        waited = list(futures)
        done = await acknowledged(waited, what)
        if what == "messages" and waited and arm.exists():
            die()
        return done

    keeper.acknowledged = dying  # type: ignore[attr-defined]


def first_of_several() -> None:
    """The first batch of a flush is in the changelog, and the others are not."""
    send = Outbox.send

    async def dying(
        self: Outbox, topic: str, partition: int, records: Iterable[OutRecord], *, join: bool = False
    ) -> Any:
        given = list(records)
        batches = list(self._batches(given)) if topic.endswith("-changelog") and arm.exists() else []
        if len(batches) < 3:
            return await send(self, topic, partition, given, join=join)
        await (await self._submit(batches[0], topic, partition))
        die()

    Outbox.send = dying  # type: ignore[method-assign]


def profiles_kept() -> None:
    """All profiles of a flush are in the changelog, and its marker is not."""
    write = Keeper._write

    async def dying(self: Keeper, number: int, records: list[OutRecord]) -> None:
        if arm.exists() and records and records[0][0] == MARKER_KEY:
            die()
        await write(self, number, records)

    Keeper._write = dying  # type: ignore[method-assign]


def marker_kept() -> None:
    """A flush is whole, and nothing of it is committed."""
    keep = Keeper._keep

    async def dying(self: Keeper, number: int, checkpoint: Checkpoint) -> None:
        await keep(self, number, checkpoint)
        if arm.exists() and len(checkpoint.profiles) > 20:
            die()

    Keeper._keep = dying  # type: ignore[method-assign]


def committed() -> None:
    """A commit has just been answered."""
    commit = BatchThread._commit

    async def dying(self: BatchThread, offsets: Any) -> bool:
        done = await commit(self, offsets)
        if arm.exists() and offsets:
            die()
        return done

    BatchThread._commit = dying  # type: ignore[method-assign]


def recovering() -> None:
    """A part of the changelog has been read back: one run of records, and as many more as ARM says; or else all of it."""
    apply, completed = ProfilesTable.apply_changelog_batch, ProfilesTable.on_recovery_completed
    runs = 0

    def dying(self: ProfilesTable, batch: Iterable[Any]) -> None:
        nonlocal runs
        apply(self, batch)
        runs += 1
        if arm.exists() and self.restored and runs > int(arm.read_text() or 0):
            die()

    async def dying_last(self: ProfilesTable, active_tps: set[TP], standby_tps: set[TP]) -> None:
        if arm.exists() and self.restored:
            die()
        await completed(self, active_tps, standby_tps)

    ProfilesTable.apply_changelog_batch = dying  # type: ignore[method-assign]
    ProfilesTable.on_recovery_completed = dying_last  # type: ignore[method-assign]


# -- breaks ------------------------------------------------------------------------------------------------------------


def guard_off() -> None:
    """A record that a profile has applied is applied again."""
    load = Partition._load

    def forgetful(self: Restored, key: bytes) -> Profile:
        profile = load(self, key)
        profile.applied = -1
        return profile

    Partition._load = forgetful  # type: ignore[method-assign]


def prepared_off() -> None:
    """A flush of several batches is not announced."""
    write = Keeper._write

    async def silent(self: Keeper, number: int, records: list[OutRecord]) -> None:
        await write(self, number, [record for record in records if record[0] != PREPARED_KEY])

    Keeper._write = silent  # type: ignore[method-assign]


def marker_first() -> None:
    """The marker says that profiles are kept before they are."""

    async def keep(self: Keeper, number: int, checkpoint: Checkpoint) -> None:
        await self._write(number, [(MARKER_KEY, checkpoint.marker, NO_HEADERS)])
        await self._write(number, [(key, value, NO_HEADERS) for key, value in checkpoint.profiles.items()])

    Keeper._keep = keep  # type: ignore[method-assign]


def state_before_changes() -> None:
    """Changes go out only after the state they follow from is kept."""
    keep, tell, told = Keeper._keep, Keeper.tell, dict[int, list[Any]]()

    async def late_tell(_: Keeper, number: int, changes: Iterable[Any]) -> None:
        told.setdefault(number, []).extend(changes)

    async def early_keep(self: Keeper, number: int, checkpoint: Checkpoint) -> None:
        waiting = told.pop(number, [])
        await keep(self, number, checkpoint)
        await tell(self, number, waiting)

    Keeper.tell, Keeper._keep = late_tell, early_keep  # type: ignore[method-assign, assignment]


def messages_after_state() -> None:
    """What partitions tell each other goes out only after the state it follows from is kept."""
    keep, post, unsent = Keeper._keep, Keeper.post, dict[int, list[Posted]]()

    async def late_post(_: Keeper, number: int, posted: list[Posted]) -> None:
        unsent.setdefault(number, []).extend(posted)

    async def early_keep(self: Keeper, number: int, checkpoint: Checkpoint) -> None:
        waiting = unsent.pop(number, [])
        await keep(self, number, checkpoint)
        await post(self, number, waiting)

    Keeper.post, Keeper._keep = late_post, early_keep  # type: ignore[method-assign, assignment]


def commit_ahead() -> None:
    """What is folded is committed before it is kept, reading goes on from the commit, and nobody minds that it skips."""
    folded, targets = Keeper.folded, reading.targets

    async def hasty(self: Keeper, partition: Partition) -> None:
        if self.consumer is not None:
            self.consumer.positions.reach(TP(self._topics.log.name, partition.number), partition.applied + 1)
        await folded(self, partition)

    async def trusting(*given: Any) -> dict[TP, int]:
        found, committed = await targets(*given), given[-1]
        return {tp: offset if committed[tp] is None else committed[tp] for tp, offset in found.items()}

    import agents.app
    import agents.lifecycle

    agents.lifecycle.check_next = lambda *_: None
    Keeper.folded = hasty  # type: ignore[method-assign]
    agents.app.targets = trusting  # type: ignore[attr-defined, assignment]


def source_commit_ahead() -> None:
    """Source offsets are committed before the log has the facts; dies in between."""
    send_round = Forwarder._send_round

    async def hasty(self: Forwarder, patient: bool) -> bool:
        ready = self._merge.take(self._unread(), patient) if arm.exists() else []
        if not ready:
            return await send_round(self, patient)
        assert self.consumer is not None
        for ranked in ready:
            self.consumer.positions.reach(ranked.source, ranked.offset + 1, str(ranked.rank))
        await asyncio.sleep(1)
        die()

    Forwarder._send_round = hasty  # type: ignore[method-assign]


def clock_unheld() -> None:
    """The log's clock is the wall clock, whatever waits."""
    ticking.read_clock = lambda wall, *_: Reading(wall, True, ())  # type: ignore[attr-defined]


def rounds_off() -> None:
    """The log's clock waits for no message that is on its way."""
    ticking.Rounds = lambda: Rounds(0)  # type: ignore[attr-defined, assignment, misc]


def origins_off() -> None:
    """A fact that was put into the log twice is taken for two."""
    record = Partition._record

    def blind(self: Partition, offset: int, key: bytes | None, value: bytes) -> Any:
        self.marker.origins.clear()
        return record(self, offset, key, value)

    Partition._record = blind  # type: ignore[method-assign]


def prepared_kpis_off() -> None:
    """Of a flush that was cut off the KPI sums are not taken from its announcement."""
    adopt = Partition._adopt_prepared

    def blind(self: Partition) -> None:
        self._prepared_kpis = self.kpis
        adopt(self)

    Partition._adopt_prepared = blind  # type: ignore[method-assign]


# -- handicaps ---------------------------------------------------------------------------------------------------------


def slow_intake() -> None:
    """Nothing is put into the log in the first two seconds."""
    run = Forwarder.run

    async def late(self: Forwarder) -> None:
        await asyncio.sleep(2)
        await run(self)

    Forwarder.run = late  # type: ignore[method-assign]


def slow_fold() -> None:
    """As long as ARM exists, five seconds pass after each run of the log that is folded."""
    folded = Keeper.folded

    async def late(self: Keeper, partition: Partition) -> None:
        await folded(self, partition)
        for _ in range(50):
            if not arm.exists():
                break
            await asyncio.sleep(0.1)

    Keeper.folded = late  # type: ignore[method-assign]


def slow_post() -> None:
    """As long as ARM exists, what partitions tell each other is not sent."""
    post = Keeper.post

    async def late(self: Keeper, number: int, posted: list[Posted]) -> None:
        while posted and arm.exists():  # noqa: ASYNC110  # a file wakes nobody
            await asyncio.sleep(0.05)
        await post(self, number, posted)

    Keeper.post = late  # type: ignore[method-assign]


POINTS: dict[str, Callable[[], None]] = {
    point.__name__: point
    for point in (
        log_half_written, log_written, messages_half_written, messages_written, changes_acknowledged, first_of_several, profiles_kept, marker_kept, committed,
        recovering,
    )
}  # fmt: skip
BREAKS: dict[str, Callable[[], None]] = {
    broken.__name__: broken
    for broken in (
        guard_off, prepared_off, marker_first, state_before_changes, commit_ahead, source_commit_ahead, origins_off,
        clock_unheld, messages_after_state, rounds_off, prepared_kpis_off,
    )
}  # fmt: skip

HANDICAPS: dict[str, Callable[[], None]] = {slow.__name__: slow for slow in (slow_intake, slow_fold, slow_post)}


if __name__ == "__main__":
    arm = Path(sys.argv[1])
    outbox.BATCH_BYTES = BATCH_BYTES
    for word in filter(None, sys.argv[2].split(",")):
        (POINTS | BREAKS | WORDS | HANDICAPS)[word]()
    sys.argv[1:] = sys.argv[3:]
    main()
