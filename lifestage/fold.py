"""The fold: one fact joins the set that a profile is. In any order of arrival the set becomes the same."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from struct import Struct
from typing import Final

from lifestage import ledger
from lifestage.fact import Fact
from lifestage.facts import (
    AccountClosed,
    AccountCreated,
    ConsentChanged,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    OrderUpdated,
    ProfileUpdated,
    Referred,
    SubscriptionAct,
    SubscriptionCancelled,
    SubscriptionChanged,
    SubscriptionRenewed,
    SubscriptionStarted,
    TrialEnded,
    TrialStarted,
    WebVisit,
)
from lifestage.profile import Mark, Named, Profile, Said
from lifestage.signals import DISTINCT, SCORES, Keeping, gives, thousandths

NOTHING: Final = 0
ACTIVITY: Final = 1
FACTS: Final = 2
"""What a fold touched: nothing a plan reads; only the last activity, later than before; anything else."""

REFERRED_BY: Final = "referred_by"
"""Under this name a profile keeps who recommended us to its customer; no plan asks for it."""
TRIM_ABOVE: Final = 24
"""Instants kept of a signal before it is looked whether some are out of reach: looking at each fact would cost more."""
NO_ID: Final = bytes(8)
"""In place of an event's id hash, where it is not known."""
_id_of: Final = Struct(">I").unpack_from
"""The first 32 bits of an id hash, at half of what a slice and `int.from_bytes` cost."""


def fold(
    profile: Profile, fact: Fact, offset: int, key: bytes, keep: Keeping, horizon: int, hashed: bytes = NO_ID
) -> int:
    """Add a fact to the set, known not to be there yet, and say what was touched.

    `key` is that of the id hashes, `hashed` the fact's own. No instant before `horizon` (ms) will be asked for again.
    """
    kind = type(fact)
    if kind is WebVisit:
        reach = active = not fact.bot
        acquired = fact.email is not None and reach
    else:
        reach, acquired, active = gives(fact)
    time = fact.time
    if profile.first_seen is None or time < profile.first_seen:
        profile.first_seen = time
    if fact.context is not None or fact.account_id is not None or fact.consent is not None:
        _attributes(profile, fact)
    touched = _enter(profile, fact, offset, key, keep, horizon) if kind in _ENTERED else NOTHING
    if reach and (profile.reach_at is None or time < profile.reach_at):
        profile.reach_at, profile.reach_offset, touched = time, offset, FACTS
    if acquired and (profile.acquired_at is None or time < profile.acquired_at):
        profile.acquired_at, profile.acquired_offset, touched = time, offset, FACTS
    if active:
        # before the first there was no silence to wait for: only the first can bring its end nearer
        first = not profile.activity and not profile.recent
        if _act(profile, time, keep.gap, horizon):
            touched |= FACTS if first else ACTIVITY
    if kind in keep.kinds and not fact.bot and _keep(profile, fact, offset, hashed, keep, horizon):
        touched |= FACTS
    return touched


_ENTERED: Final = frozenset({
    OrderCompleted, OrderUpdated, OrderRefunded, OrderCancelled, SubscriptionStarted, SubscriptionRenewed,
    SubscriptionChanged, SubscriptionCancelled, AccountCreated, AccountClosed, TrialStarted, TrialEnded,
    ProfileUpdated, ConsentChanged, Referred,
})  # fmt: skip
"""Kinds that are more than signals."""


def _enter(profile: Profile, fact: Fact, offset: int, key: bytes, keep: Keeping, horizon: int) -> int:
    """Enter in the ledger, or among what is said, a fact that is new there."""
    if isinstance(fact, OrderCompleted | OrderUpdated | OrderRefunded | OrderCancelled):
        order = ledger.find_order(profile, ledger.number(fact.source, fact.order_id, key))
        ledger.book(profile, order, fact, offset, key)
    elif isinstance(fact, SubscriptionAct):
        ledger.act(profile, fact, offset, key)
    elif isinstance(fact, AccountCreated | AccountClosed):
        ledger.keep_account(profile, fact)
    elif isinstance(fact, TrialStarted | TrialEnded):
        ledger.keep_trial(profile, fact, key)
    elif isinstance(fact, ConsentChanged):
        for purpose, answer in fact.purposes.items():
            _consent(profile, fact, purpose, answer)
        return NOTHING
    elif isinstance(fact, ProfileUpdated):
        return _traits(profile, fact, offset, keep, horizon)
    elif isinstance(fact, Referred):
        said = Said(fact.time, fact.source, fact.id, fact.referrer_id, offset)
        _say(profile.said.setdefault(REFERRED_BY, []), said, horizon)
        return NOTHING
    return FACTS


def _attributes(profile: Profile, fact: Fact) -> None:
    """First touch, latest account and consent; first and latest by (time, source, id)."""
    said = fact.context
    if said is not None and (said.source or said.medium or said.campaign):
        touch = (fact.time, fact.source, fact.id, said.source or "", said.medium or "", said.campaign or "")
        profile.touch = touch if profile.touch is None else min(profile.touch, touch)
    if fact.account_id is not None:
        account = (fact.time, fact.source, fact.id, fact.account_id)
        profile.account = account if profile.account is None else max(profile.account, account)
    if fact.consent is not None:
        if fact.consent.marketing is not None:
            _consent(profile, fact, "marketing", fact.consent.marketing)
        if fact.consent.analytics is not None:
            _consent(profile, fact, "analytics", fact.consent.analytics)


