"""Brokers that are restarted and killed under load, one alone and one of three; and what waits while none leads."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError

from lifestage.clock import Source
from streams.embedded.kafka import KafkaServer
from streams.outbox import NO_HEADERS, Outbox
from streams.sources import Sources
from tests.chaos.arena import Arena
from tests.chaos.cluster import Cluster
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.table import plain
from tests.wire import create_topic, read_all

pytestmark = pytest.mark.broker

TTL_S = 1.0


def test_a_broker_that_restarts_and_is_killed_loses_nothing(arena: Arena) -> None:
    """Workers wait for their only broker and go on: no event, change or profile is lost, doubled or ahead of another."""
    row = SCENARIOS["broker_faults"].run_small(arena)
    assert row.ok, plain([row])


def test_one_of_three_brokers_may_go_at_any_time(arena: Arena) -> None:
    """With two copies in sync at least, one broker after the other is stopped and killed: the outcome is exact."""
    row = SCENARIOS["broker_faults_of_three"].run_small(arena)
    assert row.ok, plain([row])


async def test_a_source_that_no_broker_knows_holds_the_clock(kafka: KafkaServer, topic_prefix: str) -> None:
    """What a broker does not know yet is not taken for a source without records: the clock is not read."""
    names = (topic_prefix + "a", topic_prefix + "b")
    create_topic(kafka.bootstrap, names[0])
    sources = Sources({"bootstrap_servers": kafka.bootstrap}, topic_prefix + "g", names)
    await sources.start()
    try:
        with pytest.raises(KafkaError, match=rf"what is in {names[1]}$"):
            await sources.read()
        create_topic(kafka.bootstrap, names[1])
        assert [(source.topic, source.end) for source in await read(sources)] == [(name, 0) for name in names]
    finally:
        await sources.stop()


async def test_what_waits_for_a_leader_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition without a leader for much longer than the request timeout gets all records, once and in order.

    And a coordinator that has moved away is not believed that nothing is committed.
    """
    with Cluster(tmp_path, 3) as cluster:
        # One copy of each partition: those on the broker that is killed have no leader until it is back.
        create_topic(cluster.bootstrap, "t", 6)
        outbox = Outbox({"bootstrap_servers": cluster.bootstrap}, "none", TTL_S)
        await outbox.start()
        try:
            first = [await outbox.send("t", number, [(None, b"0", NO_HEADERS)]) for number in range(6)]
            await asyncio.gather(*(future for futures in first for future in futures))
            await asyncio.to_thread(cluster.nodes[1].kill)
            later = [asyncio.create_task(outbox.send("t", number, [(None, b"1", NO_HEADERS)])) for number in range(6)]
            await asyncio.sleep(10 * TTL_S)
            waiting = await asyncio.gather(*later)
            assert any(not future.done() for futures in waiting for future in futures), (
                "no partition was without leader"
            )
            await asyncio.to_thread(cluster.start)
            async with asyncio.timeout(120):
                await asyncio.gather(*(future for futures in waiting for future in futures))
            await check_coordinator(cluster, monkeypatch)
        finally:
            await outbox.stop()
        found = await asyncio.to_thread(read_all, cluster.bootstrap, "t")
        assert [(r.partition, r.value) for r in found] == [(n, value) for n in range(6) for value in (b"0", b"1")]


async def read(sources: Sources) -> list[Source]:
    """What a deployment's sources say; a broker makes the topic of commits at the first question, and refuses meanwhile."""
    async with asyncio.timeout(120):
        while True:
            with contextlib.suppress(KafkaError):
                return await sources.read()
            await asyncio.sleep(0.2)


async def check_coordinator(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock's sources can be read, and cannot when a broker is asked that coordinates the group no more."""
    sources = Sources({"bootstrap_servers": cluster.bootstrap}, "g", ("t",))
    await sources.start()
    try:
        assert len(await read(sources)) == 6
        former = int(await sources._admin.find_coordinator("g")) % 3 + 1

        async def found(_: str) -> int:
            return former

        monkeypatch.setattr(sources._admin, "find_coordinator", found)
        with pytest.raises(KafkaError, match="of 6 source partitions"):
            await sources.read()
    finally:
        await sources.stop()
