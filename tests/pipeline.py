"""A deployment of the product on a real Kafka, and the oracle that says what must have come out of it.

The oracle folds the log from its first record to its high watermark in this process, without Faust, and is compared
with everything that the workers wrote.
"""

from __future__ import annotations

import functools
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError
from prometheus_client.parser import text_string_to_metric_families

from config.settings import Settings, load
from lifestage import log
from lifestage.change import encode_value, headers
from lifestage.kpi_pages import OWNER as KPIS
from lifestage.marker import MARKER_KEY, PREPARED_KEY, Marker, decode_marker
from lifestage.messages import Posted
from lifestage.pages import is_page, owner
from lifestage.partition import Partition
from streams.provision import apply, plan, topic_ids
from streams.rules import rules_of
from streams.topics import topics_of
from tests.asking import soon
from tests.differing import first_difference, marker_differences
from tests.envelopes import Envelope, Of, envelope_of, envelopes_amiss
from tests.kept_kpis import kept_differences
from tests.leftovers import Leftovers, put_together
from tests.letters import letters_amiss, rejected
from tests.origins import events_amiss
from tests.posts import posts_amiss
from tests.wire import Record, produce, read_all
from tests.workers import Worker

SESSION_S = 6.0
"""A killed worker's partitions stand still for this long; the embedded broker allows no less than 1."""
Hired = TypeVar("Hired", bound=Worker)


