"""Facts: accepted events about one customer, or about the company, as they stand in the log.

Every kind by name, its encoding and its name on the wire. What all have is in `lifestage.fact`.
"""

from __future__ import annotations

import msgspec

from lifestage.fact import Consent, Context, Experiment, Fact, Further, Item
from lifestage.facts_purchases import (
    CostRecorded,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    OrderUpdated,
    SubscriptionAct,
    SubscriptionCancelled,
    SubscriptionChanged,
    SubscriptionRenewed,
    SubscriptionStarted,
)
from lifestage.facts_relations import (
    CommunityActivity,
    ConsentChanged,
    EmailEvent,
    FeedbackReceived,
    IdentityLinked,
    IdentityMerged,
    IdentitySplit,
    LoyaltyPoints,
    ProfileUpdated,
    ReferralConverted,
    ReferralSent,
    Referred,
    ReviewPosted,
    TicketCreated,
    TicketReopened,
    TicketReplied,
    TicketSolved,
)
from lifestage.facts_visits import (
    AccountClosed,
    AccountCreated,
    AdClick,
    AdImpression,
    CartUpdated,
    CheckoutStep,
    FeatureUsed,
    LeadCaptured,
    SocialEngagement,
    TrialEnded,
    TrialStarted,
    WebVisit,
)

__all__ = [
    "LEDGER",
    "TYPES",
    "AccountClosed",
    "AccountCreated",
    "AdClick",
    "AdImpression",
    "AnyFact",
    "CartUpdated",
    "CheckoutStep",
    "CommunityActivity",
    "Consent",
    "ConsentChanged",
    "Context",
    "CostRecorded",
    "EmailEvent",
    "Experiment",
    "Fact",
    "FeatureUsed",
    "FeedbackReceived",
    "Further",
    "IdentityLinked",
    "IdentityMerged",
    "IdentitySplit",
    "Item",
    "LeadCaptured",
    "LoyaltyPoints",
    "OrderCancelled",
    "OrderCompleted",
    "OrderRefunded",
    "OrderUpdated",
    "ProfileUpdated",
    "ReferralConverted",
    "ReferralSent",
    "Referred",
    "ReviewPosted",
    "SocialEngagement",
    "SubscriptionAct",
    "SubscriptionCancelled",
    "SubscriptionChanged",
    "SubscriptionRenewed",
    "SubscriptionStarted",
    "TicketCreated",
    "TicketReopened",
    "TicketReplied",
    "TicketSolved",
    "TrialEnded",
    "TrialStarted",
    "WebVisit",
    "decode",
    "encode",
    "type_of",
]

AnyFact = (
    WebVisit
    | AdImpression
    | AdClick
    | SocialEngagement
    | LeadCaptured
    | TrialStarted
    | TrialEnded
    | AccountCreated
    | AccountClosed
    | FeatureUsed
    | CartUpdated
    | CheckoutStep
    | EmailEvent
    | OrderCompleted
    | OrderUpdated
    | OrderRefunded
    | OrderCancelled
    | SubscriptionStarted
    | SubscriptionRenewed
    | SubscriptionChanged
    | SubscriptionCancelled
    | FeedbackReceived
    | ReferralSent
    | ReferralConverted
    | ReviewPosted
    | CommunityActivity
    | LoyaltyPoints
    | TicketCreated
    | TicketReplied
    | TicketSolved
    | TicketReopened
    | CostRecorded
    | ProfileUpdated
    | ConsentChanged
    | Referred
    | IdentityLinked
    | IdentityMerged
    | IdentitySplit
)

TYPES: dict[type[Fact], str] = {
    WebVisit: "web.visit",
    AdImpression: "ad.impression",
    AdClick: "ad.click",
    SocialEngagement: "social.engagement",
    LeadCaptured: "lead.captured",
    TrialStarted: "trial.started",
    TrialEnded: "trial.ended",
    AccountCreated: "account.created",
    AccountClosed: "account.closed",
    FeatureUsed: "feature.used",
    CartUpdated: "cart.updated",
    CheckoutStep: "checkout.step",
    EmailEvent: "email.event",
    OrderCompleted: "order.completed",
    OrderUpdated: "order.updated",
    OrderRefunded: "order.refunded",
    OrderCancelled: "order.cancelled",
    SubscriptionStarted: "subscription.started",
    SubscriptionRenewed: "subscription.renewed",
    SubscriptionChanged: "subscription.changed",
    SubscriptionCancelled: "subscription.cancelled",
    FeedbackReceived: "feedback.received",
    ReferralSent: "referral.sent",
    ReferralConverted: "referral.converted",
    ReviewPosted: "review.posted",
    CommunityActivity: "community.activity",
    LoyaltyPoints: "loyalty.points",
    TicketCreated: "ticket.created",
    TicketReplied: "ticket.replied",
    TicketSolved: "ticket.solved",
    TicketReopened: "ticket.reopened",
    CostRecorded: "cost.recorded",
    ProfileUpdated: "profile.updated",
    ConsentChanged: "consent.changed",
    IdentityLinked: "identity.linked",
    IdentityMerged: "identity.merged",
    IdentitySplit: "identity.split",
}
"""The wire name of each fact's type, for counters, documents and tests. `Referred` has none: no event is called so."""


def type_of(fact: Fact) -> str:
    """The wire name of the type of the event that gave a fact."""
    if isinstance(fact, Referred):
        return TYPES[ReferralConverted if fact.converted else ReferralSent]
    return TYPES[type(fact)]


LEDGER = (
    OrderCompleted,
    OrderUpdated,
    OrderRefunded,
    OrderCancelled,
    SubscriptionStarted,
    SubscriptionRenewed,
    SubscriptionChanged,
    SubscriptionCancelled,
    AccountCreated,
    AccountClosed,
)
"""What is kept one by one, known for ever, and amends the present however late it comes."""

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
"""A fact as the bytes that stand in the log."""
decode = msgspec.msgpack.Decoder(AnyFact).decode
"""The fact in a log record's payload. Raises `msgspec.DecodeError` on foreign bytes."""
