"""What a person's messages and tickets add to live KPIs; what happens to a message in O(1) each."""

from __future__ import annotations

from lifestage.facts import EmailEvent
from lifestage.kpi_days import Days, Entries, Known, Name
from lifestage.kpi_entries import MESSAGE_SIZE, entry_of, instant_of, post_message
from lifestage.kpi_intervals import stretch
from lifestage.kpi_kept import CHANNELS, DELIVERED, ELSEWHERE, MESSAGE, PLACES, SENT, Kept, Message, days_after
from lifestage.kpi_live import Now
from lifestage.kpi_live_visits import add_acts
from lifestage.kpi_note import ACTS, count, event_of, kept_of, limit, touch_told
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
    kept = kept_of(profile, now)
    if fact.bot:
        return True
    event, time = fact.event, fact.time
    id, day = number(fact.source, fact.message_id, now.rules.id_key), time // DAY_MS
    at = entry_of(kept.posted, id, MESSAGE_SIZE)
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
        post_message(kept, id, fact, place)
        if 0 <= place <= DELIVERED:
            days.count(_sums(days, fact.channel, place), day, 1)
    else:
        _goes_on(kept, at, place, day, now.window, days)
    if clicked:
        count(kept, ACTS, time, 1, event_of(profile))
        if profile.orders:
            found: Entries = []
            add_acts(found, profile, day, 1, now)
            days.add(found)
    return True


def _sums(days: Days, channel: str, place: int) -> list[Known]:
    """The sum of messages of a channel to which something happened."""
    found = days.together.get((channel, place))
    if found is None:
        found = days.remember((channel, place), [(_BASES[place][1], channel)])
    return found


def _goes_on(kept: Kept, at: int, place: int, day: int, window: int, days: Days) -> None:
    """Something happened to a message that is known, after the first."""
    posted = kept.posted
    id, first, channel, *after = _entry(posted, at)
    late = days_after(first // DAY_MS, day)
    is_first = place >= 0 and (after[place] == 0 or late + 1 < after[place])
    if not is_first and late <= after[-1]:
        return
    if is_first:
        found: Entries = []
        said = _message_of(kept, at, first // DAY_MS, channel, after)
        known, happened = said.days[place] >= 0, [*said.days]
        if known:
            _message(found, said, window, -1)
        happened[place] = day
        said.days = tuple(happened)
        if known:
            _message(found, said, window)
        else:
            _happened(found, said, place, day, window)
        days.add(found)
        after[place] = late + 1
    after[-1] = max(after[-1], late)
    kept.posted = posted[:at] + _packed(id, first, channel, *after) + posted[at + MESSAGE_SIZE :]


def _message_of(kept: Kept, at: int, begun: int, place: int, after: list[int]) -> Message:
    """A message that is known, as far as it is asked what it adds."""
    if place == ELSEWHERE:
        return [*kept.messages.values()][at // MESSAGE_SIZE]
    days = [begun - 1 + one if one else -1 for one in after]
    days[-1] = begun + after[-1]
    return Message(0, "", CHANNELS[place], tuple(days))


_entry, _packed = MESSAGE.unpack_from, MESSAGE.pack


def _happened(found: Entries, known: Message, place: int, day: int, window: int) -> None:
    """Something happened to a message for the first time."""
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
