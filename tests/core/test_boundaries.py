"""Exact boundaries: the very millisecond of windows and silences, nights of daylight saving, leap days, day zones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from config.plan_files import sheet_of
from lifestage.cause import Rules
from lifestage.conditions import Compare, Plan, Stage
from lifestage.facts import (
    AccountClosed,
    Fact,
    FeatureUsed,
    FeedbackReceived,
    SubscriptionCancelled,
    SubscriptionStarted,
    TrialStarted,
    WebVisit,
)
from lifestage.moments import iso
from lifestage.plan import Compiled
from lifestage.replay import replay
from tests.core.histories import (
    START,
    Tick,
    cancel,
    order,
    partition,
    record,
    records,
    refund,
    standing_moves,
    visit,
)
from tests.core.oracle_plans import DAY

CLM5 = Rules(Compiled(sheet_of("clm5").plan))
HOUR = DAY // 24


def ms(text: str) -> int:
    """An instant in ms."""
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


def at(instant: int, fact: Fact) -> Fact:
    """The fact at another instant."""
    return msgspec.structs.replace(fact, time=instant)


def moves(history: list[Fact], end: int, rules: Rules = CLM5) -> list[tuple[str, str | None]]:
    """The path, by file and live alike, with instants as text."""
    path = standing_moves(replay(history, rules, end).changes)
    in_time = sorted(history, key=lambda fact: (fact.time, fact.source, fact.id))
    assert standing_moves(partition(rules).fold(records([*in_time, Tick(end)]))) == path
    return [(iso(instant), stage) for instant, stage in path]


def asking(*conditions: Compare, **policies: object) -> Rules:
    """A plan with one stage for each comparison, the first the highest."""
    count = len(conditions)
    stages = [Stage(f"s{count - n}", count - n, when) for n, when in enumerate(conditions)]
    return Rules(Compiled(Plan("asking", 1, tuple(stages), **policies)))  # type: ignore[arg-type]


@pytest.mark.parametrize("days", [90, 180])
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_an_order_at_the_last_moment(days: int, beside: int) -> None:
    """An order exactly 90 (180) days after the last prevents at_risk (churned); one ms later does not."""
    second = order(days, "b", "o2")
    history = [order(0, "a", "o1"), at(second.time + beside, second)]
    stages = [stage for _, stage in moves(history, second.time + 2)]
    between = [
        stage for stage, due in (("at_risk", 90), ("churned", 180)) if due < days or (due == days and beside == 1)
    ]
    assert stages == ["conversion", *between, "retention"]


@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_a_sign_of_life_at_the_last_moment(beside: int) -> None:
    """A visit exactly 90 days after the last prevents dormant; one ms later does not."""
    second = visit(90, "b")
    stages = [stage for _, stage in moves([visit(0, "a"), at(second.time + beside, second)], second.time + 2)]
    assert stages == (["reach", "dormant", "reach"] if beside == 1 else ["reach"])


@pytest.mark.parametrize(
    "leaf",
    [
        Compare("visits", ">=", 2, 10 * DAY),
        Compare("visit_days", ">=", 2, 10 * DAY),
        Compare("sessions", ">=", 2, 10 * DAY),
        Compare("standing_orders", ">=", 2, 10 * DAY),
        Compare("order_days", ">=", 2, 10 * DAY),
        Compare("net_revenue", ">=", 2000, 10 * DAY, "EUR"),
    ],
    ids=lambda leaf: leaf.operand,
)
def test_windows_are_half_open(leaf: Compare) -> None:
    """(t − W, t]: what happened exactly W ago is outside, one ms later inside; what happens now is inside."""
    rules = asking(leaf)
    for beside, met in ((-1, True), (0, False), (1, False)):
        history: list[Fact] = []
        for n, instant in enumerate((START, START + 10 * DAY + beside)):
            history += [
                at(instant, msgspec.structs.replace(visit(0, f"v{n}"), session_id=f"{n}")),
                at(instant, order(0, f"o{n}", f"o{n}")),
            ]
        end = START + 30 * DAY
        entered, left = START + 10 * DAY - 1, START + 10 * DAY
        assert moves(history, end, rules) == ([(iso(entered), "s1"), (iso(left), None)] if met else [])


@pytest.mark.parametrize(("op", "from_day", "beside"), [(">=", 10, 0), (">", 10, 1)], ids=["at least", "more than"])
def test_a_silence_is_over_at_its_millisecond(op: str, from_day: int, beside: int) -> None:
    """`since >= 10d` holds from exactly ten days on, `since > 10d` one ms later."""
    rules = asking(msgspec.structs.replace(Compare("since_last_visit", ">=", 10 * DAY), op=op))
    assert moves([visit(0, "a")], START + 20 * DAY, rules) == [(iso(START + from_day * DAY + beside), "s1")]
    assert moves([visit(0, "a")], START + 10 * DAY + beside, rules) == []


def test_windows_are_as_long_over_a_leap_day() -> None:
    """90 days are 7,776,000 seconds, whether a 29th of February lies between or not."""
    for day, due in (("2024-02-01", "2024-05-01"), ("2023-02-01", "2023-05-02"), ("2024-02-29", "2024-05-29")):
        begun = ms(f"{day}T10:30:00Z")
        assert moves([at(begun, order(0, "a", "o1"))], begun + 100 * DAY) == [
            (f"{day}T10:30:00Z", "conversion"),
            (f"{due}T10:30:00Z", "at_risk"),
        ]


def test_the_leap_day_is_a_day() -> None:
    """Orders on the 28th and 29th of February and the 1st of March are three order-days; they leave 365 days later."""
    history = [at(ms(f"{day}T12:00:00Z"), order(0, day, day)) for day in ("2024-02-28", "2024-02-29", "2024-03-01")]
    path = moves(history, ms("2024-03-02T00:00:00Z"))
    assert [stage for _, stage in path] == ["conversion", "retention", "loyalty"]
    rules = asking(Compare("order_days", ">=", 3, 365 * DAY))
    assert moves(history, ms("2026-01-01T00:00:00Z"), rules) == [
        ("2024-03-01T12:00:00Z", "s1"),
        ("2025-02-27T12:00:00Z", None),
    ]


@pytest.mark.parametrize("night", ["2024-03-31", "2024-10-27"])
def test_nights_of_daylight_saving_are_like_others(night: str) -> None:
    """The hour that Europe leaves out or has twice moves no window and no day: all is counted in UTC."""
    for hour in ("00:30", "01:00", "01:30", "02:30"):
        begun = ms(f"{night}T{hour}:00+00:00")
        path = moves([at(begun, order(0, "a", "o1")), at(begun + HOUR, order(0, "b", "o2"))], begun + 91 * DAY)
        assert path == [(iso(begun), "conversion"), (iso(begun + HOUR + 90 * DAY), "at_risk")]
    midnight = ms(f"{night}T00:00:00+00:00")
    around = [at(midnight - 1, order(0, "a", "o1")), at(midnight, order(0, "b", "o2"))]
    assert [stage for _, stage in moves(around, midnight + 1)] == ["conversion", "retention"]
    behind = [at(midnight + DAY - 1, order(0, "a", "o1")), at(midnight, order(0, "b", "o2"))]
    assert [stage for _, stage in moves(behind, midnight + DAY)] == ["conversion"]


@pytest.mark.parametrize("zone", [-5 * HOUR, 0, 2 * HOUR, 14 * HOUR, 5 * HOUR + HOUR // 2])
def test_a_day_zone_moves_days_only(zone: int) -> None:
    """Midnight is that of the zone; windows and silences stay as they are."""
    plan = msgspec.structs.replace(sheet_of("clm5").plan, day_zone=zone)
    rules, midnight = Rules(Compiled(plan)), ms("2024-06-02T00:00:00Z") - zone
    apart = [at(midnight - 1, order(0, "a", "o1")), at(midnight, order(0, "b", "o2"))]
    together = [at(midnight, order(0, "a", "o1")), at(midnight + DAY - 1, order(0, "b", "o2"))]
    assert moves(apart, midnight + 100 * DAY, rules) == [
        (iso(midnight - 1), "conversion"),
        (iso(midnight), "retention"),
        (iso(midnight + 90 * DAY), "at_risk"),
    ]
    assert moves(together, midnight + 100 * DAY, rules) == [
        (iso(midnight), "conversion"),
        (iso(midnight + DAY - 1 + 90 * DAY), "at_risk"),
    ]


def test_a_day_zone_moves_the_days_of_other_things_too() -> None:
    """Days with visits are those of the zone, like days with orders."""
    leaf, midnight = Compare("visit_days", ">=", 2, 30 * DAY), ms("2024-06-02T00:00:00Z")
    apart = [at(midnight - 1, visit(0, "a")), at(midnight, visit(0, "b"))]
    assert len(moves(apart, midnight + 1, asking(leaf))) == 1
    assert moves(apart, midnight + 1, asking(leaf, day_zone=2 * HOUR)) == []


def about(day: float, id: str) -> dict[str, Any]:
    """What an event about the subscription s1 has."""
    return {"time": START + round(day * DAY), "source": "shop", "id": id, "customer_id": "c1", "subscription_id": "s1"}


@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_a_cancellation_counts_from_the_instant_it_names(beside: int) -> None:
    """A subscription is active until, and not at, the instant its cancellation names; an order later than that is no lapse."""
    ends = START + 100 * DAY
    history: list[Fact] = [
        SubscriptionStarted(**about(0, "a")),
        SubscriptionCancelled(**about(10, "b"), effective_at=ends),
        at(ends + beside, order(0, "c", "o1")),
    ]
    path = [(START, "conversion"), *([(ends, "churned"), (ends + 1, "conversion")] if beside == 1 else [])]
    if beside < 1:
        path += [(ends, "churned")]
    assert moves(history, ends + 2) == [(iso(instant), stage) for instant, stage in path]


def test_a_cancellation_that_names_the_past_counts_when_it_is_told() -> None:
    """An `effective_at` before the event's own time is that time: nothing is taken back."""
    history: list[Fact] = [
        SubscriptionStarted(**about(0, "a")),
        SubscriptionCancelled(**about(50, "b"), effective_at=START + 10 * DAY),
    ]
    assert moves(history, START + 60 * DAY) == [(iso(START), "conversion"), (iso(START + 50 * DAY), "churned")]


