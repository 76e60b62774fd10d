"""Signals: what a single fact says of a customer, by itself, whatever the plan.

Each signal is counted by plans under its name (`visits`), by its different days (`visit_days`), and by the time since the
last and the first (`since_last_visit`). An event with `bot: true` gives none; neither does a machine that opens mail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, NamedTuple

from lifestage.fact import Fact
from lifestage.facts import (
    AccountCreated,
    AdClick,
    CartUpdated,
    CheckoutStep,
    CommunityActivity,
    EmailEvent,
    FeatureUsed,
    FeedbackReceived,
    IdentityLinked,
    LeadCaptured,
    LoyaltyPoints,
    ReferralConverted,
    ReferralSent,
    Referred,
    ReviewPosted,
    SocialEngagement,
    TicketCreated,
    TicketReplied,
    TrialEnded,
    TrialStarted,
    WebVisit,
)

Holds = Callable[[Fact], bool]


class Signal(NamedTuple):
    """One thing that happens, which facts of `kind` may show; `when` None: every one of them."""

    name: str
    one: str
    says: str
    kind: type[Fact]
    when: Holds | None = None


def _page(page_type: str) -> Holds:
    return lambda fact: isinstance(fact, WebVisit) and fact.page_type == page_type


def _mail(event: str) -> Holds:
    return lambda fact: (
        isinstance(fact, EmailEvent) and fact.event == event and fact.channel == "email"
        and not (fact.machine and event in {"opened", "clicked"})
    )  # fmt: skip


def _by_customer(fact: Fact) -> bool:
    return isinstance(fact, TicketCreated | TicketReplied) and fact.by == "customer"


def _opened_by_customer(fact: Fact) -> bool:
    return isinstance(fact, TicketCreated) and fact.by in {None, "customer"}


SIGNALS: Final[tuple[Signal, ...]] = (
    Signal("visits", "visit", "visits", WebVisit),
    Signal("product_visits", "product_visit", "visits of product pages", WebVisit, _page("product")),
    Signal("pricing_visits", "pricing_visit", "visits of pricing pages", WebVisit, _page("pricing")),
    Signal("ad_clicks", "ad_click", "clicks on advertisements", AdClick),
    Signal("social_acts", "social_act", "likes, comments, shares and the like", SocialEngagement),
    Signal("leads", "lead", "forms in which they left their details", LeadCaptured),
    Signal("qualified_leads", "qualified_lead", "leads that were found worth a call", LeadCaptured, lambda fact: isinstance(fact, LeadCaptured) and fact.qualified is True),
    Signal("trials", "trial", "trials that began", TrialStarted),
    Signal("trial_conversions", "trial_conversion", "trials that ended in a purchase", TrialEnded, lambda fact: isinstance(fact, TrialEnded) and fact.converted is True),
    Signal("signups", "signup", "accounts opened", AccountCreated),
    Signal("feature_uses", "feature_use", "uses of a feature", FeatureUsed),
    Signal("cart_updates", "cart_update", "changes of a cart", CartUpdated),
    Signal("checkout_steps", "checkout_step", "steps of a checkout", CheckoutStep),
    Signal("email_deliveries", "email_delivery", "emails delivered", EmailEvent, _mail("delivered")),
    Signal("email_opens", "email_open", "emails opened by a human", EmailEvent, _mail("opened")),
    Signal("email_clicks", "email_click", "clicks in emails by a human", EmailEvent, _mail("clicked")),
    Signal("email_bounces", "email_bounce", "emails that bounced", EmailEvent, _mail("bounced")),
    Signal("email_complaints", "email_complaint", "emails reported as spam", EmailEvent, _mail("complained")),
    Signal("email_subscribes", "email_subscribe", "subscriptions to a mailing list", EmailEvent, _mail("subscribed")),
    Signal("email_unsubscribes", "email_unsubscribe", "unsubscriptions from a mailing list", EmailEvent, _mail("unsubscribed")),
    Signal("answers", "answer", "answers to surveys", FeedbackReceived),
    Signal("referrals_sent", "referral_sent", "recommendations to others", ReferralSent),
    Signal("referrals_converted", "referral_converted", "recommendations that won a customer", ReferralConverted),
    Signal("reviews", "review", "reviews written", ReviewPosted),
    Signal("good_reviews", "good_review", "reviews with a rating of 4 or more", ReviewPosted, lambda fact: isinstance(fact, ReviewPosted) and fact.rating is not None and fact.rating >= 4),
    Signal("community_acts", "community_act", "acts in the community", CommunityActivity),
    Signal("tickets", "ticket", "tickets that the customer opened", TicketCreated, _opened_by_customer),
    Signal("ticket_replies", "ticket_reply", "replies of the customer in tickets", TicketReplied, _by_customer),
)  # fmt: skip

Naming = Callable[[Fact], str | None]
DISTINCT: Final[dict[str, tuple[str, type[Fact], Naming]]] = {
    "sessions": ("different sessions of visits that name one", WebVisit, lambda fact: fact.session_id if isinstance(fact, WebVisit) else None),
    "features": ("different features used", FeatureUsed, lambda fact: fact.feature if isinstance(fact, FeatureUsed) else None),
}  # fmt: skip
"""Things that are counted once each: what it says, the kind of fact, and how a fact names the thing."""

Scoring = Callable[[Fact], int | None]
"""The score that a fact gives, in thousandths."""
SCALES: Final = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}


def thousandths(number: float) -> int:
    """A number in thousandths; halves to even."""
    return int((Decimal(repr(number)) * 1000).quantize(Decimal(1), ROUND_HALF_EVEN))


def _answer(metric: str) -> Scoring:
    low, high = SCALES[metric]

    def score(fact: Fact) -> int | None:
        if not isinstance(fact, FeedbackReceived) or fact.metric != metric:
            return None
        if (fact.scale_min, fact.scale_max) == (low, high):
            return thousandths(fact.score)
        start, end = Decimal(repr(fact.scale_min)), Decimal(repr(fact.scale_max))
        share = (Decimal(repr(fact.score)) - start) / (end - start)
        return int(((low + share * (high - low)) * 1000).quantize(Decimal(1), ROUND_HALF_EVEN))

    return score


def _number(kind: type[Fact], field: str) -> Scoring:
    def score(fact: Fact) -> int | None:
        given = getattr(fact, field) if isinstance(fact, kind) else None
        return None if given is None else thousandths(given)

    return score


SCORES: Final[dict[str, tuple[str, type[Fact], Scoring]]] = {
    "nps": ("latest answer to “would you recommend us”, 0 to 10", FeedbackReceived, _answer("nps")),
    "csat": ("latest satisfaction, 1 to 5", FeedbackReceived, _answer("csat")),
    "ces": ("latest ease, 1 to 7", FeedbackReceived, _answer("ces")),
    "lead_score": ("latest score of a lead", LeadCaptured, _number(LeadCaptured, "score")),
    "rating": ("rating of the latest review that has one", ReviewPosted, _number(ReviewPosted, "rating")),
    "points": ("latest balance of loyalty points", LoyaltyPoints, _number(LoyaltyPoints, "balance")),
}
"""What it says, the kind of fact, and the score that a fact gives."""


_SILENT: Final = frozenset({Referred, IdentityLinked})
"""What only says whose an id is, or what somebody else did: neither reach nor acquisition nor activity of the customer's."""
_ACQUIRES: Final = frozenset({LeadCaptured, TrialStarted, AccountCreated, TicketCreated})
_ACTIVITY: Final = frozenset({
    WebVisit, AdClick, LeadCaptured, CartUpdated, CheckoutStep, TrialStarted, TrialEnded, AccountCreated, FeatureUsed,
    FeedbackReceived, ReferralSent, ReferralConverted, ReviewPosted, CommunityActivity,
})  # fmt: skip


