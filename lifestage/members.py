"""The members of a profile: the ids that belong to it, and the facts that came under each.

A profile with several fact sets holds their union, in which an event that stands in two counts once. Sets come with an id
that is joined and go with one that is split off; each time the path is derived again and the difference announced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from msgspec.structs import replace

from lifestage import announce
from lifestage.cause import Cause, Clock, Rules, Tally
from lifestage.fact import Fact
from lifestage.facts import TYPES
from lifestage.loads import decode_part, encode_part, homeward, loads, pieces, sorted_out, taken, told_gone
from lifestage.messages import Forwarded, Hop, Link, Member, Message, Occasion, Restore, Unite
from lifestage.profile import COUNTED, NAMED, UNITED, Belongs, Kin, Profile, Ties
from lifestage.standing import ATTRIBUTE
from lifestage.stays import (
    Names,
    behind,
    bury,
    ended,
    follow,
    inward,
    is_settled,
    names_by_visitors,
    next_stay,
    stay,
    suppose,
    through,
)
from lifestage.step import add_again, add_to_part
from lifestage.union import adopt, facts_of, forget_places, is_empty, sums, united

OPENED: Final = "parts"
"""Where a profile holds the fact sets that were added to since they were encoded."""
OWN: Final = ""
"""The name of the set of what came under the profile's own id."""
PARTED_MAX: Final = 200
"""Ids that are remembered as split from a profile; of the oldest only their own records know it, by the id they were linked to."""
UNANSWERED: Final = 1 << 40
"""In place of the day of an event: the id's owner has not answered yet."""


Sums = dict[str, tuple[int, int, int]]
"""By currency: orders, gross and net, in minor units."""


def occasion_of(fact: Fact) -> Occasion:
    """A fact as the reason of what happens to ids."""
    return Occasion(fact.time, fact.source, fact.id, TYPES.get(type(fact), ""))


class Desk(Tally, Protocol):
    """What a decision reports beside the profile: as a step does, messages, and what has happened to ids."""

    def post(self, message: Message) -> None:
        """A message to send."""

    def count(self, what: str) -> None:
        """One of `OUTCOMES`."""


class At(NamedTuple):
    """Where a decision is made: the profile's key, the log record at hand, the tick in force, and the rules."""

    key: str
    cause: Cause
    clock: Clock
    rules: Rules

    @property
    def offset(self) -> int:
        """Of the log record at hand."""
        return self.cause.offset

    @property
    def horizon(self) -> int:
        """No instant before it will be asked for again, ms."""
        return self.clock.time - self.rules.lateness

    def by(self, why: str, occasion: Occasion) -> At:
        """The same, with what has happened to ids as the cause."""
        cause = self.cause
        told = Cause(None, cause.topic, cause.partition, cause.offset, None, why, occasion)  # type: ignore[arg-type]
        return At(self.key, told, self.clock, self.rules)


def kin_of(profile: Profile) -> Kin:
    """What the profile knows of its ids, to be changed."""
    if profile.kin is None:
        profile.kin = Kin()
    return profile.kin


def knows_nothing(kin: Kin) -> bool:
    """Whether what is known is that of an id that nobody has heard of."""
    kin.shorten()
    return kin.alias is None and kin.since < 0 and not kin.short and kin.ties is None


