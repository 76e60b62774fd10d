"""The ledger: orders, subscriptions, accounts and trials, entered one by one in any order, and how each stands at an instant.

Whichever of an order's facts comes first opens its entry. Of two events that say the same act (one order id, one refund
id) the one with the smaller (time, event) counts, whatever the order of arrival.
"""

from __future__ import annotations

from bisect import insort
from typing import Final

from lifestage import money
from lifestage.fact import Fact
from lifestage.facts import (
    AccountClosed,
    AccountCreated,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    OrderUpdated,
    SubscriptionAct,
    SubscriptionCancelled,
    SubscriptionChanged,
    SubscriptionRenewed,
    SubscriptionStarted,
    TrialEnded,
    TrialStarted,
)
from lifestage.profile import (
    CANCELLED,
    CHANGED,
    RENEWED,
    STARTED,
    Account,
    Act,
    Order,
    Profile,
    Refund,
    Subscription,
    Trial,
    Version,
)
from lifestage.seen import id_hash

OrderFact = OrderCompleted | OrderUpdated | OrderRefunded | OrderCancelled

ACTS: Final[dict[type[Fact], int]] = {
    SubscriptionStarted: STARTED,
    SubscriptionRenewed: RENEWED,
    SubscriptionChanged: CHANGED,
    SubscriptionCancelled: CANCELLED,
}

NEW: Final = 0
AMENDS: Final = 1
KNOWN: Final = 2
"""What an act is to the ledger: not there yet; there under a greater (time, event), so that this one counts; there."""


def number(source: str, id: str, key: bytes) -> int:
    """The ledger's 64-bit id of a thing that a source names."""
    return int.from_bytes(id_hash(source, id, key), "big", signed=True)


def find_order(profile: Profile, id: int) -> Order | None:
    """The ledger's entry for an order."""
    known = profile.__dict__.get("standing")
    if known is not None and known.orders is profile.orders:
        found: Order | None = known.by_id.get(id)
        return found
    for order in profile.orders:
        if order.id == id:
            return order
    return None


def known_order(order: Order | None, fact: OrderFact, key: bytes) -> int:
    """What a fact is to an order's entry: `NEW`, `AMENDS` or `KNOWN`. A later cancellation of the same order is `KNOWN`."""
    if order is None:
        return NEW
    if isinstance(fact, OrderRefunded):
        id = number(fact.source, fact.refund_id, key)
        for known in order.refunds:
            if known.id == id:
                return AMENDS if (fact.time, fact.id) < (known.time, known.event) else KNOWN
        return NEW
    if isinstance(fact, OrderCancelled):
        if order.cancelled_at is None:
            return NEW
        return AMENDS if fact.time < order.cancelled_at else KNOWN
    if isinstance(fact, OrderUpdated):
        return KNOWN if any(v.update and v.event == fact.id for v in versions(order)) else NEW
    for version in versions(order):
        if not version.update:
            return AMENDS if (fact.time, fact.id) < (version.time, version.event) else KNOWN
    return NEW


def versions(order: Order) -> list[Version]:
    """All versions of an order, the earliest first; none while only its refund or cancellation is known."""
    if order.time is None:
        return []
    first = Version(
        order.time, order.event, order.total_minor, order.net_minor, order.currency, order.update, order.offset
    )
    return [first, *order.later]


def book(profile: Profile, order: Order | None, fact: OrderFact, offset: int, key: bytes) -> None:
    """Enter a fact that is not `KNOWN`; `order` is its entry, where there is one."""
    running = profile.__dict__.get("standing")
    if running is not None and running.orders is not profile.orders:
        running = None
    if order is None:
        order = Order(number(fact.source, fact.order_id, key))
        profile.orders.append(order)
    elif running is not None:
        running.before_change(order)
    _enter(order, fact, offset, key)
    if running is not None:
        running.after_change(order)


def _enter(order: Order, fact: OrderFact, offset: int, key: bytes) -> None:
    if isinstance(fact, OrderCancelled):
        order.cancelled_at = fact.time if order.cancelled_at is None else min(order.cancelled_at, fact.time)
    elif isinstance(fact, OrderRefunded):
        id = number(fact.source, fact.refund_id, key)
        order.refunds = [refund for refund in order.refunds if refund.id != id]
        order.refunds.append(Refund(id, fact.time, fact.amount_minor, fact.id, fact.currency))
        order.refunds.sort(key=_refund_order)
    else:
        update = isinstance(fact, OrderUpdated)
        new = Version(fact.time, fact.id, fact.total_minor, fact.net_minor, fact.currency, update, offset)
        _set_versions(order, [*(v for v in versions(order) if update or v.update), new])


def _refund_order(refund: Refund) -> tuple[int, str, int]:
    return refund.time, refund.event, refund.id


def _set_versions(order: Order, found: list[Version]) -> None:
    found.sort()
    first = found[0]
    order.time, order.event, order.update, order.offset = first.time, first.event, first.update, first.offset
    order.total_minor, order.net_minor, order.currency = first.total_minor, first.net_minor, first.currency
    order.later = found[1:]


def amounts_at(order: Order, t: int) -> tuple[int, int, str]:
    """(total, net, currency) of an order by its latest version with time ≤ t; of the earliest before that."""
    for version in reversed(order.later):
        if version.time <= t:
            return version.total_minor, version.net_minor, version.currency
    return order.total_minor, order.net_minor, order.currency


