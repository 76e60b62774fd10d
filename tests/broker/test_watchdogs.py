"""A worker that stands still ends itself and says why; one that waits for Kafka does not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import ConnectionGroup
from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.produce import ProduceRequest

from streams.embedded.kafka import KafkaServer
from streams.fence import SHARE, Fence, FencedClient, clock
from streams.outbox import Outbox
from streams.stop import EXIT_STOPPED
from streams.watchdogs import StallWatchdog
from tests.chaos.crew import PATIENCE_S, Fragile
from tests.load import Load
from tests.pipeline import deployment, differences
from tests.wire import create_topic, read_all

pytestmark = pytest.mark.broker

SEED = 37
SOON = {"lifecycle__stuck_after_s": "6", "kafka__session_timeout_s": "10"}
SESSION_S = 10.0


# -- the fence ---------------------------------------------------------------------------------------------------------


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """The time that was set."""
        return self.now


def test_the_fence_goes_by_when_a_heartbeat_was_sent() -> None:
    """Open for 0.8 session timeouts from the sending of an answered question; a late answer to an old one opens nothing."""
    now = Clock()
    fence = Fence(SESSION_S, now)
    assert not fence.is_open()
    fence.confirm(now.now)
    now.now += 7.9
    assert fence.is_open()
    now.now += 0.2
    assert not fence.is_open()
    asked = now.now
    now.now += 60
    fence.confirm(asked)
    assert not fence.is_open()
    fence.confirm(now.now - 1)
    assert fence.is_open()


async def written(kafka: KafkaServer, topic: str, fence: Fence | None, open_again: bool) -> tuple[int, int]:
    """How many records are in a topic while the fence is closed, and how many when it was opened again or not."""
    create_topic(kafka.bootstrap, topic)
    outbox = Outbox({"bootstrap_servers": kafka.bootstrap}, "none", 30, fence)
    await outbox.start()
    sent = await outbox.send(topic, 0, [(b"k", b"v", [])])
    await asyncio.wait(sent, timeout=PATIENCE_S if fence is None else 1.0)
    held = len(await asyncio.to_thread(read_all, kafka.bootstrap, topic))
    if open_again and fence is not None:
        fence.confirm(clock())
    if open_again or fence is None:
        await asyncio.gather(*sent)
        await outbox.stop()
    return held, len(await asyncio.to_thread(read_all, kafka.bootstrap, topic))


async def test_a_send_waits_at_the_fence(kafka: KafkaServer, topic_prefix: str) -> None:
    """Nothing is written while no heartbeat was answered; it is when one was. Without a fence it is written at once."""
    assert await written(kafka, f"{topic_prefix}held", Fence(SESSION_S), open_again=True) == (0, 1)
    assert await written(kafka, f"{topic_prefix}free", None, open_again=False) == (1, 1)


class Reconnecting:
    """A client whose first attempt to connect outlasts the fence and fails; all later ones succeed."""

    def __init__(self, now: Clock, lasts_s: float) -> None:
        self._now, self._lasts_s, self.attempts, self.wrote_at = now, lasts_s, 0, list[float]()

    async def ready(self, node_id: int, *, group: Any = None) -> bool:
        """Whether there is a connection."""
        assert (node_id, group) == (1, ConnectionGroup.DEFAULT)
        self.attempts += 1
        if self.attempts == 1:
            self._now.now += self._lasts_s
        return self.attempts > 1

    async def send(self, node_id: int, _: Any, *, group: Any = None) -> None:
        """As aiokafka's: it connects where there is no connection, and writes."""
        if not await self.ready(node_id, group=group):
            raise NodeNotReadyError
        self.wrote_at.append(self._now.now)


async def test_a_send_that_had_to_connect_again_waits_at_the_fence() -> None:
    """Connecting fails after the fence has closed: nothing is written, the sender tries again, and that waits."""
    now = Clock()
    fence, client, request = (
        Fence(SESSION_S, now),
        Reconnecting(now, 3 * SESSION_S),
        ProduceRequest(None, -1, 1_000, []),
    )
    fenced = FencedClient(client, fence)
    fence.confirm(now.now)
    with pytest.raises(NodeNotReadyError) as raised:
        await fenced.send(1, request)
    assert raised.value.retriable
    assert client.wrote_at == []
    again = asyncio.create_task(fenced.send(1, request))
    while not fence.holds:  # noqa: ASYNC110  # a count, not an event
        await asyncio.sleep(0)
    assert client.wrote_at == []
    fence.confirm(now.now)
    await again
    assert client.wrote_at == [now.now]


async def test_the_group_confirms_its_member_and_no_other(kafka: KafkaServer, topic_prefix: str) -> None:
    """Joining opens the fence and heartbeats keep it open; a coordinator that nobody watches tells it nothing."""
    create_topic(kafka.bootstrap, f"{topic_prefix}t")
    opened = []
    for watched in (True, False):
        fence = Fence(3.0)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka.bootstrap,
            group_id=f"{topic_prefix}{watched}",
            session_timeout_ms=3_000,
            heartbeat_interval_ms=500,
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            if watched:
                fence.watch(consumer._coordinator)
            consumer.subscribe([f"{topic_prefix}t"])
            deadline = time.monotonic() + PATIENCE_S
            while not consumer.assignment() and time.monotonic() < deadline:
                await consumer.getmany(timeout_ms=100)
            joined = fence.is_open()
            confirmed = fence._confirmed
            for _ in range(60):
                await consumer.getmany(timeout_ms=100)
                if fence._confirmed > confirmed:
                    break
            opened.append((joined, fence._confirmed > confirmed))
        finally:
            await consumer.stop()
    assert opened == [(True, True), (False, False)]


