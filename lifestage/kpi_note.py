"""Noting one fact of a person in what is kept of them for KPIs: in any order of arrival the same comes of it.

Facts are those that the profile accepted, each once. Those of bots say nothing, but for what orders cost.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Any, Final

from lifestage.fact import Fact
from lifestage.facts import (
    AdClick,
    AdImpression,
    CartUpdated,
    CheckoutStep,
    CommunityActivity,
    EmailEvent,
    FeedbackReceived,
    LeadCaptured,
    OrderCompleted,
    OrderUpdated,
    ReferralConverted,
    ReferralSent,
    Referred,
    ReviewPosted,
    SocialEngagement,
    TicketCreated,
    TicketReplied,
    TicketSolved,
    TrialEnded,
    TrialStarted,
    WebVisit,
)
from lifestage.kpi_entries import (
    MESSAGE_SIZE,
    SESSION_SIZE,
    begin_session,
    campaign_told,
    channel_told,
    find_entry,
    go_on,
    instant_of,
    look_over,
    origin_text,
    post_message,
    spot_of,
)
from lifestage.kpi_gather import NONE, label_of, mailbox_of, step_of
from lifestage.kpi_kept import (
    HAPPENINGS,
    PLACES,
    Cart,
    Goods,
    Kept,
    Lead,
    Message,
    Rest,
    Session,
    Ticket,
    Trial,
    add_run,
    answered,
    furthest,
    last_of_each_day,
)
from lifestage.kpi_live import Now
from lifestage.kpi_runs import SPARE_DAYS, key_on
from lifestage.kpi_unite import CARTS, LEADS, MESSAGES, SESSIONS, TICKETS
from lifestage.ledger import number
from lifestage.moments import DAY_MS
from lifestage.profile import Profile
from lifestage.seen import ENTRY, id_hash
from lifestage.signals import SCORES

ACTS: Final = "acts"
IMPRESSIONS: Final = "impressions"
AD_CLICKS: Final = "ad_clicks"
SOCIAL: Final = "social/"
"""The names under which amounts are kept; social acts are by kind."""
NOTHING = (-1,) * len(HAPPENINGS)
"""The days of a message to which nothing happened that counts."""


def note(profile: Profile, fact: Fact, now: Now) -> None:
    """Note a fact that a profile, or the set of one of its ids, has just accepted."""
    kept = kept_of(profile, now)
    if not fact.bot:
        noting = _NOTING.get(type(fact))
        if noting is not None:
            noting(kept, fact, event_of(profile), now.rules.id_key)
        told = touch_told(kept, fact)
        if told is not None:
            kept.touch = told
    if type(fact) is OrderCompleted or type(fact) is OrderUpdated:
        _note_goods(kept, fact, now.rules.id_key)


def kept_of(profile: Profile, now: Now) -> Kept:
    """What is kept of a person, with what no window can ask any more let go from time to time."""
    kept = profile.kpi
    if kept is None:
        # nothing is there to be looked at
        kept = profile.kpi = Kept(now.window, horizon_of(now))
    else:
        look_over(kept, horizon_of(now), now.window)
    return kept


def limit(kept: Kept) -> int:
    """How many days apart acts under one name may lie that are one thing's."""
    return kept.window + SPARE_DAYS


def horizon_of(now: Now) -> int:
    """Nothing comes from before this day any more."""
    return (now.day * DAY_MS - now.rules.lateness) // DAY_MS


def event_of(profile: Profile) -> int:
    """32 bits of the id of the event that a profile has just accepted; never 0."""
    return int.from_bytes(event_bytes(profile), "big")


def event_bytes(profile: Profile) -> bytes:
    """The same as bytes."""
    seen = profile.seen
    begin = len(seen) - _ENTRY
    found = seen[begin : begin + 4]
    return found if found != _NO_EVENT else b"\0\0\0\1"


_ENTRY: Final = ENTRY
_NO_EVENT: Final = bytes(4)


def brings(profile: Profile, fact: Fact) -> bool:
    """Whether a fact tells an earlier channel than is known."""
    return touch_told(profile.kpi, fact) is not None


def note_touch(profile: Profile, fact: Fact, now: Now) -> bool:
    """Note the channel that a fact tells which repeats what is known; False where it tells no earlier one."""
    told = touch_told(profile.kpi, fact)
    if told is None:
        return False
    kept_of(profile, now).touch = told
    return True


def touch_told(kept: Kept | None, fact: Fact) -> tuple[int, str, str, str] | None:
    """The channel that a fact says the person came by first, if it tells a new one."""
    if fact.bot or (fact.context is None and type(fact) is not AdClick):
        return None
    known = None if kept is None else kept.touch
    if known is not None and known[0] < fact.time:
        return None
    channel = channel_told(fact)
    if channel is None:
        return None
    told = fact.time, fact.source, fact.id, channel
    return told if known is None or told < known else None


def _rest(kept: Kept) -> Rest:
    if kept.rest is None:
        kept.rest = Rest()
    return kept.rest


