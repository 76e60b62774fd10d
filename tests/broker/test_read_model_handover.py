"""A partition goes from one worker to another while its customers wait to be written: Redis keeps every one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis
from faust.types import TP

from agents.app import Worker
from config.settings import Settings
from lifestage.partition import Partition
from streams import connections
from streams.embedded.redis import EmbeddedRedis
from streams.read_model import REREAD, ReadModel
from streams.read_store import customer, customers_per_stage
from streams.rules import rules_of
from tests.core.histories import records, visit
from tests.read_model import PREFIX, eventually

CUSTOMERS = [f"c{number}" for number in range(3_000)]
"""Six pipelines: some wait at any moment of the handover."""
VERSION = 6_000
"""Of the last flush, later than any customer's own: who is written as gone there stays gone for the successor too."""
Join = Callable[[Partition], Worker]


@pytest.fixture
async def join(server: EmbeddedRedis, tmp_path: Path) -> AsyncIterator[Join]:
    """Wires workers that own a partition of the log and write to the test's Redis; no Kafka is asked."""
    joined: list[Worker] = []

    def begin(owned: Partition) -> Worker:
        worker = Worker(Settings(), "127.0.0.1:9", server.url, tmp_path, "0")
        joined.append(worker)
        worker.profiles.owned[owned.number] = owned
        worker.read_model = ReadModel(
            connections.redis_async(Settings(), server.url), PREFIX, "clm5", 10, 0.5,
            lookup=worker.view.lookup, snapshot=worker.view.snapshot,
        )  # fmt: skip
        worker.read_model.start()
        worker._adopt({owned.number})
        return worker

    yield begin
    for worker in joined:
        if worker.read_model is not None:
            await worker.read_model.stop(grace_s=0.2)


def visited() -> Partition:
    """A partition in which every customer has visited once."""
    made = Partition(rules_of(Settings()), "customer-events", 0)
    made.fold(records(visit(1, f"v-{name}", name) for name in CUSTOMERS))
    made.checkpoint()
    return made


async def written(worker: Worker) -> None:
    """Return when the worker has nothing left to write."""
    model = worker.read_model
    assert model is not None
    await eventually(lambda: model.connected and model._idle.is_set())


async def test_customers_survive_a_handover(join: Join, reader: redis.Redis) -> None:
    """Who waits to be read and written when a partition is revoked is left to the successor, and not taken for gone."""
    owned = visited()
    first = join(owned)
    await written(first)
    assert customers_per_stage(reader, PREFIX) == {"reach": len(CUSTOMERS)}
    assert first.read_model is not None
    first.read_model.submit(0, dict.fromkeys(CUSTOMERS, REREAD), [], {"reach": len(CUSTOMERS)}, VERSION)
    await first.profiles.on_rebalance(set(), {TP(first.topics.changelog.name, 0)}, set())
    assert first.view.lookup(0, CUSTOMERS[0]) is None
    await written(first)
    assert [name for name in CUSTOMERS if customer(reader, PREFIX, name) is None] == []
    second = join(owned)
    await written(second)
    assert [name for name in CUSTOMERS if customer(reader, PREFIX, name) is None] == []
    assert customers_per_stage(reader, PREFIX) == {"reach": len(CUSTOMERS)}
