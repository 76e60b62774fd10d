"""Job (a) in Quix Streams: a StreamingDataFrame with a stateful `apply`, its state in RocksDB and in a changelog topic.

Runs as `python -m benchmarks.peers.simple_quix` with PEER_BROKER, PEER_PREFIX, PEER_DATADIR and PEER_COMMIT_S.
"""

from __future__ import annotations

import os
from typing import Any

from quixstreams import Application

from benchmarks.peers.fold import NEW, fold


def changed(event: dict[str, Any], state: Any) -> dict[str, Any] | None:
    """Fold an event into its customer."""
    customer = state.get("c") or list(NEW)
    change = fold(customer, event)
    state.set("c", customer)
    return change


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
    events = app.topic(f"{prefix}events", key_deserializer="str", value_deserializer="json")
    changes = app.topic(f"{prefix}stage-changes", key_serializer="str", value_serializer="json")
    frame = app.dataframe(events)
    frame = frame.apply(changed, stateful=True)
    frame = frame[frame.apply(lambda change: change is not None)]
    frame.to_topic(changes)
    app.run()


if __name__ == "__main__":
    main()
