"""The rules of job (a) as README.md says them, over plain lists and dicts: what each Python peer folds with.

Standard library alone: each peer runs in an environment of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

STAGES = (None, "reach", "acquisition", "conversion", "retention", "loyalty")
DAY_MS = 86_400_000

State = list[int]
"""[events, first ms, last ms, orders, spent in cents, days with an order, the newest of them, known, stage, seq]"""
NEW = (0, 0, 0, 0, 0, 0, -1, 0, 0, 0)
Change = dict[str, Any]


def ms(time: str) -> int:
    """An instant in milliseconds since 1970."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def cents(amount: str) -> int:
    """Decimal text with two digits behind the point, in cents."""
    return int(amount.replace(".", ""))


def fold(state: State, event: Mapping[str, Any]) -> Change | None:
    """Add an event to a customer's state, in place; what is to be announced if the stage is another now."""
    at = ms(event["time"])
    if state[0] == 0:
        state[1] = at
    state[0] += 1
    state[2] = at
    kind = event["type"]
    if kind == "web.visit":
        state[7] = state[7] or 1
    elif kind == "email.event":
        what = event["event"]
        if what == "delivered":
            state[7] = state[7] or 1
        elif what == "clicked" and not event.get("machine"):
            state[7] = 2
    elif kind == "order.completed":
        state[3] += 1
        state[4] += cents(event["total"])
        day = at // DAY_MS
        if day != state[6]:
            state[5] += 1
            state[6] = day
    stage = 2 + min(state[5], 3) if state[5] else state[7]
    before = state[8]
    if stage == before:
        return None
    state[8] = stage
    state[9] += 1
    return {
        "customer_id": event["customer_id"],
        "seq": state[9],
        "stage": STAGES[stage],
        "previous_stage": STAGES[before],
        "entered_at": event["time"],
        "trigger": event["id"],
        "events": state[0],
        "orders": state[3],
        "spent_minor": state[4],
        "first_ms": state[1],
    }
