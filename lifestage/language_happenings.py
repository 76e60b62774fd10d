"""What can happen in a story, in words: `visit pricing`, `order o1 40.00`, `nps 9`. Each becomes one fact.

What a story does not say is filled in: an order without a name gets one, a refund without one is of the latest order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from msgspec.structs import replace

from lifestage.facts import (
    AccountClosed,
    AccountCreated,
    AdClick,
    CartUpdated,
    CheckoutStep,
    CommunityActivity,
    EmailEvent,
    Fact,
    FeatureUsed,
    FeedbackReceived,
    LeadCaptured,
    LoyaltyPoints,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    OrderUpdated,
    ProfileUpdated,
    ReferralConverted,
    ReferralSent,
    ReviewPosted,
    SocialEngagement,
    SubscriptionCancelled,
    SubscriptionChanged,
    SubscriptionRenewed,
    SubscriptionStarted,
    TicketCreated,
    TicketReopened,
    TicketReplied,
    TicketSolved,
    TrialEnded,
    TrialStarted,
    WebVisit,
)
from lifestage.language_facts import FLAGS, TRAIT_NAME
from lifestage.language_words import Cursor, PlanError, Word, duration, meant, money, name, quoted, thousandths
from lifestage.signals import SCALES

PAGES = ("content", "product", "pricing", "checkout", "kb", "account", "other")
SOCIAL = ("like", "comment", "share", "follow", "mention")
MAIL = (
    "queued", "sent", "delivered", "deferred", "bounced", "rejected", "failed", "opened", "clicked", "complained",
    "unsubscribed", "subscribed", "autoresponded",
)  # fmt: skip
CHANNELS = {"mail": "email", "sms": "sms", "push": "push", "in_app": "in_app", "chat": "chat", "phone": "phone"}
RATING_MAX = 5
SAME = {
    **dict.fromkeys(("buy", "buys", "purchase", "bought", "pay"), "order 40.00"),
    **dict.fromkeys(("register", "registers"), "signup"),
    **dict.fromkeys(("login", "logs"), "visit account"),
    **dict.fromkeys(("click", "clicks"), "ad click, or mail clicked"),
    **dict.fromkeys(("open", "opens"), "mail opened"),
    **dict.fromkeys(("return", "returns"), "refund o1 25.00"),
    **dict.fromkeys(("wait", "silence", "none"), "nothing"),
}
"""What people write for something that a story has another word for."""
AFTER = frozenset({"by", "with", "at", "for", "session", "->"})
"""Words that go on with a happening, so they are no names."""


class Scene(NamedTuple):
    """What a line knows before its happening is read: instant (ms), the common fields, and the customer's orders so far."""

    at: int
    common: dict[str, Any]
    orders: list[str]
    when: Callable[[Cursor], int]
    """Reads a point in time, as a line begins with one."""


def happening(cursor: Cursor, scene: Scene) -> Fact | None:
    """The fact of what the cursor stands before; None for `nothing`. Raises `PlanError`."""
    word = cursor.take("what happens, such as visit, or nothing")
    if word.text == "nothing":
        return None
    read = HAPPENINGS.get(word.text)
    if read is None:
        hint = f"write {SAME[word.text]}" if word.text in SAME else meant(word.text, [*HAPPENINGS, "nothing"])
        raise PlanError(word.place, f"{word.text!r} is nothing that can happen", hint)
    return _with_more(cursor, read(cursor, scene, word), str(scene.common["id"]))


def _with_more(cursor: Cursor, fact: Fact, id: str) -> Fact:
    """The fact with what may follow any: by whom, and with an address."""
    while (word := cursor.take_if("by", "with")) is not None:
        if word.text == "with":
            cursor.expect("email")
            fact = replace(fact, email=email_key(fact.customer_id or id))
            continue
        known = ["bot"]
        if isinstance(fact, EmailEvent):
            known.append("machine")
        if isinstance(fact, TicketCreated | TicketReplied):
            known += ["agent", "customer"]
        who = _one_of(cursor.take("who"), "who", known)
        if who == "bot":
            fact = replace(fact, bot=True)
        elif who == "machine":
            fact = replace(fact, machine=True)
        else:
            fact = replace(fact, by=who)
    return fact


def email_key(who: str) -> str:
    """A key as an address would have it."""
    return "email:" + who.encode().hex()[:32].rjust(32, "0")


