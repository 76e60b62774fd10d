"""An id that nobody has heard of is taken for one's own without an answer, and given up where it proves to be another's."""

from __future__ import annotations

from random import Random

import pytest

from lifestage import log
from lifestage.messages import Message, Refused, Unite, decode_message
from lifestage.partition import Partition
from tests.identity.judge import wrong
from tests.identity.lives import END, RULES, address
from tests.identity.offline import once
from tests.identity.told import Told, lived, of
from tests.identity.world import Shape, World

SEEDS = range(40)


def messages(world: World) -> list[Message]:
    """Every message of a world, once."""
    values = [value for records in world.logs for _, _, value in once(records)]
    return [decode_message(value[log.HEADER_SIZE :]) for value in values if log.header(value).kind == log.MESSAGE]


def test_a_new_id_costs_one_message() -> None:
    """An id without facts is told whose it is, and does not answer; one with facts sends them."""
    assert [type(one).__name__ for one in messages(lived(Told().visit("c1 @1 v1")))] == ["Link", "Link"]
    known = messages(lived(Told().visit("v1").visit("c1 @1 v1")))
    assert sorted(type(one).__name__ for one in known) == ["Link", "Link", "Unite"]


def test_who_asks_has_a_new_id_at_once() -> None:
    """Before anything has come to the id's owner it stands with the profile, and the events after it ask no more."""
    world = World(RULES, Told().visit("c1 v1", 9).facts, Random(1), Shape(1, 1, crashes=False, ticks=False))
    world.take_in(0, 9)
    world.fold(0, 9)
    kin = of(world, "c1").kin
    assert kin is not None
    assert list(kin.members) == ["anon:v1"]
    assert len(world.lanes[0][0]) == 1
    world.end(END)
    assert wrong(world, END) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("orderly", [True, False])
def test_who_asked_in_vain_gives_it_up(seed: int, orderly: bool) -> None:
    """Of two who take one address for theirs one keeps it, with what comes under it."""
    world = lived(Told().order("c1 @1", "o1").order("c2 @1", "o2").mail("@1"), seed, orderly=orderly)
    having = [key for key in ("c1", "c2") if (kin := of(world, key).kin) is not None and address(1) in kin.members]
    assert len(having) == 1
    if orderly:
        assert having == ["c1"]


IN_BETWEEN = [
    Told().order("c2 @1", "o2").order("c1 @1", "o1").merged("c1", "c2").mail("@1"),
    Told().order("c2 @1", "o2").merged("c1", "c2").order("c1 @1 v1", "o1").mail("@1").visit("v1"),
    Told().order("c2 @1", "o2").order("c1 @1", "o1").merged("c1", "c2").mail("@1").split("c2").mail("@1"),
    Told().order("c3 @1", "o3").order("c2 @1", "o2").order("c1 @1", "o1").merged("c1", "c2").mail("@1").split("c2"),
    Told().merged("c1", "c2").order("c1 @1", "o1").order("c2 @1", "o2").merged("c0", "c1").split("c1").mail("@1"),
    Told().order("c2 @1", "o2").order("c1 @1", "o1").merged("c1", "c2"),
]
"""Two ask for one address, and are merged or split before they have an answer."""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("told", IN_BETWEEN)
def test_an_answer_finds_who_has_asked(told: Told, seed: int) -> None:
    """The one who asked in vain gives it up also where they have been merged, or split off, before they are told."""
    lived(told, seed, orderly=False)


class Unanswered(Partition):
    """Never says no."""

    def post(self, message: Message) -> None:
        """A message to send."""
        if not isinstance(message, Refused):
            super().post(message)


class Unconfirmed(Partition):
    """Says no, and nothing to whose it is."""

    def post(self, message: Message) -> None:
        """A message to send."""
        confirms = isinstance(message, Unite) and message.members[0].key == address(1) and not message.members[0].facts
        if not confirms:
            super().post(message)


@pytest.mark.parametrize("kind", [Unanswered, Unconfirmed])
def test_without_an_answer_it_is_found(kind: type[Partition]) -> None:
    """Where nobody is told no, or nobody whose it is, what a profile knows of its ids is wrong in some order of things."""
    found: list[str] = []
    for seed in SEEDS:
        for told in IN_BETWEEN:
            world = World(RULES, told.facts, Random(seed), Shape(1 + seed % 8, 2, crashes=False, ticks=False), kind)
            world.end(END)
            found += wrong(world, END)
    assert any("has the members" in said for said in found)
