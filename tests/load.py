"""Made-up events from a seed, and a producer that sends them at a steady rate while other things happen."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from itertools import islice
from types import TracebackType
from typing import Any, Self

import msgspec
from kafka import KafkaProducer

BEGIN_MS = 852_076_800_000
"""1997-01-01T00:00:00Z."""

Sent = tuple[str, bytes, bytes]
"""Source topic without its prefix, key, value."""


def events(seed: int, customers: int = 400, step_ms: int = 600_000) -> Iterator[Sent]:
    """Orders, refunds, visits, emails without end, event time rising; some come twice, some late, some are broken."""
    chance = random.Random(seed)
    orders: list[dict[str, Any]] = []
    sent: list[Sent] = []
    now = BEGIN_MS
    for number in range(1 << 60):
        now += chance.randrange(2 * step_ms)
        if sent and chance.random() < 0.03:
            yield chance.choice(sent[-500:])
            continue
        event: dict[str, Any] = {
            "id": f"e{number}",
            "source": "load",
            "time": now - (chance.randrange(20 * 86_400_000) if chance.random() < 0.03 else 0),
            "customer_id": f"c{chance.randrange(customers)}",
        }
        topic = _fill(event, number, chance, orders)
        value = msgspec.json.encode(event)
        if chance.random() < 0.01:
            value = value[: len(value) // 2]
        sent.append((topic, event["customer_id"].encode(), value))
        yield sent[-1]


def _fill(event: dict[str, Any], number: int, chance: random.Random, orders: list[dict[str, Any]]) -> str:
    kind = chance.random()
    if kind < 0.35:
        event |= {"type": "order.completed", "order_id": f"o{number}", "currency": "USD", "total_minor": number % 9_000}
        orders.append(event)
        return "purchases"
    if kind < 0.4 and orders:
        order = chance.choice(orders[-200:])
        event |= {"type": "order.refunded", "refund_id": f"r{number}", "order_id": order["order_id"]}
        event |= {"amount": "0.50", "currency": "USD", "customer_id": order["customer_id"]}
        return "purchases"
    if kind < 0.8:
        event |= {"type": "web.visit", "url": f"https://shop.example/{number % 50}", "session_id": f"s{number // 3}"}
        return "visits"
    event |= {
        "type": "email.event",
        "message_id": f"m{number}",
        "event": chance.choice(("delivered", "opened", "clicked")),
    }
    return "emails"


class Load:
    """Sends events from a thread of its own at `rate` a second, from `with` to its end: `events(seed)`, or those given."""

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        seed: int,
        rate: int,
        given: Iterator[Sent] | None = None,
        chunk: int = 1 << 30,
    ) -> None:
        """At most `chunk` events are under way at a time: how far apart in event time what is read together may be."""
        self._events, self._rate, self._prefix, self._chunk = given or events(seed), rate, prefix, chunk
        # A broker that is away for a minute and a half is waited for; a batch that is sent again is taken once.
        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap, acks="all", linger_ms=5, enable_idempotence=True, delivery_timeout_ms=300_000
        )
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.sent = 0
        self.most = 1 << 60
        """When so many are sent, it waits until this is raised, and makes up for nothing."""

    def send(self, count: int) -> None:
        """Send so many at once, and return when all are acknowledged."""
        while count > 0:
            futures = [
                self._producer.send(self._prefix + topic, key=key, value=value)
                for topic, key, value in islice(self._events, min(count, self._chunk))
            ]
            for future in futures:
                future.get(300)
            self.sent += len(futures)
            count -= len(futures)

    def _run(self) -> None:
        started, before = time.monotonic(), self.sent
        while not self._stop.wait(0.02):
            if self.sent >= self.most:
                started, before = time.monotonic(), self.sent
                continue
            due = int((time.monotonic() - started) * self._rate) - (self.sent - before)
            try:
                self.send(max(0, min(due, self.most - self.sent)))
            except BaseException as error:  # noqa: BLE001 - raised at the end of the `with`
                self._failed.append(error)
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(300)
        self.close()
        if self._failed and error is None:
            raise self._failed[0]

    def close(self) -> None:
        """Disconnect; for a load that only `send`s."""
        self._producer.close(5)