def test_a_trial_runs_from_its_start_until_before_its_end() -> None:
    """A trial that is told ahead begins at `starts_at`; at `ends_at` it is over."""
    begins, ends = START + 5 * DAY, START + 19 * DAY
    trial = TrialStarted(
        trial_id="t", starts_at=begins, ends_at=ends, time=START, source="shop", id="a", customer_id="c1"
    )
    rules = asking(Compare("trial_running", "==", 1))
    assert moves([trial], START + 30 * DAY, rules) == [(iso(begins), "s1"), (iso(ends), None)]


def test_an_order_stands_until_the_instant_of_its_last_refund() -> None:
    """Σ refunds ≥ total from the very instant of the refund that makes it so; a minor unit less is not enough."""
    rules = asking(Compare("standing_orders", ">=", 1))
    history: list[Fact] = [order(0, "a", "o1", 1000), refund(1, "b", "o1", 999), refund(2, "c", "o1", 1)]
    assert moves(history[:2], START + 3 * DAY, rules) == [(iso(START), "s1")]
    assert moves(history, START + 3 * DAY, rules) == [(iso(START), "s1"), (iso(START + 2 * DAY), None)]
    before = [cancel(0, "b", "o1"), order(1, "a", "o1")]
    assert moves(before, START + 3 * DAY, rules) == []


