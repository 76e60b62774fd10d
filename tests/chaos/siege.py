"""What every scenario of a bad network or a failing broker needs: workers that are started again, a watch on the order
in which things become durable, and the proof that a fault met work and was worked off."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Self, TypeVar

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from lifestage import profile as profiles
from lifestage.marker import MARKER_KEY, decode_marker
from tests.chaos.table import Row
from tests.pipeline import Deployment
from tests.services import http_status
from tests.workers import Worker

CATCH_UP_S = 240.0
"""No fault may hold the stream up for longer once it is over; on a quiet machine it takes seconds."""
AGAIN_S = 1.0
"""A supervisor waits this long before it starts a worker again."""
Answer = TypeVar("Answer")


def patiently(made: Deployment, ask: Callable[[], Answer], timeout_s: float = 90) -> Answer:
    """Ask the brokers until they answer, each time with new clients: kafka-python's never look for another coordinator."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except (kafka_errors.KafkaError, KeyError, OSError):
            if time.monotonic() > deadline:
                raise
            made.close()
            for name in ("_consumer", "_admin"):
                made.__dict__.pop(name, None)
            time.sleep(0.2)


class Crew:
    """Workers that are started again whenever they end, as systemd or compose does it; from `with` to its end."""

    def __init__(self, made: Deployment, hire: Mapping[str, Callable[[str], Worker]]) -> None:
        """`hire` says how to start each, given the name of its log."""
        self.made, self._hire = made, hire
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._turn: Counter[str] = Counter()
        self.workers: dict[str, Worker] = {}
        self.ends: list[str] = []
        """Of each worker that ended by itself: its name, and its last words."""
        for name in hire:
            self._start(name)
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def _start(self, name: str) -> None:
        self._turn[name] += 1
        self.workers[name] = self._hire[name](f"{name}-{self._turn[name]}")

    def _run(self) -> None:
        ended: dict[str, float] = {}
        while not self._closing.wait(0.2):
            with self._lock:
                for name, worker in list(self.workers.items()):
                    if worker.running:
                        continue
                    if name not in ended:
                        ended[name] = time.monotonic() + AGAIN_S
                        self.ends.append(f"{worker.name}: {last_words(worker)}")
                    elif time.monotonic() > ended[name]:
                        del ended[name]
                        self._start(name)

    def wait_ready(self, timeout_s: float = 120) -> None:
        """Return when every worker is ready; those that end on the way are started again."""
        deadline = time.monotonic() + timeout_s
        while not all(self._ready(name) for name in self._hire):
            assert time.monotonic() < deadline, "\n".join(w.log()[-2000:] for w in self.workers.values())
            time.sleep(0.1)

    def _ready(self, name: str) -> bool:
        return http_status(f"{self.workers[name].url}/readyz") == 200

    def why(self) -> Counter[str]:
        """How often workers ended for which reason."""
        return Counter(end.partition(": ")[2] for end in self.ends)

    def dismiss(self) -> list[str]:
        """Stop all in an orderly way, none is started again; what went wrong with that."""
        self._closing.set()
        self._thread.join(60)
        with self._lock:
            for worker in self.workers.values():
                worker.child.terminate()
            statuses = {worker.name: worker.terminate(60) for worker in self.workers.values()}
        return [
            f"{name} ended with {status}: {last_words(worker)}"
            for (name, status), worker in zip(statuses.items(), self.workers.values(), strict=True)
            if status != 0
        ]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(60)
        for worker in self.workers.values():
            worker.kill()


def last_words(worker: Worker) -> str:
    """Why a worker says it stopped, else the last line that it printed."""
    lines = worker.log().strip().splitlines() or [f"status {worker.child.returncode}, without a word"]
    stopped = [line for line in lines if line.startswith("lifestage: ")]
    return (stopped or lines)[-1].removeprefix("lifestage: ")[:300]


