"""Any plan by brute force, straight from the words of its facts: the judge of the program's judge.

Nothing is kept, nothing is clever: each fact that a condition asks is worked out from the list of all facts with time ≤ t,
and a path is what that gives at every instant at which anything could change. Times are ms UTC. `tests.core.oracle` is
the same for the table of clm5 alone, with kinds and directions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

from lifestage.conditions import All, Any, Compare, Condition, Not, Plan, leaves
from lifestage.facts import (
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
    ProfileUpdated,
    ReferralConverted,
    ReferralSent,
    ReviewPosted,
    SocialEngagement,
    SubscriptionRenewed,
    TicketCreated,
    TicketReplied,
    TrialEnded,
    TrialStarted,
    WebVisit,
)
from tests.core.oracle_ledger import (
    accounts_closed,
    expanded,
    lapsed,
    latest,
    orders_at,
    purchases,
    standing,
    subscriptions_at,
    trial_running,
)

DAY = 86_400_000
Value = int | str | None
"""A count, 0 or 1, ms, thousandths, minor units or a text; None where there is nothing to compare."""
Move = tuple[int, str | None]
"""One move of a path: instant, stage; None where no stage holds any more."""
Sign = Callable[[Fact], bool]
OPS: dict[str, Callable[[int | str, int | str], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt,
}  # fmt: skip


def distinct(facts: Iterable[Fact]) -> list[Fact]:
    """Each fact once: the first of those with the same source and id."""
    found: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        found.setdefault((fact.source, fact.id), fact)
    return list(found.values())


# -- what happened -----------------------------------------------------------------------------------------------


def of(kind: type[Fact] | tuple[type[Fact], ...], **fields: object) -> Sign:
    """A fact of that kind with those fields, and no bot's."""

    def holds(fact: Fact) -> bool:
        return isinstance(fact, kind) and not fact.bot and all(getattr(fact, n) == v for n, v in fields.items())

    return holds


def mail(event: str) -> Sign:
    """That happened to an email."""
    return of(EmailEvent, event=event, channel="email")


def human_mail(event: str) -> Sign:
    """Somebody, and not their mail program, did that with an email."""
    return of(EmailEvent, event=event, channel="email", machine=False)


def opened_a_ticket(fact: Fact) -> bool:
    """The customer, as far as is said, opened a ticket."""
    return isinstance(fact, TicketCreated) and not fact.bot and fact.by in {None, "customer"}


def praised(fact: Fact) -> bool:
    """A review with a rating of 4 or more."""
    return isinstance(fact, ReviewPosted) and not fact.bot and fact.rating is not None and fact.rating >= 4


SIGNALS: dict[str, tuple[str, Sign]] = {
    "visits": ("visit", of(WebVisit)),
    "product_visits": ("product_visit", of(WebVisit, page_type="product")),
    "pricing_visits": ("pricing_visit", of(WebVisit, page_type="pricing")),
    "ad_clicks": ("ad_click", of(AdClick)),
    "social_acts": ("social_act", of(SocialEngagement)),
    "leads": ("lead", of(LeadCaptured)),
    "qualified_leads": ("qualified_lead", of(LeadCaptured, qualified=True)),
    "trials": ("trial", of(TrialStarted)),
    "trial_conversions": ("trial_conversion", of(TrialEnded, converted=True)),
    "signups": ("signup", of(AccountCreated)),
    "feature_uses": ("feature_use", of(FeatureUsed)),
    "cart_updates": ("cart_update", of(CartUpdated)),
    "checkout_steps": ("checkout_step", of(CheckoutStep)),
    "email_deliveries": ("email_delivery", mail("delivered")),
    "email_opens": ("email_open", human_mail("opened")),
    "email_clicks": ("email_click", human_mail("clicked")),
    "email_bounces": ("email_bounce", mail("bounced")),
    "email_complaints": ("email_complaint", mail("complained")),
    "email_subscribes": ("email_subscribe", mail("subscribed")),
    "email_unsubscribes": ("email_unsubscribe", mail("unsubscribed")),
    "answers": ("answer", of(FeedbackReceived)),
    "referrals_sent": ("referral_sent", of(ReferralSent)),
    "referrals_converted": ("referral_converted", of(ReferralConverted)),
    "reviews": ("review", of(ReviewPosted)),
    "good_reviews": ("good_review", praised),
    "community_acts": ("community_act", of(CommunityActivity)),
    "tickets": ("ticket", opened_a_ticket),
    "ticket_replies": ("ticket_reply", of(TicketReplied, by="customer")),
}
"""Of each thing that happens: how many there are of it is called, how one is called, and what it is."""


