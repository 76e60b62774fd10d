"""The tests' own tools: what they say is read is all there is, and what they wait for is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.embedded.kafka import KafkaServer
from streams.embedded.process import ServiceError
from tests.wire import create_topic, produce, read_all
from tests.workers import Worker, environment_of


@pytest.mark.broker
def test_reading_a_topic_gives_every_partition_or_raises(kafka: KafkaServer, topic_prefix: str) -> None:
    """All records of all partitions come in order with their headers and times; a part of them is never the answer."""
    topic = topic_prefix + "t"
    create_topic(kafka.bootstrap, topic, partitions=4, cleanup_policy="compact")
    assert read_all(kafka.bootstrap, topic) == []
    sent = produce(kafka.bootstrap, topic, [(b"%d" % n, None if n % 5 else b"v") for n in range(500)], timestamp_ms=7)
    found = read_all(kafka.bootstrap, topic)
    assert [(record.partition, record.offset) for record in found] == sorted(sent)
    assert {record.partition for record in found} == {0, 1, 2, 3}
    assert {(record.value, record.timestamp_ms, record.headers) for record in found} == {(None, 7, ()), (b"v", 7, ())}
    with pytest.raises(TimeoutError, match="high watermark not reached"):
        read_all(kafka.bootstrap, topic, timeout_s=0)


def test_a_worker_that_ends_before_it_is_ready_is_told(tmp_path: Path) -> None:
    """A refused start fails the wait at once, with the exit code, and the log says what was wrong."""
    with Worker({"kafka.bootstrap": "nonsense"}, tmp_path, "w1") as worker:
        with pytest.raises(ServiceError, match="w1 ended with status 2"):
            worker.wait_ready()
        assert not worker.running
        assert "'nonsense' is not host:port" in worker.log()


def test_a_worker_sees_the_settings_of_the_test_and_no_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Variables of the surrounding shell that begin with LIFESTAGE_ do not reach a worker."""
    monkeypatch.setenv("LIFESTAGE_KAFKA_GROUP", "mine")
    found = environment_of({"kafka.bootstrap": "127.0.0.1:1"}, tmp_path)
    ours = {name: value for name, value in found.items() if name.startswith("LIFESTAGE_")}
    assert ours == {"LIFESTAGE_KAFKA_BOOTSTRAP": "127.0.0.1:1", "LIFESTAGE_HOME": str(tmp_path)}
