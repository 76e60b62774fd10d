"""KPI sums through changes of settings: a partition that says it counts them has those of its log, whoever kept its state between."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import loads, marker, partition
from lifestage.cause import Rules
from lifestage.facts import Fact, LeadCaptured, WebVisit
from lifestage.marker import PREPARED_KEY
from lifestage.messages import Message
from lifestage.partition import Checkpoint, Partition
from streams.reconcile import Difference, Reconciliation
from tests.core.effort import effort
from tests.core.histories import START
from tests.core.oracle import DAY
from tests.identity.lives import QUIET, RULES, Mix
from tests.identity.test_recount import COUNTED, MIXES, Logs, counts, kept, lived, seeds
from tests.identity.world import Shape, World

SETTINGS = (COUNTED, COUNTED, RULES, RULES._replace(window=9))
ALONE = Shape(1, 1, crashes=False, ticks=False, orderly=True)
ONCE = "its changelog was written without them"


def differences(world: World) -> list[Difference]:
    """Where a partition that would count on has other sums than its log."""
    born = [world.born(number) for number in range(world.shape.partitions)]
    found = {fold.number: kept(fold) for fold in born if fold.kpis is not None}
    assert all(fold.uncounted for fold in born if fold.kpis is None)
    with tempfile.TemporaryDirectory() as folder:
        return Reconciliation(Logs(world), found, world.rules, Path(folder), lambda *_: None).run().differences


def restart(world: World, rules: Rules, *, bare: bool = False) -> None:
    """All processes end; others with these settings go on from what was kept, or from the logs alone."""
    for number in range(world.shape.partitions):
        world.crash(number, None)
    world.rules = rules
    if bare:
        world.changelogs = [[] for _ in world.changelogs]
    world.folds = [world.born(number) for number in range(world.shape.partitions)]
    world.places = [
        sum(offset <= fold.applied for offset, _, _ in log) for fold, log in zip(world.folds, world.logs, strict=True)
    ]


class Switching(World):
    """Whoever takes a partition over may have other settings."""

    settings: Sequence[Rules] = SETTINGS

    def born(self, number: int) -> Partition:
        """A new process, with the settings of the day."""
        rules, self.rules = self.rules, self.chance.choice(self.settings)
        new = super().born(number)
        self.rules = rules
        return new


class Forgetful(Partition):
    """Leaves the prepared marker as it was when it keeps what it has not counted."""

    def checkpoint(self, breathe: Callable[[], object] | None = None) -> Checkpoint:
        """What one flush keeps."""
        found = super().checkpoint(breathe)
        found.pages.pop(PREPARED_KEY, None)
        return found


def switched(seed: int, count: int, mix: Mix, *, bare: bool = False) -> tuple[int, list[Difference]]:
    """How many partitions count in the end after any changes of settings, and where they are wrong."""
    plain = lived(Shape(3, 1, orderly=False, workers=2), seed, count, mix, quiet=False)
    world = Switching(plain.rules, plain.facts, plain.chance, plain.shape)
    for _ in range(world.chance.randrange(20, 200)):
        world.step()
    world.settings = [COUNTED]
    restart(world, COUNTED, bare=bare)
    found = differences(world)
    world.run()
    world.tick(START + 31 * DAY, range(world.shape.partitions))
    world.run()
    counting = sum(world.born(number).kpis is not None for number in range(world.shape.partitions))
    return counting, found + differences(world)


@effort(150)
@given(seeds, counts, st.sampled_from(MIXES), st.booleans())
def test_whoever_counts_is_right(seed: int, count: int, mix: Mix, bare: bool) -> None:
    """Whatever the settings of those who kept the state before, or whose messages stand in the log, wherever they were cut off."""
    assert switched(seed, count, mix, bare=bare)[1] == []


def test_some_count_and_some_do_not() -> None:
    """The worlds above are of both kinds, also where the state is made again from the log."""
    for bare in (False, True):
        counting = {switched(seed, 20, MIXES[2], bare=bare)[0] for seed in range(30)}
        assert {0, 3} <= counting


def _noted(_message: Message, _window: int) -> bool:
    return True


def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "are_noted", _noted)


def _half(monkeypatch: pytest.MonkeyPatch) -> None:
    def pass_for_all(self: Partition, key: bytes, profile: Any, offset: int, due: int | None) -> None:
        kpi = profile.kpi
        folded(self, key, profile, offset, due)
        profile.kpi = kpi

    folded = Partition._folded  # spoilt on purpose
    monkeypatch.setattr(Partition, "_folded", pass_for_all)


@pytest.mark.parametrize("spoil", [_plain, _half])
def test_what_is_not_noticed_is_found(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Sets of which nothing was noted, and notes that lack what came since: each is wrong somewhere."""
    spoil(monkeypatch)
    assert any(switched(seed, 25, MIXES[seed % 4], bare=bare)[1] for seed in range(60) for bare in (False, True))