# -- the event loop ----------------------------------------------------------------------------------------------------


def ended(work: str, limit_s: float) -> tuple[int, str]:
    """How a process ends whose event loop is watched with a limit while it runs `work`, and what it says."""
    program = (
        "import asyncio, time\nfrom streams.watchdogs import StallWatchdog\n"
        f"async def main():\n    StallWatchdog({limit_s / SHARE}).start()\n    await asyncio.sleep(0.3)\n"
        f"    {work}\n    await asyncio.sleep(0.5)\nasyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_a_loop_that_stands_still_ends_the_process() -> None:
    """A call that holds the loop for longer than the limit is cut short by the watching thread; a short one is not."""
    started = time.monotonic()
    status, said = ended("time.sleep(50)", 0.8)
    assert status == EXIT_STOPPED
    assert "the event loop stood still for" in said
    assert time.monotonic() - started < 50
    assert ended("time.sleep(0.05)", 30) == (0, "")  # as long as other processes may hold the processors


def test_the_loop_sees_the_gap_itself_when_it_runs_first() -> None:
    """After a suspension it may be the loop that goes on first, or the thread: each of the two ends the process."""
    now = Clock()
    watchdog = StallWatchdog(1.0, now)
    pid = os.fork()
    if not pid:
        now.now += 0.7
        watchdog.look()
        now.now += 0.2
        watchdog.look()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == EXIT_STOPPED


@pytest.mark.parametrize("words", ["fence_off", "fence_off,stall_off"], ids=["watched", "unwatched"])
def test_a_stopped_worker_ends_when_it_goes_on(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path, words: str
) -> None:
    """SIGSTOP for longer than 0.8 session timeouts, SIGCONT: the worker ends and names the gap; unwatched, it goes on."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made, Fragile(made, words, "w") as worker:
        worker.wait_ready(PATIENCE_S)
        os.kill(worker.child.pid, signal.SIGSTOP)
        time.sleep(
            0.9 * float(made.given["kafka.session_timeout_s"])
        )  # longer than the limit, and not than the session
        os.kill(worker.child.pid, signal.SIGCONT)
        if "stall_off" in words:
            with pytest.raises(subprocess.TimeoutExpired):
                worker.child.wait(3)
        else:
            assert worker.child.wait(PATIENCE_S) == EXIT_STOPPED
            assert "the event loop stood still for" in worker.log()


# -- partitions --------------------------------------------------------------------------------------------------------


def stands_still(bootstrap: str, prefix: str, home: Path, words: str) -> str | None:
    """The last words of a worker that has got events and may work wrongly; None when it goes on."""
    name = words.replace(",", ".") or "sound"
    with deployment(bootstrap, f"{prefix}{name}.", home / name, **SOON) as made, Fragile(made, words, "w") as worker:
        worker.wait_ready(PATIENCE_S)
        load = Load(made.bootstrap, made.prefix, SEED, 0)
        load.send(300)
        load.close()
        if "deaf" not in words:
            made.wait_done(PATIENCE_S, alive=[worker])
        try:
            worker.child.wait(PATIENCE_S if words in ("deaf_keeper", "deaf_forwarder") else 20)
        except subprocess.TimeoutExpired:
            worker.kill()
            return None
        assert worker.child.returncode == EXIT_STOPPED, worker.log()[-2000:]
        return worker.log()


def test_a_partition_that_does_not_move_ends_the_worker(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """A log that is never kept, sources that are never sent on: the worker ends and names the partition. Unwatched it
    stays, and one that has nothing to do is left alone."""
    cases = ("deaf_keeper", "deaf_forwarder", "deaf_keeper,partition_watch_off", "")
    with ThreadPoolExecutor(len(cases)) as pool:
        runs = {words: pool.submit(stands_still, kafka.bootstrap, topic_prefix, tmp_path, words) for words in cases}
        said = {words: run.result() for words, run in runs.items()}
    for words, topic in (("deaf_keeper", "customer-events["), ("deaf_forwarder", topic_prefix)):
        last = (said[words] or "").splitlines()[-1]
        assert topic in last
        assert "has not moved for 6 s (lifecycle.stuck_after_s)" in last
    assert said["deaf_keeper,partition_watch_off"] is None
    assert said[""] is None


def test_a_broker_that_is_away_ends_nobody(
    real_kafka: Callable[..., KafkaServer], topic_prefix: str, tmp_path: Path
) -> None:
    """While Kafka is down for longer than a session and than the watchdog's limit sends wait; then all is worked off."""
    settings = {"kafka__session_timeout_s": "5", "lifecycle__stuck_after_s": "4"}
    with (
        real_kafka(tmp_path / "kafka", keep_data=True) as server,
        deployment(server.bootstrap, topic_prefix, tmp_path, **settings) as made,
        Fragile(made, "", "w") as worker,
    ):
        worker.wait_ready(PATIENCE_S)
        load = Load(made.bootstrap, topic_prefix, SEED, 0)
        load.send(1_000)
        server.kill()
        time.sleep(9)  # longer than the session, the fence's 0.8 of it, and the watchdog's limit
        server.start_again()
        load.send(100)
        load.close()
        made.wait_done(PATIENCE_S, alive=[worker])
        assert worker.terminate() == 0, worker.log()[-2000:]
        assert differences(made) == []
