"""The union of fact sets: what is known of one customer whose facts came under several ids.

Each id keeps its own set, so that a split restores it; the customer is judged over their union. It says what one set says
into which all facts were folded: each event, order, refund and act counts once although several sets have it. Which set
comes first makes no difference, and what is made shares nothing that changes with what it was made of.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from lifestage.kpi_unite import all_united
from lifestage.ledger import versions
from lifestage.profile import (
    Account,
    Act,
    Mark,
    Named,
    Order,
    Profile,
    Refund,
    Said,
    Subscription,
    Trial,
    Version,
    decode,
    encode,
)
from lifestage.seen import united_ids
from lifestage.signals import Keeping
from lifestage.step import worth

FACTS = (
    "newest", "account", "first_seen", "touch", "consent", "reach_at", "reach_offset", "acquired_at", "acquired_offset",
    "activity", "orders", "seen", "subscriptions", "accounts", "trials", "marks", "distinct", "said", "recent", "kpi",
)  # fmt: skip
"""The fields of a profile that are facts; the others say what was announced of them, and how the profile is kept."""
_NEVER = 1 << 62

Answer = tuple[int, str, str, bool]


def facts_of(profile: Profile) -> Profile:
    """A profile with the facts of another and nothing else; they share nothing that changes."""
    found = Profile()
    adopt(found, profile)
    return decode(encode(found))


def is_empty(profile: Profile) -> bool:
    """Whether a profile has no facts."""
    return profile.first_seen is None


def adopt(profile: Profile, facts: Profile) -> None:
    """Put the facts of `facts`, which is used up by it, in the place of the profile's own; what was announced stays."""
    for name in FACTS:
        setattr(profile, name, getattr(facts, name))
    profile.__dict__.clear()


def forget_places(facts: Profile) -> None:
    """Let facts that came through another partition's log name no places: there they are those of other facts."""
    facts.reach_offset = facts.acquired_offset = -1
    for order in facts.orders:
        order.offset = -1
        for version in order.later:
            version.offset = -1
    for subscription in facts.subscriptions:
        for act in subscription.acts:
            act.offset = -1
    for mark in facts.marks.values():
        mark.offsets = [-1] * len(mark.kept)
    for every in facts.said.values():
        for said in every:
            said.offset = -1


def sums(profile: Profile) -> dict[str, tuple[int, int, int]]:
    """By currency (orders, gross, net) in minor units: what a profile adds to the company's sums."""
    found: dict[str, tuple[int, int, int]] = {}
    for order in profile.orders:
        adds = worth(order)
        if adds.currency:
            orders, gross, net = found.get(adds.currency, (0, 0, 0))
            found[adds.currency] = (orders + adds.orders, gross + adds.gross_minor, net + adds.net_minor)
    return found


def united(parts: Sequence[Profile], keep: Keeping, horizon: int) -> Profile:
    """The union of the parts' facts. No instant before `horizon` (ms) will be asked for again.

    The same facts give the same bytes, however they are spread, but for what a part has given up: instants of a signal
    that are only a number any more cannot be told apart, and neither can those that an older release kept.
    """
    found = Profile()
    _span(found, parts)
    _attributes(found, parts)
    found.activity, found.recent = _activity(parts, keep.gap, horizon)
    found.seen = united_ids([part.seen for part in parts], horizon)
    found.orders = _orders(parts)
    found.subscriptions = _subscriptions(parts)
    found.accounts = _accounts(parts)
    found.trials = _trials(parts)
    for name in sorted({name for part in parts for name in part.marks}):
        found.marks[name] = _mark([part.marks[name] for part in parts if name in part.marks])
    for name in sorted({name for part in parts for name in part.distinct}):
        things = {(one.time, one.name) for part in parts for one in part.distinct.get(name, ())}
        found.distinct[name] = [Named(time, thing) for time, thing in sorted(things)]
    for name in sorted({name for part in parts for name in part.said}):
        found.said[name] = _said([one for part in parts for one in part.said.get(name, ())])
    found.kpi = all_united([part.kpi for part in parts if part.kpi is not None])
    return found


