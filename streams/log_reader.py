"""Reads the log as it stands, from its first record to its high watermark, to fold it once more.

It joins no consumer group and commits nothing: the workers do not notice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from config.errors import UserFacingError
from config.settings import Settings
from lifestage.moments import iso
from streams.closing import Closing
from streams.connections import UnreachableError, reach_kafka
from streams.topics import topics_of

Record = tuple[int, bytes | None, bytes]
"""Offset, key, value: what `lifestage.partition.Partition` folds."""

RECORDS_A_POLL = 5_000
POLL_MS = 200


class LogReader(Closing):
    """The log of a deployment, partition by partition, up to the ends it had when this was made."""

    def __init__(self, settings: Settings, bootstrap: str) -> None:
        """Connect, and see how far the log goes. Raises `UnreachableError`, or `UserFacingError` when it is not there."""
        self.topic = topics_of(settings).log.name
        self._bootstrap, self._patience = bootstrap, settings.kafka.request_timeout_s
        try:
            self._consumer = KafkaConsumer(
                group_id=None,
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                # what is asked for and not there is an error here, never a reason to begin elsewhere
                auto_offset_reset="none",
                max_poll_records=RECORDS_A_POLL,
                max_partition_fetch_bytes=8 << 20,
                **reach_kafka(settings, bootstrap).options,
            )
        except kafka_errors.KafkaError as error:
            raise self._unreachable(error) from error
        try:
            self.ends = self._ends()
        except BaseException:
            self._consumer.close()
            raise

    def _unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(
            f"Kafka at {self._bootstrap}: reading {self.topic} failed ({type(error).__name__}: {error})"
        )

    def _ends(self) -> dict[int, int]:
        """Partition → the next offset to be written. The client now and then drops some of an answer: it is asked again."""
        try:
            numbers = self._consumer.partitions_for_topic(self.topic)
            if not numbers:
                raise UserFacingError(f"topic {self.topic} is not there: `lifestage provision` makes it")
            partitions = [TopicPartition(self.topic, number) for number in sorted(numbers)]
            for _ in range(10):
                try:
                    return {p.partition: end for p, end in self._consumer.end_offsets(partitions).items()}
                except KeyError:
                    time.sleep(0.1)
        except kafka_errors.KafkaError as error:
            raise self._unreachable(error) from error
        raise UserFacingError(f"Kafka at {self._bootstrap} does not say where {self.topic} ends: try again")

    def check_whole(self, numbers: Iterable[int]) -> None:
        """Raise `UserFacingError` when the beginning of one of these partitions is no longer kept: name it, and from when it is."""
        partitions = [TopicPartition(self.topic, number) for number in numbers]
        try:
            firsts = self._consumer.beginning_offsets(partitions)
            for partition in partitions:
                if firsts[partition] > 0:
                    raise UserFacingError(self._cut(partition, firsts[partition]))
        except kafka_errors.KafkaError as error:
            raise self._unreachable(error) from error

    def _cut(self, partition: TopicPartition, first: int) -> str:
        place = f"{self.topic}[{partition.partition}]"
        since = "nothing is left of it"
        if first < self.ends[partition.partition]:
            self._seek(partition, first)
            found = next(self._polled(partition, self.ends[partition.partition]))
            since = f"the oldest record left is offset {found[0].offset} of {iso(found[0].timestamp)}"
        return (
            f"the beginning of {place} is gone (topics.log_retention_days?), {since}: "
            "what was announced follows from the whole log alone"
        )

    def records(self, number: int, until: int | None = None) -> Iterator[list[Record]]:
        """All records of a partition in log order, in runs of some thousand, to its end or to the offset `until`, exclusive.

        Raises `UnreachableError` when nothing comes for as long as `kafka.request_timeout_s`, and `UserFacingError`
        when records are missing.
        """
        end = self.ends[number] if until is None else min(until, self.ends[number])
        partition, expected = TopicPartition(self.topic, number), 0
        self._seek(partition, 0)
        for run in self._polled(partition, end):
            if run[0].offset != expected or run[-1].offset != expected + len(run) - 1:
                raise UserFacingError(f"{self.topic}[{number}] has no record at offset {self._missing(run, expected)}")
            expected += len(run)
            yield [(record.offset, record.key, record.value or b"") for record in run]

    @staticmethod
    def _missing(run: list[KafkaConsumer], expected: int) -> int:
        return next((at for at, record in enumerate(run, expected) if record.offset != at), expected)

    def _seek(self, partition: TopicPartition, offset: int) -> None:
        self._consumer.assign([partition])
        self._consumer.seek(partition, offset)

    def _polled(self, partition: TopicPartition, end: int) -> Iterator[list[KafkaConsumer]]:
        """Runs of Kafka's own records, at least one each, from the position on."""
        heard = time.monotonic()
        try:
            while self._consumer.position(partition) < end:
                found = self._consumer.poll(timeout_ms=POLL_MS).get(partition, [])
                run = [record for record in found if record.offset < end]
                if run:
                    yield run
                    heard = time.monotonic()
                elif time.monotonic() - heard > self._patience:
                    raise UnreachableError(
                        f"Kafka at {self._bootstrap}: no more of {self.topic}[{partition.partition}] came within "
                        f"{self._patience:g} s, at offset {self._consumer.position(partition)} of {end}"
                    )
        except (kafka_errors.OffsetOutOfRangeError, kafka_errors.NoOffsetForPartitionError):
            raise UserFacingError(
                f"the beginning of {self.topic}[{partition.partition}] is gone (topics.log_retention_days?): "
                "what was announced follows from the whole log alone"
            ) from None
        except kafka_errors.KafkaError as error:
            raise self._unreachable(error) from error

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
