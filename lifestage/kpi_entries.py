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
    SENT_IN,
    SESSION,
    SPOTS,
    Kept,
    is_bare,
)
from lifestage.kpi_runs import SPARE_DAYS
from lifestage.kpi_unite import cut
from lifestage.mailboxes import GROUPS, UNKNOWN
from lifestage.moments import DAY_MS

SESSION_SIZE: Final = SESSION.size
MESSAGE_SIZE: Final = MESSAGE.size
_session: Final = Struct(">8sQHI4s").pack
_further: Final = Struct(">IHI4s").pack
_message: Final = Struct(">8sQB").pack
"""Of `SESSION`, `FURTHER` and of `MESSAGE` up to its days: numbers as the bytes that they are made of, to go without two integers."""
_instant: Final = Struct(">Q").unpack_from
_lengths: Final = LENGTHS.pack


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
    """Whether what was noted before there was a clock to say the horizon is of later days than one, where it is visits, messages
    and amounts alone: there is nothing to let go, and to look through all of it takes as long as five visits do."""
    if kept.visits and kept.visits[0] <= oldest:
        return False
    rest = kept.rest
    if rest is not None:
        if not is_bare(rest):
            return False
        for counts in rest.counts.values():
            if min(counts[::3]) <= oldest:
                return False
    return not kept.posted or instant_of(kept.posted, 0) // DAY_MS > oldest


def begin_session(
    kept: Kept, begun: bytes, name: bytes, fact: WebVisit, time: int, pages: int, event: bytes
) -> str | None:
    """Note the first visit of a session that is not among those that have begun; returns its origin."""
    origin, id, texts = origin_text(fact), fact.id.encode(), kept.begun_texts
    entry: bytes = _session(name, time, 0, pages, event)
    kept.begun = begun + entry
    if origin is None:
        begin: bytes = _BARE[len(id)] if len(id) < BARE_MAX else _lengths(NONE, len(id))
    else:
        said = origin.encode()
        begin = _lengths(len(said), len(id)) + said
    kept.begun_texts = texts + begin + id
    return origin


BARE_MAX: Final = 256
_BARE: Final = [_lengths(NONE, length) for length in range(BARE_MAX)]
"""What stands before an id of so many bytes where there is no origin."""


def go_on(kept: Kept, at: int, after: int, pages: int, event: bytes) -> None:
    """Note a visit that is not the first of its session, whose entry is there, so many days after that began."""
    kept.further += _further(at // SESSION_SIZE, after if after < DAYS_MAX else DAYS_MAX, pages, event)


def find_entry(entries: bytes, name: bytes, size: int) -> int:
    """Where the entry with a number begins, given as its 8 bytes; -1 where there is none."""
    if not entries:
        return -1
    # two thirds of what `find` takes, whose arguments CPython puts into a tuple and takes out again
    before, found, _ = entries.partition(name)
    if not found:
        return -1
    at = len(before)
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


SAID_MAX: Final = 100
ORIGINS_MAX: Final = 2_000
"""Origins are worked out once for so many pairs of source and medium of so many letters: it takes as long as all else of a visit."""
_ORIGINS: Final[dict[tuple[str, str], str]] = {}


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


_CAME_BY: Final[dict[tuple[str | None, str | None], str]] = {}
"""By medium and source: to read a label takes as long as all else of a visit."""


def post_message(kept: Kept, name: bytes, fact: EmailEvent, place: int, spot: int, campaign: str) -> None:
    """Note the first that happened to a message that is not known."""
    posted = kept.posted
    if campaign != NO_CAMPAIGN:
        if not posted and not kept.campaigns:
            kept.campaigns, kept.sent_in = f"\n{campaign}\n", _FIRST_CAMPAIGN
        else:
            kept.name_campaign(len(posted) // MESSAGE_SIZE, campaign)
    kept.posted = posted + (_message(name, fact.time, spot) + _FIRST[place])
    id = fact.id.encode()
    if spot == ELSEWHERE:
        channel = fact.channel.encode()
        kept.posted_texts += _lengths(len(channel), len(id)) + channel + id
    else:
        kept.posted_texts += (_BARE[len(id)] if len(id) < BARE_MAX else _lengths(NONE, len(id))) + id


def spot_of(fact: EmailEvent) -> int:
    """The spot of a message's channel and mailbox."""
    found = _TOLD.get((fact.channel, fact.mailbox))
    if found is not None:
        return found
    return SPOTS.get((fact.channel, mailbox_of(fact)), ELSEWHERE)


_TOLD: Final[dict[tuple[str, str | None], int]] = {
    **{("email", group): SPOTS["email", group] for group in GROUPS},
    **{(channel, None): SPOTS[channel, UNKNOWN if channel == "email" else ""] for channel in CHANNELS},
}


def campaign_told(fact: EmailEvent) -> str:
    """The campaign of a message as a label value."""
    said = fact.campaign_id
    if said is None:
        return NO_CAMPAIGN
    known = _CAMPAIGNS.get(said)
    if known is not None:
        return known
    found = campaign_of(fact)
    if len(_CAMPAIGNS) >= ORIGINS_MAX:
        _CAMPAIGNS.clear()
    if len(said) <= SAID_MAX:
        _CAMPAIGNS[said] = found
    return found


_CAMPAIGNS: Final[dict[str, str]] = {}


_FIRST: Final = [
    Struct(">8H").pack(*(int(n == place) for n in range(len(HAPPENINGS))), 0) for place in (*range(len(HAPPENINGS)), -1)
]  # fmt: skip
"""What stands behind the spot of a message to which nothing happened but this; of what is none of `HAPPENINGS` at -1."""
_FIRST_CAMPAIGN: Final = SENT_IN.pack(1)
