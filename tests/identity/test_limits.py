"""What is bounded, and what may not go astray where several fact sets of one person move together."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from lifestage import identity, members, resolve
from lifestage.partition import Partition
from tests.identity import decided
from tests.identity.judge import wrong
from tests.identity.lives import END, RULES
from tests.identity.told import Told, lived, of
from tests.identity.world import CODE, TOPIC, Shape, World


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


def test_a_merge_that_comes_again_long_after_it_was_undone_does_nothing() -> None:
    """Sent once more when all lateness is over, it is a duplicate by its id, as it is in a file."""
    told = Told().order("c1", "o1").order("c2", "o2").merged("c1", "c2").split("c2").later(30).visit("c1")
    told.facts.append(told.facts[2])
    world = World(RULES, told.facts, Random(1), Shape(1, 1, crashes=False, ticks=False, orderly=True))
    for end in (len(told.facts) - 1, len(told.facts)):
        world.sources = [told.facts[:end]]
        world.run()
        world.tick(told.facts[-2].time, range(1))
    assert (counted(world, "merged"), counted(world, "split")) == (1, 1)
    assert world.folds[0].marker.accounts["shop"]["identity.merged"] == {"accepted": 1, "duplicate": 1}


def test_merges_know_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever merges by hand may join more than events link, live as from the facts alone; events link no further id then."""
    monkeypatch.setattr(identity, "ALIASES_MAX", 3)
    monkeypatch.setattr(resolve, "ALIASES_MAX", 3)
    told = Told()
    for n in range(7):
        told.visit(f"c{n}")
    for n in range(1, 7):
        told.merged("c0", f"c{n}")
    told.visit("c0 v1")
    world = World(RULES, told.facts, Random(1), Shape(3, 1, crashes=False, ticks=False, orderly=True))
    world.end(END)
    _, resolver = resolve.persons(told.facts)
    ids = [*(f"c{n}" for n in range(1, 7)), "anon:v1"]
    kins = [of(world, id).kin for id in ids]
    assert [kin.alias if kin else None for kin in kins] == ["c0"] * 6 + [None]
    assert [resolver.root(id) for id in ids] == ["c0"] * 6 + ["anon:v1"]
    assert counted(world, "alias_limit") == 1


@pytest.mark.parametrize("days", [0, -4])
@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_who_has_come_by_another_way_is_asked_for_again_at_once(
    partitions: int, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that was one too many came with somebody who was merged into the customer, and has gone since: an event of the
    day of the refusal, or of an earlier one, asks for it."""
    for module, name in ((identity, "ALIASES_MAX"), (resolve, "ALIASES_MAX"), (decided, "MOST")):
        monkeypatch.setattr(module, name, 2)
    told = Told().visit("c0 v8").visit("c0 v9").later(5).visit("c0 v1").lead("c1 v1").merged("c0", "c1", into="c0")
    told.split("v8", "v9").lead("c2 v1").later(days).visit("c0 v1")
    world = World(RULES, told.facts, Random(1), Shape(partitions, 1, crashes=False, ticks=False, orderly=True))
    world.end(END)
    assert wrong(world, END) == []
    assert (counted(world, "alias_limit"), counted(world, "switched")) == (1, 2)
    kin = of(world, "anon:v1").kin
    assert kin is not None
    assert kin.alias == "c0"
    # from files alone, where time goes on
    assert days < 0 or resolve.persons(told.facts)[1].root("anon:v1") == "c0"


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


def kept_of(told: Told, most: int) -> dict[bytes, bytes]:
    """What one partition keeps of a story in the end, where it keeps its state after so many records each time."""
    world = World(RULES, told.facts, Random(1), Shape(1, 1, crashes=False, ticks=False, orderly=True))
    world.end(END)
    fold = Partition(RULES, TOPIC, 0, CODE)
    for n, record in enumerate(world.logs[0]):
        fold.fold([record])
        if n % most == most - 1:
            fold.checkpoint()
    fold.checkpoint()
    return dict(fold.whole())


MANY_SETS = Told().visit("v1", 2).order("c1 v1", "o1").visit("v1", 3).order("c1 @1", "o2").mail("@1").visit("c1", 2)


@pytest.mark.parametrize("told", [MANY_SETS, Told().order("c0", "o9").visit("c0", 2)])
def test_sets_that_stay_decoded_are_kept_as_ever(told: Told) -> None:
    """How often the state is kept makes no difference to its bytes, through merges and splits."""
    for more in (Told(), Told().merged("c0", "c1").visit("v1").split("anon:v1").visit("v1").mail("@1").split("c1")):
        story = Told()
        story.facts = [replace(fact, id=f"e{n}") for n, fact in enumerate([*MANY_SETS.facts, *told.facts, *more.facts])]
        assert kept_of(story, 1) == kept_of(story, 3) == kept_of(story, 1 << 30)


def test_sets_that_are_never_encoded_again_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without closing them what came since the last keeping is lost."""
    kept = kept_of(MANY_SETS, 1)
    monkeypatch.setattr(members, "close", lambda _: None)
    assert kept_of(MANY_SETS, 1) != kept


def test_whoever_looks_sees_the_sets_as_they_are() -> None:
    """A profile shown between two keepings has all facts in its sets."""
    world = World(RULES, MANY_SETS.facts, Random(1), Shape(1, 1, crashes=False, ticks=False, orderly=True))
    world.run()
    fold = Partition(RULES, TOPIC, 0, CODE)
    fold.fold(world.logs[0])
    shown = fold.profile(b"c1")
    assert shown is not None
    assert shown.kin is not None
    fold.checkpoint()
    again = fold.profile(b"c1")
    assert again is not None
    assert again.kin == shown.kin
    assert all(shown.kin.parts.values())
