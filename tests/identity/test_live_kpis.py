"""Live KPIs of several partitions whose people are joined, merged and split: whatever happens, what the offline functions say."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from lifestage.cause import Rules
from tests.core.effort import effort
from tests.identity.kpi_judge import wrong_kpis
from tests.identity.lives import END, QUIET, RULES, Lives, Mix
from tests.identity.world import Shape, World

MIXES = (Mix(), Mix(crossed=0.2), Mix(crossed=0.1, merges=0.2, wide=0.3), Mix(merges=0.15, splits=0.15, crossed=0.1))
shapes = st.builds(
    Shape, st.integers(1, 5), st.integers(1, 2), crashes=st.booleans(), ticks=st.booleans(), orderly=st.booleans()
)


def lived(mix: Mix, shape: Shape, seed: int, count: int, rules: Rules) -> World:
    """A world in which so many events have happened, and come to rest after a last tick."""
    chance = Random(seed)
    world = World(rules, Lives(chance, mix).events(count), chance, shape)
    world.end(END)
    return world


@effort(200)
@given(
    st.sampled_from(MIXES), shapes, st.integers(0, 1 << 32), st.integers(1, 40), st.booleans(),
    st.sampled_from((1, 30, 90, 366)),
)  # fmt: skip
def test_sums_are_those_of_the_persons(mix: Mix, shape: Shape, seed: int, count: int, quiet: bool, window: int) -> None:
    """Added up over the partitions, at the end and on days after it; and of each partition those of its profiles."""
    rules = (QUIET if quiet else RULES)._replace(window=window)
    assert not wrong_kpis(lived(mix, shape, seed, count, rules), END)
