"""The step: one log record meets one profile. Every decision of the product is made here, by pure functions.

`take` folds a fact, `fire` lets time pass. Both change the profile they are given, which is theirs alone, and report
to a `Tally`. After either, the announced history equals the path up to h = max(last tick − grace − 1 ms, newest fact).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, cast

from lifestage import announce
from lifestage.cause import Cause, Clock, Rules, Tally
from lifestage.fact import Fact
from lifestage.facts import (
    LEDGER,
    AccountClosed,
    AccountCreated,
    CostRecorded,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    OrderUpdated,
    SubscriptionAct,
)
from lifestage.fold import ACTIVITY, FACTS, fold
from lifestage.keys import COMPANY
from lifestage.kpi_live import Now
from lifestage.kpi_note import brings, note, note_touch
from lifestage.ledger import (
    KNOWN,
    NEW,
    OrderFact,
    amounts_at,
    find_order,
    known_account,
    known_act,
    known_order,
    net_at,
    number,
)
from lifestage.profile import DAY, Order, Profile
from lifestage.seen import has_seen, id_hash, remember

NOTHING_DUE: Final[str | None] = ""
"""In place of a stage, which may be None: time alone brings nothing at this instant."""
AMENDED: Final = "amended"
"""Outcome of a duplicate that counts in place of what was there: a smaller (time, id) of the same order or refund."""


class Worth(NamedTuple):
    """What an order adds to the company's sums."""

    currency: str
    orders: int
    gross_minor: int
    net_minor: int


def take(profile: Profile, key: str, fact: Fact, cause: Cause, clock: Clock, rules: Rules, tally: Tally) -> str:
    """Fold one fact and announce what follows. Returns its outcome: accepted, duplicate, `AMENDED` or late."""
    time = fact.time
    horizon = clock.time - rules.lateness
    late = time < horizon
    if late and type(fact) not in _NEVER_LATE:
        return "late"
    hashed = id_hash(fact.source, fact.id, rules.id_key)
    known = _known(profile, fact, hashed, horizon, rules)
    if known == KNOWN:
        return "duplicate"
    # timers wait for the plan's grace, and so does what is announced of the time before the tick
    reached = clock.time - rules.plan.plan.grace - 1
    if profile.newest is not None and profile.newest > reached:
        reached = profile.newest
    if time > reached:
        due = profile.due
        timed = NOTHING_DUE
        if due is not None and due <= time:
            if due < time:
                advance(profile, key, time, cause, clock, rules, tally)
            timed = _timed(profile, time, rules)
        # a first fact that gives no stage still starts the time after which a visitor without a name is forgotten
        first = profile.first_seen is None
        touched = _add(profile, fact, hashed, cause.offset, horizon, horizon, rules, tally)
        if first or timed != NOTHING_DUE or _calls_for_judgement(profile, touched, rules):
            _judge(profile, key, time, cause, clock, rules, tally, timed)
        return "accepted" if known == NEW else AMENDED
    _add(profile, fact, hashed, cause.offset, horizon, horizon, rules, tally)
    if key.startswith(COMPANY):
        return "accepted"
    if late:
        announce.correct_from(profile, key, reached, reached, cause, clock, rules, tally, present_only=True)
    else:
        announce.correct_from(profile, key, time, reached, cause, clock, rules, tally)
    return "accepted" if known == NEW else AMENDED


def take_together(
    profile: Profile, key: str, facts: Iterable[Fact], clock: Clock, rules: Rules, tally: Tally
) -> list[str]:
    """Fold all facts of one instant, later than any before, and judge once; a change names the last that told the plan something.

    Returns the outcome of each: accepted, duplicate or `AMENDED`.
    """
    outcomes: list[str] = []
    touched, why, timed, first = 0, None, NOTHING_DUE, False
    horizon = clock.time - rules.lateness
    for fact in facts:
        hashed = id_hash(fact.source, fact.id, rules.id_key)
        seen_since = fact.time - rules.lateness
        known = _known(profile, fact, hashed, seen_since, rules)
        if known == KNOWN:
            outcomes.append("duplicate")
            continue
        cause = Cause(fact)
        if why is None and profile.due is not None and profile.due < fact.time:
            advance(profile, key, fact.time, cause, clock, rules, tally)
        if why is None:
            timed, first = _timed(profile, fact.time, rules), profile.newest is None
        touches = _add(profile, fact, hashed, cause.offset, horizon, seen_since, rules, tally)
        outcomes.append("accepted" if known == NEW else AMENDED)
        if why is None or touches & FACTS:
            why = fact
        touched |= touches
    if why is not None and (first or timed != NOTHING_DUE or _calls_for_judgement(profile, touched, rules)):
        _judge(profile, key, why.time, Cause(why), clock, rules, tally, timed)
    return outcomes


def _timed(profile: Profile, t: int, rules: Rules) -> str | None:
    """The stage that time alone would bring at `t`, before the facts of that instant apply, or `NOTHING_DUE`."""
    if profile.due != t:
        return NOTHING_DUE
    stage = rules.plan.judge(profile, t, profile.stage)
    return NOTHING_DUE if stage == profile.stage else stage


