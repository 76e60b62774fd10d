"""Sources whose offsets have holes, as of transactions and compaction, and sources that grow: each event comes in once."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer

from streams.embedded.kafka import KafkaServer
from tests.broker.test_downtime import visit
from tests.pipeline import Deployment, deployment, samples, truth_of, written_by
from tests.spoilt.workers import Forgetful
from tests.upsets import add_partitions, wait_until
from tests.wire import produce
from tests.workers import Worker

pytestmark = pytest.mark.broker


def in_transactions(made: Deployment, numbers: range, *, commits: bool) -> None:
    """Visits of now, each in a transaction of its own: a marker stands behind each and takes an offset."""
    now = int(time.time() * 1000)
    producer = KafkaProducer(bootstrap_servers=made.bootstrap, transactional_id=f"{made.prefix}{numbers.start}")
    producer.init_transactions()
    for number in numbers:
        producer.begin_transaction()
        producer.send(made.prefix + "visits", msgspec.json.encode(visit(number, f"c{number}", now)))
        if commits:
            producer.commit_transaction()
        else:
            producer.flush()
            producer.abort_transaction()
    producer.close(5)


def held(worker: Worker) -> set[str]:
    """Sources that hold the clock."""
    return {dict(labels)["topic"] for name, labels in samples(worker) if name == "lifestage_clock_held"}


def test_markers_of_transactions_hold_nothing_up(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """Events in transactions come in once, those of aborted ones never; the markers behind them do not hold the clock,
    as they do a worker that waits for a record at each offset."""
    settings = {"topics__partitions": "1", "clock__mode": "wall"}
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **settings) as made:
        with made.worker() as worker:
            worker.wait_ready(120)
            in_transactions(made, range(20), commits=True)
            in_transactions(made, range(100, 110), commits=False)
            in_transactions(made, range(20, 25), commits=True)
            made.wait_taken_in(120, alive=[worker])  # as far as the markers behind the last events
            wait_until(lambda: not held(worker), "free of what holds the clock")
            made.wait_done(alive=[worker])
            assert worker.terminate() == 0, worker.log()[-2000:]
        assert {key.decode() for key in truth_of(made).profiles} == {f"c{number}" for number in range(25)}
        assert written_by(made).profiles == truth_of(made).profiles
        with Forgetful(made, "stopping_at_markers", "stopping") as worker:
            worker.wait_ready(120)
            in_transactions(made, range(200, 205), commits=True)
            wait_until(lambda: len(truth_of(made).profiles) == 30, "taken in")
            wait_until(lambda: held(worker) == {made.prefix + "visits"}, "held by a marker")


def test_partitions_that_a_source_is_given_are_read(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """A source gets two partitions more while nobody runs; what is sent to them comes in, and nothing comes in twice."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, topics__partitions="2") as made:
        made.produce("visits", [visit(number, f"c{number}", 1_709_208_000_000 + number) for number in range(40)])
        with made.worker("before") as worker:
            worker.wait_ready(120)
            made.wait_done(alive=[worker])
            assert worker.terminate() == 0, worker.log()[-2000:]
        name = made.prefix + "visits"
        add_partitions(made, name, 4)
        for number in (2, 3):
            value = msgspec.json.encode(visit(100 + number, f"c{100 + number}", 1_709_208_001_000))
            produce(made.bootstrap, name, [(b"x", value)], partition=number)
        with made.worker("after") as worker:
            worker.wait_ready(120)
            wait_until(lambda: len(truth_of(made).profiles) == 42, "taken in")
            made.wait_done(alive=[worker])
            assert worker.terminate() == 0, worker.log()[-2000:]
        truth, written = truth_of(made), written_by(made)
        assert written.profiles == truth.profiles
        assert sum(marker.reread for marker in written.markers.values()) == 0
