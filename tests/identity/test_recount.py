"""The KPIs that a world of partitions keeps are those of the facts in its logs, whoever they turn out to be of."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lifestage import recount
from lifestage.facts import (
    AdClick,
    AdImpression,
    Context,
    CostRecorded,
    Fact,
    LeadCaptured,
    OrderCompleted,
    SocialEngagement,
    TicketCreated,
    TicketSolved,
    WebVisit,
)
from lifestage.kpi_days import Days
from lifestage.partition import Partition
from streams.reconcile import Kept, Reconciliation, Recounted
from tests.core.effort import effort
from tests.core.histories import RULES as CLM5_RULES
from tests.core.histories import START, Record, at_day, record, visit
from tests.core.oracle import DAY
from tests.identity.lives import QUIET, RULES, Lives, Mix
from tests.identity.world import TOPIC, Shape, World

COUNTED, COUNTED_QUIET = (rules._replace(window=20) for rules in (RULES, QUIET))
shapes = st.builds(
    Shape,
    st.integers(1, 5),
    st.integers(1, 2),
    crashes=st.booleans(),
    ticks=st.booleans(),
    orderly=st.booleans(),
    workers=st.sampled_from((0, 0, 2)),
)
MIXES = (
    Mix(),
    Mix(crossed=0.2),
    Mix(merges=0.2, splits=0.15, wide=0.3),
    Mix(crossed=0.2, merges=0.2, splits=0.2, wide=0.3),
)
seeds, counts = st.integers(0, 1 << 32), st.integers(1, 30)


class Logs:
    """The logs of a world, in short runs."""

    topic = TOPIC

    def __init__(self, world: World) -> None:
        self._logs = world.logs
        self.ends = {number: len(records) for number, records in enumerate(world.logs)}

    def records(self, number: int, until: int | None = None) -> Iterator[list[Record]]:
        """All records of a partition."""
        for at in range(0, len(self._logs[number]), 7):
            yield [record for record in self._logs[number][at : at + 7] if until is None or record[0] < until]


def costs(chance: Random, count: int) -> list[Fact]:
    """What is nobody's, and now and then somebody's."""
    found: list[Fact] = []
    for n in range(count):
        common: dict[str, Any] = {"time": START + chance.randrange(30) * DAY, "source": "erp", "id": f"cost{n}"}
        kind = chance.randrange(4)
        who: dict[str, Any] = {"anonymous_id": f"v{chance.randrange(3)}x"} if kind == 2 or chance.random() < 0.5 else {}
        if kind == 0:
            start = START + chance.randrange(-20, 40) * DAY + chance.choice((0, 1234))
            found.append(CostRecorded(cost_id=f"k{n}", amount_minor=1000, currency="EUR", category="marketing", channel=chance.choice((None, "m")),
                                      period_start=start, period_end=start + chance.choice((1, 7 * DAY, 45 * DAY)), **common))  # fmt: skip
        elif kind == 1:
            found.append(AdImpression(campaign_id="c", count=10, **common, **who))
        elif kind == 2:
            found.append(AdClick(campaign_id="c", channel="m", **common, **who))
        else:
            found.append(SocialEngagement(campaign_id="c", kind="like", **common, **who))
    return found


def lived(shape: Shape, seed: int, count: int, mix: Mix, *, quiet: bool) -> World:
    """A world in which nothing has happened yet."""
    chance = Random(seed)
    facts = Lives(chance, mix).events(count) + costs(chance, count // 3)
    chance.shuffle(facts)
    return World(COUNTED_QUIET if quiet else COUNTED, facts, chance, shape)


def kept(partition: Partition) -> Kept:
    """What is kept of a partition."""
    assert partition.kpis is not None
    return Kept(partition.marker.offset, partition.kpis.days)


def recounted(world: World) -> Recounted:
    """The world's logs counted once more, against what a new owner of each partition would go on from."""
    found = {number: kept(world.born(number)) for number in range(world.shape.partitions)}
    if world.shape.partitions > 1 and world.chance.random() < 0.2:
        # nothing is kept of one partition, whose persons have told others
        del found[world.chance.randrange(world.shape.partitions)]
    with tempfile.TemporaryDirectory() as folder:
        return Reconciliation(Logs(world), found, world.rules, Path(folder), lambda *_: None).run()


