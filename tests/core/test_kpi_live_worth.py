"""Lifetime values while orders come in, against the offline functions over the same facts."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import groupby
from random import Random
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lifestage import facts as f
from lifestage.cause import Rules
from lifestage.fact import Fact
from lifestage.fold import fold
from lifestage.kpi_contribute import Bought, Sums
from lifestage.kpi_days import Entries, end_of_day, whole_days
from lifestage.kpi_follow import Following, Walked, found_in
from lifestage.kpi_live import Now
from lifestage.kpi_live_worth import GOODS, KNOWN_NET, worth, worth_after, worth_before
from lifestage.kpi_note import note
from lifestage.kpi_spread import spread
from lifestage.ledger import KNOWN, find_order, known_order, number
from lifestage.plan import Compiled
from lifestage.profile import Profile, decode, encode
from lifestage.replay import in_order, time_of
from lifestage.seen import id_hash, remember
from tests.core.effort import effort
from tests.core.histories import CLM5, RULES, START
from tests.core.kpi_live_sums import mean, quantile, value_at, without_zero
from tests.core.oracle import DAY

FIRST = START // DAY
WINDOW = 30
PLANS = tuple(
    RULES._replace(plan=Compiled(replace(CLM5, min_order_net=least)), window=WINDOW) for least in (None, (600, "EUR"))
)
_DAYS = (0, 0, 1, 2, 30, 31, 60, 90, 200)
OrderFact = f.OrderCompleted | f.OrderUpdated | f.OrderRefunded | f.OrderCancelled


def order_facts(draw: Random, who: str, most: int) -> list[OrderFact]:
    """What happens to a few orders in any order of arrival: versions with and without a cost of goods, in several currencies."""
    found: list[OrderFact] = []
    for n in range(draw.randrange(most)):
        time = START + draw.choice(_DAYS) * DAY + draw.choice((0, 1, DAY - 1))
        common: dict[str, Any] = {"time": time, "source": "shop", "id": f"{who}{n}", "customer_id": who}
        common["order_id"] = f"{who}-{draw.randrange(5)}"
        kind = draw.choices(("completed", "updated", "refunded", "cancelled"), (6, 2, 2, 1))[0]
        if kind in ("completed", "updated"):
            net = draw.choice((0, 500, 700, 1000, 90_000))
            make = f.OrderCompleted if kind == "completed" else f.OrderUpdated
            found.append(make(**common, currency=draw.choice(("EUR", "EUR", "USD")), total_minor=net + 100, net_minor=net,
                              cost_of_goods_minor=draw.choice((None, 0, 300, 450))))  # fmt: skip
        elif kind == "refunded":
            amount = draw.choice((100, 600, 800, 1100))
            found.append(f.OrderRefunded(**common, refund_id=f"r{n}", amount_minor=amount, currency=draw.choice(("EUR", None))))  # fmt: skip
        else:
            found.append(f.OrderCancelled(**common))
    return found


class Person(NamedTuple):
    """Somebody whose orders come in, and what they have added so far."""

    profile: Profile
    entries: Entries

    def take(self, fact: OrderFact, now: Now) -> None:
        """One fact, as a step folds it."""
        profile, key = self.profile, now.rules.id_key
        was = worth_before(profile, now)
        if known_order(find_order(profile, number(fact.source, fact.order_id, key)), fact, key) == KNOWN:
            return
        fold(profile, fact, -1, key, now.rules.plan.keep, 0)
        remember(profile, id_hash(fact.source, fact.id, key), fact.time, 0)
        note(profile, fact, now)
        self.entries.extend(worth_after(was, profile, fact, now))


def bought_by(who: str, facts: list[Fact], rules: Rules, day: int) -> list[Bought]:
    """What offline finds that somebody bought up to the end of a day."""
    span = whole_days(day, WINDOW)
    following = Following(who, rules, span, Walked(), ())
    for _, together in groupby(in_order([one for one in facts if one.time <= span.end]), key=time_of):
        following.take(list(together))
    return following.finish(Counter()).bought


def right(bought: list[Bought]) -> Sums:
    """The sums of what customers bought."""
    sums: Sums = Counter()
    for one in bought:
        entries = spread("clv_1", (one.currency,), one.net_minor, 0) + spread(
            "clv_orders", (one.currency,), one.orders, 0
        )
        entries += [((KNOWN_NET, one.currency), 0, one.known_net_minor), ((GOODS, one.currency), 0, one.goods_minor)]
        for name, _, amount in entries:
            sums[name] += amount
    return without_zero(sums)


@effort(300)
@given(st.integers(0, 1 << 40), st.sampled_from(PLANS))
def test_live_is_offline_after_each_fact(seed: int, rules: Rules) -> None:
    """As of the present day and later ones, whichever facts come late or lie ahead, kept and read again in between or not."""
    draw = Random(seed)
    arriving = order_facts(draw, "ann", 14)
    draw.shuffle(arriving)
    profile, entries, day = Profile(), Entries(), FIRST - draw.choice((0, 1000))
    told: list[Fact] = []
    for fact in arriving:
        day += draw.choice((0, 0, 0, 1, 30, 31))
        now = Now(day, WINDOW, rules)
        if draw.random() < 0.2:
            profile = decode(encode(profile))
        Person(profile, entries).take(fact, now)
        told.append(fact)
        for later in (day, day + 1, FIRST + 31, FIRST + 400):
            if later >= day:
                expected = right(bought_by("ann", told, rules, later))
                assert value_at(entries, later, WINDOW) == expected
                assert value_at(worth("ann", decode(encode(profile)), now), later, WINDOW) == expected
                assert value_at(worth("ann", profile, now), later, WINDOW) == expected


@effort(60)
@given(st.integers(0, 1 << 40))
def test_lifetime_values_are_those_of_files(seed: int) -> None:
    """CLV 1 to 3 of many customers: means to half a minor unit, medians and nine in ten to a quarter."""
    draw, rules = Random(seed), PLANS[0]
    entries, told, day = Entries(), list[Fact](), FIRST + 200
    for n in range(draw.randint(1, 12)):
        person = Person(Profile(), entries)
        theirs = order_facts(draw, f"c{n}", 8)
        for fact in theirs:
            person.take(fact, Now(FIRST, WINDOW, rules))
        told += theirs
    live = value_at(entries, day, WINDOW)
    offline = found_in(told, rules, whole_days(day, WINDOW)).spreads
    currencies = {key[1] for key in live if key[0] == "clv_1_count"}
    assert {key for key in offline if key[0] in ("clv_1", "clv_3")} == {
        (name, one) for name in ("clv_1", "clv_3") for one in currencies
    }
    for one in currencies:
        known, goods = live[KNOWN_NET, one], live[GOODS, one]
        average = Fraction(live["clv_1_sum", one], live["clv_orders_sum", one])
        factors = {"clv_1": ("clv_1", Fraction(1)), "clv_3": ("clv_orders", average)}
        if known > 0:
            factors["clv_2"] = "clv_1", Fraction(known - goods, known)
        for name in ("clv_1", "clv_2", "clv_3"):
            assert ((name, one) in offline) == (name in factors)
            if name in factors:
                of, factor = factors[name]
                expected = offline[name, one]
                assert abs(mean(of, (one,), live) * factor - expected.mean) <= Fraction(1, 2)
                assert live[of + "_count", one] == expected.n
                if factor > 0:
                    found = quantile(Fraction(9, 10), of, (one,), live) * float(factor)
                    assert float(expected.p90) * 0.8 - 10 <= found <= float(expected.p90) * 1.25 + 10


def test_an_order_in_its_time_costs_the_same_however_many_there_are() -> None:
    """Three thousand orders, one a day: each tells at most what was and what is now."""
    person, rules = Person(Profile(), []), PLANS[0]
    for n in range(3000):
        fact = f.OrderCompleted(time=START + n * DAY, source="shop", id=f"e{n}", customer_id="ann", order_id=f"o{n}",
                                currency="EUR", total_minor=100, net_minor=100)  # fmt: skip
        before = len(person.entries)
        person.take(fact, Now(FIRST + max(0, n - 3), WINDOW, rules))
        assert len(person.entries) - before <= 12
    live = value_at(person.entries, FIRST + 3000, WINDOW)
    assert live["clv_1_sum", "EUR"] == 300_000
    assert live["clv_orders_bucket", "EUR", "3300"] == 1
    assert end_of_day(FIRST) == START + DAY - 1


def test_what_a_superseded_event_said_of_goods_counts_no_more() -> None:
    """Two events place one order; the earlier counts, although it came later and says nothing of a cost."""
    person, now = Person(Profile(), []), Now(FIRST, WINDOW, PLANS[0])
    order = f.OrderCompleted(time=START + 1, source="shop", id="b", customer_id="ann", order_id="o", currency="EUR",
                             total_minor=500, net_minor=500, cost_of_goods_minor=200)  # fmt: skip
    person.take(order, now)
    assert value_at(person.entries, FIRST, WINDOW)[GOODS, "EUR"] == 200
    person.take(replace(order, time=START, id="a", cost_of_goods_minor=None), now)
    assert value_at(person.entries, FIRST, WINDOW)[KNOWN_NET, "EUR"] == 0
