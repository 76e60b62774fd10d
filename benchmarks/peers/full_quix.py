"""Job (b) in Quix Streams: a StreamingDataFrame that checks, `group_by`, and a stateful `apply` with timers in its state.

State can only be walked below one message key, so customers are grouped into buckets, and each bucket keeps, beside its
customers, a list of them for each day on which a timer is due. Runs as `python -m benchmarks.peers.full_quix`.
"""

from __future__ import annotations

import os
from typing import Any

import orjson
from quixstreams import Application, message_context

from benchmarks.peers.full_fold import (
    DAY,
    NEVER,
    NEW,
    Change,
    RefusedError,
    add,
    bucket_of,
    checked,
    fire,
    timer,
)

PARTITIONS = 8


class Clock:
    """How far a bucket is."""

    def __init__(self, day: int) -> None:
        self.seen = [NEVER] * PARTITIONS
        """How far each partition of the source has come."""
        self.day = day
        """The timers of all days before it were fired."""


clocks: dict[int, Clock] = {}


def read(value: bytes) -> Any:
    """What the fold needs of an event, with the partition that it came from; the event as it is, where it is refused."""
    try:
        needed = checked(orjson.loads(value))
    except (RefusedError, orjson.JSONDecodeError):
        return value
    needed["from"] = message_context().partition
    needed["bucket"] = bucket_of(needed["customer_id"])
    return needed


def keep(customer: str, of: list[int], state: Any) -> None:
    """Write a customer, and set their timer."""
    if (day := timer(of)) is not None:
        state.set(f"due-{day}", [*state.get(f"due-{day}", []), customer])
    state.set(customer, of)


def changed(event: dict[str, Any], state: Any) -> list[Change]:
    """Fold an event into its customer, and fire the timers of days that are over."""
    customer, bucket = event["customer_id"], event["bucket"]
    of = state.get(customer) or list(NEW)
    found = add(of, event)
    keep(customer, of, state)
    clock = clocks.get(bucket)
    if clock is None:
        clock = clocks[bucket] = Clock(state.get("day", event["at"] // DAY))
    clock.seen[event["from"]] = event["at"]
    today = min(clock.seen) // DAY
    for day in range(clock.day, today):
        for one in state.get(f"due-{day}", []):
            of = state.get(one)
            found += fire(one, of, day)
            keep(one, of, state)
        state.delete(f"due-{day}")
        clock.day = day + 1
        state.set("day", day + 1)
    return found


def main() -> None:
    """Run until SIGTERM."""
    prefix = os.environ["PEER_PREFIX"]
    app = Application(
        broker_address=os.environ["PEER_BROKER"],
        consumer_group=f"{prefix}quix",
        auto_offset_reset="earliest",
        commit_interval=float(os.environ["PEER_COMMIT_S"]),
        state_dir=os.environ["PEER_DATADIR"],
        loglevel="WARNING",
    )
    events = app.topic(f"{prefix}events", value_deserializer="bytes")
    letters = app.topic(f"{prefix}dead-letters", value_serializer="bytes")
    changes = app.topic(f"{prefix}stage-changes", key_serializer="str", value_serializer="json")
    frame = app.dataframe(events).apply(read)
    refused = frame.filter(lambda value: isinstance(value, bytes))
    refused.to_topic(letters)
    taken = frame.filter(lambda value: isinstance(value, dict))
    folded = taken.group_by("bucket").apply(changed, stateful=True, expand=True)
    folded.to_topic(changes, key=lambda change: change["customer_id"])
    app.run()


if __name__ == "__main__":
    main()
