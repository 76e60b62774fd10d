"""What a person's visits, leads and counted acts add to live KPIs; visits in O(1) each."""

from __future__ import annotations

from lifestage.facts import WebVisit
from lifestage.kpi_contribute import BY_CHANNEL, LEAD_MS
from lifestage.kpi_days import Days, Entries, Known, Name
from lifestage.kpi_entries import SESSION_SIZE, begin_session, entry_of, go_on, instant_of
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
from lifestage.kpi_kept import SESSION, Kept, Lead, Session, add_run
from lifestage.kpi_live import Now
from lifestage.kpi_note import ACTS, SOCIAL, event_of, kept_of, limit, touch_told
from lifestage.ledger import number
from lifestage.moments import DAY_MS
from lifestage.profile import Profile

_VISITORS: Name = ("visitors",)
_VISITORS_LEVEL: Name = ("~visitors",)
_SESSIONS: Name = ("sessions",)
_PAGES: Name = ("pages",)
_PAGES_LEVEL: Name = ("~pages",)
_DIRECT: Name = ("direct_sessions",)
_FROM_NOWHERE: Name = ("sessions_by_source", DIRECT, "none")
_ACTS: Name = ("acts_of_active",)


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
    found += _new_session(session.origin, began)
    counts = session.visits
    for n in range(0, len(counts), 3):
        stretch(found, _PAGES, counts[n], began + window, window, counts[n + 1])


def _new_session(origin: str | None, began: int) -> Entries:
    if origin is None:
        return [(_SESSIONS, began, 1), (_DIRECT, began, 1), (_FROM_NOWHERE, began, 1)]
    source, medium = origin.split("\t")
    return [(_SESSIONS, began, 1), (("sessions_by_source", source, medium), began, 1)]


# -- one visit -----------------------------------------------------------------------------------


def visit(key: str, profile: Profile, fact: WebVisit, now: Now, days: Days) -> bool:  # noqa: ARG001
    """Note a visit and count it; False, and nothing is done, where more than visits is different by it."""
    kept, time, window = kept_of(profile, now), fact.time, now.window
    if fact.bot:
        return True
    day, runs = time // DAY_MS, kept.visits
    again = len(runs) > 0 and runs[-2] <= day <= runs[-1]
    rest = kept.rest
    has_leads = rest is not None and len(rest.leads) > 0
    if has_leads and not again:
        return False
    told = None
    if fact.context is not None and (kept.touch is None or time <= kept.touch[0]):
        told = touch_told(kept, fact)
        if told is not None and (has_leads or profile.orders):
            return False
    session_id = fact.session_id
    if session_id:
        id = number(fact.source, session_id, now.rules.id_key)
        at = entry_of(kept.begun, id, SESSION_SIZE)
        if at < 0:
            origin = begin_session(kept, id, fact, event_of(profile))
            days.count(_session_sums(days, origin), day, 1)
            days.count_one(days.known(_PAGES), day, fact.pages)
            if profile.orders:
                found: Entries = []
                add_acts(found, profile, day, 1, now)
                days.add(found)
        else:
            began = instant_of(kept.begun, at)
            first = began // DAY_MS
            if time <= began or day > first + limit(kept):
                # it began earlier than was known, or is another one
                return False
            go_on(kept, at, began, fact, event_of(profile))
            if day == first:
                days.count_one(days.known(_PAGES), day, fact.pages)
            elif day < first + window:
                days.count_one(days.known(_PAGES_LEVEL), day, fact.pages)
                days.count_one(days.known(_PAGES_LEVEL), first + window, -fact.pages)
    if told is not None:
        kept.touch = told
    if not again:
        _add_day(days, runs, day, window)
    return True


def _session_sums(days: Days, origin: str | None) -> list[Known]:
    """The sums to which a session of an origin adds one."""
    found = days.together.get(origin)
    if found is None:
        found = days.remember(origin, [name for name, _, _ in _new_session(origin, 0)])
    return found


def _add_day(days: Days, runs: list[int], day: int, window: int) -> None:
    """A day with a visit more: the person is a visitor for longer."""
    if not runs or day > runs[-1] + window:
        runs += (day, day)
        days.count_one(days.known(_VISITORS), day, 1)
    elif day > runs[-1]:
        level = days.known(_VISITORS_LEVEL)
        days.count_one(level, runs[-1] + window, 1)
        days.count_one(level, day + window, -1)
        runs[-1] = day
    else:
        found: Entries = []
        for sign in (-1, 1):
            if sign > 0:
                add_run(runs, day, window)
            hold(found, _VISITORS, [(runs[n], runs[n + 1] + window) for n in range(0, len(runs), 2)], sign)
        days.add(found)


# -- acts ----------------------------------------------------------------------------------------


def add_acts(found: Entries, profile: Profile, day: int, amount: int, now: Now) -> None:
    """So many acts on a day count as long as they are in the window and the person is active."""
    for begin, end in within(active_days(profile, now.rules.plan.terms, now.day), day, day + now.window):
        stretch(found, _ACTS, begin, end, now.window, amount)


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
    for entry in SESSION.iter_unpack(kept.begun):
        day = entry[1] // DAY_MS
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