def _consent(profile: Profile, fact: Fact, purpose: str, answer: bool) -> None:
    given = (fact.time, fact.source, fact.id, answer)
    known = profile.consent.get(purpose)
    profile.consent[purpose] = given if known is None else max(known, given)


def _traits(profile: Profile, fact: ProfileUpdated, offset: int, keep: Keeping, horizon: int) -> int:
    touched = NOTHING
    for name, given in fact.traits.items():
        if name in keep.traits:
            if isinstance(given, bool):
                value: int | str | None = "true" if given else "false"
            else:
                value = thousandths(given) if isinstance(given, int | float) else given
            said = profile.said.setdefault(f"trait.{name}", [])
            _say(said, Said(fact.time, fact.source, fact.id, value, offset), horizon)
            touched = FACTS
    return touched


def _say(said: list[Said], new: Said, oldest: int) -> None:
    """Add what is said; of what was said up to `oldest` only the latest can still be asked."""
    insort(said, new, key=_said_order)
    if len(said) > TRIM_ABOVE and said[1].time <= oldest:
        del said[: bisect_right(said, oldest, key=_said_at) - 1]


def _said_at(said: Said) -> int:
    return said.time


def _said_order(said: Said) -> tuple[int, str, str]:
    return said.time, said.source, said.event


def _keep(profile: Profile, fact: Fact, offset: int, hashed: bytes, keep: Keeping, horizon: int) -> bool:
    """Keep what the plan asks of a fact's signals, distinct things and scores; whether there was any."""
    kind, kept = type(fact), False
    for signal in keep.marks.get(kind, ()):
        if signal.when is None or signal.when(fact):
            mark = profile.marks.get(signal.name)
            if mark is None:
                mark = profile.marks[signal.name] = Mark()
            _mark(mark, fact.time, offset, hashed, horizon - keep.reach[signal.name])
            kept = True
    for name in keep.distinct.get(kind, ()):
        thing = DISTINCT[name][2](fact)
        if thing is not None:
            _distinguish(profile.distinct.setdefault(name, []), fact.time, thing, horizon - keep.reach[name])
            kept = True
    for name in keep.scores.get(kind, ()):
        value = SCORES[name][2](fact)
        if value is not None:
            said = profile.said.setdefault(name, [])
            _say(said, Said(fact.time, fact.source, fact.id, value, offset), horizon - keep.reach[name])
            kept = True
    return kept


def _mark(mark: Mark, time: int, offset: int, hashed: bytes, oldest: int) -> None:
    """Add an instant; those at or before `oldest` become a number, the first and the last."""
    if len(mark.ids) != len(mark.kept):
        # an older release noted none
        mark.ids = [0] * len(mark.kept)
    at = bisect_right(mark.kept, time)
    mark.kept.insert(at, time)
    mark.offsets.insert(at, offset)
    mark.ids.insert(at, _id_of(hashed)[0])
    if len(mark.kept) > TRIM_ABOVE and mark.kept[0] <= oldest:
        gone = bisect_right(mark.kept, oldest)
        mark.first = mark.kept[0] if not mark.dropped else min(mark.first, mark.kept[0])
        mark.last = max(mark.last, mark.kept[gone - 1])
        mark.dropped += gone
        del mark.kept[:gone], mark.offsets[:gone], mark.ids[:gone]


def _distinguish(found: list[Named], time: int, thing: str, oldest: int) -> None:
    """Add a thing seen at an instant; what is at or before `oldest` goes, since it is asked in windows only."""
    name = _short(thing)
    insort(found, Named(time, name))
    if len(found) > TRIM_ABOVE and found[0].time <= oldest:
        del found[: bisect_right(found, oldest, key=_time_of)]


def _time_of(named: Named) -> int:
    return named.time


def _short(thing: str) -> int:
    """64 bits that stand for a name: two of one customer's are told apart but once in 10^15 of them."""
    return ledger.number("", thing, b"")


def _act(profile: Profile, time: int, gap: int, horizon: int) -> bool:
    """Add an instant of activity; False if it is there. What is older than `horizon` is kept in runs."""
    recent = profile.recent
    if not recent or time > recent[-1]:
        if profile.activity and time <= profile.activity[-1]:
            return add_activity(profile.activity, time, gap)
        recent.append(time)
    else:
        at = bisect_left(recent, time)
        if recent[at] == time:
            return False
        if at == 0 and profile.activity and time <= profile.activity[-1]:
            return add_activity(profile.activity, time, gap)
        recent.insert(at, time)
    if len(recent) > TRIM_ABOVE and recent[0] <= horizon:
        gone = bisect_right(recent, horizon)
        for old in recent[:gone]:
            add_activity(profile.activity, old, gap)
        del recent[:gone]
    return True


def add_activity(runs: list[int], time: int, gap: int) -> bool:
    """Add an instant to the runs [first, last, first, last …]; runs closer than `gap` become one. False if nothing
    changed."""
    if not runs:
        runs += (time, time)
        return True
    last = runs[-1]
    if time >= last:
        if time == last:
            return False
        if time - last < gap:
            runs[-1] = time
        else:
            runs += (time, time)
        return True
    at = bisect_left(runs, time)
    if at % 2 or runs[at] == time:
        return False
    left = at > 0 and time - runs[at - 1] < gap
    right = runs[at] - time < gap
    if left and right:
        del runs[at - 1 : at + 1]
    elif left:
        runs[at - 1] = time
    elif right:
        runs[at] = time
    else:
        runs[at:at] = (time, time)
    return True
