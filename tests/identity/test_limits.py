"""What is bounded, and what may not go astray where several fact sets of one person move together."""

from __future__ import annotations

from random import Random

import pytest

from lifestage import identity, members
from tests.identity.judge import wrong
from tests.identity.lives import END, RULES
from tests.identity.told import Told, lived, of
from tests.identity.world import Shape, World


def counted(world: World, what: str) -> int:
    """How often something happened to an id, over all partitions."""
    return sum(partition.marker.identity.get(what, 0) for partition in world.folds)


def test_the_limit_holds_in_a_backlog() -> None:
    """Of 150 devices that wait all at once, before the first has answered, a customer gets a hundred."""
    told = Told()
    for n in range(150):
        told.visit(f"c1 v{n}")
    world = World(RULES, told.facts, Random(1), Shape(3, 1, crashes=False, ticks=False, orderly=False))
    world.end(END)
    kin = of(world, "c1").kin
    assert kin is not None
    assert len(kin.members) == identity.ALIASES_MAX
    assert counted(world, "alias_limit") == 50


def test_an_id_that_has_not_answered_is_asked_once() -> None:
    """Events of ten days that wait all at once ask for their address once."""
    told = Told()
    for _ in range(10):
        told.later().visit("c1 @1")
    world = World(RULES, told.facts, Random(1), Shape(1, 1, crashes=False, ticks=False, orderly=False))
    world.end(END)
    assert (counted(world, "linked"), counted(world, "void")) == (1, 0)
    assert wrong(world, END) == []


def test_an_order_holds_a_bounded_number_of_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refunds of one order beyond the bound are counted as suppressed; the others find their customer."""
    monkeypatch.setattr(identity, "HELD_MAX", 3)
    told = Told()
    for _ in range(5):
        told.refund("", "o1", 10)
    told.order("c1", "o1", 1000)
    world = World(RULES, told.facts, Random(1), Shape(2, 1, crashes=False, ticks=False, orderly=True))
    world.end(END)
    assert len(of(world, "c1").orders[0].refunds) == 3
    outcomes = [partition.marker.accounts.get("shop", {}).get("order.refunded", {}) for partition in world.folds]
    assert sum(found.get("suppressed", 0) for found in outcomes) == 2
    assert sum(found.get("accepted", 0) for found in outcomes) == 3


def revenue(told: Told, seed: int) -> list[int]:
    """Orders, gross and net of the company after a story, over all partitions."""
    world = World(RULES, told.facts, Random(seed), Shape(1 + seed % 8, 1, crashes=False, ticks=False, orderly=True))
    world.end(END)
    sums = [partition.marker.sums.get("EUR", [0, 0, 0]) for partition in world.folds]
    return [sum(column) for column in zip(*sums, strict=True)]


@pytest.mark.parametrize("seed", range(8))
def test_an_order_in_two_sets_counts_once_wherever_they_go(seed: int) -> None:
    """An order that an address and a customer both have stays one order when the customer is merged, and split again."""
    told = Told().order("@1", "o2").order("c1 @1 v1", "o2").merged("c0", "c1")
    assert revenue(told, seed) == [1, 1000, 1000]
    assert revenue(told.split("c1"), seed) == [1, 1000, 1000]


def test_without_settling_it_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a profile with two sets does on leaving is what keeps the order counted."""
    monkeypatch.setattr(members, "_settle_money", lambda *_: None)
    told = Told().order("@1", "o2").order("c1 @1 v1", "o2").merged("c0", "c1")
    assert revenue(told, 3) != [1, 1000, 1000]


@pytest.mark.parametrize("seed", range(8))
def test_an_address_and_its_device_are_split_at_once(seed: int) -> None:
    """One event that splits off an address and a device below it gives each its own facts back."""
    told = Told().visit("v1", 3).lead("@1 v1").order("c1 @1", "o1").visit("v1").split("@1", "v1")
    for orderly in (True, False):
        world = lived(told, seed, orderly=orderly)
        assert len(of(world, "c1").orders) == 1
        assert of(world, "anon:v1").kin is not None


def test_a_split_of_nobody_leaves_nothing() -> None:
    """A split of ids that nobody has ever seen leaves no record behind."""
    world = lived(Told().visit("c1").split("nobody", "anon:v9"))
    assert "nobody" not in world.profiles()
    assert "anon:v9" not in world.profiles()
