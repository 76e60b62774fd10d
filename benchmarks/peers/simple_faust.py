"""Job (a) in plain Faust, as its documentation shows it: an agent, a table, `topic.send`.

Runs as `python -m benchmarks.peers.simple_faust worker --without-web` with PEER_BROKER, PEER_PREFIX and PEER_DATADIR.
"""

from __future__ import annotations

import os
from typing import Any

import faust

from benchmarks.peers.fold import NEW, fold

PREFIX = os.environ.get("PEER_PREFIX", "")
PARTITIONS = 8

app = faust.App(
    f"{PREFIX}plain-faust",
    broker=f"kafka://{os.environ.get('PEER_BROKER', '127.0.0.1:9092')}",
    store="memory://",
    datadir=os.environ.get("PEER_DATADIR", ".plain-faust"),
    topic_partitions=PARTITIONS,
    web_enabled=False,
)

# Plain dicts: a `faust.Record` costs a fifth more. JSON values, as everywhere in Faust's documentation.
events = app.topic(f"{PREFIX}events", key_type=str, value_serializer="json")
changes = app.topic(f"{PREFIX}stage-changes", key_type=str, value_serializer="json")
customers = app.Table("customers", key_type=str, partitions=PARTITIONS)


@app.agent(events)
async def on_event(stream: Any) -> None:
    """Events, one after the other."""
    async for key, event in stream.items():
        state = customers.get(key) or list(NEW)
        change = fold(state, event)
        customers[key] = state
        if change is not None:
            await changes.send(key=key, value=change)


if __name__ == "__main__":
    app.main()
