"""Live KPIs of what persons do against the offline functions: on each day what `kpi_contribute` says of the same facts."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from lifestage.cause import Rules
from lifestage.fact import Fact
from lifestage.kpi_days import Days, Entries, day_of
from lifestage.kpi_kept import Kept
from lifestage.kpi_live import Now
from lifestage.kpi_live_persons import GROUPS, HOT, TOUCHED
from lifestage.kpi_live_visits import leads
from lifestage.kpi_note import brings, note
from lifestage.kpi_unite import all_united, cut, unite
from lifestage.kpi_visit import forget_active
from lifestage.moments import DAY_MS
from lifestage.profile import Profile, decode, encode
from tests.core.effort import effort
from tests.core.kpi_live_facts import START, WINDOWS, accept, any_facts, days_of, offline, renamed, rules_of
from tests.core.kpi_live_sums import value_at

LEAST = (None, (600, "EUR"))


def noted(told: list[Fact], now: Now) -> Profile:
    """A profile that has accepted these facts."""
    profile = Profile()
    for fact in told:
        if accept(profile, fact, now.rules):
            note(profile, fact, now)
    return profile


def all_of(profile: Profile, now: Now) -> Entries:
    """What all groups say."""
    return [entry for group in GROUPS for entry in group("c", profile, now)]


def agree(entries: Entries, told: list[Fact], rules: Rules, since: int) -> None:
    """On each day from one on the entries come to what the offline functions say."""
    for day in days_of(told, rules, since):
        assert value_at(entries, day, rules.window) == offline(told, day, rules), day


@effort(800)
@given(st.integers(0, 1 << 40), st.sampled_from(WINDOWS), st.sampled_from(LEAST), st.sampled_from((-1, 0, 3, 30, 100)))
def test_each_day_says_what_the_offline_functions_say(
    seed: int, window: int, least: tuple[int, str] | None, today: int
) -> None:
    """Whatever a person does, in any order of arrival; from the present day on, whichever that is."""
    rules, told = rules_of(window, least), any_facts(Random(seed), 40)
    now = Now(START + today, window, rules)
    agree(all_of(decode(encode(noted(told, now))), now), told, rules, now.day)


@effort(800)
@given(st.integers(0, 1 << 40), st.sampled_from(WINDOWS), st.sampled_from(LEAST))
def test_fact_by_fact_comes_to_the_same(seed: int, window: int, least: tuple[int, str] | None) -> None:
    """Of each fact what it touches is taken back and counted anew, visits and messages by themselves, while days pass."""
    draw, rules = Random(seed), rules_of(window, least)
    told, day, profile = any_facts(draw, 40), START - 1, Profile()
    days = Days(window, day)
    for fact in told:
        day += draw.choice((0, 0, 0, 0, 1, 5))
        days.turn(day)
        now = Now(day, window, rules)
        step(profile, fact, now, days)
    for at in days_of(told, rules, day):
        days.turn(at)
        assert days.totals() == offline(told, at, rules), at


def step(profile: Profile, fact: Fact, now: Now, days: Days) -> None:
    """One fact comes: as a partition does it."""
    groups = TOUCHED.get(type(fact), ())
    if brings(profile, fact) and leads not in groups:
        groups = (*groups, leads)
    before = [entry for group in groups for entry in group("c", profile, now)]
    forget_active(profile)
    if not accept(profile, fact, now.rules):
        return
    hot = HOT.get(type(fact))
    if hot is None or not hot("c", profile, fact, now, days):
        note(profile, fact, now)
        days.add(before, -1)
        days.add([entry for group in groups for entry in group("c", profile, now)])


@effort(300)
@given(st.integers(0, 1 << 40), st.sampled_from(WINDOWS))
def test_the_order_of_arrival_makes_no_difference(seed: int, window: int) -> None:
    """The same facts in another order, and in two sets that have some of them in common, are the same, byte by byte."""
    draw = Random(seed)
    now = Now(START, window, rules_of(window))
    told = [fact for fact in any_facts(draw, 30) if not type(fact).__name__.startswith("Order")]
    whole = united(noted(told, now))
    again = draw.sample(told, len(told))
    assert united(noted(again, now)) == whole
    sides = [[fact for fact in again if draw.random() < 0.6] for _ in range(2)]
    sides[1] += [fact for fact in told if fact not in sides[0] and fact not in sides[1]]
    one, other = (noted(side, now) for side in sides)
    if one.kpi is not None and other.kpi is not None:
        both = Profile(kpi=unite(one.kpi, other.kpi))
        assert united(both) == whole
        assert unite(other.kpi, one.kpi) == unite(one.kpi, other.kpi)


@effort(600)
@given(st.integers(0, 1 << 40), st.sampled_from(WINDOWS), st.sampled_from((0, 1, 7)))
def test_what_is_let_go_is_not_missed(seed: int, window: int, lateness: int) -> None:
    """While days pass and nothing comes later than is allowed, in one set of facts or in two that are united in the end; then of
    things that are heard of again within 25 days."""
    draw, rules = Random(seed), rules_of(window, None, lateness * DAY_MS)
    told = any_facts(draw, 60)
    united = draw.random() < 0.5
    if united:
        told = [renamed(fact, 25) for fact in told]
        # what came first of one millisecond is not kept for ever
        told = [*{fact.time: fact for fact in told}.values()]
    coming = sorted(told, key=lambda fact: (fact.time + draw.randrange(lateness + 1) * DAY_MS, fact.id))
    day, profile, sides = START - 1, Profile(), (Profile(), Profile())
    days = Days(window, day)
    for n, fact in enumerate(coming):
        allowed = day_of(min(one.time for one in coming[n:])) + lateness
        day = max(day, allowed - draw.choice((0, 0, 0, 1, 30)))
        days.turn(day)
        now = Now(day, window, rules)
        step(profile, fact, now, days)
        side = sides[draw.randrange(2)]
        if accept(side, fact, rules):
            note(side, fact, now)
        for one in (profile, *sides):
            if one.kpi is not None and draw.random() < 0.3:
                cut(one.kpi, day - lateness)
    now = Now(day, window, rules)
    entries = all_of(profile, now)
    joint = Profile(
        orders=profile.orders,
        subscriptions=profile.subscriptions,
        kpi=all_united([side.kpi for side in sides if side.kpi]),
    )
    from_two = all_of(joint, now)
    for at in days_of(told, rules, day):
        days.turn(at)
        right = offline(told, at, rules)
        assert days.totals() == right, at
        assert value_at(entries, at, window) == right, at
        assert not united or value_at(from_two, at, window) == right, at


def united(profile: Profile) -> Kept | None:
    """What is kept in an order that does not depend on when it came."""
    return None if profile.kpi is None else unite(profile.kpi, profile.kpi)
