"""KPIs against a brute force over the raw facts, and on examples that can be computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lifestage import facts as f
from lifestage.fact import Context, Fact
from lifestage.kpi_formulas import Count
from lifestage.kpi_labels import CAMPAIGNS_MAX
from lifestage.kpi_page import page
from lifestage.kpis import DEFINITIONS
from tests.core.effort import effort
from tests.core.histories import CLM5, START
from tests.core.kpi_histories import PLAN, T, cost, history, kpis, order
from tests.core.kpi_oracle import DAY, Oracle

OF_THE_PATH = ("stage_counts", "transitions", "time_in_stage", "funnel", "cohort_retention", "gross_revenue")


@effort(300)
@given(st.integers(0, 1 << 40), st.sampled_from((30, 90, 150)))
def test_every_kpi_is_what_brute_force_says(seed: int, days: int) -> None:
    """Whatever the order of arrival, with repeats, several ids a person, merges, refunds and cancellations, bots and machines."""
    arrived, theirs, company = history(seed)
    found = kpis(arrived, T, days * DAY)
    expected = Oracle(theirs, company, PLAN, T, days * DAY).values
    for one in DEFINITIONS:
        if one.name in OF_THE_PATH:
            continue
        ours, right = found.get(one.name, {}), expected.get(one.name, {})
        if isinstance(one.formula, Count):
            ours = {labels: value for labels, value in ours.items() if value}
            right = {labels: value for labels, value in right.items() if value}
        assert ours == right, one.name
    for by in ("campaign", "mailbox"):
        found = kpis(arrived, T, days * DAY, by)
        for one in DEFINITIONS:
            if one.formula_by(by) is not None:
                assert found.get(one.name, {}) == expected.get(f"{one.name}/{by}", {}), (one.name, by)


def test_three_purchases_are_worth_333() -> None:
    """100 + 33 + 200 = 333, by the sum as by the average order × orders; of the window nothing depends."""
    bought: list[Fact] = [order(1, "ann", 0, 10_000), order(2, "ann", 1, 3_300), order(3, "ann", 170, 20_000)]
    for days in (1, 90, 400):
        found = kpis(bought, T, days * DAY)
        for name in ("clv_1", "clv_3", "clv_4"):
            assert found[name] == {("EUR", "mean"): 333.0, ("EUR", "median"): 333.0, ("EUR", "p90"): 333.0}
        assert "clv_2" not in found


def test_lifetime_values_bear_margin_and_costs() -> None:
    """333 at a margin of 60 %; less goods, the acquisition of the only new customer of its channel, and the months' support."""
    bought: list[Fact] = [
        order(1, "ann", 0, 10_000, cost_of_goods_minor=4_000, context=Context(medium="cpc")),
        order(2, "ann", 1, 3_300),
        order(3, "ann", 2, 20_000, cost_of_goods_minor=8_000),
        cost("ads", "marketing", 5_000, 0, 10, "cpc"),
        cost("tv", "marketing", 9_000, 0, 10, "tv"),
        cost("all", "sales", 700, 0, 10),
        cost("desk", "support", 2_900, 0, 29),
    ]
    found = kpis(bought, START + 60 * DAY)
    assert found["clv_2"]["EUR", "mean"] == 199.8
    assert found["clv_4"]["EUR", "mean"] == 333.0 - 120 - 50 - 7 - 29
    # halfway through the period half of it is spent
    assert kpis(bought, START + 5 * DAY)["clv_4"]["EUR", "mean"] == 333.0 - 120 - 25 - 3.5 - 5


def test_support_of_a_month_is_borne_by_those_active_at_its_end() -> None:
    """February's support by both, May's by the one who bought again; in between nobody is left out of the 90 days."""
    bought: list[Fact] = [
        order(1, "ann", 0, 1_000), order(2, "bob", 0, 1_000), order(3, "bob", 89, 1_000),
        cost("february", "support", 600, 0, 29), cost("may", "retention", 400, 90, 31),
    ]  # fmt: skip
    found = kpis(bought, START + 140 * DAY)["clv_4"]
    assert found["EUR", "mean"] == (10 - 3 + 20 - 3 - 4) / 2