def test_the_least_net_is_enough() -> None:
    """An order of exactly the least net counts, one of a minor unit less does not; other currencies always do."""
    leaf = Compare("standing_orders", ">=", 1)
    for net, counts in ((1999, False), (2000, True)):
        assert bool(moves([order(0, "a", "o1", net)], START + 1, asking(leaf, min_order_net=(2000, "EUR")))) == counts
        assert moves([order(0, "a", "o1", net)], START + 1, asking(leaf, min_order_net=(2000, "USD")))


def test_facts_of_an_instant_apply_together() -> None:
    """An order and its cancellation in one millisecond make no customer, whichever comes first in the file."""
    for first, second in (("a", "b"), ("b", "a")):
        history: list[Fact] = [order(1, first, "o1"), cancel(1, second, "o1")]
        assert [stage for _, stage in moves(history, START + 2 * DAY)] == ["acquisition"]


def test_a_fact_of_the_instant_of_a_tick_is_in_time() -> None:
    """A tick says that all before its instant is known: what is due at that instant still waits for its facts."""
    whole = partition(CLM5)
    whole.fold(records([order(0, "a", "o1")]))
    assert whole.fold([record(1, Tick(START + 90 * DAY))]) == []
    assert [c.data.kind for c in whole.fold([record(2, order(90, "b", "o2"))])] == ["advance"]


def test_a_thing_told_twice_in_one_window_is_one() -> None:
    """Distinct things are counted by their latest instant in the window."""
    rules = asking(Compare("features", ">=", 2, 10 * DAY))

    def used(day: float, id: str, feature: str) -> FeatureUsed:
        return FeatureUsed(feature=feature, time=START + round(day * DAY), source="shop", id=id, customer_id="c1")

    history: list[Fact] = [used(0, "a", "x"), used(4, "b", "x"), used(6, "c", "y")]
    assert moves(history, START + 30 * DAY, rules) == [(iso(START + 6 * DAY), "s1"), (iso(START + 14 * DAY), None)]


