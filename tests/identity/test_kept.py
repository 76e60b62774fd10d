"""What a release kept and sent that named stays otherwise is gone on with, and what it cannot read it is told not to."""

from __future__ import annotations

import lzma
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec
import pytest

from lifestage import log, restored
from lifestage.facts import TicketCreated, TicketReplied, decode, encode
from lifestage.loads import homeward, told_gone
from lifestage.messages import Forwarded, Member, decode_message
from lifestage.profile import NAMED, Belongs, Kin, Ties
from lifestage.stays import name_anew
from tests.identity.decided import Decided
from tests.identity.judge import least_wrong, placements, wrong_accounts, wrong_people, wrong_replays
from tests.identity.lives import END, RULES
from tests.identity.offline import Family
from tests.identity.told import Told
from tests.identity.world import Kept, Shape, World

ARCHIVE = Path(__file__).with_name("before_stays_went_by_visitors.msgpack.xz")
"""What a release kept that named a stay by the id and its begin alone: worlds in the middle of what happens, by chance and told,
most with visitors who were merged into one that changed hands. It cannot be made again by today's code."""


class Before(NamedTuple):
    """A world as that release left it."""

    seed: int
    shape: list[int | bool]
    facts: list[bytes]
    kept: list[list[tuple[bytes, bytes | None, int]]]
    logs: list[list[tuple[int, bytes | None, bytes]]]
    read: list[int]
    exact: bool
    """All comes right. Else it does not with that release either: what came through a visitor who changed hands has strayed."""


def left_off() -> list[Before]:
    """All of them."""
    return msgspec.msgpack.decode(lzma.decompress(ARCHIVE.read_bytes()), type=list[Before])


def gone_on(before: Before) -> World:
    """A world in which today's release has gone on to the end."""
    partitions, sources, _, _, orderly, _ = before.shape
    shape = Shape(partitions, sources, crashes=False, ticks=False, orderly=bool(orderly))
    world = World(RULES, [*map(decode, before.facts)], Random(before.seed), shape)
    world.changelogs = [[Kept(*one) for one in kept] for kept in before.kept]
    world.logs, world.read, world.furthest = [[*records] for records in before.logs], [*before.read], [*before.read]
    world.folds = [world.born(number) for number in range(partitions)]
    for number, fold in enumerate(world.folds):
        world.places[number] = sum(offset <= fold.applied for offset, _, _ in world.logs[number])
    world.end(END)
    return world


def wrong(world: World) -> list[str]:
    """What is wrong with who is who and with what they have; what was told before that is not kept."""
    found = [*wrong_accounts(world)]
    # paths are of all that was told
    world.shape = world.shape._replace(ticks=True)
    if world.shape.orderly:
        return [*found, *wrong_people(world, Decided(world.facts), END)]
    family = Family(world.logs)
    return [*found, *least_wrong(wrong_people(world, family, END, placed) for placed in placements(family))]


@pytest.fixture(scope="module")
def worlds() -> list[Before]:
    """What that release left."""
    return left_off()


def test_what_the_release_before_kept_is_gone_on_with(worlds: list[Before]) -> None:
    """From any moment on: nothing raises, each event is accounted for, and all is where it was said."""
    assert len(worlds) > 100
    for before in worlds:
        world = gone_on(before)
        assert not [*wrong_accounts(world)]
        assert not before.exact or wrong(world) == []


