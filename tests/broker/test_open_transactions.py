"""A transaction that is open in a source holds the clock, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from faust.types import TP
from kafka import KafkaProducer

from streams.embedded.kafka import KafkaServer
from tests.broker.test_overrides import Unthreaded
from tests.wire import create_topic, produce

pytestmark = pytest.mark.broker


@contextmanager
def transaction(bootstrap: str, topic: str, value: bytes) -> Iterator[None]:
    """A record in a transaction that is open as long as this lasts, and committed then."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, transactional_id=topic)
    try:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(topic, value, partition=0)
        producer.flush(60)
        yield
        producer.commit_transaction()
    finally:
        producer.close(5)


async def test_what_is_not_committed_is_not_waited_for(kafka: KafkaServer, topic_prefix: str) -> None:
    """What may be read of a partition ends before an open transaction: the merge has nothing to wait for behind that."""
    topic = topic_prefix + "t"
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, [(None, b"0"), (None, b"1")])
    tp = TP(topic, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(*tp)])
        thread = Unthreaded(consumer)
        with transaction(kafka.bootstrap, topic, b"open"):
            assert [(await consumer.getone()).offset for _ in range(2)] == [0, 1]
            assert consumer.highwater(TopicPartition(*tp)) == 3
            assert thread.highwater(tp) == 2
        assert (await consumer.getone()).offset == 2
        assert thread.highwater(tp) == 4
    finally:
        await consumer.stop()
