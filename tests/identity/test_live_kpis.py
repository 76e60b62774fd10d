"""Live KPIs of several partitions whose people are joined, merged and split: whatever happens, what the offline functions say."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage.cause import Rules
from lifestage.kpi_pages import OWNER as KPIS
from lifestage.log import Tick
from lifestage.marker import MARKER_KEY, PREPARED_KEY
from lifestage.pages import owner
from lifestage.partition import Checkpoint, Partition
from tests.core.effort import effort
from tests.core.histories import record
from tests.core.histories_all import Log, cases, logs
from tests.identity.kpi_judge import wrong_everything, wrong_kpis
from tests.identity.lives import END, QUIET, RULES, Lives, Mix
from tests.identity.world import CODE, TOPIC, Kept, Shape, World

MIXES = (Mix(), Mix(crossed=0.2), Mix(crossed=0.1, merges=0.2, wide=0.3), Mix(merges=0.15, splits=0.15, crossed=0.1))
shapes = st.builds(
    Shape, st.integers(1, 5), st.integers(1, 2), crashes=st.booleans(), ticks=st.booleans(), orderly=st.booleans()
)


def lived(mix: Mix, shape: Shape, seed: int, count: int, rules: Rules) -> World:
    """A world in which so many events have happened, and come to rest after a last tick."""
    chance = Random(seed)
    world = World(rules, Lives(chance, mix).events(count), chance, shape)
    world.end(END)
    return world


@effort(200)
@given(
    st.sampled_from(MIXES), shapes, st.integers(0, 1 << 32), st.integers(1, 40), st.booleans(),
    st.sampled_from((1, 30, 90, 366)),
)  # fmt: skip
def test_sums_are_those_of_the_persons(mix: Mix, shape: Shape, seed: int, count: int, quiet: bool, window: int) -> None:
    """Added up over the partitions, at the end and on days after it; and of each partition those of its profiles."""
    rules = (QUIET if quiet else RULES)._replace(window=window)
    assert not wrong_kpis(lived(mix, shape, seed, count, rules), END)


@effort(150)
@given(st.sampled_from(MIXES), shapes, st.integers(0, 1 << 32), st.integers(1, 40), st.booleans(), st.booleans())
def test_what_is_kept_is_what_the_log_gives(
    mix: Mix, shape: Shape, seed: int, count: int, quiet: bool, counted: bool
) -> None:
    """To the byte, with KPIs or without, however often state was kept, cut off and read again: what one fold of each log keeps."""
    rules = (QUIET if quiet else RULES)._replace(window=90 if counted else 0)
    world = lived(mix, shape, seed, count, rules)
    for number, fold in enumerate(world.folds):
        once = Partition(rules, TOPIC, number, CODE)
        once.fold(world.logs[number])
        once.checkpoint()
        assert dict(fold.stored.items()) == dict(once.stored.items())


@effort(150)
@given(logs(cases()), st.lists(st.integers(0, 30), max_size=4), st.sampled_from((1, 30, 90)))
def test_late_facts_and_repeats_leave_what_the_profiles_say(log: Log, ends: list[int], window: int) -> None:
    """All kinds of facts, late, twice, corrected, with ticks between and processes that end: kept and read again, exactly that."""
    rules = log.case.rules._replace(window=window)
    changelog: list[tuple[bytes, bytes | None]] = []
    fold = Partition(rules, "customer-events", 0)
    for place, item in enumerate([*log.items, *log.items[::3]]):
        fold.fold([record(place, item)])
        if place in ends:
            kept = fold.checkpoint()
            changelog += [*kept.pages.items(), *kept.profiles.items(), (MARKER_KEY, kept.marker)]
            fold = Partition(rules, "customer-events", 0)
            for key, value in changelog:
                fold.restore(key, value)
            fold.recovered()
    fold.checkpoint()
    assert not [*wrong_everything([fold], rules)]


# -- teeth ---------------------------------------------------------------------------------------


def found(kind: type[Partition] = Partition, world: type[World] = World) -> list[str]:
    """What is wrong in the first world, of those that are right otherwise, in which anything is."""
    for seed in range(40):
        lived = world(
            RULES._replace(window=90), Lives(Random(seed), MIXES[seed % 4]).events(25), Random(seed), Shape(2), kind
        )
        lived.end(END)
        if said := wrong_kpis(lived, END):
            return said
    return []


def test_what_is_right_is_found_right() -> None:
    """In the worlds that the teeth are tried on nothing is wrong with the product as it is."""
    assert found() == []


class Restless(Partition):
    """Counts a visitor too many, once."""

    def _adopt_prepared(self) -> None:
        super()._adopt_prepared()
        if self.kpis is not None:
            self.kpis.days.add([(("visitors",), self.kpis.days.day, 1)])


class Deaf(Partition):
    """Takes nothing back of who joins, leaves or is split."""

    def _message(self, offset: int, key: bytes | None, value: bytes) -> None:
        kpis, self.kpis = self.kpis, None
        super()._message(offset, key, value)
        self.kpis = kpis


class Timeless(Partition):
    """Does not see what time does to a path."""

    def _pass_time(self, offset: int, tick: Tick) -> Iterator[None]:
        yield from super()._pass_time(offset, tick)
        if self.kpis is not None:
            self.kpis.days.add([(("~stage_counts", "loyal"), 0, 1)])


class Stale(Partition):
    """Goes on after a cut-off flush with the KPIs of before it."""

    def _adopt_prepared(self) -> None:
        kpis = self.kpis
        super()._adopt_prepared()
        self.kpis = kpis


@pytest.mark.parametrize("kind", [Restless, Deaf, Timeless, Stale])
def test_what_is_counted_wrong_is_found(kind: type[Partition]) -> None:
    """A wrong entry, a message or a tick that is passed over, and counts of before a cut-off flush."""
    assert found(kind)


class Lossy(World):
    """Loses a page of KPIs in ten."""

    def keep(self, number: int, kept: Checkpoint, cut: int | None) -> None:
        """Leave out some pages."""
        pages = {key: page for key, page in kept.pages.items() if owner(key) != KPIS or self.chance.random() > 0.1}
        super().keep(number, kept._replace(pages=pages), cut)


class Hasty(World):
    """Announces a flush before the pages are there that it names."""

    def keep(self, number: int, kept: Checkpoint, cut: int | None) -> None:
        """The prepared marker first."""
        if kept.final:
            self.changelogs[number].append(Kept(PREPARED_KEY, kept.marker))
        super().keep(number, kept, cut)


@pytest.mark.parametrize("world", [Lossy, Hasty])
def test_pages_that_are_not_there_are_found(world: type[World]) -> None:
    """Such a partition says that it counts no KPIs any more."""
    assert any("counts no KPIs" in said for said in found(world=world))
