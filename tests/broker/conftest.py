"""A Redis of a test's own and workers that write to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from streams.embedded.redis import EmbeddedRedis, start_redis
from tests.read_model import Profiles, Start, Worker


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server of this test's own, as it is stopped, killed and emptied."""
    with start_redis(tmp_path / "redis") as started:
        yield started


@pytest.fixture
def reader(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """A client such as a command or a page uses."""
    with redis.Redis.from_url(server.url, socket_timeout=5) as client:
        yield client


@pytest.fixture
async def start(server: EmbeddedRedis) -> AsyncIterator[Start]:
    """Starts workers, and stops them after the test."""
    started: list[Worker] = []

    def begin(profiles: Profiles | None = None, **options: int) -> Worker:
        worker = Worker(server.url, {} if profiles is None else profiles, **options)
        worker.model.start()
        started.append(worker)
        return worker

    yield begin
    for worker in started:
        await worker.model.stop(grace_s=0.2)
