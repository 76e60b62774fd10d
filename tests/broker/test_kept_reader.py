"""What is kept of a few ids, read from a changelog on a real Kafka, is what a worker that took over would go on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from config.errors import UserFacingError
from config.settings import Settings
from lifestage.cause import Rules
from lifestage.facts import Fact, OrderCompleted, WebVisit
from lifestage.marker import MARKER_KEY, PREPARED_KEY
from lifestage.partition import Partition
from lifestage.profile import encode
from streams.embedded.kafka import KafkaServer
from streams.kept_reader import KeptReader
from streams.rules import rules_of
from streams.tombstones import APPLIED
from tests.core.histories import START, record
from tests.pipeline import Deployment, deployment
from tests.wire import produce

pytestmark = pytest.mark.broker

Write = tuple[bytes, bytes | None]
LARGE = 1_500
"""Orders that take a profile above 60 KB."""


@pytest.fixture
def made(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Topics of one partition, and no worker."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, topics__partitions="1") as made:
        yield made


def order(n: int, customer: str) -> OrderCompleted:
    """The nth order, a minute after the one before."""
    return OrderCompleted(
        time=START + n * 60_000, source="shop", id=f"o{n}", customer_id=customer, order_id=f"o{n}", currency="EUR",
        total_minor=1000, net_minor=900,
    )  # fmt: skip


def visit(n: int, customer: str) -> WebVisit:
    """The nth visit, a minute after the one before."""
    return WebVisit(time=START + n * 60_000, source="web", id=f"v{n}", url="/", customer_id=customer)


class Writer:
    """A worker's flushes of one partition, as records of the changelog."""

    def __init__(self, made: Deployment, rules: Rules) -> None:
        self.made, self.partition = made, Partition(rules, made.topics.log.name, 0)

    def flush(self, *customers: str, orders: Mapping[str, int] | None = None) -> list[Write]:
        """Fold a visit of each, and orders of some; what a flush of it writes, in its order."""
        at = self.partition.applied + 1
        facts: list[Fact] = [visit(at + n, name) for n, name in enumerate(customers)]
        facts += [order(at + n, name) for name, count in (orders or {}).items() for n in range(count)]
        self.partition.fold([record(at + n, fact) for n, fact in enumerate(facts)])
        self.partition.take_posted()
        kept = self.partition.checkpoint()
        return [*kept.pages.items(), *kept.profiles.items(), (MARKER_KEY, kept.marker)]

    def write(self, records: list[Write]) -> None:
        """Put records into the changelog."""
        produce(self.made.bootstrap, self.made.topics.changelog.name, records, partition=0)


def truth(made: Deployment, rules: Rules) -> Partition:
    """The state that a worker recovers from the whole changelog."""
    found = Partition(rules, made.topics.log.name, 0)
    for told in made.read(made.topics.changelog.name):
        assert told.key is not None
        applied = next((int(value) for name, value in told.headers if name == APPLIED), -1)
        found.restore(told.key, told.value, applied)
    found.recovered()
    return found


def differing(reader: KeptReader, due: Partition, names: list[str]) -> list[str]:
    """Customers of whom the reader says otherwise, or whose records do not restore to what they are."""
    found = []
    for name in names:
        read, is_due = reader.profile(name), due.profile(name.encode())
        again = Partition(due.rules, due.topic, 0)
        for key, value in reader.records(name):
            again.restore(key, value)
        again.marker.offset = due.marker.offset
        again.recovered()
        restored = again.profile(name.encode())
        if not (_bytes(read) == _bytes(is_due) == _bytes(restored)):
            found.append(name)
    return found


def _bytes(profile: object) -> bytes | None:
    return None if profile is None else encode(profile)


def test_it_reads_what_a_worker_would_go_on_from(made: Deployment) -> None:
    """Customers in one record and in pages, forgotten ones, and a former owner's late writes, for every one of them."""
    rules = rules_of(made.settings)
    writer = Writer(made, rules)
    first = writer.flush("ann", "bob", "eve", orders={"big": LARGE})
    second = writer.flush("ann", orders={"big": 3})
    writer.write([*first, *second])
    produce(made.bootstrap, made.topics.changelog.name, [(b"eve", None)], partition=0)
    late = [(key, value) for key, value in first if key in {b"ann", b"big", MARKER_KEY}]
    writer.write([*late, (PREPARED_KEY, first[-1][1])])
    names = ["ann", "bob", "eve", "big", "nobody"]
    due = truth(made, rules)
    assert due.shelf.named
    with KeptReader(made.settings, made.bootstrap, rules) as reader:
        reader.want(names)
        assert differing(reader, due, names) == []
        assert [reader.chain(name) for name in ("ann", "eve", "nobody")] == [("ann",), (), ()]
        assert reader.marker("ann").offset == due.marker.offset
    with KeptReader(made.settings, made.bootstrap, rules) as reader:  # one by one, each pass for one more
        assert differing(reader, due, names) == []


def test_what_comes_in_later_is_caught_up_with(made: Deployment) -> None:
    """Between two looks nothing changes; after `catch_up` it is as of then, flush after flush, also in pages."""
    rules = rules_of(made.settings)
    writer = Writer(made, rules)
    writer.write(writer.flush("ann", orders={"big": LARGE}))
    with KeptReader(made.settings, made.bootstrap, rules) as reader:
        names = ["ann", "big"]
        assert differing(reader, truth(made, rules), names) == []
        for _ in range(3):
            before = _bytes(reader.profile("ann"))
            flush = writer.flush("ann", orders={"big": 2})
            half = len(flush) // 2
            writer.write(flush[:half])
            assert _bytes(reader.profile("ann")) == before
            reader.catch_up()
            assert reader.profile("big") is not None
            writer.write(flush[half:])
            reader.catch_up()
            assert differing(reader, truth(made, rules), names) == []


def test_state_of_another_plan_or_secret_is_refused(made: Deployment) -> None:
    """What is kept is not judged by rules that it was not folded by: one line with what to set."""
    writer = Writer(made, rules_of(made.settings))
    writer.write(writer.flush("ann"))
    for changed in ({"lifecycle.plan": "clm7"}, {"identity.secret": "another"}):
        settings = _with(made.settings, changed)
        with (
            KeptReader(settings, made.bootstrap, rules_of(settings)) as reader,
            pytest.raises(UserFacingError, match=next(iter(changed)).rpartition(".")[0].replace("lifecycle", "plan")),
        ):
            reader.profile("ann")


def _with(settings: Settings, changed: Mapping[str, str]) -> Settings:
    for name, value in changed.items():
        section, _, field = name.partition(".")
        part = msgspec.structs.replace(getattr(settings, section), **{field: value})
        settings = msgspec.structs.replace(settings, **{section: part})
    return settings


def test_a_topic_that_is_not_there_is_named(made: Deployment) -> None:
    """Before anything is provisioned: which topic, and what makes it."""
    settings = _with(made.settings, {"topics.prefix": "nowhere."})
    with pytest.raises(UserFacingError, match=r"nowhere.*is not there: `lifestage provision` makes it"):
        KeptReader(settings, made.bootstrap, rules_of(settings))
