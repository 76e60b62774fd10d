"""A device that goes from one customer to another and back, every day: it is one id of each, and what it leaves is one set."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lifestage import loads, stays
from lifestage.profile import Belongs, Kin, Ties, encode
from lifestage.resolve import persons
from lifestage.stays import ended, stay
from tests.core.effort import effort
from tests.identity.judge import wrong
from tests.identity.lives import RULES, address
from tests.identity.told import Told, key, of
from tests.identity.world import Shape, World

DAY = 86_400_000
TIMES = 120


def story(times: int, *, alone: bool) -> Told:
    """Two customers use a tablet in turn, then one of them signs up with an address; `alone`: also without a name between."""
    told = Told()
    for n in range(times):
        told.visit(f"c{1 + n % 2} v1")
        if alone:
            told.visit("v1")
    return told.visit("c1 v1").visit("c1 @1").visit("v1")


def lived(told: Told, seed: int, *, orderly: bool = True) -> World:
    """A world in which all of it has happened."""
    world = World(RULES, told.facts, Random(seed), Shape(1 + seed % 5, 1, crashes=False, ticks=False, orderly=orderly))
    world.end(told.facts[-1].time + DAY)
    return world


def counted(world: World, what: str) -> int:
    """How often something happened to an id, over all partitions."""
    return sum(partition.marker.identity.get(what, 0) for partition in world.folds)


@pytest.mark.parametrize("alone", [False, True])
def test_a_device_that_two_customers_share_is_one_id_of_each(*, alone: bool) -> None:
    """After 120 changes of hands the customer who signs up has the address, and the device, live and from the facts alone."""
    told = story(TIMES, alone=alone)
    world = lived(told, 1)
    assert wrong(world, told.facts[-1].time + DAY) == []
    assert (counted(world, "alias_limit"), counted(world, "switched")) == (0, TIMES)
    _, resolver = persons(told.facts)
    for id in (address(1), key("v1")):
        assert resolver.root(id) == "c1"
        kin = of(world, id).kin
        assert kin is not None
        assert kin.alias == "c1"


def kept(times: int, *, alone: bool = True) -> tuple[int, int]:
    """How many members and fact sets two customers keep of their tablet in the end."""
    world = lived(story(times, alone=alone), 3)
    found = [kin for who in ("c1", "c2") if (kin := of(world, who).kin) is not None]
    assert all(len(encode(of(world, who))) < 60_000 for who in ("c1", "c2"))
    return sum(len(kin.members) for kin in found), sum(len(kin.parts) for kin in found)


def test_what_it_leaves_with_a_customer_is_one_set() -> None:
    """However often it changes hands: the past stay with each, the present one with the one, and the address."""
    assert kept(8) == kept(40) == (4, 5)


def test_without_uniting_them_each_time_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that does not unite what is over keeps a member and a set for every time."""
    monkeypatch.setattr(loads, "_unite_past", lambda *_: None)
    assert kept(8) != kept(40)


