"""librdkafka's mock cluster: enough of a broker for one worker and one demo on a machine without Java."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from streams.embedded.java import INSTALL
from streams.embedded.process import ServiceError

if TYPE_CHECKING:
    from confluent_kafka import Producer


# What kafka-python 3 needs to talk to it: its own question for the broker's version gets an answer that it cannot read.
KAFKA_PYTHON: dict[str, Any] = {"api_version": (2, 3)}


class KafkaInMemory:
    """A broker inside this process. It has 24 of Kafka's calls: topics come to be when first named, with 4 partitions."""

    durable = False
    pid = None
    description = "in-memory broker (librdkafka mock): nothing is kept, one worker only"

    def __init__(self, producer: Producer) -> None:
        """Take over the client that holds the cluster: it lives as long as that client."""
        self._producer: Producer | None = producer
        broker = next(iter(producer.list_topics(timeout=10).brokers.values()))
        self.bootstrap = f"{broker.host}:{broker.port}"

    def stop(self) -> None:
        """End it and all that is in it."""
        self._producer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_kafka_in_memory() -> KafkaInMemory:
    """Start it on 127.0.0.1. Raises `ServiceError` when confluent-kafka is not installed."""
    try:
        from confluent_kafka import Producer
    except ImportError:
        raise ServiceError(
            f"no Kafka here: `{INSTALL}` for the real one, `pip install confluent-kafka` for one in memory, "
            "or give the address of yours as kafka.bootstrap"
        ) from None
    quiet: dict[str, Any] = {"test.mock.num.brokers": 1, "bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    return KafkaInMemory(Producer(quiet))
