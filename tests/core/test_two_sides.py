"""A referral is about two people: one source record becomes two of the log, and is done when both are there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest
from faust.types import TP

from config.settings import Identity, Settings
from lifestage import facts, log
from lifestage.cause import Rules
from lifestage.conditions import Compare, Plan, Stage
from lifestage.decode import Decoder
from lifestage.facts import Fact, Referred, type_of
from lifestage.fold import REFERRED_BY
from lifestage.keys import email_key, key_of
from lifestage.partition import Partition
from lifestage.plan import Compiled
from lifestage.sides import facts_from
from streams.batches import Positions
from streams.doorway import Doorway, Entry, doorway_of, partition_of
from streams.forwarding import RECORD_BYTES, Forwarder, size_of
from streams.outbox import OutRecord
from streams.topics import topics_of
from tests.core.histories import RULES, START, Tick, at_day, record, visit
from tests.core.samples import EVENTS, SECRET, TIME_MS, accepted, encoded

BOB = email_key("bob@example.com", SECRET)
REFERRALS = ("referral.sent", "referral.converted")
PARTITIONS = 8
SOURCE = TP("feedback", 0)


@pytest.mark.parametrize("kind", EVENTS)
def test_only_a_referral_gives_a_second_fact(kind: str) -> None:
    """The fact of the event comes first; of a referral that of the person who was referred follows, under their own key."""
    first, *second = facts_from(accepted(kind))
    assert first == accepted(kind)
    assert [key_of(one) for one in second] == {"referral.sent": [BOB], "referral.converted": ["7"]}.get(kind, [])


@pytest.mark.parametrize("kind", REFERRALS)
def test_the_second_fact_says_who_recommended_us(kind: str) -> None:
    """Its time and source are the event's, and so is the type that it is called by; its id is its own; no other id is in it."""
    _, second = facts_from(accepted(kind, email="ann@example.com", anonymous_id="v1", account_id="acme", bot=True))
    assert isinstance(second, Referred)
    assert (second.time, second.source, second.id) == (TIME_MS, "shop", "e1/referred")
    assert (second.referral_id, second.referrer_id, second.bot) == ("f1", "c1", True)
    assert (second.anonymous_id, second.account_id) == (None, None)
    assert second.converted == (kind == "referral.converted")
    assert type_of(second) == kind
    assert facts.decode(facts.encode(second)) == second


@pytest.mark.parametrize("referred_id", [..., None, "", "guest", "c1", "ann@example.com"])
def test_who_refers_nobody_else_gives_one_fact(referred_id: Any) -> None:
    """Nobody named, an id that names nobody, and the referrer by id or by address are no second person."""
    assert len(facts_from(accepted("referral.sent", referred_id=referred_id, email="ann@example.com"))) == 1


class Record(NamedTuple):
    """A record of a source, as the consumer hands it over."""

    value: bytes
    offset: int = 7
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = 0
    topic: str = "feedback"
    timestamp: int = TIME_MS


def entered(**changes: Any) -> Entry:
    """What the door makes of a referral."""
    return Doorway(Decoder(SECRET), ("feedback",), PARTITIONS).enter(Record(encoded("referral.sent", **changes)))


def test_the_second_record_stands_in_the_partition_of_its_own_key() -> None:
    """Both have the source record's origin, told apart by their number in it; anything else has no second."""
    entry = entered()
    assert entry.second is not None
    assert (entry.key, entry.second.key) == (b"c1", BOB.encode())
    assert entry.second.partition == partition_of(BOB.encode(), PARTITIONS)
    origins = [log.header(one.value) for one in (entry, entry.second)]
    assert [(origin.partition, origin.offset, origin.n) for origin in origins] == [(0, 7, 0), (0, 7, 1)]
    assert origins[0].topic == origins[1].topic != log.NO_TOPIC
    assert entered(referred_id=None).second is None


def test_both_records_count_in_the_memory_that_is_held() -> None:
    """What intake holds is bounded by what is really there."""
    entry = entered()
    assert entry.second is not None
    assert size_of(entry) == 2 * RECORD_BYTES + len(entry.value) + len(entry.second.value)


# -- on the way ------------------------------------------------------------------------------------------------------


