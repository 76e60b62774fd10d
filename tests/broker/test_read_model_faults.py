"""A Redis that goes wrong in the middle of a refill while customers come and go: in the end it says what the state says.

Each fault meets a refill of thousands of customers under way, and more are submitted meanwhile. With one of the guards
taken out the same run ends in differences: a test that could not fail would prove nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
import redis

import streams.read_model
from streams.embedded.redis import EmbeddedRedis
from streams.read_buffer import Batch, Buffer
from streams.read_refill import Refill
from streams.read_store import WRITE_CUSTOMERS, WRITE_STAGES, View, customers_per_stage, recent_changes
from tests.read_model import PREFIX, Start, Worker, change, eventually, view, written

CUSTOMERS = 6_000
"""Twelve pipelines at the least: a fault finds some written and some not."""
LONG = 90.0
Going = Callable[[], bool]
"""Whether the stream has gone on enough since the fault began: a fault lasts until it has, so a wait would be for ever."""
Fault = Callable[[EmbeddedRedis, redis.Redis, Going], None]


def until(going: Going, step: Callable[[], object] = lambda: time.sleep(0.02)) -> None:
    """Do `step` again and again until the stream has gone on, and at least three times."""
    deadline = time.monotonic() + LONG
    for done in count(1):
        step()
        if going() and done > 2:
            return
        assert time.monotonic() < deadline, "the stream stands still while Redis does"


def paused(_: EmbeddedRedis, reader: redis.Redis, going: Going) -> None:
    """CLIENT PAUSE: it accepts commands and answers none of them for longer than the time allowed."""
    until(going, lambda: reader.client_pause(700, all=True))
    reader.ping()


def asleep(_: EmbeddedRedis, reader: redis.Redis, going: Going) -> None:
    """Commands that take longer than the time allowed, as DEBUG SLEEP, KEYS or a slow script of somebody else's."""
    script = (
        "local began = redis.call('TIME') repeat local now = redis.call('TIME') "
        "until (now[1] - began[1]) * 1000000 + now[2] - began[2] > 700000"
    )
    until(going, lambda: reader.eval(script, 0))


def frozen(server: EmbeddedRedis, _: redis.Redis, going: Going) -> None:
    """SIGSTOP: connections stay and nothing moves."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        time.sleep(0.7)
        until(going)
    finally:
        os.kill(server.pid, signal.SIGCONT)


def cut(_: EmbeddedRedis, reader: redis.Redis, going: Going) -> None:
    """Every connection but our own is cut, again and again."""
    until(going, lambda: reader.client_kill_filter(_type="normal", skipme=True))


def full(_: EmbeddedRedis, reader: redis.Redis, going: Going) -> None:
    """Out of memory with `noeviction`: what is there can be read, nothing can be written."""
    reader.config_set("maxmemory", "1")
    until(going)
    reader.config_set("maxmemory", "0")


def emptied(_: EmbeddedRedis, reader: redis.Redis, __: Going) -> None:
    """FLUSHALL in the middle of a refill: what was written of it is gone again."""
    reader.flushall()


def replaced(_: EmbeddedRedis, reader: redis.Redis, __: Going) -> None:
    """Emptied and every connection cut, as when a replica that has nothing takes over."""
    with reader.pipeline(transaction=True) as pipeline:
        pipeline.flushall()
        pipeline.client_kill_filter(_type="normal", skipme=True)
        pipeline.execute()


def away(server: EmbeddedRedis, _: redis.Redis, going: Going) -> None:
    """Killed, away, back empty."""
    server.kill()
    until(going)
    server.start_again()


FAULTS: tuple[Fault, ...] = (paused, asleep, frozen, cut, full, emptied, replaced, away)


def differences(reader: redis.Redis, worker: Worker, told: int) -> list[str]:
    """What Redis says otherwise than the state, customer by customer, counts and recent changes."""
    found = []
    stored = {
        key.decode().removeprefix(f"{PREFIX}customer:"): value
        for key in reader.scan_iter("test[[]1]:customer:*", count=2000)
        if b'"gone":true' not in (value := reader.get(key) or b"")
    }
    state = {key: (number, kept) for number, all in worker.profiles.items() for key, kept in all.items()}
    found += [f"{key} is missing" for key in state.keys() - stored.keys()]
    found += [f"{key} is gone and stands there" for key in stored.keys() - state.keys()]
    for key in state.keys() & stored.keys():
        number, kept = state[key]
        if f'"partition":{number},"plan":"clm5","applied":{kept.applied},'.encode() not in stored[key]:
            found.append(f"{key} is not of offset {kept.applied}")
    counts: dict[str, int] = {}
    for number in worker.profiles:
        for stage, customers in worker.stages(number).items():
            counts[stage] = counts.get(stage, 0) + customers
    if customers_per_stage(reader, PREFIX) != counts:
        found.append(f"{customers_per_stage(reader, PREFIX)} instead of {counts}")
    if {entry["id"] for entry in recent_changes(reader, PREFIX, CUSTOMERS)} != {f"change-{n}" for n in range(told)}:
        found.append("recent changes differ")
    return found


class Stream:
    """Goes on submitting from a task."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.offset, self.told = CUSTOMERS, 1
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            number, offset = self.offset % 2, self.offset + 1
            some = {str(n): view(str(n), offset, "loyalty") for n in range(number, CUSTOMERS, 97) if n % 2 == number}
            gone = str(CUSTOMERS - 2 + number - 2 * (self.told % 50))
            self._worker.submit(number, {**some, gone: None}, offset, change(self.told))
            self.offset, self.told = offset, self.told + 1
            await asyncio.sleep(0.02)

    async def end(self) -> None:
        """Submit no more."""
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled(), self.task.exception()


