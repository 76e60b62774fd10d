"""What members of a profile bring along when they join another or leave it: their fact sets as bytes, in messages of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from lifestage import profile as profiles
from lifestage.keys import ANONYMOUS
from lifestage.kpi_kept import Kept
from lifestage.messages import Member, Switched
from lifestage.profile import Belongs, Kin, Profile
from lifestage.signals import Keeping
from lifestage.stays import Names, buried, ended, id_of, is_gone, name_of, past_stays, since_of, stay, stop
from lifestage.union import is_empty, united

MESSAGE_BYTES: Final = 300_000
"""Of fact sets in one message; what is larger travels in several."""
ORDERS_IN_PIECE: Final = 500
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
        if facts.kpi is not None:
            # nothing more is to be known of these for KPIs
            further.kpi = Kept(facts.kpi.window, facts.kpi.looked)
        yield Member(key, parent, encode_part(further), past, at)


def loads(members: Sequence[Member]) -> Iterator[tuple[Member, ...]]:
    """Members as they travel: as many in a message as fit, each after whom it came through."""
    bare = {name_of(m): Member(m.key, m.parent, past=m.past, at=m.at) for m in members if not m.gone}
    load: list[Member] = []
    there: set[str] = set()
    size = 0
    for member in members:
        if load and size + len(member.facts) > MESSAGE_BYTES:
            yield tuple(load)
            load, size, there = [], 0, set()
        way, over = [], bare.get(member.parent)
        while over is not None and name_of(over) not in there:
            there.add(name_of(over))
            way.append(over)
            over = bare.get(over.parent)
        load += [*reversed(way), member]
        if not member.gone:
            there.add(name_of(member))
        size += len(member.facts)
    yield tuple(load)


def end_stay(kin: Kin, message: Switched, parent: str, keep: Keeping, horizon: int) -> None:
    """End the stay with `parent` of an id that has gone to another; the fact sets must be closed."""
    name = stay(kin, message.alias, message.since, parent, past=True)
    stop(kin, message.alias, message.since)
    _unite_past(kin, name, message.sure, keep, horizon)


def _unite_past(kin: Kin, name: str, sure: int, keep: Keeping, horizon: int) -> None:
    """Let a stay that is over take in those before it of the same id with the same parent that no split can take back."""
    parent, _, at = kin.members[name]
    if sure < 0 or parent.startswith(ANONYMOUS):
        return
    used = {belongs.parent for belongs in kin.members.values()} | {*kin.gone.values()}
    for before, began in past_stays(kin, id_of(name), parent):
        if sure <= began < at and before not in used:
            del kin.members[before]
            found = [kin.parts.pop(one) for one in (before, name) if one in kin.parts]
            if found:
                kin.parts[name] = encode_part(united([decode_part(part) for part in found], keep, horizon))


def taken(kin: Kin, key: str, names: Sequence[str]) -> list[Member]:
    """Members of `key` with their facts, taken out, and what is known of such that were split off from them."""
    found: list[Member] = []
    for name in names:
        found += pieces(id_of(name), kin.members.pop(name, Belongs(key)), decode_part(kin.parts.pop(name, None)))
    return [*found, *told_gone(kin, names)]


def homeward(members: Iterable[Member], id: str, now: Mapping[str, Belongs] | None = None) -> list[Member]:
    """Members that go to an id that was split off, through a stay of which they came: there they belong to the id itself.

    `now`: those who are there by now, as the id itself knows best; with it their stay is not over.
    """
    found: list[Member] = []
    renamed: dict[str, str] = {}
    for one in members:
        parent = id if id_of(one.parent) == id else renamed.get(one.parent, one.parent)
        over = one.past and not (now and one.key in now and now[one.key].at == one.at)
        home = one if (parent, over) == (one.parent, one.past) else replace(one, parent=parent, past=over)
        renamed[name_of(one)] = name_of(home)
        if one.past:
            # what an older release calls it, in whose messages all that came through it follow it
            renamed.setdefault(ended(one.key, one.at), name_of(home))
        found.append(home)
    return found


def told_gone(kin: Kin, names: Iterable[str]) -> list[Member]:
    """What is known of ids that were split off from these, taken out."""
    found = buried(kin, names)
    return [Member(id_of(name), kin.gone.pop(name), at=since_of(name), gone=True) for name in found]


def sorted_out(
    kin: Kin, key: str, members: Iterable[Member], names: Names
) -> tuple[list[Member], list[Member], dict[str, list[Member]]]:
    """Of members that come those who stay, those that are told to have been split off, and by whom they are sent after those
    who belong to one that is known to have been split off."""
    here: list[Member] = []
    freed: list[Member] = []
    after: dict[str, list[Member]] = {}
    aside: dict[str, str] = {}
    """Member → after whom it is sent."""
    for member in members:
        if member.key == key and not member.gone:
            here.append(member)
            continue
        to, parent = aside.get(member.parent), names.known(member.parent)
        if to is None and parent in kin.gone:
            to = id_of(parent)
        if to is None and not member.gone and is_gone(kin, member.key, member.at, parent):
            to = member.key
        if not member.gone:
            names.tell(member)
        if to is not None:
            after.setdefault(to, []).append(member)
            if not member.gone:
                aside[name_of(member)] = to
        elif member.gone:
            freed.append(member)
        else:
            here.append(member)
    return here, freed, after
