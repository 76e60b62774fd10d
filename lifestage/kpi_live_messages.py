"""What a person's messages and tickets add to live KPIs; what happens to a message in O(1) each."""

from __future__ import annotations

from struct import Struct
from typing import Final, cast

from lifestage.facts import EmailEvent
from lifestage.kpi_contribute import named_by
from lifestage.kpi_days import LEVEL, Days, Entries, Known, Name
from lifestage.kpi_entries import MESSAGE_SIZE, campaign_told, find_entry, instant_of, post_message, spot_of
from lifestage.kpi_intervals import stretch
from lifestage.kpi_kept import DELIVERED, ELSEWHERE, PLACES, SENT, TOLD_AT, Kept, Message, days_after
from lifestage.kpi_live import Now
from lifestage.kpi_note import ACTS, count, event_of, kept_of, limit, touch_told
from lifestage.kpi_spread import spread
from lifestage.kpi_visit import count_acts
from lifestage.moments import DAY_MS
from lifestage.profile import Profile
from lifestage.seen import id_hash

_OF_SENT: Final = ((DELIVERED, "messages_delivered_of_sent"), (PLACES["bounced"], "messages_bounced"))
_OF_DELIVERED: Final = tuple(
    (PLACES[event], f"messages_{event}") for event in ("opened", "clicked", "complained", "unsubscribed")
)
_BASES: Final = ((SENT, "messages_sent", _OF_SENT), (DELIVERED, "messages_delivered", _OF_DELIVERED))
_PART_OF: Final = {place: (base, name) for base, _, parts in _BASES for place, name in parts}
"""Of each happening of which a share is told: of what, and the name of the sum."""


