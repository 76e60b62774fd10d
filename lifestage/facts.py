"""Facts: accepted events about one customer, as they stand in the log.

Times are integer milliseconds UTC, money is integer minor units beside an ISO 4217 code. No address is in a
fact: `email` is the key form `email:<32 hex>`. The encoding is an array; fields are only ever appended, with a
default, so that an old log stays readable: those of one kind to its class, those of every kind to `Further`.
"""

from __future__ import annotations

import msgspec


class Context(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Where an event came from, as the sender said it."""

    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    term: str | None = None
    content: str | None = None
    referrer: str | None = None
    url: str | None = None
    user_agent: str | None = None
    locale: str | None = None
    timezone: str | None = None
    device: str | None = None


class Consent(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What the customer allowed."""

    marketing: bool | None = None
    analytics: bool | None = None


class Experiment(msgspec.Struct, frozen=True, array_like=True):
    """The experiment and variant that the event was part of."""

    id: str
    variant: str


class Item(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One line of an order; `unit_price_minor` in the order's currency."""

    product_id: str | None = None
    name: str | None = None
    category: str | None = None
    qty: int = 1
    unit_price_minor: int | None = None


class Further(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What later versions add to every fact: appended here, since what stands in `Fact` comes before each kind's own."""


class Fact(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """What every fact has. The highest id present is the customer's key (`lifestage.keys`)."""

    time: int
    source: str
    id: str
    customer_id: str | None = None
    email: str | None = None
    anonymous_id: str | None = None
    account_id: str | None = None
    bot: bool = False
    context: Context | None = None
    consent: Consent | None = None
    experiment: Experiment | None = None
    further: Further | None = None


class WebVisit(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=1):
    """A page was visited."""

    url: str
    session_id: str | None = None
    path: str | None = None
    title: str | None = None
    referrer: str | None = None
    entry: bool | None = None
    duration_s: float | None = None
    pages: int = 1
    page_type: str | None = None
    product_id: str | None = None


class AdClick(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=2):
    """An advertisement was clicked."""

    campaign_id: str
    channel: str | None = None
    count: int = 1


class LeadCaptured(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=3):
    """Somebody left their details in a form."""

    lead_id: str
    form: str
    offer: str | None = None
    qualified: bool | None = None
    score: float | None = None


class EmailEvent(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=4):
    """Something happened to a message. `event` is one of semantics §5's words; `email` is the recipient."""

    message_id: str
    event: str
    channel: str = "email"
    campaign_id: str | None = None
    list_id: str | None = None
    reject_reason: str | None = None
    bounce_type: str | None = None
    click_url: str | None = None
    machine: bool = False


class OrderCompleted(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=5):
    """An order was paid. `total_minor` is what was paid, `net_minor` is without tax and shipping."""

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


AnyFact = WebVisit | AdClick | LeadCaptured | EmailEvent | OrderCompleted | OrderRefunded | OrderCancelled

TYPES: dict[type[Fact], str] = {
    WebVisit: "web.visit",
    AdClick: "ad.click",
    LeadCaptured: "lead.captured",
    EmailEvent: "email.event",
    OrderCompleted: "order.completed",
    OrderRefunded: "order.refunded",
    OrderCancelled: "order.cancelled",
}
"""The wire name of each fact's type, for counters, documents and tests."""

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
"""A fact as the bytes that stand in the log."""
decode = msgspec.msgpack.Decoder(AnyFact).decode
"""The fact in a log record's payload. Raises `msgspec.DecodeError` on foreign bytes."""
