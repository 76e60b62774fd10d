"""Corners that random histories rarely come to, each of which was wrong once."""

from __future__ import annotations

from typing import Any

import pytest

from config.plan_files import sheet_of
from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.facts import (
    AccountCreated,
    AdImpression,
    ConsentChanged,
    CostRecorded,
    Fact,
    OrderCompleted,
    ProfileUpdated,
    SocialEngagement,
    WebVisit,
)
from lifestage.language import parse
from lifestage.moments import MAX_MS, iso
from lifestage.plan import Compiled
from lifestage.replay import replay
from tests.core.histories import (
    RULES,
    START,
    Tick,
    at_day,
    cancel,
    order,
    partition,
    record,
    records,
    refund,
    standing_moves,
    visit,
)
from tests.core.oracle import DAY


def rules(text: str) -> Rules:
    """The rules of a plan in a few lines."""
    return Rules(Compiled(parse(f"plan p version 1\n{text}")))


def live(items: list[Fact | Tick], given: Rules) -> list[Announced]:
    """The changes of facts and ticks in their order of arrival."""
    return partition(given).fold(records(items))


def common(day: float, id: str, **who: str) -> dict[str, Any]:
    """What a fact of a day has, of customer c1 unless said otherwise."""
    return {"time": START + round(day * DAY), "source": "shop", "id": id, **(who or {"customer_id": "c1"})}


def test_the_last_instant_there_is_has_no_timer_after_it() -> None:
    """An order on the last day of the year 9999 is announced; what would be due in the year 10,000 is not."""
    late = OrderCompleted(time=MAX_MS, source="s", id="e", customer_id="c1", order_id="o", currency="EUR", total_minor=1, net_minor=1)  # fmt: skip
    (change,) = replay([late], RULES).changes
    assert (change.data.entered_at, change.data.next_due_at) == (iso(MAX_MS), None)


@pytest.mark.parametrize("plan", ["aida", "clm7", "saas", "hubspot8"])
def test_no_plan_makes_a_customer_of_the_company(plan: str) -> None:
    """Impressions, costs and social acts of nobody are counted and give no stage, whatever the plan asks; costs however late."""
    given = RULES._replace(plan=Compiled(sheet_of(plan).plan))
    share = SocialEngagement(time=START, source="ads", id="s", campaign_id="c", kind="share")
    shown = AdImpression(time=START, source="ads", id="i", campaign_id="c")
    cost = CostRecorded(time=START - 40 * DAY, source="ads", id="k", cost_id="k", amount_minor=1, currency="EUR", category="sales", period_start=0, period_end=1)  # fmt: skip
    made = partition(given)
    changes = made.fold(records([share, shown, at_day(1), cost, at_day(500)]))
    assert changes == replay([share, shown, cost], given, START + 500 * DAY).changes == []
    assert made.marker.population == {}
    assert [counts["accepted"] for counts in made.marker.accounts["ads"].values()] == [1, 1, 1]


def test_a_plan_of_absence_makes_no_customer_of_the_company() -> None:
    """Also where a stage holds for whoever did nothing."""
    given = rules("stage known rank 2\n    when visits >= 1\nstage nobody rank 1\n    when not customer")
    assert live([AdImpression(time=START, source="ads", id="i", campaign_id="c")], given) == []


def test_what_a_fallen_order_brought_ages_too() -> None:
    """An order refunded in full whose net was above what was paid still brings the rest, until its window ends."""
    given = rules(
        "stage big rank 2\n    when net_revenue in 30d >= 30.00 EUR\nstage known rank 1\n    when not visits >= 1"
    )
    bought = OrderCompleted(order_id="o", currency="EUR", total_minor=1000, net_minor=5000, **common(0, "a"))
    items: list[Fact | Tick] = [bought, refund(1, "b", "o", 1000), at_day(60)]
    expected = [(START, "big"), (START + 30 * DAY, "known")]
    assert standing_moves(live(items, given)) == expected
    assert standing_moves(replay(items[:2], given, START + 60 * DAY).changes) == expected  # type: ignore[arg-type]


def test_the_last_of_many_is_the_last_whatever_comes_late() -> None:
    """Of instants that are no longer kept the last still counts when an older act is amended in."""
    given = rules("stage old rank 2\n    when since_last_signup >= 10d\nstage fresh rank 1\n    when signups >= 1")
    created: list[Fact | Tick] = [AccountCreated(**common(n / 10, f"a{n:02}", customer_id="c1", account_id=f"k{n}")) for n in range(27)]  # fmt: skip
    late = AccountCreated(**common(0.05, "z", customer_id="c1", account_id="kz"))
    items = [
        *created,
        at_day(10),
        AccountCreated(**common(9.9, "y", customer_id="c1", account_id="ky")),
        at_day(19),
        late,
    ]
    assert standing_moves(live([*items, at_day(19.5)], given)) == [(START, "fresh")]


def test_what_was_amended_too_late_stays_where_it_took_effect() -> None:
    """A late visit after an amendment of the present announces nothing: the announced past stays as it was."""
    items: list[Fact | Tick] = [visit(0, "v0"), at_day(50), order(30, "o", "o1"), visit(45, "v1"), visit(44, "v2")]
    told = live(items, RULES)
    assert [(c.data.kind, c.data.stage, c.data.entered_at) for c in told] == [
        ("entry", "reach", iso(START)),
        ("correction", "conversion", iso(START + 50 * DAY - 1)),
    ]


