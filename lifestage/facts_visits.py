"""Facts of the site, the shop window and the product: visits, advertisements, leads, trials, accounts, features, carts."""

from __future__ import annotations

from lifestage.fact import Fact


class WebVisit(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=1):
    """A page was visited."""

    url: str
    session_id: str | None = None
    path: str | None = None
    title: str | None = None
    referrer: str | None = None
    entry: bool | None = None
    duration_s: float | None = None
    pages: int = 1
    page_type: str | None = None
    product_id: str | None = None


class AdImpression(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=8):
    """An advertisement was shown. Without an id of a person it belongs to the company."""

    campaign_id: str
    channel: str | None = None
    count: int = 1


class AdClick(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=2):
    """An advertisement was clicked."""

    campaign_id: str
    channel: str | None = None
    count: int = 1


class SocialEngagement(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=9):
    """Somebody did something with a post: like, comment, share, follow, mention."""

    campaign_id: str
    channel: str | None = None
    count: int = 1
    kind: str | None = None


class LeadCaptured(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=3):
    """Somebody left their details in a form."""

    lead_id: str
    form: str
    offer: str | None = None
    qualified: bool | None = None
    score: float | None = None


class TrialStarted(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=10):
    """A trial began; `starts_at` and `ends_at` in ms where they were said."""

    trial_id: str
    plan: str | None = None
    starts_at: int | None = None
    ends_at: int | None = None


class TrialEnded(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=11):
    """A trial is over, before or at its planned end."""

    trial_id: str
    plan: str | None = None
    starts_at: int | None = None
    ends_at: int | None = None
    converted: bool | None = None


class AccountCreated(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=12):
    """An account was opened; which one is the common field `account_id`, never None here."""

    plan: str | None = None


class AccountClosed(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=13):
    """An account was closed; which one is the common field `account_id`, never None here."""

    reason: str | None = None


class FeatureUsed(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=14):
    """A feature of the product was used."""

    feature: str
    plan: str | None = None


class CartUpdated(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=15):
    """A cart was filled or emptied; its value then."""

    cart_id: str
    step: str | None = None
    name: str | None = None
    value_minor: int | None = None
    currency: str | None = None


class CheckoutStep(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=16):
    """A step of the checkout was reached."""

    cart_id: str
    step: str | None = None
    name: str | None = None
    value_minor: int | None = None
    currency: str | None = None
