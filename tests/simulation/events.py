"""What customers of a simulated shop do: events as they come to the sources, from whole numbers alone."""

from __future__ import annotations

from typing import Any

import msgspec

from streams.doorway import partition_of

START_MS = 1_706_745_600_000
"""2024-02-01T00:00:00Z."""
DAY_MS = 86_400_000

CUSTOMERS, VISITORS = 5, 2
"""Those with an id, and after them those without a name."""
EVERYBODY = CUSTOMERS + VISITORS
BESIDE_DEVICE, BESIDE_ADDRESS, ADDRESS_ALONE, OF_IDS = range(4, 8)
"""How an event of a kind from 512 on is named."""

Sent = tuple[str, int, tuple[bytes | None, bytes, list[tuple[str, bytes]]]]


def place_of(who: int, partitions: int) -> int:
    """The log partition of somebody."""
    who %= EVERYBODY
    return partition_of(b"c%d" % who if who < CUSTOMERS else b"anon:v%d" % who, partitions)


class Shop:
    """Customers, visitors without a name, and what they have done so far."""

    def __init__(self, partitions: int) -> None:
        self.now = START_MS
        self.sent: list[Sent] = []
        self._partitions = partitions
        self._orders: list[tuple[str, str]] = []

    def make(self, kind: int, who: int) -> Sent:
        """The next event: what (of 16 kinds, some late, sent again or broken), by whom of seven, and under which ids.

        Of kinds from 512 on half name several ids, or say whose ids are one person's.
        """
        number = len(self.sent)
        kind, late, ids = kind % 16, kind // 16 % 8, kind // 128 % 8
        self.now += 60_000 * (who % 977 + 1)
        if kind == 0 and self.sent:
            again = self.sent[who % len(self.sent)]
            # sent again: by the same producer, or through another partition
            found = (again[0], (again[1] + late) % self._partitions, again[2])
            self.sent.append(found)
            return found
        customer = who % EVERYBODY
        event: dict[str, Any] = {"id": f"e{number}", "source": "shop", "time": self.now}
        if late == 1:
            event["time"] -= (who % 9 + 1) * DAY_MS
        event |= {"anonymous_id": f"v{customer}"} if customer >= CUSTOMERS else {"customer_id": f"c{customer}"}
        if ids == OF_IDS and kind != 1:
            others = [f"c{who % CUSTOMERS}", f"c{(who + 1 + who // CUSTOMERS % (CUSTOMERS - 1)) % CUSTOMERS}"]
            merged = who // 16 % 3 > 0
            event |= (
                {"type": "identity.merged", "ids": others} if merged else {"type": "identity.split", "ids": others[:1]}
            )
            del event["customer_id" if customer < CUSTOMERS else "anonymous_id"]
            topic = "visits"
        else:
            topic = self._fill(event, kind, number, who)
            self._name(event, ids, customer, who)
        value = msgspec.json.encode(event)
        if kind == 1:
            value = value[: len(value) // 2]
        sent: Sent = (topic, who // EVERYBODY % self._partitions, (None, value, []))
        self.sent.append(sent)
        return sent

    def _name(self, event: dict[str, Any], ids: int, customer: int, who: int) -> None:
        """Let an event name other ids than those of `_fill`, too, or instead."""
        if ids == BESIDE_DEVICE:
            event.setdefault("anonymous_id", f"v{CUSTOMERS + who // 8 % VISITORS}")
        elif ids in {BESIDE_ADDRESS, ADDRESS_ALONE}:
            event["email"] = f"m{customer}@mail.example"
            if ids == ADDRESS_ALONE:
                event.pop("customer_id", None)

    def _fill(self, event: dict[str, Any], kind: int, number: int, who: int) -> str:
        named = "customer_id" in event
        if kind in {2, 3, 4, 5} and named:
            event |= {"type": "order.completed", "order_id": f"o{number}", "currency": "EUR", "total_minor": 500 + kind}
            self._orders.append((event["order_id"], event["customer_id"]))
            return "purchases"
        if kind in {6, 7} and self._orders:
            event.pop("anonymous_id", None)
            event["order_id"], event["customer_id"] = self._orders[who % len(self._orders)]
            if kind == 6:
                event |= {"type": "order.refunded", "refund_id": f"r{number}", "amount": "1.00", "currency": "EUR"}
            else:
                event |= {"type": "order.cancelled"}
            return "purchases"
        event |= {"type": "web.visit", "url": "https://shop.example/", "session_id": f"s{number}"}
        return "visits"
