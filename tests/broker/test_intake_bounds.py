"""What a worker holds of what it cannot send yet is bounded in bytes: the rest waits in Kafka, and none of it is lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from streams.embedded.kafka import KafkaServer
from tests.pipeline import Deployment, deployment, differences, truth_of
from tests.spoilt.intake import HELD_BYTES
from tests.spoilt.workers import Careless
from tests.wire import produce

pytestmark = pytest.mark.broker

BLOBS, BLOB = 20, b"\xfe" * 1_000_000
"""Per partition, of two: more than twice the bound in all."""
FETCHED = 4 << 20
"""What may come in of a partition that was not full when it was asked for."""


def most_held(made: Deployment, words: str, until: int) -> int:
    """The most that a worker holds which sends once it holds `until` bytes, or fetches neither partition any more."""
    with Careless(made, words, f"w{words}") as worker:
        deadline = time.monotonic() + 120
        while worker.held[0] < until and worker.held[1] < 2:
            assert time.monotonic() < deadline, (worker.held, worker.log()[-2000:])
            assert worker.running, worker.log()[-2000:]
            time.sleep(0.05)
        worker.arm.touch()
        made.wait_done(120, alive=[worker.wait_ready()])
        assert worker.terminate() == 0
        return worker.held[0]


def flooded(bootstrap: str, prefix: str, home: Path, words: str) -> int:
    """The most that a worker holds of a flood of large records, all of which it puts aside in the end."""
    with deployment(bootstrap, prefix, home, topics__sources="visits", topics__partitions="2") as made:
        for number in range(2):
            blobs = [(b"k", BLOB)] * BLOBS
            produce(bootstrap, made.prefix + "visits", blobs, partition=number, max_request_size=2_000_000)
        held = most_held(made, words, 2 * HELD_BYTES)
        assert sum(truth_of(made).accounted.values()) == 2 * BLOBS
        assert differences(made) == []
        return held


def test_what_cannot_be_sent_is_held_up_to_a_bound(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """Of 40 MB no more is held than the bound and one fetch of each partition; without the bound it is more."""
    assert flooded(kafka.bootstrap, topic_prefix, tmp_path, "") < HELD_BYTES + 2 * FETCHED
    unbounded = flooded(kafka.bootstrap, f"{topic_prefix}u.", tmp_path, "unbounded")
    assert unbounded > HELD_BYTES + 2 * FETCHED