class Deployment:
    """Topics of one test's own, and the workers on them."""

    def __init__(self, bootstrap: str, prefix: str, home: Path, **settings: str) -> None:
        """Provision; `settings` name a section and a setting with `__` between, as in `clock__mode="data"`."""
        self.home, self.prefix, self.bootstrap = home, prefix, bootstrap
        self.given = {
            "kafka.bootstrap": bootstrap,
            "kafka.group": prefix + "g",
            "kafka.session_timeout_s": str(SESSION_S),
            "topics.prefix": prefix,
            "topics.partitions": "4",
            "clock.mode": "data",
            "clock.poll_interval_s": "0.2",
            "clock.tick_interval_s": "0.5",
            "redis.enabled": "false",
            "identity.secret": "a secret of the tests",
        } | {name.replace("__", "."): value for name, value in settings.items()}
        environment = {f"LIFESTAGE_{name.replace('.', '_').upper()}": value for name, value in self.given.items()}
        self.settings: Settings = load(environment=environment)
        self.topics = topics_of(self.settings)
        self._hired: list[Worker] = []
        apply(self.settings, bootstrap, plan(self.settings, bootstrap))

    def worker(self, name: str = "w1") -> Worker:
        """Start a worker as it is in production; not ready yet."""
        return self.hire(Worker(self.given, self.home, name))

    def hire(self, worker: Hired) -> Hired:
        """Answer for a worker: it is killed with the end of the deployment if it still runs then."""
        self._hired.append(worker)
        return worker

    def dismiss(self) -> None:
        """Kill every worker that still runs."""
        for worker in self._hired:
            worker.kill()

    def produce(self, source: str, events: Iterable[dict[str, Any]], **options: Any) -> None:
        """Send events to a source, keyed by customer."""
        records = [(event["customer_id"].encode(), msgspec.json.encode(event)) for event in events]
        produce(self.bootstrap, self.prefix + source, records, linger_ms=20, batch_size=200_000, **options)

    def end_tick(self, when: int, *, live: bool = False) -> None:
        """Write the tick at `when` (ms) to every partition of the log."""
        tick = log.pack_tick(log.Tick(when, live))
        for number in range(self.topics.log.partitions):
            produce(self.bootstrap, self.topics.log.name, [(None, tick)], partition=number)

    # -- where it stands -------------------------------------------------------------------------

    @functools.cached_property
    def _consumer(self) -> KafkaConsumer:
        return KafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)

    @functools.cached_property
    def _admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.bootstrap)

    def apart(self) -> Deployment:
        """The same deployment with connections of its own, for another thread; its workers stay with this one."""
        other = copy(self)
        other._hired = []
        for name in ("_consumer", "_admin"):
            other.__dict__.pop(name, None)
        return other

    def close(self) -> None:
        """Disconnect."""
        for name in ("_consumer", "_admin"):
            if name in self.__dict__:
                getattr(self, name).close()

    def ends(self, names: Iterable[str]) -> dict[TopicPartition, int]:
        """The next offset to be written of each partition of topics."""
        tps = [TopicPartition(name, n) for name in names for n in range(self.topics.log.partitions)]
        # kafka-python answers in part while it learns where the partitions' leaders are, and then stumbles over it.
        return dict(soon(lambda: self._consumer.end_offsets(tps), KeyError))

    def committed(self) -> dict[TopicPartition, int]:
        """What the group has committed."""
        group = self.settings.kafka.group
        # the first who asks a new broker makes it create the topic that commits are kept in
        not_yet = (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError)
        found = soon(lambda: self._admin.list_group_offsets(group)[group], not_yet)
        return {tp: held.offset for tp, held in found.items()}

    def lag(self, names: Iterable[str]) -> int:
        """Records of topics that the group has not committed."""
        committed = self.committed()
        return sum(max(0, end - max(committed.get(tp, 0), 0)) for tp, end in self.ends(names).items())

    @property
    def sources(self) -> list[str]:
        """Names of the source topics."""
        return [topic.name for topic in self.topics.sources]

    def wait_taken_in(self, timeout_s: float = 60, alive: Sequence[Worker] = ()) -> None:
        """Return when every source record is in the log, acknowledged and committed."""
        self._wait(lambda: self.lag(self.sources) == 0, "sources read", timeout_s, alive)

    def wait_done(self, timeout_s: float = 60, alive: Sequence[Worker] = ()) -> None:
        """Return when all source records are in the log and all of the log, with the messages that come of it, is folded,
        durable and committed."""
        self.wait_taken_in(timeout_s, alive)
        self._wait(self.is_folded, "log folded", timeout_s, alive)

    def is_folded(self) -> bool:
        """Whether all of the log is committed, and nothing came to it while that was asked: what is folded in one partition
        may have put messages into another, but they are there before it is committed."""
        name = self.topics.log.name
        before = self.ends([name])
        return self.lag([name]) == 0 and self.ends([name]) == before

    def wait_changes(self, least: int, timeout_s: float = 30, alive: Sequence[Worker] = ()) -> None:
        """Return when at least so many changes were announced, and all of the log is folded."""
        name = self.topics.changes.name
        self._wait(lambda: sum(self.ends([name]).values()) >= least, f"{least} changes", timeout_s, alive)
        self.wait_done(timeout_s, alive)

    def wait_shared(self, workers: Sequence[Worker], timeout_s: float = 40) -> None:
        """Return when each worker owns partitions of the log, all of them together all."""

        def shared() -> bool:
            owned = [owned_by(worker, self.topics.log.name) for worker in workers]
            return all(owned) and sum(owned) == self.topics.log.partitions

        self._wait(shared, "shared", timeout_s, workers)

    def _wait(self, done: Callable[[], bool], what: str, timeout_s: float, alive: Sequence[Worker]) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            for worker in alive:
                assert worker.running, f"{worker.name} ended with {worker.child.returncode}:\n{worker.log()[-3000:]}"
            told = "\n".join(worker.log()[-2000:] for worker in alive)
            assert time.monotonic() < deadline, (
                f"not {what} after {timeout_s:.0f} s; ends {self.ends([*self.sources, self.topics.log.name])}, "
                f"committed {self.committed()}\n{told}"
            )
            time.sleep(0.1)

    def read(self, topic: str) -> list[Record]:
        """All of a topic, to the high watermark; a million records take half a minute."""
        return read_all(self.bootstrap, topic, timeout_s=600)


def samples(worker: Worker) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What a worker's /metrics says now: (name, labels) → value."""
    with urllib.request.urlopen(f"{worker.url}/metrics", timeout=5) as answer:  # noqa: S310 - our own http://
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def owned_by(worker: Worker, topic: str) -> int:
    """How many partitions of a topic a worker says it owns."""
    return int(samples(worker).get(("lifestage_partitions_owned", frozenset({("topic", topic)})), 0))


