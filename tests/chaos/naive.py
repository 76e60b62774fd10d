"""The second judge: what must have come out, worked out from what was sent and from the words of plan clm5 alone.

It knows no log, no offsets and none of the program's code. Nothing is clever: a customer's events are put in order of
time and the stage is read off after each. It rests on what `tests.chaos.shop` gives: everybody is about for less than
90 days, so that nobody falls silent in between.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from tests.chaos.shop import Said

DAY = 86_400_000
LADDER = ("reach", "acquisition", "conversion", "retention", "loyalty")


@dataclass
class Bought:
    """One order as it stands in the end."""

    event: str
    time: int
    total: int
    currency: str
    refunded: int = 0
    refunded_at: int = 0
    cancelled: bool = False

    @property
    def stands(self) -> bool:
        """Neither cancelled nor refunded in full."""
        return not self.cancelled and not self.refunded >= self.total > 0

    @property
    def net(self) -> int:
        """What it is worth."""
        return 0 if self.cancelled else max(0, self.total - self.refunded)


@dataclass
class Expected:
    """What must be known of one customer when all time has passed."""

    path: list[tuple[int, str]] = field(default_factory=list)
    """Every move: instant in ms, and the stage from then on."""
    orders: dict[str, Bought] = field(default_factory=dict)
    """By order id; those that were cancelled or given back among them."""
    last_seen: int = 0

    @property
    def stage(self) -> str | None:
        """Where the customer ends."""
        return self.path[-1][1] if self.path else None

    @property
    def high_water(self) -> str | None:
        """The highest stage of the ladder that was ever reached."""
        ranked = [LADDER.index(stage) for _, stage in self.path if stage in LADDER]
        return LADDER[max(ranked)] if ranked else None

    def document(self) -> dict[str, Any]:
        """What the customer's last change must say, of what can be told from events alone."""
        standing = [order for order in self.orders.values() if order.stands]
        newest = max(self.orders.values(), key=lambda order: order.time, default=None)
        currency = newest.currency if newest else None
        first = {stage: at for at, stage in reversed(self.path)}
        return {
            "stage": self.stage,
            "entered_at": iso(self.path[-1][0]),
            "high_water_stage": self.high_water,
            "first_reached": {stage: iso(at) for stage, at in first.items()},
            "times_entered": dict(Counter(stage for _, stage in self.path)),
            "metrics": {
                "orders": len(standing),
                "net_revenue_minor": sum(order.net for order in self.orders.values()),
                "currency": currency,
                "last_order_at": iso(max(order.time for order in standing)) if standing else None,
                "last_seen_at": iso(self.last_seen),
            },
        }


def iso(ms: int) -> str:
    """An instant as a change writes it."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")


class Customer:
    """One customer's events, in order of time, as plan clm5 reads them."""

    def __init__(self) -> None:
        self.found = Expected()
        self.reach = self.acquisition = False
        self.active_at: int | None = None
        """The latest visit, open or click; before the first of these, what gave the first stage."""
        self.silent_since = 0

    def see(self, event: dict[str, Any]) -> None:
        """One event more."""
        kind, at, orders = event["type"], event["time"], self.found.orders
        self.found.last_seen = at
        said = event.get("event")
        if kind in {"web.visit", "lead.captured"} or said in {"opened", "clicked"}:
            self.active_at = at
        if kind == "order.completed":
            orders[event["order_id"]] = Bought(event["id"], at, event["total_minor"], event["currency"])
        elif kind == "order.cancelled":
            orders[event["order_id"]].cancelled = True
        elif kind == "order.refunded":
            orders[event["order_id"]].refunded += event["amount_minor"]
        fallen = any(not order.stands for order in orders.values())
        reach = self.reach or kind == "web.visit" or said == "delivered"
        known = kind == "lead.captured" or (kind not in {"email.event", "identity.linked"} and "email" in event)
        acquisition = self.acquisition or said == "clicked" or fallen or known
        if (reach or acquisition) and not (self.reach or self.acquisition):
            self.silent_since = at
        self.reach, self.acquisition = reach, acquisition

    def stage(self) -> str | None:
        """Where the customer stands, having been seen just now."""
        days = {order.time // DAY for order in self.found.orders.values() if order.stands}
        if days:
            return LADDER[min(len(days), 3) + 1]
        return "acquisition" if self.acquisition else "reach" if self.reach else None

    def fall_silent(self) -> None:
        """All time passes."""
        bought = [order.time for order in self.found.orders.values() if order.stands]
        if bought:
            self.found.path += [(max(bought) + 90 * DAY, "at_risk"), (max(bought) + 180 * DAY, "churned")]
        elif self.found.path:
            since = self.silent_since if self.active_at is None else self.active_at
            self.found.path.append((since + 90 * DAY, "dormant"))


def expected_of(events: Iterable[dict[str, Any]]) -> Expected:
    """What must become of a customer with these events, each of which counts once."""
    customer = Customer()
    path = customer.found.path
    for at, together in groupby(sorted(events, key=_instant), key=lambda event: int(event["time"])):
        for event in together:
            customer.see(event)
        stage = customer.stage()
        if stage is not None and (not path or path[-1][1] != stage):
            path.append((at, stage))
    customer.fall_silent()
    return customer.found


def _instant(event: dict[str, Any]) -> tuple[int, bool]:
    # an order before what is said of it in the same millisecond
    return event["time"], event["type"] != "order.completed"


class Naive:
    """All that was sent, and what must have become of it."""

    def __init__(self) -> None:
        self.sent = 0
        self.accounts: Counter[tuple[str, str, str]] = Counter()
        """(source, type, outcome) → events. What cannot be read has neither source nor type."""
        self._events: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    def hear(self, said: Iterable[Said]) -> Naive:
        """Take in what was sent."""
        for one in said:
            self.sent += 1
            if one.fate == "rejected":
                self.accounts["unknown", "unknown", "rejected"] += 1
                continue
            self.accounts[one.event["source"], one.event["type"], one.fate] += 1
            if one.fate == "accepted":
                self._events[one.customer].append(one.event)
        return self

    def customers(self) -> dict[str, Expected]:
        """What must be known of each customer of whom anything was accepted."""
        return {key: expected_of(events) for key, events in self._events.items()}
