"""Each override of Faust that only a rebalance, a seek or a hole in the log calls for: with it, and without it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from faust.tables.recovery import Recovery
from faust.types import TP
from mode.utils.queues import FlowControlQueue

from agents.app import Worker
from config.settings import Settings, load
from lifestage import log
from streams.batches import BatchConsumer, BatchThread
from streams.embedded.kafka import KafkaServer
from streams.engine import faust_app
from streams.recovery import OrderedRecovery
from streams.stop import EXIT_STOPPED
from tests import breaks
from tests.chaos.crew import PATIENCE_S, Fragile, until
from tests.load import BEGIN_MS, Load
from tests.pipeline import Deployment, deployment, differences, written_by
from tests.wire import create_topic, produce

pytestmark = pytest.mark.broker

SEED = 41
RECORDS = 10


# -- a fetch that straddles a seek or a rebalance ----------------------------------------------------------------------


class Unthreaded(BatchThread):
    """The consumer's thread without a thread: its functions run in the loop of the test, on a real consumer."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self.real = consumer
        conf = SimpleNamespace(broker_request_timeout=PATIENCE_S)
        self.app = SimpleNamespace(consumer_generation_id=1, conf=conf)
        self.consumer = SimpleNamespace(flow_active=True, _read_offset={})
        self.log = SimpleNamespace(dev=lambda *_: None, info=lambda *_: None)

    def _ensure_consumer(self) -> AIOKafkaConsumer:
        return self.real


class Keeping(Unthreaded):
    """One that does not give back what it may not hand out."""

    def _ensure_consumer(self) -> Any:
        kept = SimpleNamespace(**{name: getattr(self.real, name) for name in ("_fetcher", "_closed", "_subscription")})
        kept.seek = lambda *_: None
        return kept


async def seek_all(thread: Unthreaded, tp: TP) -> None:
    """The seek after a recovery."""
    thread.real.seek(TopicPartition(*tp), 0)
    thread.epoch += 1


async def seek_wait(thread: Unthreaded, tp: TP) -> None:
    """Faust's own seek, as a recovery of a changelog does it."""
    await thread._seek_wait(thread.real, {tp: 0})


async def generation(thread: Unthreaded, _: TP) -> None:
    """A rebalance that leaves the partition where it is."""
    thread.app.consumer_generation_id += 1


Overtake = Callable[[Unthreaded, TP], Any]


