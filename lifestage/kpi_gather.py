"""What KPIs need of one person beside the profile: sessions, leads, trials, carts, messages, tickets, answers, with their instants.

Facts are taken in order of (time, source, id), each once. Events of bots say nothing, but for what stands in the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from lifestage.fact import Fact
from lifestage.facts import (
    AdClick,
    AdImpression,
    CartUpdated,
    CheckoutStep,
    CommunityActivity,
    CostRecorded,
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
from lifestage.mailboxes import GROUPS, UNKNOWN
from lifestage.signals import SCORES

OTHER, DIRECT, NONE = "other", "direct", "none"
"""Label values: of what has no value that may be shown; of who came by themselves; of what names nothing."""
STEPS_MAX = 20
_LABEL = re.compile(r"[a-z0-9][a-z0-9 ._/+-]{0,39}")
_HOST = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^/?#@]*@)?(\[[^\]/?#]*\]|[^/?#:]+)")
_UNSAID = frozenset({"", "-", NONE, "(none)", "(direct)", "(not set)"})
"""What web analytics write where there is no source, medium or referrer."""
Thing = tuple[str, str]
"""The source and the id by which it names something."""


def label_of(text: str) -> str:
    """A text as a label value: in small letters; whatever could be an address or a sentence is `other`."""
    text = text.strip().lower()
    return text if _LABEL.fullmatch(text) else OTHER


class Told(NamedTuple):
    """What a message counts by."""

    channel: str
    mailbox: str
    """Empty of what is no mail."""
    campaign: str


def mailbox_of(fact: EmailEvent) -> str:
    """The group of the mailbox that a mail went to, of a closed list; empty of what is no mail."""
    if fact.channel != "email":
        return ""
    return UNKNOWN if fact.mailbox is None else fact.mailbox if fact.mailbox in GROUPS else OTHER


def campaign_of(fact: EmailEvent) -> str:
    """The campaign of a message as a label value."""
    return NONE if fact.campaign_id is None else label_of(fact.campaign_id)


class Span(NamedTuple):
    """The window (begin, end] in ms. KPIs are as of its end."""

    begin: int
    end: int
    ripe: int | None = None
    """A time that is over by then, ms, is over; None: by the window's end. What has longer may still come about."""

    def is_over(self, deadline: int) -> bool:
        """Whether nothing can come about any more that had to by an instant."""
        return deadline <= (self.end if self.ripe is None else self.ripe)

    def has(self, time: int | None) -> bool:
        """Whether an instant is in it."""
        return time is not None and self.begin < time <= self.end


class Session:
    """One session: when it began, where from, and how many pages were seen in it."""

    __slots__ = ("began", "origin", "pages")

    def __init__(self, began: int, origin: tuple[str, str] | None) -> None:
        self.began, self.origin, self.pages = began, origin, 0


class Lead:
    """One lead: when it was captured, and whether it was last said to be qualified."""

    __slots__ = ("captured", "qualified")

    def __init__(self, captured: int) -> None:
        self.captured, self.qualified = captured, False


class Trial:
    """One trial: when it started and began, its planned and its real end, and when it was said to have converted."""

    __slots__ = ("begins", "converted", "ended", "ends", "started")

    def __init__(self) -> None:
        self.started: int | None = None
        self.begins: int | None = None
        self.ends: int | None = None
        self.ended: int | None = None
        self.converted: int | None = None


class Cart:
    """One cart: its first and last act, and of the steps of its checkout the first act and the furthest step."""

    __slots__ = ("checkout", "first", "furthest", "last")

    def __init__(self, first: int) -> None:
        self.first = self.last = first
        self.checkout: int | None = None
        self.furthest = 0


class Ticket:
    """One ticket: when it was created, first replied to by an agent and first solved, and whether a bot solved it."""

    __slots__ = ("by_bot", "created", "replied", "solved")

    def __init__(self) -> None:
        self.created: int | None = None
        self.replied: int | None = None
        self.solved: int | None = None
        self.by_bot = False


class Cost(NamedTuple):
    """What was spent in [start, end), ms."""

    category: str
    channel: str
    currency: str
    minor: int
    start: int
    end: int


