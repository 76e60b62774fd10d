"""What the facts of nobody add to live KPIs: impressions, clicks on ads, social acts, and costs.

A company record is never united with another, so each fact is added once, and nothing is noted in the record. A cost is a
level that names what there is to say of it, from the day of its begin to when no window meets it any more: what of it falls
into a window is worked out when it is asked, exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction

from lifestage.fact import Fact
from lifestage.facts import AdClick, AdImpression, CostRecorded, SocialEngagement
from lifestage.keys import COMPANY
from lifestage.kpi_days import LEVEL, Days, Entries, Name, day_of, whole_days
from lifestage.kpi_gather import NONE, label_of
from lifestage.kpi_live import Now
from lifestage.profile import Profile

COST = "cost"
"""The name of costs: category, currency, channel, begin and end (ms) are its labels, minor units its amount. Those of which all
is in the window are called by no begin and end."""
Place = tuple[str, str, str]
"""Category, currency and channel."""


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
    """A cost, from the day on which it is recorded or begins, whichever is later, for as long as a window may meet it.

    While all of its period is in the window it goes with all others of its kind; only while the window begins or ends within it
    it is named after its period, so that these names are few.
    """
    begin, end = fact.period_start, fact.period_end
    if fact.bot:
        return []
    channel = label_of(fact.channel) if fact.channel else NONE
    name, minor = (LEVEL + COST, fact.category, fact.currency, channel), fact.amount_minor
    part, whole = (*name, str(begin), str(end)), (*name, "", "")
    since, until = max(day_of(fact.time), day_of(begin)), day_of(end) + window
    within, leaves = max(since, day_of(end)), day_of(begin + 1) + window
    if within >= leaves:
        turns = [(part, since, until)]
    else:
        turns = [(part, since, within), (whole, within, leaves), (part, leaves, until)]
    return [
        entry
        for called, first, last in turns if first < last
        for entry in ((called, first, minor), (called, last, -minor))
    ]  # fmt: skip


def _parts(totals: Mapping[Name, int], day: int, window: int) -> dict[Place, dict[int, int]]:
    """What was spent in the window up to the end of a day, by category, currency and channel: numerators by denominator."""
    span = whole_days(day, window)
    found: defaultdict[Place, dict[int, int]] = defaultdict(dict)
    for key, minor in totals.items():
        if key[0] != COST:
            continue
        length = 1
        if key[4]:
            start, end = int(key[4]), int(key[5])
            minor *= max(0, min(end, span.end) - max(start, span.begin))  # noqa: PLW2901
            length = end - start
        if minor:
            of = found[key[1], key[2], key[3]]
            of[length] = of.get(length, 0) + minor
    return found


def spent_of(totals: Mapping[Name, int], day: int, window: int) -> dict[Place, Fraction]:
    """What was spent in the window up to the end of a day, in minor units by category, currency and channel."""
    found = {
        place: sum((Fraction(minor, length) for length, minor in parts.items()), Fraction(0))
        for place, parts in _parts(totals, day, window).items()
    }
    return {place: minor for place, minor in found.items() if minor}


def spent_about(totals: Mapping[Name, int], day: int, window: int) -> dict[Place, Fraction]:
    """The same to 2⁻⁶⁴ of a minor unit for each length of period, at little cost however odd these are."""
    return {
        place: Fraction(sum((minor << 64) // length for length, minor in parts.items()), 1 << 64)
        for place, parts in _parts(totals, day, window).items()
    }
