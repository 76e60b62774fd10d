"""Follows a topic with kafka-python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from config.settings import Settings
from streams.connections import UnreachableError, reach_kafka


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
        finally:
            consumer.close()
    except kafka_errors.KafkaError as error:
        raise UnreachableError(
            f"Kafka at {bootstrap}: reading {topic} failed ({type(error).__name__}: {error})"
        ) from error


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
