"""Records whose headers have names that are not UTF-8 are read like others, where aiokafka by itself stops for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import aiokafka
import pytest
from aiokafka.consumer import fetcher
from aiokafka.record import memory_records
from kafka import KafkaProducer

from streams import lenient
from streams.embedded.kafka import KafkaServer
from streams.outbox import Outbox, acknowledged
from tests.chaos.crew import PATIENCE_S
from tests.chaos.poison import Nameless
from tests.wire import create_topic

pytestmark = pytest.mark.broker

RECORDS: list[tuple[bytes, list[tuple[str, bytes]]]] = [
    (b"0", [("trace", b"\xff")]),
    (b"1", [(Nameless("x"), b"1"), ("ärger", b"2")]),
    (b"2", []),
    (b"3", [(Nameless("x"), b"")]),
    (b"4", [("trace", b"")]),
]
READ = [
    (b"0", (("trace", b"\xff"),)),
    (b"1", (("\\xff\\xfe", b"1"), ("ärger", b"2"))),
    (b"2", ()),
    (b"3", (("\\xff\\xfe", b""),)),
    (b"4", (("trace", b""),)),
]


async def read(bootstrap: str, topic: str, count: int) -> list[Any]:
    """So many records of a topic, from its first."""
    consumer = aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_a_name_that_is_no_text_stops_nobody(
    kafka: KafkaServer, topic_prefix: str, monkeypatch: pytest.MonkeyPatch, compression: str | None
) -> None:
    """One batch with such names is read whole, in order and once; without our reading the consumer raises at the first."""
    topic = topic_prefix + "t"
    create_topic(kafka.bootstrap, topic)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, compression_type=compression, linger_ms=500)
    for value, headers in RECORDS:
        producer.send(topic, value, headers=headers, partition=0)
    producer.flush(60)
    producer.close(5)
    # aiokafka's own: whoever ran before in this process may have put ours in their place
    monkeypatch.setattr(fetcher, "MemoryRecords", memory_records.MemoryRecords)
    monkeypatch.setattr(fetcher, "PartitionRecords", lenient.LenientPartition.__base__)
    monkeypatch.setattr(fetcher, "FetchResult", lenient.LenientResult.__base__)
    with pytest.raises(UnicodeDecodeError):
        await read(kafka.bootstrap, topic, len(RECORDS))
    lenient.install()
    found = await read(kafka.bootstrap, topic, len(RECORDS))
    assert [(record.value, record.headers) for record in found] == READ
    assert [record.offset for record in found] == list(range(len(RECORDS)))


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_what_an_outbox_wrote_is_known_by_its_number(
    kafka: KafkaServer, topic_prefix: str, compression: str
) -> None:
    """Of records of two outboxes and of a producer without a number one reader gives all but the first outbox's own."""
    topic = topic_prefix + "t"
    create_topic(kafka.bootstrap, topic)
    lenient.install()
    mine, another = (Outbox({"bootstrap_servers": kafka.bootstrap}, compression, 30.0) for _ in range(2))
    plain = KafkaProducer(bootstrap_servers=kafka.bootstrap, enable_idempotence=False)
    tp = aiokafka.TopicPartition(topic, 0)
    reader = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, key_deserializer=lenient.Others(lambda: mine.producer_id)
    )
    await mine.start()
    await another.start()
    await reader.start()
    try:
        for n in range(4):
            for outbox, name in ((mine, "mine"), (another, "another"), (mine, "mine again")):
                await acknowledged(await outbox.send(topic, 0, [(b"%d" % n, name.encode(), [])]), "records")
            plain.send(topic, b"plain", partition=0).get(30)
        await acknowledged(await mine.send(topic, 0, [(b"end", b"mine", [])]), "records")
        reader.assign([tp])
        await reader.seek_to_beginning(tp)
        found = []
        async with asyncio.timeout(PATIENCE_S):
            while await reader.position(tp) < 17:
                found += (await reader.getmany(tp, timeout_ms=100)).get(tp, [])
    finally:
        for one in (mine, another, reader):
            await one.stop()
        plain.close(5)
    assert len({mine.producer_id, another.producer_id, -1}) == 3
    assert [(record.offset, record.value) for record in found] == [
        (at, value) for n in range(4) for at, value in ((4 * n + 1, b"another"), (4 * n + 3, b"plain"))
    ]


@pytest.mark.parametrize("deserializer", [None, lenient.BARE], ids=["as upstream", "bare"])
async def test_a_second_reading_begins_where_the_first_ended(
    kafka: KafkaServer, topic_prefix: str, deserializer: Any
) -> None:
    """Of three batches in one fetch, begun within the first, the last has such a name in its middle: each record comes once, in order."""
    topic = topic_prefix + "t"
    create_topic(kafka.bootstrap, topic)
    lenient.install()
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, linger_ms=500)
    for batch in range(3):
        for n in range(4):
            name: str = Nameless("x") if (batch, n) == (2, 2) else "x"
            producer.send(topic, b"%d" % (4 * batch + n), headers=[(name, b"")], partition=0)
        producer.flush(60)
    producer.close(5)
    tp = aiokafka.TopicPartition(topic, 0)
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, key_deserializer=deserializer)
    await consumer.start()
    try:
        consumer.assign([tp])
        consumer.seek(tp, 2)
        found = []
        async with asyncio.timeout(PATIENCE_S):
            while await consumer.position(tp) < 12:
                found += (await consumer.getmany(tp, timeout_ms=100, max_records=5)).get(tp, [])
    finally:
        await consumer.stop()
    assert [(record.offset, record.value) for record in found] == [(n, b"%d" % n) for n in range(2, 12)]
