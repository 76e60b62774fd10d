"""Which acts under one name are one thing's: neighbours in time that lie no further apart than the window and 30 days."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import facts as f
from lifestage.fact import Fact
from lifestage.kpi_kept import Kept
from lifestage.kpi_live import Now
from lifestage.kpi_note import note
from lifestage.kpi_runs import Renaming
from lifestage.kpi_unite import CARTS, LEADS, MESSAGES, SESSIONS, TICKETS, cut, unite
from lifestage.moments import DAY_MS
from lifestage.profile import Profile
from tests.core.effort import effort
from tests.core.kpi_live_facts import START, accept, rules_of

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
    left = [run for run in things(days) if run[1] + LIMIT >= at]
    assert (runs(kept) if kept.rest is not None else [[]] * 5) == [left] * 5


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
