"""Events of money: orders, refunds, subscriptions, costs."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from msgspec import Raw

from lifestage import facts, moments
from lifestage.amounts import ABSENT, amount, amount_beside, digits_of, required
from lifestage.invalid import InvalidError
from lifestage.wire import (
    CostCategory,
    Count,
    Event,
    Id,
    Instant,
    Minor,
    Name,
    Owner,
    RequiredId,
    Status,
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


class Order(Event, kw_only=True, gc=False):
    """What the events of an order have. An amount is a decimal string or a number in major units, or an integer `…_minor`."""

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

    def said(self) -> dict[str, Any]:
        """The order with all amounts in minor units. Net is total − tax − shipping unless given, and never below 0."""
        digits = digits_of(self.currency)
        total = required(amount("$.total", self.total, self.total_minor, digits), "$.total")
        net = amount("$.net", self.net, self.net_minor, digits)
        tax = amount("$.tax", self.tax, self.tax_minor, digits)
        shipping = amount("$.shipping", self.shipping, self.shipping_minor, digits)
        return {
            "order_id": self.order_id,
            "currency": self.currency,
            "total_minor": total,
            "net_minor": max(0, total - (tax or 0) - (shipping or 0)) if net is None else net,
            "tax_minor": tax,
            "shipping_minor": shipping,
            "discount_minor": amount("$.discount", self.discount, self.discount_minor, digits),
            "cost_of_goods_minor": amount("$.cost_of_goods", self.cost_of_goods, self.cost_of_goods_minor, digits),
            "coupon": self.coupon or None,
            "items": tuple(item.fact(f"$.items[{n}]", digits) for n, item in enumerate(self.items or ())),
            "channel": self.channel or None,
            "referral_code": self.referral_code or None,
        }


class OrderCompleted(Order, kw_only=True, gc=False, tag="order.completed"):
    """`order.completed`."""

    def fact(self, common: dict[str, Any]) -> facts.OrderCompleted:
        """As `said`."""
        return facts.OrderCompleted(**(common | self.said()))


class OrderUpdated(Order, kw_only=True, gc=False, tag="order.updated"):
    """`order.updated`."""

    def fact(self, common: dict[str, Any]) -> facts.OrderUpdated:
        """As `said`."""
        return facts.OrderUpdated(**(common | self.said()))


class OrderRefunded(Event, kw_only=True, gc=False, tag="order.refunded"):
    """`order.refunded`."""

    owner: ClassVar[Owner] = "thing"
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

    owner: ClassVar[Owner] = "thing"
    order_id: RequiredId
    reason: str | None = None

    def fact(self, common: dict[str, Any]) -> facts.OrderCancelled:
        """As it stands."""
        return facts.OrderCancelled(order_id=self.order_id, reason=self.reason, **common)


class Subscription(Event, kw_only=True, gc=False):
    """What the acts of a subscription have. `mrr` is money a month, and needs the currency that it is in."""

    subscription_id: RequiredId
    plan: Name | None = None
    mrr: Raw = ABSENT
    mrr_minor: Minor = None
    currency: str | None = None
    effective_at: Instant | None = None
    reason: str | None = None

    def said(self) -> dict[str, Any]:
        """The act with its amount in minor units and its instant in ms; None where nothing was said."""
        return {
            "subscription_id": self.subscription_id,
            "plan": self.plan or None,
            "mrr_minor": amount_beside("$.mrr", self.mrr, self.mrr_minor, self.currency),
            "currency": self.currency,
            "effective_at": moments.optional("$.effective_at", self.effective_at),
            "reason": self.reason,
        }


class SubscriptionStarted(Subscription, kw_only=True, gc=False, tag="subscription.started"):
    """`subscription.started`."""

    def fact(self, common: dict[str, Any]) -> facts.SubscriptionStarted:
        """As `said`."""
        return facts.SubscriptionStarted(**common, **self.said())


class SubscriptionRenewed(Subscription, kw_only=True, gc=False, tag="subscription.renewed"):
    """`subscription.renewed`."""

    def fact(self, common: dict[str, Any]) -> facts.SubscriptionRenewed:
        """As `said`."""
        return facts.SubscriptionRenewed(**common, **self.said())


class SubscriptionChanged(Subscription, kw_only=True, gc=False, tag="subscription.changed"):
    """`subscription.changed`."""

    def fact(self, common: dict[str, Any]) -> facts.SubscriptionChanged:
        """As `said`."""
        return facts.SubscriptionChanged(**common, **self.said())


class SubscriptionCancelled(Subscription, kw_only=True, gc=False, tag="subscription.cancelled"):
    """`subscription.cancelled`."""

    def fact(self, common: dict[str, Any]) -> facts.SubscriptionCancelled:
        """As `said`."""
        return facts.SubscriptionCancelled(**common, **self.said())


class CostRecorded(Event, kw_only=True, gc=False, tag="cost.recorded"):
    """`cost.recorded`."""

    owner: ClassVar[Owner] = "company"
    cost_id: RequiredId
    amount: Raw = ABSENT
    amount_minor: Minor = None
    currency: str
    category: CostCategory
    period_start: Instant
    period_end: Instant
    channel: Name | None = None
    campaign_id: Id | None = None

    def fact(self, common: dict[str, Any]) -> facts.CostRecorded:
        """In minor units and ms, without the ids of a person. Refused unless the period begins before it ends."""
        digits = digits_of(self.currency)
        start = moments.instant("$.period_start", self.period_start)
        end = moments.instant("$.period_end", self.period_end)
        if start >= end:
            after = f"an instant after period_start, {moments.iso(start)}"
            raise InvalidError("out_of_range", "$.period_end", after, moments.iso(end))
        return facts.CostRecorded(
            cost_id=self.cost_id,
            amount_minor=required(amount("$.amount", self.amount, self.amount_minor, digits), "$.amount"),
            currency=self.currency,
            category=self.category,
            period_start=start,
            period_end=end,
            channel=self.channel or None,
            campaign_id=self.campaign_id or None,
            **(common | {"customer_id": None, "email": None, "anonymous_id": None}),
        )