# -- stories -------------------------------------------------------------------------------------


def who(name: str, id: str, day: int) -> dict[str, Any]:
    """Whose a fact is, and when."""
    kind = "customer_id" if name.startswith("c") else "anonymous_id"
    return {"source": "shop", "id": id, "time": START + day * DAY, kind: name}


def story(rules: Rules, facts: Sequence[Fact]) -> World:
    """A world of one partition that has taken all of these in, a day later."""
    world = World(rules, facts, Random(1), ALONE)
    world.end(START + DAY)
    return world


VISITS = [WebVisit(url="/", session_id=f"s{n}", **who(f"v{n}", f"v{n}", 0)) for n in range(3)]


@pytest.mark.parametrize(("first", "then", "said"), [(QUIET, RULES, "false"), (RULES, QUIET, "true")])
def test_who_is_announced_is_another_count(first: Rules, then: Rules, said: str) -> None:
    """With another `announce_anonymous` paths are others: nothing is counted, and the log says which it was; with the one that it
    was counting goes on."""
    world = story(first._replace(window=20), VISITS)
    restart(world, then._replace(window=20))
    assert world.folds[0].uncounted == f"they were counted with lifecycle.announce_anonymous = {said}"
    restart(world, first._replace(window=20))
    assert kept(world.folds[0]).days.totals()[("sessions",)] == len(VISITS)
    assert differences(world) == []


def cut_off(kind: type[Partition]) -> World:
    """A flush is cut off behind its prepared marker; who does not count keeps profiles on the way there, and dies."""
    world = World(COUNTED, VISITS, Random(1), ALONE, kind)
    world.run()
    world.sources[0].append(LeadCaptured(lead_id="l", form="f", **who("c1", "l", 1)))
    world.take_in(0, 1)
    world.tick(START + 2 * DAY, [0])
    world.fold(0, 2)
    world.crash(0, 0)
    restart(world, RULES)
    world.fold(0, 1)
    world.keep(0, world.folds[0].checkpoint(), None)
    restart(world, COUNTED)
    world.sources[0].append(LeadCaptured(lead_id="l", form="f", **who("c1", "again", 2)))
    return world


def test_state_kept_without_counting_towards_a_prepared_marker_is_not_gone_on_with() -> None:
    """That is said, and with the state made again from the log all is counted."""
    world = cut_off(Partition)
    assert world.folds[0].uncounted == ONCE
    restart(world, COUNTED, bare=True)
    world.run()
    assert kept(world.folds[0]).days.totals()[("leads",)] == 1
    assert differences(world) == []


def test_a_prepared_marker_that_is_gone_on_with_is_found() -> None:
    """Left as it was, the partition passes for one that counts, and counts a lead twice."""
    world = cut_off(Forgetful)
    world.run()
    assert ("leads", 2, 1) in [(one.name, one.kept, one.recounted) for one in differences(world)]


def test_many_orders_travel_with_what_is_kept_for_kpis(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set in several pieces is no set that nothing was kept of."""
    monkeypatch.setattr(loads, "ORDERS_IN_PIECE", 1)
    for seed in range(12):
        world = lived(Shape(3, 1, crashes=False, ticks=False), seed, 30, MIXES[2], quiet=False)
        world.run()
        assert [fold.uncounted for fold in world.folds] == ["", "", ""]
        assert differences(world) == []


def test_what_bots_did_is_noted_to_be_nothing() -> None:
    """Visitors of whom only bots' visits are known join customers of other partitions: their sets lack nothing."""
    visits: list[Fact] = [
        WebVisit(url="/", session_id=f"s{n}", bot=True, **who(f"v{n}", f"v{n}", 0)) for n in range(12)
    ]
    leads: list[Fact] = [
        LeadCaptured(lead_id=f"l{n}", form="f", anonymous_id=f"v{n}", **who(f"c{n}", f"l{n}", 1)) for n in range(12)
    ]
    world = World(COUNTED, [*visits, *leads], Random(1), Shape(4, 1, crashes=False, ticks=False, orderly=True))
    world.end(START + 2 * DAY)
    assert [fold.uncounted for fold in world.folds] == [""] * 4
    assert differences(world) == []


def test_sums_of_another_release_are_not_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a release counts that the one before did not is in none of the sums that were kept."""
    world = story(COUNTED, VISITS)
    monkeypatch.setattr(marker, "KPI_SUMS", marker.KPI_SUMS + 1)
    restart(world, COUNTED)
    assert world.folds[0].uncounted == "its changelog was written by a release that counts other ones"