def _span(found: Profile, parts: Sequence[Profile]) -> None:
    """The newest fact, the first, and the first that gave reach or acquisition; of one instant's that first in the log."""
    found.newest = max((part.newest for part in parts if part.newest is not None), default=None)
    found.first_seen = min((part.first_seen for part in parts if part.first_seen is not None), default=None)
    reached = [(part.reach_at, _place(part.reach_offset)) for part in parts if part.reach_at is not None]
    if reached:
        found.reach_at, place = min(reached)
        found.reach_offset = _offset(place)
    acquired = [(part.acquired_at, _place(part.acquired_offset)) for part in parts if part.acquired_at is not None]
    if acquired:
        found.acquired_at, place = min(acquired)
        found.acquired_offset = _offset(place)


def _place(offset: int) -> int:
    """A log position to be compared: one that is not known comes last."""
    return offset if offset >= 0 else _NEVER


def _offset(place: int) -> int:
    return -1 if place == _NEVER else place


def _attributes(found: Profile, parts: Sequence[Profile]) -> None:
    found.account = max((part.account for part in parts if part.account is not None), default=None)
    found.touch = min((part.touch for part in parts if part.touch is not None), default=None)
    latest: dict[str, Answer] = {}
    for part in parts:
        for purpose, answer in part.consent.items():
            latest[purpose] = max(answer, latest.get(purpose, answer))
    found.consent = {purpose: latest[purpose] for purpose in sorted(latest)}


def _activity(parts: Sequence[Profile], gap: int, horizon: int) -> tuple[list[int], list[int]]:
    """Runs closer than `gap` joined, of what is up to the horizon or to the end of a run; and the instants after that."""
    until = max([horizon, *(part.activity[-1] for part in parts if part.activity)])
    instants = sorted({at for part in parts for at in part.recent})
    cut = bisect_right(instants, until)
    stretches = [(at, at) for at in instants[:cut]]
    for part in parts:
        stretches += zip(part.activity[::2], part.activity[1::2], strict=True)
    runs: list[int] = []
    for first, last in sorted(stretches):
        if runs and first - runs[-1] < gap:
            runs[-1] = max(runs[-1], last)
        else:
            runs += (first, last)
    return runs, instants[cut:]


# -- the ledger ----------------------------------------------------------------------------------


def _orders(parts: Sequence[Profile]) -> list[Order]:
    """Each order once, by the time at which it was first heard of."""
    by_id: dict[int, list[Order]] = {}
    for part in parts:
        for order in part.orders:
            by_id.setdefault(order.id, []).append(order)
    return sorted([_order(id, entries) for id, entries in by_id.items()], key=_order_place)


def _order_place(order: Order) -> tuple[int, int]:
    first = order.time if order.time is not None else _NEVER
    if order.cancelled_at is not None:
        first = min(first, order.cancelled_at)
    if order.refunds:
        first = min(first, order.refunds[0].time)
    return first, order.id


def _order(id: int, entries: Sequence[Order]) -> Order:
    """One order of which several sets know something: its events once each, of those that place it the smallest."""
    told: dict[str, Version] = {}
    for version in [version for entry in entries for version in versions(entry)]:
        event = version.event if version.update else ""
        known = told.get(event)
        if known is None or _version_place(version) < _version_place(known):
            told[event] = version
    refunds: dict[int, Refund] = {}
    for refund in [refund for entry in entries for refund in entry.refunds]:
        back = refunds.get(refund.id)
        if back is None or _refund_place(refund) < _refund_place(back):
            refunds[refund.id] = refund
    found = Order(
        id,
        cancelled_at=min((entry.cancelled_at for entry in entries if entry.cancelled_at is not None), default=None),
        refunds=sorted(refunds.values(), key=_refund_order),
    )
    if told:
        first, *later = sorted(told.values())
        found.time, found.event, found.update, found.offset = first.time, first.event, first.update, first.offset
        found.total_minor, found.net_minor, found.currency = first.total_minor, first.net_minor, first.currency
        found.later = later
    return found


