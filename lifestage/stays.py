"""Stays: the times that an id spends with one it belongs to, each under a name of its own, so that none is taken for another.

To whom an id belongs is decided in the order of its own log. Between two such decisions it has one stay, which the offset
of the first names, wherever else that is heard of and in whatever order. A stay ends in one of two ways: the id goes to
another, and what came so far stays; or it is split off, and what came goes home. A message that came through ids says by
which stays: where one of these is known to have ended by a split, the message follows the id that was split off. So
all that came through an id is in the end where that id is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from lifestage.keys import ANONYMOUS
from lifestage.messages import Hop, Member, Occasion, Release, Switched, Unite
from lifestage.profile import Belongs, Kin

GONE_MAX: Final = 200
"""Ended stays that a profile remembers; messages about more of them are not on their way at once."""
_END: Final = "\0"
"""No id holds it."""


def id_of(name: str) -> str:
    """The id whose stay a member of a profile is."""
    return name.partition(_END)[0]


def since_of(name: str) -> int:
    """When a stay that is over began."""
    return int(name.split(_END)[1])


def ended(id: str, since: int, parent: str = "") -> str:
    """The name of a stay that is over; one that is not goes by the id.

    One with a visitor may be in two places when that one has changed hands, so what ended with a visitor's stay goes by both.
    """
    return f"{id}{_END}{since}{parent[parent.index(_END) :] if _is_left(parent) else ''}"


def _is_left(name: str) -> bool:
    """Whether a name is that of a visitor's stay which is over."""
    return name.startswith(ANONYMOUS) and _END in name


def stay(kin: Kin, id: str, since: int, parent: str, *, past: bool = False) -> str:
    """The name of a stay with a profile, which knows of it from now on; `past`: it is over.

    The fact sets must be closed: one may go by another name from now on.
    """
    over, now = ended(id, since, parent), kin.members.get(id)
    if now is not None and now.past:
        # as an older release kept it
        _end(kin, id)
        now = None
    if over in kin.members:
        return over
    if _is_left(parent) or _is_united(kin, id, since, parent):
        kin.members[over] = Belongs(parent, True, since)
        return over
    if now is not None and (now.at == since or now.at < 0 or since < 0):
        if now.at < since:
            # supposed so far
            kin.asked.pop(id, None)
            kin.members[id] = Belongs(parent, at=since)
        if not past:
            return id
        _end(kin, id)
    elif past or (now is not None and now.at > since):
        kin.members[over] = Belongs(parent, True, since)
    else:
        if now is not None:
            _end(kin, id)
        kin.asked.pop(id, None)
        kin.members[id] = Belongs(parent, at=since)
        return id
    return over


def _is_united(kin: Kin, id: str, since: int, parent: str) -> bool:
    """Whether a stay that is not known by its name may be part of a later one that is over; not the present one."""
    now = kin.members.get(id)
    if since < 0 or (now is not None and (now.at == since or (now.at < 0 and now.parent == parent))):
        return False
    return any(at > since for _, at in past_stays(kin, id, parent))


def past_stays(kin: Kin, id: str, parent: str) -> list[tuple[str, int]]:
    """The stays of an id with one parent that are over: by name, and since when."""
    begin = id + _END
    return [
        (name, belongs.at)
        for name, belongs in kin.members.items()
        if belongs.past and belongs.parent == parent and name.startswith(begin)
    ]


def ids_seen(kin: Kin) -> list[tuple[str, str, bool]]:
    """The ids that a profile has or has had, each once: with whom it was linked to, and whether it has gone to another since."""
    found: dict[str, tuple[str, str, bool]] = {}
    for name, (parent, past, _) in sorted(kin.members.items()):
        id = id_of(name)
        if id not in found or not past:
            found[id] = id, id_of(parent), past
    return [found[id] for id in sorted(found)]


def ids_beside(kin: Kin, id: str) -> set[str]:
    """The other ids that a profile has, by the limit: each counts once, also one that has left facts here."""
    return {*map(id_of, kin.members)} - {id}


def suppose(kin: Kin, id: str, parent: str) -> None:
    """Take an id for a member until its owner says otherwise; not where its stay with `parent` is known to be over."""
    if id not in kin.members and id_of(parent) not in _before(kin, id) and not is_gone(kin, id, -1):
        # whoever has it now was refused it in another time
        kin.asked.pop(id, None)
        kin.members[id] = Belongs(parent)


