"""Stays: the times that an id spends with one it belongs to, each under a name of its own, so that none is taken for another.

To whom an id belongs is decided in the order of its own log. Between two such decisions it has one stay, which the offset
of the first names, wherever else that is heard of and in whatever order. A stay ends in one of two ways: the id goes to
another, and what came so far stays; or it is split off, and what came goes home. A message that came through ids says by
which stays: where one of these is known to have ended by a split, the message follows the id that was split off. So
all that came through an id is in the end where that id is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lifestage.keys import ANONYMOUS
from lifestage.messages import Hop, Occasion, Switched
from lifestage.profile import Belongs, Kin

GONE_MAX = 200
"""Ended stays that a profile remembers; messages about more of them are not on their way at once."""
_END = "\0"
"""No id holds it."""


def id_of(name: str) -> str:
    """The id whose stay a member of a profile is."""
    return name.partition(_END)[0]


def ended(id: str, since: int) -> str:
    """The name of a stay that is over; one that is not goes by the id."""
    return f"{id}{_END}{since}"


def stay(kin: Kin, id: str, since: int, parent: str, *, past: bool = False) -> str:
    """The name of a stay with a profile, which knows of it from now on; `past`: it is over.

    The fact sets must be closed: one may go by another name from now on.
    """
    over, now = ended(id, since), kin.members.get(id)
    if now is not None and now.past:
        # as an older release kept it
        _end(kin, id)
        now = None
    if over in kin.members:
        return over
    if _is_united(kin, id, since, parent):
        kin.members[over] = Belongs(parent, True, since)
        return over
    if now is not None and (now.at == since or now.at < 0 or since < 0):
        if now.at < since:
            # supposed so far
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


def ids_beside(kin: Kin, id: str) -> set[str]:
    """The other ids that a profile has, by the limit: each counts once, also one that has left facts here."""
    return {*map(id_of, kin.members)} - {id}


def suppose(kin: Kin, id: str, parent: str) -> None:
    """Take an id for a member until its owner says otherwise; not where its stay with `parent` is known to be over."""
    if id not in kin.members and id_of(parent) not in _before(kin, id) and not is_gone(kin, id, -1):
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
    parent, _, at = kin.members.pop(id)
    over = ended(id, at)
    kin.members[over] = Belongs(parent, True, at)
    if id in kin.parts:
        kin.parts[over] = kin.parts.pop(id)
    for name, to in kin.gone.items():
        if to == id:
            kin.gone[name] = over
    for name in [name for name, belongs in kin.members.items() if belongs.parent == id]:
        _, past, since = kin.members[name]
        kin.members[name] = Belongs(over, past, since)
        if not past and id.startswith(ANONYMOUS):
            _end(kin, name)


def through(members: dict[str, Belongs], id: str) -> list[str]:
    """A member, and all that were linked to it, to these, and so on: those before these."""
    found, rest = [id], sorted(members)
    for one in found:
        found += [name for name in rest if members[name].parent == one and name not in found]
    return found


def bury(kin: Kin, id: str, since: int, parent: str) -> None:
    """Note that an id was split off, should it be heard only now that it had come."""
    name = ended(id, since)
    kin.gone.pop(name, None)
    kin.gone[name] = parent
    if len(kin.gone) > GONE_MAX:
        del kin.gone[next(iter(kin.gone))]


def is_gone(kin: Kin, id: str, since: int) -> bool:
    """Whether a stay is known to have ended by a split."""
    return bool(kin.gone) and ended(id, since) in kin.gone


def buried(kin: Kin, parents: Iterable[str]) -> list[tuple[str, int, str]]:
    """Of the stays that ended by a split those with one of these: id, since, and with whom."""
    among = {*parents}
    return [(id_of(name), int(name.partition(_END)[2]), to) for name, to in kin.gone.items() if to in among]


def inward(path: Sequence[Hop], key: str) -> tuple[Hop, ...]:
    """Of a path the part up to where it comes by `key`."""
    for n, (id, _) in enumerate(path):
        if id == key:
            return tuple(path[:n])
    return tuple(path)


def astray(kin: Kin, path: Sequence[Hop]) -> int:
    """The place on a path of the nearest id that has been split off since; -1: all are still here."""
    if kin.gone:
        for n in range(len(path) - 1, -1, -1):
            if is_gone(kin, *path[n]):
                return n
    return -1


def follow(kin: Kin, key: str, path: Sequence[Hop]) -> str:
    """Whom a message of a profile's `path` was for at first, which knows of the ids on it from now on.

    The fact sets must be closed.
    """
    parent = key
    for id, since in reversed(path):
        parent = stay(kin, id, since, parent)
    return parent


def known_as(kin: Kin, id: str, began: dict[str, int]) -> str:
    """How a profile names the stay that a message names by the id alone: since when it is, `began` says."""
    since = began.get(id)
    if since is None:
        return id
    now, over = kin.members.get(id), ended(id, since)
    return over if over in kin.members and (now is None or now.at != since) else id


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