def test_costs_and_customers_by_channel() -> None:
    """Each channel's own cost ÷ those who first came by it; a channel without any has no value."""
    told: list[Fact] = [
        order(1, "ann", 100, 100, context=Context(medium="cpc")), order(2, "bob", 101, 100), order(3, "eve", 102, 100),
        cost("ads", "marketing", 3_000, 90, 90, "cpc"), cost("tv", "marketing", 9_000, 90, 90, "tv"),
    ]  # fmt: skip
    assert kpis(told)["cac"] == {("EUR",): 40.0}
    found = kpis(told, by="channel")
    assert found["cac"] == {("EUR", "cpc"): 30.0}
    assert found["new_customers"] == {("cpc",): 1, ("direct",): 2}


def test_orders_and_revenue_by_channel() -> None:
    """All orders of a person are those of the channel that the person first came by, whichever another of them names; all channels
    together come to the whole."""
    told: list[Fact] = [
        order(1, "ann", 100, 100, context=Context(medium="cpc")), order(2, "bob", 101, 100), order(3, "eve", 102, 100),
        order(4, "ann", 103, 60, context=Context(medium="email")),
    ]  # fmt: skip
    found = kpis(told, by="channel")
    assert found["orders"] == {("EUR", "cpc"): 2, ("EUR", "direct"): 2}
    assert found["net_revenue"] == {("EUR", "cpc"): 1.6, ("EUR", "direct"): 2.0}
    assert found["aov"] == {("EUR", "cpc"): 0.8, ("EUR", "direct"): 1.0}
    assert kpis(told)["net_revenue"] == {("EUR",): 3.6}


def test_what_a_channel_cost_that_brought_nobody_is_borne_by_nobody() -> None:
    """Neither it nor a cost of no channel falls on those whose channel may not be shown; in all both count."""
    told: list[Fact] = [
        order(1, "ann", 100, 100, context=Context(medium="cpc")), order(2, "bob", 101, 100, context=Context(medium="a@b.c")),
        cost("tv", "marketing", 9_000, 90, 90, "tv"), cost("rent", "sales", 5_000, 90, 90),
        cost("hidden", "sales", 700, 90, 90, "ann@example.com"),
    ]  # fmt: skip
    assert kpis(told, by="channel")["cac"] == {("EUR", "other"): 7.0}
    assert kpis(told)["cac"] == {("EUR",): 73.5}


def test_who_says_none_as_medium_says_no_channel() -> None:
    """What web analytics write for nothing is nothing: such a customer bears no cost that names no channel."""
    told: list[Fact] = [
        order(1, "ann", 100, 100, context=Context(source="(direct)", medium="(none)")),
        order(2, "bob", 100, 100, context=Context(medium="none", source="news")),
        cost("rent", "sales", 5_000, 90, 90),
    ]  # fmt: skip
    found = kpis(told, by="channel")
    assert found["new_customers"] == {("direct",): 1, ("news",): 1}
    assert "cac" not in found


@pytest.mark.parametrize(
    ("referrer", "origin"),
    [
        (None, ("direct", "none")), ("", ("direct", "none")), ("-", ("direct", "none")),
        ("https://shop.example:8080/cart", ("direct", "none")), ("https://www.Shop.example./", ("direct", "none")),
        ("https://www.search.example/?q=1", ("search.example", "referral")), ("//search.example/", ("search.example", "referral")),
        ("https://me:pw@foo_bar.example:80/", ("foo_bar.example", "referral")), ("android-app://com.app/", ("com.app", "referral")),
        ("https://m\u00fcnchen.example/", ("other", "referral")), ("http://[::1]/", ("other", "referral")),
        ("search.example", ("other", "referral")),
    ],
)  # fmt: skip
def test_a_referrer_from_elsewhere_is_not_direct(referrer: str | None, origin: tuple[str, str]) -> None:
    """Whether or not its host may be shown; one's own pages, whatever the port, and what logs write for none are."""
    visit = f.WebVisit(time=T, source="web", id="v", customer_id="ann", url="https://shop.example/", session_id="s", referrer=referrer)  # fmt: skip
    found = kpis([visit])
    assert found["traffic_by_source"] == {origin: 1}
    assert found["direct_share"] == {(): float(origin[0] == "direct")}


