"""What the new owner of a partition writes again after a former owner has written late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import decode

from agents.app import Worker
from config.settings import load
from lifestage import log
from lifestage import profile as profiles
from lifestage.marker import MARKER_KEY, PREPARED_KEY, encode_marker
from lifestage.messages import Link, Occasion, encode_message
from lifestage.pages import is_page, owner
from streams.profiles import applied_of
from streams.takeover import Takeovers, Watched
from tests.core.histories import Record, at_day, order, partition, records, thorough, visit
from tests.core.test_keeper import NUMBER, TOPICS, Desk
from tests.core.test_pages import grown, shrink
from tests.core.test_restore import Kept, flushes, histories, read


class Log:
    """A partition of a topic as a broker has it."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def add(
        self, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]] = (), *, own: bool = False
    ) -> None:
        """Append a record; `own`, by the worker that is looked at."""
        self.records.append(
            SimpleNamespace(offset=len(self.records), key=key, value=value, headers=list(headers), own=own)
        )


class Reader:
    """aiokafka's consumer outside a group, over logs; `meanwhile` goes on before each answer. It may pass over what is own."""

    def __init__(
        self, logs: dict[str, Log], meanwhile: Callable[[], Awaitable[None]], *, passes_own: bool = False
    ) -> None:
        self._logs, self._positions, self._meanwhile = logs, dict[TopicPartition, int](), meanwhile
        self._passes_own = passes_own

    async def start(self) -> None:
        """Connect."""

    stop = start

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The next offsets to be written."""
        return {tp: len(self._logs[tp.topic].records) for tp in tps}

    def assign(self, tps: Iterable[TopicPartition]) -> None:
        """Read these."""
        self._positions = dict.fromkeys(tps, 0)

    def unsubscribe(self) -> None:
        """Read nothing."""
        self._positions = {}

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go on elsewhere."""
        self._positions[tp] = offset

    async def seek_to_beginning(self, tp: TopicPartition) -> None:
        """Start anew."""
        self._positions[tp] = 0

    async def position(self, tp: TopicPartition) -> int:
        """The next to be read."""
        return self._positions[tp]

    async def getmany(self, *_: TopicPartition, **__: int) -> dict[TopicPartition, list[Any]]:
        """All that is there."""
        await self._meanwhile()
        found = {
            tp: [one for one in self._logs[tp.topic].records[at:] if not (self._passes_own and one.own)]
            for tp, at in self._positions.items()
        }
        self._positions = {tp: len(self._logs[tp.topic].records) for tp in self._positions}
        return {tp: records for tp, records in found.items() if records}


async def nothing() -> None:
    """Nothing goes on."""


class Watching(Takeovers):
    """One that reads what it has told with a reader of these logs."""

    logs: dict[str, Log]
    meanwhile: Callable[[], Awaitable[None]] = staticmethod(nothing)

    def _new_consumer(self, key_deserializer: Any = None) -> Reader:  # noqa: ARG002 - as the product's
        return Reader(self.logs, self.meanwhile)


class Owner(Desk):
    """A worker that has taken a partition over, on a broker of its own and a clock that is set by hand."""

    def __init__(self, watched_s: float) -> None:
        super().__init__()
        self.now, self.mended = 1_000.0, list[str]()
        self.logs = {topic: Log() for topic in (TOPICS.changelog.name, TOPICS.stages.name, TOPICS.changes.name)}
        table: Any = self.keeper._profiles
        table.persisted_offset = lambda _: len(self.logs[TOPICS.changelog.name].records) - 1
        wire: Any = self
        self.keeper._outbox = wire
        self.takeovers = Watching({}, self.keeper, table, wire, TOPICS, watched_s, self.mended.append)
        self.takeovers.logs = self.logs
        self.takeovers._consumer = Reader(self.logs, nothing, passes_own=True)

    async def send(self, topic: str, number: int, sent: Any, *, join: bool = False) -> list[asyncio.Future[Any]]:
        """Write at once."""
        records = list(sent)
        for key, value, headers in records:
            self.logs[topic].add(key, value, headers, own=True)
        return await self.wire.send(topic, number, records, join=join)

    def fits_one(self, _: Any) -> bool:
        """All of it fits."""
        return True

    async def take_over(self) -> None:
        """Open the partition."""
        await self.takeovers.mark({NUMBER})
        self.keeper.reopen()
        self.takeovers.reopen()

    async def keep(self, history: list[Record]) -> None:
        """Fold, and make durable."""
        await self.fold(history)
        await self.keeper.flush(NUMBER)


HISTORY = records([visit(0, "a"), order(1, "b", "o1"), order(2, "c", "o2")])


@pytest.fixture
def watched_s(tmp_path: Path) -> float:
    """For how long a worker watches as it is delivered, with a session timeout of 10 s and a request timeout of 30 s."""
    settings = load(environment={"LIFESTAGE_KAFKA_BOOTSTRAP": "127.0.0.1:1"})
    assert (settings.kafka.session_timeout_s, settings.kafka.request_timeout_s) == (10.0, 30.0)
    return Worker(settings, "127.0.0.1:1", None, tmp_path, "test").takeovers._for_s


