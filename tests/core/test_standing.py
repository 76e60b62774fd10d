"""A customer with many orders is judged by running answers; they are those that looking at each order gives."""

from __future__ import annotations

import sys
from types import FrameType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import ledger, look, standing
from lifestage.cause import Rules
from lifestage.change import encode_value
from lifestage.facts import Fact, OrderUpdated
from lifestage.ledger import OrderFact
from lifestage.look import Look, Terms
from lifestage.marker import Marker
from lifestage.plan import Compiled
from lifestage.profile import Profile
from lifestage.standing import known_standing
from tests.core.effort import effort
from tests.core.histories import (
    CLM5,
    START,
    Record,
    Tick,
    arrivals,
    at_day,
    cancel,
    order,
    partition,
    records,
    refund,
    restless,
    visit,
)
from tests.core.oracle import DAY

some = effort(150)
TERMS = (Terms(), Terms(5 * 3_600_000), Terms(0, (700, "EUR")))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders are counted from the second on, and few are looked at one by one."""
    shrink(monkeypatch)


def shrink(patched: pytest.MonkeyPatch) -> None:
    """Let running answers be given for two orders and more, with two looked at one by one."""
    patched.setattr(look, "MANY", 1)
    patched.setattr(standing, "LOOSE", 2)


_days = st.one_of(st.integers(0, 40).map(lambda half: half / 2), st.sampled_from((0.0, 1.0, 400.0)))


@st.composite
def bookings(draw: st.DrawFn) -> list[OrderFact | float]:
    """Facts of some orders in any order, and days from which one looks."""
    found: list[OrderFact | float] = []
    for n in range(draw(st.integers(1, 25))):
        what, day, name = draw(st.integers(0, 5)), draw(_days), f"o{draw(st.integers(0, 7))}"
        amount = draw(st.sampled_from((0, 500, 700, 1000)))
        if what <= 1:
            found.append(order(day, f"e{n}", name, amount))
        elif what == 2:
            found.append(refund(day, f"e{n}", name, amount))
        elif what == 3:
            found.append(cancel(day, f"e{n}", name))
        elif what == 4:
            found.append(
                OrderUpdated(time=START + round(day * DAY), source="shop", id=f"e{n}", customer_id="c1", order_id=name,
                             currency="EUR", total_minor=amount, net_minor=amount)
            )  # fmt: skip
        found += draw(st.lists(_days, max_size=2))
    return found


def booked(profile: Profile, fact: OrderFact) -> None:
    """Enter a fact as the fold does."""
    entry = ledger.find_order(profile, ledger.number(fact.source, fact.order_id, b"key"))
    if ledger.known_order(entry, fact, b"key") != ledger.KNOWN:
        ledger.book(profile, entry, fact, 7, b"key")


def seen(profile: Profile, t: int, terms: Terms) -> tuple[object, ...]:
    """All that a look at the orders says."""
    found = Look(profile, t, terms)
    year = 365 * DAY
    return (
        found.standing, found.last_order, found.last_purchase, found.fell_at, found.customer, found.acquired,
        found.order_days(None), found.order_days(3 * DAY), found.order_days(year), sorted(found.day_instants()),
        found.orders_in(None), found.orders_in(year), found.since_first_order(), found.net_revenue("EUR", None),
    )  # fmt: skip


def looked(case: list[OrderFact | float], terms: Terms) -> list[object]:
    """What is seen on the way."""
    profile, found = Profile(), list[object]()
    for one in case:
        if isinstance(one, float):
            found.append(seen(profile, START + round(one * DAY), terms))
        else:
            booked(profile, one)
            entry = ledger.find_order(profile, ledger.number(one.source, one.order_id, b"key"))
            assert entry is not None
            found.append(msgspec.structs.asdict(entry))
    return found


@some
@given(bookings(), st.sampled_from(TERMS))
def test_running_answers_are_those_of_each_order(case: list[OrderFact | float], terms: Terms) -> None:
    """Whatever is booked in whatever order, and from whatever instant one looks in between, the answers are the same."""
    one_by_one = looked(case, terms)
    with pytest.MonkeyPatch.context() as patched:
        shrink(patched)
        assert looked(case, terms) == one_by_one


def folded(history: list[Record], rules: Rules) -> tuple[list[bytes], dict[bytes, bytes], Marker]:
    """Changes, profiles and counts of a log that is kept twice."""
    made, told = partition(rules), list[bytes]()
    for part in (history[: len(history) // 2], history[len(history) // 2 :]):
        told += [encode_value(change.data) for change in made.fold(part)]
        made.checkpoint()
    return told, dict(made.whole()), made.marker


@some
@given(
    st.one_of(arrivals(12), restless()),
    st.sampled_from((CLM5, msgspec.structs.replace(CLM5, min_order_net=(700, "EUR"), day_zone=3_600_000))),
)
def test_histories_are_judged_alike(items: list[Fact | Tick], plan: object) -> None:
    """Changes, profiles and counts are the same bytes, late facts, refunds and corrections included."""
    rules, history = Rules(Compiled(plan)), records(items)  # type: ignore[arg-type]
    one_by_one = folded(history, rules)
    with pytest.MonkeyPatch.context() as patched:
        shrink(patched)
        assert folded(history, rules) == one_by_one


def work_of(history: list[Record], patched: pytest.MonkeyPatch) -> int:
    """How many orders are looked at one by one while a log is folded."""
    count = 0
    at = standing.standing_at

    def counted(profile: Profile, *given: object) -> standing.Standing:
        nonlocal count
        found = at(profile, *given)  # type: ignore[arg-type]
        count += len(found.loose)
        return found

    patched.setattr(look, "standing_at", counted)
    partition().fold(history)
    return count


def test_work_does_not_grow_with_the_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one more order no more orders are looked at one by one when there are 1,500 than when there are 750."""
    few, many = (
        [order(n / 10, f"e{n}", f"o{n}") for n in range(750)],
        [order(n / 10, f"e{n}", f"o{n}") for n in range(1_500)],
    )
    small, large = (work_of(records(items), monkeypatch) for items in (few, many))
    assert 0 < large < 3 * small


def steps_of(history: list[Record], last: int) -> int:
    """How many calls of Python functions the last so many records of a log take."""
    made = partition()
    made.fold(history[:-last])
    count = 0

    def counted(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(counted)
    try:
        made.fold(history[-last:])
    finally:
        sys.setprofile(None)
    return count


def test_orders_of_one_instant_cost_no_walk_over_all() -> None:
    """Ten orders of the newest instant take as many steps beside 1,500 orders as beside 750."""
    few, many = (
        steps_of(records([order(min(n, most) / 10, f"e{n}", f"o{n}") for n in range(most + 10)]), 9)
        for most in (750, 1_500)
    )
    assert 0 < many < 1.2 * few


@pytest.mark.usefixtures("eager")
def test_a_running_answer_is_not_kept_nor_passed_on() -> None:
    """It is no part of a profile's bytes, a copy has none, and another list of orders is not answered by it."""
    made = partition()
    made.fold(records([order(n, f"e{n}", f"o{n}") for n in range(5)] + [visit(6, "v"), at_day(7)]))
    live = made.shown(b"c1")
    assert live is not None
    assert known_standing(live) is not None
    assert known_standing(msgspec.structs.replace(live, orders=live.orders[:2])) is None
    copy = made.profile(b"c1")
    assert copy == live
    assert copy is not None
    assert known_standing(copy) is None
    live.orders = live.orders[:2]
    assert known_standing(live) is None
    assert ledger.find_order(live, ledger.number("shop", "o4", b"lifestage")) is None