def test_none_of_those_there_are_is_zero() -> None:
    """Customers of whom none is new, visitors without a session of whom none is a lead, orders of which none stands: 0, and nothing is divided by it."""
    told: list[Fact] = [
        order(1, "ann", 0, 1_000), order(2, "bob", 170, 500),
        f.OrderCancelled(time=T, source="shop", id="x", customer_id="bob", order_id="o2"),
        f.WebVisit(time=T, source="web", id="v", customer_id="ann", url="/"),
    ]  # fmt: skip
    found = kpis(told, w=30 * DAY)
    assert [found[name][()] for name in ("new_customers", "leads", "sessions", "lead_conversion_rate", "visitors")] == [
        0,
        0,
        0,
        0,
        1,
    ]
    assert [found[name]["EUR",] for name in ("orders", "net_revenue", "gross_revenue")] == [0, 0, 5]
    assert {
        "aov",
        "lead_quality",
        "direct_share",
        "engagement_depth",
        "referred_share",
        "support_assisted_conversion",
        "refund_rate",
    }.isdisjoint(found)


def test_every_step_above_20_counts_as_20() -> None:
    """However long its number is; 0 and names are no steps."""
    told = [
        f.CheckoutStep(time=T, source="shop", id=f"e{n}", customer_id="ann", cart_id=f"k{n}", step=step)
        for n, step in enumerate(("021", "9" * 100, "000", "payment", "1"))
    ]  # fmt: skip
    found = kpis(told)["checkout_step_conversion"]
    assert found == {("1",): 2 / 3} | {(str(step),): 1.0 for step in range(2, 20)}


def test_a_refund_lowers_the_window_of_its_order() -> None:
    """From its instant on, and not the millisecond before; a window that begins after the order knows nothing of it."""
    told: list[Fact] = [
        order(1, "ann", 100, 1_000),
        f.OrderRefunded(time=T, source="shop", id="r", refund_id="r", order_id="o1", customer_id="ann", amount_minor=400, currency="EUR"),
    ]  # fmt: skip
    assert [kpis(told, t)["net_revenue"]["EUR",] for t in (T - 1, T)] == [10.0, 6.0]
    assert kpis(told)["gross_revenue"]["EUR",] == 10.0
    assert {"net_revenue", "refund_rate"}.isdisjoint(kpis(told, w=30 * DAY))


@pytest.mark.parametrize(("late", "paid", "still"), [(0, 1.0, 0), (1, 0.0, 0), (None, 0.0, 1)])
def test_a_trial_converts_up_to_14_days_after_its_end(late: int | None, paid: float, still: int) -> None:
    """To the millisecond; a trial that is not over yet is marked as open, one whose time has passed is not."""
    trial = f.TrialStarted(time=START, source="app", id="t", customer_id="ann", trial_id="t", ends_at=START + 30 * DAY)
    bought = [] if late is None else [order(1, "ann", 44, 100)]
    told = [trial, *(replace(one, time=one.time + (late or 0)) for one in bought)]
    found = kpis(told, START + 60 * DAY if bought else START + 43 * DAY)
    assert found["trial_conversion"] == {(): paid}
    assert found["trial_conversion_open"] == {(): still}


def test_the_path_is_counted() -> None:
    """Who stands where, the moves of the window, how long ended stays were, how far everybody came, and whole months only."""
    told: list[Fact] = [order(1, "ann", 0, 100), order(2, "bob", 0, 100), order(3, "bob", 20, 100)]
    found = kpis(told, START + 100 * DAY, 30 * DAY)
    assert found["stage_counts"] == {("at_risk",): 1, ("retention",): 1}
    assert found["transitions"] == {("conversion", "at_risk"): 1}
    assert found["time_in_stage"] == {("conversion", what): 90 * 86_400.0 for what in ("mean", "median", "p90")}
    assert found["funnel"] == {("reach",): 2, ("acquisition",): 2, ("conversion",): 2, ("retention",): 1}
    cohort = {("2024-02", "00"): 1.0, ("2024-02", "01"): 1.0, ("2024-02", "02"): 1.0}
    assert found["cohort_retention"] == cohort
    # May has ended at day 121 of February, March, April, May: 29 + 31 + 30 + 31
    later = kpis(told, START + 121 * DAY, 30 * DAY)["cohort_retention"]
    assert later == {**cohort, ("2024-02", "03"): 0.0}


