"""What one person adds to the sums of which KPIs are made: numerators and denominators, whole numbers all.

Everything is as of the window's end: a refund after it has not happened yet.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from typing import NamedTuple

from lifestage.kpi_gather import DIRECT, Cart, Gather, Lead, Span, Trial
from lifestage.kpi_months import end_of, month_of
from lifestage.ledger import amounts_at, fell_at, net_at, number
from lifestage.look import Terms
from lifestage.moments import DAY_MS
from lifestage.profile import RENEWED, Order, Profile
from lifestage.standing import is_small

Sums = Counter[tuple[str, ...]]
"""By the name of the sum and its label values."""
Spreads = list[tuple[str, str, int]]
"""Single values, of which quantiles are made: name, label value, value."""

HOUR_MS = 3_600_000
ACTIVE_MS = 90 * DAY_MS
"""Who has a standing order no older than this is active, whatever the window."""
TRIAL_MS, LEAD_MS, CART_MS, HELP_MS = 14 * DAY_MS, 90 * DAY_MS, 24 * HOUR_MS, 7 * DAY_MS
"""How long after its end a trial, after its capture a lead, after its last act a cart may bring an order; and how long
before a first order a ticket counts as help."""
BY_CHANNEL = "/channel"
"""At the end of the name of a sum: the same by the channel that the person first came by."""
BY_CAMPAIGN, BY_MAILBOX = "/campaign", "/mailbox"
"""The same of messages by campaign, and of mails by who runs the mailbox; the sums of messages themselves are by their channel."""


class Bought(NamedTuple):
    """What a customer bought in one currency by the end of the window: what lifetime values are made of."""

    key: str
    currency: str
    orders: int
    net_minor: int
    known_net_minor: int
    """Of the orders of whose goods a cost is known."""
    goods_minor: int
    first: int
    """Their first order in any currency, ms."""
    channel: str
    """By which they came first."""
    months: tuple[int, ...]
    """At whose end they were active."""
    is_main: bool
    """Whether it is the currency of their first order: they count once as a customer."""


class Orders:
    """A person's orders as KPIs see them at an instant: those placed by then that stand, and count by the plan."""

    def __init__(self, profile: Profile, t: int, terms: Terms) -> None:
        self.placed = [
            order for order in profile.orders
            if order.time is not None and order.time <= t
            and (terms.min_net is None or not is_small(amounts_at(order, t), terms.min_net))
        ]  # fmt: skip
        self.standing = [order for order in self.placed if fell_at(order, t) is None]
        self.times = sorted(_placed(order) for order in self.standing)
        self.placed_times = sorted(_placed(order) for order in self.placed)
        self.t = t

    def any_in(self, begin: int, end: int) -> bool:
        """Whether a standing order was placed in [begin, end]."""
        return _any_in(self.times, begin, end)

    def active(self) -> bool:
        """Whether there is one in the 90 days up to the instant."""
        return self.any_in(self.t - ACTIVE_MS + 1, self.t)


def _any_in(times: list[int], begin: int, end: int) -> bool:
    return bisect_left(times, begin) < bisect_right(times, end)


def _placed(order: Order) -> int:
    assert order.time is not None
    return order.time


def contribute(found: Gather, profile: Profile, terms: Terms, sums: Sums) -> Spreads:
    """Add what a person's facts say to the sums; their single values are returned."""
    span = found.span
    orders, before = Orders(profile, span.end, terms), Orders(profile, span.begin, terms)
    is_active = orders.active()
    channel = found.channel or DIRECT
    _traffic(found, channel, sums)
    if profile.orders:
        money(orders, span, sums)
        money_by_channel(orders, span, channel, sums)
        customers(orders, before, span, channel, terms, sums)
    _relations(found, orders, is_active, sums)
    _cohorts(found, orders, profile, sums)
    _messages(found, sums)
    return _tickets(found, sums)


def company(found: Gather, sums: Sums) -> None:
    """Add what the facts of nobody say: impressions, and social acts by kind."""
    for name, count in (("impressions", found.impressions), ("ad_clicks", found.ad_clicks)):
        if count:
            sums[(name,)] += count
    for kind, count in found.social.items():
        sums["social_engagement", kind] += count


