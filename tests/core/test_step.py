"""One record meets one profile: visitors without a name, lateness, duplicates, timers, and the numbers beside the stage."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import msgspec
import pytest
from hypothesis import example, given

from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.facts import Consent, Context, Fact, OrderCompleted, WebVisit
from lifestage.moments import iso, parse
from lifestage.partition import Partition
from lifestage.plan import Compiled
from tests.core import oracle
from tests.core.histories import (
    CLM5,
    RULES,
    START,
    Tick,
    arrivals,
    at_day,
    cancel,
    facts,
    mail,
    order,
    partition,
    record,
    records,
    refund,
    restless,
    standing_moves,
    thorough,
    visit,
)
from tests.core.oracle import DAY

MS = 1 / DAY


def told(changes: list[Announced]) -> list[tuple[str, str | None, str]]:
    """Changes as (kind, stage, instant)."""
    return [(change.data.kind, change.data.stage, change.data.entered_at) for change in changes]


def kinds(items: list[Fact | Tick], rules: Rules = RULES) -> list[tuple[str, str | None]]:
    """What a fresh partition announces, as (kind, stage)."""
    return [(change.data.kind, change.data.stage) for change in partition(rules).fold(records(items))]


def anonymous(day: float, id: str, visitor: str = "v") -> WebVisit:
    """A visit of somebody without a name."""
    return msgspec.structs.replace(visit(day, id), customer_id=None, anonymous_id=visitor)


def counted(whole: Partition) -> dict[str, int]:
    """Events by outcome."""
    found: Counter[str] = Counter()
    for by_type in whole.marker.accounts.values():
        for outcomes in by_type.values():
            found.update(outcomes)
    return dict(found)


TRIMMED: list[Fact | Tick] = [order(1, "a", "o"), cancel(2, "b", "o"), order(0, "c", "first")]
for _day in range(3, 7):
    TRIMMED += [order(_day, f"o{_day}", f"o{_day}"), cancel(_day + 0.5, f"c{_day}", f"o{_day}")]
TRIMMED += [at_day(8.5), order(8.6, "d", "last"), cancel(1.6, "e", "first"), at_day(9)]


@thorough
@given(restless())
@example(TRIMMED)
def test_many_moves_within_the_lateness_are_corrected_right(log: list[Fact | Tick]) -> None:
    """Also where a profile has dropped its oldest moves, a correction tells again all that it takes back and still holds."""
    end = max(item.time for item in log if isinstance(item, Tick))
    history = [item for item in log if not isinstance(item, Tick)]
    assert standing_moves(partition().fold(records(log))) == oracle.path(history, end)


@thorough
@given(arrivals())
def test_numbers_beside_the_stage(log: list[Fact | Tick]) -> None:
    """First reached, times entered, high water, seconds in the stage before, orders and money: counted from the path."""
    folded, known, ticked = partition(), list[Fact](), -1
    for offset, item in enumerate(log):
        changes = folded.fold([record(offset, item)])
        if isinstance(item, Tick):
            ticked = max(ticked, item.time)
        else:
            known.append(item)
        if not changes:
            continue
        path = oracle.path(known, max([ticked, *(fact.time + 1 for fact in known)]))
        data = changes[-1].data
        assert data.times_entered == Counter(stage for _, stage in path)
        assert data.first_reached == {stage: iso(at) for at, stage in reversed(path)}
        reached = [stage for stage in oracle.LADDER if stage in data.first_reached]
        assert data.high_water_stage == (reached[-1] if reached else None)
        if data.kind != "correction":
            before = path[-2][0] if len(path) > 1 else None
            at = parse(data.entered_at)
            assert data.time_in_previous_s == (None if before is None else (at - before) / 1000)
            placed = [o for o in oracle.orders_at(known, at) if o.fell is None]
            assert data.metrics.orders == len(placed)
            assert data.metrics.last_order_at == (iso(max(o.placed for o in placed)) if placed else None)
            days = {o.placed // DAY for o in placed if o.placed > at - 365 * DAY}
            assert data.metrics.order_days_365d == len(days)


@thorough
@given(facts(8, "anon:v"))
def test_who_has_no_name_is_not_announced(history: list[Fact]) -> None:
    """Nothing that an anonymous visitor does is announced; with orders the profile stays, without it goes in the end."""
    in_time = sorted(history, key=lambda fact: (fact.time, fact.source, fact.id))
    whole = partition()
    assert whole.fold(records([*in_time, Tick(START + 5000 * DAY)])) == []
    ledger = any(type(fact).__name__.startswith("Order") for fact in history)
    assert (whole.checkpoint().profiles[b"anon:v"] is not None) == ledger
    assert set(whole.marker.population.values()) <= ({0, 1} if ledger else {0})


def test_a_bot_without_a_name_is_forgotten_too() -> None:
    """A visitor whose visits give no stage leaves nothing behind either: crawlers must not fill the store."""
    whole = partition()
    whole.fold(records([msgspec.structs.replace(anonymous(0, "a"), bot=True), at_day(31)]))
    assert whole.checkpoint().profiles == {b"anon:v": None}


def test_a_visitor_is_forgotten_after_30_days() -> None:
    """30 days after the last visit, not a millisecond earlier, the profile is gone: counted, and nobody is left in reach."""
    whole = partition()
    whole.fold(records([anonymous(0, "a"), anonymous(5, "b"), at_day(35)]))
    assert (whole.marker.forgotten, whole.marker.population["reach"]) == (0, 1)
    whole.fold([record(3, at_day(35 + MS))])
    assert (whole.marker.forgotten, whole.marker.population["reach"]) == (1, 0)
    assert whole.checkpoint().profiles == {b"anon:v": None}
    assert list(whole.keys()) == []


def test_a_visit_at_the_last_moment_keeps_the_visitor() -> None:
    """A fact comes before a timer of its instant: a visit exactly 30 days later is that of somebody who is still known."""
    whole = partition()
    whole.fold(records([anonymous(0, "a"), anonymous(30, "b"), anonymous(61, "c")]))
    profile = whole.profile(b"anon:v")
    assert profile is not None
    assert (whole.marker.forgotten, profile.first_seen) == (1, START + 61 * DAY)


def test_announced_visitors_stay_and_sleep() -> None:
    """With `announce_anonymous` a visitor is announced like everybody else, dormant after 90 days too."""
    rules = RULES._replace(announce_anonymous=True)
    assert kinds([anonymous(0, "a"), at_day(91)], rules) == [("entry", "reach"), ("dormancy", "dormant")]


@pytest.mark.parametrize(
    ("day", "then"),
    [
        (90 - MS, [("entry", "conversion"), ("advance", "retention")]),
        (90, [("entry", "conversion"), ("advance", "retention")]),
        (90 + MS, [("entry", "conversion"), ("at_risk", "at_risk"), ("recovery", "retention")]),
        (180, [("entry", "conversion"), ("at_risk", "at_risk"), ("recovery", "retention")]),
        (
            180 + MS,
            [("entry", "conversion"), ("at_risk", "at_risk"), ("churn", "churned"), ("reactivation", "retention")],
        ),
    ],
)
def test_an_order_at_the_due_instant_prevents(day: float, then: list[tuple[str, str]]) -> None:
    """Exactly 90 days later is in time, one millisecond later is not; the same at 180."""
    assert kinds([order(0, "a", "o1"), order(day, "b", "o2")]) == then


def test_the_window_is_half_open() -> None:
    """Three order-days in (t − 365 d, t]: the first leaves exactly 365 days after its order."""
    changes = partition().fold(
        records([*(order(day, f"e{day}", f"o{day}") for day in (0, 1, 300)), at_day(365), at_day(365 + MS)])
    )
    assert told(changes)[-1] == ("demotion", "retention", iso(START + 365 * DAY))
    assert changes[-1].data.trigger.offset == 4


def test_one_day_is_one_order_day() -> None:
    """Two orders on one UTC day do not make a repeat customer; one millisecond into the next day does."""
    assert kinds([order(0, "a", "o1"), order(1 - MS, "b", "o2")]) == [("entry", "conversion")]
    assert kinds([order(0, "a", "o1"), order(1, "b", "o2")])[-1] == ("advance", "retention")


def test_beyond_the_lateness_visits_are_late_and_orders_amend_the_present() -> None:
    """An order older than 7 days is one correction of the present; the announced past stays. A visit is counted late."""
    whole = partition()
    first = whole.fold(records([visit(0, "a"), order(1, "b", "o1"), at_day(50)]))
    later = whole.fold([record(3, visit(43 - MS, "c")), record(4, order(40, "d", "o2"))])
    assert [change.data.kind for change in first] == ["entry", "skip"]
    assert told(later) == [("correction", "retention", iso(START + 50 * DAY - 1))]
    assert later[0].data.supersedes == ()
    assert [step.stage for step in later[0].data.path] == ["retention"]
    assert standing_moves([*first, *later])[:2] == standing_moves(first)
    assert counted(whole) == {"accepted": 3, "late": 1}


def test_a_fact_exactly_as_late_as_is_allowed_is_exact() -> None:
    """7 days behind the clock is in time: the path is derived as if the fact had come in its time."""
    changes = partition().fold(records([order(50, "b", "o1"), at_day(50.5), order(43.5, "c", "o2"), visit(43.5, "d")]))
    assert told(changes)[-1][:2] == ("correction", "retention")
    assert standing_moves(changes) == [
        (START + round(43.5 * DAY), "conversion"),
        (START + 50 * DAY, "retention"),
    ]


def test_an_order_is_known_for_ever() -> None:
    """The same order, refund or cancellation under another event id is a duplicate, years later too; of another source not."""
    whole = partition()
    whole.fold(
        records(
            [
                order(0, "a", "o1"),
                at_day(700),
                order(690, "b", "o1"),
                refund(695, "r", "o1", 1),
                msgspec.structs.replace(refund(696, "s", "o1", 1), refund_id="r-r"),
                cancel(697, "c", "o1"),
                cancel(698, "d", "o1"),
                msgspec.structs.replace(order(699, "a", "o1"), source="market"),
            ]
        )
    )
    assert counted(whole) == {"accepted": 4, "duplicate": 3}


def test_the_order_of_what_happened_to_an_order_plays_no_part() -> None:
    """Order, part refund, refund of the rest and cancellation: in each order of arrival the same profile and sums."""
    parts: list[Fact] = [
        order(0, "a", "o1"),
        refund(1, "b", "o1", 400),
        refund(2, "c", "o1", 600),
        cancel(3, "d", "o1"),
    ]
    outcomes = set()
    for some in permutations(parts):
        whole = partition()
        changes = whole.fold(records([*some, at_day(4)]))
        outcomes.add((tuple(standing_moves(changes)), tuple(whole.marker.sums["EUR"])))
    assert outcomes == {(((START, "conversion"), (START + 2 * DAY, "acquisition")), (1, 1000, 0))}


def test_account_consent_and_first_touch() -> None:
    """Latest account and consent, first touch: by the times of the facts, not by arrival."""
    first = msgspec.structs.replace(
        visit(1, "a"), context=Context(source="news", medium="mail", campaign="may"), consent=Consent(marketing=True)
    )
    second = msgspec.structs.replace(
        visit(2, "b"),
        context=Context(source="ads"),
        account_id="acme",
        consent=Consent(marketing=False, analytics=True),
    )
    for arrival in ([first, second], [second, first]):
        (*_, change) = partition().fold(records([*arrival, order(3, "c", "o1")]))
        touch = change.data.acquisition
        assert (touch.source, touch.medium, touch.campaign) == ("news", "mail", "may")
        assert (change.data.account_id, change.data.consent) == ("acme", {"marketing": False, "analytics": True})


def test_grace_fires_later_and_stamps_the_same() -> None:
    """With a grace of 2 days at_risk is announced 2 days after it was due, with the instant at which it was due."""
    rules = RULES._replace(plan=Compiled(msgspec.structs.replace(CLM5, grace=2 * DAY)))
    whole = partition(rules)
    assert len(whole.fold(records([order(0, "a", "o1"), at_day(92)]))) == 1
    assert told(whole.fold([record(2, at_day(92 + MS))])) == [("at_risk", "at_risk", iso(START + 90 * DAY))]


def test_the_oldest_ids_go_above_the_cap_and_that_is_counted() -> None:
    """8,000 ids are kept of the horizon; with more, each that makes older ones go is counted."""
    whole = partition()
    visits = [msgspec.structs.replace(visit(0, f"e{n}"), time=START + n) for n in range(8_003)]
    whole.fold(records(visits))
    assert whole.marker.dedupe_overflow == 3
    again = [record(9_000, visits[8_002]), record(9_001, visits[3]), record(9_002, visits[2])]
    whole.fold(again)
    assert counted(whole) == {"accepted": 8_004, "duplicate": 2}


def test_mail_by_machines_and_visits_by_bots_are_nothing() -> None:
    """They give no stage, and no sign of life that would put off dormancy."""
    bot = msgspec.structs.replace(visit(80, "b"), bot=True)
    machine = msgspec.structs.replace(mail(81, "c", "clicked"), machine=True)
    assert kinds([bot, machine]) == []
    assert kinds([visit(0, "a"), bot, machine, at_day(90 + MS)]) == [("entry", "reach"), ("dormancy", "dormant")]


def test_an_order_for_nothing_stands_until_cancelled() -> None:
    """An order of total 0 is an order; a refund of 0 does not undo it."""
    free = order(0, "a", "o1", 0)
    assert isinstance(free, OrderCompleted)
    assert kinds([free, refund(1, "b", "o1", 0)]) == [("entry", "conversion")]
    assert kinds([free, cancel(1, "b", "o1")])[-1] == ("reversal", "acquisition")