def _one_of(word: Word, what: str, known: Iterable[str]) -> str:
    if word.text not in known:
        raise PlanError(word.place, f"unknown {what} {word.text!r}", meant(word.text, known))
    return word.text


def _goes_on(cursor: Cursor) -> bool:
    """Whether a word of this happening's own comes next."""
    word = cursor.peek()
    return word is not None and word.kind == "word" and word.text not in AFTER


def _maybe(cursor: Cursor, what: str, known: Iterable[str]) -> str | None:
    return _one_of(cursor.take(""), what, known) if _goes_on(cursor) else None


def _named(cursor: Cursor, what: str, default: str) -> str:
    return name(cursor.take(""), what) if _goes_on(cursor) else default


def _number(cursor: Cursor, what: str, low: float, high: float) -> float:
    word = cursor.take(what)
    found = thousandths(word, what) / 1000
    if not low <= found <= high:
        raise PlanError(word.place, f"{word.text!r} is no {what}", f"write a number from {low:g} to {high:g}")
    return found


# -- the site and the product ----------------------------------------------------------------------


def _visit(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    page = _maybe(cursor, "page", PAGES)
    # without a name every visit is a session of its own
    session = name(cursor.take("a name"), "session") if cursor.take_if("session") else str(scene.common["id"])
    return WebVisit(url="/", session_id=session, page_type=page, **scene.common)


def _ad(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    cursor.expect("click")
    return AdClick(campaign_id="campaign", **scene.common)


def _social(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    return SocialEngagement(campaign_id="campaign", kind=_maybe(cursor, "act", SOCIAL), **scene.common)


def _lead(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    qualified = cursor.take_if("qualified") is not None
    score = _number(cursor, "score", -1e6, 1e6) if cursor.take_if("score") else None
    return LeadCaptured(lead_id="lead", form="form", qualified=qualified or None, score=score, **scene.common)


def _trial(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    if cursor.take_if("ends"):
        id = "trial" if cursor.next_is("converted") else _named(cursor, "trial", "trial")
        converted = cursor.take_if("converted") is not None
        return TrialEnded(trial_id=id, converted=converted, **scene.common)
    id = _named(cursor, "trial", "trial")
    ends = scene.at + duration(cursor.take("a length of time")) if cursor.take_if("for") else None
    return TrialStarted(trial_id=id, ends_at=ends, **scene.common)


def _signup(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    return AccountCreated(account_id=_named(cursor, "account", "account"), **scene.common)


def _close(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    cursor.expect("account")
    return AccountClosed(account_id=_named(cursor, "account", "account"), **scene.common)


def _feature(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    return FeatureUsed(feature=name(cursor.take("the name of the feature"), "feature"), **scene.common)


def _cart(_: Cursor, scene: Scene, __: Word) -> Fact:
    return CartUpdated(cart_id="cart", **scene.common)


def _checkout(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    return CheckoutStep(cart_id="cart", step=_named(cursor, "step", "begin"), **scene.common)


# -- money -----------------------------------------------------------------------------------------


def _order(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    kind: type[OrderCompleted | OrderUpdated] = OrderUpdated if cursor.take_if("changed") else OrderCompleted
    id = _named(cursor, "order", f"order_{scene.common['id']}" if kind is OrderCompleted else _latest(cursor, scene))
    minor, currency = money(cursor, "EUR")
    if kind is OrderCompleted:
        scene.orders.append(id)
    return kind(order_id=id, currency=currency, total_minor=minor, net_minor=minor, **scene.common)


def _latest(cursor: Cursor, scene: Scene) -> str:
    """The customer's latest order, unless another is named next."""
    if scene.orders or _goes_on(cursor):
        return scene.orders[-1] if scene.orders else ""
    raise PlanError(cursor.last.place, "there is no order yet", "name it, as in: order o1 40.00")


def _refund(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    id = _named(cursor, "order", _latest(cursor, scene))
    minor, currency = money(cursor, "EUR")
    refund = str(scene.common["id"])
    return OrderRefunded(refund_id=refund, order_id=id, amount_minor=minor, currency=currency, **scene.common)


def _cancel(cursor: Cursor, scene: Scene, word: Word) -> Fact:
    if cursor.take_if("subscription"):
        return _unsubscribe(cursor, scene, word)
    return OrderCancelled(order_id=_named(cursor, "order", _latest(cursor, scene)), **scene.common)


def _subscription(
    kind: type[SubscriptionStarted | SubscriptionRenewed | SubscriptionChanged],
) -> Callable[[Cursor, Scene, Word], Fact]:
    def read(cursor: Cursor, scene: Scene, _: Word) -> Fact:
        id = _named(cursor, "subscription", "subscription")
        following = cursor.peek()
        priced = kind is SubscriptionChanged or (following is not None and following.kind == "amount")
        minor, currency = money(cursor, "EUR") if priced else (None, None)
        at = scene.when(cursor) if cursor.take_if("at") else None
        return kind(subscription_id=id, mrr_minor=minor, currency=currency, effective_at=at, **scene.common)

    return read


def _unsubscribe(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    id = _named(cursor, "subscription", "subscription")
    at = scene.when(cursor) if cursor.take_if("at") else None
    return SubscriptionCancelled(subscription_id=id, effective_at=at, **scene.common)


# -- the talk --------------------------------------------------------------------------------------


def _message(cursor: Cursor, scene: Scene, word: Word) -> Fact:
    event = _one_of(cursor.take("what happened to it"), "event of a message", MAIL)
    return EmailEvent(message_id="message", event=event, channel=CHANNELS[word.text], **scene.common)


def _answer(cursor: Cursor, scene: Scene, word: Word) -> Fact:
    low, high = SCALES[word.text]
    score = _number(cursor, "score", low, high)
    return FeedbackReceived(
        survey_id="survey", metric=word.text, score=score, scale_min=low, scale_max=high, **scene.common
    )


def _review(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    following = cursor.peek()
    rated = following is not None and following.kind == "amount"
    return ReviewPosted(rating=_number(cursor, "rating", 0, RATING_MAX) if rated else None, **scene.common)


def _referral(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    kind = {"sent": ReferralSent, "converted": ReferralConverted}[cursor.expect("sent", "converted").text]
    referrer = str(scene.common.get("customer_id") or "somebody")
    return kind(referral_id=str(scene.common["id"]), referrer_id=referrer, **scene.common)


def _community(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    return CommunityActivity(kind=_named(cursor, "act", "post"), **scene.common)


def _points(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    return LoyaltyPoints(balance=_number(cursor, "balance", -1e9, 1e9), **scene.common)


def _ticket(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    act = cursor.take_if("solved", "reopened")
    id = _named(cursor, "ticket", "ticket")
    if act is not None:
        return {"solved": TicketSolved, "reopened": TicketReopened}[act.text](ticket_id=id, **scene.common)
    return TicketCreated(ticket_id=id, **scene.common)


def _reply(cursor: Cursor, scene: Scene, _: Word) -> Fact:
    return TicketReplied(ticket_id=_named(cursor, "ticket", "ticket"), by="customer", **scene.common)


def _set(cursor: Cursor, scene: Scene, word: Word) -> Fact:
    trait = cursor.take("the name of a trait")
    if not TRAIT_NAME.fullmatch(trait.text):
        raise PlanError(trait.place, f"{trait.text!r} is no name of a trait", "1 to 40 of a-z, 0-9 and _")
    value: str | float | bool | None = None
    if word.text == "set":
        following = cursor.peek()
        flag = cursor.take_if(*FLAGS)
        if flag is not None:
            value = flag.text == "true"
        elif following is not None and following.kind == "amount":
            value = thousandths(cursor.take(""), "number") / 1000
        else:
            value = quoted(cursor, "the value").text
    return ProfileUpdated(traits={trait.text: value}, **scene.common)


HAPPENINGS: dict[str, Callable[[Cursor, Scene, Word], Fact]] = {
    "visit": _visit,
    "ad": _ad,
    "social": _social,
    "lead": _lead,
    "trial": _trial,
    "signup": _signup,
    "close": _close,
    "feature": _feature,
    "cart": _cart,
    "checkout": _checkout,
    "order": _order,
    "refund": _refund,
    "cancel": _cancel,
    "subscribe": _subscription(SubscriptionStarted),
    "renew": _subscription(SubscriptionRenewed),
    "upgrade": _subscription(SubscriptionChanged),
    "downgrade": _subscription(SubscriptionChanged),
    "unsubscribe": _unsubscribe,
    **dict.fromkeys(CHANNELS, _message),
    **dict.fromkeys(SCALES, _answer),
    "review": _review,
    "referral": _referral,
    "community": _community,
    "points": _points,
    "ticket": _ticket,
    "reply": _reply,
    "set": _set,
    "unset": _set,
}
"""By the first word: how the rest is read, and the fact that it is."""
