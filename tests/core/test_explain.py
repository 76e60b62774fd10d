"""Why a customer is where they are, and why not further: the very words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from config.plan_files import sheet_of, shipped
from lifestage.cause import Rules
from lifestage.explain import explain
from lifestage.explain_text import LINES_MAX, told
from lifestage.explain_words import difference_text, length, value_text
from lifestage.facts import Fact, SubscriptionCancelled, SubscriptionChanged, SubscriptionStarted, TrialStarted
from lifestage.operands import OPERANDS
from lifestage.plan import All, Compare, Compiled, Plan, Stage
from tests.core.histories import RULES, START, cancel, order, visit
from tests.core.oracle import DAY

PLAN = Plan(
    "shop",
    1,
    (
        Stage(
            "churned", None, All((Compare("standing_orders", ">=", 1), Compare("since_last_order", ">=", 180 * DAY)))
        ),
        Stage("at_risk", None, All((Compare("standing_orders", ">=", 1), Compare("since_last_order", ">=", 90 * DAY)))),
        Stage("loyalty", 4, Compare("order_days", ">=", 3, 365 * DAY)),
        Stage("retention", 3, Compare("order_days", ">=", 2)),
        Stage("conversion", 2, Compare("standing_orders", ">=", 1)),
        Stage("reach", 1, Compare("reached", "==", 1)),
    ),
)
SHOP = Rules(Compiled(PLAN))


def sold(day: float, id: str) -> dict[str, Any]:
    """What every fact of customer c1's only subscription has."""
    return {"time": START + round(day * DAY), "source": "shop", "id": id, "customer_id": "c1", "subscription_id": "s"}


def text(facts: Sequence[Fact], day: float, rules: Rules = RULES) -> str:
    """What is told of customer c1 on a day after the start."""
    return "".join(line + "\n" for line in told(explain("c1", facts, rules, START + round(day * DAY))))


def test_a_visitor_is_told_what_each_stage_needs() -> None:
    """At reach: what rules out the stages that come before, what each higher one lacks, and when silence counts."""
    assert text([visit(0, "v1"), visit(1, "v2")], 11) == (
        "c1  is in reach since 2024-02-01T00:00:00Z\n"
        "as of 2024-02-12T00:00:00Z, plan clm5 version 1\n"
        "why here\n"
        "  reach (1)  reached\n"
        "what comes before it and does not hold\n"
        "  churned  customer: not yet\n"
        "  at_risk  customer: not yet\n"
        "  dormant  since_last_activity >= 90d: 10 d now, in 80 d, at 2024-05-02T00:00:00Z\n"
        "why not further\n"
        "  acquisition (2)  acquired: not yet\n"
        "  conversion (3)   customer: not yet\n"
        "  retention (4)    order_days >= 2: 0 now, 2 more needed\n"
        "                   or subscription_renewals >= 1: 0 now, 1 more needed\n"
        "  loyalty (5)      order_days in 365d >= 3: 0 now, 3 more needed\n"
        "                   or (order_days >= 2: 0 now, 2 more needed\n"
        "                       and (referrals_converted in 365d >= 1: 0 now, 1 more needed\n"
        "                            or nps in 180d >= 9: nothing in that time))\n"
        "next        dormant at 2024-05-02T00:00:00Z, in 80 d, if nothing happens before\n"
        "so far      2 accepted; 1 change\n"
        "  2024-02-01T00:00:00Z  web.visit v1: reached no → yes; since_last_activity never → 0\n"
        "  2024-02-01T00:00:00Z  #1 - → reach: entry by web.visit v1, because reached\n"
        "  2024-02-02T00:00:00Z  web.visit v2: since_last_activity 1 d → 0\n"
    )


def test_the_fact_that_the_next_date_counts_from_is_shown() -> None:
    """Of facts that changed only how long ago something was the newest has its line; the others are counted as that."""
    told = text([visit(day, f"v{day}") for day in (0, 10, 20, 30)], 40)
    assert "so far      4 accepted, 2 of them changed only how long ago; 1 change\n" in told
    assert told.endswith("  2024-03-02T00:00:00Z  web.visit v30: since_last_activity 10 d → 0\n")