def count(kept: Kept, name: str, time: int, amount: int, event: int) -> None:
    """Note an amount under a name."""
    counts = _rest(kept).counts
    counts[name] = (*counts.get(name, ()), time // DAY_MS, amount, event)


def _add(found: list[int], new: int) -> None:
    """Add to distinct numbers in order."""
    at = bisect_left(found, new)
    if at == len(found) or found[at] != new:
        found.insert(at, new)


# -- the frequent ones ---------------------------------------------------------------------------


def note_visit(kept: Kept, fact: WebVisit, event: int, key: bytes) -> None:
    """Note a visit that is not a bot's."""
    time, day = fact.time, fact.time // DAY_MS
    add_run(kept.visits, day, kept.window)
    if not fact.session_id:
        return
    name, said = id_hash(fact.source, fact.session_id, key), event.to_bytes(4, "big")
    begun = kept.begun
    at = find_entry(begun, name, SESSION_SIZE)
    if at < 0:
        begin_session(kept, begun, name, fact, time, fact.pages, said)
    elif (began := instant_of(begun, at)) < time and day <= (first := began // DAY_MS) + limit(kept):
        go_on(kept, at, day - first, fact.pages, said)
    else:
        _enter_visit(kept, int.from_bytes(name, "big", signed=True), fact, event)


def _enter_visit(kept: Kept, id: int, fact: WebVisit, event: int) -> None:
    """Note a visit of a session that may have begun with it, or be another one of its name."""
    sessions, day = kept.sessions, fact.time // DAY_MS
    id = key_on(sessions, id, day, limit(kept), SESSIONS)
    session = sessions.get(id)
    if session is None:
        sessions[id] = session = Session(fact.time, fact.id, origin_text(fact), ())
    elif (fact.time, fact.id) < (session.began, session.event):
        session.began, session.event, session.origin = fact.time, fact.id, origin_text(fact)
    session.visits += (day, fact.pages, event)
    kept.sessions = sessions


def _note_email(kept: Kept, fact: EmailEvent, event: int, key: bytes) -> None:
    if not (fact.machine and fact.event in ("opened", "clicked")):
        note_message(kept, fact, key)
        if fact.event == "clicked":
            count(kept, ACTS, fact.time, 1, event)


def note_message(kept: Kept, fact: EmailEvent, key: bytes) -> None:
    """Note what happened to a message, neither a bot's nor a machine's doing."""
    name = id_hash(fact.source, fact.message_id, key)
    if find_entry(kept.posted, name, MESSAGE_SIZE) < 0:
        post_message(kept, name, fact, PLACES.get(fact.event, -1), spot_of(fact), campaign_told(fact))
        return
    messages, day = kept.messages, fact.time // DAY_MS
    id = key_on(messages, int.from_bytes(name, "big", signed=True), day, limit(kept), MESSAGES)
    message = messages.get(id)
    if message is None:
        messages[id] = message = Message(
            fact.time, fact.id, fact.channel, (*NOTHING, day), mailbox_of(fact), campaign_told(fact)
        )
    elif (fact.time, fact.id) < (message.first, message.event):
        message.first, message.event, message.channel = fact.time, fact.id, fact.channel
        message.mailbox, message.campaign = mailbox_of(fact), campaign_told(fact)
    days, place = [*message.days], PLACES.get(fact.event, -1)
    if place >= 0 and (days[place] < 0 or day < days[place]):
        days[place] = day
    days[-1] = max(days[-1], day)
    message.days = tuple(days)
    kept.messages = messages


# -- the others ----------------------------------------------------------------------------------


def _impression(kept: Kept, fact: AdImpression, event: int, _key: bytes) -> None:
    count(kept, IMPRESSIONS, fact.time, fact.count, event)


def _ad_click(kept: Kept, fact: AdClick, event: int, _key: bytes) -> None:
    count(kept, AD_CLICKS, fact.time, fact.count, event)
    count(kept, ACTS, fact.time, 1, event)


def _social(kept: Kept, fact: SocialEngagement, event: int, _key: bytes) -> None:
    count(kept, SOCIAL + label_of(fact.kind or NONE), fact.time, fact.count, event)


def _took_part(kept: Kept, fact: CommunityActivity, event: int, _key: bytes) -> None:
    count(kept, ACTS, fact.time, 1, event)


def _lead(kept: Kept, fact: LeadCaptured, _event: int, key: bytes) -> None:
    leads, day = _rest(kept).leads, fact.time // DAY_MS
    id = key_on(leads, number(fact.source, fact.lead_id, key), day, limit(kept), LEADS)
    lead = leads.get(id)
    if lead is None:
        lead = leads[id] = Lead(fact.time, day)
    lead.captured, lead.last = min(lead.captured, fact.time), max(lead.last, day)
    if fact.qualified is not None:
        lead.said = last_of_each_day([*lead.said, (fact.time, fact.id, fact.qualified)])


def _trial(kept: Kept, fact: TrialStarted | TrialEnded, _event: int, key: bytes) -> None:
    trials, id = _rest(kept).trials, number(fact.source, fact.trial_id, key)
    trial = trials.get(id)
    if trial is None:
        trial = trials[id] = Trial()
    if isinstance(fact, TrialStarted):
        if trial.start is None or (fact.time, fact.id) < trial.start[:2]:
            trial.start = fact.time, fact.id, max(fact.time, fact.starts_at or 0), fact.ends_at
        return
    if trial.ended is None or fact.time < trial.ended:
        trial.ended = fact.time
    if fact.converted and (trial.converted is None or fact.time < trial.converted):
        trial.converted = fact.time


def _cart(kept: Kept, fact: CartUpdated | CheckoutStep, _event: int, key: bytes) -> None:
    carts, day = _rest(kept).carts, fact.time // DAY_MS
    id = key_on(carts, number(fact.source, fact.cart_id, key), day, limit(kept), CARTS)
    cart = carts.get(id)
    if cart is None:
        cart = carts[id] = Cart(fact.time)
    cart.first = min(cart.first, fact.time)
    acts = cart.acts
    at = bisect_left(acts, day * DAY_MS)
    if at == len(acts) or acts[at] // DAY_MS != day:
        acts.insert(at, fact.time)
    elif fact.time > acts[at]:
        acts[at] = fact.time
    step = step_of(fact)
    if step:
        cart.checkout = day if cart.checkout is None else min(cart.checkout, day)
        cart.steps = furthest({*cart.steps, (day, step)})


def _ticket(kept: Kept, fact: TicketCreated | TicketReplied | TicketSolved, event: int, key: bytes) -> None:
    rest, day = _rest(kept), fact.time // DAY_MS
    id = key_on(rest.tickets, number(fact.source, fact.ticket_id, key), day, limit(kept), TICKETS)
    ticket = rest.tickets.get(id)
    if ticket is None:
        ticket = rest.tickets[id] = Ticket(day, first=day)
    ticket.first = min(ticket.last if ticket.first is None else ticket.first, day)
    ticket.last = max(ticket.last, day)
    at = fact.time, fact.id
    if isinstance(fact, TicketCreated):
        if ticket.created is None or at < ticket.created:
            ticket.created = at
            ticket.replies = answered(at, ticket.replies)
        if fact.by in (None, "customer"):
            _add(rest.asked, fact.time)
            count(kept, ACTS, fact.time, 1, event)
    elif isinstance(fact, TicketReplied):
        if fact.by == "agent":
            ticket.replies = answered(ticket.created, [*ticket.replies, at])
    elif ticket.solved is None or at < ticket.solved[:2]:
        ticket.solved = *at, fact.by == "bot"


def _answered(kept: Kept, fact: FeedbackReceived, _event: int, _key: bytes) -> None:
    score = SCORES[fact.metric][2](fact)
    if score is not None:
        answers = _rest(kept).answers
        told = answers.get(fact.metric, [])
        answers[fact.metric] = last_of_each_day([*told, (fact.time, fact.source, fact.id, score)])


def _recommended(kept: Kept, fact: ReferralSent | ReferralConverted, _event: int, _key: bytes) -> None:
    rest, day = _rest(kept), fact.time // DAY_MS
    _add(rest.praise, day)
    if isinstance(fact, ReferralConverted):
        _add(rest.won, day)


def _was_referred(kept: Kept, fact: Referred, _event: int, _key: bytes) -> None:
    rest, day = _rest(kept), fact.time // DAY_MS
    rest.referred = day if rest.referred is None else min(rest.referred, day)


def _reviewed(kept: Kept, fact: ReviewPosted, _event: int, _key: bytes) -> None:
    if fact.rating is not None and fact.rating >= 4:
        _add(_rest(kept).praise, fact.time // DAY_MS)


def _note_goods(kept: Kept, fact: Any, key: bytes) -> None:
    minor: int | None = fact.cost_of_goods_minor
    if minor is not None:
        goods, update = _rest(kept).goods, isinstance(fact, OrderUpdated)
        insort(goods, Goods(number(fact.source, fact.order_id, key), fact.time, fact.id, update, minor))


_NOTING: dict[type[Fact], Callable[[Kept, Any, int, bytes], None]] = {
    WebVisit: note_visit,
    AdImpression: _impression,
    AdClick: _ad_click,
    SocialEngagement: _social,
    LeadCaptured: _lead,
    TrialStarted: _trial,
    TrialEnded: _trial,
    CartUpdated: _cart,
    CheckoutStep: _cart,
    EmailEvent: _note_email,
    TicketCreated: _ticket,
    TicketReplied: _ticket,
    TicketSolved: _ticket,
    FeedbackReceived: _answered,
    ReferralSent: _recommended,
    ReferralConverted: _recommended,
    Referred: _was_referred,
    ReviewPosted: _reviewed,
    CommunityActivity: _took_part,
}
