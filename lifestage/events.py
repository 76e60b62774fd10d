"""The events of the wire, one struct for each type, and how each becomes a fact.

Lengths and ranges are checked while parsing; what needs several fields is checked in `fact`.
"""

from __future__ import annotations

from typing import Final

from lifestage import facts
from lifestage.events_identity import Identity, IdentityLinked, IdentityMerged, IdentitySplit
from lifestage.events_purchases import (
    CostRecorded,
    Order,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    OrderUpdated,
    SubscriptionCancelled,
    SubscriptionChanged,
    SubscriptionRenewed,
    SubscriptionStarted,
)
from lifestage.events_relations import (
    CommunityActivity,
    ConsentChanged,
    EmailEvent,
    FeedbackReceived,
    LoyaltyPoints,
    ProfileUpdated,
    Referral,
    ReferralConverted,
    ReferralSent,
    ReviewPosted,
    TicketCreated,
    TicketReopened,
    TicketReplied,
    TicketSolved,
)
from lifestage.events_visits import (
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
    "KINDS",
    "UNSUPPORTED",
    "AccountClosed",
    "AccountCreated",
    "AdClick",
    "AdImpression",
    "AnyEvent",
    "CartUpdated",
    "CheckoutStep",
    "CommunityActivity",
    "ConsentChanged",
    "CostRecorded",
    "EmailEvent",
    "FeatureUsed",
    "FeedbackReceived",
    "Identity",
    "IdentityLinked",
    "IdentityMerged",
    "IdentitySplit",
    "LeadCaptured",
    "LoyaltyPoints",
    "Order",
    "OrderCancelled",
    "OrderCompleted",
    "OrderRefunded",
    "OrderUpdated",
    "ProfileUpdated",
    "Referral",
    "ReferralConverted",
    "ReferralSent",
    "ReviewPosted",
    "SocialEngagement",
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
]

AnyEvent = (
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
    | IdentityLinked
    | IdentityMerged
    | IdentitySplit
)

KINDS: Final = tuple(facts.TYPES.values())
"""The types that become facts."""

UNSUPPORTED: Final = frozenset({"privacy.erase", "privacy.export"})
"""The other types of the contract: refused, never accepted and ignored."""
