"""Live sums of the path against the offline functions over the path as it stands, whatever is corrected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from copy import deepcopy
from fractions import Fraction
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.facts import Fact, OrderCompleted, WebVisit
from lifestage.kpi_contribute import Sums
from lifestage.kpi_days import LEVEL, day_of, end_of_day, whole_days
from lifestage.kpi_follow import found_in
from lifestage.kpi_formulas import summary
from lifestage.kpi_live import Now
from lifestage.kpi_live_path import cohorts, path, path_after, path_before
from lifestage.kpi_spread import LADDERS, bound_of, bounds_of, spread
from lifestage.partition import Partition
from lifestage.profile import Move, Profile, decode
from tests.core.effort import effort
from tests.core.histories import RULES, START, Tick, arrivals, facts, partition, record, restless, standing_moves
from tests.core.kpi_live_sums import add_spreads, mean, quantile, value_at, walked, without_zero
from tests.core.oracle import DAY

WINDOW = 30
COUNTED = RULES._replace(window=WINDOW)
LATER = (0, 1, 29, 30, 31, 400)


class Counted:
    """A partition whose path sums are kept as it folds."""

    def __init__(self, rules: Rules = COUNTED) -> None:
        self.partition = partition(rules)
        self.changes: dict[str, list[Announced]] = {}
        self.at = 0

    def take(self, item: Fact | Tick) -> None:
        """One record of the log."""
        for change in self.partition.fold([record(self.at, item)]):
            self.changes.setdefault(change.partitionkey, []).append(change)
        self.at += 1

    @property
    def day(self) -> int:
        """The present one."""
        return max(0, day_of(self.partition.clock.time))

    def live(self, day: int) -> Sums:
        """The sums as of the end of a day."""
        assert self.partition.kpis is not None
        days = deepcopy(self.partition.kpis.days)
        days.turn(day)
        return of_path(days.totals() + cohorts(days.totals(), day))

    def whole(self, day: int) -> Sums:
        """The same, made of what the profiles say now."""
        now, profiles = Now(self.day, WINDOW, self.partition.rules), profiles_of(self.partition)
        return value_at([entry for key in profiles for entry in path(key.decode(), profiles[key], now)], day, WINDOW)

    def right(self, day: int) -> Sums:
        """The same by the offline functions, of the history that a consumer holds."""
        sums: Sums = Counter()
        for changes in self.changes.values():
            walked(standing_moves(changes), None, self.partition.rules.plan, day, WINDOW, sums)
        return without_zero(sums)


def profiles_of(partition: Partition) -> dict[bytes, Profile]:
    """All profiles, encoded and decoded or not."""
    found = {key: decode(value) for key, value in partition.stored.items()}
    return found | partition.dirty


def of_path(sums: Sums) -> Sums:
    """The sums that the path makes."""
    names = ("stage_counts", "transitions", "funnel", "cohort_size", "cohort_kept")
    return without_zero({key: n for key, n in sums.items() if key[0] in names or key[0].startswith("time_in_stage")})


@effort(200)
@given(st.one_of(arrivals(), restless()), st.booleans())
def test_live_is_offline_over_what_stands(log: list[Fact | Tick], flushed: bool) -> None:
    """After each record, as of that day and later ones: late facts, corrections, and more moves than a profile keeps."""
    counted = Counted()
    for item in log:
        counted.take(item)
        if flushed:
            counted.partition.checkpoint()
        for later in LATER if item is log[-1] else (0, 30):
            day = counted.day + later
            assert counted.live(day) == counted.whole(day) == counted.right(day)


@effort(60)
@given(st.lists(restless(), min_size=1, max_size=5))
def test_years_of_unrest_are_counted(logs: list[list[Fact | Tick]]) -> None:
    """However far the path goes back: what no window asks for is let go of, and cohorts end after two years."""
    counted, shift = Counted(), 0
    for n, log in enumerate(logs):
        for item in log:
            counted.take(moved(item, shift, n))
        shift += 450 * DAY
        for later in LATER:
            day = counted.day + later
            assert counted.live(day) == counted.whole(day) == counted.right(day)
    for profile in profiles_of(counted.partition).values():
        # it is looked at when the path changes: by then the clock stands where the log before ended
        old = [at for at, _ in profile.walked if at <= end_of_day(counted.day - 1300)]
        assert len(old) <= 1


def moved(item: Fact | Tick, by: int, n: int) -> Fact | Tick:
    """The same in another year."""
    if isinstance(item, Tick):
        return Tick(item.time + by)
    more = {"order_id": f"{item.order_id}.{n}"} if hasattr(item, "order_id") else {}
    return replace(item, time=item.time + by, id=f"{item.id}.{n}", **more)


@effort(60)
@given(
    st.lists(facts(6, "c1"), min_size=1, max_size=1),
    facts(6, "anon:b"),
    facts(3, "anon:c", ("visit", "lead")),
    st.booleans(),
)
def test_live_in_order_of_time_is_what_files_say(
    ann: list[list[Fact]], bob: list[Fact], visitor: list[Fact], told: bool
) -> None:
    """Customers, and visitors without a name who are forgotten in the end: the KPIs of the same facts in files."""
    rules = COUNTED._replace(announce_anonymous=told, link=False)
    history = [*ann[0], *renamed(bob, "b"), *renamed(visitor, "c")]
    counted = Counted(rules)
    for fact in sorted(history, key=lambda one: (one.time, one.source, one.id)):
        counted.take(fact)
    newest = day_of(max(fact.time for fact in history))
    for day in (newest, newest + 1, newest + 40, newest + 200):
        # all that silence brings by the end of the day has come about; the next day has begun
        counted.take(Tick((day + 1) * DAY))
        assert counted.live(day + 1) == counted.whole(day + 1)
        live = counted.whole(day)
        found = found_in(history, rules, whole_days(day, WINDOW))
        assert of_path(without_spread(live)) == of_path(found.sums)
        for (name, stage), right in found.spreads.items():
            if name == "time_in_stage":
                assert mean(name, (stage,), live) == right.mean
                assert live["time_in_stage_count", stage] == right.n


def without_spread(sums: Sums) -> Sums:
    """The sums but those of single values."""
    return Counter({key: n for key, n in sums.items() if not key[0].startswith("time_in_stage_")})


def renamed(history: Iterable[Fact], mark: str) -> list[Fact]:
    """The same events under ids of their own."""
    return [
        replace(one, id=one.id + mark, **({"order_id": one.order_id + mark} if hasattr(one, "order_id") else {}))
        for one in history
    ]


@effort(200)
@given(st.sampled_from(sorted(LADDERS)), st.integers(0, 1 << 40))
def test_quantiles_are_at_most_a_quarter_off(name: str, seed: int) -> None:
    """Between the least bound and the greatest, whatever the values; of an even number the lower of the two in the middle."""
    draw = Random(seed)
    bounds = LADDERS[name]
    values = sorted(
        round(max(1, bounds[0]) * (bounds[-1] / max(1, bounds[0])) ** draw.random()) for _ in range(draw.randint(1, 40))
    )
    sums: Sums = Counter()
    add_spreads([(name, "x", value) for value in values], sums)
    right = summary(values, len(values))
    assert mean(name, ("x",), sums) == right.mean
    for share, value in ((Fraction(1, 2), values[(len(values) - 1) // 2]), (Fraction(9, 10), right.p90)):
        found = quantile(share, name, ("x",), sums)
        assert value * 0.8 - 1 <= found <= value * 1.25 + 1


def test_bounds_rise_and_meet_their_values() -> None:
    """Each bound holds what equals it, and the next what is above; what is above all has one of its own."""
    for name, bounds in LADDERS.items():
        assert list(bounds) == sorted(set(bounds))
        whole = [bound for bound in bounds if isinstance(bound, int)]
        assert [bound_of(name, bound) for bound in whole] == [str(bound) for bound in whole]
        assert bound_of(name, whole[-1] + 1) == bounds_of(name)[-1] == "+Inf"
        assert bound_of(name, -5) == str(bounds[0])


def test_short_stays_and_replies_are_within_the_bounds() -> None:
    """From a second on, as the page of metrics says."""
    assert {name: LADDERS[name][0] for name in ("time_in_stage", "response_time", "resolution_time", "clv_1")} == {
        "time_in_stage": 1000, "response_time": 1000, "resolution_time": 10_000, "clv_1": 10,
    }  # fmt: skip
    for name, seconds in (("time_in_stage", 60), ("time_in_stage", 2), ("response_time", 2)):
        sums: Sums = Counter()
        add_spreads([(name, "x", 1000 * seconds)] * 9, sums)
        assert 800 * seconds <= quantile(Fraction(1, 2), name, ("x",), sums) <= 1250 * seconds


def test_a_value_is_taken_back_whole() -> None:
    """What was counted of a single value goes with the same value less once; a level stays one."""
    there, gone = spread(LEVEL + "clv_1", ("EUR",), 1234, 5), spread(LEVEL + "clv_1", ("EUR",), 1234, 9, -1)
    assert value_at([*there, *gone], 9, 1) == {}
    assert value_at([*there, *gone], 8, 1)["clv_1_sum", "EUR"] == 1234


def test_a_visitor_without_a_name_stands_but_does_not_move() -> None:
    """They are counted where they stand and as far as they stand, make no transition, and leave no trace when forgotten."""
    counted = Counted()
    counted.take(WebVisit(time=START, source="web", id="v", url="/", anonymous_id="a"))
    day = day_of(START)
    assert counted.live(day) == {("stage_counts", "reach"): 1, ("funnel", "reach"): 1}
    counted.take(Tick(START + 31 * DAY))
    assert counted.live(day + 31) == {}


def test_a_move_counts_in_its_day_and_the_stay_at_its_end() -> None:
    """A purchase, and 90 days later silence: each move while it is in the window, the stay once it has ended."""
    counted = Counted()
    counted.take(OrderCompleted(time=START, source="shop", id="o", order_id="o", customer_id="ann", currency="EUR", total_minor=1, net_minor=1))  # fmt: skip
    counted.take(Tick(START + 100 * DAY))
    live = counted.live(day_of(START) + 100)
    assert live["transitions", "conversion", "at_risk"] == 1
    assert live["time_in_stage_sum", "conversion"] == 90 * DAY
    assert ("transitions", "none", "conversion") not in live
    assert live["cohort_kept", "2024-02", "02"] == 1


STAGES = (None, "reach", "conversion", "loyalty", "at_risk")


@effort(300)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(STAGES)), max_size=6),
    st.integers(0, 6),
    st.booleans(),
    st.booleans(),
)
def test_what_comes_behind_a_path_is_the_difference(steps: list[tuple[int, str | None]], known: int, older: bool, hidden: bool) -> None:  # fmt: skip
    """Whatever was before, two moves of one instant included, of which the latter holds: as much as the path says after less before."""
    at, moves = START, list[Move]()
    for n, (days, stage) in enumerate(steps):
        # what comes behind it comes later, and one after the other
        at += (max(days, 1) if n >= known else days) * 20 * DAY
        moves.append(Move(at, stage, len(moves), b"" if hidden else b"id"))
    key, now = "anon:v" if hidden else "ann", Now(day_of(START) + 500, WINDOW, COUNTED)
    before = {"retention": (START - 40 * DAY, 1, 5)} if older else {}
    profile = Profile(moves=moves[:known], before=before)
    told, was = path(key, profile, now), path_before(profile)
    profile.moves += moves[known:]
    told += path_after(was, key, profile, now)
    for day in range(now.day - 500, now.day, 10):
        assert value_at(told, day, WINDOW) == value_at(path(key, profile, now), day, WINDOW)
