"""The groups of live KPIs that read what is kept of persons beside ledger and path, and which facts touch which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lifestage import facts as f
from lifestage.fact import Fact
from lifestage.kpi_days import Days
from lifestage.kpi_live import Group, Now
from lifestage.kpi_live_engagement import advocates, answers, carts, help, referrals, trials  # noqa: A004
from lifestage.kpi_live_messages import message, messages, tickets
from lifestage.kpi_live_visits import acts, counts, leads, visits
from lifestage.kpi_visit import visit
from lifestage.profile import Profile

GROUPS: tuple[Group, ...] = (
    visits, acts, counts, leads, messages, tickets, answers, advocates, referrals, help, trials, carts
)  # fmt: skip
"""All of them."""
_BY_ORDERS: tuple[Group, ...] = (acts, leads, advocates, referrals, help, trials, carts)
TOUCHED: dict[type[Fact], tuple[Group, ...]] = {
    f.WebVisit: (visits, acts, leads),
    f.EmailEvent: (messages, acts),
    f.AdImpression: (counts,),
    f.AdClick: (counts, acts),
    f.SocialEngagement: (counts,),
    f.CommunityActivity: (acts,),
    f.LeadCaptured: (leads,),
    f.TrialStarted: (trials,),
    f.TrialEnded: (trials,),
    f.CartUpdated: (carts,),
    f.CheckoutStep: (carts,),
    f.TicketCreated: (tickets, acts, help),
    f.TicketReplied: (tickets,),
    f.TicketSolved: (tickets,),
    f.FeedbackReceived: (answers, advocates),
    f.ReviewPosted: (advocates,),
    f.ReferralSent: (advocates,),
    f.ReferralConverted: (advocates, referrals),
    f.Referred: (referrals,),
    f.OrderCompleted: _BY_ORDERS,
    f.OrderUpdated: _BY_ORDERS,
    f.OrderRefunded: _BY_ORDERS,
    f.OrderCancelled: _BY_ORDERS,
    f.SubscriptionStarted: (trials,),
    f.SubscriptionRenewed: (trials,),
}
"""By the type of a fact the groups that it may change; whose channel it is, beside these, changes `leads`."""
HOT: dict[type[Fact], Callable[[str, Profile, Any, Now, Days], bool]] = {f.WebVisit: visit, f.EmailEvent: message}
"""What is so frequent that it is counted by itself."""