def _traffic(found: Gather, channel: str, sums: Sums) -> None:
    span = found.span
    company(found, sums)
    leads = [lead for lead in found.leads.values() if span.has(lead.captured)]
    if found.visited:
        sums[("visitors",)] += 1
        sums[("visitors_who_became_leads",)] += bool(leads)
        sums[("sessions",)] += 0
    for session in found.sessions.values():
        if span.has(session.began):
            sums[("sessions",)] += 1
            sums[("pages",)] += session.pages
            sums[("direct_sessions",)] += session.origin is None
            sums["sessions_by_source", *(session.origin or (DIRECT, "none"))] += 1
    if leads or found.visited:
        sums[("leads",)] += len(leads)
    for lead in leads:
        sums["leads" + BY_CHANNEL, channel] += 1
        sums[("qualified_leads",)] += lead.qualified


def money(orders: Orders, span: Span, sums: Sums) -> None:
    """Add what orders placed in the window come to at its end."""
    t = span.end
    standing = {order.id for order in orders.standing}
    for order in orders.placed:
        if not span.has(order.time):
            continue
        total, net, currency = amounts_at(order, t)
        left = net_at(order, t)
        sums["gross_revenue", currency] += total
        stands = order.id in standing
        sums["orders", currency] += stands
        sums["net_revenue", currency] += left if stands else 0
        if order.cancelled_at is None or order.cancelled_at > t:
            sums["net_sold", currency] += net
            sums["net_refunded", currency] += net - left


def money_by_channel(orders: Orders, span: Span, channel: str, sums: Sums) -> None:
    """Add the standing orders of the window, and what they come to, by the channel that the person first came by."""
    for order in orders.standing:
        if span.has(order.time):
            currency = amounts_at(order, span.end)[2]
            sums["orders" + BY_CHANNEL, currency, channel] += 1
            sums["net_revenue" + BY_CHANNEL, currency, channel] += net_at(order, span.end)


