"""An id that goes from one person to another and back, and is split off meanwhile: what came under it is where it was said."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from random import Random

import pytest

from lifestage import identity, members
from lifestage.facts import Fact
from lifestage.profile import Belongs, Kin, Profile, Ties
from lifestage.resolve import persons
from lifestage.stays import ended, stay
from streams.doorway import partition_of
from tests.identity.judge import wrong
from tests.identity.lives import END, RULES, address
from tests.identity.told import Told, lived, of
from tests.identity.world import Shape, World

SEEDS = range(12)
IN_FLIGHT = range(60)


def visits(profile: Profile) -> int:
    """How many visits a profile has."""
    mark = profile.marks.get("visits")
    return 0 if mark is None else mark.dropped + len(mark.kept)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_past_is_not_split_off_with_what_is_now(seed: int) -> None:
    """A device goes from a customer to an address that becomes the same customer's: split off, that takes what came since."""
    told = Told().visit("v1", 2).lead("c0 v1").visit("v1").lead("@1 v1").visit("v1").linked("c0 @1").visit("v1")
    assert visits(of(lived(told, seed), "c0")) == 5
    split = lived(told.split("@1").visit("v1"), seed)
    assert (visits(of(split, "c0")), visits(of(split, address(1)))) == (3, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_of_a_device_that_came_back_only_what_came_since_is_split_off(seed: int) -> None:
    """A device goes from one to another and back: what came in its first time with the one stays, as what came with the other."""
    told = Told().visit("v1").lead("c0 v1").visit("v1").lead("c1 v1").visit("v1").later().lead("c0 v1").visit("v1", 4)
    split = lived(told.split("v1").visit("v1"), seed)
    assert [visits(of(split, key)) for key in ("c0", "c1", "anon:v1")] == [2, 1, 5]


@pytest.mark.parametrize("seed", SEEDS)
def test_an_event_that_came_under_two_ids_is_of_both_when_they_are_split(seed: int) -> None:
    """Sent once more under another id of the person it counts once; split, each has it, as if they had never been one."""
    told = Told().visit("c0").lead("c1").merged("c0", "c1")
    told.facts.append(Told().visit("c1").facts[0])
    assert visits(of(lived(told, seed), "c0")) == 1
    split = lived(told.split("c1"), seed)
    assert (visits(of(split, "c0")), visits(of(split, "c1"))) == (1, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_merge_of_what_is_one_already_is_nothing(seed: int) -> None:
    """Said of a customer and their device it changes nothing, also for whom the device is merged with later: that is refused."""
    told = Told().visit("c0 v1").merged("c0", "v1").order("c1", "o1").merged("c1", "v1")
    world = lived(told, seed)
    assert [len(of(world, key).orders) for key in ("c0", "c1")] == [0, 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_who_was_split_off_stays_apart_although_they_left_facts_before(seed: int) -> None:
    """A device has left facts with one who was merged into who it was split from: all are merged, and events do not link it."""
    told = Told().lead("c3 v1").visit("v1").later().lead("c2 v1").visit("v1").merged("c2", "c3").split("v1")
    world = lived(told.merged("c1", "c2").later().lead("c1 v1").visit("v1"), seed)
    assert (visits(of(world, "c1")), visits(of(world, "anon:v1"))) == (1, 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_merge_ends_the_split_of_who_belongs_to_the_other(seed: int) -> None:
    """A device of one of those who are merged was split from the other: it has gone to a third, and comes back when seen."""
    told = Told().visit("c2 v1").split("v1").visit("c1 v1").merged("c1", "c2").visit("c3 v1").later().visit("c1 v1")
    assert (visits(of(lived(told, seed), "c1")), persons(told.facts)[1].root("anon:v1")) == (3, "c1")


@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_a_merge_ends_the_split_of_who_goes_on(partitions: int) -> None:
    """A device that was split from another, and that other is merged into: with a third since, it comes back when seen."""
    told = Told().merged("v1", "v2").split("v2").merged("v1", "v2", into="anon:v2").visit("c1 v2")
    told.visit("c3 v2").later().visit("c1 v2")
    world = World(RULES, told.facts, Random(1), Shape(partitions, 1, crashes=False, ticks=False, orderly=True))
    world.end(END)
    assert ((of(world, "anon:v2").kin or Kin()).alias, persons(told.facts)[1].root("anon:v2")) == ("c1", "c1")


def chain(hops: int) -> Told:
    """A device of the first of many customers, who are merged one into the next, and split again from the middle."""
    told = Told().visit("v1").lead("@1 v1").order("c9 @1", "o9")
    for n in range(9, 9 - hops, -1):
        told.order(f"c{n - 1}", f"o{n - 1}").merged(f"c{n - 1}", f"c{n}").visit("v1")
    return (
        told.split("c7").visit("v1").merged("c7", "c9", into="c7").split("@1").visit("v1").linked("c9 @1").visit("v1")
    )


AGAIN = [
    # a device is split off, and linked again and switched before it has its facts back
    Told().visit("v1").lead("c1 v1").split("v1").lead("c2 v1").lead("c3 v1").visit("v1"),
    Told().lead("c1 v1").visit("v1", 2).split("v1").lead("@2 v1").lead("c3 v1").linked("c1 @2").split("@2"),
    Told().visit("v1").lead("c1 v1").merged("c1", "c2").split("v1").lead("c2 v1").lead("c3 v1").split("c1").visit("v1"),
    # a customer is split off, merged and split off
    Told()
    .order("c1 v1", "o1")
    .order("c2 @2", "o2")
    .merged("c1", "c2")
    .split("c2")
    .merged("c1", "c2")
    .split("c2")
    .mail("@2"),
    Told()
    .order("c2 @2 v2", "o2")
    .merged("c1", "c2")
    .merged("c0", "c1")
    .split("c1")
    .merged("c3", "c1")
    .split("c2")
    .mail("@2"),
    Told()
    .order("c2 v2", "o2")
    .merged("c1", "c2")
    .merged("c0", "c1")
    .split("c2")
    .split("c1")
    .merged("c1", "c2")
    .visit("v2"),
    # who is split off from one who is split off
    Told().visit("v1").lead("@1 v1").order("c1 @1", "o1").merged("c0", "c1").split("@1", "c1").split("v1").visit("v1"),
    Told().visit("v1").lead("@1 v1").order("c1 @1", "o1").merged("c0", "c1").split("v1", "@1").split("c1").visit("v1"),
    # what came through one who is split off and merged again; and who is split off from one who is merged into them
    Told()
    .order("c2 @1", "o2")
    .merged("c1", "c2", into="c0")
    .lead("@1")
    .split("c2")
    .merged("c2", "c1", into="c7")
    .split("c2", "c1"),
    Told()
    .order("c0", "o0")
    .merged("c0", "c1", into="c1")
    .merged("c1", "c7", into="c7")
    .split("c1", "c0")
    .merged("c1", "c0", into="c0")
    .split("c1"),
    chain(5),
    chain(8),
]
"""What is decided of one id again and again, before anybody has heard of the last time."""


def all_wrong(stories: Iterable[Told], seeds: Iterable[int] = IN_FLIGHT) -> list[str]:
    """What is wrong at the end of any of these stories, each told with everything at once and in many orders of work."""
    found = []
    for told in stories:
        facts: list[Fact] = told.facts
        for seed in seeds:
            world = World(
                RULES, facts, Random(seed), Shape(1 + seed % 8, 1 + seed % 2, crashes=seed % 3 == 0, ticks=False)
            )
            world.end(END)
            found += wrong(world, END)
            if found:
                return found
    return found


@pytest.mark.parametrize("told", AGAIN)
def test_what_is_decided_again_is_as_decided_last(told: Told) -> None:
    """Splits, links, switches and merges of one id that overtake each other on their ways: each fact is where it belongs."""
    assert all_wrong([told]) == []


def _nothing(*_: object, **__: object) -> None:
    """Note nothing, find nothing."""


def _nowhere(*_: object) -> int:
    """Find nobody on the way who has been split off."""
    return -1


def _unasked(*_: object) -> bool:
    """Change nothing."""
    return False


@pytest.mark.parametrize(
    ("names", "instead"),
    [
        (("members.bury", "identity.bury"), _nothing),
        (("members.next_stay", "identity.next_stay"), _nothing),
    ],
)
def test_each_decision_is_needed(
    names: tuple[str, ...], instead: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without what is noted of those who left, or of where they went next, some story ends wrong."""
    for name in names:
        module, function = name.split(".")
        monkeypatch.setattr({"members": members, "identity": identity}[module], function, instead)
    assert all_wrong(AGAIN)


def test_an_event_of_two_ids_that_only_one_keeps_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without entering it in both sets, who had it second has it no more after a split."""
    monkeypatch.setattr(members, "enter_again", _unasked)
    told = Told().visit("c0").lead("c1").merged("c0", "c1")
    told.facts.append(Told().visit("c1").facts[0])
    assert all_wrong([told.split("c1")])


def test_what_an_older_release_kept_and_sent_is_understood() -> None:
    """It named what is past by the id alone, and did not say in a message since when an id belonged to somebody."""
    kin = Kin(
        ties=Ties({"anon:v": Belongs("c0", past=True, at=5), address(1): Belongs("c0", at=3)}, {"anon:v": b"its"})
    )
    assert stay(kin, address(1), -1, "c0") == address(1)
    assert stay(kin, "anon:v", 9, "c0") == "anon:v"
    assert kin.members == {
        address(1): Belongs("c0", at=3),
        ended("anon:v", 5): Belongs("c0", past=True, at=5),
        "anon:v": Belongs("c0", at=9),
    }
    assert kin.parts == {ended("anon:v", 5): b"its"}


class Held(World):
    """What one partition tells another stays on its way until everything else has come to rest, fact by fact."""

    lane: tuple[int, int] | None = None

    def deliver(self, number: int, count: int) -> None:
        """Of the messages of a partition the next on one lane come in, but those that are held."""
        if self.lane is None or number != self.lane[0]:
            super().deliver(number, count)
            return
        held = self.lanes[number].pop(self.lane[1], deque())
        super().deliver(number, count)
        self.lanes[number][self.lane[1]] = held

    def settle(self) -> None:
        """All that is not held comes to rest."""
        for _ in range(40 * self.shape.partitions):
            for number in range(self.shape.partitions):
                self.fold(number, 1000)
                self.deliver(number, 1000)

    def live(self, lane: tuple[int, int], first: int) -> None:
        """Everything happens, and from a fact on a lane is held until the end."""
        for n in range(len(self.facts)):
            self.lane = lane if n >= first else None
            self.take_in(0, 1)
            self.settle()
        self.lane = None
        self.end(END)


def overtaken() -> Held:
    """A visit that is passed on by four ids arrives when the second of them was split off, and the others have come by another way."""
    places = {partition_of(id.encode(), 8) for id in ("identity:", address(1))}
    names: list[str] = []
    for name in (f"c{n}" for n in range(100)):
        if (place := partition_of(name.encode(), 8)) not in places and len(names) < 4:
            names.append(name)
            places.add(place)
    a, b, c, d = names
    told = Told().visit("v1").lead("@1 v1").order(f"{a} @1", "o1").merged(b, a, into=b).merged(c, b, into=c)
    first = len(told.facts)
    told.visit("v1").split(b).split("@1").merged(d, b, into=d).merged(c, d, into=c)
    world = Held(RULES, told.facts, Random(1), Shape(8, 1, crashes=False, ticks=False))
    world.live((partition_of(b.encode(), 8), partition_of(c.encode(), 8)), first)
    return world


def test_what_is_overtaken_on_a_long_way_follows_who_was_split_off() -> None:
    """It goes where the id is by then through which it came, although that was split off elsewhere and long before."""
    world = overtaken()
    assert wrong(world, END) == []
    assert visits(of(world, address(1))) == 2


def sent_back() -> World:
    """What comes by ways that are taken back: merges each way round, an address that is split off, and mails to it."""
    told = Told().order("c0 @1 v1", "o1").split("c0").order("@2", "o2").order("c0 @1 v2", "o3").merged("c1", "@2")
    told.split("@1").visit("c0").merged("c0", "v3", into="c0").mail("@1").merged("c0", "c1", into="c0").split("v4")
    told.facts.append(told.facts[3])
    told.mail("@1").merged("c0", "c1", into="c0").merged("c1", "c0", into="c1")
    world = World(RULES, told.facts, Random(147), Shape(8, 2, crashes=False, ticks=False))
    world.end(END)
    return world


def test_what_is_sent_back_follows_who_was_split_off() -> None:
    """The address is its own, with its mails, and nobody else knows it for theirs."""
    assert wrong(sent_back(), END) == []


def test_without_its_path_it_stays_where_nobody_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that does not ask who of those that it came by has been split off makes the address somebody's again."""
    monkeypatch.setattr(identity, "astray", _nowhere)
    assert any("has the members" in said for said in wrong(sent_back(), END))