def test_what_takes_effect_later_is_shown_where_the_plan_asks_for_it() -> None:
    """A cancellation for a later day tells nothing at its own instant, and is what the churn of that day comes from."""
    began = SubscriptionStarted(**sold(0, "1"), mrr_minor=1000, currency="EUR")
    ends = SubscriptionCancelled(**sold(20, "2"), effective_at=START + 38 * DAY)
    dearer = SubscriptionChanged(**sold(10, "3"), mrr_minor=2000, currency="EUR", effective_at=START + 30 * DAY)
    past = SubscriptionCancelled(**sold(20, "2"), effective_at=START + 15 * DAY)
    said = text([began, dearer, ends], 60)
    assert "  2024-02-21T00:00:00Z  subscription.cancelled 2: ends at 2024-03-10T00:00:00Z\n" in said
    assert "  2024-02-11T00:00:00Z  subscription.changed 3: in force at 2024-03-02T00:00:00Z\n" in said
    assert "so far      3 accepted; 2 changes\n" in said
    assert "ends at" not in text([began, past], 60)
    assert "ends at" not in text([order(0, "o", "o"), began, ends], 60, SHOP)


def test_a_trial_says_when_it_begins_and_ends() -> None:
    """Both instants of a trial that is still to come stand beside it, where the plan asks whether one runs."""
    plan = replace(PLAN, stages=(Stage("trying", 1, Compare("trial_running", "==", 1)),))
    common: dict[str, Any] = {"time": START, "source": "app", "id": "t", "customer_id": "c1"}
    trial = TrialStarted(trial_id="t", starts_at=START + DAY, ends_at=START + 3 * DAY, **common)
    assert "trial.started t: begins at 2024-02-02T00:00:00Z, ends at 2024-02-04T00:00:00Z" in text(
        [trial], 5, Rules(Compiled(plan))
    )


def test_why_not_is_told_of_a_flag_in_words() -> None:
    """A flag that keeps a stage from holding says that it is so, and until when if time ends it."""
    began = SubscriptionStarted(**sold(0, "1"), mrr_minor=1000, currency="EUR")
    ends = SubscriptionCancelled(**sold(95, "2"), effective_at=START + 110 * DAY)
    assert "  at_risk  not active_subscription: is active until 2024-05-21T00:00:00Z, for 10 d more\n" in text(
        [began, ends], 100
    )
    assert "not active_subscription: is active\n" in text([began], 100)


def test_a_customer_after_one_order_is_told_what_a_second_would_bring() -> None:
    """At conversion: the way up, and the day of at_risk to the instant."""
    assert text([visit(0, "v1"), order(1.5, "e2", "o1")], 11.5) == (
        "c1  is in conversion since 2024-02-02T12:00:00Z\n"
        "as of 2024-02-12T12:00:00Z, plan clm5 version 1\n"
        "why here\n"
        "  conversion (3)  customer\n"
        "what comes before it and does not hold\n"
        "  churned  since_last_purchase >= 180d: 10 d now, in 170 d, at 2024-07-31T12:00:00Z\n"
        "           or subscription_lapsed: not yet\n"
        "           or accounts_closed: not yet\n"
        "  at_risk  since_last_purchase >= 90d: 10 d now, in 80 d, at 2024-05-02T12:00:00Z\n"
        "  dormant  not customer: is a customer\n"
        "why not further\n"
        "  retention (4)  order_days >= 2: 1 now, 1 more needed\n"
        "                 or subscription_renewals >= 1: 0 now, 1 more needed\n"
        "  loyalty (5)    order_days in 365d >= 3: 1 now, 2 more needed\n"
        "                 or (order_days >= 2: 1 now, 1 more needed\n"
        "                     and (referrals_converted in 365d >= 1: 0 now, 1 more needed\n"
        "                          or nps in 180d >= 9: nothing in that time))\n"
        "next        at_risk at 2024-05-02T12:00:00Z, in 80 d, if nothing happens before\n"
        "so far      2 accepted; 2 changes\n"
        "  2024-02-01T00:00:00Z  web.visit v1: reached no → yes; since_last_activity never → 0\n"
        "  2024-02-01T00:00:00Z  #1 - → reach: entry by web.visit v1, because reached\n"
        "  2024-02-02T12:00:00Z  order.completed e2: customer no → yes; since_last_purchase never → 0; "
        "order_days in 365d 0 → 1; order_days 0 → 1\n"
        "  2024-02-02T12:00:00Z  #2 reach → conversion: skip by order.completed e2, because customer\n"
    )


