"""The product with one of its guards taken out. Each must be found by histories that the whole product comes through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from faust.types import TP

from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.marker import MARKER_KEY, PREPARED_KEY
from lifestage.messages import Message, Posted
from lifestage.partition import Checkpoint, Partition
from lifestage.profile import Profile
from streams import outbox, profiles, reading
from streams.batches import BatchConsumer
from streams.keeper import Keeper
from streams.outbox import NO_HEADERS, OutRecord


class Careless(Partition):
    """Applies a record again that a profile has applied."""

    def _load(self, key: bytes) -> Profile:
        profile = super()._load(key)
        profile.applied = -1
        return profile


class LastWins(Partition):
    """Takes of two changelog records of a customer the later written, as a plain table does."""

    def restore(self, key: bytes, value: bytes | None, applied: int = -1) -> None:
        """The last counts."""
        if key in {MARKER_KEY, PREPARED_KEY}:
            super().restore(key, value, applied)
            return
        self.stored.pop(key, None)
        self.gone.pop(key, None)
        super().restore(key, value, applied)


class Unversioned(Partition):
    """Takes a tombstone for what it says and not for when it was said."""

    def restore(self, key: bytes, value: bytes | None, applied: int = -1) -> None:
        """A tombstone removes."""
        if value is None:
            self.stored.pop(key, None)
        else:
            super().restore(key, value, applied)


class Blind(Partition):
    """Takes a fact that was put into the log twice for two."""

    def _record(self, offset: int, key: bytes | None, value: bytes) -> Any:
        known, self.marker.origins = self.marker.origins, {}
        done = super()._record(offset, key, value)
        for topic, places in self.marker.origins.items():
            for number, position in places.items():
                before = known.setdefault(topic, {})
                before[number] = max(position, before.get(number, -1))
        self.marker.origins = known
        return done


class Unnumbered(Partition):
    """Gives each message of a record the same place in its origin."""

    def post(self, message: Message) -> None:
        """The first."""
        self._n = 0
        super().post(message)


class Silent(Partition):
    """Takes what it folds first after a recovery for told."""

    taken_over = False

    def recovered(self) -> None:
        """Ready."""
        super().recovered()
        self.taken_over = self.applied >= 0

    def take_posted(self) -> list[Posted]:
        """None at first."""
        posted, taken_over, self.taken_over = super().take_posted(), self.taken_over, False
        return [] if taken_over else posted


def _partition(kind: Callable[[Rules, str, int, int], Partition]) -> Any:
    return patch.object(profiles, "Partition", kind)


def guard_off() -> Any:
    """No profile knows what it has applied."""
    return _partition(Careless)


def last_wins() -> Any:
    """What a former owner writes late counts."""
    return _partition(LastWins)


def tombstone_without_offset() -> Any:
    """A tombstone has no place in the order."""
    return _partition(Unversioned)


def origins_off() -> Any:
    """Source records that come in twice are not known again."""
    return _partition(Blind)


def gate_off() -> Any:
    """An offset may be committed while what follows from it is on its way."""
    keep = Keeper._keep

    async def hasty(self: Keeper, number: int, checkpoint: Checkpoint) -> None:
        consumer = self.consumer
        if checkpoint.final and consumer is not None:
            consumer.positions.reach(TP(self._topics.log.name, number), checkpoint.offset + 1)
        await keep(self, number, checkpoint)

    return patch.object(Keeper, "_keep", hasty)


def state_before_changes() -> Any:
    """Changes go out after the state they follow from."""
    keep, tell = Keeper._keep, Keeper.tell

    async def held(self: Keeper, number: int, changes: Iterable[Announced]) -> None:
        self.__dict__.setdefault("late", {}).setdefault(number, []).extend(changes)

    async def first(self: Keeper, number: int, checkpoint: Checkpoint) -> None:
        await keep(self, number, checkpoint)
        await tell(self, number, self.__dict__.get("late", {}).pop(number, []))

    return _both(patch.object(Keeper, "tell", held), patch.object(Keeper, "_keep", first))


def state_before_messages() -> Any:
    """What a partition tells others goes out after the state it follows from."""
    keep, post = Keeper._keep, Keeper.post

    async def held(self: Keeper, number: int, posted: list[Posted]) -> None:
        self.__dict__.setdefault("unsent", {}).setdefault(number, []).extend(posted)

    async def first(self: Keeper, number: int, checkpoint: Checkpoint) -> None:
        await keep(self, number, checkpoint)
        await post(self, number, self.__dict__.get("unsent", {}).pop(number, []))

    return _both(patch.object(Keeper, "post", held), patch.object(Keeper, "_keep", first))


def rewind_off() -> Any:
    """After a recovery the log is read on from the group's commit."""
    targets = reading.targets

    async def from_commit(consumer: Any, table: Any, topics: Any, assigned: Any, committed: Any) -> Any:
        found = await targets(consumer, table, topics, assigned, committed)
        return {tp: committed.get(tp) or found[tp] for tp in found}

    return patch("agents.app.targets", from_commit)