async def run(start: Start, server: EmbeddedRedis, reader: redis.Redis, fault: Fault) -> list[str]:
    """Fill, do the fault in the middle of it, go on submitting throughout, and compare."""
    profiles = {n: {str(k): view(str(k), k) for k in range(n, CUSTOMERS, 2)} for n in (0, 1)}
    worker = start(profiles, recent=999)
    for number in (0, 1):
        worker.model.adopt(number, worker.stages(number), CUSTOMERS)
    worker.submit(0, {}, CUSTOMERS, change(0))
    stream = Stream(worker)
    await eventually(lambda: 0 < reader.dbsize() < CUSTOMERS, LONG)
    assert worker.model._refill
    before = stream.told
    with redis.Redis.from_url(server.url, socket_timeout=30) as own:
        await asyncio.to_thread(fault, server, own, lambda: stream.told > before + 20)
    await eventually(lambda: stream.told > before + 40, LONG)
    await stream.end()
    await eventually(written(worker), LONG)
    # An emptying is noticed with the next look: everything in Redis is of the filling that the worker knows.
    await eventually(lambda: worker.model._checked > time.monotonic() - 0.5, LONG)
    await eventually(written(worker), LONG)
    return differences(reader, worker, stream.told)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_fault_in_the_middle_of_a_refill_leaves_nothing_missing(
    fault: Fault, start: Start, server: EmbeddedRedis, reader: redis.Redis
) -> None:
    """Whatever Redis does, submitting never waits for it, and in the end every customer, count and change is there."""
    assert await run(start, server, reader, fault) == []


def half_way(worker: Worker, act: Callable[[], None]) -> list[bool]:
    """Have `act` done once, when half of a partition's views have been read for a refill; filled when it was."""
    read, done = worker.model._refill._snapshot, list[bool]()

    def interrupted(number: int) -> Iterator[tuple[str, View]]:
        for at, entry in enumerate(read(number)):
            if at == CUSTOMERS // 2 and not done:
                done.append(True)
                act()
            yield entry

    worker.model._refill._snapshot = interrupted
    return done