def test_a_higher_stage_that_holds_says_what_comes_before_it() -> None:
    """At risk with three order-days: loyalty's own condition holds, and only at_risk stands in its way."""
    orders = [order(day, f"e{day}", f"o{day}") for day in (0, 10, 20)]
    told = text(orders, 115)
    assert told.startswith(
        "c1  is in at_risk since 2024-05-21T00:00:00Z\n"
        "as of 2024-05-26T00:00:00Z, plan clm5 version 1\n"
        "why here\n"
        "  at_risk  customer\n"
        "           and not active_subscription\n"
        "           and since_last_purchase >= 90d: 95 d\n"
        "what comes before it and does not hold\n"
        "  churned  since_last_purchase >= 180d: 95 d now, in 85 d, at 2024-08-19T00:00:00Z\n"
        "           or subscription_lapsed: not yet\n"
        "           or accounts_closed: not yet\n"
        "why not further\n"
        "  loyalty (5)  holds as well, but at_risk comes before it\n"
        "next        churned at 2024-08-19T00:00:00Z, in 85 d, if nothing happens before\n"
        "so far      3 accepted; 4 changes\n"
    )
    assert "by time alone, because customer and not active_subscription and since_last_purchase >= 90d\n" in told


def test_a_stage_that_lacks_something_and_comes_later_says_both() -> None:
    """A customer at risk after two order-days lacks a third one, and at_risk would have to end."""
    assert (
        "why not further\n"
        "  retention (3)  holds as well, but at_risk comes before it\n"
        "  loyalty (4)    order_days in 365d >= 3: 2 now, 1 more needed\n"
        "                 besides, at_risk comes before it, and must end\n"
    ) in text([order(0, "e1", "o1"), order(5, "e2", "o2")], 100, SHOP)


def test_who_churned_has_nothing_to_come_by_time() -> None:
    """Churned is first of all: nothing comes before it, and nothing follows without an event."""
    told = text([order(0, "e1", "o1")], 400, SHOP)
    assert told.startswith(
        "c1  is in churned since 2024-07-30T00:00:00Z\n"
        "as of 2025-03-07T00:00:00Z, plan shop version 1\n"
        "why here\n"
        "  churned  standing_orders >= 1: 1\n"
        "           and since_last_order >= 180d: 400 d\n"
        "why not further\n"
        "  conversion (2)  holds as well, but churned and at_risk come before it\n"
    )
    assert "next        nothing changes without an event\n" in told


def test_where_no_condition_holds_all_of_them_are_told() -> None:
    """Somebody of whom nothing counts is in no stage; at what would bring the first one is said."""
    told = text([cancel(0, "e1", "o1")], 1, SHOP)
    assert told.startswith(
        "c1  is in no stage\n"
        "as of 2024-02-02T00:00:00Z, plan shop version 1\n"
        "what does not hold\n"
        "  churned  standing_orders >= 1: 0 now, 1 more needed\n"
        "  at_risk  standing_orders >= 1: 0 now, 1 more needed\n"
        "why not further\n"
        "  reach (1)       reached: not yet\n"
    )
    assert "so far      1 accepted, 1 of them told the plan nothing new; 0 changes\n" in told


def test_a_plan_that_only_goes_forward_says_that_a_stage_was_reached() -> None:
    """The highest stage that ever held is kept when its condition no longer does, and that is said."""
    plan = replace(PLAN, stages=PLAN.stages[2:], forward_only=True)
    told = text([order(0, "e1", "o1"), cancel(1, "e2", "o1")], 2, Rules(Compiled(plan)))
    assert told.startswith(
        "c1  is in conversion since 2024-02-01T00:00:00Z\n"
        "as of 2024-02-03T00:00:00Z, plan shop version 1\n"
        "why here\n"
        "  conversion (2)  held once, and this plan only goes forward\n"
        "why not further\n"
        "  retention (3)  order_days >= 2: 0 now, 2 more needed\n"
    )


def test_a_long_history_is_shortened_in_the_middle() -> None:
    """However many orders there were, at most sixty lines; the first and the last are there, the rest is counted."""
    orders = [order(day, f"e{day}", f"o{day}") for day in range(300)]
    lines = told(explain("c1", orders, RULES, START + 300 * DAY))
    assert len(lines) == LINES_MAX
    at = next(number for number, line in enumerate(lines) if "left out" in line)
    assert "order.completed e0:" in "\n".join(lines[:at])
    assert lines[-1].startswith("  2024-11-26T00:00:00Z  order.completed e299: ")
    shown = len(lines) - 1 - next(number for number, line in enumerate(lines) if line.startswith("so far"))
    whole = 300 + len(explain("c1", orders, RULES, START + 300 * DAY).changes)
    assert lines[at] == f"  … {whole - shown + 1} lines left out here; --json has them all"


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_plan_is_told_on_a_screen(name: str) -> None:
    """Of somebody who lacks everything, and of somebody with a long history, no more than sixty lines."""
    rules = Rules(Compiled(sheet_of(name).plan))
    orders = [order(day, f"e{day}", f"o{day}") for day in range(100)]
    for facts in ([visit(0, "v1")], [visit(0, "v1"), *orders]):
        lines = told(explain("c1", facts, rules, START + 120 * DAY))
        assert len(lines) <= LINES_MAX
        assert lines[0].startswith("c1  is in ")


