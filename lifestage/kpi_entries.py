"""Entries of sessions and messages in what is kept of a person for KPIs: to find one, and to add one behind all others."""

from __future__ import annotations

from struct import Struct
from typing import Final

from lifestage.fact import Fact
from lifestage.facts import AdClick, EmailEvent, WebVisit
from lifestage.kpi_gather import came_by, campaign_of, label_of, mailbox_of, origin_of, was_said
from lifestage.kpi_kept import (
    CHANNELS,
    DAYS_MAX,
    ELSEWHERE,
    HAPPENINGS,
    LENGTHS,
    MESSAGE,
    NO_CAMPAIGN,
    NONE,
    SESSION,
    SPOTS,
    Kept,
    texts_of,
)
from lifestage.kpi_runs import SPARE_DAYS
from lifestage.kpi_unite import cut
from lifestage.mailboxes import GROUPS, UNKNOWN
from lifestage.moments import DAY_MS

SESSION_SIZE, MESSAGE_SIZE = SESSION.size, MESSAGE.size
_message = MESSAGE.pack
_session, _further = Struct(">8sQHI4s").pack, Struct(">IHI4s").pack
"""Of `SESSION` and `FURTHER`: numbers as the bytes that they are made of, to go without two integers."""
_number, _instant = Struct(">q").pack, Struct(">Q").unpack_from


CUT_EVERY: Final = 7
CUT_NEW: Final = 16
"""So many days and new sessions and messages are waited for, and as many new ones as there were, before it is looked again for
what may be forgotten: looking at each fact would cost more."""


def look_over(kept: Kept, horizon: int, window: int) -> None:
    """Let go what no window can ask any more, if it is time to look; nothing comes from before the horizon."""
    waited = horizon - kept.looked
    if waited < CUT_EVERY:
        return
    if waited < window + SPARE_DAYS:
        # as `Kept.count` says, without the call: this comes with each fact a week after the first one
        count = len(kept.begun) // SESSION_SIZE + len(kept.posted) // MESSAGE_SIZE
        if count < CUT_NEW + 2 * kept.left:
            return
    elif kept.looked < 0 and _is_of_late(kept, horizon - window):
        kept.looked = horizon
        return
    cut(kept, horizon)


def _is_of_late(kept: Kept, oldest: int) -> bool:
    """Whether what was noted before there was a clock to say the horizon is of later days than one, as far as visits and the first
    message say: there is nothing to let go, and to look through all of it takes longer than ten visits do."""
    if kept.visits and kept.visits[0] <= oldest:
        return False
    return not kept.posted or instant_of(kept.posted, 0) // DAY_MS > oldest


def begin_session(kept: Kept, name: bytes, fact: WebVisit, time: int, pages: int, event: bytes) -> str | None:
    """Note the first visit of a session that is not known; returns its origin."""
    origin, id = origin_text(fact), fact.id.encode()
    kept.begun += _session(name, time, 0, pages, event)
    if origin is None:
        kept.begun_texts += (_BARE[len(id)] if len(id) < BARE_MAX else LENGTHS.pack(NONE, len(id))) + id
    else:
        said = origin.encode()
        kept.begun_texts += LENGTHS.pack(len(said), len(id)) + said + id
    return origin


BARE_MAX: Final = 256
_BARE: Final = [LENGTHS.pack(NONE, length) for length in range(BARE_MAX)]
"""What stands before an id of so many bytes where there is no origin."""


def go_on(kept: Kept, at: int, after: int, pages: int, event: bytes) -> None:
    """Note a visit that is not the first of its session, whose entry is there, so many days after that began."""
    kept.further += _further(at // SESSION_SIZE, after if after < DAYS_MAX else DAYS_MAX, pages, event)


def entry_of(entries: bytes, id: int, size: int) -> int:
    """Where the entry with a number begins; -1 where there is none."""
    return find_entry(entries, _number(id), size)


def find_entry(entries: bytes, name: bytes, size: int) -> int:
    """The same of a number's 8 bytes."""
    at: int = entries.find(name)
    while at > 0 and at % size:
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
    else:
        source, medium = context.source, context.medium
        if source is not None and medium is not None:
            known = _ORIGINS.get((source, medium))
            if known is not None:
                return known
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


def channel_told(fact: Fact) -> str | None:
    """The channel by which a fact says that the person came, as a label value."""
    context = fact.context
    if context is None or type(fact) is AdClick:
        said = came_by(fact)
        return None if said is None else label_of(said)
    medium, source = context.medium, context.source
    known = _CAME_BY.get((medium, source))
    if known is None:
        said = came_by(fact)
        if said is None:
            return None
        known = label_of(said)
        if len(medium or "") + len(source or "") <= SAID_MAX:
            if len(_CAME_BY) >= ORIGINS_MAX:
                _CAME_BY.clear()
            _CAME_BY[medium, source] = known
    return known


_CAME_BY: dict[tuple[str | None, str | None], str] = {}
"""By medium and source: to read a label takes as long as all else of a visit."""


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