def gives(fact: Fact) -> tuple[bool, bool, bool]:
    """(gives reach, gives acquisition, is activity) by the table of the semantics page."""
    kind = type(fact)
    if fact.bot or kind in _SILENT:
        return False, False, False
    if isinstance(fact, EmailEvent):
        mail, human = fact.channel == "email", not fact.machine
        clicked = human and fact.event == "clicked"
        return mail and fact.event == "delivered", mail and clicked, clicked or (human and fact.event == "opened")
    reach = kind is WebVisit or kind is AdClick
    active = kind in _ACTIVITY or _opened_by_customer(fact) or (kind is TicketReplied and _by_customer(fact))
    return reach, kind in _ACQUIRES or fact.email is not None, active


class Keeping(NamedTuple):
    """What a plan needs kept of each kind of fact; instants are kept for `reach` ms before the oldest that may be asked."""

    marks: dict[type[Fact], tuple[Signal, ...]]
    distinct: dict[type[Fact], tuple[str, ...]]
    scores: dict[type[Fact], tuple[str, ...]]
    traits: frozenset[str]
    kinds: frozenset[type[Fact]]
    """Those of which anything is kept but what every profile keeps."""
    reach: dict[str, int]
    """By name of signal, distinct thing, score."""
    gap: int
    """The shortest silence (ms) that is asked."""


def keeping(asked: Iterable[tuple[str, int]], traits: Iterable[str], gap: int) -> Keeping:
    """What to keep for (name, longest window in ms) pairs of signals, distinct things and scores; other names are ignored."""
    reach: dict[str, int] = {}
    for name, length in asked:
        reach[name] = max(reach.get(name, 0), length)
    marks: dict[type[Fact], tuple[Signal, ...]] = {}
    for signal in SIGNALS:
        if signal.name in reach:
            marks[signal.kind] = (*marks.get(signal.kind, ()), signal)
    distinct = _by_kind({name: kind for name, (_, kind, _) in DISTINCT.items() if name in reach})
    scores = _by_kind({name: kind for name, (_, kind, _) in SCORES.items() if name in reach})
    return Keeping(marks, distinct, scores, frozenset(traits), frozenset([*marks, *distinct, *scores]), reach, gap)


def _by_kind(kinds: dict[str, type[Fact]]) -> dict[type[Fact], tuple[str, ...]]:
    found: dict[type[Fact], tuple[str, ...]] = {}
    for name, kind in kinds.items():
        found[kind] = (*found.get(kind, ()), name)
    return found
