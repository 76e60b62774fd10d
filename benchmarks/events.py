"""The events that every contestant gets: drawn from a seed, so that two runs and two machines get the same bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from lifestage.moments import iso

SEED = 20_240_607
SHARES = {"visits": 0.75, "emails": 0.17, "purchases": 0.08}
"""Share of the events by source topic; each topic carries one type."""
EVENTS_PER_CUSTOMER = 400_000 / 60_000
"""The same in every set, whatever its size: the share of events that change a stage depends on it."""
START = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp() * 1000)
SPAN = 60 * 86_400_000
"""Less than the 90 days after which time alone changes a stage: a contestant without timers has the same to do."""

PAGES = (("content", "blog"), ("product", "p"), ("product", "p"), ("pricing", "pricing"), ("checkout", "checkout"))
CHANNELS = (("google", "cpc"), ("google", "organic"), ("newsletter", "email"), ("partner", "referral"))
HAPPENINGS = ("sent", "delivered", "delivered", "delivered", "opened", "opened", "clicked")
DEVICES = ("desktop", "mobile", "tablet")

Fields = dict[str, Any]
_encode = msgspec.json.Encoder().encode


class SourceEvent(NamedTuple):
    """One record of a source topic."""

    topic: str
    """`visits`, `emails` or `purchases`, without a deployment's prefix."""
    key: bytes
    """The customer."""
    value: bytes


def customers_of(events: int) -> int:
    """How many customers a set of so many events has."""
    return max(1, round(events / EVENTS_PER_CUSTOMER))


def generate(events: int, seed: int = SEED, customers: int | None = None) -> Iterator[SourceEvent]:
    """`events` events in order of event time, no two at the same millisecond, in the shares of `SHARES`.

    Of `customers_of(events)` customers unless another number is given.

    Customers differ in how much they do: the busiest tenth has about a fifth of the events.
    """
    draw = random.Random(seed)
    topics = [topic for topic, share in SHARES.items() for _ in range(round(events * share))]
    topics = (topics + ["visits"] * events)[:events]
    draw.shuffle(topics)
    times = sorted(draw.sample(range(START, START + SPAN), events))
    customers = customers or customers_of(events)
    for n, (topic, time) in enumerate(zip(topics, times, strict=True)):
        customer = f"c{int(customers * draw.random() ** 1.5):06d}"
        fields = {"id": f"{topic[0]}-{n:08d}", "source": "shop", "time": iso(time), "customer_id": customer}
        fields |= MAKERS[topic](draw, n, customer)
        yield SourceEvent(topic, customer.encode(), _encode(fields))


def _visit(draw: random.Random, n: int, customer: str) -> Fields:
    page_type, path = draw.choice(PAGES)
    product = f"sku-{draw.randrange(2_000):05d}"
    path = f"/{path}/{product}" if page_type == "product" else f"/{path}"
    fields: Fields = {
        "type": "web.visit",
        "session_id": f"s-{customer}-{n // 1000}",
        "url": f"https://shop.example{path}?ref={n % 97}",
        "path": path,
        "title": f"{page_type.title()} page",
        "duration_s": round(draw.expovariate(1 / 40), 1),
        "pages": draw.randint(1, 6),
        "page_type": page_type,
    }
    if page_type == "product":
        fields["product_id"] = product
    if n % 3 == 0:  # the first page of a session says where the visitor came from
        source, medium = draw.choice(CHANNELS)
        fields["entry"] = True
        fields["context"] = {
            "source": source, "medium": medium, "campaign": f"camp-{n % 12}", "device": draw.choice(DEVICES),
        }  # fmt: skip
    return fields


def _email(draw: random.Random, n: int, customer: str) -> Fields:
    happening = draw.choice(HAPPENINGS)
    fields: Fields = {
        "type": "email.event",
        "message_id": f"m-{n // 3:08d}",
        "event": happening,
        "recipient": f"{customer}@mail.example",
        "campaign_id": f"camp-{n % 12}",
        "list_id": "newsletter",
    }
    if happening == "clicked":
        fields["click_url"] = f"https://shop.example/p/sku-{draw.randrange(2_000):05d}"
    if happening == "opened" and n % 4 == 0:
        fields["machine"] = True
    return fields


def _purchase(draw: random.Random, n: int, _: str) -> Fields:
    items = [
        {"product_id": f"sku-{draw.randrange(2_000):05d}", "qty": draw.randint(1, 3), "unit_price": _money(cents)}
        for cents in (draw.randint(500, 9_900) for _ in range(draw.randint(1, 3)))
    ]
    total = draw.randint(1_500, 30_000)
    fields: Fields = {
        "type": "order.completed",
        "order_id": f"o-{n:08d}",
        "currency": "EUR",
        "total": _money(total),
        "tax": _money(total * 19 // 119),
        "shipping": "4.90",
        "items": items,
        "channel": "web",
    }
    if n % 5 == 0:
        fields["coupon"] = "SPRING"
    return fields


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


MAKERS = {"visits": _visit, "emails": _email, "purchases": _purchase}