def is_new(kin: Kin, id: str) -> bool:
    """Whether a profile has never heard of an id."""
    return id not in kin.members and not _before(kin, id)


def is_present(kin: Kin, id: str) -> bool:
    """Whether an id belongs to a profile now, or is supposed to."""
    return id in kin.members and not kin.members[id].past


def _before(kin: Kin, id: str) -> list[str]:
    """Whose an id is known to have been before."""
    begin = id + _END
    found = [id_of(parent) for name, parent in kin.gone.items() if name.startswith(begin)] if kin.gone else []
    return found + [id_of(to) for name, (to, past, _) in kin.members.items() if past and name.startswith(begin)]


def is_settled(kin: Kin, via: str, since: int, path: Sequence[Hop]) -> bool:
    """Whether a stay and those on the path are known as the present ones."""
    for id, began in (*path, (via, since)):
        known = kin.members.get(id)
        if known is None or known.past or known.at != began:
            return False
    return True


def _end(kin: Kin, id: str) -> None:
    """An id's present stay is over, and what came through it goes by its name; through an anonymous id, that is over, too."""
    parent, _, at = kin.members[id]
    _rename(kin, id, ended(id, at, parent))


def stop(kin: Kin, id: str, since: int) -> None:
    """End a stay that an id has now, whoever it came through."""
    if id in kin.members and not kin.members[id].past and kin.members[id].at == since:
        _end(kin, id)


def behind(kin: Kin, id: str) -> dict[str, Belongs]:
    """The visitors who were merged into one, and those who were merged into these: where that one goes, they go along."""
    if not id.startswith(ANONYMOUS) or (kin.ties is None and not kin.short):
        return {}
    now = {name: belongs for name, belongs in kin.members.items() if not belongs.past}
    return {name: now[name] for name in through(now, id)[1:]}


def pass_by(kin: Kin, id: str, message: Unite | Switched | Release) -> None:
    """Note of a visitor who belongs to somebody which others were merged into them, as messages about these come by."""
    if isinstance(message, Unite):
        for member in message.members:
            if member.at >= 0 and member.key != id and not (member.past or member.gone) and is_behind(kin, id, member):
                kin.members[member.key] = Belongs(member.parent, at=member.at)
    elif message.alias in behind(kin, id) and kin.members[message.alias].at == message.since:
        for name in through(kin.members, message.alias):
            del kin.members[name]


def is_behind(kin: Kin, id: str, member: Member) -> bool:
    """Whether a member comes through a visitor itself, or through one who was merged into them."""
    return member.parent == id or (bool(kin.members) and member.parent in kin.members)


def _rename(kin: Kin, name: str, over: str) -> None:
    """Let a stay that is over go by another name, and with a visitor's all that came through it."""
    parent, _, at = kin.members.pop(name)
    kin.members[over] = Belongs(parent, True, at)
    if name in kin.parts:
        kin.parts[over] = kin.parts.pop(name)
    for before, to in [*kin.gone.items()]:
        if to == name:
            known = ended(id_of(before), since_of(before), over)
            if known != before:
                del kin.gone[before]
            kin.gone[known] = over
    for one in [one for one, belongs in kin.members.items() if belongs.parent == name]:
        _, past, since = kin.members[one]
        kin.members[one] = Belongs(over, past, since)
        if _is_left(over):
            _rename(kin, one, ended(id_of(one), since, over))


def names_by_visitors(kin: Kin) -> bool:
    """Whether a profile knows of a stay by a name that an older release cannot read: one that goes by a visitor's, too."""
    return any(name.count(_END) > 1 for name in (*kin.gone, *kin.members))


def name_anew(kin: Kin) -> None:
    """Let each stay that is over go by its name of today, where an older release has kept it by one that does not tell it from
    others, or for one that is not over. Whatever is looked up, noted or told from now on goes by that name."""
    if kin.ties is None or not (kin.gone or any(map(_is_over, kin.members.values()))):
        return
    for name in [name for name, belongs in kin.members.items() if _is_over(belongs)]:
        # it may have gone by another name with whom it came through
        known = kin.members.get(name)
        if known is not None and (over := ended(id_of(name), known.at, known.parent)) not in kin.members:
            _rename(kin, name, over)
    if any(ended(id_of(name), since_of(name), to) != name for name, to in kin.gone.items()):
        kin.ties.gone = {ended(id_of(name), since_of(name), to): to for name, to in kin.gone.items()}


