"""Events of a few people who go by several ids, by chance."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.core.histories import START
from tests.core.oracle import DAY
from tests.core.samples import EVENTS, event

OF_IDS = ("identity.merged", "identity.split")
KINDS = (
    *("web.visit", "order.completed", "order.refunded", "order.cancelled", "email.event", "lead.captured") * 3,
    *OF_IDS,
)


def some_event(draw: Random, customers: int = 5) -> dict[str, Any]:
    """One of few customers, ids, orders and instants, so that duplicates, ties and refunds are common."""
    kind = draw.choice(KINDS)
    fields = {
        "id": f"e{draw.randrange(12 * customers)}",
        "time": START + draw.choice((0, 1, 30, 89, 90, 91, 180, 365)) * DAY,
    }
    if "order_id" in EVENTS[kind]:
        fields["order_id"] = f"o{draw.randrange(2 * customers)}"
    return event(kind, **fields, **ids_of(draw, kind, customers))


def ids_of(draw: Random, kind: str, customers: int) -> dict[str, Any]:
    """One id or several, now and then another's; or none, of a refund or cancellation."""
    n, device = draw.randrange(customers), f"a{draw.randrange(3 * customers)}"
    if kind in OF_IDS:
        names = [f"c{n}", f"c{(n + 1) % customers}", f"anon:{device}", f"p{n}@example.com"]
        asked = {"customer_id": ..., "ids": draw.sample(names, 2 if kind == "identity.merged" else 1)}
        return asked | {"into": ...} if kind == "identity.merged" else asked
    if kind in ("order.refunded", "order.cancelled") and draw.random() < 0.3:
        return {"customer_id": ...}
    address = f"p{draw.randrange(customers)}@example.com"
    mine, other = f"p{n}@example.com", draw.random() < 0.3
    return draw.choice(
        (
            {"customer_id": f"c{n}"},
            {"customer_id": f"c{n}", "anonymous_id": device},
            {"customer_id": f"c{n}", "email": address if other else mine},
            {"customer_id": f"c{n}", "email": mine, "anonymous_id": device},
            {"customer_id": ..., "anonymous_id": device},
            {"customer_id": ..., "email": mine},
            {"customer_id": ..., "email": mine, "anonymous_id": device},
        )
    )
