"""Entries of sessions and messages in what is kept of a person for KPIs: to find one, and to add one behind all others."""

from __future__ import annotations

from struct import Struct

from lifestage.facts import EmailEvent, WebVisit
from lifestage.kpi_gather import origin_of, was_said
from lifestage.kpi_kept import (
    ELSEWHERE,
    FURTHER,
    HAPPENINGS,
    MESSAGE,
    SESSION,
    Kept,
    days_after,
    place_of_channel,
    texts_of,
)
from lifestage.moments import DAY_MS

SESSION_SIZE, MESSAGE_SIZE = SESSION.size, MESSAGE.size
_session, _further, _message = SESSION.pack, FURTHER.pack, MESSAGE.pack
_number, _instant = Struct(">q").pack, Struct(">Q").unpack_from


def begin_session(kept: Kept, id: int, fact: WebVisit, event: int) -> str | None:
    """Note the first visit of a session that is not known; returns its origin."""
    origin = origin_text(fact)
    kept.begun += _session(id, fact.time, 0, fact.pages, event)
    kept.begun_texts += texts_of(origin, fact.id)
    return origin


def go_on(kept: Kept, at: int, began: int, fact: WebVisit, event: int) -> None:
    """Note a visit that is not the first of its session, whose entry is there, and which began at an instant."""
    kept.further += _further(at // SESSION_SIZE, days_after(began // DAY_MS, fact.time // DAY_MS), fact.pages, event)


def entry_of(entries: bytes, id: int, size: int) -> int:
    """Where the entry with a number begins; -1 where there is none."""
    name = _number(id)
    at = entries.find(name)
    while at >= 0 and at % size:
        at = entries.find(name, at + 1)
    return at


def instant_of(entries: bytes, at: int) -> int:
    """The instant that stands behind the number of an entry."""
    found: int = _instant(entries, at + 8)[0]
    return found


def origin_text(visit: WebVisit) -> str | None:
    """Source and medium of a visit with a tab between them, None without."""
    context = visit.context
    if context is None:
        if visit.referrer is None:
            return None
    elif context.source is not None and context.medium is not None and (context.source, context.medium) in _ORIGINS:
        return _ORIGINS[context.source, context.medium]
    origin = origin_of(visit)
    if origin is None:
        return None
    text = f"{origin[0]}\t{origin[1]}"
    if context is not None and context.source is not None and context.medium is not None:
        said = context.source, context.medium
        if (was_said(said[0]) or was_said(said[1])) and len(said[0]) + len(said[1]) <= SAID_MAX:
            if len(_ORIGINS) >= ORIGINS_MAX:
                _ORIGINS.clear()
            _ORIGINS[said] = text
    return text


SAID_MAX, ORIGINS_MAX = 100, 2_000
"""Origins are worked out once for so many pairs of source and medium of so many letters: it takes as long as all else of a visit."""
_ORIGINS: dict[tuple[str, str], str] = {}


def post_message(kept: Kept, id: int, fact: EmailEvent, place: int) -> None:
    """Note the first that happened to a message that is not known."""
    channel = place_of_channel(fact.channel)
    kept.posted += _message(id, fact.time, channel, *_FIRST[place])
    kept.posted_texts += texts_of(fact.channel if channel == ELSEWHERE else None, fact.id)


_FIRST = {place: (*(int(n == place) for n in range(len(HAPPENINGS))), 0) for place in range(-1, len(HAPPENINGS))}
"""What stands in the entry of a message to which nothing happened but this."""