def _is_over(belongs: Belongs) -> bool:
    """Whether an id has gone to another, by itself or with a visitor who it came through."""
    return belongs.past or _is_left(belongs.parent)


def through(members: dict[str, Belongs], id: str) -> list[str]:
    """A member, and all that were linked to it, to these, and so on: those before these."""
    found, rest = [id], sorted(members)
    for one in found:
        found += [name for name in rest if members[name].parent == one and name not in found]
    return found


def bury(kin: Kin, id: str, since: int, parent: str) -> None:
    """Note that an id was split off, should it be heard only now that it had come."""
    name = ended(id, since, parent)
    kin.gone.pop(name, None)
    kin.gone[name] = parent
    if len(kin.gone) > GONE_MAX:
        del kin.gone[next(iter(kin.gone))]


def is_gone(kin: Kin, id: str, since: int, parent: str = "") -> bool:
    """Whether a stay with `parent` is known to have ended by a split."""
    return bool(kin.gone) and ended(id, since, parent) in kin.gone


def buried(kin: Kin, parents: Iterable[str]) -> list[str]:
    """Of the stays that ended by a split the names of those with one of these."""
    among = {*parents}
    return [name for name, to in kin.gone.items() if to in among]


def inward(path: Sequence[Hop], key: str) -> tuple[Hop, ...]:
    """Of a path the part up to where it comes by `key`."""
    for n, (id, _) in enumerate(path):
        if id == key:
            return tuple(path[:n])
    return tuple(path)


def astray(kin: Kin, path: Sequence[Hop]) -> int:
    """The place on a path of the nearest id that has been split off since; -1: all are still here."""
    if kin.gone:
        parent = ""
        for n in range(len(path) - 1, -1, -1):
            if is_gone(kin, *path[n], parent):
                return n
            parent = _named(kin, *path[n], parent)
    return -1


def _named(kin: Kin, id: str, since: int, parent: str) -> str:
    """How a profile names a stay with `parent`, or would."""
    now = kin.members.get(id)
    return id if now is not None and not now.past and now.at in (since, -1) else ended(id, since, parent)


def follow(kin: Kin, key: str, path: Sequence[Hop]) -> str:
    """Whom a message of a profile's `path` was for at first, which knows of the ids on it from now on.

    The fact sets must be closed.
    """
    parent = key
    for id, since in reversed(path):
        parent = stay(kin, id, since, parent)
    return parent


class Names:
    """How a profile names what a message names that has come to `key` by a path; it may have heard of more since."""

    def __init__(self, kin: Kin, key: str, path: Sequence[Hop]) -> None:
        self._members, self._told = kin.members, dict[str, Member]()
        parent = key
        for id, since in reversed(path):
            self._told[id] = Member(id, parent, at=since)
            parent = id

    def tell(self, member: Member) -> None:
        """A member comes, after whom it came through."""
        self._told[name_of(member)] = member

    def known(self, name: str) -> str:
        """The profile's name of a stay that goes by another one in the message."""
        member = self._told.get(name)
        if member is None:
            return name
        over = ended(member.key, member.at, self.known(member.parent))
        if member.past:
            return over
        now = self._members.get(name)
        return over if over in self._members and (now is None or now.at != member.at) else name


def name_of(member: Member) -> str:
    """How the profile that a member comes from names it."""
    return ended(member.key, member.at, member.parent) if member.past else member.key


def note(kin: Kin, since: int, target: str) -> None:
    """Note of an id that was ever split off that a stay with `target` is over; "": by a split."""
    if kin.stays or not target:
        kin.stays.append((since, target))
        del kin.stays[:-GONE_MAX]


def hand_over(kin: Kin, id: str, occasion: Occasion, offset: int) -> Switched:
    """What an id tells the one it is leaving for another, from now on noted where it was ever split off."""
    assert kin.alias is not None
    told = Switched(kin.alias, id, occasion, offset, kin.since, sure=_never_split_since(kin))
    note(kin, kin.since, kin.alias)
    return told


def _never_split_since(kin: Kin) -> int:
    """From where on none of an id's stays was ended by a split, by the offset where it began."""
    splits = [began for began, target in kin.stays if not target]
    return splits[-1] if splits else kin.stays[0][0] if kin.stays else 0


def next_stay(kin: Kin, since: int) -> Hop | None:
    """Of an id the stay that followed one which a split ended, if that is over by now: with whom and since when."""
    if since >= 0:
        for began, target in kin.stays:
            if began > since and target:
                return Hop(target, began)
    return None