def net_at(order: Order, t: int) -> int:
    """What an order is worth at `t`, in its currency then: net less refunds, never below 0; nothing once cancelled."""
    if order.cancelled_at is not None and order.cancelled_at <= t:
        return 0
    _, net, currency = amounts_at(order, t)
    if order.refunds:
        net -= _given_back(order, t, currency)
    return net if net > 0 else 0


def _given_back(order: Order, t: int, currency: str) -> int:
    """Σ refunds by `t` in minor units of the order's currency then. Currencies are not mixed: another one counts for nothing."""
    digits, back = money.DIGITS.get(currency, 2), 0
    for refund in order.refunds:
        if refund.time > t:
            continue
        if refund.currency == currency:
            back += refund.amount_minor
        elif refund.currency is None:
            # read with two digits, as nobody knew the currency; a yen has none
            back += refund.amount_minor * 10**digits // 100
    return back


def fell_at(order: Order, t: int) -> int | None:
    """The instant since which an order placed by `t` no longer stands at `t`: cancelled, or Σ refunds ≥ total > 0.

    None while it stands. Never before it was placed.
    """
    placed, end = order.time, order.cancelled_at
    assert placed is not None
    if order.refunds:
        end = _fallen(order, t, end)
    elif end is not None and end > t:
        end = None
    if end is None:
        return None
    return end if end > placed else placed


def _fallen(order: Order, t: int, cancelled_at: int | None) -> int | None:
    """The beginning of the stretch up to `t` in which an order with refunds does not stand; a later version can end one."""
    since = None
    turns = {refund.time for refund in order.refunds} | {version.time for version in order.later}
    if cancelled_at is not None:
        turns.add(cancelled_at)
    for at in sorted(turns):
        if at > t:
            break
        total, _, currency = amounts_at(order, at)
        called_off = cancelled_at is not None and cancelled_at <= at
        if called_off or _given_back(order, at, currency) >= total > 0:
            since = at if since is None else since
        else:
            since = None
    return since


def order_instants(order: Order) -> list[int]:
    """Every instant at which what an order says changes."""
    if order.time is None:
        return []
    instants = [order.time]
    if order.cancelled_at is not None:
        instants.append(max(order.cancelled_at, order.time))
    instants += [max(refund.time, order.time) for refund in order.refunds]
    return instants + [version.time for version in order.later]


def known_act(profile: Profile, fact: SubscriptionAct, key: bytes) -> int:
    """Whether an event is among a subscription's acts: `NEW` or `KNOWN`."""
    subscription = find_subscription(profile, number(fact.source, fact.subscription_id, key))
    return KNOWN if subscription is not None and any(a.event == fact.id for a in subscription.acts) else NEW


def find_subscription(profile: Profile, id: int) -> Subscription | None:
    """The ledger's entry for a subscription."""
    for subscription in profile.subscriptions:
        if subscription.id == id:
            return subscription
    return None


def act(profile: Profile, fact: SubscriptionAct, offset: int, key: bytes) -> None:
    """Enter an act of a subscription that is `NEW`."""
    id = number(fact.source, fact.subscription_id, key)
    subscription = find_subscription(profile, id)
    if subscription is None:
        subscription = Subscription(id)
        profile.subscriptions.append(subscription)
    kind = ACTS[type(fact)]
    effective = fact.time
    if kind >= CHANGED and fact.effective_at is not None and fact.effective_at > effective:
        effective = fact.effective_at
    insort(subscription.acts, Act(fact.time, fact.id, kind, effective, fact.mrr_minor, fact.currency, offset))


def known_account(profile: Profile, fact: AccountCreated | AccountClosed) -> int:
    """Whether an event is among an account's acts: `NEW` or `KNOWN`."""
    for account in profile.accounts:
        if account.id == fact.account_id:
            return KNOWN if any(a[1] == fact.source and a[2] == fact.id for a in account.acts) else NEW
    return NEW


def keep_account(profile: Profile, fact: AccountCreated | AccountClosed) -> None:
    """Enter what opened or closed an account, `NEW`."""
    assert fact.account_id is not None, "the door lets no account act in without its account"
    found = [account for account in profile.accounts if account.id == fact.account_id]
    account = found[0] if found else Account(fact.account_id)
    if not found:
        profile.accounts.append(account)
    insort(account.acts, (fact.time, fact.source, fact.id, isinstance(fact, AccountClosed)))


def keep_trial(profile: Profile, fact: TrialStarted | TrialEnded, key: bytes) -> None:
    """Enter the start or the end of a trial; of several starts the one with the smallest (time, event) counts."""
    id = number(fact.source, fact.trial_id, key)
    found = [trial for trial in profile.trials if trial.id == id]
    trial = found[0] if found else Trial(id)
    if not found:
        profile.trials.append(trial)
    if isinstance(fact, TrialEnded):
        trial.ended = fact.time if trial.ended is None else min(trial.ended, fact.time)
    elif trial.started is None or (fact.time, fact.id) < (trial.started, trial.event):
        trial.started, trial.event, trial.ends = fact.time, fact.id, fact.ends_at
        trial.begins = fact.time if fact.starts_at is None else max(fact.time, fact.starts_at)
