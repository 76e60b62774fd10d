"""One visit: noted and counted on a way of its own, since three quarters of all events are visits; in O(1) but for a person's orders.

Each of its steps does as the groups of `lifestage.kpi_live_visits` say and as `lifestage.kpi_note` notes.
"""

from __future__ import annotations

from typing import Final

from lifestage.facts import WebVisit
from lifestage.kpi_days import LEVEL, Days, Known, Name
from lifestage.kpi_entries import CUT_EVERY, SESSION_SIZE, begin_session, find_entry, go_on, instant_of, look_over
from lifestage.kpi_gather import DIRECT
from lifestage.kpi_intervals import Intervals, active_days, within
from lifestage.kpi_kept import Kept, add_run
from lifestage.kpi_live import Now
from lifestage.kpi_note import event_bytes, horizon_of, touch_told
from lifestage.kpi_runs import SPARE_DAYS
from lifestage.moments import DAY_MS
from lifestage.profile import Profile
from lifestage.seen import id_hash

VISITORS: Final = "visitors"
PAGES: Final = "pages"
ACTS_OF_ACTIVE: Final = "acts_of_active"
"""Sums: visitors, their pages, and the sessions and acts of those who are active."""


def new_session(origin: str | None) -> list[Name]:
    """The sums to which a session of an origin adds one."""
    if origin is None:
        return [("sessions",), ("direct_sessions",), ("sessions_by_source", DIRECT, "none")]
    source, medium = origin.split("\t")
    return [("sessions",), ("sessions_by_source", source, medium)]


class At:
    """What is asked for every visit, looked up once while the present day lasts."""

    def __init__(self, now: Now, days: Days) -> None:
        self.given, self.together = now, days.together
        self.day, self.window, self.key, self.terms = now.day, now.window, now.rules.id_key, now.rules.plan.terms
        self.horizon, self.limit = horizon_of(now), now.window + SPARE_DAYS
        self.pages, self.pages_level = days.known((PAGES,)), days.known((LEVEL + PAGES,))
        self.visitors, self.visitors_level = days.known((VISITORS,)), days.known((LEVEL + VISITORS,))
        self.acts, self.acts_level = days.known((ACTS_OF_ACTIVE,)), days.known((LEVEL + ACTS_OF_ACTIVE,))
        self.direct = [days.known(name) for name in new_session(None)]


class _Latest:
    """The day that was asked for last: a partition's records come many at a time."""

    def __init__(self) -> None:
        self.at: At | None = None


_LATEST: Final = _Latest()


def _at(now: Now, days: Days) -> At:
    at = _LATEST.at
    if at is None or at.given is not now or at.together is not days.together:
        at = _LATEST.at = At(now, days)
    return at


def visit(key: str, profile: Profile, fact: WebVisit, now: Now, days: Days) -> bool:  # noqa: ARG001
    """Note a visit and count it; False, and nothing is done, where more than visits is different by it."""
    at, kept = _at(now, days), profile.kpi
    if kept is None:
        kept = profile.kpi = Kept(at.window, at.horizon)
    elif at.horizon >= kept.looked + CUT_EVERY:
        look_over(kept, at.horizon, at.window)
    if fact.bot:
        return True
    time, runs, rest, told = fact.time, kept.visits, kept.rest, None
    day = time // DAY_MS
    again = len(runs) > 0 and runs[-2] <= day <= runs[-1]
    has_leads = rest is not None and len(rest.leads) > 0
    if has_leads and not again:
        return False
    if fact.context is not None:
        touch = kept.touch
        if touch is None or time <= touch[0]:
            told = touch_told(kept, fact)
            if told is not None and (has_leads or profile.orders):
                return False
    session_id = fact.session_id
    if session_id and not _in_session(profile, kept, fact, id_hash(fact.source, session_id, at.key), time, at, days):
        return False
    if told is not None:
        kept.touch = told
    if not again:
        _add_day(at, days, runs, day)
    return True


def _in_session(profile: Profile, kept: Kept, fact: WebVisit, name: bytes, time: int, at: At, days: Days) -> bool:
    begun, day = kept.begun, time // DAY_MS
    place = find_entry(begun, name, SESSION_SIZE)
    if place < 0:
        pages = fact.pages
        origin = begin_session(kept, begun, name, fact, time, pages, event_bytes(profile))
        for known in at.direct if origin is None else _sums(days, origin):
            days.count_one(known, day, 1)
        days.count_one(at.pages, day, pages)
        if profile.orders:
            _count_acts(profile, day, 1, at, days)
        return True
    began = instant_of(begun, place)
    first = began // DAY_MS
    if time <= began or day > first + at.limit:
        # it began earlier than was known, or is another one
        return False
    pages = fact.pages
    go_on(kept, place, day - first, pages, event_bytes(profile))
    if day == first:
        days.count_one(at.pages, day, pages)
    elif day < first + at.window:
        days.count_one(at.pages_level, day, pages)
        days.count_one(at.pages_level, first + at.window, -pages)
    return True


def _sums(days: Days, origin: str) -> list[Known]:
    """The sums to which a session of an origin adds one."""
    found = days.together.get(origin)
    return days.remember(origin, new_session(origin)) if found is None else found


def _add_day(at: At, days: Days, runs: list[int], day: int) -> None:
    """A day with a visit more: the person is a visitor for longer."""
    window = at.window
    if not runs or day > runs[-1] + window:
        runs += (day, day)
        days.count_one(at.visitors, day, 1)
    elif day > runs[-1]:
        days.count_one(at.visitors_level, runs[-1] + window, 1)
        days.count_one(at.visitors_level, day + window, -1)
        runs[-1] = day
    else:
        for sign in (-1, 1):
            if sign > 0:
                add_run(runs, day, window)
            for n in range(0, len(runs), 2):
                days.count_one(at.visitors_level, runs[n], sign)
                days.count_one(at.visitors_level, runs[n + 1] + window, -sign)


# -- acts ----------------------------------------------------------------------------------------


def count_acts(profile: Profile, day: int, amount: int, now: Now, days: Days) -> None:
    """So many acts on a day count as long as they are in the window and the person is active."""
    _count_acts(profile, day, amount, _at(now, days), days)


def _count_acts(profile: Profile, day: int, amount: int, at: At, days: Days) -> None:
    window = at.window
    for begin, end in within(_active(profile, at), day, day + window):
        if end - begin == window:
            days.count_one(at.acts, begin, amount)
        else:
            days.count_one(at.acts_level, begin, amount)
            days.count_one(at.acts_level, end, -amount)


FEW: Final = 8
"""Orders that are looked at one by one: it takes less than to know when it was done last."""
ACTIVE: Final = "active"


class _Active:
    """On which days a person with many orders is active, held beside the profile until `forget_active`."""

    def __init__(self, profile: Profile, at: At) -> None:
        self.orders, self.count, self.day = profile.orders, len(profile.orders), at.day
        self.days = active_days(profile, at.terms, at.day)


def _active(profile: Profile, at: At) -> Intervals:
    orders = profile.orders
    if len(orders) <= FEW:
        return active_days(profile, at.terms, at.day)
    found: _Active | None = profile.__dict__.get(ACTIVE)
    if found is None or found.orders is not orders or found.count != len(orders) or found.day != at.day:
        found = profile.__dict__[ACTIVE] = _Active(profile, at)
    return found.days


def forget_active(profile: Profile) -> None:
    """Something may become of an order."""
    profile.__dict__.pop(ACTIVE, None)