def customers(orders: Orders, before: Orders, span: Span, channel: str, terms: Terms, sums: Sums) -> None:
    """Add what somebody with orders is at the end of the window; `before` are those up to its begin."""
    was, is_now = before.active(), orders.active()
    sums[("active_before",)] += was
    sums[("active",)] += is_now
    sums[("retained",)] += was and is_now
    if not orders.times:
        return
    sums[("customers",)] += 1
    is_new = span.has(orders.times[0])
    sums[("new_active",)] += is_new and is_now
    sums[("reactivated",)] += is_now and not was and not is_new
    sums[("new_customers",)] += is_new
    if is_new:
        sums["new_customers" + BY_CHANNEL, channel] += 1
    within = [time for time in orders.times if span.has(time)]
    if within:
        sums[("buyers",)] += 1
        sums[("repeat_buyers",)] += len({(time + terms.day_zone) // DAY_MS for time in within}) >= 2
        sums[("repeat_buyers_by_orders",)] += len(within) >= 2
        sums[("returning_customers",)] += not is_new


def _relations(found: Gather, orders: Orders, is_active: bool, sums: Sums) -> None:
    span = found.span
    for metric, (time, score) in found.answers.items():
        if span.has(time):
            sums[(f"{metric}_answers",)] += 1
            if metric == "nps":
                sums[("promoters",)] += score >= 9000
                sums[("detractors",)] += score <= 6000
            elif metric == "csat":
                sums[("satisfied",)] += score >= 4000
            else:
                sums[("ces_thousandths",)] += score
    if is_active:
        time, score = found.answers.get("nps", (span.begin, 0))
        sums[("advocates",)] += found.promotes or (span.has(time) and score >= 9000)
        acts = sum(1 for session in found.sessions.values() if span.has(session.began))
        sums[("acts_of_active",)] += acts + found.acts
    if orders.times:
        first = orders.times[0]
        sums[("customers_who_referred",)] += found.won
        if span.has(first):
            sums[("new_customers_referred",)] += found.was_referred
            helped = any(first - HELP_MS <= asked <= first for asked in found.asked_for_help)
            sums[("first_orders_after_ticket",)] += helped


def _cohorts(found: Gather, orders: Orders, profile: Profile, sums: Sums) -> None:
    for lead in found.leads.values():
        _lead(lead, found.span, orders, sums)
    if found.trials:
        purchases = sorted([*orders.times, *_subscribed(profile, orders.t)])
        for trial in found.trials.values():
            _trial(trial, found.span, purchases, sums)
    for cart in found.carts.values():
        _cart(cart, found.span, orders, sums)


def _subscribed(profile: Profile, t: int) -> list[int]:
    return [act.time for one in profile.subscriptions for act in one.acts if act.kind <= RENEWED and act.time <= t]


def _lead(lead: Lead, span: Span, orders: Orders, sums: Sums) -> None:
    if span.has(lead.captured):
        end = lead.captured + LEAD_MS
        bought = orders.any_in(lead.captured, min(end, span.end))
        sums[("leads_who_bought",)] += bought
        sums[("leads_open",)] += not bought and not span.is_over(end)


def _trial(trial: Trial, span: Span, purchases: list[int], sums: Sums) -> None:
    if trial.started is None or not span.has(trial.begins):
        return
    ends = [at for at in (trial.ends, trial.ended) if at is not None]
    end = min(ends) + TRIAL_MS if ends else None
    until = span.end if end is None else min(end, span.end)
    at = bisect_left(purchases, trial.started)
    paid = at < len(purchases) and purchases[at] <= until
    paid = paid or (trial.converted is not None and trial.started <= trial.converted <= until)
    sums[("trials",)] += 1
    sums[("trials_paid",)] += paid
    sums[("trials_open",)] += not paid and (end is None or not span.is_over(end))


def _cart(cart: Cart, span: Span, orders: Orders, sums: Sums) -> None:
    if span.has(cart.first):
        end = cart.last + CART_MS
        ordered = _any_in(orders.placed_times, cart.first, end)
        if ordered or span.is_over(end):
            sums[("carts",)] += 1
            sums[("carts_abandoned",)] += not ordered
    if span.has(cart.checkout):
        for step in range(1, cart.furthest + 1):
            sums["carts_at_step", str(step)] += 1
            if step > 1:
                sums["carts_past_step", str(step - 1)] += 1


_OF_SENT = {"delivered": "messages_delivered_of_sent", "bounced": "messages_bounced"}
_OF_DELIVERED = {
    "opened": "messages_opened",
    "clicked": "messages_clicked",
    "complained": "messages_complained",
    "unsubscribed": "messages_unsubscribed",
}


def named_by(channel: str, mailbox: str, campaign: str) -> tuple[tuple[str, str], ...]:
    """By what the sums of a message are told: the end of their names, and the label."""
    told = ("", channel), (BY_CAMPAIGN, campaign)
    return (*told, (BY_MAILBOX, mailbox)) if mailbox else told


def _messages(found: Gather, sums: Sums) -> None:
    span = found.span
    for told, happened in found.messages.values():
        labels = named_by(told.channel, told.mailbox, told.campaign)
        for base, total, parts in (
            ("sent", "messages_sent", _OF_SENT),
            ("delivered", "messages_delivered", _OF_DELIVERED),
        ):
            if span.has(happened.get(base)):
                for by, label in labels:
                    sums[total + by, label] += 1
                    for event, name in parts.items():
                        sums[name + by, label] += event in happened


def _tickets(found: Gather, sums: Sums) -> Spreads:
    span, spreads = found.span, Spreads()
    for ticket in found.tickets.values():
        if ticket.solved is not None and span.has(ticket.solved):
            sums[("tickets_solved",)] += 1
            sums[("tickets_solved_by_bot",)] += ticket.by_bot
            if ticket.created is not None and ticket.created <= ticket.solved:
                spreads.append(("resolution_time", "", ticket.solved - ticket.created))
        if ticket.created is not None and ticket.replied is not None and span.has(ticket.replied):
            spreads.append(("response_time", "", ticket.replied - ticket.created))
    return spreads


def bought(key: str, found: Gather, profile: Profile, terms: Terms, id_key: bytes) -> list[Bought]:
    """What a person bought up to the end of the window, by currency: nothing of who has no standing order."""
    t = found.span.end
    orders = Orders(profile, t, terms)
    if not orders.times:
        return []
    goods = {number(source, order, id_key): minor for (source, order), minor in found.goods.items()}
    by_currency: defaultdict[str, list[Order]] = defaultdict(list)
    for order in orders.standing:
        by_currency[amounts_at(order, t)[2]].append(order)
    main = min(orders.standing, key=lambda order: (_placed(order), order.id))
    months = _active_months(orders)
    return [
        Bought(
            key=key,
            currency=currency,
            orders=len(theirs),
            net_minor=sum(net_at(order, t) for order in theirs),
            known_net_minor=sum(net_at(order, t) for order in theirs if order.id in goods),
            goods_minor=sum(goods.get(order.id, 0) for order in theirs),
            first=orders.times[0],
            channel=found.channel or DIRECT,
            months=months,
            is_main=main in theirs,
        )
        for currency, theirs in sorted(by_currency.items())
    ]


def _active_months(orders: Orders) -> tuple[int, ...]:
    """The months at whose end, or in the last one at the instant, an order of the 90 days before stands."""
    found = set()
    last = month_of(orders.t)
    for time in orders.times:
        for month in range(month_of(time), last + 1):
            if min(end_of(month), orders.t) - time >= ACTIVE_MS:
                break
            found.add(month)
    return tuple(sorted(found))
