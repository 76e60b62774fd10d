"""What members of a profile bring along when they join another or leave it: their fact sets as bytes, in messages of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lifestage import profile as profiles
from lifestage.messages import Member
from lifestage.profile import Belongs, Kin, Profile
from lifestage.stays import buried, ended, id_of
from lifestage.union import is_empty

MESSAGE_BYTES = 300_000
"""Of fact sets in one message; what is larger travels in several."""
ORDERS_IN_PIECE = 500
"""About 50 KB; 300 KB where each was updated five times."""


def decode_part(part: bytes | None) -> Profile:
    """A member's fact set; an empty one for nothing."""
    return profiles.decode(part) if part else Profile()


def encode_part(facts: Profile) -> bytes:
    """The bytes of a fact set; none for an empty one."""
    return b"" if is_empty(facts) else profiles.encode(facts)


def pieces(key: str, belongs: Belongs, facts: Profile) -> Iterator[Member]:
    """A member, with its facts in as many pieces as fit a message each."""
    parent, past, at = belongs
    orders = facts.orders
    facts.orders = orders[:ORDERS_IN_PIECE]
    first = encode_part(facts)
    facts.orders = orders
    yield Member(key, parent, first, past, at)
    for n in range(ORDERS_IN_PIECE, len(orders), ORDERS_IN_PIECE):
        further = Profile(newest=facts.newest, first_seen=facts.first_seen, orders=orders[n : n + ORDERS_IN_PIECE])
        yield Member(key, parent, encode_part(further), past, at)


def loads(members: Sequence[Member]) -> Iterator[tuple[Member, ...]]:
    """Members as they travel: as many in a message as fit, each after whom it came through."""
    bare = {m.key: Member(m.key, m.parent, at=m.at) for m in members if not m.past and not m.gone}
    load: list[Member] = []
    there: set[str] = set()
    size = 0
    for member in members:
        if load and size + len(member.facts) > MESSAGE_BYTES:
            yield tuple(load)
            load, size, there = [], 0, set()
        way, over = [], bare.get(member.parent)
        while over is not None and over.key not in there:
            there.add(over.key)
            way.append(over)
            over = bare.get(over.parent)
        load += [*reversed(way), member]
        there.add(member.key)
        size += len(member.facts)
    yield tuple(load)


def taken(kin: Kin, key: str, names: Sequence[str]) -> list[Member]:
    """Members of `key` with their facts, taken out, and what is known of such that were split off from them."""
    found: list[Member] = []
    for name in names:
        found += pieces(id_of(name), kin.members.pop(name, Belongs(key)), decode_part(kin.parts.pop(name, None)))
    return [*found, *told_gone(kin, names)]


def told_gone(kin: Kin, names: Iterable[str]) -> list[Member]:
    """What is known of ids that were split off from these, taken out."""
    found = buried(kin, names)
    for id, since, _ in found:
        del kin.gone[ended(id, since)]
    return [Member(id, parent, at=since, gone=True) for id, since, parent in found]