def gives_reach(fact: Fact) -> bool:
    """A visit, an ad click or a delivered email."""
    return of((WebVisit, AdClick))(fact) or mail("delivered")(fact)


def gives_acquisition(fact: Fact) -> bool:
    """A lead, a trial, an account, a ticket, a human click in an email, or an address on what is no message."""
    named = fact.email is not None and not isinstance(fact, EmailEvent) and not fact.bot
    begun = of((LeadCaptured, TrialStarted, AccountCreated, TicketCreated))(fact)
    return named or begun or human_mail("clicked")(fact)


_ACTS = of((
    WebVisit, AdClick, LeadCaptured, CartUpdated, CheckoutStep, TrialStarted, TrialEnded, AccountCreated, FeatureUsed,
    FeedbackReceived, ReferralSent, ReferralConverted, ReviewPosted, CommunityActivity,
))  # fmt: skip


def is_activity(fact: Fact) -> bool:
    """What the customer did: nothing that was only sent to them, and nothing by machines."""
    message = of(EmailEvent, machine=False)(fact) and getattr(fact, "event", None) in {"opened", "clicked"}
    return message or _ACTS(fact) or opened_a_ticket(fact) or of(TicketReplied, by="customer")(fact)


# -- scores and traits -------------------------------------------------------------------------------------------


def exact(number: float) -> Fraction:
    """A number as it was written: 99.9995 is no less."""
    return Fraction(repr(number))


SCALES = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}


def _score(name: str, fact: Fact) -> Fraction | None:
    """The score that a fact gives, on its own scale; None: none of that name."""
    if fact.bot:
        return None
    if isinstance(fact, FeedbackReceived) and fact.metric == name:
        low, high = SCALES[name]
        given, least, most = (exact(x) for x in (fact.score, fact.scale_min, fact.scale_max))
        return low + (given - least) / (most - least) * (high - low)
    said = {
        "lead_score": fact.score if isinstance(fact, LeadCaptured) else None,
        "rating": fact.rating if isinstance(fact, ReviewPosted) else None,
        "points": fact.balance if isinstance(fact, LoyaltyPoints) else None,
    }.get(name)
    return None if said is None else exact(said)


def _trait(name: str | None, past: Iterable[Fact]) -> str | float | None:
    said = [f.traits[name] for f in latest(past) if isinstance(f, ProfileUpdated) and name in f.traits]
    value = said[-1] if said else None
    return ("true" if value else "false") if isinstance(value, bool) else value


# -- what a condition asks ---------------------------------------------------------------------------------------


def _in(window: int | None, t: int, times: Iterable[int]) -> list[int]:
    return [time for time in times if window is None or t - window < time]


def _since(t: int, times: list[int], *, last: bool) -> int | None:
    return t - (max(times) if last else min(times)) if times else None


def value(leaf: Compare, plan: Plan, facts: Sequence[Fact], t: int) -> Value:
    """What a fact of the plan language is at t."""
    past = [fact for fact in facts if fact.time <= t]
    for found in (_signal, _score_or_trait, _of_orders, _of_subscriptions, _flag):
        answer = found(leaf, plan, past, t)
        if answer is not NotImplemented:
            assert answer is None or isinstance(answer, int | str)
            return answer
    raise ValueError(f"no fact {leaf.operand}")