@effort(150)
@given(
    shapes,
    seeds,
    counts,
    st.booleans(),
    st.sampled_from(MIXES),
)
def test_what_is_kept_is_what_the_log_says(shape: Shape, seed: int, count: int, quiet: bool, mix: Mix) -> None:
    """In the middle of things with messages on their way, at rest, and while time passes: after merges, splits, switches, crashes."""
    world = lived(shape, seed, count, mix, quiet=quiet)
    for _ in range(world.chance.randrange(60)):
        world.step()
    assert recounted(world).differences == []
    world.run()
    assert recounted(world).differences == []
    for days in (31, 40, 75, 130):
        world.tick(START + days * DAY + world.chance.choice((0, DAY // 2)), range(shape.partitions))
        world.run()
        assert recounted(world).differences == []


def test_a_sum_that_is_off_is_found() -> None:
    """One order too many in what is kept of one partition: that sum is named, with what is kept and what the log says."""
    world = lived(Shape(partitions=2, crashes=False, ticks=False), 1, 30, Mix(), quiet=True)
    world.end(START + 31 * DAY)
    found = {number: kept(world.born(number)) for number in range(2)}
    right = recounted(world)
    assert right.sums.total() > 20
    days: Days = found[1].days
    before = days.totals()["orders", "EUR"]
    days.add([(("orders", "EUR"), days.day, 1)])
    with tempfile.TemporaryDirectory() as folder:
        wrong = Reconciliation(Logs(world), found, world.rules, Path(folder), lambda *_: None).run()
    assert wrong.differences == [(1, "orders", ("EUR",), before + 1, before)]


def test_who_comes_back_after_having_been_forgotten_is_another() -> None:
    """A visitor with a lead is silent for 40 days and then buys, with no tick between: two visitors, and nothing is taken back."""
    seen: dict[str, Any] = {"source": "shop", "anonymous_id": "v"}
    told: list[Fact] = [
        WebVisit(id="e1", time=START, url="/", session_id="s", **seen),
        LeadCaptured(id="e2", time=START, lead_id="l", form="f", context=Context(medium="m"), **seen),
        OrderCompleted(id="e3", time=START + 40 * DAY, order_id="o", currency="EUR", total_minor=1, net_minor=1, context=Context(medium="n"), **seen),
        WebVisit(id="e4", time=START + 40 * DAY, url="/", session_id="s", **seen),
    ]  # fmt: skip
    rules = COUNTED_QUIET._replace(window=60)
    world = World(rules, told, Random(1), Shape(partitions=1, sources=1, crashes=False, ticks=False, orderly=True))
    world.end(START + 41 * DAY)
    assert recounted(world).differences == []
    days = kept(world.born(0)).days.totals()
    assert days["visitors",] == days["sessions",] == 2
    assert days["leads/channel", "m"] == 1


def test_a_device_that_comes_back_to_two_customers_takes_nothing_of_who_was_forgotten() -> None:
    """A visitor is forgotten; their device comes back as one customer's, then as another's: two visitors and two customers."""
    device: dict[str, Any] = {"source": "shop", "anonymous_id": "a", "url": "/"}
    first = WebVisit(id="e1", time=START, session_id="s1", **device)
    back = [
        WebVisit(id=f"e{day}", time=START + day * DAY, session_id=f"s{day}", customer_id=name, **device)
        for day, name in ((40, "c1"), (41, "c2"))
    ]
    rules = CLM5_RULES._replace(window=90)
    shape = Shape(partitions=1, sources=1, crashes=False, ticks=False, orderly=True)
    world = World(rules, [first, *back], Random(1), shape)
    world.sources[0] = [first]
    world.run()
    world.tick(START + 31 * DAY, range(1))
    world.run()
    world.sources[0] += back
    world.end(START + 42 * DAY)
    assert recounted(world).differences == []
    assert kept(world.born(0)).days.totals()["visitors",] == 3


@pytest.mark.parametrize("window", [1, 20])
@pytest.mark.parametrize("more", [-1, 0, 1, 40])
def test_a_name_that_is_used_again_after_long_silence_is_another_things(window: int, more: int) -> None:
    """A ticket that is solved, and a session that goes on, some days around the limit later: the same for both, and what is right."""
    days = window + 30 + more
    seen: dict[str, Any] = {"source": "shop", "customer_id": "c"}
    told: list[Fact] = [
        TicketCreated(id="e1", time=START, ticket_id="i", **seen),
        WebVisit(id="e2", time=START, url="/", session_id="s", **seen),
        TicketSolved(id="e3", time=START + days * DAY, ticket_id="i", by="agent", **seen),
        WebVisit(id="e4", time=START + days * DAY, url="/", session_id="s", **seen),
    ]
    rules = COUNTED_QUIET._replace(window=window)
    world = World(rules, told, Random(1), Shape(partitions=1, sources=1, crashes=False, ticks=False, orderly=True))
    world.end(START + days * DAY)
    assert recounted(world).differences == []
    sums = kept(world.born(0)).days.totals()
    assert sums["tickets_solved",] == 1
    assert sums["sessions",] == (more > 0)
    assert sums["resolution_time_count",] == (more <= 0)


def test_of_visitors_who_are_forgotten_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands come and fall silent, some under an id that was another's: each is a person, and memory holds those who are there."""
    monkeypatch.setattr(recount, "LIVES_MIN", 100)
    persons: set[bytes] = set()
    partition = recount.Recount(CLM5_RULES, TOPIC, 0, lambda stretch, _: persons.add(stretch[0]), {})
    offset = most = 0
    for n in range(1_500):
        for again in (0, 1):
            seen = replace(visit(n + again / 10, f"v{n}-{again}"), customer_id=None, anonymous_id=f"a{n % 1_200}")
            deque(partition.folding([record(offset := offset + 1, seen)]), maxlen=0)
        if n % 20 == 0:
            deque(partition.folding([record(offset := offset + 1, at_day(n + 0.5))]), maxlen=0)
            partition.checkpoint()
        most = max(most, len(partition._lives))
    assert len(persons) == 1_500
    assert len(partition.stored) < 100
    assert most < 300