@contextmanager
def deployment(bootstrap: str, prefix: str, home: Path, **settings: str) -> Iterator[Deployment]:
    """A `Deployment` that is disconnected at the end, with none of its workers left running."""
    made = Deployment(bootstrap, prefix, home, **settings)
    try:
        yield made
    finally:
        made.dismiss()
        made.close()


@dataclass
class Truth:
    """What a fold of the whole log gives: what must stand in the output topics."""

    changes: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    """Customer → change documents in order of seq."""
    envelopes: dict[Of, Envelope] = field(default_factory=dict)
    profiles: dict[bytes, bytes] = field(default_factory=dict)
    partitions: list[Partition] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    posted: list[tuple[int, Posted]] = field(default_factory=list)
    """The messages that each partition sends, in order."""

    @property
    def accounted(self) -> Counter[tuple[str, str, str]]:
        """Events by (source, type, outcome)."""
        found: Counter[tuple[str, str, str]] = Counter()
        for partition in self.partitions:
            for source, types in partition.marker.accounts.items():
                for kind, outcomes in types.items():
                    for outcome, count in outcomes.items():
                        found[source, kind, outcome] += count
        return found


def truth_of(made: Deployment) -> Truth:
    """Fold the log as it stands now."""
    truth, name = Truth(records=made.read(made.topics.log.name)), made.topics.log.name
    own = next(code for code, topic in _codes(made).items() if topic == name)
    rules = rules_of(made.settings)
    for number in range(made.topics.log.partitions):
        partition = Partition(rules, name, number, own)
        records = [(r.offset, r.key, r.value) for r in truth.records if r.partition == number and r.value is not None]
        for change in partition.fold(records):
            truth.changes[change.partitionkey].append(encode_value(change.data))
            truth.envelopes[change.partitionkey, change.data.seq] = envelope_of(headers(change, b""))
        truth.posted += [(number, posted) for posted in partition.take_posted()]
        partition.checkpoint()
        truth.profiles.update(partition.whole())
        truth.partitions.append(partition)
    return truth


@dataclass
class Written:
    """What the workers wrote, after a consumer that drops every seq it has seen."""

    changes: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    envelopes: dict[Of, Envelope] = field(default_factory=dict)
    newest: dict[str, bytes] = field(default_factory=dict)
    profiles: dict[bytes, bytes] = field(default_factory=dict)
    pages: dict[bytes, bytes] = field(default_factory=dict)
    kpi_pages: dict[int, dict[bytes, bytes]] = field(default_factory=lambda: defaultdict(dict))
    """By partition."""
    markers: dict[int, Marker] = field(default_factory=dict)
    repeats: int = 0
    conflicts: list[str] = field(default_factory=list)
    """Where one id or one seq of a customer stands for two contents."""
    gaps: list[str] = field(default_factory=list)
    """Where seq does not go on by one."""
    left: list[str] = field(default_factory=list)
    """Pages that no profile names, and that should be gone."""


def written_by(made: Deployment) -> Written:
    """Read all output topics."""
    written = Written()
    seen: dict[Of, tuple[Envelope, bytes]] = {}
    of_id: dict[bytes, tuple[str, int]] = {}
    for record in made.read(made.topics.changes.name):
        assert record.key is not None
        assert record.value is not None
        key, seq = record.key.decode(), msgspec.json.decode(record.value)["seq"]
        envelope = envelope_of(record.headers)
        if of_id.setdefault(envelope.id, (key, seq)) != (key, seq):
            written.conflicts.append(f"id {envelope.id!r} stands for {of_id[envelope.id]} and {key, seq}")
        if (key, seq) in seen:
            written.repeats += 1
            if seen[key, seq] != (envelope, record.value):
                written.conflicts.append(f"{key} seq {seq} has two contents")
            continue
        seen[key, seq] = (envelope, record.value)
        written.envelopes[key, seq] = envelope
        if seq != len(written.changes[key]) + 1:
            written.gaps.append(f"{key}: seq {seq} follows {len(written.changes[key])}")
        written.changes[key].append(record.value)
    for record in made.read(made.topics.stages.name):
        assert record.key is not None
        if record.value is None:
            written.newest.pop(record.key.decode(), None)
        else:
            written.newest[record.key.decode()] = record.value
    leftovers = Leftovers()
    for record in made.read(made.topics.changelog.name):
        _keep(written, record)
        leftovers.hear(record)
    written.left = leftovers.among(put_together(written.profiles, written.pages))
    return written


