"""Entries of sessions and messages in what is kept of a person for KPIs: to find one, and to add one behind all others."""

from __future__ import annotations

from struct import Struct

from lifestage.facts import EmailEvent, WebVisit
from lifestage.kpi_gather import campaign_of, mailbox_of, origin_of, was_said
from lifestage.kpi_kept import (
    CHANNELS,
    ELSEWHERE,
    FURTHER,
    HAPPENINGS,
    MESSAGE,
    NO_CAMPAIGN,
    SESSION,
    SPOTS,
    Kept,
    days_after,
    texts_of,
)
from lifestage.mailboxes import GROUPS, UNKNOWN
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


def post_message(kept: Kept, id: int, fact: EmailEvent, place: int, spot: int, campaign: str) -> None:
    """Note the first that happened to a message that is not known."""
    if campaign != NO_CAMPAIGN:
        kept.name_campaign(len(kept.posted) // MESSAGE_SIZE, campaign)
    kept.posted += _message(id, fact.time, spot, *_FIRST[place])
    kept.posted_texts += texts_of(fact.channel if spot == ELSEWHERE else None, fact.id)


def spot_of(fact: EmailEvent) -> int:
    """The spot of a message's channel and mailbox."""
    told = fact.channel, fact.mailbox
    if told in _TOLD:
        return _TOLD[told]
    return SPOTS.get((fact.channel, mailbox_of(fact)), ELSEWHERE)


_TOLD: dict[tuple[str, str | None], int] = {("email", group): SPOTS["email", group] for group in GROUPS}
_TOLD |= {(channel, None): SPOTS[channel, UNKNOWN if channel == "email" else ""] for channel in CHANNELS}


def campaign_told(fact: EmailEvent) -> str:
    """The campaign of a message as a label value."""
    said = fact.campaign_id
    if said is None:
        return NO_CAMPAIGN
    if said in _CAMPAIGNS:
        return _CAMPAIGNS[said]
    found = campaign_of(fact)
    if len(_CAMPAIGNS) >= ORIGINS_MAX:
        _CAMPAIGNS.clear()
    if len(said) <= SAID_MAX:
        _CAMPAIGNS[said] = found
    return found


_CAMPAIGNS: dict[str, str] = {}


_FIRST = {place: (*(int(n == place) for n in range(len(HAPPENINGS))), 0) for place in range(-1, len(HAPPENINGS))}
"""What stands in the entry of a message to which nothing happened but this."""
