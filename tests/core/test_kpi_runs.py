"""Which acts under one name are one thing's: neighbours in time that lie no further apart than the window and 30 days."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import facts as f
from lifestage import kpi_unite
from lifestage.fact import Fact
from lifestage.kpi_kept import Kept
from lifestage.kpi_live import Now
from lifestage.kpi_live_persons import GROUPS
from lifestage.kpi_note import note
from lifestage.kpi_runs import SPARE_DAYS, Renaming
from lifestage.kpi_unite import CARTS, LEADS, MESSAGES, SESSIONS, TICKETS, all_united, cut, unite
from lifestage.moments import DAY_MS
from lifestage.profile import Profile
from tests.core.effort import effort
from tests.core.kpi_live_facts import START, accept, rules_of
from tests.core.kpi_live_sums import value_at

WINDOW, LIMIT = 7, 37
RULES = rules_of(WINDOW)
Days = list[int]


def acts(day: int, n: int) -> list[Fact]:
    """An act of each kind on a day, all under one name."""
    who: dict[str, Any] = {"time": (START + day) * DAY_MS + n, "source": "web", "customer_id": "c"}
    return [
        f.WebVisit(url="/", session_id="x", id=f"s{n}", **who),
        f.EmailEvent(message_id="x", event="opened", id=f"m{n}", **who),
        f.LeadCaptured(lead_id="x", form="f", id=f"l{n}", **who),
        f.CartUpdated(cart_id="x", id=f"k{n}", **who),
        f.TicketReplied(ticket_id="x", by="customer", id=f"i{n}", **who),
    ]


def noted(days: Days) -> Kept:
    """What is kept of who did all of it on these days, in this order."""
    profile = Profile()
    for day in days:
        for fact in acts(day, day):
            assert accept(profile, fact, RULES)
            note(profile, fact, Now(START + 1000, WINDOW, RULES))
    assert profile.kpi is not None
    return profile.kpi


def runs(kept: Kept) -> list[list[tuple[int, int]]]:
    """First and last day of each thing by kind, the newest first."""
    rest = kept.rest
    assert rest is not None
    found = [
        [SESSIONS.days(one) for _, one in sorted(kept.sessions.items())],
        [MESSAGES.days(one) for _, one in sorted(kept.messages.items())],
        [LEADS.days(one) for _, one in sorted(rest.leads.items())],
        [CARTS.days(one) for _, one in sorted(rest.carts.items())],
        [TICKETS.days(one) for _, one in sorted(rest.tickets.items())],
    ]
    return [[(first - START, last - START) for first, last in kind] for kind in found]


def things(days: Days) -> list[tuple[int, int]]:
    """What the rule says, the newest first."""
    found: list[tuple[int, int]] = []
    for day in sorted(days):
        if found and day - found[-1][1] <= LIMIT:
            found[-1] = found[-1][0], day
        else:
            found.append((day, day))
    return found[::-1]


@effort(300)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=12, unique=True), st.integers(0, 1 << 30))
def test_neighbours_in_time_decide(days: Days, seed: int) -> None:
    """Whatever order acts come in, and in two sets that are united then: the same things, byte by byte."""
    draw = Random(seed)
    kept = noted(days)
    assert runs(kept) == [things(days)] * 5
    sides = [day for day in days if draw.random() < 0.6], days
    both = unite(noted(sides[0]), noted(sides[1])) if sides[0] else unite(kept, kept)
    assert runs(both) == [things(days)] * 5
    assert unite(noted(draw.sample(days, len(days))), kept) == unite(kept, kept)


@effort(100)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=12, unique=True), st.integers(0, 500))
def test_what_is_let_go_is_no_part_of_what_comes(days: Days, at: int) -> None:
    """It makes no difference to which things there are of the days since whether what is old was looked for before."""
    kept = noted(days)
    cut(kept, START + at)
    left = [run for run in things(days) if run[1] + LIMIT + WINDOW >= at]
    assert (runs(kept) if kept.rest is not None else [[]] * 5) == [left] * 5


def sums_of(sides: list[Kept], day: int) -> dict[tuple[str, ...], int]:
    """What who is all of these adds on a day."""
    now, whole = Now(START + day, WINDOW, RULES), Profile(kpi=all_united(sides))
    return value_at([entry for group in GROUPS for entry in group("c", whole, now)], now.day, WINDOW)


def differs(seed: int) -> bool:
    """Whether two sets that were silent at times and are united then say something else where what is old was let go before."""
    draw = Random(seed)
    days, day = list[int](), 0
    for _ in range(draw.randrange(2, 9)):
        day += draw.choice((1, 2, WINDOW, LIMIT - 1, LIMIT, LIMIT, LIMIT + 1))
        days.append(day)
    whose = [draw.randrange(2) for _ in days]
    sides = [[day for day, side in zip(days, whose, strict=True) if side == one] for one in range(2)]
    if not all(sides):
        return False
    whole, left = [noted(side) for side in sides], [noted(side) for side in sides]
    for side, last in zip(left, (sides[0][-1], sides[1][-1]), strict=True):
        # acts come in their time, and what is old is looked for whenever one does, or later
        cut(side, START + draw.randrange(last, day + 1))
    return any(sums_of(whole, later) != sums_of(left, later) for later in (day, day + 1, day + WINDOW))


@effort(300)
@given(st.integers(0, 1 << 30))
def test_sets_that_were_silent_are_united_as_if_nothing_was_let_go(seed: int) -> None:
    """Whenever what is old was looked for in each of them."""
    assert not differs(seed)


def test_letting_go_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once no act of the own set may belong to a thing any more, another's still may."""
    assert not any(differs(seed) for seed in range(500))
    monkeypatch.setattr(kpi_unite, "silent_since", lambda window, day: day - window - SPARE_DAYS)
    assert any(differs(seed) for seed in range(500))


@pytest.mark.parametrize(("late", "count"), [((), 2), ((30,), 1), ((0, 60), 2), ((12,), 1)])
def test_a_late_act_between_two_things_makes_them_one(late: tuple[int, ...], count: int) -> None:
    """If it is near enough to both."""
    assert [len(kind) for kind in runs(noted([10, 10 + LIMIT + 1, *late]))] == [count] * 5


def test_a_recount_names_by_the_same_rule() -> None:
    """To the day: the third of these is another thing, of which the fourth is a part; acts of bots and machines are none."""
    days = [0, LIMIT, 2 * LIMIT + 1, 2 * LIMIT + 2]
    renaming = Renaming(WINDOW)
    named = [{str(getattr(told, field)) for told, field in zip(map(renaming.told, acts(day, day)), FIELDS, strict=True)} for day in days]  # fmt: skip
    assert named[0] == named[1] == {"x"}
    assert named[2] == named[3]
    assert len(named[2]) == 1
    assert named[2] != named[0]
    of_bots = Renaming(WINDOW)
    told = [f.WebVisit(url="/", session_id="x", id=str(day), time=day * DAY_MS, source="w", customer_id="c", bot=day == 30) for day in (0, 30, 60)]  # fmt: skip
    assert [of_bots.told(fact) == fact for fact in told] == [True, True, False]


FIELDS = ("session_id", "message_id", "lead_id", "cart_id", "ticket_id")
