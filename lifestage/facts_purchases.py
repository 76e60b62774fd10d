"""Facts of money: orders, refunds, subscriptions, costs."""

from __future__ import annotations

from lifestage.fact import Fact, Item


class OrderStated(Fact, frozen=True, array_like=True, kw_only=True, gc=False):
    """What an order was said to be, in minor units. `total_minor` is what was paid, `net_minor` is without tax and shipping."""

    order_id: str
    currency: str
    total_minor: int
    net_minor: int
    tax_minor: int | None = None
    shipping_minor: int | None = None
    discount_minor: int | None = None
    cost_of_goods_minor: int | None = None
    coupon: str | None = None
    items: tuple[Item, ...] = ()
    channel: str | None = None
    referral_code: str | None = None


class OrderCompleted(OrderStated, frozen=True, array_like=True, kw_only=True, gc=False, tag=5):
    """An order was paid."""


class OrderUpdated(OrderStated, frozen=True, array_like=True, kw_only=True, gc=False, tag=17):
    """The fields of an order, which from this instant on replace those before."""


class OrderRefunded(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=6):
    """Money of an order was given back. `currency` None: that of the order; the amount then has 2 digits."""

    refund_id: str
    order_id: str
    amount_minor: int
    currency: str | None = None
    reason: str | None = None


class OrderCancelled(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=7):
    """An order no longer stands from this instant on."""

    order_id: str
    reason: str | None = None


class SubscriptionAct(Fact, frozen=True, array_like=True, kw_only=True, gc=False):
    """What happened to a subscription. `mrr_minor` is per month; `effective_at` (ms) None: at once."""

    subscription_id: str
    plan: str | None = None
    mrr_minor: int | None = None
    currency: str | None = None
    effective_at: int | None = None
    reason: str | None = None


class SubscriptionStarted(SubscriptionAct, frozen=True, array_like=True, kw_only=True, gc=False, tag=18):
    """A subscription began."""


class SubscriptionRenewed(SubscriptionAct, frozen=True, array_like=True, kw_only=True, gc=False, tag=19):
    """A subscription was renewed."""


class SubscriptionChanged(SubscriptionAct, frozen=True, array_like=True, kw_only=True, gc=False, tag=20):
    """Plan or price of a subscription changed."""


class SubscriptionCancelled(SubscriptionAct, frozen=True, array_like=True, kw_only=True, gc=False, tag=21):
    """A subscription was cancelled; it ends at `effective_at`, or at once."""


class CostRecorded(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=32):
    """Money was spent for customers in [`period_start`, `period_end`), ms, spread evenly. It belongs to the company."""

    cost_id: str
    amount_minor: int
    currency: str
    category: str
    period_start: int
    period_end: int
    channel: str | None = None
    campaign_id: str | None = None
