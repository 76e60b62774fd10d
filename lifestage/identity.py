"""Identity: which ids are one person's. Decided by the owner of each id in the order of its log, told by messages.

A fact that names several ids makes the profile that folds it ask for the lower ones. The owner of an id says yes by
joining it to whoever asked: its facts are sent along, and from then on it sends on what comes under it. Merges and splits
that somebody asks for stand under one key, so that they have one order and no ring of merges can come about.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from msgspec.structs import replace

from lifestage import announce
from lifestage.cause import Rules
from lifestage.fact import Fact
from lifestage.facts import decode
from lifestage.keys import ANONYMOUS, MERGES, ORDER, TICKET, claims, class_of, lower_ids
from lifestage.loads import end_stay, homeward
from lifestage.members import (
    UNANSWERED,
    At,
    Desk,
    close,
    join,
    kin_of,
    knows_nothing,
    let_go,
    occasion_of,
    part,
    take_back,
    take_in,
)
from lifestage.merges import take_out
from lifestage.messages import (
    Forwarded,
    Hop,
    Link,
    Member,
    Message,
    Occasion,
    Refused,
    Release,
    Restore,
    Split,
    Switched,
    Unite,
)
from lifestage.profile import DAY, UNITED, Kin, Profile
from lifestage.profile import encode as encode_profile
from lifestage.seen import has_seen, id_hash, remember
from lifestage.stays import (
    astray,
    behind,
    bury,
    follow,
    hand_over,
    id_of,
    ids_beside,
    inward,
    is_new,
    is_present,
    next_stay,
    note,
    pass_by,
    suppose,
)

OUTCOMES: Final = (
    "linked", "merged", "split", "switched", "email_conflict", "alias_limit", "apart", "refused_merge", "void",
    "forwarded", "shed",
)  # fmt: skip
"""What `Marker.identity` counts."""
HOLDING: Final = (ORDER, TICKET)
"""How the keys begin of records that hold facts until it is known whose they are."""
ALIASES_MAX: Final = 100
ASKED_MAX: Final = 200
"""Ids that are remembered as refused; the oldest are asked for again."""

HELD_MAX: Final = 1_000
"""Facts that wait in the record of one order or ticket: all of them are sent on by one log record."""
FOR_A_PROFILE: Final = (Unite, Forwarded, Switched, Release, Restore, Refused)
"""Messages to whoever the id belongs to now."""


# -- facts -----------------------------------------------------------------------------------------------------------


def ask(profile: Profile, via: str, place: str, fact: Fact, new: bool, desk: Desk) -> None:
    """Ask for the lower ids that a folded fact names; `via` is the id that it came under, `place` the name of its stay.

    One that was refused is asked for again with a fact of a later day; one that has not answered yet is not.
    """
    kin = profile.kin
    for lower in lower_ids(fact):
        if kin is None:
            # most ids are heard of for the first time with the first event of a customer
            profile.kin = kin = Kin(short=f"{via}\0{lower}\0")
            desk.post(Link(lower, via, occasion_of(fact), silent=True, beside=_beside(fact, lower)))
            continue
        if f"\0{lower}\0" in kin.short:
            continue
        member = kin.members.get(lower)
        if member is not None and not member.past:
            continue
        day = fact.time // DAY
        before = kin.asked.get(lower)
        if before is not None:
            if before >= day:
                continue
            del kin.asked[lower]
        if lower in kin.parted:
            desk.count("apart")
            _refuse(kin, lower, day)
            continue
        waiting = {id for id, asked in kin.asked.items() if asked == UNANSWERED}
        if len(ids_beside(kin, lower) | waiting) >= ALIASES_MAX:
            # what is on its way counts, too: in a backlog nothing comes back before all of it is asked
            desk.count("alias_limit")
            _refuse(kin, lower, day)
        elif before is None and member is None and is_new(kin, lower):
            # most ids are heard of for the first time: an answer to each would be a message more for every new customer
            suppose(kin, lower, place)
            desk.post(Link(lower, via, occasion_of(fact), silent=True, beside=_beside(fact, lower)))
        else:
            kin.asked[lower] = UNANSWERED
            desk.post(Link(lower, via, occasion_of(fact), beside=_beside(fact, lower)))
    if new and (claim := claims(fact)) is not None:
        desk.post(Link(claim, via, occasion_of(fact), silent=True))


def _beside(fact: Fact, lower: str) -> tuple[str, ...]:
    """The address of a customer's event that names a visitor, too."""
    email = fact.email
    return () if email is None or fact.customer_id is None or lower == email else (email,)


def _refuse(kin: Kin, alias: str, day: int) -> None:
    """Remember an id that was asked for in vain by an event of a day."""
    kin.asked.pop(alias, None)
    kin.asked[alias] = day
    refused = [name for name, asked in kin.asked.items() if asked != UNANSWERED]
    if len(refused) > ASKED_MAX:
        del kin.asked[refused[0]]


