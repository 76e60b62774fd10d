"""Brokers that are restarted and killed under load, one alone and one of three; and what waits while none leads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streams.outbox import NO_HEADERS, Outbox
from tests.chaos.arena import Arena
from tests.chaos.brokers import broker_faults, broker_faults_of_three
from tests.chaos.cluster import Cluster
from tests.chaos.table import plain
from tests.wire import create_topic, read_all

pytestmark = pytest.mark.broker

TTL_S = 1.0


def test_a_broker_that_restarts_and_is_killed_loses_nothing(arena: Arena) -> None:
    """Workers wait for their only broker and go on: no event, change or profile is lost, doubled or ahead of another."""
    row = broker_faults(arena, 2)
    assert row.ok, plain([row])


def test_one_of_three_brokers_may_go_at_any_time(arena: Arena) -> None:
    """With two copies in sync at least, one broker after the other is stopped and killed: the outcome is exact."""
    row = broker_faults_of_three(arena, 2)
    assert row.ok, plain([row])


async def test_what_waits_for_a_leader_is_kept(tmp_path: Path) -> None:
    """A partition without a leader for much longer than the request timeout gets all records, once and in order."""
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
        finally:
            await outbox.stop()
        found = await asyncio.to_thread(read_all, cluster.bootstrap, "t")
        assert [(r.partition, r.value) for r in found] == [(n, value) for n in range(6) for value in (b"0", b"1")]
