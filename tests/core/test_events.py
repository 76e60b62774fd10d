"""Every kind of event: what a good one becomes, what it must say, and which words it may choose from."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from lifestage import events, facts
from lifestage.facts import Fact, Item
from lifestage.keys import email_key
from tests.core.samples import EVENTS, REQUIRED, SECRET, TIME_MS, accepted, refused

DAY_MS = 86_400_000
ENVELOPE: dict[str, Any] = {"time": TIME_MS, "source": "shop", "id": "e1", "customer_id": "c1"}
ANN, BOB = email_key("ann@example.com", SECRET), email_key("bob@example.com", SECRET)
OF_NOBODY: dict[str, Any] = {"time": TIME_MS, "source": "shop", "id": "e1"}
ORDER: dict[str, Any] = {**ENVELOPE, "order_id": "o1", "currency": "EUR"}
TEAM: dict[str, Any] = {**ENVELOPE, "subscription_id": "u1", "plan": "team", "mrr_minor": 2900, "currency": "EUR"}
SUBSCRIPTION: dict[str, Any] = {**ENVELOPE, "subscription_id": "u1"}
TRIAL: dict[str, Any] = {**ENVELOPE, "trial_id": "t1", "plan": "team"}
CART: dict[str, Any] = {**ENVELOPE, "cart_id": "k1", "value_minor": 5980, "currency": "EUR"}
TICKET: dict[str, Any] = {**ENVELOPE, "ticket_id": "i1"}

FACTS: dict[str, Fact] = {
    "web.visit": facts.WebVisit(
        **ENVELOPE, url="https://shop.example/p/1", session_id="s1", pages=2, page_type="product"
    ),
    "ad.impression": facts.AdImpression(**ENVELOPE, campaign_id="spring", channel="search", count=40),
    "ad.click": facts.AdClick(**ENVELOPE, campaign_id="spring", channel="search"),
    "social.engagement": facts.SocialEngagement(**ENVELOPE, campaign_id="spring", kind="share", count=3),
    "lead.captured": facts.LeadCaptured(**ENVELOPE, lead_id="l1", form="newsletter", qualified=True, score=7.0),
    "trial.started": facts.TrialStarted(**TRIAL, starts_at=TIME_MS, ends_at=TIME_MS + 14 * DAY_MS),
    "trial.ended": facts.TrialEnded(**TRIAL, ends_at=TIME_MS, converted=True),
    "account.created": facts.AccountCreated(**ENVELOPE, account_id="acme", plan="team"),
    "account.closed": facts.AccountClosed(**ENVELOPE, account_id="acme", reason="moved"),
    "feature.used": facts.FeatureUsed(**ENVELOPE, feature="export", plan="team"),
    "cart.updated": facts.CartUpdated(**CART),
    "checkout.step": facts.CheckoutStep(**CART, step="2", name="payment"),
    "email.event": facts.EmailEvent(**ENVELOPE, email=ANN, message_id="m1", event="delivered", mailbox="other"),
    "order.completed": facts.OrderCompleted(
        **ORDER,
        total_minor=11900,
        net_minor=10000,
        tax_minor=1900,
        items=(Item(product_id="p1", qty=2, unit_price_minor=5000),),
    ),
    "order.updated": facts.OrderUpdated(**ORDER, total_minor=5950, net_minor=4500, tax_minor=950, shipping_minor=500),
    "order.refunded": facts.OrderRefunded(**ENVELOPE, refund_id="r1", order_id="o1", amount_minor=1999, currency="EUR"),
    "order.cancelled": facts.OrderCancelled(**ENVELOPE, order_id="o1", reason="changed my mind"),
    "subscription.started": facts.SubscriptionStarted(**TEAM),
    "subscription.renewed": facts.SubscriptionRenewed(**TEAM),
    "subscription.changed": facts.SubscriptionChanged(
        **SUBSCRIPTION, mrr_minor=7900, currency="JPY", effective_at=TIME_MS
    ),
    "subscription.cancelled": facts.SubscriptionCancelled(
        **SUBSCRIPTION, effective_at=TIME_MS + 30 * DAY_MS + 10 * 3_600_000, reason="price"
    ),
    "feedback.received": facts.FeedbackReceived(
        **ENVELOPE, survey_id="q1", metric="nps", score=9.0, scale_min=0.0, scale_max=10.0, text="good"
    ),
    "referral.sent": facts.ReferralSent(**ENVELOPE, referral_id="f1", referrer_id="c1", referred_id=BOB),
    "referral.converted": facts.ReferralConverted(**ENVELOPE, referral_id="f1", referrer_id="c1", referred_id="7"),
    "review.posted": facts.ReviewPosted(**ENVELOPE, rating=4.5, product_id="p1"),
    "community.activity": facts.CommunityActivity(**ENVELOPE, kind="answer"),
    "loyalty.points": facts.LoyaltyPoints(**ENVELOPE, kind="earned", points=54.0, balance=154.5, tier="silver"),
    "ticket.created": facts.TicketCreated(**TICKET, channel="chat", priority="high", by="customer"),
    "ticket.replied": facts.TicketReplied(**TICKET, by="agent"),
    "ticket.solved": facts.TicketSolved(**TICKET, by="bot"),
    "ticket.reopened": facts.TicketReopened(**TICKET, channel="chat"),
    "cost.recorded": facts.CostRecorded(
        **OF_NOBODY,
        cost_id="g1",
        amount_minor=180_000,
        currency="EUR",
        category="marketing",
        period_start=1_706_745_600_000,
        period_end=1_709_251_200_000,
        channel="search",
    ),
    "profile.updated": facts.ProfileUpdated(
        **ENVELOPE, traits={"country": "IE", "employees": 12.0, "newsletter": True, "nickname": None}
    ),
    "consent.changed": facts.ConsentChanged(**ENVELOPE, purposes={"marketing": False, "analytics": True}),
    "identity.linked": facts.IdentityLinked(**ENVELOPE, email=ANN, anonymous_id="a1"),
    "identity.merged": facts.IdentityMerged(**OF_NOBODY, ids=("c2", "c1", ANN, "anon:a1", "7"), into="c1"),
    "identity.split": facts.IdentitySplit(**OF_NOBODY, ids=("c1", ANN)),
}


@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_of_each_kind_becomes_its_fact(kind: str) -> None:
    """The sample of each kind, field by field; and the log holds it as it is."""
    fact = accepted(kind)
    assert fact == FACTS[kind]
    assert type(fact) is type(FACTS[kind])
    assert facts.decode(facts.encode(fact)) == fact


@pytest.mark.parametrize(
    ("kind", "field"),
    [(kind, field) for kind, fields in REQUIRED.items() for field in ["id", "source", "time", *fields]],
)
def test_a_required_field_that_is_missing_is_named(kind: str, field: str) -> None:
    """The message says which one, under the event's own source and type."""
    refusal = refused(kind, **{field: ...})
    assert refusal.reason == "missing_field"
    assert refusal.message.startswith(f"$.{field}: expected ")
    assert (refusal.source, refusal.type) == ("unknown" if field == "source" else "shop", kind)