def _add(
    profile: Profile,
    fact: Fact,
    hashed: bytes,
    offset: int,
    horizon: int,
    seen_since: int,
    rules: Rules,
    tally: Tally,
) -> int:
    """Add a fact that is no duplicate to the set; says what it touched.

    What is from before `horizon` (ms) need not be kept one by one, nor ids from before `seen_since` at all.
    """
    if type(fact) in _ORDERS:
        touched = _fold_order(profile, cast("OrderFact", fact), offset, horizon, rules, tally)
    else:
        touched = fold(profile, fact, offset, rules.id_key, rules.plan.keep, horizon, hashed)
    if remember(profile, hashed, fact.time, seen_since):
        tally.dedupe_overflow += 1
    if profile.newest is None or fact.time > profile.newest:
        profile.newest = fact.time
    return touched


def add_to_part(part: Profile, fact: Fact, offset: int, horizon: int, rules: Rules) -> None:
    """Add a fact that was accepted or `AMENDED` to the set of the one id under which it came."""
    hashed = id_hash(fact.source, fact.id, rules.id_key)
    fold(part, fact, offset, rules.id_key, rules.plan.keep, horizon, hashed)
    remember(part, hashed, fact.time, horizon)
    if rules.window:
        note(part, fact, Now((horizon + rules.lateness) // DAY, rules.window, rules))
    else:
        part.kpi = None
    if part.newest is None or fact.time > part.newest:
        part.newest = fact.time


def add_again(part: Profile, fact: Fact, offset: int, horizon: int, rules: Rules) -> bool:
    """Add a fact that a profile has from another of its ids to the set of the one under which it came, too; False where that
    has it, and knows of no later channel than it tells."""
    hashed = id_hash(fact.source, fact.id, rules.id_key)
    if _known(part, fact, hashed, horizon, rules) == KNOWN:
        return _hear(part, fact, horizon, rules)
    add_to_part(part, fact, offset, horizon, rules)
    return True


def _hear(part: Profile, fact: Fact, horizon: int, rules: Rules) -> bool:
    """Let a set know the channel that a fact tells which it has already, if that is new; one that is not noted has none."""
    if rules.window:
        return note_touch(part, fact, Now((horizon + rules.lateness) // DAY, rules.window, rules))
    if part.kpi is None or not brings(part, fact):
        return False
    part.kpi = None
    return True


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
    profile: Profile,
    key: str,
    t: int,
    cause: Cause,
    clock: Clock,
    rules: Rules,
    tally: Tally,
    timed: str | None = NOTHING_DUE,
) -> None:
    """Judge once at `t`, later than all that was announced: announce a move, and find when time alone brings the next.

    A move to `timed` is the doing of time, not of the record at hand.
    """
    if key.startswith(COMPANY):
        # costs and impressions of nobody: the company is no customer, whatever a plan's conditions say of them
        return
    look = rules.plan.look(profile, t)
    stage = rules.plan.stage_at(look, profile.stage)
    if stage != profile.stage:
        cause = cause.timer(t) if stage == timed else cause
        announce.move(profile, key, stage, look, cause, clock, rules, tally)
    else:
        announce.settle(look, key, stage, rules)


_LEDGER: Final = frozenset(LEDGER)
_NEVER_LATE: Final = _LEDGER | {CostRecorded}
_ORDERS: Final = frozenset({OrderCompleted, OrderUpdated, OrderRefunded, OrderCancelled})
# `isinstance` of a union takes 0.4 µs, this 0.03


def _known(profile: Profile, fact: Fact, hashed: bytes, seen_since: int, rules: Rules) -> int:
    """What a fact is to the profile: `NEW`, `AMENDS` or `KNOWN`. By its id since `seen_since` (ms); an act is known for ever."""
    if has_seen(profile, hashed, seen_since):
        return KNOWN
    if type(fact) not in _LEDGER:
        return NEW
    if type(fact) in _ORDERS:
        order = cast("OrderFact", fact)
        return known_order(find_order(profile, number(order.source, order.order_id, rules.id_key)), order, rules.id_key)
    if isinstance(fact, SubscriptionAct):
        return known_act(profile, fact, rules.id_key)
    assert isinstance(fact, AccountCreated | AccountClosed)
    return known_account(profile, fact)


def worth(order: Order | None) -> Worth:
    """What an order adds: gross once it is known, net less refunds while not cancelled. A function of its facts."""
    if order is None or order.time is None:
        return Worth("", 0, 0, 0)
    gross, _, currency = amounts_at(order, _EVER)
    return Worth(currency, 1, gross, net_at(order, _EVER))


_EVER: Final = 1 << 62


def _fold_order(
    profile: Profile,
    fact: OrderFact,
    offset: int,
    horizon: int,
    rules: Rules,
    tally: Tally,
) -> int:
    id = number(fact.source, fact.order_id, rules.id_key)
    before = worth(find_order(profile, id))
    touched = fold(profile, fact, offset, rules.id_key, rules.plan.keep, horizon)
    after = worth(find_order(profile, id))
    if before.currency and before.currency != after.currency:
        tally.money(before.currency, -before.orders, -before.gross_minor, -before.net_minor)
        before = Worth("", 0, 0, 0)
    if after.currency:
        tally.money(
            after.currency,
            after.orders - before.orders,
            after.gross_minor - before.gross_minor,
            after.net_minor - before.net_minor,
        )
    return touched


def _forgettable(profile: Profile, key: str, t: int, rules: Rules) -> bool:
    at = announce.forget_at(profile, key, rules)
    return at is not None and at <= t


def _forget(profile: Profile, tally: Tally) -> None:
    """An anonymous visitor leaves without a trace: counted, not announced."""
    tally.leave(profile.stage)
    tally.forgotten += 1
    fresh = Profile(applied=profile.applied)
    for name in Profile.__struct_fields__:
        setattr(profile, name, getattr(fresh, name))