async def handed_out(kafka: KafkaServer, topic: str, kind: type[Unthreaded], overtake: Overtake) -> list[int]:
    """The offsets that fetches hand out when something overtakes the first one while it waits."""
    create_topic(kafka.bootstrap, topic)
    tp = TP(topic, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    found: list[int] = []
    try:
        consumer.assign([TopicPartition(*tp)])
        consumer.seek(TopicPartition(*tp), 0)
        thread = kind(consumer)
        waiting = asyncio.create_task(thread._fetch_runs(frozenset({tp}), 60.0, 100))
        async with asyncio.timeout(PATIENCE_S):
            while not consumer._fetcher._fetch_waiters:  # noqa: ASYNC110  # a set of the fetcher's, not an event
                await asyncio.sleep(0.01)
            await overtake(thread, tp)
            await asyncio.to_thread(produce, kafka.bootstrap, topic, [(None, b"%d" % n) for n in range(RECORDS)])
            fetched = [await waiting]
            # Where reading goes on: behind what was dropped and not given back.
            while await consumer.position(TopicPartition(*tp)) < RECORDS:
                fetched.append(await thread._fetch_runs(frozenset({tp}), 0.1, 100))
        for records, *state in fetched:
            if state == [thread.epoch, thread.app.consumer_generation_id]:  # as `getmany` looks
                found += [record.offset for run in records.values() for record in run]
    finally:
        await consumer.stop()
    return found


OVERTAKING = (seek_all, seek_wait, generation)


@pytest.mark.parametrize("overtake", OVERTAKING)
async def test_a_fetch_that_was_overtaken_is_given_back(
    kafka: KafkaServer, topic_prefix: str, overtake: Overtake
) -> None:
    """What it found is not handed out, and is found again: every record once."""
    assert await handed_out(kafka, f"{topic_prefix}t", Unthreaded, overtake) == list(range(RECORDS))


@pytest.mark.parametrize("overtake", OVERTAKING)
async def test_what_is_not_given_back_is_lost(kafka: KafkaServer, topic_prefix: str, overtake: Overtake) -> None:
    """Dropped and not given back, the records of an overtaken fetch never come again; at the least the first."""
    assert 0 not in await handed_out(kafka, f"{topic_prefix}t", Keeping, overtake)


# -- a seek that a revocation overtakes --------------------------------------------------------------------------------


@pytest.fixture
def settings() -> Settings:
    """Those of a worker that reaches nothing."""
    return load(environment={"LIFESTAGE_KAFKA_BOOTSTRAP": "127.0.0.1:1"})


class Seeking:
    """A consumer's thread in whose seek a revocation comes in."""

    epoch = 0

    def __init__(self, consumer: BatchConsumer, tp: TP) -> None:
        self._consumer, self._tp = consumer, tp

    def assignment(self) -> set[TP]:
        """What is assigned."""
        return {self._tp}

    async def committed(self, tps: set[TP]) -> dict[TP, int | None]:
        """What is committed."""
        return dict.fromkeys(tps, 3)

    async def seek_all(self, _: dict[TP, int]) -> None:
        """Seek, and be overtaken."""
        self._consumer.revocations += 1


async def reopened(settings: Settings, home: Path) -> bool:
    """Whether a seek opens the queues although a revocation has overtaken it."""
    consumer = faust_app(settings, "127.0.0.1:1", home).consumer
    assert isinstance(consumer, BatchConsumer)
    opened: list[dict[TP, int]] = []
    tp = TP("log", 0)
    consumer._thread.thread_loop.close()
    consumer._thread = Seeking(consumer, tp)  # type: ignore[assignment]

    async def targets(assigned: set[TP], committed: dict[TP, int | None]) -> dict[TP, int]:
        return {tp: committed[tp] or 0 for tp in assigned}

    consumer.targets, consumer.reopen = targets, opened.append
    await consumer.perform_seek()
    assert bool(opened) == bool(consumer.positions.durable)
    return bool(opened)


async def test_a_seek_that_a_revocation_overtakes_opens_nothing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is being given up is not opened again; with revocations uncounted it would be."""
    assert not await reopened(settings, tmp_path)
    breaks.revocations_uncounted(partial(monkeypatch.setattr, raising=False))
    assert await reopened(settings, tmp_path)


# -- the end of a recovery ---------------------------------------------------------------------------------------------


class Fetching:
    """A consumer whose fetcher takes every chance: it puts what it may fetch into the agent's queue at once."""

    revocations = 0

    def __init__(self, queue: FlowControlQueue) -> None:
        # As a recovery leaves it: everything paused, the flow still active, the position before the rebalance.
        self.queue, self.position, self.paused, self.flows = queue, 5, True, True

    def assignment(self) -> set[TP]:
        """What is assigned."""
        return {TP("log", 0)}

    def resume_partitions(self, _: set[TP]) -> None:
        """Fetch from them again."""
        self.paused = False
        self._fetch()

    def resume_flow(self) -> None:
        """Fetch again."""
        self.flows = True
        self._fetch()

    async def perform_seek(self) -> None:
        """Go to where the state is."""
        self.position = 0
        self._fetch()

    def _fetch(self) -> None:
        while not self.paused and self.flows and self.position < RECORDS:
            self.queue.put_nowait(self.position)
            self.position += 1


class Started:
    """A fetcher that runs already."""

    async def maybe_start(self) -> bool:
        """Nothing."""
        return True


@pytest.fixture
async def recovering(settings: Settings, tmp_path: Path) -> tuple[OrderedRecovery, FlowControlQueue]:
    """A recovery that has read its changelog, and the queue of the agent behind it."""
    app = faust_app(settings, "127.0.0.1:1", tmp_path)
    queue = FlowControlQueue(flow_control=app.flow_control, clear_on_resume=True)
    app.consumer = Fetching(queue)
    app.__dict__["_fetcher"] = Started()
    recovery = app.tables.recovery
    assert isinstance(recovery, OrderedRecovery)
    return recovery, queue


async def test_nothing_is_fetched_before_the_queues_are_open(
    recovering: tuple[OrderedRecovery, FlowControlQueue],
) -> None:
    """After a recovery the agent gets every record from the state on, once and in order."""
    recovery, queue = recovering
    await recovery.on_recovery_completed()
    assert list(queue._queue) == list(range(RECORDS))


async def test_in_the_order_of_upstream_they_are_lost(recovering: tuple[OrderedRecovery, FlowControlQueue]) -> None:
    """Upstream resumes, seeks, and then clears the queues that were filled in between."""
    recovery, queue = recovering
    await Recovery.on_recovery_completed(recovery)
    assert list(queue._queue) != list(range(RECORDS))


class LookingUp:
    """A table that looks something up at the end of a recovery; before it has found it, a revocation may come in."""

    def __init__(self, consumer: Fetching, revocations: int) -> None:
        self._consumer, self._revocations = consumer, revocations

    async def on_recovery_completed(self, *_: set[TP]) -> None:
        """Look it up."""
        self._consumer.revocations += self._revocations


@pytest.mark.parametrize("revocations", [0, 1], ids=["undisturbed", "revoked"])
async def test_a_revocation_while_a_table_looks_something_up_ends_the_recovery(
    recovering: tuple[OrderedRecovery, FlowControlQueue], revocations: int
) -> None:
    """What may not have been looked up is not gone on with: nothing is opened. Undisturbed, all is handed out."""
    recovery, queue = recovering
    assert isinstance(recovery.app.consumer, Fetching)
    recovery.tables.data["looking up"] = LookingUp(recovery.app.consumer, revocations)
    await recovery.on_recovery_completed()
    assert list(queue._queue) == ([] if revocations else list(range(RECORDS)))
    assert recovery.completed.is_set() == (not revocations)


# -- where a recovery starts, and when it is done ----------------------------------------------------------------------


class Broker:
    """A consumer that says from where the changelog is kept: from its beginning."""

    revocations = 0

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        """The first offset of each partition."""
        return dict.fromkeys(tps, 0)


@pytest.fixture
async def skipped(settings: Settings, tmp_path: Path) -> tuple[Worker, OrderedRecovery, TP]:
    """A recovery whose own offsets say that a partition has been read that the table has dropped and been given again.

    So upstream leaves it when it skips an assignment because the next one is there already.
    """
    worker = Worker(settings, "127.0.0.1:1", None, tmp_path, "test")
    worker.app.consumer = Broker()
    recovery, tp = worker.app.tables.recovery, TP(worker.topics.changelog.name, 2)
    recovery.add_active(worker.profiles, tp)
    recovery.active_offsets[tp] = recovery.active_highwaters[tp] = 100
    worker.profiles.partition(2)
    return worker, recovery, tp


async def test_a_dropped_partition_is_read_from_its_beginning(skipped: tuple[Worker, OrderedRecovery, TP]) -> None:
    """What the table has not is read, whatever upstream remembers; upstream reads nothing of it."""
    _, recovery, tp = skipped
    await Recovery._build_offsets(recovery, Broker(), {tp}, recovery.active_offsets, "active")
    assert not recovery.need_recovery()
    await recovery._build_offsets(Broker(), {tp}, recovery.active_offsets, "active")
    assert recovery.need_recovery()
    assert recovery.active_offsets[tp] == -1


async def test_nothing_is_made_ready_before_all_is_read(skipped: tuple[Worker, OrderedRecovery, TP]) -> None:
    """A recovery that upstream takes for done reads once more, and the partition is not made ready to fold."""
    worker, recovery, tp = skipped
    await recovery._build_offsets(Broker(), {tp}, recovery.active_offsets, "active")
    worker.profiles.wrote(2, 99)
    await recovery.on_recovery_completed(worker.app.consumer_generation_id)
    assert recovery.signal_recovery_start.is_set()
    assert worker.profiles._fresh == {2}
    worker.profiles.wrote(2, 100)
    assert recovery._unread() == set()


# -- a rebalance in the middle of work ---------------------------------------------------------------------------------


def joined(made: Deployment, words: str) -> list[str]:
    """What is wrong or was done twice when a second worker joins one that has work in flight."""
    load = Load(made.bootstrap, made.prefix, SEED, 0)
    with Fragile(made, words, "first") as first:
        first.wait_ready(PATIENCE_S)
        load.send(2_000)
        load.close()
        until(lambda: made.lag([made.topics.log.name]) > 300, "in flight", [first])
        with Fragile(made, "", "second") as second:
            if words:
                first.child.wait(PATIENCE_S)
                return [first.log()]
            made.wait_shared([first, second.wait_ready(PATIENCE_S)], PATIENCE_S)
            made.wait_done(PATIENCE_S, alive=[first, second])
    written = written_by(made)
    repeats = [f"{written.repeats} changes were repeated"] * (written.repeats > 0)
    return [
        *differences(made),
        *repeats,
        *(f"{m.reread} were read again" for m in written.markers.values() if m.reread),
    ]


def test_a_rebalance_repeats_nothing(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """What was taken is made durable before partitions go: no change and no record comes twice. Undrained, it is seen."""
    found, slow = {}, {"lifecycle__flush_interval_s": "30"}  # nothing is kept by itself before the rebalance
    with ThreadPoolExecutor(2) as pool:
        runs = {}
        for words in ("", "drain_off"):
            made = Deployment(kafka.bootstrap, f"{topic_prefix}{words}.", tmp_path / (words or "sound"), **slow)
            runs[words] = made, pool.submit(joined, made, words)
        for words, (made, run) in runs.items():
            found[words] = run.result()
            made.close()
    assert found[""] == []
    assert "profiles were dirty at a seek" in found["drain_off"][0]


# -- a log with a hole -------------------------------------------------------------------------------------------------


async def skip(made: Deployment) -> None:
    """Write a tick in a transaction: the mark of its end takes an offset in the log that no record has."""
    tick = log.pack_tick(log.Tick(BEGIN_MS, live=False))
    producer = AIOKafkaProducer(bootstrap_servers=made.bootstrap, transactional_id=f"{made.prefix}hole")
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait(made.topics.log.name, tick, partition=0)
    await producer.stop()


@pytest.mark.parametrize("words", ["", "gaps_unseen"])
def test_a_log_that_skips_stops_the_worker(kafka: KafkaServer, topic_prefix: str, tmp_path: Path, words: str) -> None:
    """An offset that no record has may be a record that is lost: the worker stops and names it; unseen, it goes on."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made, Fragile(made, words, "w") as worker:
        worker.wait_ready(PATIENCE_S)
        asyncio.run(skip(made))
        made.end_tick(BEGIN_MS + 1)
        if words:
            end = {0: 3, 1: 1, 2: 1, 3: 1}
            until(lambda: {n: m.offset + 1 for n, m in written_by(made).markers.items()} == end, "folded", [worker])
        else:
            assert worker.child.wait(PATIENCE_S) == EXIT_STOPPED, worker.log()[-2000:]
            assert "customer-events[0]: offset 2 came where 1 was expected" in worker.log()


async def test_faust_acknowledges_nothing_of_ours(settings: Settings, tmp_path: Path) -> None:
    """Topics are made without acks, so upstream keeps no list of acked offsets, in which every run would be a gap."""
    worker = Worker(settings, "127.0.0.1:1", None, tmp_path, "test")
    channels = [worker.profiles.changelog_topic, *(agent.channel for agent in worker.app.agents.values())]
    assert [channel.acks for channel in channels] == [False, False, False]
    assert worker.app.topic("stock").acks
