"""What the facts of nobody add to live KPIs: impressions, clicks on ads, social acts, and costs.

A company record is never united with another, so each fact is added once, and nothing is noted in the record. A cost is a
level that names all there is to say of it, from the day of its begin to when no window meets it any more: what of it falls
into a window is worked out when it is asked, exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction

from lifestage.fact import Fact
from lifestage.facts import AdClick, AdImpression, CostRecorded, SocialEngagement
from lifestage.keys import COMPANY
from lifestage.kpi_costs import overlap
from lifestage.kpi_days import LEVEL, Days, Entries, Name, day_of, whole_days
from lifestage.kpi_gather import NONE, Cost, label_of
from lifestage.kpi_live import Now
from lifestage.profile import Profile

COST = "cost"
"""The name of costs: category, currency, channel, begin and end (ms) are its labels, minor units its amount."""


def company(key: str, profile: Profile, fact: Fact, now: Now, days: Days) -> bool:  # noqa: ARG001
    """Add an accepted fact of a company record; False where it is a person's."""
    if not key.startswith(COMPANY):
        return False
    days.add(cost(fact, now.window) if isinstance(fact, CostRecorded) else counted(fact))
    return True


def counted(fact: Fact) -> Entries:
    """What an impression, a click on an ad or a social act adds in its day; nothing if it is a bot's."""
    if fact.bot:
        return []
    day = day_of(fact.time)
    if isinstance(fact, AdImpression):
        return [(("impressions",), day, fact.count)]
    if isinstance(fact, AdClick):
        return [(("ad_clicks",), day, fact.count)]
    if isinstance(fact, SocialEngagement):
        return [(("social_engagement", label_of(fact.kind or NONE)), day, fact.count)]
    return []


def cost(fact: CostRecorded, window: int) -> Entries:
    """A cost, from the day on which it is recorded or begins, whichever is later, for as long as a window may meet it."""
    begin, end = fact.period_start, fact.period_end
    if fact.bot:
        return []
    channel = label_of(fact.channel) if fact.channel else NONE
    name = LEVEL + COST, fact.category, fact.currency, channel, str(begin), str(end)
    since, until = max(day_of(fact.time), day_of(begin)), day_of(end) + window
    return [(name, since, fact.amount_minor), (name, until, -fact.amount_minor)] if since < until else []


def costs(totals: Mapping[Name, int]) -> list[Cost]:
    """The costs among the sums of a day."""
    return [
        Cost(key[1], key[3], key[2], minor, int(key[4]), int(key[5])) for key, minor in totals.items() if key[0] == COST
    ]


def spent_of(totals: Mapping[Name, int], day: int, window: int) -> dict[tuple[str, str, str], Fraction]:
    """What was spent in the window up to the end of a day, in minor units by category, currency and channel."""
    span = whole_days(day, window)
    found: defaultdict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
    for one in costs(totals):
        minor = overlap(one, span.begin, span.end)
        if minor:
            found[one.category, one.currency, one.channel] += minor
    return dict(found)
