"""What the facts of nobody add while they come in, against the offline functions."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lifestage import facts as f
from lifestage.kpi_contribute import Sums
from lifestage.kpi_contribute import company as offline
from lifestage.kpi_costs import spent
from lifestage.kpi_days import Days, whole_days
from lifestage.kpi_gather import Gather
from lifestage.kpi_live import Now
from lifestage.kpi_live_company import COST, company, spent_about, spent_of
from lifestage.profile import Profile
from tests.core.effort import effort
from tests.core.histories import RULES, START
from tests.core.oracle import DAY

FIRST = START // DAY
_DAYS = (0, 1, 6, 7, 8, 29, 30, 31, 60)


def some_facts(draw: Random) -> list[f.Fact]:
    """Costs of periods that begin and end anywhere, impressions and social acts, some of bots."""
    found: list[f.Fact] = []
    for n in range(draw.randrange(25)):
        at = START + draw.choice(_DAYS) * DAY + draw.choice((0, 1, DAY - 1, 12_345))
        common: dict[str, Any] = {"time": at, "source": "erp", "id": f"e{n}", "bot": draw.random() < 0.1}
        kind = draw.randrange(5)
        if kind < 2:
            start = START + draw.choice(_DAYS) * DAY + draw.choice((0, -1, 1, 5_000_000))
            found.append(f.CostRecorded(cost_id=f"k{n}", amount_minor=draw.choice((1, 999, 12_345)), currency=draw.choice(("EUR", "USD")),
                                        category=draw.choice(("marketing", "sales", "support")), channel=draw.choice((None, "cpc", "a@b.c")),
                                        period_start=start, period_end=start + draw.choice((1, DAY, 7 * DAY, 45 * DAY + 1)), **common))  # fmt: skip
        elif kind == 2:
            found.append(f.AdImpression(campaign_id="c", count=draw.choice((1, 10)), **common))
        elif kind == 3:
            found.append(f.AdClick(campaign_id="c", count=2, **common))
        else:
            found.append(f.SocialEngagement(campaign_id="c", kind=draw.choice(("like", None)), count=3, **common))
    return found


@effort(300)
@given(st.integers(0, 1 << 40), st.sampled_from((1, 7, 30)))
def test_live_is_offline_on_each_day(seed: int, window: int) -> None:
    """Costs to the fraction of a minor unit, whenever they are recorded; nothing of them is left when no window meets them."""
    draw = Random(seed)
    days, told = Days(window, FIRST - 1), some_facts(draw)
    waiting = list(told)
    draw.shuffle(waiting)
    known: list[f.Fact] = []
    while days.day < FIRST + 200:
        for fact in waiting[: draw.randrange(4)]:
            waiting.remove(fact)
            known.append(fact)
            assert company("company:00", Profile(), fact, Now(days.day, window, RULES), days)
        span = whole_days(days.day, window)
        gathered = Gather(span)
        for fact in sorted(known, key=lambda one: (one.time, one.id)):
            if fact.time <= span.end:
                gathered.take(fact)
        expected: Sums = Counter()
        offline(gathered, expected)
        totals = days.totals()
        assert {key: n for key, n in totals.items() if key[0] != COST} == {key: n for key, n in expected.items() if n}
        live = spent_of(totals, days.day, window)
        about = spent_about(totals, days.day, window)
        assert all(abs(about[place] - minor) * 10**15 < 1 for place, minor in live.items())
        for category in ("marketing", "sales", "support"):
            right = {
                place: minor for place, minor in spent(gathered.costs, frozenset({category}), span).items() if minor
            }
            assert {key[1:]: minor for key, minor in live.items() if key[0] == category} == right
        days.turn(days.day + draw.choice((1, 1, 5, 30)))
    assert not [key for key in days.totals() if key[0] == COST]


def test_a_persons_fact_is_left_to_the_person() -> None:
    """A click on an ad under an id is not the company's, as the person may be united with another who has it, too."""
    click = f.AdClick(time=START, source="ads", id="e", campaign_id="c", customer_id="ann")
    days = Days(7, FIRST)
    assert not company("ann", Profile(), click, Now(FIRST, 7, RULES), days)
    assert days.totals() == {}
