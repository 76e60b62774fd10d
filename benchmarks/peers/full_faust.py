"""Job (b) in plain Faust: an agent that checks and re-keys, and one that folds, with timers in a heap beside its table.

Runs as `python -m benchmarks.peers.full_faust worker --without-web` with PEER_BROKER, PEER_PREFIX, PEER_DATADIR and PEER_COMMIT_S.
"""

from __future__ import annotations

import os
from collections import defaultdict
from heapq import heapify, heappop, heappush
from typing import Any

import faust
import orjson

from benchmarks.peers.full_fold import DAY, FAR, NEVER, NEW, TIMER, Change, RefusedError, add, checked, fire, timer

PREFIX = os.environ.get("PEER_PREFIX", "")
PARTITIONS = 8
PART = len(NEW)
"""Behind the rules' own fields: the partition that a customer is in."""

app = faust.App(
    f"{PREFIX}plain-faust",
    broker=f"kafka://{os.environ.get('PEER_BROKER', '127.0.0.1:9092')}",
    broker_commit_interval=float(os.environ.get("PEER_COMMIT_S", "1")),
    store="memory://",
    datadir=os.environ.get("PEER_DATADIR", ".plain-faust"),
    topic_partitions=PARTITIONS,
    web_enabled=False,
)

events = app.topic(f"{PREFIX}events", key_type=bytes, value_type=bytes, value_serializer="raw")
keyed = app.topic(f"{PREFIX}plain-faust-keyed", key_type=str, value_serializer="json", internal=True)
letters = app.topic(f"{PREFIX}dead-letters", key_type=bytes, value_type=bytes, value_serializer="raw")
changes = app.topic(f"{PREFIX}stage-changes", key_type=str, value_serializer="json")
customers = app.Table("customers", key_type=str, partitions=PARTITIONS)

timers: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
"""By partition, a heap of (day, customer)."""
seen: defaultdict[int, list[int]] = defaultdict(lambda: [NEVER] * PARTITIONS)
"""By partition, how far each partition of the source has come."""


@customers.on_recover
async def recovered() -> None:
    """Set all timers again."""
    timers.clear()
    for customer, state in customers.items():
        if state[TIMER] != FAR:
            timers[state[PART]].append((state[TIMER], customer))
    for heap in timers.values():
        heapify(heap)


@app.agent(events)
async def on_event(stream: Any) -> None:
    """Check each event, and send what the fold needs of it to its customer's partition."""
    async for event in stream.events():
        try:
            needed = checked(orjson.loads(event.value))
        except (RefusedError, orjson.JSONDecodeError) as error:
            reason = {"reason": str(error).encode()}
            await letters.send(key=event.key, value=event.value, headers=reason)
            continue
        await keyed.send(key=needed["customer_id"], value=needed | {"from": event.message.partition})


@app.agent(keyed)
async def on_keyed(stream: Any) -> None:
    """Fold, and fire the timers of days that are over."""
    async for message in stream.events():
        event, number = message.value, message.message.partition
        customer = event["customer_id"]
        state = customers.get(customer) or [*NEW, number]
        await tell(add(state, event))
        keep(customer, state, number)
        mine = seen[number]
        mine[event["from"]] = event["at"]
        today, heap = min(mine) // DAY, timers[number]
        while heap and heap[0][0] < today:
            day, customer = heappop(heap)
            state = customers[customer]
            await tell(fire(customer, state, day))
            keep(customer, state, number)


def keep(customer: str, state: list[int], number: int) -> None:
    """Write a customer, and set their timer."""
    if (day := timer(state)) is not None:
        heappush(timers[number], (day, customer))
    customers[customer] = state


async def tell(found: list[Change]) -> None:
    """Send changes."""
    for change in found:
        await changes.send(key=change["customer_id"], value=change)


if __name__ == "__main__":
    app.main()
