"""The record of all merges and splits that somebody asks for: in one order, so that no ring of merges can come about."""

from __future__ import annotations

from lifestage.cause import Rules
from lifestage.fact import Fact
from lifestage.facts import IdentityMerged, IdentitySplit
from lifestage.keys import class_of
from lifestage.members import Desk, kin_of, occasion_of
from lifestage.messages import Link, Release, Split
from lifestage.profile import Belongs, Profile
from lifestage.seen import has_seen, id_hash, remember


def decide(profile: Profile, fact: Fact, offset: int, rules: Rules, desk: Desk) -> str:
    """Merge or split as somebody asks, in the one order of all merges; returns the fact's outcome. `offset` is the fact's.

    `profile` keeps every id that was merged → the one that it was merged into.
    """
    hashed = id_hash(fact.source, fact.id, rules.id_key)
    # however late it comes again: a merge that was undone by a split would be done once more
    if has_seen(profile, hashed, 0):
        return "duplicate"
    remember(profile, hashed, fact.time, 0)
    profile.newest = fact.time if profile.newest is None else max(profile.newest, fact.time)
    forest, occasion = kin_of(profile).members, occasion_of(fact)
    if isinstance(fact, IdentitySplit):
        for id in fact.ids:
            forest.pop(id, None)
            desk.post(Split(id, occasion))
        return "accepted"
    assert isinstance(fact, IdentityMerged)
    roots = {_root(forest, id) for id in (*fact.ids, *((fact.into,) if fact.into is not None else ()))}
    survivor = min(roots, key=_precedence) if fact.into is None else _root(forest, fact.into)
    if len(roots) < 2:
        desk.count("void")
    elif class_of(survivor) < max(map(class_of, roots)):
        desk.count("refused_merge")
    else:
        for root in sorted(roots - {survivor}):
            forest[root] = Belongs(survivor, at=offset)
            desk.post(Link(root, survivor, occasion, merge=True, at=offset))
    return "accepted"


def _precedence(key: str) -> tuple[int, str]:
    return -class_of(key), key


def _root(forest: dict[str, Belongs], id: str) -> str:
    while id in forest:
        id = forest[id].parent
    return id


def take_out(forest: dict[str, Belongs], message: Release) -> None:
    """Forget a merge that the id's owner has refused, unless it has been merged again since."""
    known = forest.get(message.alias)
    if known is not None and known.at == message.at:
        del forest[message.alias]
