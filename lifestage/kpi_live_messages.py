"""What a person's messages and tickets add to live KPIs; what happens to a message in O(1) each."""

from __future__ import annotations

from lifestage.facts import EmailEvent
from lifestage.kpi_days import Days, Entries, Name
from lifestage.kpi_intervals import stretch
from lifestage.kpi_kept import DELIVERED, HAPPENINGS, PLACES, SENT, Kept, Message
from lifestage.kpi_live import Now
from lifestage.kpi_live_visits import add_acts
from lifestage.kpi_note import ACTS, NOTHING, count, event_of, kept_of, limit, note_message, set_day, touch_told
from lifestage.kpi_spread import spread
from lifestage.ledger import number
from lifestage.moments import DAY_MS
from lifestage.profile import Profile

_OF_SENT = ((DELIVERED, "messages_delivered_of_sent"), (PLACES["bounced"], "messages_bounced"))
_OF_DELIVERED = tuple(
    (PLACES[event], f"messages_{event}") for event in ("opened", "clicked", "complained", "unsubscribed")
)
_BASES = ((SENT, "messages_sent", _OF_SENT), (DELIVERED, "messages_delivered", _OF_DELIVERED))
_PART_OF = {place: (base, name) for base, _, parts in _BASES for place, name in parts}
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
    for base, total, parts in _BASES:
        day = days[base]
        if day >= 0:
            found.append(((total, message.channel), day, sign))
            for place, name in parts:
                if days[place] >= 0:
                    stretch(found, (name, message.channel), max(day, days[place]), day + window, window, sign)


# -- one event -----------------------------------------------------------------------------------


def message(key: str, profile: Profile, fact: EmailEvent, now: Now, days: Days) -> bool:  # noqa: ARG001
    """Note what happened to a message and count it; False, and nothing is done, where more is different by it."""
    kept, clicked = kept_of(profile, now), fact.event == "clicked"
    if fact.bot:
        return True
    id = number(fact.source, fact.message_id, now.rules.id_key)
    known = kept.messages.get(id)
    if known is not None and not known.first // DAY_MS <= fact.time // DAY_MS <= known.days[-1] + limit(kept):
        # it may be another one
        return False
    if fact.context is not None and (told := touch_told(kept, fact)) is not None:
        if profile.orders or (kept.rest is not None and kept.rest.leads):
            return False
        kept.touch = told
    if fact.machine and (clicked or fact.event == "opened"):
        return True
    found: Entries = []
    _note(found, kept, fact, id, now)
    if clicked:
        count(kept, ACTS, fact.time, 1, event_of(profile))
        if profile.orders:
            add_acts(found, profile, fact.time // DAY_MS, 1, now)
    if found:
        days.add(found)
    return True


def _note(found: Entries, kept: Kept, fact: EmailEvent, id: int, now: Now) -> None:
    time = fact.time
    known, day, place = kept.messages.get(id), time // DAY_MS, PLACES.get(fact.event, -1)
    if known is None:
        known = kept.messages[id] = Message(time, fact.id, fact.channel, (*NOTHING, day))
        if place >= 0:
            _happened(found, known, place, day, now.window)
    elif time > known.first and (place < 0 or known.days[place] < 0 or known.days[place] <= day):
        if place >= 0 and known.days[place] < 0:
            _happened(found, known, place, day, now.window)
        if day > known.days[-1]:
            set_day(known, len(HAPPENINGS), day)
    else:
        # it comes late
        _message(found, known, now.window, -1)
        note_message(kept, fact, now.rules.id_key)
        _message(found, known, now.window)


def _happened(found: Entries, known: Message, place: int, day: int, window: int) -> None:
    """Something happened to a message for the first time."""
    set_day(known, place, day)
    days, channel = known.days, known.channel
    part = _PART_OF.get(place)
    if part is not None and days[part[0]] >= 0:
        sent = days[part[0]]
        stretch(found, (part[1], channel), max(sent, day), sent + window, window)
    if place <= DELIVERED:
        _, total, parts = _BASES[place]
        found.append(((total, channel), day, 1))
        for other, name in parts:
            if days[other] >= 0:
                stretch(found, (name, channel), max(day, days[other]), day + window, window)


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
