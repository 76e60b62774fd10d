"""What happens rarely: a worker with nothing to do, sources that change under it, a record too large, a step that hangs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions

from config.settings import Settings
from lifestage.clock import Reading, read_clock
from streams import connections
from streams.dead_letters import VALUE_MAX, why
from streams.embedded.kafka import KafkaServer
from streams.sources import Sources
from streams.stop import EXIT_STOPPED
from tests.broker.test_downtime import visit
from tests.pipeline import Deployment, deployment, differences, owned_by, truth_of, written_by
from tests.services import http_status
from tests.spoilt.workers import Stalled
from tests.wire import create_topic, produce

pytestmark = pytest.mark.broker

NOW_MS = 1_709_208_000_000
LARGE = 3_000_000
"""Bytes: more than the 2 MiB that the topic of dead letters takes."""
CUT = "lifestage-cut-from-bytes"


def test_a_spare_worker_is_ready(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """Of two workers on one partition the one that was given nothing says that it is ready, and owns nothing."""
    with (
        deployment(kafka.bootstrap, topic_prefix, tmp_path, topics__partitions="1") as made,
        made.worker("first") as first,
    ):
        first.wait_ready()
        with made.worker("second") as second:
            second.wait_ready(25)
            first.wait_ready(25)
            assert sorted(owned_by(worker, made.topics.log.name) for worker in (first, second)) == [0, 1]


def run_visits(made: Deployment, name: str, numbers: range) -> None:
    """Visits of as many customers, and a worker that takes them in and stops."""
    made.produce("visits", [visit(n, f"c{n}", NOW_MS + n) for n in numbers])
    with made.worker(name) as worker:
        worker.wait_ready()
        made.wait_done(alive=[worker])
        assert worker.terminate() == 0, worker.log()[-2000:]


def test_a_source_that_was_made_anew_is_taken_in_whole(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """A source is deleted and created: its records count from 0 again, and none of them is taken for a repeat."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, topics__partitions="1") as made:
        name = topic_prefix + "visits"
        run_visits(made, "before", range(50))
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        admin.delete_topics([name])
        while name in admin.list_topics():
            time.sleep(0.1)
        admin.close()
        create_topic(kafka.bootstrap, name, 1)
        run_visits(made, "after", range(100, 140))
        truth, written = truth_of(made), written_by(made)
        assert written.profiles == truth.profiles
        assert {key.decode() for key in written.profiles} == {f"c{n}" for n in (*range(50), *range(100, 140))}
        assert written.markers[0].reread == 0


def test_a_record_larger_than_a_dead_letter_is_cut(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """3 MB of rubbish become a letter of 1.5 MB that says so; its neighbours are folded by the same worker."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, topics__partitions="1") as made:
        name = topic_prefix + "visits"
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": "6000000"})])
        admin.close()
        with made.worker() as worker:
            worker.wait_ready()
            made.produce("visits", [visit(1, "before", NOW_MS)])
            rubbish = [(b"large", b"x" * LARGE), (b"small", b"x")]
            places = dict(
                zip((LARGE, 1), produce(kafka.bootstrap, name, rubbish, max_request_size=6_000_000), strict=True)
            )
            made.produce("visits", [visit(2, "after", NOW_MS)])
            made.wait_done(25, alive=[worker])
            assert worker.terminate() == 0, worker.log()[-2000:]
        letters = {letter.key: letter for letter in made.read(made.topics.dead_letters.name)}
        assert letters.keys() == {b"large", b"small"}
        headers = dict(letters[b"large"].headers)
        told = why(headers)
        assert (told.topic, told.partition, told.offset) == (name, *places[LARGE])
        assert headers[CUT] == str(LARGE).encode()
        assert letters[b"large"].value == b"x" * VALUE_MAX
        assert CUT not in dict(letters[b"small"].headers)
        assert differences(made) == []
        assert truth_of(made).profiles.keys() == {b"before", b"after"}


def test_a_recovery_that_hangs_ends_the_process(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """A step of the recovery without an answer stops the worker with a reason: it is never alive and idle."""
    settings = {"topics__partitions": "1", "kafka__request_timeout_s": "3", "kafka__session_timeout_s": "3"}
    with (
        deployment(kafka.bootstrap, topic_prefix, tmp_path, **settings) as made,
        Stalled(made, "stalled") as worker,
    ):
        deadline = time.monotonic() + 25
        while worker.running:
            assert http_status(f"{worker.url}/readyz") != 200
            assert time.monotonic() < deadline, f"alive and idle:\n{worker.log()[-2000:]}"
            time.sleep(0.2)
        assert worker.child.returncode == EXIT_STOPPED
        assert "lifestage: stopped: a step of the recovery was not done within 3" in worker.log()


async def test_partitions_added_to_a_source_hold_the_clock(kafka: KafkaServer, topic_prefix: str) -> None:
    """A source is given two partitions more while its ends are asked for: what waits in them holds the clock."""
    name = topic_prefix + "visits"
    await asyncio.to_thread(create_topic, kafka.bootstrap, name, 1)
    sources = Sources(connections.aiokafka(Settings()) | {"bootstrap_servers": kafka.bootstrap}, topic_prefix, (name,))
    await sources.start()
    try:
        reading = await read(sources)
        assert (reading.time, reading.holders) == (NOW_MS, ())
        await asyncio.to_thread(add_partitions, kafka.bootstrap, name, 3)
        await asyncio.to_thread(produce, kafka.bootstrap, name, [(None, b"{}")], partition=2)
        reading = await read(sources)
        assert reading.time is None
        assert [(source.topic, source.partition, source.end) for source in reading.holders] == [(name, 2, 1)]
    finally:
        await sources.stop()


async def read(sources: Sources) -> Reading:
    """The clock in mode `wall`, as the sources stand."""
    return read_clock(NOW_MS, await sources.read(), "wall", 0, 60_000)


def add_partitions(bootstrap: str, name: str, total: int) -> None:
    """Give a topic more partitions, and wait until they are known."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_partitions({name: NewPartitions(total)})
    while len(admin.describe_topics([name])[0]["partitions"]) < total:
        time.sleep(0.1)
    admin.close()
