"""A partition that crashes anywhere, in the middle of keeping its state too, tells what one that never crashed tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from lifestage import log
from lifestage.change import Announced, encode_value
from lifestage.facts import Fact
from lifestage.marker import MARKER_KEY, PREPARED_KEY, Marker, encode_marker
from lifestage.messages import Link, Occasion, encode_message
from lifestage.partition import Checkpoint, Partition
from lifestage.profile import Profile, decode_head
from tests.core.histories import (
    RULES,
    START,
    Record,
    Tick,
    at_day,
    cancel,
    facts,
    order,
    partition,
    records,
    thorough,
    visit,
)
from tests.core.oracle import DAY

REFUSED = [
    log.pack_refused(log.Refused("rejected", "shop", "web.visit", "missing_field"), log.topic_code("visits"), 2, n)
    for n in range(3)
]


class Life(NamedTuple):
    """How long a process lives: it folds up to `until`, keeps, and is cut off there: after `cut` records, or not at all."""

    until: int
    cut: int | None = None
    told: int = 1 << 30
    """Of what was folded after the last keeping, so many changes went out before the end."""


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """A log of three customers and a visitor with late facts, repeats, ticks, refusals, and source records sent again."""
    items: list[Fact | Tick] = []
    for customer in ("c1", "c2", "anon:v"):
        items += draw(facts(5, customer))
    items += draw(st.lists(st.integers(0, 500).map(lambda day: Tick(START + day * DAY)), max_size=4))
    found = records(draw(st.permutations(items)))
    refusals = draw(st.lists(st.sampled_from(REFUSED), max_size=2))
    again = draw(st.lists(st.sampled_from(found), max_size=3))
    values = [*found, *((0, None, value) for value in refusals), *again]
    return [(offset * 2, key, value) for offset, (_, key, value) in enumerate(values)]


@st.composite
def lives(draw: st.DrawFn) -> list[Life]:
    """Some short lives."""
    cut = st.one_of(st.none(), st.integers(0, 5))
    return draw(st.lists(st.builds(Life, st.integers(0, 40), cut, st.integers(0, 3)), max_size=5))


class Careless(Partition):
    """A partition that forgets which records a profile has applied."""

    def _load(self, key: bytes) -> Profile:
        profile = super()._load(key)
        profile.applied = -1
        return profile


class World:
    """What outlasts a process: the log, the changelog, and the changes that went out."""

    def __init__(self, history: Sequence[Record], kind: type[Partition] = Partition, *, prepares: bool = True) -> None:
        self.log, self.kind, self.prepares = history, kind, prepares
        self.changelog: list[tuple[bytes, bytes | None]] = []
        self.told: list[Announced] = []

    def born(self) -> Partition:
        """A new process that has read the changelog."""
        new = self.kind(RULES, "customer-events", 3)
        for key, value in self.changelog:
            new.restore(key, value)
        new.recovered()
        return new

    def live(self, life: Life) -> Partition:
        """Fold what the log holds up to a place, keep it or part of it, and end there."""
        now = self.born()
        changes = now.fold(r for r in self.log if now.applied < r[0] <= life.until)
        if life.cut is None and now.applied > now.marker.offset:
            self.told += changes
            self.keep(now.checkpoint(), None)
        elif life.cut is not None and now.applied > now.marker.offset:
            self.told += changes
            self.keep(now.checkpoint(), life.cut)
        else:
            self.told += changes[: life.told]
        return now

    def keep(self, kept: Checkpoint, cut: int | None) -> None:
        """Write a checkpoint as one that is too large for one batch: marker first, then profiles, then marker."""
        if kept.final and self.prepares:
            self.changelog.append((PREPARED_KEY, kept.marker))
        self.changelog += list(kept.profiles.items())[:cut]
        if kept.final and cut is None:
            self.changelog.append((MARKER_KEY, kept.marker))

    def heard(self) -> list[bytes]:
        """What a consumer makes of the changes: those with a seq that it has not seen."""
        seen: dict[str, int] = {}
        new = []
        for change in self.told:
            if change.data.seq > seen.get(change.partitionkey, 0):
                seen[change.partitionkey] = change.data.seq
                new.append(encode_value(change))
        return new


def uninterrupted(history: Sequence[Record]) -> tuple[list[bytes], Marker]:
    """What one process tells that never ends, and its counts."""
    whole = partition()
    told = [encode_value(change) for change in whole.fold(history)]
    whole.checkpoint()
    return told, whole.marker


ALL = Life(1 << 40)

CYCLES: list[Fact | Tick] = [visit(0, "v0")]
for _n in range(5):
    CYCLES += [order(10 + 10 * _n, f"b{_n}", f"o{_n}"), cancel(11 + 10 * _n, f"c{_n}", f"o{_n}")]
CYCLES += [at_day(60), visit(60.5, "v1"), order(61, "b9", "o9"), visit(62, "v2")]


@thorough
@given(logs(), lives())
@example(records(CYCLES), [Life(12, cut=1)])
@example(records([visit(0, "a"), visit(0, "b", "c2"), visit(1, "c")]), [Life(1, cut=1)])
def test_crashes_do_not_show(history: list[Record], short: list[Life]) -> None:
    """However processes end, the changes without repeats are the same bytes, and every count is the same."""
    world = World(history)
    for life in short:
        world.live(life)
    last = world.live(ALL)
    told, marker = uninterrupted(history)
    assert world.heard() == told
    assert last.marker == marker
    assert last.prepared is None
    assert {k: v for k, v in last.stored.items() if v} == world.born().stored


@thorough
@given(logs())
def test_a_log_replayed_gives_the_same_bytes(history: list[Record]) -> None:
    """Changes, counts and profiles of two readings of one log are the same bytes."""
    runs = [partition(), partition()]
    first, second = ([encode_value(change) for change in run.fold(history)] for run in runs)
    assert first == second
    kept = [run.checkpoint() for run in runs]
    assert kept[0] == kept[1]


def test_without_the_prepared_marker_counts_are_lost() -> None:
    """The mark before a large keeping is what makes a cut-off one countable: without it the counts come out wrong."""
    history = records([visit(0, "a"), visit(0, "b", "c2"), visit(1, "c")])
    _, marker = uninterrupted(history)
    for prepares in (True, False):
        world = World(history, prepares=prepares)
        world.live(Life(1, cut=1))
        assert (world.live(ALL).marker == marker) == prepares


def test_without_the_offset_of_a_profile_a_crash_shows() -> None:
    """A record that is folded twice, long after its id has left the horizon, would take true changes back."""
    history = records(CYCLES)
    told, _ = uninterrupted(history)
    for kind in (Partition, Careless):
        world = World(history, kind)
        world.live(Life(13, cut=1))
        world.live(ALL)
        assert (world.heard() == told) == (kind is Partition)


def test_what_a_cut_off_flush_left_is_kept_again() -> None:
    """When reading has come to where a cut-off keeping stood, and nothing follows, there is still something to keep."""
    history = records([visit(0, "a"), visit(0, "b", "c2")])
    world = World(history)
    world.live(Life(1, cut=1))
    now = world.born()
    now.fold(history)
    assert now.dirty
    assert now.applied > now.marker.offset


def test_sources_read_again_are_dropped_by_their_origin() -> None:
    """The same source records, written to the log a second time, count as re-read and as nothing else."""
    history = records([visit(0, "a"), order(1, "b", "o1")])
    twice = [*history, *((offset + 2, key, value) for offset, key, value in history)]
    told, marker = uninterrupted(history)
    again, counted = uninterrupted(twice)
    assert again == told
    assert (marker.reread, counted.reread) == (0, 2)
    assert counted.accounts == marker.accounts == {
        "shop": {"web.visit": {"accepted": 1}, "order.completed": {"accepted": 1}}
    }  # fmt: skip


def test_a_former_owner_does_no_harm() -> None:
    """Older records of a profile, a marker and a prepared marker that a former owner writes late are passed over."""
    history = records([visit(0, "a"), order(1, "b", "o1"), order(2, "c", "o2"), visit(3, "d", "c2")])
    world = World(history)
    for until in (0, 1, 2):
        world.live(Life(until))
    old = list(world.changelog)
    world.live(Life(3, cut=1))
    world.changelog += old
    assert decode_head(world.born().stored[b"c1"]).applied == 2
    told, marker = uninterrupted(history)
    last = world.live(ALL)
    assert world.heard() == told
    assert last.marker == marker


def test_offsets_may_have_gaps_and_come_again() -> None:
    """Offsets rise with gaps; a record at or below what is applied is skipped without being looked at."""
    whole = partition()
    ((_, key, value),) = records([visit(0, "a")])
    assert len(whole.fold([(7, key, value)])) == 1
    assert whole.fold([(7, key, b"not a record of ours"), (3, key, value)]) == []
    assert whole.applied == 7


def test_a_marker_is_small_and_says_what_happened() -> None:
    """Counts by source, type and outcome, stages, sums and moves: as a person would count them."""
    whole = partition()
    whole.fold(records([order(0, "a", "o1", 1250), order(1, "b", "o1", 1250), visit(2, "c", "c2"), at_day(91)]))
    marker = whole.marker
    assert marker.accounts["shop"] == {
        "order.completed": {"accepted": 1, "duplicate": 1},
        "web.visit": {"accepted": 1},
    }
    assert {stage: count for stage, count in marker.population.items() if count} == {"at_risk": 1, "reach": 1}
    assert marker.sums == {"EUR": [1, 1250, 1250]}
    assert marker.moves == {"→conversion→entry": 1, "→reach→entry": 1, "conversion→at_risk→at_risk": 1}
    assert len(encode_marker(marker)) < 500


class Interrupted(Partition):
    """A partition in the middle of whose work that of another thread is done."""

    other: Partition | None = None

    def count(self, what: str) -> None:
        """Count, and let the other one work."""
        super().count(what)
        if self.other is not None:
            self.other.fold([said_whose("anon:theirs", "c2", 9)])


def said_whose(id: str, target: str, offset: int) -> Record:
    """The record by which the owner of an id is told whose it is."""
    link = Link(id, target, Occasion(START + offset, "shop", f"e{offset}", "web.visit"), silent=True)
    return offset, id.encode(), log.pack(log.MESSAGE, encode_message(link))


def test_folds_beside_each_other_share_nothing() -> None:
    """Two partitions hear at once of ids that are new to them, as the threads of one process may: each as if alone."""
    alone = partition()
    alone.fold([said_whose("anon:ours", "c1", 5)])
    beside = Interrupted(RULES, "customer-events", 3)
    beside.other = partition()
    beside.fold([said_whose("anon:ours", "c1", 5)])
    assert beside.checkpoint().profiles == alone.checkpoint().profiles
    theirs = beside.other.profile(b"anon:theirs")
    assert theirs is not None
    assert (theirs.applied, theirs.kin and theirs.kin.alias) == (9, "c2")
