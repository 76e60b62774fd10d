"""What every fact has: an accepted event, as it stands in the log. The kinds are in `lifestage.facts`.

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
