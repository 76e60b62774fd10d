"""The read model on a real server: right, newest, bounded, and never in the way of the stream."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
import redis
import redis.asyncio

from config.settings import Settings
from streams.connections import redis_async
from streams.embedded.redis import EmbeddedRedis, start_redis
from streams.read_buffer import REREAD, Pending
from streams.read_model import CustomerView, ReadModel
from streams.read_store import customer, customers_per_stage, recent_changes

PREFIX = "test[1]:"  # brackets: a prefix must not be read as a pattern
Profiles = dict[int, dict[str, CustomerView]]


def view(key: str, applied: int, stage: str = "reach") -> CustomerView:
    """A customer as the lifecycle agent would hand it over."""
    return CustomerView(applied=applied, customer_id=key, stage=stage, since="1997-01-01T00:00:00Z", seq=1)


def change(number: int) -> bytes:
    """A change document; the padding is what a real one has in evidence."""
    return msgspec.json.encode({"id": f"change-{number}", "customer_id": str(number), "seq": 1, "pad": "x" * 200})


class Worker:
    """One worker's profiles and its read model."""

    def __init__(self, url: str, profiles: Profiles, *, recent: int = 100, views_max: int = 200_000) -> None:
        self.profiles, self.views_read, self.longest_slice = profiles, 0, 0.0
        self.model = ReadModel(
            redis_async(Settings(), url),
            PREFIX,
            "clm5",
            recent,
            0.5,
            lookup=lambda partition, key: self.profiles[partition].get(key),
            snapshot=self.snapshot,
            views_max=views_max,
        )

    def snapshot(self, partition: int) -> Iterator[tuple[str, CustomerView]]:
        """All views, bearing changes in between."""
        for key in list(self.profiles[partition]):
            if (found := self.profiles[partition].get(key)) is not None:
                self.views_read += 1
                yield key, found

    def submit(self, partition: int, customers: Mapping[str, Pending], version: int, *changes: bytes) -> None:
        """Keep and hand over, as after a flush."""
        kept = self.profiles.setdefault(partition, {})
        for key, found in customers.items():
            if found is None:
                kept.pop(key, None)
            elif isinstance(found, CustomerView):
                kept[key] = found
        self.model.submit(partition, customers, changes, self.stages(partition), version)

    def stages(self, partition: int) -> dict[str, int]:
        """Customers of a partition by stage."""
        counts: dict[str, int] = {}
        for kept in self.profiles[partition].values():
            counts[str(kept.stage)] = counts.get(str(kept.stage), 0) + 1
        return counts


