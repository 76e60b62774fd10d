"""What a worker holds of what it cannot send yet is bounded in bytes: the rest waits in Kafka, and none of it is lost."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from streams.embedded.kafka import KafkaServer
from streams.embedded.process import Child, free_ports
from tests.careless_intake import HELD_BYTES
from tests.pipeline import Deployment, deployment, differences, truth_of
from tests.wire import produce
from tests.workers import Worker, environment_of

pytestmark = pytest.mark.broker

BLOBS, BLOB = 20, b"\xfe" * 1_000_000
"""Per partition, of two: more than twice the bound in all."""
FETCHED = 4 << 20
"""What may come in of a partition that was not full when it was asked for."""


class Careless(Worker):
    """A worker that sends when it is told to."""

    def __init__(self, made: Deployment, words: str, name: str) -> None:
        (self.port,) = free_ports(1)
        self.name = name
        self.arm = made.home / f"{name}.arm"
        self.child = Child(
            [sys.executable, "-P", "-m", "tests.careless_intake", str(self.arm), words, "worker"],
            made.home / f"{name}.log",
            environment_of({**made.given, "metrics.port": str(self.port)}, made.home / name),
        )

    @property
    def held(self) -> tuple[int, int]:
        """The most bytes that it has held, and how many partitions it did not fetch then."""
        file = self.arm.with_suffix(".held")
        text = file.read_text() if file.exists() else ""
        peak, _, full = text.partition(" ")
        return (int(peak), int(full)) if full else (0, 0)


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
