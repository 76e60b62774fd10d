"""Events of the talk with customers: messages, feedback, referrals, tickets, and what they say of themselves."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from lifestage import facts
from lifestage.invalid import InvalidError, shown
from lifestage.mailboxes import group_of
from lifestage.wire import (
    Actor,
    Address,
    Channel,
    CustomerId,
    Event,
    Happening,
    Id,
    Metric,
    Name,
    Owner,
    Purposes,
    RequiredCustomerId,
    RequiredId,
    RequiredScore,
    Score,
    Traits,
    is_address,
)

SCALES: Final[dict[str, tuple[float, float]]] = {"nps": (0.0, 10.0), "csat": (1.0, 5.0), "ces": (1.0, 7.0)}
"""The scale of an answer that names none, by metric."""

TRAIT_TEXT_MAX: Final = 256
TRAIT_NUMBER_MAX: Final = 1e15
_NAME = re.compile(r"[a-z0-9_]{1,40}")


class EmailEvent(Event, kw_only=True, gc=False, tag="email.event"):
    """`email.event`."""

    message_id: RequiredId
    event: Happening
    recipient: Address | None = None
    channel: Channel | None = None
    campaign_id: Id | None = None
    list_id: Id | None = None
    reject_reason: str | None = None
    bounce_type: Name | None = None
    click_url: str | None = None
    machine: bool | None = None

    def address(self) -> str | None:
        """`email`, else the recipient: an address, or what stands for one on another channel, such as a number."""
        if self.email is not None and is_address(self.email):
            return self.email
        if self.recipient is not None and (is_address(self.recipient) or (self.channel or "email") != "email"):
            return self.recipient
        return None

    def mailbox(self) -> str | None:
        """Who runs the mailbox that a mail went to; None of other messages, and where no address is told."""
        if self.channel is None or self.channel == "email":
            if self.recipient is not None and is_address(self.recipient):
                return group_of(self.recipient)
            if self.email is not None and is_address(self.email):
                return group_of(self.email)
        return None

    def fact(self, common: dict[str, Any]) -> facts.EmailEvent:
        """As it stands; channel `email` and a human unless it says otherwise."""
        return facts.EmailEvent(
            message_id=self.message_id,
            event=self.event,
            channel=self.channel or "email",
            campaign_id=self.campaign_id or None,
            list_id=self.list_id or None,
            reject_reason=self.reject_reason,
            bounce_type=self.bounce_type or None,
            click_url=self.click_url,
            machine=self.machine or False,
            mailbox=self.mailbox(),
            **common,
        )


class FeedbackReceived(Event, kw_only=True, gc=False, tag="feedback.received"):
    """`feedback.received`."""

    survey_id: RequiredId
    metric: Metric
    score: RequiredScore
    scale_min: Score = None
    scale_max: Score = None
    text: str | None = None

    def fact(self, common: dict[str, Any]) -> facts.FeedbackReceived:
        """With its scale: what it says of it, else what is usual for the metric. The score must stand on it."""
        lowest, highest = SCALES[self.metric]
        lowest = lowest if self.scale_min is None else self.scale_min
        highest = highest if self.scale_max is None else self.scale_max
        if lowest >= highest:
            place = "$.scale_min" if self.scale_max is None else "$.scale_max"
            meant = f"below scale_max, {highest:g}" if self.scale_max is None else f"above scale_min, {lowest:g}"
            raise InvalidError(
                "out_of_range", place, f"a number {meant}", f"{lowest if self.scale_max is None else highest:g}"
            )
        if not lowest <= self.score <= highest:
            raise InvalidError("out_of_range", "$.score", f"a number from {lowest:g} to {highest:g}", f"{self.score:g}")
        return facts.FeedbackReceived(
            survey_id=self.survey_id,
            metric=self.metric,
            score=self.score,
            scale_min=lowest,
            scale_max=highest,
            text=self.text,
            **common,
        )


class Referral(Event, kw_only=True, gc=False):
    """What the events of a referral have. They are about the referrer, whoever else the envelope names.

    By the time a fact is made of one, `referrer_id` and `referred_id` are ids as keys have them.
    """

    owner: ClassVar[Owner] = "referrer"
    referral_id: RequiredId
    referrer_id: RequiredCustomerId
    referred_id: CustomerId = None

    def said(self) -> dict[str, Any]:
        """The referral as it stands."""
        return {
            "referral_id": self.referral_id,
            "referrer_id": str(self.referrer_id),
            "referred_id": None if self.referred_id is None else str(self.referred_id),
        }


class ReferralSent(Referral, kw_only=True, gc=False, tag="referral.sent"):
    """`referral.sent`."""

    def fact(self, common: dict[str, Any]) -> facts.ReferralSent:
        """As `said`."""
        return facts.ReferralSent(**common, **self.said())


class ReferralConverted(Referral, kw_only=True, gc=False, tag="referral.converted"):
    """`referral.converted`."""

    def fact(self, common: dict[str, Any]) -> facts.ReferralConverted:
        """As `said`."""
        return facts.ReferralConverted(**common, **self.said())


class ReviewPosted(Event, kw_only=True, gc=False, tag="review.posted"):
    """`review.posted`."""

    rating: Score = None
    product_id: Id | None = None

    def fact(self, common: dict[str, Any]) -> facts.ReviewPosted:
        """As it stands."""
        return facts.ReviewPosted(rating=self.rating, product_id=self.product_id or None, **common)


class CommunityActivity(Event, kw_only=True, gc=False, tag="community.activity"):
    """`community.activity`."""

    kind: Name | None = None

    def fact(self, common: dict[str, Any]) -> facts.CommunityActivity:
        """As it stands."""
        return facts.CommunityActivity(kind=self.kind or None, **common)


class LoyaltyPoints(Event, kw_only=True, gc=False, tag="loyalty.points"):
    """`loyalty.points`."""

    kind: Name | None = None
    points: Score = None
    balance: Score = None
    tier: Name | None = None

    def fact(self, common: dict[str, Any]) -> facts.LoyaltyPoints:
        """As it stands."""
        return facts.LoyaltyPoints(
            kind=self.kind or None, points=self.points, balance=self.balance, tier=self.tier or None, **common
        )


class Ticket(Event, kw_only=True, gc=False):
    """What the events of a ticket have; `by` says who acted."""

    owner: ClassVar[Owner] = "thing"
    ticket_id: RequiredId
    channel: Name | None = None
    priority: Name | None = None
    by: Actor | None = None

    def said(self) -> dict[str, Any]:
        """The ticket as it stands."""
        return {
            "ticket_id": self.ticket_id,
            "channel": self.channel or None,
            "priority": self.priority or None,
            "by": self.by,
        }


class TicketCreated(Ticket, kw_only=True, gc=False, tag="ticket.created"):
    """`ticket.created`."""

    def fact(self, common: dict[str, Any]) -> facts.TicketCreated:
        """As `said`."""
        return facts.TicketCreated(**common, **self.said())


class TicketReplied(Ticket, kw_only=True, gc=False, tag="ticket.replied"):
    """`ticket.replied`."""

    def fact(self, common: dict[str, Any]) -> facts.TicketReplied:
        """As `said`."""
        return facts.TicketReplied(**common, **self.said())


class TicketSolved(Ticket, kw_only=True, gc=False, tag="ticket.solved"):
    """`ticket.solved`."""

    def fact(self, common: dict[str, Any]) -> facts.TicketSolved:
        """As `said`."""
        return facts.TicketSolved(**common, **self.said())


class TicketReopened(Ticket, kw_only=True, gc=False, tag="ticket.reopened"):
    """`ticket.reopened`."""

    def fact(self, common: dict[str, Any]) -> facts.TicketReopened:
        """As `said`."""
        return facts.TicketReopened(**common, **self.said())


class ProfileUpdated(Event, kw_only=True, gc=False, tag="profile.updated"):
    """`profile.updated`."""

    traits: Traits

    def fact(self, common: dict[str, Any]) -> facts.ProfileUpdated:
        """With its numbers as floats; a text is at most 256 characters."""
        return facts.ProfileUpdated(traits={name: _trait(name, given) for name, given in self.traits.items()}, **common)


class ConsentChanged(Event, kw_only=True, gc=False, tag="consent.changed"):
    """`consent.changed`."""

    purposes: Purposes

    def fact(self, common: dict[str, Any]) -> facts.ConsentChanged:
        """As it stands: each purpose is true or false."""
        for name, given in self.purposes.items():
            _check_name(name, "$.purposes")
            if not isinstance(given, bool):
                place = f"$.purposes.{name}"
                raise InvalidError("wrong_type", place, "true or false", shown(place, given))
        return facts.ConsentChanged(purposes=self.purposes, **common)


def _check_name(name: str, place: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidError("bad_id", place, "names of 1 to 40 of a-z, 0-9 and _", shown(place, name))


def _trait(name: str, given: object) -> str | float | bool | None:
    _check_name(name, "$.traits")
    if given is None or isinstance(given, bool):
        return given
    place = f"$.traits.{name}"
    if isinstance(given, str):
        if len(given) > TRAIT_TEXT_MAX:
            raise InvalidError("out_of_range", place, f"at most {TRAIT_TEXT_MAX} characters", f"{len(given)}")
        return given
    if not isinstance(given, int | float):
        raise InvalidError("wrong_type", place, "a string, a number, true, false or null", shown(place, given))
    if not -TRAIT_NUMBER_MAX <= given <= TRAIT_NUMBER_MAX:
        raise InvalidError("out_of_range", place, "a number from -1e15 to 1e15", shown(place, given))
    return float(given)
