"""Job (a) in Bytewax: a Kafka source, `stateful_batch`, a Kafka sink, and recovery snapshots in SQLite.

Runs as `python -m bytewax.run benchmarks.peers.simple_bytewax:flow -r FOLDER -s SECONDS` with PEER_BROKER and PEER_PREFIX,
once `python -m bytewax.recovery FOLDER 1` has made the folder. It reads to the end of the topic and ends, unless PEER_TAIL
is set: its offsets are in its snapshots, where nobody else can follow them.
"""

from __future__ import annotations

import os
from typing import Any

import orjson
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic

from benchmarks.peers.fold import NEW, Change, State, fold

PREFIX = os.environ.get("PEER_PREFIX", "")
BROKERS = [os.environ.get("PEER_BROKER", "127.0.0.1:9092")]


class Customer(StatefulBatchLogic):
    """One customer's state."""

    def __init__(self, resumed: State | None) -> None:
        self.state = resumed or list(NEW)

    def on_batch(self, values: list[bytes]) -> tuple[list[Change], bool]:
        """Fold events, and keep the customer."""
        found = [fold(self.state, orjson.loads(value)) for value in values]
        return [change for change in found if change is not None], False

    def snapshot(self) -> State:
        """What recovery is given."""
        return list(self.state)


def told(item: tuple[str, Change]) -> KafkaSinkMessage[Any, Any]:
    """A change as it is sent."""
    return KafkaSinkMessage(item[0].encode(), orjson.dumps(item[1]))


flow = Dataflow("simple")
source = KafkaSource(BROKERS, [f"{PREFIX}events"], tail=bool(os.environ.get("PEER_TAIL")))
keyed = op.map("key", op.input("events", flow, source), lambda message: (message.key.decode(), message.value))
changes = op.stateful_batch("fold", keyed, Customer)
op.output("changes", op.map("told", changes, told), KafkaSink(BROKERS, f"{PREFIX}stage-changes"))
