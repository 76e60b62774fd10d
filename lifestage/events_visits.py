"""Events of the site, the shop window and the product: visits, advertisements, leads, trials, accounts, features, carts."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Raw

from lifestage import facts, moments
from lifestage.amounts import ABSENT, amount_beside
from lifestage.invalid import InvalidError
from lifestage.wire import (
    Count,
    Duration,
    Event,
    Id,
    Instant,
    Minor,
    Name,
    Owner,
    PageType,
    RequiredCustomerId,
    RequiredId,
    RequiredName,
    RequiredText,
    Score,
    SocialKind,
)


class WebVisit(Event, kw_only=True, gc=False, tag="web.visit"):
    """`web.visit`."""

    url: RequiredText
    session_id: Id | None = None
    path: str | None = None
    title: str | None = None
    referrer: str | None = None
    entry: bool | None = None
    duration_s: Duration = None
    pages: Count = None
    page_type: PageType | None = None
    product_id: Id | None = None

    def fact(self, common: dict[str, Any]) -> facts.WebVisit:
        """As it stands; one page unless it says otherwise."""
        return facts.WebVisit(
            url=self.url,
            session_id=self.session_id or None,
            path=self.path,
            title=self.title,
            referrer=self.referrer,
            entry=self.entry,
            duration_s=self.duration_s,
            pages=self.pages or 1,
            page_type=self.page_type,
            product_id=self.product_id or None,
            **common,
        )


class Advertisement(Event, kw_only=True, gc=False):
    """What the events of advertisements and posts have."""

    campaign_id: RequiredId
    channel: Name | None = None
    count: Count = None


class AdImpression(Advertisement, kw_only=True, gc=False, tag="ad.impression"):
    """`ad.impression`."""

    owner: ClassVar[Owner] = "anybody"

    def fact(self, common: dict[str, Any]) -> facts.AdImpression:
        """As it stands; one unless it says otherwise."""
        return facts.AdImpression(
            campaign_id=self.campaign_id, channel=self.channel or None, count=self.count or 1, **common
        )


class AdClick(Advertisement, kw_only=True, gc=False, tag="ad.click"):
    """`ad.click`."""

    def fact(self, common: dict[str, Any]) -> facts.AdClick:
        """As it stands; one click unless it says otherwise."""
        return facts.AdClick(
            campaign_id=self.campaign_id, channel=self.channel or None, count=self.count or 1, **common
        )


class SocialEngagement(Advertisement, kw_only=True, gc=False, tag="social.engagement"):
    """`social.engagement`."""

    owner: ClassVar[Owner] = "anybody"
    kind: SocialKind | None = None

    def fact(self, common: dict[str, Any]) -> facts.SocialEngagement:
        """As it stands; one act unless it says otherwise."""
        return facts.SocialEngagement(
            campaign_id=self.campaign_id,
            channel=self.channel or None,
            count=self.count or 1,
            kind=self.kind,
            **common,
        )


class LeadCaptured(Event, kw_only=True, gc=False, tag="lead.captured"):
    """`lead.captured`."""

    lead_id: RequiredId
    form: RequiredName
    offer: Id | None = None
    qualified: bool | None = None
    score: Score = None

    def fact(self, common: dict[str, Any]) -> facts.LeadCaptured:
        """As it stands."""
        return facts.LeadCaptured(
            lead_id=self.lead_id,
            form=self.form,
            offer=self.offer or None,
            qualified=self.qualified,
            score=self.score,
            **common,
        )


class TrialStarted(Event, kw_only=True, gc=False, tag="trial.started"):
    """`trial.started`."""

    trial_id: RequiredId
    plan: Name | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None

    def fact(self, common: dict[str, Any]) -> facts.TrialStarted:
        """With its planned instants in ms."""
        return facts.TrialStarted(
            trial_id=self.trial_id,
            plan=self.plan or None,
            starts_at=moments.optional("$.starts_at", self.starts_at),
            ends_at=moments.optional("$.ends_at", self.ends_at),
            **common,
        )


class TrialEnded(Event, kw_only=True, gc=False, tag="trial.ended"):
    """`trial.ended`."""

    trial_id: RequiredId
    plan: Name | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    converted: bool | None = None

    def fact(self, common: dict[str, Any]) -> facts.TrialEnded:
        """With its planned instants in ms."""
        return facts.TrialEnded(
            trial_id=self.trial_id,
            plan=self.plan or None,
            starts_at=moments.optional("$.starts_at", self.starts_at),
            ends_at=moments.optional("$.ends_at", self.ends_at),
            converted=self.converted,
            **common,
        )


class AccountCreated(Event, kw_only=True, gc=False, tag="account.created"):
    """`account.created`."""

    account_id: RequiredCustomerId
    plan: Name | None = None

    def fact(self, common: dict[str, Any]) -> facts.AccountCreated:
        """As it stands, if its account is one."""
        _check_account(common)
        return facts.AccountCreated(plan=self.plan or None, **common)


class AccountClosed(Event, kw_only=True, gc=False, tag="account.closed"):
    """`account.closed`."""

    account_id: RequiredCustomerId
    reason: str | None = None

    def fact(self, common: dict[str, Any]) -> facts.AccountClosed:
        """As it stands, if its account is one."""
        _check_account(common)
        return facts.AccountClosed(reason=self.reason, **common)


def _check_account(common: dict[str, Any]) -> None:
    if common["account_id"] is None:
        raise InvalidError("no_identity", "$.account_id", "an id that names an account", "one that names nobody")


class FeatureUsed(Event, kw_only=True, gc=False, tag="feature.used"):
    """`feature.used`."""

    feature: RequiredName
    plan: Name | None = None

    def fact(self, common: dict[str, Any]) -> facts.FeatureUsed:
        """As it stands."""
        return facts.FeatureUsed(feature=self.feature, plan=self.plan or None, **common)


class Cart(Event, kw_only=True, gc=False):
    """What the events of a cart have. `value` needs the currency that it is in."""

    cart_id: RequiredId
    step: Name | None = None
    name: Name | None = None
    value: Raw = ABSENT
    value_minor: Minor = None
    currency: str | None = None

    def in_minor(self) -> int | None:
        """The value in minor units. Raises `InvalidError`."""
        return amount_beside("$.value", self.value, self.value_minor, self.currency)


class CartUpdated(Cart, kw_only=True, gc=False, tag="cart.updated"):
    """`cart.updated`."""

    def fact(self, common: dict[str, Any]) -> facts.CartUpdated:
        """With its value in minor units."""
        return facts.CartUpdated(
            cart_id=self.cart_id,
            step=self.step or None,
            name=self.name or None,
            value_minor=self.in_minor(),
            currency=self.currency,
            **common,
        )


class CheckoutStep(Cart, kw_only=True, gc=False, tag="checkout.step"):
    """`checkout.step`."""

    def fact(self, common: dict[str, Any]) -> facts.CheckoutStep:
        """With its value in minor units."""
        return facts.CheckoutStep(
            cart_id=self.cart_id,
            step=self.step or None,
            name=self.name or None,
            value_minor=self.in_minor(),
            currency=self.currency,
            **common,
        )
