"""What is told and kept goes out in the one order that survives a crash at any point."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from config.settings import Settings
from lifestage import log
from lifestage.facts import WebVisit
from lifestage.marker import MARKER_KEY
from lifestage.messages import Link, Occasion, encode_message
from lifestage.partition import Partition
from streams.doorway import partition_of
from streams.keeper import Keeper, Kept
from streams.outbox import OutRecord
from streams.profiles import applied_of
from streams.topics import topics_of
from tests.core.histories import START, Record, at_day, order, partition, record, records, visit
from tests.core.oracle import DAY

TOPICS = topics_of(Settings())
NUMBER = partition().number


class Wire:
    """Stands where the broker is: what was sent, in order, acknowledged at once or when `acknowledge` says so."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, OutRecord]] = []
        self.placed: list[tuple[str, int]] = []
        """The topic and partition of each."""
        self.waiting: list[asyncio.Future[Any]] = []
        self.held: set[str] = set()
        """Topics that are not acknowledged yet."""

    async def send(self, topic: str, number: int, sent: Any, *, join: bool = False) -> list[asyncio.Future[Any]]:
        """Take records; one future for all of them."""
        assert join == (topic in {TOPICS.log.name, TOPICS.changes.name}), "what is kept is a batch of its own"
        taken = list(sent)
        self.sent += [(topic, one) for one in taken]
        self.placed += [(topic, number)] * len(taken)
        future = asyncio.get_running_loop().create_future()
        if topic in self.held:
            self.waiting.append(future)
        else:
            future.set_result(SimpleNamespace(offset=len(self.sent)))
        return [future]

    def fits_one(self, _: Any) -> bool:
        """All of it fits."""
        return True

    def acknowledge(self) -> None:
        """Acknowledge all that waits."""
        self.held.clear()
        for future in self.waiting:
            future.set_result(SimpleNamespace(offset=len(self.sent)))

    def of(self, topic: str) -> list[OutRecord]:
        """What was sent to a topic."""
        return [one for to, one in self.sent if to == topic]


class Desk:
    """A keeper over one partition, with what it told of each flush."""

    def __init__(self) -> None:
        self.wire, self.folded, self.flushed = Wire(), partition(), list[Kept]()
        table: Any = SimpleNamespace(owned={NUMBER: self.folded}, wrote=lambda *_: None, say_uncounted=lambda _: None)
        wire: Any = self.wire
        self.keeper = Keeper(table, wire, TOPICS, 1.0, 1000, self.flushed.append)

    async def fold(self, history: list[Record]) -> Partition:
        """Fold records and tell what follows, to partitions first."""
        changes = self.folded.fold(history)
        await self.keeper.post(NUMBER, self.folded.take_posted())
        await self.keeper.tell(NUMBER, changes)
        return self.folded


async def test_newest_stages_wait_for_the_changes() -> None:
    """Not before the changes are acknowledged does `customer-stages` get the newest: a seq there is surely out."""
    desk = Desk()
    desk.wire.held.add(TOPICS.changes.name)
    await desk.fold(records([visit(0, "a"), order(1, "b", "o1")]))
    flush = asyncio.create_task(desk.keeper.flush(NUMBER))
    for _ in range(20):
        await asyncio.sleep(0)
    assert {topic for topic, _ in desk.wire.sent} == {TOPICS.log.name, TOPICS.changes.name}
    desk.wire.acknowledge()
    await flush
    assert [topic for topic, _ in desk.wire.sent] == [
        TOPICS.log.name, *[TOPICS.changes.name] * 2, TOPICS.stages.name, *[TOPICS.changelog.name] * 2,
    ]  # fmt: skip


def named(*numbers: int) -> list[Record]:
    """Visits that name an anonymous visitor beside the customer: the profile asks for that id. By day, a visitor a day."""
    return [
        record(
            n,
            WebVisit(time=START + n * DAY, source="shop", id=f"e{n}", url="/", customer_id="c1", anonymous_id=f"v{n}"),
        )
        for n in numbers
    ]


async def test_nothing_is_kept_or_shown_before_its_messages_are_in_the_log() -> None:
    """Until messages to other partitions are acknowledged neither `customer-stages` nor the changelog gets anything."""
    desk = Desk()
    desk.wire.held.add(TOPICS.log.name)
    await desk.fold(named(0))
    flush = asyncio.create_task(desk.keeper.flush(NUMBER))
    for _ in range(20):
        await asyncio.sleep(0)
    assert {topic for topic, _ in desk.wire.sent} == {TOPICS.log.name, TOPICS.changes.name}
    desk.wire.acknowledge()
    await flush
    assert [topic for topic, _ in desk.wire.sent][-3:] == [TOPICS.stages.name, *[TOPICS.changelog.name] * 2]


