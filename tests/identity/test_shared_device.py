"""A device that goes from one customer to another and back, every day: it is one id of each, and what it leaves is one set."""

from __future__ import annotations

from random import Random

import pytest

from lifestage import loads
from lifestage.profile import encode
from lifestage.resolve import persons
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
