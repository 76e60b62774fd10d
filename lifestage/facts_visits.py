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


class Advertisement(Fact, frozen=True, array_like=True, kw_only=True, gc=False):
    """What a campaign showed, and what came of it; one fact may stand for several."""

    campaign_id: str
    channel: str | None = None
    count: int = 1


class AdImpression(Advertisement, frozen=True, array_like=True, kw_only=True, gc=False, tag=8):
    """An advertisement was shown. Without an id of a person it belongs to the company."""


class AdClick(Advertisement, frozen=True, array_like=True, kw_only=True, gc=False, tag=2):
    """An advertisement was clicked."""


class SocialEngagement(Advertisement, frozen=True, array_like=True, kw_only=True, gc=False, tag=9):
    """Somebody did something with a post: like, comment, share, follow, mention."""

    kind: str | None = None


class LeadCaptured(Fact, frozen=True, array_like=True, kw_only=True, gc=False, tag=3):
    """Somebody left their details in a form."""

    lead_id: str
    form: str
    offer: str | None = None
    qualified: bool | None = None
    score: float | None = None


class Trial(Fact, frozen=True, array_like=True, kw_only=True, gc=False):
    """A trial, its plan and its planned time (ms) where they were said."""

    trial_id: str
    plan: str | None = None
    starts_at: int | None = None
    ends_at: int | None = None


class TrialStarted(Trial, frozen=True, array_like=True, kw_only=True, gc=False, tag=10):
    """A trial began; `starts_at` and `ends_at` in ms where they were said."""


class TrialEnded(Trial, frozen=True, array_like=True, kw_only=True, gc=False, tag=11):
    """A trial is over, before or at its planned end."""

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


class Cart(Fact, frozen=True, array_like=True, kw_only=True, gc=False):
    """What happened to a cart; its value then."""

    cart_id: str
    step: str | None = None
    name: str | None = None
    value_minor: int | None = None
    currency: str | None = None


class CartUpdated(Cart, frozen=True, array_like=True, kw_only=True, gc=False, tag=15):
    """A cart was filled or emptied; its value then."""


class CheckoutStep(Cart, frozen=True, array_like=True, kw_only=True, gc=False, tag=16):
    """A step of the checkout was reached."""