def marker_first() -> Any:
    """The marker says that profiles are kept before they are."""

    async def keep(self: Keeper, number: int, checkpoint: Checkpoint) -> None:
        await self._write(number, [(MARKER_KEY, checkpoint.marker, NO_HEADERS)])
        await self._write(number, [(key, value, NO_HEADERS) for key, value in checkpoint.profiles.items()])

    return patch.object(Keeper, "_keep", keep)


def prepared_off() -> Any:
    """A flush of several batches is not announced."""
    write = Keeper._write

    async def silent(self: Keeper, number: int, records: list[OutRecord]) -> None:
        await write(self, number, [record for record in records if record[0] != PREPARED_KEY])

    return patch.object(Keeper, "_write", silent)


def commit_dropped() -> Any:
    """At a revocation what was taken is forgotten before it is drained and committed, as stock Faust does."""

    async def revoked(self: BatchConsumer, gone: Any) -> None:
        self.revocations += 1
        self.stop_flow()
        self.app.flow_control.suspend()
        self.app.flow_control.clear()
        await super(BatchConsumer, self).on_partitions_revoked(gone)

    return _both(
        patch.object(BatchConsumer, "on_partitions_revoked", revoked),
        patch.object(BatchConsumer, "wait_empty", lambda self: self.commit()),
    )


def flush_lost() -> Any:
    """A flush gives up waiting after 0.1 s, and its offset is committed all the same, as stock Faust does."""
    acknowledged = outbox.acknowledged

    async def impatient(futures: Iterable[Any], what: str) -> Any:
        waiting = list(futures)
        if what != "profiles":
            return await acknowledged(waiting, what)
        if waiting:
            await asyncio.wait(waiting, timeout=0.1)
        return [future.result() for future in waiting if future.done() and future.exception() is None]

    return patch("streams.keeper.acknowledged", impatient)


def posts_unawaited() -> Any:
    """State is kept while the messages that follow from it are on their way."""
    acknowledged = outbox.acknowledged

    async def hasty(futures: Iterable[Any], what: str) -> Any:
        return [] if what == "messages" else await acknowledged(futures, what)

    return patch("streams.keeper.acknowledged", hasty)


def posts_not_again() -> Any:
    """What a partition folds first after it was taken over sends no messages: somebody may have sent them before."""
    return _partition(Silent)


def posts_dropped() -> Any:
    """Messages wait for a flush, and those that wait when partitions go are forgotten."""
    newest, drain = Keeper._tell_newest, Keeper.drain

    async def before(self: Keeper, number: int, untold: Any) -> None:
        await _send_waiting(self, number)
        await newest(self, number, untold)

    async def forgetful(self: Keeper) -> None:
        self.__dict__.pop("waiting", None)
        await drain(self)

    return _both(
        patch.object(Keeper, "post", _wait),
        patch.object(Keeper, "_tell_newest", before),
        patch.object(Keeper, "drain", forgetful),
    )


def posts_unnumbered() -> Any:
    """All messages of a record have the same origin."""
    return _partition(Unnumbered)


async def _wait(self: Keeper, number: int, posted: list[Posted]) -> None:
    self.__dict__.setdefault("waiting", {}).setdefault(number, []).extend(posted)


async def _send_waiting(self: Keeper, number: int) -> None:
    posted = self.__dict__.get("waiting", {}).pop(number, [])
    await outbox.acknowledged(await self.posting.send(number, posted), "messages")


@contextmanager
def _both(*patches: Any) -> Iterator[None]:
    with ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield


BREAKS: dict[str, Callable[[], Any]] = {
    broken.__name__: broken
    for broken in (
        guard_off, gate_off, state_before_changes, state_before_messages, rewind_off, marker_first, prepared_off, last_wins,
        tombstone_without_offset, origins_off, commit_dropped, flush_lost, posts_unawaited,
        posts_not_again, posts_dropped, posts_unnumbered,
    )
}  # fmt: skip

FOUND = {
    "gate_off": (0, 5),
    "flush_lost": (0, 5),
    "origins_off": (0, 10),
    "state_before_changes": (0, 10),
    "state_before_messages": (0, 50),
    "last_wins": (0, 50),
    "tombstone_without_offset": (0, 50),
    "rewind_off": (0, 50),
    "commit_dropped": (0, 50),
    "guard_off": (0, 50),
    "prepared_off": (50, 50),
    "marker_first": (50, 50),
    "posts_unawaited": (50, 50),
    "posts_not_again": (0, 50),
    "posts_dropped": (0, 50),
    "posts_unnumbered": (0, 10),
}
"""From which seed on, and within how many, these are found."""