async def test_messages_that_wait_for_a_flush_are_in_the_log_before_it_keeps_anything() -> None:
    """Those that were not sent when they were decided go out first, in their order, and their acknowledgement is awaited."""
    desk = Desk()
    desk.wire.held.add(TOPICS.log.name)
    desk.folded.fold(named(0, 1))
    await desk.keeper.post(NUMBER, desk.folded.take_posted())
    desk.folded.fold(named(2, 3))
    flush = asyncio.create_task(desk.keeper.flush(NUMBER))
    for _ in range(20):
        await asyncio.sleep(0)
    assert {topic for topic, _ in desk.wire.sent} == {TOPICS.log.name}
    offsets = [log.header(value or b"").offset for _, value, _ in desk.wire.of(TOPICS.log.name)]
    assert sorted(offsets) == [0, 1, 2, 3]
    assert {*offsets[:2]} == {0, 1}
    desk.wire.acknowledge()
    await flush
    assert [topic for topic, _ in desk.wire.sent][-2:] == [TOPICS.changelog.name] * 2
    assert desk.folded.take_posted() == []


async def test_each_message_goes_to_the_partition_of_its_key_with_its_origin() -> None:
    """They stand in the log under the id that they are for, and say which record of which partition has caused them."""
    desk = Desk()
    await desk.fold(named(0, 1, 2, 3))
    sent = desk.wire.of(TOPICS.log.name)
    assert sorted(key or b"" for key, _, _ in sent) == [b"anon:v0", b"anon:v1", b"anon:v2", b"anon:v3"]
    numbers = [number for topic, number in desk.wire.placed if topic == TOPICS.log.name]
    assert numbers == [partition_of(key or b"", TOPICS.log.partitions) for key, _, _ in sent]
    for key, value, headers in sent:
        header = log.header(value or b"")
        assert (header.kind, header.partition, header.n, headers) == (log.MESSAGE, NUMBER, 0, [])
        assert key == b"anon:v%d" % header.offset


async def test_messages_that_are_out_are_not_sent_again() -> None:
    """In a rebuild those of records below the group's commit are in the log already; the others are sent, and with the
    partition the commit is forgotten."""
    desk = Desk()
    desk.keeper.posting.out = {NUMBER: 2, NUMBER + 1: 7}
    await desk.fold(named(0, 1, 2, 3))
    assert [key for key, _, _ in desk.wire.of(TOPICS.log.name)] == [b"anon:v2", b"anon:v3"]
    await desk.keeper.flush(NUMBER)
    desk.keeper.reopen()
    assert desk.keeper.posting.out == {NUMBER: 2}


async def test_a_tombstone_says_what_it_had_applied() -> None:
    """The record of who is forgotten carries the log offset in a header; those of profiles and markers carry none."""
    desk = Desk()
    await desk.fold(records([visit(0, "a", "anon:v"), visit(0, "b"), at_day(31)]))
    await desk.keeper.flush(NUMBER)
    found = {key: (value is None, applied_of(headers)) for key, value, headers in desk.wire.of(TOPICS.changelog.name)}
    assert found == {b"anon:v": (True, 2), b"c1": (False, -1), MARKER_KEY: (False, -1)}


def test_what_a_tombstone_has_applied_is_read_from_its_header() -> None:
    """The header counts among others; a tombstone of an older release has none."""
    assert applied_of([("other", b"1"), ("applied", b"73")]) == 73
    assert applied_of([]) == -1


async def test_what_is_out_already_is_not_told_again() -> None:
    """Up to the seq that is out nothing is sent, to neither topic; the next is, and the state is kept whole."""
    desk = Desk()
    history = records([visit(0, "a"), order(1, "b", "o1"), order(2, "c", "o2"), visit(0, "d", "c2")])
    desk.keeper.already[NUMBER] = {"c1": 2}
    await desk.fold(history)
    await desk.keeper.flush(NUMBER)
    told = [(key, dict(headers)["ce_id"]) for key, _, headers in desk.wire.of(TOPICS.changes.name)]
    plain = partition()
    ids = [(change.partitionkey.encode(), change.id.encode()) for change in plain.fold(history)]
    assert told == ids[2:]
    assert [key for key, _, _ in desk.wire.of(TOPICS.stages.name)] == [b"c1", b"c2"]
    assert {key: value for key, value, _ in desk.wire.of(TOPICS.changelog.name)}[b"c1"] == plain.checkpoint().profiles[
        b"c1"
    ]
    assert [change.data.seq for change in desk.flushed[0].changes] == [3, 1]


async def test_what_was_out_is_forgotten_with_the_partition() -> None:
    """When a partition is owned no more, what was out of it is not held for its next owner's sake."""
    desk = Desk()
    desk.keeper.already = {NUMBER: {"c1": 2}, NUMBER + 1: {"c9": 1}}
    desk.keeper.reopen()
    assert desk.keeper.already == {NUMBER: {"c1": 2}}


async def test_a_partition_of_messages_alone_moves() -> None:
    """A message is folded and kept like any record, and so is one that comes again, which changes nothing else: what
    looks whether a partition stands still sees it go on."""
    desk = Desk()
    link = Link("anon:v", "c9", Occasion(START, "shop", "e1", "web.visit"))
    value = log.pack(log.MESSAGE, encode_message(link), 7, 1, 5)
    for offset in (0, 1):
        await desk.fold([(offset, b"anon:v", value)])
        await desk.keeper.flush(NUMBER)
        assert (desk.folded.applied, desk.folded.marker.offset, desk.folded.marker.reread) == (offset, offset, offset)
    keys = [key for key, _, _ in desk.wire.of(TOPICS.changelog.name)]
    assert keys == [b"anon:v", MARKER_KEY, MARKER_KEY]