@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_with_its_required_fields_alone_is_enough(kind: str) -> None:
    """Everything that the contract does not require may be left out, or null."""
    bare = {field: ... for field in EVENTS[kind] if field not in REQUIRED[kind]}
    assert accepted(kind, **bare, email="ann@example.com") == accepted(
        kind, **dict.fromkeys(bare), email="ann@example.com"
    )
    for event in get_args(events.AnyEvent):
        if event.__struct_config__.tag == kind:
            optional = {f.name for f in msgspec.structs.fields(event) if not f.required} - {*REQUIRED[kind], "email"}
            nulls = dict.fromkeys(optional - {"customer_id"})
            fact = accepted(kind, **{**bare, **nulls}, email="ann@example.com")
            assert fact.email == (None if kind in {"cost.recorded", "identity.merged", "identity.split"} else ANN)


@pytest.mark.parametrize(
    ("kind", "fields", "fact"),
    [
        ("web.visit", {"path": "/p", "title": "Ö", "referrer": "r", "entry": True, "duration_s": 2.5, "product_id": "p"},
         {"path": "/p", "title": "Ö", "referrer": "r", "entry": True, "duration_s": 2.5, "product_id": "p"}),
        ("ad.click", {"count": 12}, {"count": 12}),
        ("ad.impression", {"channel": ..., "count": ...}, {"channel": None, "count": 1}),
        ("social.engagement", {"channel": "photos", "count": ...}, {"channel": "photos", "count": 1}),
        ("trial.ended", {"starts_at": 1_709_208_000, "converted": False}, {"starts_at": TIME_MS, "converted": False}),
        ("cart.updated", {"step": "1", "name": "cart"}, {"step": "1", "name": "cart"}),
        ("cart.updated", {"value": ..., "value_minor": 5}, {"value_minor": 5}),
        ("cart.updated", {"value": ..., "currency": ...}, {"value_minor": None, "currency": None}),
        ("order.updated", {"items": [{"name": "Shoe"}], "coupon": "X"}, {"items": (Item(name="Shoe"),), "coupon": "X"}),
        ("order.updated", {"net": 0}, {"net_minor": 0}),
        ("subscription.started", {"mrr": ..., "currency": ...}, {"mrr_minor": None, "currency": None}),
        ("subscription.renewed", {"mrr": 0, "reason": "r", "effective_at": 1}, {"mrr_minor": 0, "reason": "r", "effective_at": 1000}),
        ("review.posted", {"rating": 0}, {"rating": 0.0}),
        ("loyalty.points", {"points": -5}, {"points": -5.0}),
        ("ticket.solved", {"by": ...}, {"by": None}),
        ("cost.recorded", {"channel": "", "campaign_id": "spring"}, {"channel": None, "campaign_id": "spring"}),
        ("cost.recorded", {"amount": 0}, {"amount_minor": 0}),
        ("profile.updated", {"traits": {}}, {"traits": {}}),
        ("lead.captured", {"offer": "ebook", "qualified": False, "score": 0}, {"offer": "ebook", "qualified": False, "score": 0.0}),
        ("email.event", {"event": "bounced", "channel": "sms", "campaign_id": "k", "list_id": "l", "reject_reason": "full",
                         "bounce_type": "soft", "click_url": "u", "machine": True},
         {"event": "bounced", "channel": "sms", "campaign_id": "k", "list_id": "l", "reject_reason": "full",
          "bounce_type": "soft", "click_url": "u", "machine": True, "mailbox": None}),
        ("order.completed", {"status": "paid", "shipping": 5, "discount": "3.00", "cost_of_goods": 40.5, "coupon": "X",
                             "channel": "web", "referral_code": "R"},
         {"shipping_minor": 500, "discount_minor": 300, "cost_of_goods_minor": 4050, "net_minor": 9500, "coupon": "X",
          "channel": "web", "referral_code": "R"}),
        ("order.completed", {"net": "99.99"}, {"net_minor": 9999}),
        ("order.completed", {"total": "1.00"}, {"total_minor": 100, "net_minor": 0}),
        ("order.completed", {"items": []}, {"items": ()}),
        ("order.completed", {"items": [{"name": "Shoe", "category": "a", "unit_price_minor": 7}]},
         {"items": (Item(name="Shoe", category="a", qty=1, unit_price_minor=7),)}),
        ("order.refunded", {"currency": ...}, {"currency": None, "amount_minor": 1999}),
        ("order.refunded", {"amount": ..., "amount_minor": 5}, {"amount_minor": 5}),
    ],
)  # fmt: skip
def test_the_other_fields_of_a_kind_stand_in_its_fact(kind: str, fields: dict[str, Any], fact: dict[str, Any]) -> None:
    """Each optional field, and the net of an order: as given, else total − tax − shipping, never below 0."""
    changed = msgspec.structs.replace(FACTS[kind], **fact)
    assert accepted(kind, **fields) == changed


