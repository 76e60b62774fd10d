"""A crowd of made-up people with three ids each, and what each must come to, whatever happens to the workers.

Everybody has a device, an address and a customer id, and acts under one, two or all three of them, in any order: what is
sent is due to one profile from the first event that names two of the ids on, and to the same one in the end.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.load import BEGIN_MS, Sent


class Crowd:
    """Events without end from a seed, event time rising; it is noted what was taken of them."""

    def __init__(self, seed: int, people: int = 60, step_ms: int = 60_000) -> None:
        self._chance, self._people, self._step_ms = random.Random(seed), people, step_ms
        self._now, self._number = BEGIN_MS, 0
        self._recent: list[Sent] = []
        self.orders: Counter[str] = Counter()
        """Customer → orders, each counted once."""
        self.spent: Counter[str] = Counter()
        """Customer → sum of them, in cents."""

    @property
    def customers(self) -> list[str]:
        """Their customer ids."""
        return [f"c{person}" for person in range(self._people)]

    def events(self) -> Iterator[Sent]:
        """What people do; one event in thirty comes twice."""
        while True:
            if self._recent and self._chance.random() < 0.03:
                yield self._chance.choice(self._recent[-300:])
                continue
            self._recent.append(self._next(self._chance.randrange(self._people)))
            yield self._recent[-1]

    def naming(self) -> list[Sent]:
        """A visit of each, under all three ids: from then on nobody has two profiles."""
        return [self._sent(person, "visit", 7) for person in range(self._people)]

    def _next(self, person: int) -> Sent:
        kind = self._chance.choice(("visit", "visit", "order", "mail"))
        # an order names a person, so that it needs no other event to say whose it is; a mail has its address
        ids = {
            "visit": self._chance.choice((1, 1, 2, 3, 4, 5, 6)),
            "order": self._chance.choice((2, 4, 5, 6)),
            "mail": 2,
        }
        return self._sent(person, kind, ids[kind])

    def _sent(self, person: int, kind: str, ids: int) -> Sent:
        self._now += self._chance.randrange(2 * self._step_ms)
        self._number += 1
        number, customer = self._number, f"c{person}"
        event: dict[str, Any] = {"id": f"e{number}", "source": "crowd", "time": self._now}
        event |= {"anonymous_id": f"d{person}"} if ids & 1 else {}
        event |= {"customer_id": customer} if ids & 4 else {}
        if kind == "mail":
            event |= {
                "type": "email.event",
                "message_id": f"m{number}",
                "event": "opened",
                "recipient": _address(person),
            }
            return "emails", b"%d" % number, msgspec.json.encode(event)
        event |= {"email": _address(person)} if ids & 2 else {}
        if kind == "visit":
            event |= {"type": "web.visit", "url": "https://shop.example/"}
            return "visits", b"%d" % number, msgspec.json.encode(event)
        self.orders[customer] += 1
        self.spent[customer] += number
        event |= {"type": "order.completed", "order_id": f"o{number}", "currency": "USD", "total_minor": number}
        return "purchases", b"%d" % number, msgspec.json.encode(event)


def _address(person: int) -> str:
    return f"person{person}@mail.example"
