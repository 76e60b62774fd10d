"""Orders, subscriptions, trials and accounts as of an instant, by brute force from the list of all facts. For `oracle_plans`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from lifestage.conditions import Plan
from lifestage.facts import (
    AccountClosed,
    AccountCreated,
    Fact,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    OrderUpdated,
    SubscriptionCancelled,
    SubscriptionChanged,
    SubscriptionRenewed,
    SubscriptionStarted,
    TrialEnded,
    TrialStarted,
)
from lifestage.money import DIGITS

Subscribed = (SubscriptionStarted, SubscriptionRenewed)


def latest(facts: Iterable[Fact]) -> list[Fact]:
    """The facts by (time, source, id), the latest last."""
    return sorted(facts, key=lambda f: (f.time, f.source, f.id))


# -- orders ------------------------------------------------------------------------------------------------------


class Order(NamedTuple):
    """One order as of an instant. `fell`: since when it no longer stands (None: it does)."""

    placed: int
    net: int
    currency: str
    cancelled: bool
    refunded: int
    fell: int | None


def orders_at(facts: Iterable[Fact], t: int, plan: Plan) -> list[Order]:
    """All orders placed by t, but for those that the plan says are too small to count."""
    by_id: dict[tuple[str, str], list[Fact]] = {}
    for fact in facts:
        if isinstance(fact, OrderCompleted | OrderUpdated | OrderRefunded | OrderCancelled):
            by_id.setdefault((fact.source, fact.order_id), []).append(fact)
    found = [order for acts in by_id.values() for order in [_order_at(acts, t)] if order is not None]
    least, currency = plan.min_order_net or (None, None)
    return [order for order in found if least is None or order.currency != currency or order.net >= least]


def _order_at(acts: list[Fact], t: int) -> Order | None:
    """One order: its state at t, and since when, looking at each instant of its acts in turn, it has been down."""
    now, fell = None, None
    for s in sorted({act.time for act in acts if act.time <= t}):
        now = _order_as_of([act for act in acts if act.time <= s])
        if now is None or now.fell is None:
            fell = None
        elif fell is None:
            fell = s
    return None if now is None else now._replace(fell=fell)


def _order_as_of(acts: list[Fact]) -> Order | None:
    completed = sorted((a for a in acts if isinstance(a, OrderCompleted)), key=lambda a: (a.time, a.id))[:1]
    said: list[OrderCompleted | OrderUpdated] = [*completed, *(a for a in acts if isinstance(a, OrderUpdated))]
    if not said:
        return None
    last = max(said, key=lambda a: (a.time, a.source, a.id))
    refunds: dict[str, int] = {}
    for act in sorted(acts, key=lambda a: (a.time, a.id)):
        if isinstance(act, OrderRefunded):
            refunds.setdefault(act.refund_id, given_back(act, last.currency))
    refunded, cancelled = sum(refunds.values()), any(isinstance(a, OrderCancelled) for a in acts)
    down = cancelled or refunded >= last.total_minor > 0
    placed = min(a.time for a in said)
    return Order(placed, last.net_minor, last.currency, cancelled, refunded, placed if down else None)


def given_back(refund: OrderRefunded, currency: str) -> int:
    """What a refund gives back of an order in a currency: nothing in another; without a currency its amount has two digits."""
    if refund.currency is None:
        return int(Decimal(refund.amount_minor).scaleb(DIGITS[currency] - 2))
    return refund.amount_minor if refund.currency == currency else 0


def standing(facts: Sequence[Fact], t: int, plan: Plan) -> list[int]:
    """When the orders were placed that stand at t."""
    return [order.placed for order in orders_at(facts, t, plan) if order.fell is None]


# -- subscriptions, trials, accounts -----------------------------------------------------------------------------

Act = SubscriptionStarted | SubscriptionRenewed | SubscriptionChanged | SubscriptionCancelled


class Subscription(NamedTuple):
    """One subscription as of an instant, once started or renewed. `ended`: since when (None: it is active)."""

    ended: int | None
    price: tuple[int, str | None] | None
    began_at: tuple[int, str | None] | None


def takes_effect(act: Act) -> int:
    """When a cancellation or change is in force."""
    return act.time if act.effective_at is None else max(act.time, act.effective_at)


def _price(act: Act) -> tuple[int, str | None] | None:
    return None if act.mrr_minor is None else (act.mrr_minor, act.currency)


def subscriptions_at(facts: Iterable[Fact], t: int) -> list[Subscription]:
    """All subscriptions that were started or renewed by t."""
    by_id: dict[tuple[str, str], list[Act]] = {}
    for fact in facts:
        if isinstance(fact, Act) and fact.time <= t:
            by_id.setdefault((fact.source, fact.subscription_id), []).append(fact)
    found = []
    for acts in by_id.values():
        acts.sort(key=lambda act: (act.time, act.id))
        begins = [n for n, act in enumerate(acts) if isinstance(act, Subscribed)]
        if not begins:
            continue
        after = [takes_effect(a) for a in acts[begins[-1] + 1 :] if isinstance(a, SubscriptionCancelled)]
        ended = min((end for end in after if end <= t), default=None)
        priced: list[tuple[int, Act]] = [(act.time, act) for act in acts if isinstance(act, Subscribed)]
        priced += [(takes_effect(a), a) for a in acts if isinstance(a, SubscriptionChanged) and takes_effect(a) <= t]
        priced = [(at, act) for at, act in priced if act.mrr_minor is not None]
        now = max(priced, key=lambda p: (p[0], p[1].time, p[1].id))[1] if priced else None
        starts = [act for act in acts if isinstance(act, SubscriptionStarted)]
        base = starts[-1] if starts else next(act for act in acts if isinstance(act, SubscriptionRenewed))
        found.append(Subscription(ended, None if now is None else _price(now), _price(base)))
    return found


def expanded(subscription: Subscription) -> bool:
    """Whether it is active and costs more than at first."""
    now, first = subscription.price, subscription.began_at
    if subscription.ended is not None or now is None or first is None:
        return False
    return now[1] == first[1] and now[0] > first[0]


def purchases(facts: Sequence[Fact], t: int, plan: Plan) -> list[int]:
    """Standing orders, starts and renewals of subscriptions."""
    return standing(facts, t, plan) + [f.time for f in facts if isinstance(f, Subscribed) and f.time <= t]


def lapsed(facts: Sequence[Fact], t: int, plan: Plan) -> bool:
    """A subscription has ended, and no purchase is later than its end."""
    bought = purchases(facts, t, plan)
    ends = [s.ended for s in subscriptions_at(facts, t) if s.ended is not None]
    return any(all(purchase <= end for purchase in bought) for end in ends)


def trial_running(facts: Iterable[Fact], t: int) -> bool:
    """A trial has begun, and neither its end is told nor its planned end there; one id is one trial, begun when first told."""
    past = [fact for fact in facts if fact.time <= t]
    begun: dict[tuple[str, str], TrialStarted] = {}
    for fact in latest(past):
        if isinstance(fact, TrialStarted):
            begun.setdefault((fact.source, fact.trial_id), fact)
    over = {(fact.source, fact.trial_id) for fact in past if isinstance(fact, TrialEnded)}
    return any(
        max(trial.time, trial.starts_at or trial.time) <= t and (trial.ends_at is None or t < trial.ends_at)
        for this, trial in begun.items()
        if this not in over
    )


def accounts_closed(facts: Sequence[Fact], t: int, plan: Plan) -> bool:
    """There are accounts, all of them closed, and nothing was bought after the last closing."""
    acts = latest(f for f in facts if isinstance(f, AccountCreated | AccountClosed) and f.time <= t)
    last = {act.account_id: act for act in acts}
    if not last or not all(isinstance(act, AccountClosed) for act in last.values()):
        return False
    closed = max(act.time for act in last.values())
    return all(purchase <= closed for purchase in purchases(facts, t, plan))
