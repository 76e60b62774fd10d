"""Who bears which cost, against a count by hand."""

from __future__ import annotations

from fractions import Fraction
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from lifestage.kpi_contribute import Bought
from lifestage.kpi_costs import Shares
from lifestage.kpi_gather import Cost
from tests.core.effort import effort


@effort(50)
@given(st.integers(0, 1 << 40))
def test_all_that_winning_customers_cost_is_borne(seed: int) -> None:
    """However periods overlap, each customer bears what a count by hand says, and together all that anybody was won by."""
    draw = Random(seed)
    costs = [
        Cost("sales", draw.choice(("none", "cpc", "tv")), draw.choice(("EUR", "USD")), draw.randrange(9_999), start, start + draw.randint(1, 60))
        for start in draw.choices(range(100), k=draw.randrange(40))
    ]  # fmt: skip
    people = [
        Bought(key=f"c{n}", currency="EUR", orders=1, net_minor=0, known_net_minor=0, goods_minor=0,
               first=draw.randrange(81), channel=draw.choice(("cpc", "mail")), months=(), is_main=True)
        for n in range(draw.randrange(12))
    ]  # fmt: skip
    shares = Shares(costs, 80, "none")
    for one in people:
        shares.count(one)
    shares.settle()
    expected = dict.fromkeys((one.key for one in people), Fraction(0))
    for cost in costs:
        won = [one for one in people if cost.start <= one.first < cost.end and cost.channel in ("none", one.channel)]
        for one in won:
            if cost.currency == "EUR" and cost.start < 80:
                part = Fraction(min(cost.end, 80) - cost.start, cost.end - cost.start)
                expected[one.key] += cost.minor * part / len(won)
    assert {one.key: shares.of(one) for one in people} == expected