class Order:
    """Looks twice a second whether anything became durable before what it follows from.

    The commit of a log partition may not be ahead of the newest marker in the changelog, and no profile in the
    changelog may have a seq that is not in `stage-changes`. From `with` to its end, past all proxies.
    """

    def __init__(self, made: Deployment) -> None:
        self.made = made
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="order", daemon=True)
        self._consumer: KafkaConsumer | None = None
        self._admin: KafkaAdminClient | None = None
        self._marked: dict[int, int] = {}
        self._kept: dict[bytes, int] = {}
        self._told: Counter[bytes] = Counter()
        self.looks = 0
        """How often it has looked and got an answer."""
        self.ahead: list[str] = []
        """What it saw that may not be; and why it stopped looking, if it did."""

    def _run(self) -> None:
        while not self._closing.wait(0.4):
            try:
                self._connect()
                self._look()
                self.looks += 1
            except (kafka_errors.KafkaError, KeyError, OSError):
                # No broker answers just now: what became durable meanwhile is seen at the next look.
                if self._admin is not None:
                    self._admin.close()
                    self._admin = None
            except Exception as error:  # noqa: BLE001 - told where the row is judged: who has gone blind sees no fault
                self.ahead.append(f"nobody looks at the order any more: {error!r}")
                return

    def _connect(self) -> None:
        if self._consumer is None:
            names = (self.made.topics.changelog.name, self.made.topics.changes.name)
            tps = [TopicPartition(name, n) for name in names for n in range(self.made.topics.log.partitions)]
            self._consumer = KafkaConsumer(
                bootstrap_servers=self.made.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
            )
            self._consumer.assign(tps)
            self._consumer.seek_to_beginning(*tps)
        if self._admin is None:
            self._admin = KafkaAdminClient(bootstrap_servers=self.made.bootstrap)

    def _look(self) -> None:
        assert self._admin is not None
        group = self.made.settings.kafka.group
        committed = self._admin.list_group_offsets(group)[group]
        # What was committed is read before the markers, kept profiles before told changes: the later can only be ahead.
        self._read(self.made.topics.changelog.name)
        for tp, at in committed.items():
            if tp.topic == self.made.topics.log.name and at.offset > self._marked.get(tp.partition, -1) + 1:
                self._saw(f"commit {at.offset} of {tp.partition}, marker {self._marked.get(tp.partition, -1)}")
        kept, self._kept = self._kept, {}
        self._read(self.made.topics.changes.name)
        for key, seq in kept.items():
            if seq > self._told[key]:
                self._saw(f"profile of {key!r} with seq {seq}, told {self._told[key]}")

    def _saw(self, words: str) -> None:
        if len(self.ahead) < 20:
            self.ahead.append(words)

    def _read(self, topic: str) -> None:
        """All of a topic that has come since the last time."""
        assert self._consumer is not None
        tps = [TopicPartition(topic, number) for number in range(self.made.topics.log.partitions)]
        ends = self._consumer.end_offsets(tps)
        while not self._closing.is_set() and any(self._consumer.position(tp) < ends[tp] for tp in tps):
            for records in self._consumer.poll(timeout_ms=200, max_records=5_000).values():
                for record in records:
                    self._take(record.topic, record.partition, record.key, record.value)

    def _take(self, topic: str, partition: int, key: bytes, value: bytes | None) -> None:
        if topic == self.made.topics.changes.name:
            # A customer's changes are in order of seq; one that is told again adds nothing.
            self._told[key] = max(self._told[key], seq_of(value))
        elif key == MARKER_KEY and value is not None:
            self._marked[partition] = max(self._marked.get(partition, -1), decode_marker(value).offset)
        elif b"\0" not in key and value is not None:
            self._kept[key] = max(self._kept.get(key, 0), profiles.decode(value).seq)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(60)
        for client in (self._consumer, self._admin):
            if client is not None:
                client.close()


def stale(made: Deployment) -> list[str]:
    """Customers of whom `customer-stages` holds an older change than `stage-changes`, as a late writer would leave it.

    To be asked before all time passes: then everybody changes once more, and what was stale is written over.
    """
    told: Counter[bytes | None] = Counter()
    newest: dict[bytes | None, int] = {}
    for record in made.read(made.topics.changes.name):
        told[record.key] = max(told[record.key], seq_of(record.value))
    for record in made.read(made.topics.stages.name):
        newest[record.key] = told[record.key] if record.value is None else seq_of(record.value)
    return [
        f"customer-stages of {key!r} has seq {newest.get(key)}, {seq} is out"
        for key, seq in told.items()
        if newest.get(key, 0) < seq  # a change that came since the first topic was read is no fault
    ]


def seq_of(change: bytes | None) -> int:
    """The seq of a change document."""
    return int(msgspec.json.decode(change or b"")["seq"])


class Siege:
    """Proves of each fault that it met work and that work went on after it, and measures how long that took."""

    def __init__(self, made: Deployment, row: Row) -> None:
        self.made, self._row, self._before = made, row, 0

    def wait_work(self, least: int = 300, timeout_s: float = CATCH_UP_S) -> None:
        """Return when `least` source records more are committed than at the last fault, and some are in the middle."""
        deadline = time.monotonic() + timeout_s
        while True:
            done = patiently(self.made, self._done)
            if done >= self._before + least and patiently(self.made, self._in_flight) > 0:
                self._before = done
                return
            assert time.monotonic() < deadline, f"{done} done, {self._before} at the last fault: no work since"
            time.sleep(0.05)

    def _done(self) -> int:
        committed = self.made.committed()
        return sum(max(0, offset) for tp, offset in committed.items() if tp.topic in self.made.sources)

    def _in_flight(self) -> int:
        return self.made.lag([*self.made.sources, self.made.topics.log.name])

    def catch_up(self, timeout_s: float = CATCH_UP_S) -> float:
        """Return when all that waited is read, folded, durable and committed; the seconds that it took."""
        started = time.monotonic()
        for names in (self.made.sources, [self.made.topics.log.name]):
            ends = patiently(self.made, lambda: self.made.ends(names))  # noqa: B023 - called before the loop goes on
            while True:
                committed = patiently(self.made, self.made.committed)
                waiting = sum(max(0, end - max(committed.get(tp, 0), 0)) for tp, end in ends.items())
                if not waiting:
                    break
                assert time.monotonic() < started + timeout_s, f"{waiting} of {names[0]} … wait after {timeout_s:.0f} s"
                time.sleep(0.1)
        self._row.slowest(time.monotonic() - started)
        return time.monotonic() - started
