"""Visitors without a name who are merged with each other, and change hands: what came so far stays, what comes later goes along."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given

from lifestage import identity, stays
from tests.identity.judge import wrong
from tests.identity.lives import END, RULES, Mix
from tests.identity.test_properties import counts, lived, seeds, shapes, thorough
from tests.identity.test_stories import SEEDS, visits
from tests.identity.told import Told, of
from tests.identity.told import lived as told_one_by_one
from tests.identity.world import Shape, World

VISITORS = Mix(crossed=0.3, merges=0.25, splits=0.15, wide=0.1, alike=0.7)


@thorough
@given(shapes, seeds, counts)
def test_visitors_are_merged_change_hands_and_are_split(shape: Shape, seed: int, count: int) -> None:
    """Two and three visitors who are one, in turn with several customers who are merged and split themselves."""
    assert not wrong(lived(VISITORS._replace(persons=2 + seed % 2), shape, seed, count, quiet=False), END)


def handed_on() -> Told:
    """v1 is merged into v2, who is seen with c1, and then with c2: three visits before, and two after."""
    told = Told().visit("v1", 2).visit("v2").merged("v2", "v1", into="anon:v2").lead("c1 v2").visit("v1")
    return told.lead("c2 v2").visit("v1", 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_came_through_a_visitor_stays_when_that_one_changes_hands(seed: int) -> None:
    """All that came under both is the first customer's, all that comes later the second's, who has both."""
    world = told_one_by_one(handed_on(), seed)
    assert (visits(of(world, "c1")), visits(of(world, "c2"))) == (4, 2)
    kin = of(world, "c2").kin
    assert kin is not None
    assert {*kin.members} == {"anon:v1", "anon:v2"}
    silent = told_one_by_one(Told().merged("v2", "v1", into="anon:v2").lead("c1 v2").lead("c2 v2"), seed)
    assert (known := of(silent, "c2").kin) is not None
    assert {*known.members} == {"anon:v1", "anon:v2"}, "also while nothing more has come under it"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("into", ["c1", "c2"])
def test_two_customers_who_had_both_are_merged_and_split(into: str, seed: int) -> None:
    """Each has what it had, whichever of them went on as which; and the absorbed visitor, split off, what came since."""
    other = "c2" if into == "c1" else "c1"
    told = handed_on().merged("c1", "c2", into=into).visit("v1").split(other)
    world = told_one_by_one(told, seed)
    assert (visits(of(world, "c1")), visits(of(world, "c2"))) == (4, 3)
    world = told_one_by_one(told.split("v1"), seed)
    assert (visits(of(world, "c1")), visits(of(world, "c2")), visits(of(world, "anon:v1"))) == (4, 0, 3)


def found() -> bool:
    """Whether in some of a few worlds anything is wrong."""
    for seed in range(60):
        shape = Shape(1 + seed % 5, 1, crashes=False, ticks=False, orderly=True)
        if wrong(lived(VISITORS._replace(persons=2), shape, seed, 12 + seed % 12, quiet=False), END):
            return True
    return False


@pytest.mark.parametrize(("module", "name", "instead"), [
    (stays, "_is_left", lambda _: False),
    (identity, "pass_by", lambda *_: None),
    (identity, "behind", lambda *_: {}),
])  # fmt: skip
def test_each_decision_is_needed(module: object, name: str, instead: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stay that is named without whom it came through, and a visitor who forgets who came through them, are found."""
    assert not found()
    monkeypatch.setattr(module, name, instead)
    assert found()


def test_what_is_placed_anywhere_is_still_somewhere() -> None:
    """Where the order of logs leaves open whose a fact is, one that is nobody's is found."""
    told = handed_on()
    world = World(RULES, told.facts, Random(3), Shape(3, 2, crashes=False, ticks=False))
    world.end(END)
    assert not wrong(world, END)
    fold = next(fold for fold in world.folds if fold.profile(b"c1") is not None)
    profile = fold.profile(b"c1")
    assert profile is not None
    del profile.marks["visits"]
    fold.dirty[b"c1"] = profile
    assert any("marks is" in said for said in wrong(world, END))


@pytest.mark.parametrize("seed", SEEDS)
def test_who_was_split_from_a_visitor_stays_apart_from_who_has_that_one_next(seed: int) -> None:
    """v1 was split from v2, who goes from one customer to another: neither has v1 with the next event of both."""
    told = Told().merged("v2", "v1", into="anon:v2").split("v1").visit("v1").lead("c1 v2").lead("c2 v2").lead("c2 v1")
    kin = of(told_one_by_one(told, seed), "anon:v1").kin
    assert kin is None or kin.alias is None


def overtaken(seed: int) -> tuple[bool, str | None]:
    """v1 has left c2 for c1 and was split off; c2 asks for it again while c2 is merged into c1, then c3 has it, and c2.

    Whether c2 was in time, and whose it is in the end.
    """
    told = Told().lead("c2 v1").lead("c1 v1").split("v1").lead("c2 v1").merged("c1", "c2", into="c1")
    told.lead("c3 v1").later().lead("c2 v1")
    world = World(RULES, told.facts, Random(seed), Shape(1 + seed % 8, 1, crashes=False, ticks=False))
    whose: list[str | None] = []
    for count in (1, 2, 3, 5, 6, 7):
        world.sources[0] = told.facts[:count]
        world.run()
        kin = of(world, "anon:v1").kin
        whose.append(None if kin is None else kin.alias)
    return whose[3] is not None, whose[-1]


def test_a_merge_ends_the_split_of_who_is_on_the_way_to_the_other() -> None:
    """Whoever the other had asked for before the merge is nobody's who stays apart, wherever the answer was by then."""
    ways = [overtaken(seed) for seed in range(200)]
    assert {whose for in_time, whose in ways if in_time} == {"c2"}
    assert {whose for in_time, whose in ways if not in_time} <= {"c3"}


def test_without_looking_who_has_asked_it_stays_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """In some of these orders the answer comes after the merge."""
    monkeypatch.setattr(identity, "_merged", lambda *_: set())
    assert any(whose == "c3" for in_time, whose in map(overtaken, range(200)) if in_time)