async def failed_half_way(start: Start, reader: redis.Redis) -> list[str]:
    """Each view that is read tells a change, so that the round in which a view cannot be made holds some of them."""
    worker = start({0: {str(k): view(str(k), k) for k in range(CUSTOMERS)}}, recent=CUSTOMERS)
    read, told = worker.model._refill._snapshot, list[int]()

    def telling(number: int) -> Iterator[tuple[str, View]]:
        for at, entry in enumerate(read(number)):
            if len(told) == CUSTOMERS // 2 == at:
                told.append(at)
                raise RuntimeError("a view that cannot be made")
            if len(told) == at < CUSTOMERS // 2:
                worker.submit(0, {}, CUSTOMERS, change(at))
                told.append(at)
            yield entry

    worker.model._refill._snapshot = telling
    worker.model.adopt(0, worker.stages(0), CUSTOMERS)
    await eventually(lambda: worker.model.refills_total == 1, LONG)
    await eventually(written(worker), LONG)
    return differences(reader, worker, CUSTOMERS // 2)


async def test_an_exception_in_the_middle_of_a_refill_starts_it_again(start: Start, reader: redis.Redis) -> None:
    """A snapshot that raises half way ends neither the task nor the filling, and takes no change with it."""
    assert await failed_half_way(start, reader) == []


async def emptied_half_way(start: Start, reader: redis.Redis) -> list[str]:
    """Half of a partition is filled when the server is emptied, which the next round notices."""
    worker = start({0: {str(k): view(str(k), k) for k in range(CUSTOMERS)}})
    worker.submit(0, {}, CUSTOMERS, change(0))

    def empty() -> None:
        assert reader.dbsize() > 0
        reader.flushall()
        worker.model._checked = float("-inf")

    emptied = half_way(worker, empty)
    await eventually(lambda: bool(emptied), LONG)
    await eventually(written(worker), LONG)
    return differences(reader, worker, 1)


async def test_a_server_emptied_half_way_is_filled_from_the_beginning(start: Start, reader: redis.Redis) -> None:
    """What was written before the emptying is written again, whatever of the refill was still to come."""
    assert await emptied_half_way(start, reader) == []


# -- teeth -------------------------------------------------------------------------------------------------------------


@contextmanager
def nothing_put_back() -> Iterator[None]:
    """What a failed pipeline held is forgotten."""

    def forget(_: Buffer, __: Batch, ___: Mapping[int, object]) -> None:
        """Nothing."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Buffer, "put_back", forget)
        yield


@contextmanager
def emptying_unnoticed() -> Iterator[None]:
    """Nobody asks whether the server is still the one that was filled."""

    async def trusting(self: streams.read_model.ReadModel) -> None:
        self._checked = time.monotonic()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams.read_model.ReadModel, "_check", trusting)
        yield


@contextmanager
def refill_goes_on() -> Iterator[None]:
    """An emptied server is filled from where the filling stood, and not from the beginning."""
    ask = Refill.ask

    def lazy(self: Refill, partition: int, *, everything: bool) -> None:
        if partition not in self:
            ask(self, partition, everything=everything)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Refill, "ask", lazy)
        yield


@pytest.mark.parametrize(
    ("broken", "fault"),
    [(nothing_put_back, cut), (emptying_unnoticed, emptied)],
    ids=lambda given: given.__name__,
)
async def test_without_a_guard_a_fault_leaves_differences(
    broken: Callable[[], Any], fault: Fault, start: Start, server: EmbeddedRedis, reader: redis.Redis
) -> None:
    """The same run finds what is missing as soon as one of the guards is taken out."""
    with broken():
        assert await run(start, server, reader, fault) != []


async def test_without_putting_back_an_exception_loses_changes(start: Start, reader: redis.Redis) -> None:
    """What the failed round had taken is found to be missing."""
    with nothing_put_back():
        assert await failed_half_way(start, reader) != []


async def test_without_starting_again_an_emptied_server_lacks_what_was_written_before(
    start: Start, reader: redis.Redis
) -> None:
    """A refill that goes on from where it stood is found."""
    with refill_goes_on():
        assert await emptied_half_way(start, reader) != []


async def late_writes(start: Start, server: EmbeddedRedis, reader: redis.Redis) -> list[str]:
    """A former owner, stopped with writes in hand while another took over and went on, wakes up and writes them."""
    zombie = start({0: {str(n): view(str(n), 1) for n in range(2_000)}}, recent=999)
    zombie.model.adopt(0, zombie.stages(0), 1)
    await eventually(written(zombie), LONG)
    assert zombie.model.task is not None
    server.stop()  # what it submits now it cannot write
    zombie.submit(0, {str(n): view(str(n), 2, "reach") for n in range(1_000)}, 2, change(0))
    stages = zombie.stages(0)
    await eventually(lambda: not zombie.model.connected, LONG)
    awake = asyncio.Event()
    check = zombie.model._check

    async def stopped() -> None:
        await awake.wait()
        await check()

    zombie.model._check = stopped  # type: ignore[method-assign]
    server.start_again()
    state = {**zombie.profiles[0], **{str(n): view(str(n), 3, "loyalty") for n in range(500)}}
    for n in range(500, 700):
        del state[str(n)]
    owner = start({0: state}, recent=999)
    owner.model.adopt(0, owner.stages(0), 3)
    owner.submit(0, {str(n): None for n in range(500, 700)}, 3, change(0))
    await eventually(written(owner), LONG)
    assert differences(reader, owner, 1) == []
    before = zombie.model.written_total
    awake.set()
    zombie.submit(0, {"0": view("0", 2, "reach")}, 2)
    zombie.model.submit(0, {}, [], stages, 2)
    await eventually(lambda: zombie.model.written_total >= before + 300, LONG)  # those that nobody wrote since
    await eventually(written(zombie), LONG)
    return differences(reader, owner, 1)


async def test_late_writes_of_a_former_owner_change_nothing(
    start: Start, server: EmbeddedRedis, reader: redis.Redis
) -> None:
    """Customers, counts and those who are gone stay as the present owner left them, whatever comes late."""
    assert await late_writes(start, server, reader) == []


@pytest.mark.parametrize("script", ["WRITE_CUSTOMERS", "WRITE_STAGES"])
async def test_without_versions_late_writes_do_harm(
    script: str, monkeypatch: pytest.MonkeyPatch, start: Start, server: EmbeddedRedis, reader: redis.Redis
) -> None:
    """With the comparison of offsets taken out of a script, the same late writes are found."""
    whole, without = {
        "WRITE_CUSTOMERS": (WRITE_CUSTOMERS, WRITE_CUSTOMERS.replace("version >= tonumber(applied)", "true")),
        "WRITE_STAGES": (WRITE_STAGES, WRITE_STAGES.replace("tonumber(version) > tonumber(ARGV[3])", "false")),
    }[script]
    assert whole != without
    monkeypatch.setattr(streams.read_model, script, without)
    assert await late_writes(start, server, reader) != []
