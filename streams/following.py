"""Follows a topic with kafka-python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from config.settings import Settings
from streams.connections import UnreachableError, reach_kafka

LIBRARIES = {"snappy": "python-snappy", "lz4": "lz4", "zstd": "zstandard"}
"""By codec what kafka-python unpacks it with; gzip it can by itself."""
LOOK_MS = 5_000
"""How long a partition is waited for when the record that cannot be read is looked for."""


class FollowError(ValueError):
    """A topic that cannot be followed. One line: which, why, what to do."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record as Kafka has it; `timestamp` is Kafka's own, in ms UTC."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]

    def header(self, name: str) -> str | None:
        """A header as text; None when it is not there or empty."""
        return self.headers.get(name, b"").decode(errors="replace") or None


def follow(settings: Settings, bootstrap: str, topic: str, *, from_beginning: bool = False) -> Iterator[Record]:
    """Every record of a topic from now on, or from its first; never ends by itself.

    In order within a partition, so for each customer; it joins no group and commits nothing.
    Raises `UnreachableError`, or `FollowError` when the topic is not there.
    """
    options = reach_kafka(settings, bootstrap).options
    try:
        consumer = KafkaConsumer(
            group_id=None,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            **options,
        )
        try:
            yield from _records(consumer, topic, from_beginning=from_beginning)
        except kafka_errors.UnsupportedCodecError as error:
            raise FollowError(_compressed(consumer, options, str(error))) from error
        finally:
            consumer.close()
    except kafka_errors.KafkaError as error:
        raise UnreachableError(
            f"Kafka at {bootstrap}: reading {topic} failed ({type(error).__name__}: {error})"
        ) from error


def _compressed(consumer: KafkaConsumer, options: dict[str, Any], said: str) -> str:
    """What to say of a record in a codec for which there is no library. A consumer that met one does not say where, and asked
    again it never answers: another one looks, where each partition would go on."""
    codec = next((name for name in LIBRARIES if name in said), "a codec unknown here")
    positions = {partition: consumer.position(partition) for partition in consumer.assignment()}
    found = (_place(options, partition, positions[partition]) for partition in sorted(positions))
    place = next(filter(None, found), "a record")
    told = f"{place} is compressed with {codec}, for which there is no library"
    if codec not in LIBRARIES:
        return f"{told}: write it with gzip, or as it is"
    return f"{told}: type  .venv/bin/pip install {LIBRARIES[codec]}  (a worker needs cramjam: `lifestage doctor` says more)"


def _place(options: dict[str, Any], partition: TopicPartition, offset: int) -> str | None:
    """The place of a record that is in such a codec, if it is the one that a partition goes on with."""
    looking = KafkaConsumer(group_id=None, enable_auto_commit=False, allow_auto_create_topics=False, **options)
    try:
        looking.assign([partition])
        if looking.end_offsets([partition])[partition] > offset:
            looking.seek(partition, offset)
            looking.poll(timeout_ms=LOOK_MS, max_records=1)
    except kafka_errors.UnsupportedCodecError:
        return f"{partition.topic}[{partition.partition}]@{offset}"
    finally:
        looking.close()
    return None


def _records(consumer: KafkaConsumer, topic: str, *, from_beginning: bool) -> Iterator[Record]:
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise FollowError(f"topic {topic} is not there: `lifestage provision` makes it")
    partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
    consumer.assign(partitions)
    if from_beginning:
        consumer.seek_to_beginning(*partitions)
    else:
        consumer.seek_to_end(*partitions)
        for partition in partitions:  # "now" is when we were asked, not when the first poll gets round to it
            consumer.position(partition)
    while True:
        for batch in consumer.poll(timeout_ms=200).values():
            for record in batch:
                yield Record(
                    record.topic,
                    record.partition,
                    record.offset,
                    record.timestamp,
                    record.key,
                    record.value,
                    dict(record.headers),
                )