def join(profile: Profile, message: Link, at: At, desk: Desk) -> None:
    """Become an alias: the facts and members go to the target, a last change is told, what was told before stays."""
    assert profile.kin is not None
    kin, target, occasion = profile.kin, message.target, message.occasion
    if is_empty(profile) and not (profile.seq or profile.moves or kin.members or kin.gone):
        # most ids are heard of for the first time by the event that links them: nothing goes along
        if not message.silent or profile.newest is not None or not knows_nothing(kin):
            found = (Member(at.key, target, at=at.offset),)
            desk.post(Unite(target, found, occasion, message.merge, tuple(kin.parted)))
        profile.newest, profile.due = max(profile.newest or 0, occasion.time), None
        _become(profile, target, at.offset, {})
        return
    close(profile)
    if kin.parts:
        # an order that stands in two sets counted once here; on its way it counts in each, as who takes it in assumes
        _settle_money([sums(profile)], [sums(decode_part(found)) for found in kin.parts.values()], desk)
    own = decode_part(kin.parts.get(OWN)) if kin.parts else facts_of(profile)
    along, names = behind(kin, at.key), through(kin.members, at.key)[1:]
    names += sorted((kin.members.keys() | kin.parts.keys()) - {OWN, *names})
    going = [*pieces(at.key, Belongs(target, at=at.offset), own), *taken(kin, at.key, names)]
    going += told_gone(kin, [at.key])
    path = (Hop(at.key, at.offset),)
    for n, members in enumerate(loads(going)):
        desk.post(Unite(target, members, occasion, message.merge, () if n else tuple(kin.parted), path))
    told = at.by("merge" if message.merge else "link", occasion)
    until = max(_reached(profile, at), occasion.time)
    announce.leave(profile, at.key, target, until, told.cause, at.clock, at.rules, desk)
    adopt(profile, Profile())
    profile.newest, profile.due = until, None
    if not profile.seq:
        profile.moves, profile.before, profile.floor = [], {}, None
    _become(profile, target, at.offset, along)


def _become(profile: Profile, target: str, since: int, along: dict[str, Belongs]) -> None:
    """Know no more of ids than an alias of `target` must."""
    kin = kin_of(profile)
    apart = [one for one in kin.apart if one != target]
    profile.kin = Kin(target, since, ties=Ties(along, apart=apart, parted=kin.parted, stays=kin.stays))


def part(kin: Kin, ids: Iterable[str]) -> None:
    """Note that ids were split from a profile, or from one that joins it."""
    kin.parted += [id for id in ids if id not in kin.parted]
    del kin.parted[:-PARTED_MAX]


def take_in(profile: Profile, members: Iterable[Member], path: Sequence[Hop], at: At, desk: Desk) -> None:
    """Take in ids with their facts, which came by a path: judge over the union, and announce what is different."""
    brought, freed = _arrived(profile, members, path, at, desk)
    if brought:
        due = profile.due
        _unite(profile, brought, at, desk)
        _derive(profile, min(_first(facts) for _, facts in brought), at, desk, due)
    for member in freed:
        let_go(profile, member.key, member.at, member.parent, at, desk)


def take_back(profile: Profile, members: Iterable[Member], at: At, desk: Desk) -> None:
    """Have one's own facts and members again, and tell in one change where one stands."""
    brought, freed = _arrived(profile, members, (), at, desk)
    if brought:
        _unite(profile, brought, at, desk)
    for member in freed:
        let_go(profile, member.key, member.at, member.parent, at, desk)
    if brought or profile.moves:
        announce.restate(profile, at.key, at.horizon, _reached(profile, at), at.cause, at.clock, at.rules, desk)


def _arrived(
    profile: Profile, members: Iterable[Member], path: Sequence[Hop], at: At, desk: Desk
) -> tuple[list[tuple[str, Profile]], list[Member]]:
    """Of members that come the facts, by set, and those that are told to have been split off; others are sent after those who
    have been split off before they came."""
    close(profile)
    kin, occasion = kin_of(profile), at.cause.occasion
    assert occasion is not None
    names = Names(kin, at.key, path)
    here, freed, after = sorted_out(kin, at.key, homeward(members, at.key, behind(kin, at.key)), names)
    brought: list[tuple[str, Profile]] = []
    for member in here:
        name, parent = OWN, names.known(member.parent)
        if member.key == at.key:
            later = next_stay(kin, member.at)
            if later is not None:
                found = (Member(at.key, later.id, member.facts, True, later.since),)
                desk.post(Unite(later.id, found, occasion))
                continue
            # else come home from one that has joined it, whose it was
        elif member.at >= 0 or member.facts:
            name = stay(kin, member.key, member.at, parent, past=member.past)
        else:
            suppose(kin, member.key, parent)
        facts = _brought(member)
        if not is_empty(facts):
            brought.append((name, facts))
    for to, sent in after.items():
        # of one's own a set that is empty is nothing to have again
        further = [member for member in sent if member.facts or member.gone or member.key != to]
        for load in loads(homeward(further, to)) if further else ():
            desk.post(Restore(to, load, occasion))
    return brought, [replace(member, parent=names.known(member.parent)) for member in freed]