class Gather:
    """One person's facts, or those of a company record, as KPIs need them for one window."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.visited = False
        self.channel: str | None = None
        """By which the person came first."""
        self.sessions: dict[Thing, Session] = {}
        self.leads: dict[Thing, Lead] = {}
        self.trials: dict[Thing, Trial] = {}
        self.carts: dict[Thing, Cart] = {}
        self.messages: dict[Thing, tuple[Told, dict[str, int]]] = {}
        """Each with what its first event told of it, and the first instant of each thing that happened to it."""
        self.tickets: dict[Thing, Ticket] = {}
        self.asked_for_help: list[int] = []
        """When the person opened tickets."""
        self.answers: dict[str, tuple[int, int]] = {}
        """The latest answer by metric: time and score in thousandths."""
        self.goods: dict[Thing, int] = {}
        """What an order's goods cost, as it was said last, in minor units."""
        self.costs: list[Cost] = []
        self.impressions = self.ad_clicks = 0
        self.social: dict[str, int] = {}
        self.acts = 0
        """Clicks, tickets and community acts in the window."""
        self.promotes = False
        """Whether they recommended us, or praised us in a review, in the window."""
        self.won = False
        """Whether a recommendation of theirs won a customer in the window."""
        self.was_referred = False

    def take(self, fact: Fact) -> None:
        """One fact, later than those before."""
        taking = _TAKING.get(type(fact))
        if taking is not None and (not fact.bot or type(fact) in _LEDGER):
            taking(self, fact)
        self.hear(fact)

    def hear(self, fact: Fact) -> None:
        """By which channel a fact says that the person came, be it one that repeats what is known; none is earlier than those before."""
        if self.channel is None and not fact.bot:
            said = came_by(fact)
            self.channel = None if said is None else label_of(said)


def came_by(fact: Fact) -> str | None:
    """The channel that a fact says somebody came by: the ad's, else the medium, else the source."""
    if isinstance(fact, AdClick) and was_said(fact.channel):
        return fact.channel
    context = fact.context
    return None if context is None else was_said(context.medium) or was_said(context.source)


def was_said(text: str | None) -> str | None:
    """A source, medium or referrer, but None for what is written where there is none."""
    return None if text is None or text.strip().lower() in _UNSAID else text


def _host(url: str) -> str:
    found = _HOST.match(url)
    return found[1].lower().rstrip(".").removeprefix("www.") if found else ""


def origin_of(visit: WebVisit) -> tuple[str, str] | None:
    """Source and medium of a visit; None for one with neither, and without a referrer from elsewhere."""
    context = visit.context
    referrer = was_said(visit.referrer)
    if context is not None:
        source, medium = was_said(context.source), was_said(context.medium)
        if source or medium or was_said(context.campaign):
            return label_of(source or NONE), label_of(medium or NONE)
        referrer = referrer or was_said(context.referrer)
    if referrer is None:
        return None
    host = _host(referrer.strip())
    return None if host and host == _host(visit.url) else (label_of(host), "referral")


def _visit(found: Gather, fact: WebVisit) -> None:
    found.visited = found.visited or found.span.has(fact.time)
    if fact.session_id:
        thing = fact.source, fact.session_id
        session = found.sessions.get(thing)
        if session is None:
            session = found.sessions[thing] = Session(fact.time, origin_of(fact))
        session.pages += fact.pages


def _impression(found: Gather, fact: AdImpression) -> None:
    if found.span.has(fact.time):
        found.impressions += fact.count


def _ad_click(found: Gather, fact: AdClick) -> None:
    if found.span.has(fact.time):
        found.ad_clicks += fact.count
        found.acts += 1


def _social(found: Gather, fact: SocialEngagement) -> None:
    if found.span.has(fact.time):
        kind = label_of(fact.kind or NONE)
        found.social[kind] = found.social.get(kind, 0) + fact.count


def _lead(found: Gather, fact: LeadCaptured) -> None:
    lead = found.leads.setdefault((fact.source, fact.lead_id), Lead(fact.time))
    if fact.qualified is not None:
        lead.qualified = fact.qualified


def _trial_started(found: Gather, fact: TrialStarted) -> None:
    trial = found.trials.setdefault((fact.source, fact.trial_id), Trial())
    if trial.started is None:
        trial.started, trial.ends = fact.time, fact.ends_at
        trial.begins = max(fact.time, fact.starts_at or 0)


def _trial_ended(found: Gather, fact: TrialEnded) -> None:
    trial = found.trials.setdefault((fact.source, fact.trial_id), Trial())
    if trial.ended is None:
        trial.ended = fact.time
    if fact.converted and trial.converted is None:
        trial.converted = fact.time


