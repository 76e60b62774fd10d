"""What is on the wire: topics made, filled and read to the end, without any code of the product."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic


@dataclass(frozen=True, slots=True)
class Record:
    """One record as the broker gives it; `timestamp_ms` since 1970."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def create_topic(bootstrap: str, topic: str, partitions: int = 1, **configs: str) -> None:
    """Make a topic; `configs` as Kafka names them with `_` for `.`, such as `cleanup_policy="compact"`."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        named = {name.replace("_", "."): value for name, value in configs.items()}
        admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=named)], wait_for_metadata=True)
    finally:
        admin.close()


def produce(
    bootstrap: str, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], **options: Any
) -> list[tuple[int, int]]:
    """Send keys and values in order and return the partition and offset of each; raises if one is not acknowledged.

    `options` go to the producer; `partition` and `timestamp_ms` among them to each record.
    """
    each = {name: options.pop(name) for name in ("partition", "timestamp_ms") if name in options}
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", **options)
    try:
        sent = [producer.send(topic, key=key, value=value, **each) for key, value in records]
        producer.flush(60)
        return [(done.partition, done.offset) for done in (future.get(60) for future in sent)]
    finally:
        producer.close(5)


def read_all(bootstrap: str, topic: str, timeout_s: float = 60, **options: Any) -> list[Record]:
    """Every record of every partition up to the high watermark of now, in order of partition and offset.

    `options` go to the consumer. Raises `TimeoutError` when the watermark is not reached in `timeout_s`, and
    `LookupError` when there is no such topic.
    """
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest", **options
    )
    try:
        partitions = consumer.partitions_for_topic(topic)
        if not partitions:
            raise LookupError(f"no topic {topic} at {bootstrap}")
        wanted = [TopicPartition(topic, number) for number in sorted(partitions)]
        consumer.assign(wanted)
        consumer.seek_to_beginning(*wanted)
        return _read_to(consumer, consumer.end_offsets(wanted), time.monotonic() + timeout_s)
    finally:
        consumer.close()


def _read_to(consumer: KafkaConsumer, ends: Mapping[TopicPartition, int], deadline: float) -> list[Record]:
    found: list[Record] = []
    # The position, not the last record, is compared: offsets of compacted records and of transactions hold no record.
    while behind := {p: (consumer.position(p), end) for p, end in ends.items() if consumer.position(p) < end}:
        if time.monotonic() > deadline:
            raise TimeoutError(f"high watermark not reached, (position, end) by partition: {behind}")
        for partition, records in consumer.poll(timeout_ms=200, max_records=5_000).items():
            found.extend(
                Record(r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
                for r in records
                if r.offset < ends[partition]
            )
    return sorted(found, key=lambda record: (record.partition, record.offset))
