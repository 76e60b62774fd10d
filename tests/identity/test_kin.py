"""What a profile knows of its ids is kept as short as can be, and says the same however it is kept."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from lifestage.profile import Belongs, Kin, Profile, Ties, decode, encode

IDS = ["email:0123", "anon:v1", "anon:v", "anon:v11", "v1", "1"]


def _drawn(seed: int) -> Kin:
    """Anything that may be known, most of it plain members."""
    chance = Random(seed)
    ties = Ties({id: Belongs("c1") for id in chance.sample(IDS, chance.randint(0, len(IDS)))})
    for id in list(ties.members):
        if chance.random() < 0.1:
            ties.members[id] = chance.choice([Belongs("anon:v1"), Belongs("c1", past=True), Belongs("c1", at=7)])
    if chance.random() < 0.1:
        ties.parts["anon:v1"] = b"facts"
    if chance.random() < 0.1:
        ties.asked["anon:v2"] = 20_000
    if chance.random() < 0.1:
        ties.apart.append("c2")
    if chance.random() < 0.1:
        ties.held.append(b"fact")
    if chance.random() < 0.1:
        ties.left["anon:v3"] = 5, True
    if chance.random() < 0.1:
        ties.parted.append("anon:v4")
    return Kin("c3" if chance.random() < 0.1 else None, ties=ties)


def _said(kin: Kin) -> object:
    """All that is known."""
    told = kin.alias, kin.since, [*kin.members.items()], kin.parts, kin.asked, kin.apart, kin.held, kin.left, kin.parted
    return msgspec.msgpack.decode(msgspec.msgpack.encode(told))


@pytest.mark.parametrize("seed", range(300))
def test_it_says_the_same_when_it_is_short_and_after_it_was_kept(seed: int) -> None:
    """Members keep their order and their links, and all else what it was; what was looked at is kept as before."""
    known = _said(_drawn(seed))
    kin = _drawn(seed)
    kin.shorten()
    kept = encode(Profile(newest=1, kin=kin))
    found = decode(kept).kin
    assert found is not None
    assert _said(found) == known
    found.shorten()
    assert found == kin
    assert encode(Profile(newest=1, kin=found)) == kept


def test_plain_members_of_one_id_are_one_text() -> None:
    """Of most customers all is known by one text; what is more, or of several ids, is not."""
    plain, past, two = Kin(), Kin(), Kin()
    plain.members.update({"email:01": Belongs("c1"), "anon:v": Belongs("c1")})
    past.members.update({"anon:v": Belongs("c1", past=True)})
    two.members.update({"email:01": Belongs("c1"), "anon:v": Belongs("email:01")})
    for kin in (plain, past, two):
        kin.shorten()
    assert (plain.short, plain.ties) == ("c1\0email:01\0anon:v\0", None)
    assert [kin.short for kin in (past, two)] == ["", ""]
    assert past.members == {"anon:v": Belongs("c1", past=True)}


def test_one_of_which_nothing_is_known_any_more_is_empty() -> None:
    """What was opened and emptied again is kept as what never was."""
    kin = Kin(short="c1\0email:01\0")
    del kin.members["email:01"]
    kin.shorten()
    assert kin == Kin()
