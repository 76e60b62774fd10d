"""The facts that a plan's conditions may ask: their units, what they say, and the instants at which they turn by time alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection
from typing import Final, Literal, NamedTuple

from lifestage.conditions import Compare
from lifestage.look import NEVER, Look, fact_instants, first_of, purchase_instants, renewal_instants
from lifestage.profile import Profile
from lifestage.signals import DISTINCT, SCORES, SIGNALS

Unit = Literal["flag", "count", "ms", "score", "money", "text", "number"]
Value = int | str | None

Ahead = Callable[[Look, Compare], list[int]]
Turns = Callable[[Profile, Compare], list[int]]
Given = Callable[[Compare], tuple[str | int | None, ...]]


class Operand(NamedTuple):
    """One thing that a condition may ask.

    Units: flag 0 or 1; count; ms; score and number in thousandths; money in minor units of the currency `of`; text.
    """

    name: str
    unit: Unit
    window: Literal["no", "may", "must"]
    says: str
    """One line for people."""
    method: str
    """The method of `Look` that gives its value, or its attribute where nothing is `given`."""
    given: Given | None
    """The arguments of that method, for a comparison."""
    turns: Turns | None = None
    """Instants at which a comparison turns because a fact has aged, for any facts; None where none ages."""
    ahead: Ahead | None = None
    """Those after the look's instant, when no fact is later than it."""
    reads: str = ""
    """The signal, distinct thing, score or ledger that it reads: what must be kept for it."""

    def value(self, look: Look, leaf: Compare) -> Value:
        """What it says at the look's instant: `NEVER`, `ABSENT` or None where there is nothing to say."""
        found = getattr(look, self.method)
        value: Value = found if self.given is None else found(*self.given(leaf))
        return value

    def code(self, leaf: Compare) -> str:
        """The same as an expression over `look`: conditions are compiled from these."""
        if self.given is None:
            return f"look.{self.method}"
        return f"look.{self.method}({', '.join(map(repr, self.given(leaf)))})"


def _nothing(_: Compare) -> tuple[str | int | None, ...]:
    return ()


def _window(leaf: Compare) -> tuple[str | int | None, ...]:
    return (leaf.window,)


def _of(leaf: Compare) -> tuple[str | int | None, ...]:
    return (leaf.of,)


def _of_window(leaf: Compare) -> tuple[str | int | None, ...]:
    return (leaf.of, leaf.window)


def _trait(leaf: Compare) -> tuple[str | int | None, ...]:
    return (f"trait.{leaf.of}",)


def _name(name: str) -> Given:
    return lambda _: (name,)


def _name_window(name: str) -> Given:
    return lambda leaf: (name, leaf.window)


def age(leaf: Compare) -> int:
    """How long after a fact the comparison turns: its window, or the length of time it asks for."""
    if leaf.window is not None:
        return leaf.window
    assert isinstance(leaf.value, int)
    # `since > x` turns one ms after `since >= x`
    return leaf.value + 1 if leaf.op in (">", "<=") else leaf.value


def _aged(instants: Callable[[Profile], list[int]]) -> Turns:
    return lambda profile, leaf: [at + age(leaf) for at in instants(profile)]


def _from_value(look: Look, since: int, leaf: Compare) -> list[int]:
    return [] if since == NEVER else [look.t - since + age(leaf)]


def _leaving(found: Collection[int], leaf: Compare) -> list[int]:
    """When the count of instants in the window comes to turn the comparison, as the oldest leave one by one."""
    assert isinstance(leaf.value, int)
    n = len(found)
    if n < leaf.value - 1:
        return []
    instants = sorted(found)
    # the k-th oldest leaves n − k behind: the comparison turns where that passes the constant, or is it
    return [instants[k] + age(leaf) for k in (n - leaf.value - 1, n - leaf.value, n - leaf.value + 1) if 0 <= k < n]


def _days_ahead(look: Look, leaf: Compare) -> list[int]:
    return [] if leaf.window is None else _leaving(look.day_instants(), leaf)


def _orders_ahead(look: Look, leaf: Compare) -> list[int]:
    return [] if leaf.window is None else _leaving(look.standing_instants(), leaf)


def _renewals_ahead(look: Look, leaf: Compare) -> list[int]:
    return [] if leaf.window is None else _leaving(renewal_instants(look.profile), leaf)


def _order_instants(profile: Profile) -> list[int]:
    return [order.time for order in profile.orders if order.time is not None]


def _activity_instants(profile: Profile) -> list[int]:
    # what came before the first activity ages too, until that activity: mails that were delivered to silence
    runs, recent = profile.activity, profile.recent
    first = runs[0] if runs else recent[0] if recent else None
    if first is None:
        return fact_instants(profile)
    return [*runs[1::2], *recent, *(at for at in fact_instants(profile) if at < first)]


def _windowed(turns: Turns) -> Turns:
    return lambda profile, leaf: [] if leaf.window is None else turns(profile, leaf)