class Wire:
    """Stands where the broker is: each partition acknowledges when it is told to."""

    def __init__(self) -> None:
        self.sent: dict[int, list[OutRecord]] = {}
        self.waiting: dict[int, list[asyncio.Future[Any]]] = {}
        self.came = asyncio.Event()

    async def send(self, _: str, partition: int, records: Any, *, join: bool) -> list[asyncio.Future[Any]]:
        """Take records for a partition; one future for all of them."""
        assert join, "a round waits for no request"
        future = asyncio.get_running_loop().create_future()
        self.sent.setdefault(partition, []).extend(records)
        self.waiting.setdefault(partition, []).append(future)
        self.came.set()
        return [future]

    def acknowledge(self, partition: int) -> None:
        """Acknowledge what a partition has got."""
        for future in self.waiting.pop(partition):
            future.set_result(SimpleNamespace(offset=0))


class Desk(NamedTuple):
    """A forwarder at work, with what it sends and how far its source is done."""

    forwarder: Forwarder
    wire: Wire
    positions: Positions

    def put(self, *values: bytes) -> None:
        """Let records come in from the source, from offset 0."""
        records = [Record(value, offset) for offset, value in enumerate(values)]
        batch: Any = SimpleNamespace(tp=SOURCE, records=records, offset=len(records) - 1)
        self.forwarder.put(batch)

    async def until_sent(self, *partitions: int) -> None:
        """Wait until these log partitions have got something."""
        async with asyncio.timeout(60):
            while not self.wire.sent.keys() >= set(partitions):
                self.wire.came.clear()
                await self.wire.came.wait()


@contextlib.asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    """A forwarder that reads one source partition from its beginning."""
    wire: Any = Wire()
    positions = Positions()
    positions.seek({SOURCE: 0}, {})
    doorway = Doorway(Decoder(SECRET), ("feedback",), PARTITIONS)
    forwarder = Forwarder(doorway, wire, topics_of(Settings()), lambda _: None)
    consumer: Any = SimpleNamespace(positions=positions, full=set(), end_offset=lambda _: 0)
    forwarder.consumer = consumer
    forwarder.reopen({SOURCE: 0})
    tasks = [asyncio.create_task(forwarder.run()), asyncio.create_task(forwarder.confirm())]
    try:
        yield Desk(forwarder, wire, positions)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


TWO = (partition_of(b"c1", PARTITIONS), partition_of(BOB.encode(), PARTITIONS))


@pytest.mark.parametrize("last", TWO)
async def test_a_source_record_is_done_when_both_are_acknowledged(last: int) -> None:
    """Whichever of the two partitions answers last, the source's position waits for it: a crash before would read it again."""
    first = TWO[0] if last == TWO[1] else TWO[1]
    assert first != last
    async with desk() as made:
        made.put(encoded("referral.sent"))
        await made.until_sent(*TWO)
        made.wire.acknowledge(first)
        for _ in range(50):
            await asyncio.sleep(0)
        assert made.positions.durable[SOURCE] == 0
        made.wire.acknowledge(last)
        await made.forwarder.drain()
        assert made.positions.durable[SOURCE] == 1


async def test_a_round_of_both_leaves_nothing_held() -> None:
    """What came in counts out again to the byte, with the second records."""
    async with desk() as made:
        made.put(*(encoded("referral.sent", id=f"e{n}", referred_id=f"r{n}") for n in range(30)))
        assert made.forwarder.held.total > 60 * RECORD_BYTES
        await made.until_sent(
            *{partition_of(key.encode(), PARTITIONS) for key in ["c1", *(f"r{n}" for n in range(30))]}
        )
        assert made.forwarder.held.total == 0
        assert sum(map(len, made.wire.sent.values())) == 60


@pytest.mark.parametrize("link", [True, False])
def test_without_links_a_referral_gives_one_record(link: bool) -> None:
    """Workers of a release without identity stop at the second, as at every kind of fact that they do not know."""
    settings = Settings(identity=Identity(secret=SECRET.decode(), link=link))
    entry = doorway_of(settings, ("feedback",), PARTITIONS).enter(Record(encoded("referral.sent")))
    assert (entry.second is not None) == link
    assert entry.value == entered().value