def _brought(member: Member) -> Profile:
    """A member's facts as they come from the log partition of another profile, whose places are none of this one's."""
    facts = decode_part(member.facts)
    forget_places(facts)
    return facts


def let_go(profile: Profile, id: str, since: int, parent: str, at: At, desk: Desk) -> None:
    """Let an id go that was split off, with all that came through it, and judge over what is left."""
    close(profile)
    kin = kin_of(profile)
    known, over = kin.members.get(id), ended(id, since, parent)
    names = through(kin.members, over) if over in kin.members else []
    if known is not None and not known.past and (known.at in (since, -1) or since < 0):
        names += through(kin.members, id)
    bury(kin, id, since, parent)
    _give_back(profile, id, names, at, desk)


def _give_back(profile: Profile, id: str, names: Sequence[str], at: At, desk: Desk) -> None:
    kin, occasion = kin_of(profile), at.cause.occasion
    assert occasion is not None
    if not names:
        return
    before = [sums(profile)]
    gone = [facts for name in names if not is_empty(facts := decode_part(kin.parts.get(name)))]
    going = taken(kin, at.key, names)
    # who has asked for an id in their name hears of it, or asks again
    kin.asked = {asked: day for asked, day in kin.asked.items() if day < UNANSWERED}
    for members in loads(homeward(going, id)):
        desk.post(Restore(id, members, occasion))
    if gone:
        newest = profile.newest
        _reunite(profile, at)
        if profile.newest is None:
            profile.newest = newest
        _settle_money(before, [sums(profile), *map(sums, gone)], desk)
        _derive(profile, min(map(_first, gone)), at, desk)


def place(profile: Profile, key: str, message: Forwarded) -> str:
    """The name of the set that a forwarded fact is for: its stay's, which the profile knows of from now on, or the own key."""
    via, since = message.via, message.since
    if via == key:
        return key
    path, kin = inward(message.path, key), kin_of(profile)
    if is_settled(kin, via, since, path):
        return via
    close(profile)
    return stay(kin, via, since, follow(kin, key, path))


def before_another(profile: Profile, key: str, via: str) -> bytes | None:
    """The facts so far as those of the profile's own id, where one that comes under another, `via`, makes it two sets; else
    None. To be asked before the fact is folded, and handed to `enter` after it."""
    if via == key or _has_parts(profile):
        return None
    return encode_part(facts_of(profile))


def _has_parts(profile: Profile) -> bool:
    """Whether a profile has a fact set for each of several ids."""
    kin = profile.kin
    ties = None if kin is None else kin.ties
    return ties is not None and bool(ties.parts)


def _part(profile: Profile) -> None:
    """Keep the facts so far as those of the profile's own id: another's are about to be taken in."""
    kin = kin_of(profile)
    if not kin.parts and not is_empty(profile):
        kin.parts[OWN] = encode_part(facts_of(profile))


def enter(
    profile: Profile, key: str, via: str, own: bytes | None, fact: Fact, offset: int, clock: Clock, rules: Rules
) -> None:
    """Enter an accepted fact in the set of the id that it came under, too, where a profile has several; `own` is what
    `before_another` said."""
    if own:
        kin_of(profile).parts[OWN] = own
    if own is None and not _has_parts(profile):
        return
    name = OWN if via == key else via
    add_to_part(_opened(kin_of(profile), profile, name), fact, offset, clock.time - rules.lateness, rules)


def enter_again(
    profile: Profile,
    key: str,
    message: Forwarded | None,
    own: bytes | None,
    fact: Fact,
    offset: int,
    at: Clock,
    rules: Rules,
) -> bool:
    """Enter a fact that the profile has from another of its ids in the set of the one that it came under now, too: so a split
    gives each what came under it. False where that changes nothing."""
    if own is None and not _has_parts(profile):
        return False
    kin = kin_of(profile)
    settled = (
        message is None or message.via == key or is_settled(kin, message.via, message.since, inward(message.path, key))
    )
    name = key if message is None else place(profile, key, message)
    if own:
        kin.parts[OWN] = own
    added = add_again(
        _opened(kin, profile, OWN if name == key else name), fact, offset, at.time - rules.lateness, rules
    )
    return added or not settled or bool(own)


