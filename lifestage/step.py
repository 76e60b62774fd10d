"""The step: one log record meets one profile. Every decision of the product is made here, by pure functions.

`take` folds a fact, `fire` lets time pass. Both change the profile they are given, which is theirs alone, and report
to a `Tally`. After either, the announced history equals the path up to h = max(last tick − 1 ms, newest fact).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lifestage import announce
from lifestage.cause import Cause, Clock, Rules, Tally
from lifestage.facts import Fact, OrderCancelled, OrderCompleted, OrderRefunded
from lifestage.profile import ACTIVITY, FACTS, Order, Profile, find_order, fold, has_seen, id_hash, order_id, remember

LEDGER = (OrderCompleted, OrderRefunded, OrderCancelled)


class Worth(NamedTuple):
    """What an order adds to the company's sums."""

    currency: str
    orders: int
    gross_minor: int
    net_minor: int


def take(profile: Profile, key: str, fact: Fact, cause: Cause, clock: Clock, rules: Rules, tally: Tally) -> str:
    """Fold one fact and announce what follows. Returns its outcome: accepted, duplicate or late."""
    time = fact.time
    late = time < clock.time - rules.lateness
    if late and not isinstance(fact, LEDGER):
        return "late"
    hashed = id_hash(fact.source, fact.id, rules.id_key)
    if _is_duplicate(profile, fact, hashed, rules):
        return "duplicate"
    reached = clock.time - 1
    if profile.newest is not None and profile.newest > reached:
        reached = profile.newest
    in_order = time > reached
    if in_order and profile.due is not None and profile.due < time:
        advance(profile, key, time, cause, clock, rules, tally)
    timed = _timed(profile, time, rules) if in_order else None
    # a first fact that gives no stage still starts the time after which a visitor without a name is forgotten
    first = profile.newest is None
    touched = _add(profile, fact, hashed, cause.offset, clock, rules, tally)
    if in_order:
        if first or timed is not None or _calls_for_judgement(profile, touched, rules):
            _judge(profile, key, time, cause, clock, rules, tally, timed)
    elif late:
        announce.correct_from(profile, key, reached, reached, cause, clock, rules, tally, present_only=True)
    else:
        announce.correct_from(profile, key, time, reached, cause, clock, rules, tally)
    return "accepted"


def take_together(
    profile: Profile, key: str, facts: Iterable[Fact], clock: Clock, rules: Rules, tally: Tally
) -> list[str]:
    """Fold all facts of one instant, later than any before, and judge once; a change names the last that told the plan something.

    Returns the outcome of each: accepted or duplicate.
    """
    outcomes: list[str] = []
    touched, why, timed, first = 0, None, None, profile.newest is None
    for fact in facts:
        hashed = id_hash(fact.source, fact.id, rules.id_key)
        if _is_duplicate(profile, fact, hashed, rules):
            outcomes.append("duplicate")
            continue
        cause = Cause(fact)
        if why is None and profile.due is not None and profile.due < fact.time:
            advance(profile, key, fact.time, cause, clock, rules, tally)
        if why is None:
            timed = _timed(profile, fact.time, rules)
        touches = _add(profile, fact, hashed, cause.offset, clock, rules, tally)
        outcomes.append("accepted")
        if why is None or touches & FACTS:
            why = fact
        touched |= touches
    if why is not None and (first or timed is not None or _calls_for_judgement(profile, touched, rules)):
        _judge(profile, key, why.time, Cause(why), clock, rules, tally, timed)
    return outcomes


def _timed(profile: Profile, t: int, rules: Rules) -> str | None:
    """The stage that time alone would bring at `t`, before the facts of that instant apply; None when nothing is due."""
    if profile.due != t:
        return None
    stage = rules.plan.judge(profile, t)
    return None if stage == profile.stage else stage


def _add(profile: Profile, fact: Fact, hashed: bytes, offset: int, clock: Clock, rules: Rules, tally: Tally) -> int:
    """Add a fact that is no duplicate to the set; says what it touched."""
    if isinstance(fact, LEDGER):
        touched = _fold_ledger(profile, fact, offset, rules, tally)
    else:
        touched = fold(profile, fact, offset, rules.id_key, rules.plan.activity_gap)
    if remember(profile, hashed, fact.time, clock.time - rules.lateness):
        tally.dedupe_overflow += 1
    if profile.newest is None or fact.time > profile.newest:
        profile.newest = fact.time
    return touched