async def eventually(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until it holds, and fail when it does not."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to hold"
        await asyncio.sleep(0.02)


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


Start = Callable[..., Worker]


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


def written(worker: Worker) -> Callable[[], bool]:
    """Whether nothing waits any more."""
    return lambda: worker.model.connected and worker.model._idle.is_set()


async def test_what_is_submitted_can_be_read(start: Start, reader: redis.Redis) -> None:
    """Customers, counts over partitions and changes (newest first) are what the worker handed over."""
    worker = start()
    worker.submit(0, {"00004": view("00004", 7, "conversion"), "b": view("b", 8)}, 8, change(1), change(2))
    worker.submit(3, {"ü:c": view("ü:c", 5)}, 5)
    await eventually(written(worker))
    found = customer(reader, PREFIX, "00004")
    assert found is not None
    assert (found["stage"], found["applied"], found["partition"], found["plan"]) == ("conversion", 7, 0, "clm5")
    assert customer(reader, PREFIX, "ü:c") is not None
    assert customer(reader, PREFIX, "nobody") is None
    assert customers_per_stage(reader, PREFIX) == {"conversion": 1, "reach": 2}
    assert [told["id"] for told in recent_changes(reader, PREFIX, 5)] == ["change-2", "change-1"]
    assert recent_changes(reader, PREFIX, 0) == []
    assert 3 <= worker.model.written_total <= 6  # a partition seen for the first time is filled as well
    assert worker.model.pending == 0


async def test_an_older_write_never_replaces_a_newer_one(start: Start, reader: redis.Redis) -> None:
    """A worker that lost its partition writes late: customers, counts and gone customers stay as the successor left them."""
    successor = start()
    successor.submit(0, {"a": view("a", 20, "loyalty"), "b": view("b", 20)}, 20)
    successor.submit(0, {"b": None}, 21)
    await eventually(written(successor))
    zombie = start()
    zombie.submit(0, {"a": view("a", 19, "reach"), "b": view("b", 19), "c": view("c", 19)}, 19)
    await eventually(written(zombie))
    found = customer(reader, PREFIX, "a")
    assert found is not None
    assert found["stage"] == "loyalty"
    assert customer(reader, PREFIX, "b") is None
    assert customer(reader, PREFIX, "c") is not None
    assert customers_per_stage(reader, PREFIX) == {"loyalty": 1}


async def test_an_equal_version_is_written_again(start: Start, reader: redis.Redis) -> None:
    """A restarted worker repeats its last flush under the same offset, and that is no conflict."""
    worker = start()
    worker.submit(0, {"a": view("a", 9, "reach")}, 9)
    await eventually(written(worker))
    worker.submit(0, {"a": view("a", 9, "acquisition")}, 9)
    await eventually(written(worker))
    assert customers_per_stage(reader, PREFIX) == {"acquisition": 1}
    assert (customer(reader, PREFIX, "a") or {})["stage"] == "acquisition"


async def test_the_newest_view_of_a_customer_wins_while_it_waits(start: Start, reader: redis.Redis) -> None:
    """A thousand states of one customer between two pipelines are one write."""
    worker = start()
    for offset in range(1000):
        worker.submit(0, {"a": view("a", offset, f"stage-{offset}")}, offset)
    assert worker.model.pending == 1
    await eventually(written(worker))
    assert (customer(reader, PREFIX, "a") or {})["stage"] == "stage-999"
    assert worker.model.written_total <= 3


async def test_the_stream_never_waits_while_the_server_hangs(
    start: Start, server: EmbeddedRedis, reader: redis.Redis
) -> None:
    """With the server stopped by SIGSTOP a submit of 1,000 customers returns in < 1 ms and the loop goes on turning."""
    worker = start()
    worker.submit(0, {"a": view("a", 1)}, 1)
    await eventually(written(worker))
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    slowest, late, offset = [], [], 1
    try:
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            customers = {f"{offset}-{n}": view("x", offset) for n in range(1000)}
            worker.profiles[0] |= customers
            stages = {"reach": len(worker.profiles[0])}
            began = time.perf_counter()
            worker.model.submit(0, customers, [change(offset)], stages, offset)
            slowest.append(time.perf_counter() - began)
            offset += 1
            began = time.perf_counter()
            await asyncio.sleep(0.05)
            late.append(time.perf_counter() - began - 0.05)
        assert not worker.model.connected
        assert worker.model.failures_total > 0
    finally:
        os.kill(server.pid, signal.SIGCONT)
    # The median for the promise, the third worst against pauses of a shared machine.
    assert sorted(slowest)[len(slowest) // 2] < 0.001
    assert sorted(slowest)[-3] < 0.005
    assert sorted(late)[-3] < 0.025
    await eventually(written(worker), 30)
    assert customers_per_stage(reader, PREFIX) == {"reach": len(worker.profiles[0])}
    assert len(list(reader.scan_iter("test[[]1]:customer:*", count=1000))) == len(worker.profiles[0])
    assert worker.model.refills_total == 0  # it was slow, not lost: nothing had to be read again


async def test_a_server_that_was_away_is_brought_up_to_date(
    start: Start, server: EmbeddedRedis, reader: redis.Redis
) -> None:
    """Down for two seconds and back empty: all customers, counts and the newest changes stand there again."""
    worker = start()
    worker.submit(0, {str(n): view(str(n), n) for n in range(2000)}, 2000, change(1))
    worker.submit(5, {"x": view("x", 3, "churned")}, 3, change(2))
    await eventually(written(worker))
    server.kill()
    worker.submit(0, {"0": None, "1": view("1", 2001, "loyalty")}, 2001, change(3))
    await eventually(lambda: not worker.model.connected)
    await asyncio.sleep(1.5)
    server.start_again()
    await eventually(lambda: customers_per_stage(reader, PREFIX) == {"reach": 1998, "loyalty": 1, "churned": 1})
    await eventually(written(worker))
    assert customer(reader, PREFIX, "0") is None
    assert all(customer(reader, PREFIX, str(n)) for n in range(1, 2000, 97))
    assert {told["id"] for told in recent_changes(reader, PREFIX, 9)} == {"change-1", "change-2", "change-3"}
    assert worker.model.refills_total == 1


async def test_an_emptied_server_is_filled_again_without_blocking_the_loop(start: Start, reader: redis.Redis) -> None:
    """FLUSHALL is noticed with nothing being submitted, and 20,000 customers come back in slices of the loop."""
    worker = start()
    worker.submit(0, {str(n): view(str(n), n) for n in range(20_000)}, 20_000, change(1))
    await eventually(written(worker))
    worker.views_read = 0
    reader.flushall()
    late: list[float] = []
    until = time.monotonic() + 20
    while reader.dbsize() < 20_000:
        assert time.monotonic() < until, "it was not filled again"
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append(time.perf_counter() - began - 0.001)
    await eventually(written(worker))
    assert customers_per_stage(reader, PREFIX) == {"reach": 20_000}
    assert [told["id"] for told in recent_changes(reader, PREFIX, 9)] == ["change-1"]
    assert sorted(late)[int(len(late) * 0.95)] < 0.015
    assert worker.views_read == 20_000


async def test_recent_changes_are_capped_and_told_once(start: Start, reader: redis.Redis) -> None:
    """A restarted worker repeats changes: none stands there twice, and only the newest `recent` are kept."""
    worker = start(recent=10)
    worker.submit(0, {}, 1, *map(change, range(8)))
    await eventually(written(worker))
    again = start(recent=10)
    again.submit(0, {}, 2, *map(change, range(4, 14)))
    await eventually(written(again))
    assert [told["id"] for told in recent_changes(reader, PREFIX, 99)] == [f"change-{n}" for n in range(13, 3, -1)]
    assert reader.hlen(PREFIX + "changes:ids") == 10
    again.submit(0, {}, 3, *map(change, range(1000)))
    await eventually(written(again))
    assert [told["id"] for told in recent_changes(reader, PREFIX, 2)] == ["change-999", "change-998"]


async def test_no_recent_changes_are_kept_when_none_are_wanted(start: Start, reader: redis.Redis) -> None:
    """`redis.recent_changes = 0` writes no changes at all."""
    worker = start(recent=0)
    worker.submit(0, {"a": view("a", 1)}, 1, change(1))
    await eventually(written(worker))
    assert not reader.exists(PREFIX + "changes")


async def test_memory_is_bounded_while_the_server_is_away(
    server: EmbeddedRedis, start: Start, reader: redis.Redis
) -> None:
    """Above the limit only keys wait; their views are looked up when they are written, and nothing is missing."""
    server.stop()
    worker = start(views_max=1000, recent=20)
    for flush in range(50):
        worker.submit(0, {f"{flush}-{n}": view("x", flush) for n in range(100)}, flush, *map(change, range(100)))
    waiting = [entry for entry in worker.model._buffer._customers[0].values() if entry is not REREAD]
    assert len(waiting) <= 1000
    assert worker.model.pending == 5000
    assert len(worker.model._buffer._changes) == 20
    server.start_again()
    await eventually(written(worker))
    assert reader.dbsize() == 5000 + 5
    assert customers_per_stage(reader, PREFIX) == {"reach": 5000}


async def test_a_successor_writes_only_what_the_killed_worker_had_not(start: Start, reader: redis.Redis) -> None:
    """Taking over a partition compares with the mark left there, and removes customers who are gone meanwhile."""
    first = start()
    first.submit(0, {str(n): view(str(n), n) for n in range(3000)}, 3000)
    await eventually(written(first))
    await first.model.stop()
    profiles = dict(first.profiles[0])
    del profiles["7"]  # the kill came between the flush and the write of these two
    profiles["9"] = view("9", 3001, "loyalty")
    second = start({0: profiles})
    second.model.adopt(0, second.stages(0), 3001)
    await eventually(written(second))
    assert customer(reader, PREFIX, "7") is None
    assert (customer(reader, PREFIX, "9") or {})["stage"] == "loyalty"
    assert customers_per_stage(reader, PREFIX) == {"reach": 2998, "loyalty": 1}
    assert second.model.written_total == 2


async def test_a_dropped_partition_is_left_to_its_new_owner(
    server: EmbeddedRedis, start: Start, reader: redis.Redis
) -> None:
    """What waited for a revoked partition is not written; what waited for the others is."""
    server.stop()
    worker = start()
    worker.submit(0, {"a": view("a", 1)}, 1)
    worker.submit(1, {"b": view("b", 1)}, 1)
    await eventually(lambda: worker.model.failures_total > 0)
    worker.model.drop(0)
    assert worker.model.pending == 1
    server.start_again()
    await eventually(written(worker))
    assert customer(reader, PREFIX, "a") is None
    assert customer(reader, PREFIX, "b") is not None


async def test_a_log_that_was_created_anew_replaces_what_the_old_one_left(
    server: EmbeddedRedis, reader: redis.Redis
) -> None:
    """Offsets begin at 0 again: with another `log_id` the lower versions are written, counts and changes are cleared."""

    def model(log_id: str) -> ReadModel:
        return ReadModel(
            redis_async(Settings(), server.url), PREFIX, "clm5", 10, 0.5, log_id=log_id,
            lookup=lambda _, key: view(key, 1, "reach") if key == "a" else None,
            snapshot=lambda _: iter([("a", view("a", 1, "reach"))]),
        )  # fmt: skip

    for log_id, version, stage in (("one", 500, "loyalty"), ("two", 1, "reach")):
        writer = model(log_id)
        writer.start()
        writer.submit(0, {"a": view("a", version, stage)}, [change(version)], {stage: 1}, version)
        await writer.stop()
    assert (customer(reader, PREFIX, "a") or {})["stage"] == "reach"
    assert customers_per_stage(reader, PREFIX) == {"reach": 1}
    assert [told["id"] for told in recent_changes(reader, PREFIX, 9)] == ["change-1"]


async def test_stopping_writes_what_waits(server: EmbeddedRedis, reader: redis.Redis) -> None:
    """An orderly stop right after a flush leaves nothing unwritten."""
    worker = Worker(server.url, {})
    worker.model.start()
    worker.submit(0, {str(n): view(str(n), n) for n in range(3000)}, 3000)
    await worker.model.stop()
    assert reader.dbsize() == 3000 + 3
