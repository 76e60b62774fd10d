"""Two requests of Kafka's protocol that kafka-python's clients do not make: a batch by its header alone, and a refusal in all its words."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.protocol.consumer import FetchRequest
from kafka.protocol.producer import ProduceRequest

BATCH_BYTES = 65_536
HEADER = struct.Struct(">21xh4xqq")
"""Of a batch: attributes, timestamp of its first record, greatest timestamp."""
APPEND_TIME = 8
"""The attribute of a batch whose records all have the time at which the broker took it."""
BY_NAME = {"fetch": 12, "produce": 9}
"""The newest version of each request that names topics by their names."""


def fetch(wanted: Mapping[TopicPartition, int], wait_ms: int) -> FetchRequest:
    """Ask the leader of partitions for the batches that hold these offsets."""
    topic_of = FetchRequest.FetchTopic
    topics = [
        topic_of(
            topic=topic,
            partitions=[
                topic_of.FetchPartition(
                    partition=tp.partition,
                    current_leader_epoch=-1,
                    fetch_offset=offset,
                    last_fetched_epoch=-1,
                    log_start_offset=-1,
                    partition_max_bytes=BATCH_BYTES,
                )
                for tp, offset in wanted.items()
                if tp.topic == topic
            ],
        )
        for topic in {tp.topic for tp in wanted}
    ]
    return FetchRequest(
        replica_id=-1,
        max_wait_ms=wait_ms,
        min_bytes=1,
        max_bytes=BATCH_BYTES * len(wanted),
        isolation_level=0,
        session_id=0,
        session_epoch=-1,
        topics=topics,
        forgotten_topics_data=[],
        rack_id="",
        min_version=4,
        max_version=BY_NAME["fetch"],
    )


def came(answer: Any) -> dict[TopicPartition, int]:
    """When the batches came, ms, of those partitions that the answer has one of. They are not unpacked for it."""
    return {
        TopicPartition(topic.topic, one.partition_index): _timestamp(bytes(one.records))
        for topic in answer.responses
        for one in topic.partitions
        if one.records and len(one.records) >= HEADER.size
    }


def _timestamp(batch: bytes) -> int:
    attributes, first, greatest = HEADER.unpack_from(batch)
    return int(greatest if attributes & APPEND_TIME else first)


def produce(topic: str, batch: bytes, timeout_ms: int) -> ProduceRequest:
    """Ask the leader of partition 0 of a topic to take a batch."""
    data = ProduceRequest.TopicProduceData
    partition = data.PartitionProduceData(index=0, records=batch)
    return ProduceRequest(
        transactional_id=None,
        acks=-1,
        timeout_ms=timeout_ms,
        topic_data=[data(name=topic, partition_data=[partition])],
        max_version=BY_NAME["produce"],
    )


def refusal(answer: Any) -> str:
    """All that a broker says of why it has not taken a batch."""
    told = answer.responses[0].partition_responses[0]
    why = [one.batch_index_error_message for one in told.record_errors or ()]
    return "; ".join(filter(None, [kafka_errors.for_code(told.error_code).__name__, told.error_message, *why]))