async def test_in_one_partition_the_second_stands_behind_the_first() -> None:
    """A partition drops what is not above the origin it has seen: in the other order it would drop the fact itself."""
    near = next(f"r{n}" for n in range(1000) if partition_of(f"r{n}".encode(), PARTITIONS) == TWO[0])
    async with desk() as made:
        made.put(encoded("referral.sent", referred_id=near), encoded("referral.sent", id="e2", referred_id=near))
        await made.until_sent(TWO[0])
        origins = [log.header(value or b"") for _, value, _ in made.wire.sent[TWO[0]]]
        assert [(origin.offset, origin.n) for origin in origins] == [(0, 0), (0, 1), (1, 0), (1, 1)]


# -- folded ----------------------------------------------------------------------------------------------------------


def referral(**changes: Any) -> Fact:
    """A referral of c2 by c1 on the first day."""
    said = {"time": START, "referred_id": "c2", **changes}
    fact: Fact = msgspec.structs.replace(accepted("referral.converted"), **said)
    return fact


def folded(*items: Any) -> Partition:
    """A partition that has read these."""
    made = Partition(RULES, "customer-events", 0)
    made.fold([record(offset, item) for offset, item in enumerate(items)])
    return made


@pytest.mark.parametrize("referred_id", ["c2", BOB])
def test_a_referred_person_is_known_and_stands_nowhere(referred_id: str) -> None:
    """Their profile says by whom; it has no stage, nothing is announced and nothing falls due; the referral counts once."""
    made = folded(*facts_from(referral(referred_id=referred_id)), at_day(800))
    profile = made.profile(referred_id.encode())
    assert profile is not None
    assert [said.value for said in profile.said[REFERRED_BY]] == ["c1"]
    assert (profile.stage, profile.seq, profile.due, profile.reach_at, profile.acquired_at) == (None,) + (0,) + (
        None,
    ) * 3
    assert made.marker.accounts == {"shop": {"referral.converted": {"accepted": 1}}}


def test_being_referred_changes_no_move() -> None:
    """A customer's changes are the same with and without it."""
    whole: list[Fact | Tick] = [visit(1, "v1", "c2"), at_day(400)]
    with_it, without = (Partition(RULES, "customer-events", 0) for _ in range(2))
    _, second = facts_from(referral())
    told = [with_it.fold([record(0, second)]), with_it.fold([record(n + 1, item) for n, item in enumerate(whole)])]
    usual = without.fold([record(n + 1, item) for n, item in enumerate(whole)])
    assert told == [[], usual]
    assert usual


@pytest.mark.parametrize("turn", [1, -1])
def test_where_both_sides_are_one_person_neither_is_a_repeat(turn: int) -> None:
    """Merged before the referral came, both facts are taken in, in whichever order their partitions send them on."""
    second = msgspec.structs.replace(facts_from(referral())[1], customer_id="c1")
    made = folded(*[referral(), second][::turn])
    profile = made.profile(b"c1")
    assert profile is not None
    assert profile.said[REFERRED_BY]
    assert made.marker.accounts == {"shop": {"referral.converted": {"accepted": 1}}}


def test_read_again_after_a_crash_both_are_dropped() -> None:
    """By their origins, each in its partition."""
    made, entry = Partition(RULES, "customer-events", 0), entered()
    assert entry.second is not None
    one, two = ((one.key, one.value) for one in (entry, entry.second))
    made.fold([(0, *one), (1, *two), (2, *one), (3, *two)])
    assert made.marker.reread == 2
    assert made.marker.accounts == {"shop": {"referral.sent": {"accepted": 1}}}


def test_a_plan_about_everybody_names_the_referral() -> None:
    """Where a plan has a stage for whoever is known, the change names the event by the type that it came in with."""
    plan = Plan("all", 1, (Stage("known", 1, Compare("standing_orders", "==", 0)),))
    made = Partition(Rules(Compiled(plan)), "customer-events", 0)
    _, second = facts_from(referral())
    (change,) = made.fold([record(0, second)])
    assert (change.data.trigger.event_type, change.data.trigger.event_id) == ("referral.converted", "e1/referred")