def _refused(profile: Profile, message: Refused, parent: str, at: At, desk: Desk) -> None:
    """Take an id no longer for one's own that was asked for in vain."""
    kin, alias = kin_of(profile), message.alias
    known = kin.members.get(alias)
    if known is not None and known.at < 0 and id_of(known.parent) == message.target:
        if alias in kin.parts:
            # what an older release sent did not say by which stay it came
            let_go(profile, alias, -1, parent, at.by("split", message.occasion), desk)
        else:
            del kin.members[alias]
    elif message.silent:
        # who has asked is on the way here, and with them what they suppose
        bury(kin, alias, -1, parent)
    elif kin.asked.get(alias) != UNANSWERED:
        return
    if alias not in kin.members:
        _refuse(kin, alias, message.occasion.time // DAY)


def hold(profile: Profile, key: str, fact: Fact, told: bytes, rules: Rules) -> str:
    """Keep a fact of an order or ticket, `told` in the log, until it is known whose that is: `held`, or the outcome of one that
    is not kept."""
    hashed = id_hash(fact.source, fact.id, rules.id_key)
    if has_seen(profile, hashed, 0):
        return "duplicate"
    if len(kin_of(profile).held) >= HELD_MAX:
        return "suppressed"
    remember(profile, hashed, fact.time, 0)
    kin_of(profile).held.append(told)
    if profile.newest is None or fact.time > profile.newest:
        profile.newest = fact.time
    profile.due = announce.forget_at(profile, key, rules)
    return "held"


def unclaimed(profile: Profile, key: str) -> list[Fact]:
    """The facts that are forgotten with a record that held them, since nobody said whose they are."""
    kin = profile.kin
    return [decode(held) for held in kin.held] if kin is not None and key.startswith(HOLDING) else []


def template() -> Profile:
    """What `hear` is to fill in, for one fold: folds of several partitions may run beside each other."""
    return Profile(format=UNITED, newest=0, kin=Kin(alias=""))


def hear(message: Link, offset: int, desk: Desk, heard: Profile) -> bytes:
    """The record of an id that nobody has heard of, from when it is said whose it is; as `receive` would leave it, encoded.

    `heard` is a `template`, whose format says whether KPIs are counted.
    """
    # one object for all: to make and drop one for each new customer and each order took three times as long
    assert heard.kin is not None
    heard.applied = heard.kin.since = offset
    heard.newest, heard.kin.alias = message.occasion.time, message.target
    if not message.to.startswith(HOLDING):
        desk.count("linked")
    return encode_profile(heard)


# -- messages --------------------------------------------------------------------------------------------------------


def pass_on(message: Message, key: str, kin: Kin, desk: Desk) -> None:
    """Send a message on to whoever `key` belongs to now."""
    alias = kin.alias
    assert alias is not None
    assert isinstance(message, FOR_A_PROFILE)
    if key.startswith(ANONYMOUS) and isinstance(message, Unite | Switched | Release):
        pass_by(kin, key, message)
    if isinstance(message, Forwarded) and message.via == key:
        to, since = next_stay(kin, message.since) or (alias, kin.since)
        desk.post(Forwarded(to, key, message.fact, since))
        return
    if isinstance(message, Restore):
        message = replace(message, members=tuple(homeward(message.members, key, behind(kin, key))))
        path: tuple[Hop, ...] = (Hop(key, kin.since),)
    else:
        path = (*inward(message.path, key), Hop(key, kin.since))
    if isinstance(message, Unite | Restore):
        members = [
            _again(member, kin, message.occasion, desk) if member.key == key else member for member in message.members
        ]
        merge, parted = (message.merge, message.parted) if isinstance(message, Unite) else (False, ())
        going = tuple(member for member in members if member is not None)
        if going or parted:
            desk.post(Unite(alias, going, message.occasion, merge, parted, path))
    elif isinstance(message, Forwarded | Release) or message.alias != key:
        desk.post(replace(message, to=alias, path=path))


def _again(own: Member, kin: Kin, occasion: Occasion, desk: Desk) -> Member | None:
    """What is given back to an id that has been joined again since goes where it was joined first after it was split off."""
    assert kin.alias is not None
    if own.gone:
        return own
    to = next_stay(kin, own.at)
    if to is None:
        return Member(own.key, kin.alias, own.facts, at=kin.since)
    desk.post(Unite(to.id, (Member(own.key, to.id, own.facts, True, to.since),), occasion))
    return None


def sends_on(profile: Profile, key: str, message: Forwarded, desk: Desk) -> bool:
    """Send a forwarded fact on where it is for somebody else by now."""
    kin, via, since = profile.kin, message.via, message.since
    if kin is None:
        return False
    if via == key:
        later = next_stay(kin, since)
        if later is not None:
            desk.post(Forwarded(later.id, via, message.fact, later.since))
        return later is not None
    if kin.ties is None or not kin.ties.gone:
        return False
    path = (Hop(via, since), *inward(message.path, key))
    n = astray(kin, path)
    if n >= 0:
        desk.post(Forwarded(path[n].id, via, message.fact, since, path[1:n]))
    return n >= 0


def receive(profile: Profile, message: Message, at: At, desk: Desk) -> None:
    """Do what a message says, that is for this id itself or for the profile that it is."""
    if isinstance(message, Link):
        _link(profile, message, at, desk)
    elif isinstance(message, Split):
        _split(profile, message, at, desk)
    elif isinstance(message, Restore):
        take_back(profile, message.members, at.by("split", message.occasion), desk)
    elif isinstance(message, Release) and at.key == MERGES:
        take_out(kin_of(profile).members, message)
    else:
        assert isinstance(message, Unite | Switched | Refused | Release)
        kin, path = kin_of(profile), inward(message.path, at.key)
        n = astray(kin, path)
        if n >= 0:
            desk.post(replace(message, to=path[n].id, path=path[:n]))
        else:
            close(profile)
            _received(profile, message, path, at, desk)
    if profile.kin is not None and knows_nothing(profile.kin):
        profile.kin = None
    elif profile.newest is None:
        # a record without a fact is kept for what it says of ids
        profile.newest = message.occasion.time


def _received(
    profile: Profile, message: Unite | Switched | Refused | Release, path: Sequence[Hop], at: At, desk: Desk
) -> None:
    """Do what a message says that has come by a path: it was at first for who belongs to the profile, or is it."""
    kin = kin_of(profile)
    parent = follow(kin, at.key, path)
    if isinstance(message, Unite):
        part(kin, message.parted)
        take_in(profile, message.members, path, at.by("merge" if message.merge else "link", message.occasion), desk)
        if message.merge:
            # somebody has asked that all who belong to either be one
            kin.parted = [id for id in kin.parted if id != at.key and not is_present(kin, id)]
        elif kin.parted and (merged := _merged(path, at.key)):
            # asked for by one who was on their own then: it was theirs by the time of the merge
            theirs = {member.key for member in message.members if member.parent in merged}
            kin.parted = [id for id in kin.parted if id not in theirs]
    elif isinstance(message, Switched):
        end_stay(kin, message, parent, at.rules.plan.keep, at.horizon)
    elif isinstance(message, Refused):
        _refused(profile, message, parent, at, desk)
    else:
        if message.alias != at.key:
            part(kin, [message.alias])
        let_go(profile, message.alias, message.since, parent, at.by("split", message.occasion), desk)


def _merged(path: Sequence[Hop], key: str) -> set[str]:
    """The ids on a message's way to `key` that were merged into the next: nothing else joins two of one class."""
    ids = [*(hop.id for hop in path), key]
    return {one for one, other in pairwise(ids) if class_of(one) == class_of(other)}


def _link(profile: Profile, message: Link, at: At, desk: Desk) -> None:
    """Join an id to the one that asks for it, unless it is another's."""
    kin, target = kin_of(profile), message.target
    apart = target in kin.apart or any(id in kin.apart for id in message.beside)
    if target in (at.key, kin.alias):
        desk.count("void")
        if message.merge:
            # by what its events say: it is nothing that a merge has brought about
            desk.post(Release(MERGES, at.key, message.occasion, message.at))
        if kin.alias is not None and not message.silent:
            desk.post(Unite(kin.alias, (Member(at.key, kin.alias, at=kin.since),), message.occasion))
    elif kin.alias is not None:
        if message.merge:
            desk.post(Release(MERGES, at.key, message.occasion, message.at))
            desk.count("refused_merge")
        elif at.key.startswith(ANONYMOUS) and not apart:
            desk.post(hand_over(kin, at.key, message.occasion, at.offset))
            kin.alias, kin.since = target, at.offset
            along = (Member(name, belongs.parent, at=belongs.at) for name, belongs in behind(kin, at.key).items())
            going = (Member(at.key, target, at=at.offset), *along)
            desk.post(Unite(target, going, message.occasion, parted=tuple(kin.parted)))
            desk.count("switched")
        elif not at.key.startswith(HOLDING):
            if message.silent:
                # whose it is may never have heard so, and both may be one person by now who knows it by the wrong one
                desk.post(Unite(kin.alias, (Member(at.key, kin.alias, at=kin.since),), message.occasion))
            desk.post(Refused(target, at.key, message.occasion, target, at.offset, silent=message.silent))
            desk.count("apart" if apart else "email_conflict")
    elif not message.merge and apart:
        desk.post(Refused(target, at.key, message.occasion, target, at.offset, silent=message.silent))
        desk.count("apart")
    elif at.key.startswith(HOLDING):
        kin.alias, kin.since, profile.due = target, at.offset, None
        for fact in kin.held:
            # entered as a fact of the one whose order it is: the order's key is no id of a person
            desk.post(Forwarded(target, target, fact))
        kin.held = []
    else:
        join(profile, message, at, desk)
        desk.count("merged" if message.merge else "linked")


def _split(profile: Profile, message: Split, at: At, desk: Desk) -> None:
    """Be a profile of one's own again at once; the facts are asked back."""
    kin = kin_of(profile)
    if kin.alias is None:
        desk.count("void")
        return
    desk.post(Release(kin.alias, at.key, message.occasion, at.offset, kin.since))
    note(kin, at.offset, "")
    if kin.alias not in kin.apart:
        kin.apart.append(kin.alias)
    kin.alias, kin.since = None, -1
    desk.count("split")