def _calls_for_judgement(profile: Profile, touched: int, rules: Rules) -> bool:
    return bool(touched & FACTS or (touched & ACTIVITY and profile.stage in rules.plan.activity_matters))


def fire(profile: Profile, key: str, cause: Cause, clock: Clock, rules: Rules, tally: Tally) -> None:
    """Let the clock's tick pass over a profile: timers due before it (less the plan's grace) fire, in their order."""
    advance(profile, key, clock.time - rules.plan.plan.grace, cause, clock, rules, tally)


def advance(profile: Profile, key: str, until: int, cause: Cause, clock: Clock, rules: Rules, tally: Tally) -> None:
    """Announce the time-driven moves with instants before `until`, each stamped with its own instant."""
    while profile.due is not None and profile.due < until:
        due = profile.due
        if _forgettable(profile, key, due, rules):
            _forget(profile, tally)
            return
        _judge(profile, key, due, cause.timer(due), clock, rules, tally)


def _judge(
    profile: Profile, key: str, t: int, cause: Cause, clock: Clock, rules: Rules, tally: Tally, timed: str | None = None
) -> None:
    """Judge once at `t`, later than all that was announced: announce a move, and find when time alone brings the next.

    A move to `timed` is the doing of time, not of the record at hand.
    """
    look = rules.plan.look(profile, t)
    stage = rules.plan.stage_at(look)
    if stage != profile.stage:
        cause = cause.timer(t) if stage == timed else cause
        announce.move(profile, key, stage, look, cause, clock, rules, tally)
    else:
        announce.settle(look, key, stage, rules)


def _is_duplicate(profile: Profile, fact: Fact, hashed: bytes, rules: Rules) -> bool:
    return has_seen(profile, hashed) or (isinstance(fact, LEDGER) and _is_known(profile, fact, rules))


def _is_known(profile: Profile, fact: Fact, rules: Rules) -> bool:
    """Whether the ledger already has this order, refund or cancellation: for ever, not only within the horizon."""
    assert isinstance(fact, LEDGER)
    order = find_order(profile, order_id(fact, rules.id_key))
    if order is None:
        return False
    if isinstance(fact, OrderCompleted):
        return order.time is not None
    if isinstance(fact, OrderCancelled):
        return order.cancelled_at is not None and order.cancelled_at <= fact.time
    refund = int.from_bytes(id_hash(fact.source, fact.refund_id, rules.id_key), "big", signed=True)
    return any(known.id == refund for known in order.refunds)


def worth(order: Order | None) -> Worth:
    """What an order adds: gross once it is known, net less refunds while not cancelled. A function of its facts."""
    if order is None or order.time is None:
        return Worth("", 0, 0, 0)
    net = 0 if order.cancelled_at is not None else max(0, order.net_minor - sum(r.amount_minor for r in order.refunds))
    return Worth(order.currency, 1, order.total_minor, net)


def _fold_ledger(profile: Profile, fact: Fact, offset: int, rules: Rules, tally: Tally) -> int:
    assert isinstance(fact, LEDGER)
    id = order_id(fact, rules.id_key)
    before = worth(find_order(profile, id))
    touched = fold(profile, fact, offset, rules.id_key, rules.plan.activity_gap)
    after = worth(find_order(profile, id))
    if after.currency:
        tally.money(
            after.currency,
            after.orders - before.orders,
            after.gross_minor - before.gross_minor,
            after.net_minor - before.net_minor,
        )
    return touched


def _forgettable(profile: Profile, key: str, t: int, rules: Rules) -> bool:
    at = announce.forget_at(profile, key, t - 1, rules)
    return at is not None and at <= t


def _forget(profile: Profile, tally: Tally) -> None:
    """An anonymous visitor leaves without a trace: counted, not announced."""
    tally.leave(profile.stage)
    tally.forgotten += 1
    fresh = Profile(applied=profile.applied)
    for name in Profile.__struct_fields__:
        setattr(profile, name, getattr(fresh, name))
