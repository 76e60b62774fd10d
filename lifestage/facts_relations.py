"""Facts of the talk with customers: messages, feedback, referrals, tickets, and what they say of themselves."""

from __future__ import annotations

from lifestage.fact import Fact


class EmailEvent(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=4):
    """Something happened to a message. `event` is one of semantics §5's words; `email` is the recipient."""

    message_id: str
    event: str
    channel: str = "email"
    campaign_id: str | None = None
    list_id: str | None = None
    reject_reason: str | None = None
    bounce_type: str | None = None
    click_url: str | None = None
    machine: bool = False
    mailbox: str | None = None
    """On channel email who runs the recipient's mailbox, of `mailboxes.GROUPS`; None where no address was told."""


class FeedbackReceived(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=22):
    """An answer to a survey. `score` stands on the scale from `scale_min` to `scale_max`."""

    survey_id: str
    metric: str
    score: float
    scale_min: float
    scale_max: float
    text: str | None = None


class Referral(Fact, frozen=True, array_like=True, kw_only=True, gc=False):
    """What came of a recommendation by the customer, `referrer_id`."""

    referral_id: str
    referrer_id: str
    referred_id: str | None = None


class ReferralSent(Referral, frozen=True, array_like=True, kw_only=True, gc=False, tag=23):
    """The customer, `referrer_id`, recommended us to somebody."""


class ReferralConverted(Referral, frozen=True, array_like=True, kw_only=True, gc=False, tag=24):
    """Somebody whom the customer, `referrer_id`, recommended us to became a customer."""


class ReviewPosted(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=25):
    """A review was written; `rating` as it was given."""

    rating: float | None = None
    product_id: str | None = None


class CommunityActivity(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=26):
    """Something was done in the community."""

    kind: str | None = None


class LoyaltyPoints(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=27):
    """Points were earned or spent; `balance` is what there is now."""

    kind: str | None = None
    points: float | None = None
    balance: float | None = None
    tier: str | None = None


class Ticket(Fact, frozen=True, array_like=True, kw_only=True, gc=False):
    """What happened to a support ticket; `by` is agent, bot or customer."""

    ticket_id: str
    channel: str | None = None
    priority: str | None = None
    by: str | None = None


class TicketCreated(Ticket, frozen=True, array_like=True, kw_only=True, gc=False, tag=28):
    """A support ticket was opened."""


class TicketReplied(Ticket, frozen=True, array_like=True, kw_only=True, gc=False, tag=29):
    """Somebody wrote in a ticket."""


class TicketSolved(Ticket, frozen=True, array_like=True, kw_only=True, gc=False, tag=30):
    """A ticket was solved."""


class TicketReopened(Ticket, frozen=True, array_like=True, kw_only=True, gc=False, tag=31):
    """A ticket was opened again."""


class ProfileUpdated(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=33):
    """What is said of a person: name → text, number or truth; None takes it back."""

    traits: dict[str, str | float | bool | None]


class ConsentChanged(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=34):
    """What the customer allows from now on: purpose → answer."""

    purposes: dict[str, bool]


class Referred(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=35):
    """The other side of a referral: the customer was recommended to us by `referrer_id`. It is not counted as an event."""

    referral_id: str
    referrer_id: str
    converted: bool = False


class IdentityLinked(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=36):
    """The ids that it names are one person's; it says nothing else."""


class IdentityMerged(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=37):
    """The profiles of `ids` are one person's, and go on as `into`; without it as the highest and smallest of them."""

    ids: tuple[str, ...]
    into: str | None = None


class IdentitySplit(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=38):
    """Each of `ids` is a person of its own, whatever it was merged with or linked to."""

    ids: tuple[str, ...]