def messages(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """Messages sent and delivered, and what became of them."""
    found: Entries = []
    if profile.kpi is not None:
        for message in profile.kpi.messages.values():
            if message.days[-1] + now.window > now.day:
                _message(found, message, now.window)
    return found


def _message(found: Entries, message: Message, window: int, sign: int = 1) -> None:
    """A message counts from the day on which it was sent, or delivered; what became of it later goes with it."""
    days = message.days
    for by, label in named_by(message.channel, message.mailbox, message.campaign):
        for base, total, parts in _BASES:
            day = days[base]
            if day >= 0:
                found.append(((total + by, label), day, sign))
                for place, name in parts:
                    if days[place] >= 0:
                        stretch(found, (name + by, label), max(day, days[place]), day + window, window, sign)


# -- one event -----------------------------------------------------------------------------------


def message(key: str, profile: Profile, fact: EmailEvent, now: Now, days: Days) -> bool:  # noqa: ARG001
    """Note what happened to a message and count it; False, and nothing is done, where more is different by it."""
    kept = kept_of(profile, now)
    if fact.bot:
        return True
    event, time = fact.event, fact.time
    name, day = id_hash(fact.source, fact.message_id, now.rules.id_key), time // DAY_MS
    at = find_entry(kept.posted, name, MESSAGE_SIZE)
    if at >= 0:
        first = instant_of(kept.posted, at)
        if time <= first or day > first // DAY_MS + limit(kept):
            # it comes late, or may be another one
            return False
    if fact.context is not None and (told := touch_told(kept, fact)) is not None:
        if profile.orders or (kept.rest is not None and kept.rest.leads):
            return False
        kept.touch = told
    clicked = event == "clicked"
    if fact.machine and (clicked or event == "opened"):
        return True
    place = PLACES.get(event, -1)
    if at < 0:
        spot, campaign = spot_of(fact), campaign_told(fact)
        post_message(kept, name, fact, place, spot, campaign)
        if 0 <= place <= DELIVERED:
            days.count(_sums(days, _BASES[place][1], fact.channel if spot == ELSEWHERE else spot, campaign), day, 1)
    else:
        _goes_on(kept, at, place, day, now.window, days)
    if clicked:
        count(kept, ACTS, time, 1, event_of(profile))
        if profile.orders:
            count_acts(profile, day, 1, now, days)
    return True


def _sums(days: Days, name: str, told: object, campaign: str) -> list[Known]:
    """The sums of a name, or the levels that add to them, of messages by all that they are told by: their spot, or where that is
    none of the usual the channel itself, and campaign."""
    group = name, told, campaign
    found = days.together.get(group)
    if found is None:
        channel, mailbox = (told, "") if isinstance(told, str) else TOLD_AT[cast("int", told)]
        found = days.remember(group, [(name + by, label) for by, label in named_by(channel, mailbox, campaign)])
    return found


def _goes_on(kept: Kept, at: int, place: int, day: int, window: int, days: Days) -> None:
    """Something happened to a message that is known, after the first."""
    posted = kept.posted
    after, begun = _after(posted, at + AFTER), instant_of(posted, at) // DAY_MS
    late, last = days_after(begun, day), after[-1]
    if place < 0 or 0 < after[place] <= late + 1:
        if late > last:
            kept.posted = posted[: at + LAST] + _number(late) + posted[at + MESSAGE_SIZE :]
        return
    if after[place]:
        # it happened a day before it was known to
        message = [*kept.messages.values()][at // MESSAGE_SIZE]
        found: Entries = []
        _message(found, message, window, -1)
        message.days = (*message.days[:place], day, *message.days[place + 1 :])
        _message(found, message, window)
        days.add(found)
    else:
        spot: object = posted[at + SPOT]
        if spot == ELSEWHERE:
            spot = [*kept.messages.values()][at // MESSAGE_SIZE].channel
        _happened(after, begun - 1, place, day, window, days, spot, kept.campaign_at(at // MESSAGE_SIZE))
    here = at + AFTER + 2 * place
    end = _number(late if late > last else last)
    kept.posted = posted[:here] + _number(late + 1) + posted[here + 2 : at + LAST] + end + posted[at + MESSAGE_SIZE :]


AFTER: Final = MESSAGE_SIZE - 16
SPOT: Final = MESSAGE_SIZE - 17
LAST: Final = MESSAGE_SIZE - 2
"""Where in the entry of a message the days begin, where its spot is, and where its last day."""
_after: Final = Struct(">8H").unpack_from
_number: Final = Struct(">H").pack


def _happened(
    after: tuple[int, ...], before: int, place: int, day: int, window: int, days: Days, told: object, campaign: str
) -> None:
    """Something happened to a message for the first time. `after`: of all that happened the days after `before`."""
    part = _PART_OF.get(place)
    if part is not None and after[part[0]]:
        base = before + after[part[0]]
        _stretch(days, part[1], told, campaign, max(base, day), base + window, window)
    if place <= DELIVERED:
        _, total, parts = _BASES[place]
        days.count(_sums(days, total, told, campaign), day, 1)
        for other, name in parts:
            if after[other]:
                _stretch(days, name, told, campaign, max(day, before + after[other]), day + window, window)


def _stretch(days: Days, name: str, told: object, campaign: str, begin: int, end: int, window: int) -> None:
    """Let sums be higher by one from a day until another: as flows, where that is as long as the window."""
    if end - begin == window:
        days.count(_sums(days, name, told, campaign), begin, 1)
    elif begin < end:
        levels = _sums(days, LEVEL + name, told, campaign)
        days.count(levels, begin, 1)
        days.count(levels, end, -1)


# -- tickets -------------------------------------------------------------------------------------

_SOLVED: Name = ("tickets_solved",)
_BY_BOT: Name = ("tickets_solved_by_bot",)


def tickets(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """Tickets solved, and how long replies and solutions took."""
    found: Entries = []
    rest = profile.kpi.rest if profile.kpi is not None else None
    if rest is None:
        return found
    oldest = now.day - now.window
    for ticket in rest.tickets.values():
        created = ticket.created
        if ticket.solved is not None and ticket.solved[0] // DAY_MS > oldest:
            solved, _, by_bot = ticket.solved
            found.append((_SOLVED, solved // DAY_MS, 1))
            if by_bot:
                found.append((_BY_BOT, solved // DAY_MS, 1))
            if created is not None and created[0] <= solved:
                found += spread("resolution_time", (), solved - created[0], solved // DAY_MS)
        if created is not None and ticket.replies and ticket.replies[-1] > created:
            replied = ticket.replies[-1][0]
            if replied // DAY_MS > oldest:
                found += spread("response_time", (), replied - created[0], replied // DAY_MS)
    return found
