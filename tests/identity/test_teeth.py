"""Each decision that keeps people apart or together, taken out, is found: the properties can fail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

import pytest

from lifestage import identity, log, members, union
from lifestage.messages import Forwarded, Link, Message, Restore, Switched, Unite
from lifestage.partition import Partition
from lifestage.profile import Mark, Profile
from tests.identity.judge import wrong
from tests.identity.lives import END, RULES, Lives, Mix
from tests.identity.told import Told
from tests.identity.world import LostError, Shape, World

TRIED = 150
PLAIN, CROSSED = Mix(), Mix(crossed=0.2)
SPLIT = Mix(merges=0.15, splits=0.15)


def found(
    mix: Mix, kind: type[Partition] = Partition, world: type[World] = World, *, orderly: bool = False
) -> list[str]:
    """What is wrong in the first world, of those that are right otherwise, in which anything is."""
    for seed in range(TRIED):
        chance = Random(seed)
        shape = Shape(1 + seed % 5, 1 + seed % 2, crashes=not orderly, ticks=False, orderly=orderly)
        lived = world(RULES, Lives(chance, mix).events(5 + seed % 15), chance, shape, kind)
        try:
            lived.end(END)
        except LostError as error:
            return [str(error)]
        if said := wrong(lived, END):
            return said
    return []


@pytest.mark.parametrize("mix", [PLAIN, CROSSED])
def test_what_is_right_is_found_right(mix: Mix) -> None:
    """In the worlds that the teeth are tried on nothing is wrong with the product as it is."""
    assert found(mix) == []


class Forgetful(Partition):
    """Takes every record for new, whatever it goes back to."""

    def _record(self, offset: int, key: bytes | None, value: bytes) -> log.Tick | None:
        self.marker.origins.clear()
        return super()._record(offset, key, value)


def test_a_message_that_is_taken_twice_is_found() -> None:
    """Without a look at origins what a crash makes come in again is folded again."""
    assert found(PLAIN, Forgetful)


class Numberless(Partition):
    """Gives all messages of one record the same number."""

    def post(self, message: Message) -> None:
        """A message to send."""
        super().post(message)
        self._n = 0


def test_messages_that_cannot_be_told_apart_are_found() -> None:
    """Where two messages of one record go by one number the second is dropped as a repeat."""
    assert found(PLAIN, Numberless)


class Hasty(World):
    """Keeps its state before its messages are in the log."""

    def hand_over(self, number: int) -> None:
        """All changes of a partition are acknowledged."""
        self.told[number] += self.untold[number]
        self.untold[number].clear()

    def crash(self, number: int, cut: int | None) -> None:
        """A process ends, and with it the messages that are on their way."""
        self.lanes[number].clear()
        super().crash(number, cut)


def test_messages_that_are_lost_are_found() -> None:
    """A state that was kept before its messages were acknowledged loses them with the process."""
    assert found(PLAIN, world=Hasty)


@pytest.mark.parametrize(
    ("kind", "mix"), [(Link, PLAIN), (Unite, PLAIN), (Forwarded, PLAIN), (Switched, CROSSED), (Restore, SPLIT)]
)
def test_a_message_that_is_not_sent_is_found(kind: type[Message], mix: Mix) -> None:
    """Each kind of message is needed."""

    class Silent(Partition):
        """Keeps one kind of message to itself."""

        def post(self, message: Message) -> None:
            """A message to send."""
            if not isinstance(message, kind):
                super().post(message)

    assert found(mix, Silent, orderly=kind is Link)


class Shared(World):
    """Has one lane for each message, so that they come in in any order."""

    def deliver(self, number: int, count: int) -> None:
        """Of the messages of a partition some come in."""
        for lane in self.lanes[number].values():
            self.chance.shuffle(lane)
        super().deliver(number, count)


def test_messages_that_overtake_each_other_are_found() -> None:
    """What one partition tells another comes in its order, or is dropped."""
    assert found(PLAIN, world=Shared)


def _every_instant(marks: Sequence[Mark]) -> Mark:
    """The instants of all sets, whether or not they are of one event."""
    kept = sorted(
        (at, offset, id) for mark in marks for at, offset, id in zip(mark.kept, mark.offsets, mark.ids, strict=True)
    )
    at, offsets, ids = ([one[n] for one in kept] for n in range(3))
    return Mark(kept=at, offsets=offsets, ids=ids)


def test_events_that_are_counted_twice_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A union that counts an event once for each set that has it counts 2n + 1."""
    monkeypatch.setattr(union, "_mark", _every_instant)
    assert any("marks is" in said for said in found(Mix(repeats=0.5)))


def _dropped(*_: object, **__: object) -> None:
    """Keep nothing apart."""


def test_facts_that_are_not_kept_apart_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a set for each id a split has nothing to give back."""
    monkeypatch.setattr(members, "enter", _dropped)
    assert found(SPLIT, orderly=True)


def test_money_that_is_not_settled_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An order that two sets have counts once in the company's sums."""
    monkeypatch.setattr(members, "_settle_money", _dropped)
    assert any("sum of" in said for said in found(Mix(repeats=0.5)))


def test_places_in_another_log_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts that come from another partition's log stand at no place of this one's."""
    monkeypatch.setattr(members, "forget_places", _dropped)
    assert any("rests on" in said for said in found(PLAIN))


def test_one_who_left_and_is_not_noted_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes between a split and the facts that it gives back is not forgotten."""
    monkeypatch.setattr(members, "bury", _dropped)
    monkeypatch.setattr(identity, "bury", _dropped)
    assert found(Mix(persons=2, merges=0.3, splits=0.3))


def test_one_who_was_split_off_and_comes_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that does not remember whom it was split from has them again with the next event of both."""
    monkeypatch.setattr(members, "part", _dropped)
    monkeypatch.setattr(identity, "part", _dropped)
    told = Told().lead("@1 v1").order("c1 @1", "o1").split("anon:v1").later().visit("c1 v1")
    world = World(RULES, told.facts, Random(1), Shape(2, 1, crashes=False, ticks=False, orderly=True))
    world.end(END)
    assert any("belongs to" in said for said in wrong(world, END))


def _first(parts: Iterable[Profile], *_: object) -> Profile:
    """The first set, for all."""
    return next(iter(parts))


def test_a_history_that_is_left_behind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that is judged over one set knows nothing of the others."""
    monkeypatch.setattr(members, "united", _first)
    assert found(PLAIN)
