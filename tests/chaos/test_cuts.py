"""Bad networks between workers and broker; and what the watch on durability sees when a guard is missing."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import UnknownTopicOrPartitionError

from streams.embedded.kafka import KafkaServer
from streams.outbox import NO_HEADERS, Outbox
from streams.patience import RETRY_S, SAY_S, AtIntervals, ask_at_intervals
from tests.chaos.arena import Arena
from tests.chaos.cluster import Cluster
from tests.chaos.crew import Fragile
from tests.chaos.cuts import planned
from tests.chaos.proxy import Kind
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.siege import Order
from tests.chaos.table import plain
from tests.wire import create_topic, read_all
from tests.workers import Worker

pytestmark = pytest.mark.broker

BROKEN = ("commit_ahead", "state_before_changes")
PATIENCE_S = 120.0


def test_cuts_lose_and_double_nothing(arena: Arena) -> None:
    """Four kinds of bad network on the ways of two workers: no event, change or profile is lost, doubled or early."""
    row = SCENARIOS["cuts"].run_small(arena)
    assert row.ok, plain([row])


def test_every_kind_is_planned_as_often_as_any_other(arena: Arena) -> None:
    """Of 24 cuts each kind has three, one lasts 90 s, and both ways and each alone are hit."""
    plan = planned(arena.chance("plan"), 24)
    assert sorted(kind for kind, _, _ in plan) == sorted([*Kind] * 3)
    assert max(seconds for _, seconds, _ in plan) == 90
    assert min(seconds for _, seconds, _ in plan) >= 1
    assert {tuple(ways) for _, _, ways in plan} == {("left", "right"), ("left",), ("right",)}


def test_the_watch_sees_what_becomes_durable_too_early(arena: Arena, tmp_path: Path) -> None:
    """On a slow network a commit before its state, and state before its changes, are seen; of a sound worker nothing."""
    with Cluster(tmp_path / "cluster", 1, ("slow",)) as cluster, ExitStack() as stack:
        own = Arena(cluster.bootstrap, tmp_path, arena.seed)
        orders: dict[str, Order] = {}
        workers: list[Worker] = []
        for words in ("", *BROKEN):
            # A heartbeat may take 4 s there and back: nobody is to be taken for dead.
            made = stack.enter_context(own.deployment(words or "sound", kafka__session_timeout_s="30"))
            made.given["kafka.bootstrap"] = cluster.lanes["slow"].bootstrap
            workers.append(stack.enter_context(Fragile(made, words, "w")))
            orders[words] = stack.enter_context(Order(made))
            workers[-1].wait_ready(PATIENCE_S)
            stack.enter_context(own.load(made, 50))
        cluster.lanes["slow"].fault(Kind.DELAY)
        deadline = time.monotonic() + PATIENCE_S
        while not all(orders[words].ahead for words in BROKEN) or orders[""].looks < 10:
            assert time.monotonic() < deadline, {words: order.ahead for words, order in orders.items()}
            assert all(worker.running for worker in workers), [worker.log()[-500:] for worker in workers]
            time.sleep(0.1)
        assert cluster.lanes["slow"].done().proves(Kind.DELAY)
        cluster.lanes["slow"].restore()
    assert orders[""].ahead == []
    assert orders["commit_ahead"].ahead[0].startswith("commit ")
    assert orders["state_before_changes"].ahead[0].startswith("profile ")


async def seconds_of(client: AIOKafkaClient, questions: int) -> float:
    """How long it takes to ask for the cluster's state so often, each time as soon as there was an answer."""
    began = time.monotonic()
    for _ in range(questions):
        await client.force_metadata_update()
    return time.monotonic() - began


async def test_the_state_of_the_cluster_is_asked_for_at_intervals(kafka: KafkaServer) -> None:
    """A client asks ten times a second at most, as often as it wants to; aiokafka's own never rests."""
    await asyncio.to_thread(create_topic, kafka.bootstrap, "asked-for")
    for calm in (True, False):
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
            # of all topics of a broker that has seen many tests one answer may take longer than the interval
            await producer.client.set_topics(["asked-for"])
            if calm:
                ask_at_intervals(producer.client)
            assert (await seconds_of(producer.client, 41) >= 40 * RETRY_S) == calm


async def test_the_first_record_of_a_topic_waits_for_a_broker_that_is_away(tmp_path: Path) -> None:
    """Refused for much longer than the request timeout, it is written when the broker is back; not so without asking first."""
    with Cluster(tmp_path, 1, ("way",)) as cluster:
        create_topic(cluster.bootstrap, "t")
        lane = cluster.lanes["way"]
        asked, unasked = (Outbox({"bootstrap_servers": lane.bootstrap}, "none", 1.0) for _ in range(2))
        await asked.start(["t"])
        await unasked.start()
        try:
            await asyncio.to_thread(lane.fault, Kind.REFUSE)
            (first,) = await asked.send("t", 0, [(None, b"first", NO_HEADERS)])
            with pytest.raises(UnknownTopicOrPartitionError):
                await unasked.send("t", 0, [(None, b"lost", NO_HEADERS)])
            assert not first.done()
            await asyncio.to_thread(lane.restore)
            async with asyncio.timeout(PATIENCE_S):
                await first
        finally:
            await asyncio.gather(asked.stop(), unasked.stop())
        assert [r.value for r in await asyncio.to_thread(read_all, cluster.bootstrap, "t")] == [b"first"]


def test_the_same_line_is_written_once_in_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of aiokafka's lines with the same words one in ten seconds passes, and says how many did not; all others pass."""
    now = 0.0
    monkeypatch.setattr("streams.patience.time.monotonic", lambda: now)
    passes = AtIntervals("aiokafka")

    def says(logger: str, words: str, *args: object) -> str:
        record = logging.LogRecord(logger, logging.ERROR, "", 0, words, args, None)
        return record.getMessage() if passes.filter(record) else ""

    assert says("aiokafka.client", "no node %s", 1) == "no node 1"
    assert says("aiokafka.client", "no node %s", 2) == ""
    assert says("aiokafka.client", "another %s", 2) == "another 2"
    assert says("lifestage", "no node %s", 2) == "no node 2"
    assert says("lifestage", "no node %s", 2) == "no node 2"
    now = SAY_S
    assert says("aiokafka.client", "no node %s", 3) == "no node 3 (and 1 lines like it before)"
    now = 2 * SAY_S
    assert says("aiokafka.client", "no node %s", 4) == "no node 4"