def _opened(kin: Kin, profile: Profile, name: str) -> Profile:
    """A fact set to be added to. It stays decoded until `close`: of an order a day 3,000 take 3 ms to decode and encode."""
    known: tuple[Kin, dict[str, Profile]] | None = profile.__dict__.get(OPENED)
    if known is None or known[0] is not kin:
        # of a visitor who was forgotten meanwhile, and of who was an alias, what is kept has begun anew
        known = profile.__dict__[OPENED] = kin, {}
    facts = known[1].get(name)
    if facts is None:
        facts = known[1][name] = decode_part(kin.parts.get(name))
        kin.parts.setdefault(name, b"")
    return facts


def close(profile: Profile) -> None:
    """Encode the fact sets that were added to. To be called before anybody reads `Kin.parts`, or encodes the profile."""
    kin = profile.kin
    if kin is None or not _has_parts(profile):
        return
    known: tuple[Kin, dict[str, Profile]] | None = profile.__dict__.pop(OPENED, None)
    if known is not None and known[0] is kin:
        for name, facts in known[1].items():
            kin.parts[name] = encode_part(facts)


def settle(profile: Profile) -> None:
    """Make a profile ready to be encoded, or looked at: what it knows of its ids is as short as can be."""
    kin = profile.kin
    if kin is not None and kin.ties is not None:
        close(profile)
        kin.shorten()
    # by what it says now alone: it is the same whenever it is kept
    if kin is not None and kin.ties is not None and names_by_visitors(kin):
        profile.format = NAMED
    elif profile.format == NAMED:
        profile.format = UNITED if profile.kpi is None else COUNTED


def _unite(profile: Profile, brought: list[tuple[str, Profile]], at: At, desk: Desk) -> None:
    kin, keep = kin_of(profile), at.rules.plan.keep
    before = [sums(profile), *(sums(facts) for _, facts in brought)]
    close(profile)
    _part(profile)
    for name, facts in brought:
        known = kin.parts.get(name)
        whole = facts if known is None else united([decode_part(known), facts], keep, at.horizon)
        kin.parts[name] = encode_part(whole)
    _reunite(profile, at)
    _settle_money(before, [sums(profile)], desk)


def _reunite(profile: Profile, at: At) -> None:
    """Let the profile's facts be the union of its ids' again."""
    assert profile.kin is not None
    parts = profile.kin.parts
    found = [decode_part(parts[name]) for name in sorted(parts)]
    adopt(profile, united(found, at.rules.plan.keep, at.horizon) if found else Profile())
    if parts.keys() <= {OWN}:
        parts.clear()


def _settle_money(before: Iterable[Sums], after: Iterable[Sums], desk: Desk) -> None:
    """Tell the company's sums what an order that stood in two sets had added twice, or adds again."""
    differ: dict[str, list[int]] = {}
    for sign, sides in ((-1, before), (1, after)):
        for side in sides:
            for currency, amounts in side.items():
                total = differ.setdefault(currency, [0, 0, 0])
                for index, amount in enumerate(amounts):
                    total[index] += sign * amount
    for currency, (orders, gross, net) in sorted(differ.items()):
        if orders or gross or net:
            desk.money(currency, orders, gross, net)


def _first(facts: Profile) -> int:
    assert facts.first_seen is not None
    return facts.first_seen


def _reached(profile: Profile, at: At) -> int:
    """Up to where a profile's path is announced."""
    reached = at.clock.time - at.rules.plan.plan.grace - 1
    return reached if profile.newest is None or profile.newest < reached else profile.newest


def _derive(profile: Profile, since: int, at: At, desk: Desk, due: int | None = None) -> None:
    """Derive the path again from `since` on, as with a late fact; where nothing was told yet, from the first fact on.

    `due`: when the profile was due before; what time alone brought until `since` is told of its own instant.
    """
    reached = _reached(profile, at)
    late = since < at.horizon and bool(profile.moves or profile.before)
    if due is not None and at.horizon < due < since:
        since = due - 1
    since = reached if late else min(since, reached)
    announce.correct_from(profile, at.key, since, reached, at.cause, at.clock, at.rules, desk, present_only=late)
    # what was counted for the first instants of the path is of little use for the present
    profile.__dict__.pop(ATTRIBUTE, None)