def test_an_amendment_that_changes_nothing_since_leaves_late_facts_exact() -> None:
    """A refund of a part, far too late, does not keep a late order from its own instant."""
    items: list[Fact | Tick] = [
        order(0, "a", "o1"),
        at_day(50),
        refund(1, "r", "o1", 1),
        order(48, "b", "o2"),
        at_day(51),
    ]
    assert standing_moves(live(items, RULES)) == [(START, "conversion"), (START + 48 * DAY, "retention")]


def test_grace_holds_for_late_facts_too() -> None:
    """Within the grace neither an older visit nor an older act brings a timer forward, and an order there costs no correction."""
    given = RULES._replace(plan=Compiled(parse(_clm5_with_grace())))
    quiet: list[Fact | Tick] = [order(0, "a", "o1"), at_day(91), visit(89.5, "v"), order(89.9, "b", "o2"), at_day(96)]
    assert [c.data.kind for c in live(quiet, given)] == ["entry", "advance"]
    acts: list[Fact | Tick] = [order(0, "a", "o1"), at_day(91), AccountCreated(**common(20, "k", customer_id="c1", account_id="k")), at_day(96)]  # fmt: skip
    assert [(c.data.kind, c.data.entered_at) for c in live(acts, given)] == [
        ("entry", iso(START)),
        ("at_risk", iso(START + 90 * DAY)),
    ]


def _clm5_with_grace() -> str:
    from tests.core.plan_samples import CLM5_TEXT

    return CLM5_TEXT.replace("grace 0d", "grace 5d")


def test_the_last_activity_is_told_exactly_between_others() -> None:
    """A change that comes late between two visits tells how long ago the earlier one was, to the second."""
    known = ConsentChanged(purposes={"marketing": True}, **common(4, "k", customer_id="c1", email="email:" + "0" * 32))
    (_, told) = live([visit(0, "a"), visit(6, "b"), known], RULES)
    assert (told.data.stage, told.data.entered_at) == ("acquisition", iso(START + 4 * DAY))
    assert [one.value for one in told.data.evidence.ruled_out if one.name == "since_last_activity"] == [4 * 86_400]


def test_to_no_stage_is_down_and_names_what_brought_it() -> None:
    """Who falls off the plan by a cancellation goes there by a reversal, that event its trigger; by time, by a demotion."""
    given = rules("stage at_risk\n    when standing_orders >= 1 and since_last_order >= 90d\n    entering is at_risk\n    leaving is recovery\nstage buyer rank 1\n    when standing_orders >= 1 and since_last_order < 200d")  # fmt: skip
    for told in (
        live([order(0, "a", "o1"), cancel(4, "b", "o1"), at_day(9)], given),
        replay([order(0, "a", "o1"), cancel(4, "b", "o1")], given).changes,
    ):
        last = told[-1]
        assert (last.data.stage, last.data.kind, last.data.direction) == (None, "reversal", "backward")
        assert (last.data.trigger.type, last.data.trigger.event_id, last.causationid) == ("event", "b", "b")
    faded = rules("stage warm rank 1\n    when visits in 3d >= 1")
    (_, last) = live([visit(0, "a"), at_day(9)], faded)
    assert (last.data.stage, last.data.kind, last.data.trigger.type) == (None, "demotion", "timer")


def test_a_trait_taken_back_is_the_doing_of_its_event() -> None:
    """Nothing was due: a move into no stage at that instant is told as the event's."""
    given = rules('stage deal rank 1\n    when trait.deal == "open"')
    opened, closed = (ProfileUpdated(traits={"deal": value}, **common(day, id)) for day, id, value in ((0, "a", "open"), (1, "b", None)))  # fmt: skip
    (_, last) = live([opened, closed], given)
    assert (last.data.stage, last.data.kind, last.data.trigger.event_id) == (None, "demotion", "b")


def test_a_visitor_who_is_past_forgetting_goes_with_the_next_tick() -> None:
    """An act that comes after its visitor's silence is over does not keep the visitor for ever."""
    made = partition()
    anonymous = {"anonymous_id": "x"}
    first = WebVisit(url="/", **common(0, "v", **anonymous))
    late = AccountCreated(**common(1, "k", account_id="k", **anonymous))
    made.fold([record(0, first), record(1, at_day(60)), record(2, late), record(3, at_day(61))])
    assert (made.marker.forgotten, sum(made.marker.population.values())) == (2, 0)


def test_an_id_counts_as_seen_for_the_lateness_only() -> None:
    """The same id 40 days later is another event, live and in files; 3 days later it is a duplicate."""
    for day, outcome in ((40, 2), (3, 1)):
        facts = [visit(0, "v"), visit(day, "v")]
        made = partition()
        made.fold(records([facts[0], at_day(day), facts[1]]))
        assert made.marker.accounts["shop"]["web.visit"]["accepted"] == outcome
        assert replay(facts, RULES).outcomes["accepted"] == outcome