def _cart(found: Gather, fact: CartUpdated | CheckoutStep) -> None:
    cart = found.carts.setdefault((fact.source, fact.cart_id), Cart(fact.time))
    cart.last = fact.time
    step = step_of(fact)
    if step:
        cart.checkout = fact.time if cart.checkout is None else cart.checkout
        cart.furthest = max(cart.furthest, step)


def step_of(fact: CartUpdated | CheckoutStep) -> int:
    """Which step of a checkout an act is; 0 if none. Those above `STEPS_MAX` count as that."""
    step = (fact.step or "").strip() if isinstance(fact, CheckoutStep) else ""
    is_step = step.isascii() and step.isdecimal() and step.strip("0")
    return min(int(step.lstrip("0")[:9]), STEPS_MAX) if is_step else 0


def _message(found: Gather, fact: EmailEvent) -> None:
    if fact.machine and fact.event in ("opened", "clicked"):
        return
    thing = fact.source, fact.message_id
    message = found.messages.get(thing)
    if message is None:
        message = found.messages[thing] = Told(fact.channel, mailbox_of(fact), campaign_of(fact)), {}
    happened = message[1]
    happened.setdefault(fact.event, fact.time)
    if fact.event == "clicked" and found.span.has(fact.time):
        found.acts += 1


def _created(found: Gather, fact: TicketCreated) -> None:
    ticket = found.tickets.setdefault((fact.source, fact.ticket_id), Ticket())
    if ticket.created is None:
        ticket.created = fact.time
    if fact.by in (None, "customer"):
        found.asked_for_help.append(fact.time)
        found.acts += found.span.has(fact.time)


def _replied(found: Gather, fact: TicketReplied) -> None:
    ticket = found.tickets.setdefault((fact.source, fact.ticket_id), Ticket())
    if fact.by == "agent" and ticket.replied is None and ticket.created is not None:
        ticket.replied = fact.time


def _solved(found: Gather, fact: TicketSolved) -> None:
    ticket = found.tickets.setdefault((fact.source, fact.ticket_id), Ticket())
    if ticket.solved is None:
        ticket.solved, ticket.by_bot = fact.time, fact.by == "bot"


def _answered(found: Gather, fact: FeedbackReceived) -> None:
    score = SCORES[fact.metric][2](fact)
    if score is not None:
        found.answers[fact.metric] = fact.time, score


def _order(found: Gather, fact: OrderCompleted | OrderUpdated) -> None:
    if fact.cost_of_goods_minor is not None:
        found.goods[fact.source, fact.order_id] = fact.cost_of_goods_minor


def _cost(found: Gather, fact: CostRecorded) -> None:
    channel = label_of(fact.channel) if fact.channel else NONE
    found.costs.append(
        Cost(fact.category, channel, fact.currency, fact.amount_minor, fact.period_start, fact.period_end)
    )


def _recommended(found: Gather, fact: ReferralSent | ReferralConverted) -> None:
    if found.span.has(fact.time):
        found.promotes = True
        found.won = found.won or isinstance(fact, ReferralConverted)


def _was_referred(found: Gather, _: Referred) -> None:
    found.was_referred = True


def _reviewed(found: Gather, fact: ReviewPosted) -> None:
    if fact.rating is not None and fact.rating >= 4 and found.span.has(fact.time):
        found.promotes = True


def _took_part(found: Gather, fact: CommunityActivity) -> None:
    found.acts += found.span.has(fact.time)


_TAKING: dict[type[Fact], Callable[[Gather, Any], None]] = {
    WebVisit: _visit,
    AdImpression: _impression,
    AdClick: _ad_click,
    SocialEngagement: _social,
    LeadCaptured: _lead,
    TrialStarted: _trial_started,
    TrialEnded: _trial_ended,
    CartUpdated: _cart,
    CheckoutStep: _cart,
    EmailEvent: _message,
    TicketCreated: _created,
    TicketReplied: _replied,
    TicketSolved: _solved,
    FeedbackReceived: _answered,
    OrderCompleted: _order,
    OrderUpdated: _order,
    CostRecorded: _cost,
    ReferralSent: _recommended,
    ReferralConverted: _recommended,
    Referred: _was_referred,
    ReviewPosted: _reviewed,
    CommunityActivity: _took_part,
}
_LEDGER = frozenset({OrderCompleted, OrderUpdated})
