"""One valid event of each kind, as a sender would write it, and the decoder that the tests of the door use."""

from __future__ import annotations

import json
from typing import Any

from lifestage.decode import Decoder, Refusal
from lifestage.envelopes import Headers
from lifestage.facts import Fact

SECRET = b"a secret of the tests, 32 bytes."
TIME = "2024-02-29T12:00:00Z"
TIME_MS = 1_709_208_000_000

COMMON: dict[str, Any] = {"id": "e1", "source": "shop", "time": TIME, "customer_id": "c1"}

EVENTS: dict[str, dict[str, Any]] = {
    "web.visit": {"url": "https://shop.example/p/1", "session_id": "s1", "pages": 2, "page_type": "product"},
    "ad.impression": {"campaign_id": "spring", "channel": "search", "count": 40},
    "ad.click": {"campaign_id": "spring", "channel": "search"},
    "social.engagement": {"campaign_id": "spring", "kind": "share", "count": 3},
    "lead.captured": {"lead_id": "l1", "form": "newsletter", "qualified": True, "score": 7},
    "trial.started": {"trial_id": "t1", "plan": "team", "starts_at": TIME, "ends_at": "2024-03-14T12:00:00Z"},
    "trial.ended": {"trial_id": "t1", "plan": "team", "ends_at": TIME_MS, "converted": True},
    "account.created": {"account_id": "acme", "plan": "team"},
    "account.closed": {"account_id": "acme", "reason": "moved"},
    "feature.used": {"feature": "export", "plan": "team"},
    "cart.updated": {"cart_id": "k1", "value": "59.80", "currency": "EUR"},
    "checkout.step": {"cart_id": "k1", "step": "2", "name": "payment", "value": 59.8, "currency": "EUR"},
    "email.event": {"message_id": "m1", "event": "delivered", "recipient": "ann@example.com"},
    "order.completed": {
        "order_id": "o1",
        "currency": "EUR",
        "total": "119.00",
        "tax": "19.00",
        "items": [{"product_id": "p1", "qty": 2, "unit_price": "50.00"}],
    },
    "order.updated": {"order_id": "o1", "currency": "EUR", "total": "59.50", "tax": "9.50", "shipping": "5"},
    "order.refunded": {"refund_id": "r1", "order_id": "o1", "amount": "19.99", "currency": "EUR"},
    "order.cancelled": {"order_id": "o1", "reason": "changed my mind"},
    "subscription.started": {"subscription_id": "u1", "plan": "team", "mrr": "29.00", "currency": "EUR"},
    "subscription.renewed": {"subscription_id": "u1", "plan": "team", "mrr": 29, "currency": "EUR"},
    "subscription.changed": {"subscription_id": "u1", "mrr": "7900", "currency": "JPY", "effective_at": TIME},
    "subscription.cancelled": {"subscription_id": "u1", "effective_at": "2024-03-31T00:00:00+02:00", "reason": "price"},
    "feedback.received": {"survey_id": "q1", "metric": "nps", "score": 9, "text": "good"},
    "referral.sent": {"referral_id": "f1", "referrer_id": "c1", "referred_id": "bob@example.com"},
    "referral.converted": {"referral_id": "f1", "referrer_id": "c1", "referred_id": 7},
    "review.posted": {"rating": 4.5, "product_id": "p1"},
    "community.activity": {"kind": "answer"},
    "loyalty.points": {"kind": "earned", "points": 54, "balance": 154.5, "tier": "silver"},
    "ticket.created": {"ticket_id": "i1", "channel": "chat", "priority": "high", "by": "customer"},
    "ticket.replied": {"ticket_id": "i1", "by": "agent"},
    "ticket.solved": {"ticket_id": "i1", "by": "bot"},
    "ticket.reopened": {"ticket_id": "i1", "channel": "chat"},
    "cost.recorded": {
        "cost_id": "g1",
        "amount": "1800.00",
        "currency": "EUR",
        "category": "marketing",
        "period_start": "2024-02-01T00:00:00Z",
        "period_end": "2024-03-01T00:00:00Z",
        "channel": "search",
    },
    "profile.updated": {"traits": {"country": "IE", "employees": 12, "newsletter": True, "nickname": None}},
    "consent.changed": {"purposes": {"marketing": False, "analytics": True}},
    "identity.linked": {"ids": ["c1", "Ann@example.com", "anon:a1"]},
    "identity.merged": {"ids": ["c2", "c1", "ann@example.com", "anon:a1", 7], "into": "c1"},
    "identity.split": {"ids": ["c1", "ann@example.com"]},
}

REQUIRED: dict[str, list[str]] = {
    "web.visit": ["url"],
    "ad.impression": ["campaign_id"],
    "ad.click": ["campaign_id"],
    "social.engagement": ["campaign_id"],
    "lead.captured": ["lead_id", "form"],
    "trial.started": ["trial_id"],
    "trial.ended": ["trial_id"],
    "account.created": ["account_id"],
    "account.closed": ["account_id"],
    "feature.used": ["feature"],
    "cart.updated": ["cart_id"],
    "checkout.step": ["cart_id"],
    "email.event": ["message_id", "event"],
    "order.completed": ["order_id", "currency", "total"],
    "order.updated": ["order_id", "currency", "total"],
    "order.refunded": ["refund_id", "order_id", "amount"],
    "order.cancelled": ["order_id"],
    "subscription.started": ["subscription_id"],
    "subscription.renewed": ["subscription_id"],
    "subscription.changed": ["subscription_id"],
    "subscription.cancelled": ["subscription_id"],
    "feedback.received": ["survey_id", "metric", "score"],
    "referral.sent": ["referral_id", "referrer_id"],
    "referral.converted": ["referral_id", "referrer_id"],
    "review.posted": [],
    "community.activity": [],
    "loyalty.points": [],
    "ticket.created": ["ticket_id"],
    "ticket.replied": ["ticket_id"],
    "ticket.solved": ["ticket_id"],
    "ticket.reopened": ["ticket_id"],
    "cost.recorded": ["cost_id", "amount", "currency", "category", "period_start", "period_end"],
    "profile.updated": ["traits"],
    "consent.changed": ["purposes"],
    "identity.linked": [],
    "identity.merged": ["ids"],
    "identity.split": ["ids"],
}
"""What each kind must say beside id, source, type, time and an id of a person."""


def event(kind: str = "web.visit", /, **changes: Any) -> dict[str, Any]:
    """The sample of `kind` with `changes`; a change to `...` takes the field away."""
    fields = {**COMMON, "type": kind, **EVENTS.get(kind, {}), **changes}
    return {name: value for name, value in fields.items() if value is not ...}


def encoded(kind: str = "web.visit", /, **changes: Any) -> bytes:
    """`event` as the bytes of a record."""
    return json.dumps(event(kind, **changes), ensure_ascii=False).encode()


def decoded(
    value: bytes | None, appended_ms: int | None = TIME_MS, headers: Headers = (), **settings: Any
) -> Fact | Refusal:
    """What the door makes of `value`."""
    return Decoder(SECRET, **settings).decode(value, appended_ms, headers)


def accepted(kind: str = "web.visit", /, **changes: Any) -> Any:
    """The fact of the sample with `changes`; fails with the refusal's message where there is none."""
    fact = decoded(encoded(kind, **changes))
    assert isinstance(fact, Fact), fact
    return fact


def refused(kind: str = "web.visit", /, **changes: Any) -> Refusal:
    """The refusal of the sample with `changes`."""
    refusal = decoded(encoded(kind, **changes))
    assert isinstance(refusal, Refusal), refusal
    return refusal
