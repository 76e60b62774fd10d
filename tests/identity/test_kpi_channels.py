"""By which channel a person came first: what any of their events says, live and in a recount, in whatever order they come."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lifestage.fact import Fact
from lifestage.facts import Context, OrderCompleted, WebVisit
from lifestage.kpi_step import Counting
from streams.reconcile import Difference
from tests.core.effort import effort
from tests.core.histories import START
from tests.core.oracle import DAY
from tests.identity.lives import Lives, Mix
from tests.identity.test_recount import COUNTED, MIXES, counts, kept, recounted, seeds
from tests.identity.world import Shape, World

CHANNELS = ("cpc", "email", "social", None)


def told_again(chance: Random, facts: list[Fact]) -> list[Fact]:
    """Facts that say a channel now and then, and of some orders a second event, of another time, which may say another."""
    said = {(fact.source, fact.id): chance.choice(CHANNELS) for fact in facts if chance.random() < 0.3}
    # an event that comes twice says the same each time
    found = [
        replace(fact, context=Context(medium=said[fact.source, fact.id])) if (fact.source, fact.id) in said else fact
        for fact in facts
    ]
    for n, fact in enumerate(facts):
        if isinstance(fact, OrderCompleted) and chance.random() < 0.5:
            at = fact.time + chance.choice((-2, -1, 0, 1, 3)) * DAY // 2
            found.append(replace(fact, id=f"again{n}", time=at, context=Context(medium=chance.choice(CHANNELS))))
    return found


def differences(seed: int, count: int, mix: Mix, partitions: int) -> list[Difference]:
    """Where what is kept is not what the log says, after each of a few stretches of time."""
    chance = Random(seed)
    facts = told_again(chance, Lives(chance, mix).events(count))
    chance.shuffle(facts)
    world = World(COUNTED, facts, chance, Shape(partitions, 1))
    found: list[Difference] = []
    for days in (31, 40):
        world.end(START + days * DAY)
        found += recounted(world).differences
    return found


@effort(150)
@given(seeds, counts, st.sampled_from(MIXES), st.integers(1, 3))
def test_channels_are_those_that_the_log_says(seed: int, count: int, mix: Mix, partitions: int) -> None:
    """Of orders that are told twice both events say by which channel the person came, whoever of their ids they come under."""
    assert differences(seed, count, mix, partitions) == []


def test_channels_of_what_repeats_an_order_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not noted, they are missed."""
    monkeypatch.setattr(Counting, "repeated", lambda *_: True)
    assert any(one.name.endswith("/channel") for seed in range(40) for one in differences(seed, 25, MIXES[seed % 4], 2))


@pytest.mark.parametrize("first", [0, 1])
def test_an_order_told_by_two_systems(first: int) -> None:
    """The shop says nothing of a channel, the payment service, an hour later and under the order's own id, does: that is whose customer
    it is, whichever is heard of first; a visit after it changes nothing."""
    order = OrderCompleted(
        order_id="o",
        total_minor=1000,
        net_minor=1000,
        currency="EUR",
        source="shop",
        id="e1",
        time=START,
        customer_id="c",
    )
    again = replace(order, id="e2", time=START + 3_600_000, context=Context(medium="cpc"))
    visit = WebVisit(
        url="/",
        session_id="s",
        source="web",
        id="e3",
        time=START + DAY,
        customer_id="c",
        context=Context(medium="email"),
    )
    facts: list[Fact] = [again, order, visit] if first else [order, again, visit]
    world = World(COUNTED, facts, Random(1), Shape(1, 1, crashes=False, ticks=False, orderly=True))
    world.end(START + 2 * DAY)
    totals = kept(world.folds[0]).days.totals()
    assert {name[1]: count for name, count in totals.items() if name[0] == "new_customers/channel"} == {"cpc": 1}
    assert recounted(world).differences == []
