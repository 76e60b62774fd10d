"""In whatever order partitions work, and wherever they end, everybody is who they are: the properties of identity."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import loads, pages
from lifestage.facts import IdentityLinked
from lifestage.keys import lower_ids
from tests.core.effort import effort
from tests.identity.decided import Connected
from tests.identity.judge import wrong, wrong_people
from tests.identity.lives import END, QUIET, RULES, Lives, Mix, address
from tests.identity.world import Ahead, Shape, World

thorough = effort(150)

shapes = st.builds(
    Shape,
    st.integers(1, 8),
    st.integers(1, 2),
    crashes=st.booleans(),
    ticks=st.booleans(),
    orderly=st.booleans(),
    workers=st.integers(0, 3),
)
seeds, counts = st.integers(0, 1 << 32), st.integers(1, 25)


def lived(
    mix: Mix, shape: Shape, seed: int, count: int, quiet: bool, *, known: bool = False, kind: type[World] = World
) -> World:
    """A world in which so many events have happened, and come to rest after a last tick.

    `known`: somewhere among them each customer is seen with their address.
    """
    chance = Random(seed)
    lives = Lives(chance, mix)
    facts = lives.events(count)
    for n in range(mix.persons if known else 0):
        ids = {"customer_id": f"c{n}", "email": address(n)}
        facts.insert(chance.randrange(len(facts) + 1), IdentityLinked(**lives.common(named=False) | ids))
    world = kind(QUIET if quiet else RULES, facts, chance, shape)
    world.end(END)
    return world


@thorough
@given(shapes, seeds, counts, st.booleans())
def test_everybody_is_one_person(shape: Shape, seed: int, count: int, quiet: bool) -> None:
    """Ids that were ever seen together, in any order, with crashes: one profile, the sum of all their facts, counted once."""
    # of a repeat that knows more than the event that came before it nothing is taken
    less = 0.5 if shape.sources == 1 else 0.0
    world = lived(Mix(less=less), shape, seed, count, quiet, known=True)
    assert not wrong(world, END)
    assert not wrong_people(world, Connected(world.facts), END)


@thorough
@given(shapes, seeds, counts, st.booleans())
def test_ids_of_several_people_go_where_their_owners_decide(shape: Shape, seed: int, count: int, quiet: bool) -> None:
    """Shared devices and addresses: the past stays, an address stays, and nothing is counted twice."""
    assert not wrong(lived(Mix(crossed=0.2), shape, seed, count, quiet), END)


@thorough
@given(shapes, seeds, counts, st.booleans())
def test_customers_that_are_merged_are_one(shape: Shape, seed: int, count: int, quiet: bool) -> None:
    """Merges in between, each way round, of customers who share devices: each fact in one place, every change in a row."""
    assert not wrong(lived(Mix(crossed=0.1, merges=0.2, wide=0.3), shape, seed, count, quiet), END)


@effort(60)
@given(shapes, seeds, counts, st.booleans())
def test_facts_may_travel_in_pieces(shape: Shape, seed: int, count: int, quiet: bool) -> None:
    """What is too large for one message comes in several, each of which may be the last before a process ends."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loads, "MESSAGE_BYTES", 50)
        patched.setattr(loads, "ORDERS_IN_PIECE", 1)
        assert not wrong(lived(Mix(crossed=0.1, merges=0.2, wide=0.3), shape, seed, count, quiet), END)


@thorough
@given(shapes, seeds, counts, st.booleans())
def test_what_is_split_is_restored(shape: Shape, seed: int, count: int, quiet: bool) -> None:
    """Merges and splits in between, of customers and of all their ids: each gets back what is its own."""
    assert not wrong(lived(Mix(crossed=0.1, merges=0.15, splits=0.15, wide=0.3), shape, seed, count, quiet), END)


@thorough
@given(shapes, seeds, counts, st.booleans())
def test_two_who_are_split_and_merged_again_and_again(shape: Shape, seed: int, count: int, quiet: bool) -> None:
    """Little else than merges, splits and devices that change hands, all on their ways at once: each fact is where it was said."""
    assert not wrong(
        lived(Mix(persons=2, crossed=0.3, merges=0.2, splits=0.3, wide=0.3), shape, seed, count, quiet), END
    )


@effort(300)
@given(shapes, seeds, st.integers(8, 30), st.booleans())
def test_splits_of_several_and_merges_into_a_fourth(shape: Shape, seed: int, count: int, quiet: bool) -> None:
    """Merges of three into somebody else and splits of several ids, all on their ways at once: each fact is where it was said."""
    mix = Mix(crossed=0.1, merges=0.25, splits=0.25, held=0.0, beyond=0.3, several=0.6)
    # of ids that one event splits off it depends on their order who remembers the other
    assert not wrong(lived(mix, shape._replace(orderly=False), seed, count, quiet), END)


@effort(60)
@given(shapes, seeds, counts, st.booleans())
def test_profiles_may_be_kept_in_pages(shape: Shape, seed: int, count: int, quiet: bool) -> None:
    """Profiles that are too large for one record come from their pages after each end, with all that is known of their ids."""
    with pytest.MonkeyPatch.context() as patched:
        for name, size in (("ABOVE", 300), ("SMALLEST", 40), ("LARGEST", 120), ("NAMES_MAX", 6)):
            patched.setattr(pages, name, size)
        assert not wrong(lived(Mix(crossed=0.2, merges=0.15, splits=0.15, wide=0.3), shape, seed, count, quiet), END)


@thorough
@given(
    shapes,
    seeds,
    counts,
    st.sampled_from((Mix(), Mix(crossed=0.2), Mix(crossed=0.1, merges=0.15, splits=0.15, wide=0.3))),
)
def test_what_comes_too_late_is_left_out_and_links_nobody(shape: Shape, seed: int, count: int, mix: Mix) -> None:
    """Clocks that run ahead, in each partition as they like: the ids and facts that are left are as if nothing else had come."""
    # of an event that comes twice one may be in time
    world = lived(mix._replace(repeats=0.0), shape._replace(ticks=True), seed, count, quiet=False, kind=Ahead)
    assert not wrong(world, END)


def test_much_comes_too_late() -> None:
    """Of the events of such worlds some are left out in most, and some link ids that nothing else links."""
    mix = Mix(crossed=0.2, repeats=0.0)
    worlds = [lived(mix, Shape(), seed, 25, quiet=False, kind=Ahead) for seed in range(20)]
    assert sum(bool(world.left_out) for world in worlds) > 12
    linking = [fact for world in worlds for fact in world.facts if fact.id in world.left_out and lower_ids(fact)]
    assert len(linking) > 12
