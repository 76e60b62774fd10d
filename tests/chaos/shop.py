"""A made-up shop: events without end from a seed, and of each what must become of it, known before it is sent.

Customers come and go: each is about for two weeks of event time, then silent for good, so that timers fire all the
while. Nothing is late unless it is meant to be: see `CHUNK`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from typing import Any, Literal, NamedTuple

import msgspec

from tests.load import BEGIN_MS

Fate = Literal["accepted", "duplicate", "suppressed", "rejected", "late"]
STEP_MS = 240_000
"""Between two events, on average: a million events are 7.6 years."""
ABOUT = 120
"""Customers who are about at a time."""
EACH = 40
"""Events of a customer, on average."""
CHUNK = 200
"""Events that may be under way at a time: half a day of event time. With events of up to a day ago or a day ahead
that are sent again, nothing comes more than three days late, of the seven that are allowed."""
DAY = 86_400_000
SOURCES = 40
"""Names of sources, by customer: accounts are kept by source, so a slip shows for a fortieth of the customers."""
CURRENCIES = ("USD", "EUR", "JPY")
MANNERS = (
    # order, click in an email
    (0.00, 0.00),
    (0.00, 0.10),
    (0.03, 0.05),
    (0.10, 0.05),
    (0.40, 0.02),
)
"""How likely an event of a customer is an order or a click, by customer: from visitors to regulars."""


class Said(NamedTuple):
    """One event as it is sent, and what must become of it."""

    topic: str
    value: bytes
    event: dict[str, Any]
    """What the value says; of broken ones what it would have said."""
    fate: Fate

    @property
    def customer(self) -> str:
        """Whose event it is."""
        return str(self.event["customer_id"])

    @property
    def again(self) -> Said:
        """The same, sent a second time."""
        return self._replace(fate="duplicate" if self.fate == "accepted" else self.fate)


def shop(seed: int) -> Iterator[Said]:
    """Visits, emails, orders, refunds and cancellations, event time rising; the same for the same seed."""
    chance = random.Random(f"shop/{seed}")
    recent: list[Said] = []
    orders: dict[str, list[dict[str, Any]]] = {}
    now = BEGIN_MS
    for number in count():
        now += chance.randrange(2 * STEP_MS)
        if recent and chance.random() < 0.03:
            yield chance.choice(recent).again
            continue
        customer = number // EACH + chance.randrange(ABOUT)
        orders.pop(f"c{customer - 2 * ABOUT}", None)
        said = _event(number, customer, now, chance, orders)
        recent.append(said)
        del recent[:-100]
        yield said


def _event(number: int, customer: int, now: int, chance: random.Random, orders: dict[str, list[Any]]) -> Said:
    event: dict[str, Any] = {
        "id": f"e{number}",
        "source": f"shop-{customer % SOURCES}",
        "time": now - (chance.randrange(DAY) if chance.random() < 0.05 else 0),
        "customer_id": f"c{customer}",
    }
    topic, known = _act(event, number, customer, chance, orders.setdefault(event["customer_id"], []))
    odd = chance.random()
    if odd < 0.01 and topic != "purchases":
        event["test"] = True
        return Said(topic, msgspec.json.encode(event), event, "suppressed")
    value = msgspec.json.encode(event)
    if odd > 0.99 and topic != "purchases":
        return Said(topic, value[: len(value) // 2], event, "rejected")
    return Said(topic, value, event, "duplicate" if known else "accepted")


def _act(
    event: dict[str, Any], number: int, customer: int, chance: random.Random, mine: list[dict[str, Any]]
) -> tuple[str, bool]:
    """Fill in what happened; says the topic, and whether it is an order that is known under this id."""
    orders, clicks = MANNERS[customer % len(MANNERS)]
    kind = chance.random()
    if kind < orders:
        amount = {"currency": CURRENCIES[customer % len(CURRENCIES)], "total_minor": chance.randrange(20_000)}
        event |= {"type": "order.completed", "order_id": f"o{number}"} | amount
        if known := bool(mine) and chance.random() < 0.02:
            # the same order under another id, later: the first stands
            before = chance.choice(mine)
            event |= {"order_id": before["order_id"], "time": before["time"] + 1 + chance.randrange(DAY)}
        else:
            mine.append(event)
        return "purchases", known
    if mine and kind < orders + 0.04:
        order = mine.pop(chance.randrange(len(mine)))
        event |= {"order_id": order["order_id"], "time": max(event["time"], order["time"])}
        if chance.random() < 0.2:
            event["type"] = "order.cancelled"
        else:
            amount = order["total_minor"] if chance.random() < 0.7 else order["total_minor"] // 3
            event |= {"type": "order.refunded", "refund_id": f"r{number}", "amount_minor": amount}
            event["currency"] = order["currency"]
        return "purchases", False
    if kind > 0.75:
        what = "clicked" if chance.random() < 4 * clicks else chance.choice(("delivered", "opened"))
        event |= {"type": "email.event", "message_id": f"m{number}", "event": what}
        return "emails", False
    event |= {"type": "web.visit", "url": f"https://shop.example/{number % 50}", "session_id": f"s{number // 3}"}
    return "visits", False


def latecomers(seed: int, customers: int) -> Iterator[Said]:
    """A visit of the very first day by each of the first `customers`: to be sent when all time has passed, and late then."""
    chance = random.Random(f"latecomers/{seed}")
    for customer in range(customers):
        event = {
            "id": f"late{customer}",
            "source": f"shop-{customer % SOURCES}",
            "time": BEGIN_MS + chance.randrange(DAY),
            "customer_id": f"c{customer}",
            "type": "web.visit",
            "url": "https://shop.example/",
        }
        yield Said("visits", msgspec.json.encode(event), event, "late")
