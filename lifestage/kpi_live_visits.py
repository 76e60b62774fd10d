"""What a person's visits, leads and counted acts add to live KPIs."""

from __future__ import annotations

from struct import Struct
from typing import Final

from lifestage.kpi_contribute import BY_CHANNEL, LEAD_MS
from lifestage.kpi_days import Entries, Name
from lifestage.kpi_gather import DIRECT
from lifestage.kpi_intervals import (
    EVER,
    Intervals,
    active_days,
    common,
    hold,
    standing_days,
    stretch,
    union,
    within,
    without,
)
from lifestage.kpi_kept import Kept, Lead, Session
from lifestage.kpi_live import Now
from lifestage.kpi_note import ACTS, SOCIAL
from lifestage.kpi_visit import ACTS_OF_ACTIVE, PAGES, VISITORS, new_session
from lifestage.moments import DAY_MS
from lifestage.profile import Profile

_VISITORS: Name = (VISITORS,)
_PAGES: Name = (PAGES,)
_ACTS: Name = (ACTS_OF_ACTIVE,)
_begun: Final = Struct(">8xQ10x").iter_unpack
"""Of each session when it began, of which alone its acts ask."""


def visits(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """Sessions, their pages and origins, and whether the person is a visitor."""
    found: Entries = []
    kept = profile.kpi
    if kept is not None:
        hold(found, _VISITORS, visited_days(kept, now.day))
        if kept.begun:
            for session in kept.sessions.values():
                if session.began // DAY_MS + now.window > now.day:
                    _session(found, session, now.window)
    return found


def visited_days(kept: Kept, since: int) -> Intervals:
    """On which days a visit is in the window, as far as they are not before a day."""
    runs, window = kept.visits, kept.window
    return [(runs[n], runs[n + 1] + window) for n in range(0, len(runs), 2) if runs[n + 1] + window > since]


def _session(found: Entries, session: Session, window: int) -> None:
    """A session counts from the day on which it began; pages that were seen on a later one go with it."""
    began = session.began // DAY_MS
    found += [(name, began, 1) for name in new_session(session.origin)]
    counts = session.visits
    for n in range(0, len(counts), 3):
        stretch(found, _PAGES, counts[n], began + window, window, counts[n + 1])


# -- acts ----------------------------------------------------------------------------------------


def acts(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """Sessions begun and acts in the window, while the person is active."""
    found: Entries = []
    kept = profile.kpi
    if kept is None or not profile.orders:
        return found
    by_day = acts_by_day(kept, now.day - now.window)
    if by_day:
        _add_active(found, by_day, active_days(profile, now.rules.plan.terms, now.day), now.window)
    return found


def acts_by_day(kept: Kept, oldest: int) -> dict[int, int]:
    """How many sessions began and other acts were on each day after one."""
    by_day: dict[int, int] = {}
    for entry in _begun(kept.begun):
        began: int = entry[0]
        day = began // DAY_MS
        if day > oldest:
            by_day[day] = by_day.get(day, 0) + 1
    counts = kept.rest.counts.get(ACTS, ()) if kept.rest is not None else ()
    for n in range(0, len(counts), 3):
        if counts[n] > oldest:
            by_day[counts[n]] = by_day.get(counts[n], 0) + counts[n + 1]
    return by_day


def _add_active(found: Entries, by_day: dict[int, int], active: Intervals, window: int) -> None:
    for day, amount in by_day.items():
        for begin, end in within(active, day, day + window):
            stretch(found, _ACTS, begin, end, window, amount)


def counts(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """Impressions, clicks on ads, and social acts by kind."""
    found: Entries = []
    rest = profile.kpi.rest if profile.kpi is not None else None
    if rest is not None:
        for what, amounts in rest.counts.items():
            if what != ACTS:
                name = ("social_engagement", what.removeprefix(SOCIAL)) if what.startswith(SOCIAL) else (what,)
                found += [(name, amounts[n], amounts[n + 1]) for n in range(0, len(amounts), 3)]
    return found


# -- leads ---------------------------------------------------------------------------------------


def leads(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """Leads, by channel too, those that are qualified, and what became of them."""
    found: Entries = []
    kept = profile.kpi
    if kept is None or kept.rest is None or not kept.rest.leads:
        return found
    window, captured = now.window, []
    for lead in kept.rest.leads.values():
        day = lead.captured // DAY_MS
        if day + window > now.day:
            captured.append((day, day + window))
            _lead(found, lead, profile, now)
    hold(found, ("visitors_who_became_leads",), common(visited_days(kept, now.day), union(captured)))
    for begin, end in captured:
        touched = end if kept.touch is None else min(max(kept.touch[0] // DAY_MS, begin), end)
        stretch(found, ("leads" + BY_CHANNEL, DIRECT), begin, touched, window)
        if kept.touch is not None:
            stretch(found, ("leads" + BY_CHANNEL, kept.touch[3]), touched, end, window)
    return found


def _lead(found: Entries, lead: Lead, profile: Profile, now: Now) -> None:
    day, window = lead.captured // DAY_MS, now.window
    found.append((("leads",), day, 1))
    for n, (time, _, qualified) in enumerate(lead.said):
        if qualified:
            until = lead.said[n + 1][0] // DAY_MS if n + 1 < len(lead.said) else EVER
            stretch(found, ("qualified_leads",), time // DAY_MS, min(until, day + window), window)
    end, terms = lead.captured + LEAD_MS, now.rules.plan.terms
    bought = within(
        union(
            days for order in profile.orders if order.time is not None and lead.captured <= order.time <= end
            for days in standing_days(order, terms)
        ),
        day, day + window,
    )  # fmt: skip
    hold(found, ("leads_who_bought",), bought)
    hold(found, ("leads_open",), without([(day, min(day + window, end // DAY_MS + 1))], bought))