def test_an_anonymous_visitor_is_told_when_they_are_forgotten() -> None:
    """Nothing of theirs is announced; after 30 silent days nothing is left, and that is said."""
    seen = replace(visit(0, "v1"), customer_id=None, anonymous_id="a1")
    there = told(explain("anon:a1", [seen], RULES, START + DAY))
    assert there[0] == "anon:a1  is in reach since 2024-02-01T00:00:00Z"
    assert "next        forgotten at 2024-03-02T00:00:00Z, in 29 d, if nothing happens before" in there
    gone = told(explain("anon:a1", [seen], RULES, START + 31 * DAY))
    assert gone[0] == "anon:a1  was anonymous, silent for long, and is forgotten since 2024-03-02T00:00:00Z"
    assert gone[-1] == "  2024-03-02T00:00:00Z  forgotten by time alone: nothing above counts any more"
    again = told(explain("anon:a1", [seen, replace(seen, id="v2", time=START + 31 * DAY)], RULES, START + 32 * DAY))
    assert again[0] == "anon:a1  is in reach since 2024-03-03T00:00:00Z"
    assert [line for line in again if "reached no → yes" in line] == [
        "  2024-02-01T00:00:00Z  web.visit v1: reached no → yes; since_last_activity never → 0",
        "  2024-03-03T00:00:00Z  web.visit v2: reached no → yes; since_last_activity never → 0",
    ]


@pytest.mark.parametrize(
    ("ms", "said"),
    [(0, "0"), (250, "250 ms"), (61_000, "1 min 1 s"), (90 * DAY, "90 d"), (DAY + 60_000, "1 d"),
     (3 * DAY + 4 * 3_600_000 + 5 * 60_000, "3 d 4 h")],
)  # fmt: skip
def test_a_length_of_time_is_told_in_its_two_largest_units(ms: int, said: str) -> None:
    """The rest is cut off, so that it is never said to be longer than it is."""
    assert length(ms) == said


@pytest.mark.parametrize(
    ("leaf", "positive", "value", "missing", "shown"),
    [
        (Compare("net_revenue", ">=", 50000, 365 * DAY, "EUR"), True, 4000, "40.00 EUR now, 460.00 EUR more needed", "40.00 EUR"),
        (Compare("net_revenue", ">", 50000, None, "JPY"), True, 50000, "50000 JPY now, 1 JPY more needed", "50000 JPY"),
        (Compare("nps", ">=", 9000, 180 * DAY), True, 6500, "6.5 now, 2.5 more needed", "6.5"),
        (Compare("nps", ">=", 9000), True, None, "nothing so far", "nothing"),
        (Compare("tickets", "<", 3, 30 * DAY), True, 4, "4 now, 2 less needed", "4"),
        (Compare("tickets", "<", 3, 30 * DAY), False, 1, "1 now, 2 more needed", "1"),
        (Compare("visits", "==", 3), False, 3, "3 now, any other needed", "3"),
        (Compare("trait", "==", "gold", None, "tier"), True, "silver", '"silver" now', '"silver"'),
        (Compare("since_last_visit", "<", DAY), True, 2 * DAY, "2 d now, and time alone does not change that", "2 d"),
        (Compare("since_last_visit", "<", DAY), True, None, "never so far", "never"),
        (Compare("trial_running", "==", 1), False, 1, "is running", "yes"),
    ],
)  # fmt: skip
def test_what_is_missing_is_told_in_the_unit_of_the_fact(
    leaf: Compare, positive: bool, value: int | str | None, missing: str, shown: str
) -> None:
    """Money with its currency, scores as they are given, texts in quotes; the least that would do."""
    assert difference_text(leaf, value, START, None, positive=positive) == missing
    assert value_text(leaf, value) == shown


@pytest.mark.parametrize("name", [operand.name for operand in OPERANDS.values() if operand.unit == "flag"])
def test_every_flag_that_is_true_has_its_words(name: str) -> None:
    """Where a stage asks that it is not so, what is so is said in words."""
    said = difference_text(Compare(name, "==", 1), 1, START, None, positive=False)
    assert len(said.split()) >= 2
