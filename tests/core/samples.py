"""One valid event of each kind, as a sender would write it, and the decoder that the tests of the door use."""

from __future__ import annotations

import json
from typing import Any

from lifestage.decode import Decoder, Refusal
from lifestage.facts import Fact

SECRET = b"a secret of the tests, 32 bytes."
TIME = "2024-02-29T12:00:00Z"
TIME_MS = 1_709_208_000_000

COMMON: dict[str, Any] = {"id": "e1", "source": "shop", "time": TIME, "customer_id": "c1"}

EVENTS: dict[str, dict[str, Any]] = {
    "web.visit": {"url": "https://shop.example/p/1", "session_id": "s1", "pages": 2, "page_type": "product"},
    "ad.click": {"campaign_id": "spring", "channel": "search"},
    "lead.captured": {"lead_id": "l1", "form": "newsletter", "qualified": True, "score": 7},
    "email.event": {"message_id": "m1", "event": "delivered", "recipient": "ann@example.com"},
    "order.completed": {
        "order_id": "o1",
        "currency": "EUR",
        "total": "119.00",
        "tax": "19.00",
        "items": [{"product_id": "p1", "qty": 2, "unit_price": "50.00"}],
    },
    "order.refunded": {"refund_id": "r1", "order_id": "o1", "amount": "19.99", "currency": "EUR"},
    "order.cancelled": {"order_id": "o1", "reason": "changed my mind"},
}


def event(kind: str = "web.visit", **changes: Any) -> dict[str, Any]:
    """The sample of `kind` with `changes`; a change to `...` takes the field away."""
    fields = {**COMMON, "type": kind, **EVENTS.get(kind, {}), **changes}
    return {name: value for name, value in fields.items() if value is not ...}


def encoded(kind: str = "web.visit", **changes: Any) -> bytes:
    """`event` as the bytes of a record."""
    return json.dumps(event(kind, **changes), ensure_ascii=False).encode()


def decoded(value: bytes | None, appended_ms: int | None = TIME_MS, **settings: Any) -> Fact | Refusal:
    """What the door makes of `value`."""
    return Decoder(SECRET, **settings).decode(value, appended_ms)


def accepted(kind: str = "web.visit", **changes: Any) -> Any:
    """The fact of the sample with `changes`; fails with the refusal's message where there is none."""
    fact = decoded(encoded(kind, **changes))
    assert isinstance(fact, Fact), fact
    return fact


def refused(kind: str = "web.visit", **changes: Any) -> Refusal:
    """The refusal of the sample with `changes`."""
    refusal = decoded(encoded(kind, **changes))
    assert isinstance(refusal, Refusal), refusal
    return refusal
