"""What the workers have not read yet, and the tick that ends a replay: seen from outside, with kafka-python."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors

from config.errors import UserFacingError
from config.settings import Settings
from lifestage import log
from streams.closing import Closing
from streams.connections import UnreachableError, check_kafka, kafka_python
from streams.topics import topics_of

POLL_S = 0.1


class Waiting(NamedTuple):
    """A partition with records that the group has not finished: the next to be read, and the next to be written."""

    topic: str
    partition: int
    next: int
    end: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] at {self.next} of {self.end}"


class Backlog(Closing):
    """Asks Kafka how far the group's commits are behind the ends of topics. It joins no group and commits nothing.

    Use it in a `with`. `extra` are options of kafka-python that win over those of the settings.
    Raises `UnreachableError`.
    """

    def __init__(self, settings: Settings, bootstrap: str, extra: dict[str, Any] | None = None) -> None:
        self._settings, self._bootstrap = settings, bootstrap
        check_kafka(settings, bootstrap)
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap.split(","),
            group_id=settings.kafka.group,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            **kafka_python(settings) | (extra or {}),
        )

    def waiting(self, topics: Iterable[str]) -> list[Waiting]:
        """The partitions of `topics` with unfinished records. Raises `UserFacingError` for a topic that is not there."""
        return [one for topic in topics for one in self._of(topic) if one.next < one.end]

    def ends(self, topics: Iterable[str]) -> int:
        """How many records were ever written to `topics`. Raises as `waiting` does."""
        return sum(one.end for topic in topics for one in self._of(topic))

    def _of(self, topic: str) -> list[Waiting]:
        try:
            return self._ask(topic)
        except kafka_errors.KafkaError as error:
            raise UnreachableError(
                f"Kafka at {self._bootstrap}: asking for the commits of group {self._settings.kafka.group!r} failed "
                f"({type(error).__name__}: {error})"
            ) from error

    def _ask(self, topic: str) -> list[Waiting]:
        numbers = self._consumer.partitions_for_topic(topic)
        if not numbers:
            raise UserFacingError(f"topic {topic} is not there: `lifestage provision` makes it")
        partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
        # Commits before ends: so it can only claim too much work, never too little.
        committed = {partition: self._consumer.committed(partition) for partition in partitions}
        firsts = self._consumer.beginning_offsets(partitions)
        ends = self._ends(partitions)
        return [
            Waiting(topic, p.partition, firsts[p] if committed[p] is None else committed[p], ends[p])
            for p in partitions
        ]

    def _ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """The next offset of each partition. The client now and then drops some of a partial answer: it is asked again."""
        for _ in range(10):
            try:
                return dict(self._consumer.end_offsets(partitions))
            except KeyError:
                time.sleep(0.1)
        raise UserFacingError(
            "Kafka does not say where its topics end: try again, and look at the broker's log if it stays"
        )

    def wait(
        self, topics: Iterable[str], seconds: float, heard: Callable[[list[Waiting]], object] = lambda _: None
    ) -> list[Waiting]:
        """Wait until nothing waits, at most `seconds`; returns what still does. `heard` gets every look."""
        deadline, names = time.monotonic() + seconds, list(topics)
        while True:
            left = self.waiting(names)
            heard(left)
            if not left or time.monotonic() >= deadline:
                return left
            time.sleep(POLL_S)

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


def write_tick(settings: Settings, bootstrap: str, at: int, extra: dict[str, Any] | None = None) -> int:
    """Write a tick of `at` (ms) to every partition of the log; returns how many, once all in-sync replicas have them.

    Only to be called when nothing waits in the sources: it says that all facts before `at` are in the log.
    Raises `UnreachableError`.
    """
    topic = topics_of(settings).log.name
    value = log.pack_tick(log.Tick(at, live=False))
    check_kafka(settings, bootstrap)
    try:
        producer = KafkaProducer(
            bootstrap_servers=bootstrap.split(","),
            acks="all",
            allow_auto_create_topics=False,
            **kafka_python(settings) | (extra or {}),
        )
        try:
            partitions = sorted(producer.partitions_for(topic))
            sent = [producer.send(topic, value=value, partition=number) for number in partitions]
            for future in sent:
                future.get(settings.kafka.request_timeout_s)
        finally:
            producer.close()
    except kafka_errors.KafkaError as error:
        raise UnreachableError(
            f"Kafka at {bootstrap}: writing a tick to {topic} failed ({type(error).__name__}: {error})"
        ) from error
    return len(partitions)