def test_bots_leave_no_trace_at_the_boundary() -> None:
    """A bot at the last moment puts off nothing."""
    bot: WebVisit = msgspec.structs.replace(visit(90, "b"), bot=True)
    assert moves([visit(0, "a"), bot], START + 91 * DAY)[-1] == (iso(START + 90 * DAY), "dormant")


def test_a_refund_counts_in_the_currency_of_the_order() -> None:
    """Without a currency its amount has two digits, whatever the order's has; one in another currency counts for nothing."""
    rules = asking(Compare("standing_orders", ">=", 1))
    yen = msgspec.structs.replace(order(0, "a", "o1", 1000), currency="JPY")
    for minor, currency, stands in (
        (99_900, None, True),
        (100_000, None, False),
        (999, "JPY", True),
        (1000, "JPY", False),
        (100_000, "EUR", True),
    ):
        back = msgspec.structs.replace(refund(1, "b", "o1", minor), currency=currency)
        for history in ([yen, back], [back, yen]):
            whole = partition(rules)
            whole.fold(records(history))
            path = moves(history, START + 2 * DAY, rules)
            assert [stage for _, stage in path] == ["s1", *([] if stands else [None])]
            given = {None: minor // 100, "JPY": minor}.get(currency, 0)
            assert whole.marker.sums == {"JPY": [1, 1000, max(0, 1000 - given)]}


def test_a_purchase_at_the_instant_of_the_closing_is_not_later() -> None:
    """Who buys in the very millisecond in which the last account is closed has churned; a millisecond later not."""
    common = {"source": "shop", "customer_id": "c1", "account_id": "a"}
    closed = AccountClosed(id="b", time=START + DAY, **common)  # type: ignore[arg-type]
    for beside, stage in ((-1, "churned"), (0, "churned"), (1, "conversion")):
        assert moves([closed, at(START + DAY + beside, order(0, "a", "o1"))], START + 2 * DAY)[-1][1] == stage


def test_a_cancelled_order_with_a_part_paid_back_does_not_stand() -> None:
    """A refund of a part keeps no cancellation from counting."""
    history: list[Fact] = [order(0, "a", "o1", 1000), refund(1, "b", "o1", 1), cancel(2, "c", "o1")]
    assert moves(history, START + 3 * DAY)[-1] == (iso(START + 2 * DAY), "acquisition")


def test_of_a_refund_told_twice_the_earlier_counts() -> None:
    """Two events with one refund id: that with the smaller time, though it comes later."""
    back = msgspec.structs.replace(refund(1, "c", "o1", 400), refund_id="r-b")
    history: list[Fact] = [order(0, "a", "o1", 1000), refund(2, "b", "o1", 1000), back]
    assert [stage for _, stage in moves(history, START + 3 * DAY)] == ["conversion"]
    assert [stage for _, stage in standing_moves(partition(CLM5).fold(records([*history, Tick(START + 3 * DAY)])))] == [
        "conversion"
    ]


@pytest.mark.parametrize(
    "leaf", [Compare("visits", ">=", 30, 35 * DAY), Compare("sessions", ">=", 30, 35 * DAY)], ids=str
)
def test_what_is_let_go_is_out_of_reach(leaf: Compare) -> None:
    """With more signals than are kept at once, those within the window are all counted, to its last millisecond."""
    history = [msgspec.structs.replace(visit(n, f"v{n:02}"), session_id=f"{n}") for n in range(60)]
    items = [item for fact in history for item in (Tick(fact.time + 6 * DAY), fact)]
    items.append(Tick(START + 100 * DAY))
    changes = partition(asking(leaf)).fold(records(items))
    assert standing_moves(changes) == [(START + 29 * DAY, "s1"), (START + 65 * DAY, None)]


def test_the_last_of_many_answers_is_not_let_go() -> None:
    """An answer that was in force within the lateness is still known when a late fact asks for it."""

    def answer(day: float, id: str, score: float) -> FeedbackReceived:
        common = {"time": START + round(day * DAY), "source": "shop", "id": id, "customer_id": "c1"}
        return FeedbackReceived(survey_id="q", metric="nps", score=score, scale_min=0, scale_max=10, **common)  # type: ignore[arg-type]

    items: list[Fact | Tick] = [answer(n, f"e{n}", 10) for n in range(30)]
    items += [Tick(START + 200 * DAY), answer(200, "f", 3), visit(194, "late"), Tick(START + 201 * DAY)]
    changes = partition(asking(Compare("nps", ">=", 9000))).fold(records(items))
    assert [(c.data.stage, c.data.kind) for c in changes] == [("s1", "entry"), (None, "demotion")]
