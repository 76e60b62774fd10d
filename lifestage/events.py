"""The events of the wire, one struct for each type, and how each becomes a fact.

Lengths and ranges are checked while parsing; what needs several fields is checked in `fact`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from lifestage import facts
from lifestage.amounts import ABSENT, amount, digits_of, required
from lifestage.invalid import InvalidError
from lifestage.wire import (
    Address,
    Channel,
    Count,
    Duration,
    Event,
    Happening,
    Id,
    Minor,
    Name,
    PageType,
    RequiredId,
    RequiredName,
    RequiredText,
    Score,
    Status,
)


class WebVisit(Event, kw_only=True, gc=False, tag="web.visit"):
    """`web.visit`."""

    url: RequiredText
    session_id: Id | None = None
    path: str | None = None
    title: str | None = None
    referrer: str | None = None
    entry: bool | None = None
    duration_s: Duration = None
    pages: Count = None
    page_type: PageType | None = None
    product_id: Id | None = None

    def fact(self, common: dict[str, Any]) -> facts.WebVisit:
        """As it stands; one page unless it says otherwise."""
        return facts.WebVisit(
            url=self.url,
            session_id=self.session_id or None,
            path=self.path,
            title=self.title,
            referrer=self.referrer,
            entry=self.entry,
            duration_s=self.duration_s,
            pages=self.pages or 1,
            page_type=self.page_type,
            product_id=self.product_id or None,
            **common,
        )


class AdClick(Event, kw_only=True, gc=False, tag="ad.click"):
    """`ad.click`."""

    campaign_id: RequiredId
    channel: Name | None = None
    count: Count = None

    def fact(self, common: dict[str, Any]) -> facts.AdClick:
        """As it stands; one click unless it says otherwise."""
        return facts.AdClick(
            campaign_id=self.campaign_id, channel=self.channel or None, count=self.count or 1, **common
        )


class LeadCaptured(Event, kw_only=True, gc=False, tag="lead.captured"):
    """`lead.captured`."""

    lead_id: RequiredId
    form: RequiredName
    offer: Id | None = None
    qualified: bool | None = None
    score: Score = None

    def fact(self, common: dict[str, Any]) -> facts.LeadCaptured:
        """As it stands."""
        return facts.LeadCaptured(
            lead_id=self.lead_id,
            form=self.form,
            offer=self.offer or None,
            qualified=self.qualified,
            score=self.score,
            **common,
        )


class EmailEvent(Event, kw_only=True, gc=False, tag="email.event"):
    """`email.event`."""

    message_id: RequiredId
    event: Happening
    recipient: Address | None = None
    channel: Channel | None = None
    campaign_id: Id | None = None
    list_id: Id | None = None
    reject_reason: str | None = None
    bounce_type: Name | None = None
    click_url: str | None = None
    machine: bool | None = None

    def address(self) -> str | None:
        """`email`, else the recipient: an address, or what stands for one on another channel, such as a number."""
        if self.email is not None and "@" in self.email:
            return self.email
        if self.recipient is not None and ("@" in self.recipient or (self.channel or "email") != "email"):
            return self.recipient
        return None

    def fact(self, common: dict[str, Any]) -> facts.EmailEvent:
        """As it stands; channel `email` and a human unless it says otherwise."""
        return facts.EmailEvent(
            message_id=self.message_id,
            event=self.event,
            channel=self.channel or "email",
            campaign_id=self.campaign_id or None,
            list_id=self.list_id or None,
            reject_reason=self.reject_reason,
            bounce_type=self.bounce_type or None,
            click_url=self.click_url,
            machine=self.machine or False,
            **common,
        )


class Item(msgspec.Struct, gc=False):
    """One of the `items` of an order."""

    product_id: Id | None = None
    name: str | None = None
    category: str | None = None
    qty: Count = None
    unit_price: Raw = ABSENT
    unit_price_minor: Minor = None

    def fact(self, place: str, digits: int) -> facts.Item:
        """As it stands; one piece unless it says otherwise."""
        return facts.Item(
            product_id=self.product_id or None,
            name=self.name,
            category=self.category,
            qty=self.qty or 1,
            unit_price_minor=amount(f"{place}.unit_price", self.unit_price, self.unit_price_minor, digits),
        )


class OrderCompleted(Event, kw_only=True, gc=False, tag="order.completed"):
    """`order.completed`. An amount is a decimal string or a number in major units, or an integer `…_minor`."""

    order_id: RequiredId
    currency: str
    status: Status | None = None
    total: Raw = ABSENT
    total_minor: Minor = None
    net: Raw = ABSENT
    net_minor: Minor = None
    tax: Raw = ABSENT
    tax_minor: Minor = None
    shipping: Raw = ABSENT
    shipping_minor: Minor = None
    discount: Raw = ABSENT
    discount_minor: Minor = None
    cost_of_goods: Raw = ABSENT
    cost_of_goods_minor: Minor = None
    coupon: Id | None = None
    items: list[Item] | None = None
    channel: Name | None = None
    referral_code: Id | None = None

    def fact(self, common: dict[str, Any]) -> facts.OrderCompleted:
        """With all amounts in minor units. Net is total − tax − shipping unless given, and never below 0."""
        digits = digits_of(self.currency)
        total = required(amount("$.total", self.total, self.total_minor, digits), "$.total")
        net = amount("$.net", self.net, self.net_minor, digits)
        tax = amount("$.tax", self.tax, self.tax_minor, digits)
        shipping = amount("$.shipping", self.shipping, self.shipping_minor, digits)
        return facts.OrderCompleted(
            order_id=self.order_id,
            currency=self.currency,
            total_minor=total,
            net_minor=max(0, total - (tax or 0) - (shipping or 0)) if net is None else net,
            tax_minor=tax,
            shipping_minor=shipping,
            discount_minor=amount("$.discount", self.discount, self.discount_minor, digits),
            cost_of_goods_minor=amount("$.cost_of_goods", self.cost_of_goods, self.cost_of_goods_minor, digits),
            coupon=self.coupon or None,
            items=tuple(item.fact(f"$.items[{n}]", digits) for n, item in enumerate(self.items or ())),
            channel=self.channel or None,
            referral_code=self.referral_code or None,
            **common,
        )


class OrderRefunded(Event, kw_only=True, gc=False, tag="order.refunded"):
    """`order.refunded`."""

    refund_id: RequiredId
    order_id: RequiredId
    amount: Raw = ABSENT
    amount_minor: Minor = None
    currency: str | None = None
    reason: str | None = None

    def fact(self, common: dict[str, Any]) -> facts.OrderRefunded:
        """Without a currency the amount is read with two digits; minor units then mean nothing and are refused."""
        if self.currency is None and self.amount_minor is not None:
            raise InvalidError("missing_field", "$.currency", "a currency beside amount_minor", "nothing")
        digits = 2 if self.currency is None else digits_of(self.currency)
        return facts.OrderRefunded(
            refund_id=self.refund_id,
            order_id=self.order_id,
            amount_minor=required(amount("$.amount", self.amount, self.amount_minor, digits), "$.amount"),
            currency=self.currency,
            reason=self.reason,
            **common,
        )


class OrderCancelled(Event, kw_only=True, gc=False, tag="order.cancelled"):
    """`order.cancelled`."""

    order_id: RequiredId
    reason: str | None = None

    def fact(self, common: dict[str, Any]) -> facts.OrderCancelled:
        """As it stands."""
        return facts.OrderCancelled(order_id=self.order_id, reason=self.reason, **common)


AnyEvent = WebVisit | AdClick | LeadCaptured | EmailEvent | OrderCompleted | OrderRefunded | OrderCancelled

KINDS: Final = tuple(facts.TYPES.values())
"""The types that become facts."""

UNSUPPORTED: Final = frozenset({
    "ad.impression", "social.engagement", "trial.started", "trial.ended", "account.created", "account.closed",
    "feature.used", "cart.updated", "checkout.step", "order.updated", "subscription.started",
    "subscription.renewed", "subscription.changed", "subscription.cancelled", "feedback.received", "referral.sent",
    "referral.converted", "review.posted", "community.activity", "loyalty.points", "ticket.created",
    "ticket.replied", "ticket.solved", "ticket.reopened", "cost.recorded", "profile.updated", "consent.changed",
    "identity.linked", "identity.merged", "identity.split", "privacy.erase", "privacy.export",
})  # fmt: skip
"""The other types of the contract: refused, never accepted and ignored."""