def test_without_todays_names_it_is_not(worlds: list[Before], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was noted by the names of that release is looked up in vain by those of today."""
    monkeypatch.setattr(restored, "name_anew", lambda _: None)
    assert any(wrong(gone_on(before)) for before in worlds if before.exact)


OLD = {
    "anon:v2\x008": Belongs("c1", True, 8),
    "anon:v1\x001": Belongs("anon:v2\x008", True, 1),
    "anon:v3": Belongs("anon:v1\x001", at=4),
    "anon:v4": Belongs("c1", True, 2),
    "anon:v5": Belongs("c1", at=9),
}
NEW = {
    "anon:v2\x008": Belongs("c1", True, 8),
    "anon:v1\x001\x008": Belongs("anon:v2\x008", True, 1),
    "anon:v3\x004\x001\x008": Belongs("anon:v1\x001\x008", True, 4),
    "anon:v4\x002": Belongs("c1", True, 2),
    "anon:v5": Belongs("c1", at=9),
}


def test_each_stay_goes_by_its_name_of_today() -> None:
    """Also by that of whom it came through, at any depth; what was split off is told on with whoever it was split from."""
    gone = {"anon:v6\x003": "anon:v1\x001", "anon:v7\x005": "c1"}
    kin = Kin(ties=Ties({**OLD}, {"anon:v1\x001": b"its", "": b"own"}, gone=gone))
    for _ in range(2):  # what has these names already keeps them
        name_anew(kin)
        assert kin.members == NEW
        assert kin.parts == {"anon:v1\x001\x008": b"its", "": b"own"}
        assert kin.gone == {"anon:v6\x003\x001\x008": "anon:v1\x001\x008", "anon:v7\x005": "c1"}
    assert told_gone(kin, [*kin.members]) == [Member("anon:v6", "anon:v1\x001\x008", at=3, gone=True)]


def test_what_is_told_of_a_stay_by_a_name_that_is_not_todays_can_be_told_on() -> None:
    """Nothing that is kept by any name makes a partition stand still."""
    kin = Kin(ties=Ties(gone={"anon:v1\x001": "anon:v2\x008"}))
    assert told_gone(kin, ["anon:v2\x008"]) == [Member("anon:v1", "anon:v2\x008", at=1, gone=True)]
    assert kin.gone == {}


def test_members_that_the_release_before_sent_go_by_their_names_of_today() -> None:
    """Each follows whom it came through, whom that release called by the id and its begin alone."""
    sent = [
        Member("anon:v2", "c1", past=True, at=8),
        Member("anon:v1", "anon:v2\x008", past=True, at=1),
        Member("anon:v3", "anon:v1\x001", past=True, at=4),
    ]
    assert [one.parent for one in homeward(sent, "c1")] == ["c1", "anon:v2\x008", "anon:v1\x001\x008"]


@pytest.mark.parametrize("kpi", [False, True])
def test_a_name_that_the_release_before_cannot_read_is_told_by_the_format(kpi: bool) -> None:
    """It stops and says why; a profile without such a name stays as it can read it, whenever it was kept."""
    told = Told().merged("v2", "v1", into="anon:v2").visit("v1").lead("c1 v2").visit("v1").split("v1").lead("c2 v2")
    rules = RULES._replace(window=400) if kpi else RULES
    world = World(rules, told.facts, Random(1), Shape(3, 1, crashes=False, ticks=False, orderly=True))
    world.end(END)
    formats = {name: profile.format for name, profile in world.profiles().items()}
    by_visitors = {
        name
        for name, profile in world.profiles().items()
        if profile.kin is not None and any(one.count("\0") > 1 for one in (*profile.kin.gone, *profile.kin.members))
    }
    assert by_visitors == {"c1"}
    assert {name for name, format in formats.items() if format == NAMED} == by_visitors


class Older(World):
    """A world whose intake is of a release that did not know the last field of what it writes, where that is not said."""

    def append(self, number: int, key: bytes | None, value: bytes) -> None:
        """Put a record at the end of a log."""
        if log.header(value).kind == log.FACT:
            *known, last = msgspec.msgpack.decode(value[log.HEADER_SIZE :])
            if last is None:
                value = value[: log.HEADER_SIZE] + msgspec.msgpack.encode(known)
        super().append(number, key, value)


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_fact_of_an_older_release_goes_on_as_it_was_written(partitions: int) -> None:
    """Whether it is passed on at once or waits for whose it is: the log read again gives the same bytes as that release did."""
    told = Told().linked("c0 @1").mail("@1").mail("@1")
    waits = TicketReplied(ticket_id="i1", **told.common(""))
    told.facts += [waits, TicketCreated(ticket_id="i1", **told.later().common("c0"))]
    world = Older(RULES, told.facts, Random(1), Shape(partitions, 1, crashes=False, ticks=False, orderly=True))
    world.end(END)
    payloads = [value[log.HEADER_SIZE :] for records in world.logs for _, _, value in records]
    kinds = [log.header(value).kind for records in world.logs for _, _, value in records]
    written = {payload for payload, kind in zip(payloads, kinds, strict=True) if kind == log.FACT}
    messages = [decode_message(one) for one, kind in zip(payloads, kinds, strict=True) if kind == log.MESSAGE]
    passed_on = [message.fact for message in messages if isinstance(message, Forwarded)]
    assert len(passed_on) == len(set(passed_on)) == 3
    assert {*passed_on} <= written
    assert not written & {encode(decode(fact)) for fact in passed_on}
    assert list(wrong_replays(world)) == []
