"""Live KPIs of what persons do, on examples that can be computed by hand."""

from __future__ import annotations

from typing import Any

from lifestage import facts as f
from lifestage.fact import Context, Fact
from lifestage.kpi_days import Days
from lifestage.kpi_live import Now
from lifestage.moments import DAY_MS
from lifestage.profile import Profile
from tests.core.kpi_live_facts import HOUR, START, rules_of
from tests.core.test_kpi_live_persons import step

WINDOW = 7
RULES = rules_of(WINDOW)


def at(day: float, n: int) -> dict[str, Any]:
    """What a fact has so many days after the start."""
    return {"time": START * DAY_MS + int(day * DAY_MS), "source": "shop", "id": f"e{n}", "customer_id": "ann"}


def by_day(told: list[Fact], name: tuple[str, ...], days: int) -> list[int]:
    """What a sum comes to on each of so many days."""
    profile, sums = Profile(), Days(WINDOW, START)
    for fact in told:
        step(profile, fact, Now(START, WINDOW, RULES), sums)
    found = []
    for day in range(START, START + days):
        sums.turn(day)
        found.append(sums.totals()[name])
    return found


def test_a_session_over_midnight_leaves_the_window_as_one() -> None:
    """Its pages of the second day came a day later, and go with it."""
    told: list[Fact] = [
        f.WebVisit(url="/", session_id="s", pages=2, **at(0.99, 1)), f.WebVisit(url="/", session_id="s", pages=3, **at(1.01, 2)),
    ]  # fmt: skip
    assert by_day(told, ("sessions",), 9) == [1] * 7 + [0, 0]
    assert by_day(told, ("pages",), 9) == [2] + [5] * 6 + [0, 0]
    assert by_day(told, ("visitors",), 9) == [1] * 8 + [0]
    assert by_day(told[::-1], ("pages",), 9) == [2] + [5] * 6 + [0, 0]


def test_what_became_of_a_message_counts_with_its_delivery() -> None:
    """Opened three days later, it is an opened one for four days."""
    told: list[Fact] = [
        f.EmailEvent(message_id="m", event=event, **at(day, n))
        for n, (event, day) in enumerate((("sent", 0), ("delivered", 0), ("opened", 3), ("opened", 5)))
    ]
    assert by_day(told, ("messages_delivered", "email"), 8) == [1] * 7 + [0]
    assert by_day(told, ("messages_delivered_of_sent", "email"), 8) == [1] * 7 + [0]
    assert by_day(told, ("messages_opened", "email"), 8) == [0, 0, 0, 1, 1, 1, 1, 0]


def test_a_checkout_that_goes_back_has_come_as_far_as_it_came() -> None:
    """Step 4, then 2, then 5: each step once, from the day on which it was reached."""
    told: list[Fact] = [
        f.CheckoutStep(cart_id="k", step=step, **at(day, day)) for day, step in enumerate(("4", "2", "5"))
    ]
    assert by_day(told, ("carts_at_step", "3"), 8) == [1] * 7 + [0]
    assert by_day(told, ("carts_past_step", "4"), 8) == [0, 0, 1, 1, 1, 1, 1, 0]


def test_a_cart_is_abandoned_once_its_day_is_truly_over() -> None:
    """24 h after the last act, and not on the day on which they end; ordered in time it is one that was ordered."""
    cart = f.CartUpdated(cart_id="k", **at(0, 1))
    order = f.OrderCompleted(order_id="o", currency="EUR", total_minor=5, net_minor=5, **at(1, 2))
    assert by_day([cart], ("carts_abandoned",), 8) == [0, 0, 1, 1, 1, 1, 1, 0]
    assert by_day([cart, order], ("carts",), 8) == [0, 1, 1, 1, 1, 1, 1, 0]
    assert by_day([order, cart], ("carts_abandoned",), 8) == [0] * 8
    late = f.OrderCompleted(order_id="o", currency="EUR", total_minor=5, net_minor=5, **at(1 + 1 / DAY_MS, 2))
    assert by_day([cart, late], ("carts_abandoned",), 8) == [0, 0, 1, 1, 1, 1, 1, 0]


def test_acts_count_while_the_person_is_active() -> None:
    """A session begun before the first order counts from that on."""
    visit = f.WebVisit(url="/", session_id="s", **at(0, 1))
    order = f.OrderCompleted(order_id="o", currency="EUR", total_minor=5, net_minor=5, **at(2, 2))
    gone = f.OrderCancelled(order_id="o", **at(4, 3))
    assert by_day([visit, order], ("acts_of_active",), 8) == [0, 0, 1, 1, 1, 1, 1, 0]
    assert by_day([order, gone, visit], ("acts_of_active",), 8) == [0, 0, 1, 1, 0, 0, 0, 0]


def test_leads_go_to_the_channel_that_was_known_on_the_day() -> None:
    """A visit by a channel that comes after the lead names it from its day on; one before it from the beginning."""
    lead = f.LeadCaptured(lead_id="l", form="f", **at(0, 1))
    visit = f.WebVisit(url="/", context=Context(medium="cpc"), **at(2, 2))
    assert by_day([lead, visit], ("leads/channel", "direct"), 8) == [1, 1, 0, 0, 0, 0, 0, 0]
    assert by_day([lead, visit], ("leads/channel", "cpc"), 8) == [0, 0, 1, 1, 1, 1, 1, 0]
    assert by_day([visit, lead], ("visitors_who_became_leads",), 8) == [0, 0, 1, 1, 1, 1, 1, 0]


def test_a_reply_before_the_ticket_is_none() -> None:
    """The first by an agent after the creation counts, also where that is heard of last; the time is that between both."""
    created = f.TicketCreated(ticket_id="i", **at(0, 1))
    early = f.TicketReplied(ticket_id="i", by="agent", **at(-HOUR / DAY_MS, 2))
    replies = [f.TicketReplied(ticket_id="i", by="agent", **at(hours * HOUR / DAY_MS, hours)) for hours in (3, 5)]
    assert by_day([*replies, early, created], ("response_time_sum",), 8) == [3 * HOUR] * 7 + [0]
    assert by_day([early, created], ("response_time_count",), 8) == [0] * 8