def _version_place(version: Version) -> tuple[int, str, int, int, str, int]:
    return (
        version.time, version.event, version.total_minor, version.net_minor, version.currency, _place(version.offset)
    )  # fmt: skip


def _refund_order(refund: Refund) -> tuple[int, str, int]:
    return refund.time, refund.event, refund.id


def _refund_place(refund: Refund) -> tuple[int, str, int, str]:
    return refund.time, refund.event, refund.amount_minor, refund.currency or ""


def _subscriptions(parts: Sequence[Profile]) -> list[Subscription]:
    by_id: dict[int, dict[str, Act]] = {}
    for part in parts:
        for subscription in part.subscriptions:
            acts = by_id.setdefault(subscription.id, {})
            for act in subscription.acts:
                known = acts.get(act.event)
                if known is None or _act_place(act) < _act_place(known):
                    acts[act.event] = act
    found = [Subscription(id, sorted(acts.values(), key=_act_place)) for id, acts in by_id.items()]
    return sorted(found, key=lambda subscription: (subscription.acts[0].time, subscription.id))


def _act_place(act: Act) -> tuple[int, str, int, int, int, str, int]:
    mrr = -1 if act.mrr_minor is None else act.mrr_minor
    return act.time, act.event, act.kind, act.effective, mrr, act.currency or "", _place(act.offset)


def _accounts(parts: Sequence[Profile]) -> list[Account]:
    by_id: dict[str, dict[tuple[str, str], tuple[int, str, str, bool]]] = {}
    for part in parts:
        for account in part.accounts:
            acts = by_id.setdefault(account.id, {})
            for act in account.acts:
                event = act[1], act[2]
                acts[event] = min(act, acts.get(event, act))
    found = [Account(id, sorted(acts.values())) for id, acts in by_id.items()]
    return sorted(found, key=lambda account: (account.acts[0], account.id))


def _trials(parts: Sequence[Profile]) -> list[Trial]:
    by_id: dict[int, Trial] = {}
    for trial in [trial for part in parts for trial in part.trials]:
        found = by_id.get(trial.id)
        if found is None:
            found = by_id[trial.id] = Trial(trial.id)
        if trial.ended is not None and (found.ended is None or trial.ended < found.ended):
            found.ended = trial.ended
        if trial.started is not None and (found.started is None or _start(trial) < _start(found)):
            found.started, found.event, found.begins, found.ends = trial.started, trial.event, trial.begins, trial.ends
    return sorted(by_id.values(), key=lambda trial: (_NEVER if trial.started is None else trial.started, trial.id))


def _start(trial: Trial) -> tuple[int, str, int, int]:
    def at(instant: int | None) -> int:
        return _NEVER if instant is None else instant

    return at(trial.started), trial.event, at(trial.begins), at(trial.ends)


# -- what the plan asks --------------------------------------------------------------------------


def _mark(marks: Sequence[Mark]) -> Mark:
    """The instants of all; one whose event is known to be another's counts once. What was dropped adds up."""
    found = Mark()
    counted = [mark for mark in marks if mark.dropped]
    if counted:
        found.dropped = sum([mark.dropped for mark in counted])
        found.first = min([mark.first for mark in counted])
        found.last = max([mark.last for mark in counted])
    before: tuple[int, int] | None = None
    for at, id, place in sorted([instant for mark in marks for instant in _instants(mark)]):
        if id == 0 or (at, id) != before:
            found.kept.append(at)
            found.offsets.append(_offset(place))
            found.ids.append(id)
        before = at, id
    return found


def _instants(mark: Mark) -> Iterable[tuple[int, int, int]]:
    ids = mark.ids or [0] * len(mark.kept)
    return zip(mark.kept, ids, map(_place, mark.offsets), strict=True)


def _said(every: Sequence[Said]) -> list[Said]:
    """What was said, each event's once."""
    found: dict[tuple[int, str, str], Said] = {}
    for said in every:
        event = said.time, said.source, said.event
        known = found.get(event)
        if known is None or _said_place(said) < _said_place(known):
            found[event] = said
    return [found[event] for event in sorted(found)]


def _said_place(said: Said) -> tuple[int, str]:
    return _place(said.offset), repr(said.value)