async def test_a_late_write_is_looked_for_as_long_as_one_can_be_under_way(
    watched_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written before a cut, and kept by the kernel until the request timed out and for 100 s more: mended; later, not."""
    found = {}
    for seconds in (130.0, 141.0):
        owner = Owner(watched_s)
        monkeypatch.setattr("streams.takeover.clock", lambda owner=owner: owner.now)
        await owner.keep(HISTORY[:1])
        changelog = owner.logs[TOPICS.changelog.name]
        early = list(changelog.records)
        await owner.take_over()
        await owner.keep(HISTORY[1:])
        owner.now += seconds
        await owner.takeovers._look()
        for record in early:
            changelog.add(record.key, record.value)
        if owner.takeovers.watched:
            await owner.takeovers._look()
        found[seconds] = sorted(owner.mended)
    assert found == {130.0: ["marker", "profile"], 141.0: []}


async def taken_over() -> tuple[Owner, list[Any], list[Any]]:
    """An owner who has worked on, and what a former owner wrote of the changelog and of the stages before."""
    owner = Owner(60.0)
    await owner.keep(HISTORY[:1])
    early = [list(owner.logs[topic.name].records) for topic in (TOPICS.changelog, TOPICS.stages)]
    await owner.take_over()
    await owner.keep(HISTORY[1:])
    return owner, early[0], early[1]


async def test_nothing_is_mended_between_a_drain_and_the_next_seek() -> None:
    """The partition may be another's by then, who mends it; where it stays, it is mended after the seek, however late."""
    owner, early, _ = await taken_over()
    owner.takeovers.watched[NUMBER].until = 0.0
    for record in early:
        owner.logs[TOPICS.changelog.name].add(record.key, record.value)
    await owner.keeper.drain()
    await owner.takeovers._look()
    assert owner.mended == []
    await owner.take_over()
    await owner.takeovers._look()
    assert sorted(owner.mended) == ["marker", "profile"]


async def test_flushes_go_on_while_stages_are_looked_up() -> None:
    """All of `customer-stages` is read for a stage to be mended: no flush waits for it, and none is written over."""
    owner, _, early = await taken_over()
    stages, later = owner.logs[TOPICS.stages.name], records([*[visit(0, "a")] * 3, order(400, "d", "o3")])[3:]

    async def flushed() -> None:
        if later:
            await asyncio.wait_for(owner.keep([later.pop()]), 30)

    owner.takeovers.meanwhile = flushed
    for record in early:
        stages.add(record.key, record.value, record.headers)
    await owner.takeovers._look()
    newest = decode(stages.records[-1].value)["seq"]
    profile = owner.folded.profile(stages.records[-1].key)
    assert not later
    assert profile is not None
    assert newest == profile.seq


async def test_a_late_stage_is_mended() -> None:
    """Where nothing newer has come in meanwhile, the record that was spoilt is written again, once."""
    owner, _, early = await taken_over()
    stages = owner.logs[TOPICS.stages.name]
    before = stages.records[-1]
    for record in early:
        stages.add(record.key, record.value, record.headers)
    for _ in range(3):
        await owner.takeovers._look()
    assert owner.mended == ["stage"]
    assert (stages.records[-1].value, stages.records[-1].headers) == (before.value, before.headers)


@st.composite
def between(draw: st.DrawFn) -> tuple[list[Record], int, int, list[int]]:
    """A log, how far it was folded when it was taken over, how far a former owner has come, and what goes on, step by step."""
    history = draw(histories())
    taken, former = (draw(st.integers(0, len(history))) for _ in range(2))
    return history, taken, former, draw(st.lists(st.integers(0, 3), max_size=25))


async def written_between(history: list[Record], taken: int, former: int, steps: list[int]) -> Owner:
    """An owner who works on while a former one's records come in anywhere between, and has looked at all of them."""
    gone, owner = Owner(60.0), Owner(60.0)
    for at in range(former):
        await gone.keep(history[at : at + 1])
    late = [(topic.name, one) for topic in (TOPICS.changelog, TOPICS.stages) for one in gone.logs[topic.name].records]
    await owner.keep(history[:taken])
    await owner.take_over()
    left = history[taken:]
    for step in [*steps, *[0] * len(left), *[2] * len(late), 3, 3]:
        if step == 0 and left:
            await owner.keep([left.pop(0)])
        elif step == 1 and left:
            await owner.fold([left.pop(0)])
        elif step == 2 and late:
            topic, one = late.pop(len(late) // 2)
            owner.logs[topic].add(one.key, one.value, one.headers)
        elif step == 3:
            await owner.keeper.flush(NUMBER)
            await owner.takeovers._look()
    return owner


@thorough
@given(between())
def test_what_comes_in_between_is_mended_although_nothing_of_our_own_is_read(
    given_: tuple[list[Record], int, int, list[int]],
) -> None:
    """What compaction leaves of the changelog and of the stages is our state, wherever records of a former owner come in."""
    owner = asyncio.run(written_between(*given_))
    changelog = [Kept(one.key, one.value, applied_of(one.headers)) for one in owner.logs[TOPICS.changelog.name].records]
    left, state = read(compacted(changelog)), owner.folded
    assert dict(left.whole()) == dict(state.whole())
    assert left.applied == state.applied
    newest = {one.key: one.value for one in owner.logs[TOPICS.stages.name].records}
    for key, value in newest.items():
        known = state.profile(key)
        if known is not None and known.seq:
            assert (known.stage is None) == (value is None)
            assert value is None or decode(value)["seq"] == known.seq


def taken(key: bytes, value: bytes | None) -> Any:
    """A record as it is read of the changelog."""
    return SimpleNamespace(key=key, value=value, headers=[])


def compacted(changelog: list[Kept]) -> list[Kept]:
    """What compaction leaves: the newest record of each key, in its place."""
    newest = {one.key: at for at, one in enumerate(changelog)}
    return [one for at, one in enumerate(changelog) if newest[one.key] == at]


@pytest.mark.parametrize("several", [False, True], ids=["a page", "all pages"])
def test_a_page_that_is_written_again_stands_before_its_record(monkeypatch: pytest.MonkeyPatch, several: bool) -> None:
    """A former owner removes pages late: they are written again, then the record that names them, once, as it stands."""
    with monkeypatch.context() as patched:
        shrink(patched)
        history = records(grown(120))
        changelog = [one for flush in flushes(history, 40) for one in flush]
        found = read(changelog)
        pages = sorted(found.shelf.pages)
        assert len(pages) > 1
        late = [Kept(page, None) for page in (pages if several else pages[:1])]
        watched = Watched(0.0)
        for one in late:
            watched.kept(found, taken(one.key, one.value))
        again = [Kept(key or b"", value, applied_of(headers)) for key, value, headers in watched.lacking(found)]
        named = owner(pages[0])
        assert {one.key for one in again[:-1]} == {one.key for one in late}
        assert all(one.value == found.shelf.pages[one.key] for one in again[:-1])
        assert (again[-1].key, again[-1].value) == (named, found.stored[named])
        left = compacted([*changelog, *late, *again])
        assert [one.key for one in left if one.key == named or is_page(one.key)][-1] == named
        assert dict(read(left).whole()) == dict(found.whole())


@pytest.mark.parametrize("late", [30, 50, 60, 70])
def test_whom_a_cut_flush_forgot_stays_forgotten(late: int) -> None:
    """A tombstone that is kept behind the marker counts: what a former owner writes of the visitor late is taken away again, unless
    it comes from further in the log."""
    before, behind = partition(), partition()
    before.marker.offset, behind.marker.offset = 40, 60
    visitor = b"anon:v"

    def profile(applied: int) -> Kept:
        return Kept(visitor, profiles.encode(profiles.Profile(newest=1, applied=applied)))

    changelog = [
        Kept(MARKER_KEY, encode_marker(before.marker)),
        Kept(PREPARED_KEY, encode_marker(behind.marker)),
        profile(20),
        Kept(visitor, None, 60),
    ]
    found, watched = read(changelog), Watched(0.0)
    assert (found.applied, found.gone) == (40, {visitor: 60})
    watched.kept(found, taken(visitor, profile(late).value))
    again = [Kept(key or b"", value, applied_of(headers)) for key, value, headers in watched.lacking(found)]
    assert again == ([Kept(visitor, None, 60)] if late <= 60 else [])
    assert (visitor in read(compacted([*changelog, profile(late), *again])).stored) == (late > 60)


async def test_what_is_late_of_an_id_that_is_anothers_by_now_is_mended() -> None:
    """The customer was merged into another since: the record of that is written again, and the stage is taken away again."""
    owner, changelog, stages = await taken_over()
    link = Link("c1", "c0", Occasion(at_day(3).time, "shop", "m1", "identity.merged"), merge=True)
    await owner.keep([(3, b"c1", log.pack(log.MESSAGE, encode_message(link), 7))])
    for topic, early in ((TOPICS.changelog, changelog), (TOPICS.stages, stages)):
        for record in early:
            owner.logs[topic.name].add(record.key, record.value, record.headers)
    for _ in range(3):
        await owner.takeovers._look()
    assert sorted(owner.mended) == ["marker", "profile", "stage"]
    newest = {record.key: record.value for record in owner.logs[TOPICS.changelog.name].records}
    kin = profiles.decode(newest[b"c1"]).kin
    assert kin is not None
    assert kin.alias == "c0"
    assert [(record.key, record.value) for record in owner.logs[TOPICS.stages.name].records[-1:]] == [(b"c1", None)]
