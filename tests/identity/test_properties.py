"""In whatever order partitions work, and wherever they end, everybody is who they are: the properties of identity."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.core.effort import effort
from tests.identity.judge import wrong
from tests.identity.lives import END, RULES, Lives, Mix
from tests.identity.world import Shape, World

thorough = effort(150)

shapes = st.builds(
    Shape, st.integers(1, 8), st.integers(1, 2), crashes=st.booleans(), ticks=st.booleans(), orderly=st.booleans()
)
seeds = st.integers(0, 1 << 32)


def lived(mix: Mix, shape: Shape, seed: int, count: int) -> World:
    """A world in which so many events have happened, and come to rest after a last tick."""
    chance = Random(seed)
    world = World(RULES, Lives(chance, mix).events(count), chance, shape)
    world.run()
    world.tick(END)
    world.run()
    return world


@thorough
@given(shapes, seeds, st.integers(1, 25))
def test_everybody_is_one_person(shape: Shape, seed: int, count: int) -> None:
    """Ids that events link, in any order, with crashes: each profile is the sum of its ids' facts, counted once."""
    assert not wrong(lived(Mix(), shape, seed, count), END)


@thorough
@given(shapes, seeds, st.integers(1, 25))
def test_ids_of_several_people_go_where_their_owners_decide(shape: Shape, seed: int, count: int) -> None:
    """Shared devices and addresses: the past stays, an address stays, and nothing is counted twice."""
    assert not wrong(lived(Mix(crossed=0.2), shape, seed, count), END)


@thorough
@given(shapes, seeds, st.integers(1, 25))
def test_customers_that_are_merged_are_one(shape: Shape, seed: int, count: int) -> None:
    """Merges in between, each way round, of customers who share devices: each fact in one place, every change in a row."""
    assert not wrong(lived(Mix(crossed=0.1, merges=0.2), shape, seed, count), END)