def _keep(written: Written, record: Record) -> None:
    assert record.key is not None
    if record.key == MARKER_KEY:
        assert record.value is not None
        written.markers[record.partition] = decode_marker(record.value)
    elif record.key == PREPARED_KEY:
        return
    else:
        pages = written.kpi_pages[record.partition] if owner(record.key) == KPIS else written.pages
        kept = pages if is_page(record.key) else written.profiles
        if record.value is None:
            kept.pop(record.key, None)
        else:
            kept[record.key] = record.value


@dataclass
class Findings:
    """Where the workers' output is not what the log says, in words."""

    wrong: list[str] = field(default_factory=list)
    """Profiles, counts, newest stages, and source records that are not in the log once."""
    missing: list[str] = field(default_factory=list)
    """Changes that are not there, or not due."""
    conflicting: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """Everything, the worst first."""
        return [*self.conflicting, *self.gaps, *self.missing, *self.wrong]


def findings(made: Deployment, truth: Truth, written: Written) -> Findings:
    """Compare what was written with what the fold of the log gives."""
    found = Findings(conflicting=list(written.conflicts), gaps=list(written.gaps))
    for key in truth.changes.keys() | written.changes.keys():
        if truth.changes.get(key, []) != written.changes.get(key, []):
            at, due, told = first_difference(truth.changes.get(key, []), written.changes.get(key, []))
            found.missing.append(f"changes of {key} differ from seq {at + 1}: {due!r} became {told!r}")
    found.wrong += envelopes_amiss(truth.envelopes, written.envelopes) + written.left
    found.wrong += [
        f"customer-stages of {key} is not its newest change"
        for key in truth.changes.keys() | written.newest.keys()
        if _newest(truth.changes.get(key, [b""])) != written.newest.get(key, b"")
    ]
    found.wrong += [
        f"profile of {key!r} differs"
        for key in truth.profiles.keys() | written.profiles.keys()
        if truth.profiles.get(key) != written.profiles.get(key)
    ]
    for partition in truth.partitions:
        if partition.applied >= 0:
            marker = written.markers.get(partition.number, Marker())
            found.wrong += marker_differences(partition.marker, marker)
            found.wrong += kept_differences(partition, marker.kpis, written.kpi_pages[partition.number])
    codes = _codes(made)
    sources = {code: name for code, name in codes.items() if name != made.topics.log.name}
    found.wrong += events_amiss(made.ends(made.sources), truth.records, sources, truth.accounted.total())
    said = ((record.partition, record.key, record.value) for record in truth.records)
    found.wrong += posts_amiss(said, truth.posted, made.topics.log.partitions)
    found.wrong += letters_amiss(made.read(made.topics.dead_letters.name), rejected(truth.records, sources))
    return found


def differences(made: Deployment) -> list[str]:
    """What is wrong with the workers' output: empty when all of it is exactly what the log says."""
    return findings(made, truth_of(made), written_by(made)).all


def _newest(changes: list[bytes]) -> bytes:
    """What `customer-stages` must hold after so many changes: nothing of an id that is no profile any more."""
    return b"" if changes[-1] and msgspec.json.decode(changes[-1])["stage"] is None else changes[-1]


def _codes(made: Deployment) -> dict[int, str]:
    """The sources and the log, by the code under which each is an origin."""
    ids = topic_ids(made.settings, made.settings.kafka.bootstrap)
    return {log.topic_code(name, ids[name]): name for name in (*made.sources, made.topics.log.name)}