@pytest.mark.parametrize(("ms", "kept"), [(-1, 0.0), (0, 1.0)])
def test_a_cohort_is_judged_at_the_last_instant_of_a_month(ms: int, kept: float) -> None:
    """Who is at risk from the last millisecond of May on is not kept in May; from the first of June on, is."""
    one = order(1, "ann", 31, 100)
    found = kpis([replace(one, time=one.time + ms)], START + 125 * DAY)["cohort_retention"]
    assert found["2024-03", "02"] == kept


def test_names_that_events_choose_are_bounded() -> None:
    """Two hundred sources give 20 labels and the rest; what could be an address is no label."""
    told = [
        f.WebVisit(time=T, source="web", id=f"v{n}", anonymous_id=f"a{n % 50}", url="/", session_id=f"s{n}",
                   context=Context(source="often" if n % 2 else f"spam-{n}" if n % 3 else "ann@example.com", medium="x"))
        for n in range(600)
    ]  # fmt: skip
    found = kpis(told)["traffic_by_source"]
    assert len(found) == 21
    assert sum(found.values()) == 600
    assert found["often", "x"] == 300
    assert not any("@" in label for labels in found for label in labels)


def test_a_message_counts_where_its_first_event_says() -> None:
    """A later event of another campaign and mailbox changes nothing; whatever is no label is `other`, and no SMS has a mailbox."""

    def told(n: int, event: str, name: str, **more: Any) -> Fact:
        return f.EmailEvent(
            time=T - 100 + n, source="esp", id=f"e{n}", customer_id="ann", message_id=name, event=event, **more
        )

    found = [
        told(1, "sent", "a", campaign_id="Spring Sale", mailbox="gmail"),
        told(2, "delivered", "a", campaign_id="other one", mailbox="gmx"),
        told(3, "opened", "a"),
        told(4, "sent", "b", campaign_id="ann@example.com", mailbox="ann@example.com"),
        told(5, "bounced", "b"),
        told(6, "sent", "c", channel="sms", mailbox="gmail"),
        told(7, "delivered", "c", channel="sms"),
        told(8, "sent", "d"),
    ]
    by_campaign, by_mailbox = kpis(found, by="campaign"), kpis(found, by="mailbox")
    assert by_campaign["delivery_rate"] == {("spring sale",): 1.0, ("other",): 0.0, ("none",): 0.5}
    assert by_campaign["bounce_rate"] == {("spring sale",): 0.0, ("other",): 1.0, ("none",): 0.0}
    assert by_campaign["open_rate"] == {("spring sale",): 1.0, ("none",): 0.0}
    assert by_mailbox["delivery_rate"] == {("gmail",): 1.0, ("other",): 0.0, ("unknown",): 0.0}
    assert by_mailbox["open_rate"] == {("gmail",): 1.0}


def test_campaigns_are_few() -> None:
    """Those with the most messages, and the rest together."""
    sent = [
        f.EmailEvent(time=T, source="esp", id=f"e{n}", customer_id="ann", message_id=f"m{n}", event="sent", campaign_id=f"c{min(n, 400 - n)}" if n < 390 else "big")
        for n in range(400)
    ]  # fmt: skip
    found = kpis(sent, by="campaign")["delivery_rate"]
    assert len(found) == CAMPAIGNS_MAX + 1
    assert {("big",), ("other",)} <= found.keys()


def test_the_page_is_made_of_the_definitions() -> None:
    """docs/kpis.md is what `lifestage kpis --page` prints, and names each KPI."""
    text = (Path(__file__).parents[2] / "docs" / "kpis.md").read_text(encoding="utf-8")
    assert text == page()
    assert len({one.name for one in DEFINITIONS}) == len(DEFINITIONS)


@pytest.mark.parametrize("one", DEFINITIONS, ids=lambda one: one.name)
def test_a_definition_is_whole(one: Any) -> None:
    """Each says its formula and where it comes from, a stage of clm5, and which way is better."""
    assert one.words
    assert one.source
    assert one.stage in {"", *(stage.name for stage in CLM5.stages)}
    assert one.better in {"", "higher", "lower"}
