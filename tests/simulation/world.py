"""A simulated deployment and everything that can happen to it, one small step at a time.

Every step takes whole numbers and nothing else, so that a list of steps is a history that can be run again, cut down
and read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

from aiokafka.errors import KafkaTimeoutError
from faust.types import TP

from lifestage import log
from lifestage.marker import MARKER_KEY, PREPARED_KEY, decode_marker
from lifestage.profile import decode_head
from streams.profiles import applied_of
from streams.topics import topics_of
from tests.simulation.events import Shop, place_of
from tests.simulation.kafka import Record, SimulatedKafka
from tests.simulation.loop import Life, SteppedLoop
from tests.simulation.product import PARTITIONS, settings_of, under_simulation
from tests.simulation.worker import SimulatedWorker

WORKERS = 3
ALLOWED = ("could not be sent", "could not be made durable before partitions went", "is no member of group")
"""Why a worker may stop itself: a send failed, the broker did not answer for as long as was set, or the group has gone on
without it."""

KEPT_MS = 12_000
"""For so long compaction keeps a tombstone: four session timeouts."""

ROUNDS_MOST = 40
"""Requests of one lane within a turn of a network that takes no time: a reader that has all waits a little, then asks."""

Step = tuple[str, int, int]


class WrongError(AssertionError):
    """Something that must never be."""


class World:
    """The deployment; `with` it the product sees its loop and its clocks."""

    def __init__(self, mode: str = "data") -> None:
        self.settings = settings_of(mode)
        self.topics = topics_of(self.settings)
        self.loop = SteppedLoop()
        self.kafka = SimulatedKafka([topic.name for topic in self.topics.all()], PARTITIONS, self.loop.time)
        self.kafka.appended, self.kafka.moved = self._appended, self._moved
        self.shop = Shop(PARTITIONS)
        self.workers: list[SimulatedWorker] = []
        self.steps: list[Step] = []
        self.said: list[str] = []
        """What each step came to."""
        self.faults: Counter[str] = Counter()
        """What was done that met somebody."""
        self.durable: dict[int, int] = {}
        """Log partition → the furthest marker that was ever in the changelog."""
        self._arrived: dict[TP, set[int]] = {}
        self._below: dict[TP, int] = {}
        """Source partition → every record below this offset is in the log."""
        self._codes = {log.topic_code(topic.name): topic.name for topic in self.topics.sources}
        self._stack = ExitStack()

    # -- in and out ------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Put the product's clocks, its way out and its batches under the simulation."""
        self._stack.enter_context(under_simulation(self.loop, self.kafka, self._wall, self._ended))
        return self

    def __exit__(self, *_: object) -> None:
        """All lives end."""
        self.faults["takeovers"] += self.kafka.group.takeovers
        for worker in self.workers:
            worker.life.alive = False
        self.loop.close()
        self._stack.close()

    def _wall(self) -> float:
        return (self.shop.now + self.loop.now * 1000) / 1000

    def _ended(self, life: Life, reason: str) -> None:
        life.alive = False
        self.faults["fail-stops"] += 1
        self.kafka.cut_off(life, lost=False)
        self._say(f"{life.name}: {reason}")
        if not any(words in reason for words in ALLOWED):
            self.loop.troubles.append(f"{life.name}: {reason}")

    # -- what must hold at every step ------------------------------------------------------------

    def _appended(self, record: Record) -> None:
        if record.topic == self.topics.changelog.name and record.key == MARKER_KEY:
            offset = decode_marker(record.value).offset
            self.durable[record.partition] = max(offset, self.durable.get(record.partition, -1))
        elif record.topic == self.topics.log.name:
            header = log.header(record.value)
            if header.kind == log.MESSAGE:
                self.faults["messages"] += 1
            elif header.topic:
                tp = TP(self._codes[header.topic], header.partition)
                self._arrived.setdefault(tp, set()).add(header.offset)

    def _moved(self, tp: TP) -> None:
        """I8: nothing is committed before what follows from it is durable."""
        offset = self.kafka.committed[tp][0]
        if tp.topic == self.topics.log.name:
            if offset > self.durable.get(tp.partition, -1) + 1:
                raise WrongError(
                    f"{tp.topic}[{tp.partition}] is committed to {offset}, but the changelog's marker stands at "
                    f"{self.durable.get(tp.partition, -1)}"
                )
            return
        below, arrived = self._below.get(tp, 0), self._arrived.get(tp, set())
        while below in arrived:
            below += 1
        self._below[tp] = below
        if offset > below:
            raise WrongError(f"{tp.topic}[{tp.partition}] is committed to {offset}, but {below} is not in the log")

    def arrived(self, tp: TP) -> set[int]:
        """Offsets of a source partition whose records are in the log."""
        return self._arrived.get(tp, set())

    def broken(self) -> set[tuple[str, int, int]]:
        """Places of source records that are no JSON."""
        return {
            (record.topic, record.partition, record.offset)
            for topic in self.topics.sources
            for number in range(PARTITIONS)
            for record in self.kafka.logs[TP(topic.name, number)].records
            if not record.value.endswith(b"}")
        }

    # -- steps -----------------------------------------------------------------------------------

    def take(self, name: str, a: int = 0, b: int = 0) -> None:
        """Do one step. One that cannot be done now does nothing."""
        self.steps.append((name, a, b))
        self.said.append("")
        STEPS[name](self, a, b)
        self.check_troubles()

    def check_troubles(self) -> None:
        """No task may have ended with an exception that nobody took."""
        if self.loop.troubles:
            raise WrongError(f"a task failed: {self.loop.troubles[0]}")

    def _say(self, words: str) -> None:
        self.said[-1] = f"{self.said[-1]}; {words}" if self.said[-1] else words

    def _running(self, pick: int) -> SimulatedWorker | None:
        found = [worker for worker in self.workers if worker.life.alive and not worker.life.stopped]
        return found[pick % len(found)] if found else None

    def produce(self, kind: int, who: int) -> None:
        """A source gets a record."""
        topic, partition, record = self.shop.make(kind, who)
        offset = self.kafka.append(TP(topic, partition), [record], timestamp=self.shop.now)
        self._say(f"{topic}[{partition}]@{offset} {record[1][:70]!r}")

    def days(self, number: int, _: int) -> None:
        """Time passes in the shop."""
        self.shop.now += (number % 60 + 1) * 86_400_000

    def spin(self, count: int, _: int) -> None:
        """So many callbacks are run: a life may be at any `await` then."""
        for _n in range(count % 40 + 1):
            if not self.loop.step():
                return

    def deliver(self, pick: int, count: int) -> None:
        """Some requests are done or answered."""
        for n in range(count % 8 + 1):
            if not self._deliver_one(pick + n):
                return
            if count & 8:
                self.loop.settle()

    def _deliver_one(self, pick: int, error: BaseException | None = None) -> bool:
        lanes = self.kafka.deliverable()
        if not lanes:
            return False
        self._say(self.kafka.deliver(lanes[pick % len(lanes)], error))
        return True

    def flow(self, count: int, _: int) -> None:
        """Everything goes on without hindrance for a while."""
        for _n in range(count % 6 + 1):
            self.loop.settle()
            for lane in self.kafka.deliverable():
                if lane in self.kafka.lanes:
                    self.kafka.deliver(lane)
            self.loop.settle()
            self.loop.pass_time(0.05)

    def rush(self, turns: int, _: int) -> None:
        """The same on a network that takes no time."""
        for _n in range(turns % 16 + 1):
            self.loop.settle()
            for _round in range(ROUNDS_MOST):
                lanes = self.kafka.deliverable()
                if not lanes:
                    break
                for lane in lanes:
                    if lane in self.kafka.lanes:
                        self.kafka.deliver(lane)
                self.loop.settle()
            self.loop.pass_time(0.05)

    def fail(self, pick: int, _: int) -> None:
        """A send gives up: its records are in the topic, or not."""
        lanes = [
            lane
            for lane in self.kafka.deliverable()
            if " to " in self.kafka.lanes[lane][0].what and self.kafka.lanes[lane][0].life.alive
        ]
        if not lanes:
            return
        lane = lanes[pick % len(lanes)]
        request = self.kafka.lanes[lane][0]
        if not request.life.stopped:
            request.done = True  # where it was not done before it never will be
            self._say(self.kafka.deliver(lane, KafkaTimeoutError()))
            self.faults["failed sends"] += 1

    def hold(self, pick: int, who: int) -> None:
        """From now on the network holds what a worker writes to the changelog partition of somebody."""
        worker = self._running(pick)
        if worker is not None:
            lane = worker.life.name, f"{self.topics.changelog.name}-{place_of(who, PARTITIONS)}"
            self.kafka.held.add(lane)
            self._say(" ".join(lane))

    def trickle(self, count: int, _: int) -> None:
        """So many requests of what is held are done or answered all the same."""
        for _n in range(count % 16 + 1):
            for lane in self.kafka.come_in():
                self._say(self.kafka.deliver(lane))
            self.loop.settle()

    def release(self, _: int, __: int) -> None:
        """What was held comes in, and nothing is held any more. What follows from it is not done yet."""
        for lane in self.kafka.come_in():
            self._say(self.kafka.deliver(lane))
            self.faults["held writes"] += 1
        self.kafka.held.clear()

    def wait(self, hundredths: int, _: int) -> None:
        """Time passes: timers run."""
        self.loop.pass_time((hundredths % 60 + 1) / (100 if hundredths % 7 else 10))
        self.loop.settle()

    def beat(self, pick: int, _: int) -> None:
        """A worker sends a heartbeat before its time."""
        worker = self._running(pick)
        if worker is not None:
            self.loop.begin(worker.life, worker.beat(), f"{worker.life.name} beats")
            self._say(worker.life.name)

    def start(self, _: int, __: int) -> None:
        """A worker starts, if there is room."""
        if sum(worker.life.alive for worker in self.workers) >= WORKERS:
            return
        life = Life(f"w{len(self.workers) + 1}")
        worker = SimulatedWorker(self.settings, self.kafka, self.loop, life)
        self.workers.append(worker)
        worker.begin()
        self._say(worker.life.name)

    def kill(self, pick: int, how: int) -> None:
        """A worker ends, here and now."""
        found = [worker for worker in self.workers if worker.life.alive]
        if found:
            life = found[pick % len(found)].life
            life.alive = False
            self.faults["kills"] += 1
            self.kafka.cut_off(life, lost=bool(how % 2))
            self._say(life.name)

    def leave(self, pick: int, _: int) -> None:
        """A worker is asked to end: it drains, commits and leaves the group."""
        worker = self._running(pick)
        if worker is not None and not worker.leaving:
            self.faults["leaves"] += 1
            worker.leave(lambda: self.kafka.group.drop(worker.life.name))
            self._say(worker.life.name)

    def halt(self, pick: int, _: int) -> None:
        """A worker is stopped, as by SIGSTOP."""
        worker = self._running(pick)
        if worker is not None:
            worker.life.stopped = True
            self.faults["stops"] += 1
            self._say(worker.life.name)

    def resume(self, pick: int, _: int) -> None:
        """A stopped worker goes on."""
        found = [worker for worker in self.workers if worker.life.alive and worker.life.stopped]
        if found:
            self.loop.resume(found[pick % len(found)].life)
            self._say(found[pick % len(found)].life.name)

    def expire(self, pick: int, _: int) -> None:
        """The group has not heard of a member for a session timeout, and goes on without it."""
        group, timeout = self.kafka.group, self.settings.kafka.session_timeout_s
        found = [m for m in group.members.values() if not m.life.alive or m.life.stopped]
        if found:
            member = found[pick % len(found)]
            self.loop.pass_time(max(0.0, member.heard + timeout - self.loop.now))
            self.faults["zombies"] += member.life.alive
            group.drop(member.life.name)
            self._say(member.life.name)

    def compact(self, pick: int, upto: int) -> None:
        """A changelog is compacted up to some record; newer ones are within the compaction lag."""
        tp = TP(self.topics.changelog.name, pick % PARTITIONS)
        stored = self.kafka.logs[tp]
        if stored.records:
            below = stored.records[upto % len(stored.records)].offset
            gone = self.kafka.compact(tp, self._held, below)
            self.faults["compacted records"] += gone
            self._say(f"{gone} records below {below}")

    def _held(self, record: Record, newest: Record) -> bool:
        """What `min.compaction.lag.ms` and `delete.retention.ms` do, in the simulation's few seconds.

        A former owner may have written `newest` late: the owner has time to write what it had again. A tombstone stays
        until nobody who has not read it can write what it removed.
        """
        if record is newest:
            return self.loop.now * 1000 - record.timestamp < KEPT_MS
        return applied_in(record) > applied_in(newest)

    def empty(self, pick: int, _: int) -> None:
        """All workers end, and a partition of the changelog is lost: its state must be made from the log again."""
        for worker in self.workers:
            if worker.life.alive:
                worker.life.alive = False
                self.kafka.cut_off(worker.life, lost=True)
        number = pick % PARTITIONS
        self.kafka.lanes.clear()
        self.kafka.logs[TP(self.topics.changelog.name, number)].records.clear()
        self.durable.pop(number, None)
        self.faults["emptied changelogs"] += 1


def applied_in(record: Record) -> int:
    """How far the log is applied in a record of a changelog."""
    if record.value is None:
        return applied_of(record.headers)
    if record.key in {MARKER_KEY, PREPARED_KEY}:
        return decode_marker(record.value).offset
    return decode_head(record.value).applied


STEPS: dict[str, Callable[[World, int, int], None]] = {
    step.__name__: step
    for step in (
        World.produce, World.days, World.spin, World.deliver, World.flow, World.rush, World.fail, World.hold,
        World.trickle, World.release, World.wait, World.beat,
        World.start, World.kill, World.leave, World.halt, World.resume, World.expire, World.compact, World.empty,
    )
}  # fmt: skip