@pytest.mark.parametrize("most", [2, 3, 4])
def test_the_limit_counts_each_id_once_wherever_it_is_decided(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices that have left facts count, one that comes back does not count again: live as from the facts alone."""
    monkeypatch.setattr("lifestage.identity.ALIASES_MAX", most)
    monkeypatch.setattr("lifestage.resolve.ALIASES_MAX", most)
    for seed in range(12):
        chance, told = Random(seed), Told()
        for _ in range(60):
            told.visit(f"c{chance.randrange(3)} v{chance.randrange(5)}").later()
            told.visit(f"v{chance.randrange(5)}")
        world = lived(told, seed)
        _, resolver = persons(told.facts)
        assert counted(world, "alias_limit")
        for n in range(5):
            kin = of(world, key(f"v{n}")).kin
            assert resolver.root(key(f"v{n}")) == ((kin.alias if kin else None) or key(f"v{n}"))


@pytest.mark.parametrize("seed", range(20))
def test_what_is_united_goes_with_who_is_split_off(seed: int) -> None:
    """A tablet in many hands, split off, given back, with the customers merged and split: each fact is where it belongs."""
    told, chance = Told(), Random(seed)
    for n in range(24):
        told.visit(f"c{1 + n % 2} v1").visit("v1")
        if n % 6 == 5:
            told.split("v1") if chance.random() < 0.4 else told.merged("c1", "c2").visit("v1").split("c2")
        if n % 6 == 2 and chance.random() < 0.5:
            told.merged("c1", "v1").visit("c3 @1 v1").visit("@1 v1").visit("c1 v1")
    told.split("@1").visit("v1")
    for orderly in (True, False):
        world = lived(told, seed, orderly=orderly)
        assert wrong(world, told.facts[-1].time + DAY) == []


def hands(seed: int) -> World:
    """A tablet in the hands of up to four, most of its visits without a name, with merges and splits now and then."""
    chance, told = Random(seed), Told()
    some = ["c1", "c2", "@1", "c1 @1"][: chance.choice([2, 2, 3, 4])] + (["c3"] if chance.random() < 0.4 else [])
    rate = chance.choice([0.02, 0.06, 0.12, 0.25])
    for _ in range(chance.randint(8, 40)):
        what = chance.random()
        if what < rate / 2:
            told.split(chance.choice(["v1", "v1", "c1", "c2", "@1"]))
        elif what < rate:
            told.merged(*chance.sample(["c1", "c2", "c3", "v1"], 2))
        elif what < rate + 0.45:
            told.visit(f"{chance.choice(some)} v1")
        elif what < rate + 0.75:
            told.visit("v1")
        else:
            told.order(chance.choice(some[:2]) + (" v1" if chance.random() < 0.5 else ""), f"o{len(told.facts)}")
        if chance.random() < 0.3:
            told.later()
    shape = Shape(
        chance.randint(1, 8),
        chance.randint(1, 2),
        crashes=chance.random() < 0.4,
        ticks=chance.random() < 0.3,
        orderly=chance.random() < 0.3,
    )
    world = World(RULES, told.facts, chance, shape)
    world.end(told.facts[-1].time + DAY)
    return world


@effort(150)
@given(st.integers(0, 1 << 32))
@example(288)
def test_a_device_in_many_hands(seed: int) -> None:
    """It changes hands nearly every time, on its way to several at once: each has what came while it was theirs."""
    world = hands(seed)
    assert wrong(world, world.facts[-1].time + DAY) == []


def late() -> tuple[str, bool]:
    """The name of a time that is told of after it was united with a later one, and whether the tablet is a member by it."""
    over = ended("anon:v1", 5)
    kin = Kin(ties=Ties({over: Belongs("c1", past=True, at=5)}))
    return stay(kin, "anon:v1", 3, "c1"), "anon:v1" in kin.members


def test_what_comes_late_for_a_time_that_is_over_is_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tablet that is somebody else's is no member again by what was on its way; taken for new, it would be."""
    assert late() == (ended("anon:v1", 3), False)
    monkeypatch.setattr(stays, "_is_united", lambda *_: False)
    assert late() == ("anon:v1", True)


def times_kept() -> int:
    """How many times with a customer are told apart of a tablet that went to another, was split off, and came and went again."""
    told = Told().visit("c1 v1").visit("v1").visit("c2 v1").split("v1").merged("c1", "v1").visit("v1").later()
    world = lived(told.visit("c3 v1").visit("v1"), 1)
    assert wrong(world, told.facts[-1].time + DAY) == []
    kin = of(world, "c1").kin
    assert kin is not None
    return sum(belongs.past for belongs in kin.members.values())


def test_what_came_before_a_split_by_hand_stays_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two times are united of which one may still be taken home by a split; an id that forgets its splits unites them."""
    assert times_kept() == 2
    monkeypatch.setattr(stays, "_never_split_since", lambda _: 0)
    assert times_kept() == 1