def _signal(leaf: Compare, plan: Plan, past: list[Fact], t: int) -> object:
    for plural, (singular, sign) in SIGNALS.items():
        if leaf.operand in {plural, f"{singular}_days", f"since_last_{singular}", f"since_first_{singular}"}:
            times = [fact.time for fact in past if sign(fact)]
            if leaf.operand.startswith("since_"):
                return _since(t, times, last=leaf.operand.startswith("since_last"))
            times = _in(leaf.window, t, times)
            return len(times) if leaf.operand == plural else len({(time + plan.day_zone) // DAY for time in times})
    return NotImplemented


def _score_or_trait(leaf: Compare, _: Plan, past: list[Fact], t: int) -> object:
    if leaf.operand in {"trait", "trait_number"}:
        said = _trait(leaf.of, past)
        if isinstance(said, str) != (leaf.operand == "trait"):
            return None
        return said if said is None or isinstance(said, str) else round(exact(said) * 1000)
    if leaf.operand in {*SCALES, "lead_score", "rating", "points"}:
        recent = [f for f in latest(past) if leaf.window is None or t - leaf.window < f.time]
        scores = [score for f in recent for score in [_score(leaf.operand, f)] if score is not None]
        return round(scores[-1] * 1000) if scores else None
    return NotImplemented


def _of_orders(leaf: Compare, plan: Plan, past: list[Fact], t: int) -> object:
    if "order" not in leaf.operand and leaf.operand != "net_revenue":
        return NotImplemented
    placed = _in(leaf.window, t, standing(past, t, plan))
    if leaf.operand == "standing_orders":
        return len(placed)
    if leaf.operand == "order_days":
        return len({(time + plan.day_zone) // DAY for time in placed})
    if leaf.operand in {"since_last_order", "since_first_order"}:
        return _since(t, placed, last=leaf.operand == "since_last_order")
    if leaf.operand == "net_revenue":
        paid = [o for o in orders_at(past, t, plan) if o.currency == leaf.of and not o.cancelled]
        return sum(max(0, o.net - o.refunded) for o in paid if _in(leaf.window, t, [o.placed]))
    return NotImplemented


def _of_subscriptions(leaf: Compare, plan: Plan, past: list[Fact], t: int) -> object:
    if "subscri" not in leaf.operand and leaf.operand != "mrr":
        return NotImplemented
    known = subscriptions_at(past, t)
    active = [s for s in known if s.ended is None]
    renewals = _in(leaf.window, t, [f.time for f in past if isinstance(f, SubscriptionRenewed)])
    prices = [s.price for s in active if s.price is not None and s.price[1] == leaf.of]
    asked: dict[str, Callable[[], int]] = {
        "subscribed": lambda: known != [],
        "active_subscription": lambda: active != [],
        "subscription_renewals": lambda: len(renewals),
        "subscription_lapsed": lambda: lapsed(past, t, plan),
        "subscription_expanded": lambda: any(map(expanded, known)),
        "mrr": lambda: sum(price[0] for price in prices),
    }
    return int(asked[leaf.operand]()) if leaf.operand in asked else NotImplemented


def _flag(leaf: Compare, plan: Plan, past: list[Fact], t: int) -> object:
    fallen = [order.fell for order in orders_at(past, t, plan) if order.fell is not None]
    reached = [fact.time for fact in past if gives_reach(fact)]
    acquired = [fact.time for fact in past if gives_acquisition(fact)] + fallen
    if leaf.operand == "since_last_purchase":
        return _since(t, purchases(past, t, plan), last=True)
    if leaf.operand == "since_last_activity":
        acts = [fact.time for fact in past if is_activity(fact)]
        return _since(t, acts, last=True) if acts else _since(t, reached + acquired, last=False)
    if leaf.operand in {"sessions", "features"}:
        recent = [f for f in past if not f.bot and _in(leaf.window, t, [f.time])]
        sessions = {f.session_id for f in recent if isinstance(f, WebVisit)} - {None}
        return len(
            sessions if leaf.operand == "sessions" else {f.feature for f in recent if isinstance(f, FeatureUsed)}
        )
    asked: dict[str, Callable[[], bool]] = {
        "customer": lambda: purchases(past, t, plan) != [],
        "reached": lambda: reached != [],
        "acquired": lambda: acquired != [],
        "trial_running": lambda: trial_running(past, t),
        "accounts_closed": lambda: accounts_closed(past, t, plan),
    }
    return int(asked[leaf.operand]()) if leaf.operand in asked else NotImplemented


# -- stages and paths --------------------------------------------------------------------------------------------


def holds(condition: Condition, plan: Plan, facts: Sequence[Fact], t: int) -> bool:
    """Whether a condition holds at t; a comparison with nothing does not."""
    if isinstance(condition, Not):
        return not holds(condition.of, plan, facts, t)
    if isinstance(condition, All):
        return all(holds(part, plan, facts, t) for part in condition.of)
    if isinstance(condition, Any):
        return any(holds(part, plan, facts, t) for part in condition.of)
    found = value(condition, plan, facts, t)
    return found is not None and OPS[condition.op](found, condition.value)


def judged(plan: Plan, facts: Sequence[Fact], t: int) -> str | None:
    """The first stage that holds at t for facts with time ≤ t; None: no stage, or nobody is known yet."""
    past = [fact for fact in facts if fact.time <= t]
    if not past:
        return None
    return next((stage.name for stage in plan.stages if holds(stage.when, plan, past, t)), None)


def _said(fact: Fact) -> Iterator[int]:
    """The instants that a fact names."""
    yield fact.time
    for name in ("effective_at", "starts_at", "ends_at"):
        at = getattr(fact, name, None)
        if at is not None:
            yield at


def instants(plan: Plan, facts: Iterable[Fact]) -> list[int]:
    """Every instant at which the stage could change, with its neighbours for good measure; rising."""
    asked = [leaf for stage in plan.stages for leaf in leaves(stage.when)]
    ages = {0} | {leaf.window for leaf in asked if leaf.window is not None}
    ages |= {leaf.value for leaf in asked if leaf.operand.startswith("since_") and isinstance(leaf.value, int)}
    bases = {at for fact in facts for at in _said(fact)}
    return sorted({base + age + beside for base in bases for age in ages for beside in (-1, 0, 1)})


def path(plan: Plan, facts: Iterable[Fact], until: int) -> list[Move]:
    """All moves with instant < `until`."""
    known = [fact for fact in distinct(facts) if fact.time < until]
    return moves_after(plan, known, [t for t in instants(plan, known) if t < until])


def moves_after(plan: Plan, facts: Sequence[Fact], at: Iterable[int]) -> list[Move]:
    """The moves at some rising instants, from no stage."""
    ranks = {stage.name: stage.rank for stage in plan.stages}
    moves: list[Move] = []
    stage = None
    for t in at:
        now = judged(plan, facts, t)
        if plan.forward_only and stage is not None and (now is None or (ranks[now] or 0) < (ranks[stage] or 0)):
            now = stage
        if now != stage:
            moves.append((t, now))
            stage = now
    return moves


def stage_at(plan: Plan, facts: Iterable[Fact], t: int) -> str | None:
    """Where a customer with these facts stands at t; with `forward only` the highest stage that ever held."""
    moves = path(plan, facts, t + 1)
    return moves[-1][1] if moves else None


def gapless(path: Sequence[Move]) -> bool:
    """Whether each move is later than the one before, and to another stage."""
    return all(a < b and x != y for (a, x), (b, y) in pairwise(path))