WORDS = {
    "web.visit": {"page_type": "content, product, pricing, checkout, kb, account, other"},
    "social.engagement": {"kind": "like, comment, share, follow, mention"},
    "email.event": {
        "event": "queued, sent, delivered, deferred, bounced, rejected, failed, opened, clicked, complained, unsubscribed, "
        "subscribed, autoresponded",
        "channel": "email, sms, push, in_app, chat, phone",
    },
    "order.completed": {"status": "paid"},
    "order.updated": {"status": "paid"},
    "feedback.received": {"metric": "nps, csat, ces"},
    "cost.recorded": {"category": "marketing, sales, retention, support, other"},
    **{kind: {"by": "agent, bot, customer"} for kind in EVENTS if kind.startswith("ticket.")},
}


@pytest.mark.parametrize(
    ("kind", "field", "words"), [(kind, *pair) for kind, fields in WORDS.items() for pair in fields.items()]
)
def test_a_word_that_is_none_of_the_contracts_is_told_which_there_are(kind: str, field: str, words: str) -> None:
    """Each of the words passes; any other is refused with all of them."""
    for word in words.split(", "):
        assert getattr(accepted(kind, **{field: word, "score": 5}), field, word) == word
    refusal = refused(kind, **{field: "sideways"})
    assert refusal.reason == "out_of_range"
    assert refusal.message == f'$.{field}: expected one of {words}, got "sideways"'
