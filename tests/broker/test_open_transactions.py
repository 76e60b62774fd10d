"""A transaction that is open in a source holds the clock, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from faust.types import TP
from kafka import KafkaProducer

from streams.embedded.kafka import KafkaServer
from tests.broker.test_downtime import visit
from tests.broker.test_overrides import Unthreaded
from tests.pipeline import deployment, written_by
from tests.upsets import set_commits
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
            assert await thread._bounds([tp]) == ({tp: 0}, {tp: 3})
        assert (await consumer.getone()).offset == 2
        assert thread.highwater(tp) == 4
    finally:
        await consumer.stop()


def test_a_commit_behind_an_open_transaction_stops_nobody(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """Where an earlier release has read and committed what was not committed yet, a worker goes on behind that."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, topics__partitions="1") as made:
        name, now = made.prefix + "visits", int(time.time() * 1000)
        assert made.worker("before").wait_ready(120).terminate() == 0
        with transaction(made.bootstrap, name, msgspec.json.encode(visit(0, "c0", now))):
            set_commits(made, {(name, 0): 1})
            worker = made.worker("after").wait_ready(120)
        made.produce("visits", [visit(1, "c1", now)])
        made.wait_done(alive=[worker])
        assert worker.terminate() == 0, worker.log()[-2000:]
        assert written_by(made).profiles.keys() == {b"c1"}