def _signal(name: str, one: str, says: str) -> tuple[Operand, ...]:
    def kept(profile: Profile) -> list[int]:
        mark = profile.marks.get(name)
        return [] if mark is None else mark.kept

    def known(profile: Profile) -> list[int]:
        mark = profile.marks.get(name)
        if mark is None:
            return []
        return [mark.first, mark.last, *mark.kept] if mark.dropped else mark.kept

    def first(profile: Profile) -> list[int]:
        mark = profile.marks.get(name)
        return [] if mark is None else [first_of(mark)]

    def count_ahead(look: Look, leaf: Compare) -> list[int]:
        found = kept(look.profile)
        return [] if leaf.window is None else _leaving(found[bisect_right(found, look.t - leaf.window) :], leaf)

    def days_ahead(look: Look, leaf: Compare) -> list[int]:
        return _leaving(look.signal_days(name, look.t - age(leaf)).values(), leaf)

    return (
        Operand(name, "count", "may", f"number of {says}", "count", _name_window(name), _windowed(_aged(kept)), count_ahead, name),
        Operand(f"{one}_days", "count", "must", f"different days with {says}", "days", _name_window(name), _aged(kept), days_ahead, name),
        Operand(f"since_last_{one}", "ms", "no", f"how long ago the last of the {says}", "since_last", _name(name), _aged(known), lambda look, leaf: _from_value(look, look.since_last(name), leaf), name),
        Operand(f"since_first_{one}", "ms", "no", f"how long ago the first of the {says}", "since_first", _name(name), _aged(first), lambda look, leaf: _from_value(look, look.since_first(name), leaf), name),
    )  # fmt: skip


def _distinct(name: str, says: str) -> Operand:
    def seen(profile: Profile) -> list[int]:
        return [one.time for one in profile.distinct.get(name, [])]

    def ahead(look: Look, leaf: Compare) -> list[int]:
        return _leaving(look.latest_of_each(name, look.t - age(leaf)).values(), leaf)

    return Operand(name, "count", "must", f"number of {says}", "distinct", _name_window(name), _aged(seen), ahead, name)  # fmt: skip


def _score(name: str, says: str) -> Operand:
    def given(profile: Profile) -> list[int]:
        return [one.time for one in profile.said.get(name, [])]

    def ahead(look: Look, leaf: Compare) -> list[int]:
        found = look.latest(name)
        return [] if found is None or leaf.window is None else [found.time + leaf.window]

    return Operand(name, "score", "may", says, "score", _name_window(name), _windowed(_aged(given)), ahead, name)


OPERANDS: Final[dict[str, Operand]] = {
    operand.name: operand
    for operand in (
        Operand("reached", "flag", "no", "there was a visit (no bot), an ad click or a delivered email", "reached", None),
        Operand("acquired", "flag", "no", "there was a lead, a trial, an account, a ticket, a human click in an email, an address on an event, or an order that was cancelled or refunded in full", "acquired", None, reads="acquired"),
        Operand("customer", "flag", "no", "there is an order that is neither cancelled nor refunded in full, or a subscription was ever started or renewed", "customer", None, reads="purchases"),
        Operand("standing_orders", "count", "may", "orders that are neither cancelled nor refunded in full", "orders_in", _window, _windowed(_aged(_order_instants)), _orders_ahead, "orders"),
        Operand("order_days", "count", "may", "different days with an order that is neither cancelled nor refunded in full", "order_days", _window, _windowed(_aged(_order_instants)), _days_ahead, "orders"),
        Operand("since_last_order", "ms", "no", "how long ago the latest order that is neither cancelled nor refunded in full", "since_last_order", _nothing, _aged(_order_instants), lambda look, leaf: _from_value(look, look.since_last_order(), leaf), "orders"),
        Operand("since_first_order", "ms", "no", "how long ago the first order that is neither cancelled nor refunded in full", "since_first_order", _nothing, _aged(_order_instants), lambda look, leaf: _from_value(look, look.since_first_order(), leaf), "orders"),
        Operand("since_last_purchase", "ms", "no", "how long ago the latest order that is neither cancelled nor refunded in full, or start or renewal of a subscription", "since_last_purchase", _nothing, _aged(purchase_instants), lambda look, leaf: _from_value(look, look.since_last_purchase(), leaf), "purchases"),
        Operand("net_revenue", "money", "may", "what orders brought, less refunds; with a window, those placed in it", "net_revenue", _of_window, _windowed(_aged(_order_instants)), lambda look, leaf: [at + age(leaf) for at in _order_instants(look.profile)] if leaf.window is not None else [], "orders"),
        Operand("subscribed", "flag", "no", "a subscription was ever started or renewed", "is_subscribed", _nothing, reads="subscriptions"),
        Operand("active_subscription", "flag", "no", "a subscription is active", "active_subscription", _nothing, reads="subscriptions"),
        Operand("subscription_renewals", "count", "may", "renewals of subscriptions", "renewals", _window, _windowed(_aged(renewal_instants)), _renewals_ahead, "subscriptions"),
        Operand("subscription_lapsed", "flag", "no", "a subscription has ended, and nothing was bought since", "lapsed", _nothing, reads="purchases"),
        Operand("subscription_expanded", "flag", "no", "an active subscription costs more a month than when it started", "expanded", _nothing, reads="subscriptions"),
        Operand("mrr", "money", "no", "what the active subscriptions cost a month", "mrr", _of, reads="subscriptions"),
        Operand("trial_running", "flag", "no", "a trial has begun and is not over", "trial_running", _nothing, reads="trials"),
        Operand("accounts_closed", "flag", "no", "every known account is closed, and nothing was bought since", "accounts_closed", _nothing, reads="accounts"),
        Operand("since_last_activity", "ms", "no", "how long ago the customer last did something; if never, since reached or acquired began", "since_last_activity", _nothing, _aged(_activity_instants), lambda look, leaf: _from_value(look, look.since_last_activity(), leaf), "activity"),
        *(operand for s in SIGNALS for operand in _signal(s.name, s.one, s.says)),
        *(_distinct(name, says) for name, (says, _, _) in DISTINCT.items()),
        *(_score(name, says) for name, (says, _, _) in SCORES.items()),
        Operand("trait", "text", "no", "what was last said of the trait: a text, or true or false", "text", _trait, reads="trait"),
        Operand("trait_number", "number", "no", "what was last said of the trait, where that is a number", "number", _trait, reads="trait"),
    )
}  # fmt: skip
