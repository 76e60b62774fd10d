"""Made-up visits and emails around real purchases, for the demo. Every one of them says so: its source is `synthetic`.

The same seed gives the same events. All of them belong to customers of the sample. They bring a customer to `reach` before
the first purchase; every stage from then on is decided by purchases alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec

from lifestage.moments import DAY_MS, iso
from streams.cdnow import END_MS, Timed

SOURCE = "synthetic"
SEED = 1997
HOUR_MS, MINUTE_MS = 3_600_000, 60_000
PAGES = ("/", "/new-releases", "/charts", "/jazz", "/classical", "/rock", "/search")
REFERRERS = (
    {"source": "google", "medium": "organic"},
    {"source": "yahoo", "medium": "organic"},
    {"source": "banner", "medium": "display", "campaign": "spring"},
    {"source": "newsletter", "medium": "email"},
)


def around(purchases: list[Timed], seed: int = SEED) -> list[Timed]:
    """All visits and emails around `purchases`, in order of event time; none at or after the end of the sample."""
    chance = Random(seed)
    made = [one for purchase in purchases for one in _around(purchase, chance)]
    return sorted((one for one in made if one.time < END_MS), key=lambda one: (one.time, one.event["id"]))


def _around(purchase: Timed, chance: Random) -> Iterator[Timed]:
    """Visits in the days before, one at the evening before, two mails after, and what became of them."""
    order, customer = purchase.event["order_id"], purchase.event["customer_id"]
    evening = purchase.time - chance.randint(10, 300) * MINUTE_MS
    looks = [evening - day * DAY_MS for day in range(chance.randint(0, 3), 0, -1)]
    for n, time in enumerate([*looks, evening]):
        yield _visit(time, f"v-{order}-{n}", customer, chance)
    # From the day after on: far enough from the purchase for three topics that are read side by side.
    for n, subject in enumerate(("confirmation", "dispatch")):
        time = purchase.time + (n + 1) * DAY_MS + chance.randint(8 * 60, 12 * 60) * MINUTE_MS
        yield from _mail(time, f"m-{order}-{n}", subject, customer, chance)
    if chance.random() < 0.5:
        yield _visit(purchase.time + 3 * DAY_MS + 20 * HOUR_MS, f"v-{order}-9", customer, chance)


def _visit(time: int, id_: str, customer: str, chance: Random) -> Timed:
    page = chance.choice(PAGES)
    fields = {
        "url": f"https://shop.example{page}",
        "pages": chance.randint(1, 9),
        "context": chance.choice(REFERRERS),
    }
    return _event(time, "visits", "web.visit", id_, customer, fields)


def _mail(time: int, id_: str, subject: str, customer: str, chance: Random) -> Iterator[Timed]:
    fields: dict[str, Any] = {"message_id": id_, "campaign_id": subject}
    if chance.random() < 0.01:
        yield _event(time, "emails", "email.event", f"{id_}-b", customer, {**fields, "event": "bounced"})
        return
    yield _event(time, "emails", "email.event", f"{id_}-d", customer, {**fields, "event": "delivered"})
    if chance.random() < 0.1:  # a mail scanner, at once
        opened = {**fields, "event": "opened", "machine": True}
        yield _event(time + MINUTE_MS, "emails", "email.event", f"{id_}-s", customer, opened)
    if chance.random() < 0.45:
        time += chance.randint(5, 600) * MINUTE_MS
        yield _event(time, "emails", "email.event", f"{id_}-o", customer, {**fields, "event": "opened"})
        if chance.random() < 0.25:
            clicked = {**fields, "event": "clicked", "click_url": "https://shop.example/orders"}
            yield _event(time + 2 * MINUTE_MS, "emails", "email.event", f"{id_}-c", customer, clicked)


def _event(time: int, topic: str, type_: str, id_: str, customer: str, fields: dict[str, Any]) -> Timed:
    common = {"id": id_, "source": SOURCE, "type": type_, "time": iso(time), "customer_id": customer}
    return Timed(time, topic, {**common, **fields})


def broken() -> list[tuple[int, str, bytes]]:
    """Five events that no source should send, as (time in ms, topic, value), one a mistake; early, so that they show."""
    start = 852_076_800_000  # 1997-01-01
    bought = {"source": SOURCE, "type": "order.completed", "customer_id": "broken", "currency": "USD"}
    encode = msgspec.json.encode
    mistakes: list[tuple[str, bytes]] = [
        ("purchases", encode({**bought, "id": "x-1", "order_id": "x", "time": iso(start), "total": "-5.00"})),
        ("purchases", encode({**bought, "order_id": "x", "time": iso(start), "total": "5.00"})),
        ("visits", b'{"id":"x-3","source":"synthetic","type":"web.visit","time":"1997-01-'),
        ("visits", encode({"id": "x-4", "source": SOURCE, "type": "web.vist", "time": iso(start), "url": "/"})),
        ("emails", encode({
            "id": "x-5", "source": SOURCE, "type": "email.event", "time": "yesterday", "customer_id": "broken",
            "message_id": "m", "event": "opened",
        })),
    ]  # fmt: skip
    return [(start + (n + 1) * 3 * DAY_MS, topic, value) for n, (topic, value) in enumerate(mistakes)]
