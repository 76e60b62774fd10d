"""Plans over all that a condition may ask, for property tests, and the kinds of facts that each comparison is about."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from hypothesis import strategies as st

from lifestage import facts as kinds
from lifestage.conditions import All, Compare, Condition, Not, Plan, Stage, leaves
from lifestage.conditions import Any as Either
from lifestage.facts import TYPES
from tests.core.oracle_plans import DAY, SIGNALS

HOUR = DAY // 24
CLASSES = {name: kind for kind, name in TYPES.items()}
OF_IDS = ("identity.linked", "identity.merged", "identity.split")
"""Kinds that say whose facts are, and nothing that a plan could ask."""
ALL_KINDS = tuple(kind for kind in TYPES.values() if kind not in OF_IDS)
LEDGER_KINDS = tuple(TYPES[kind] for kind in kinds.LEDGER)
ORDERS = ("order.completed", "order.completed", "order.completed", "order.updated", "order.refunded", "order.cancelled")
SUBSCRIPTIONS = (
    "subscription.started", "subscription.started", "subscription.renewed", "subscription.changed",
    "subscription.cancelled",
)  # fmt: skip
ACCOUNTS = ("account.created", "account.closed", "account.closed")
TRIALS = ("trial.started", "trial.started", "trial.ended")

_days = st.sampled_from((1, 2, 10, 29, 30, 60, 89, 90, 91, 180, 365, 400))
lengths = st.one_of(_days.map(lambda days: days * DAY), _days.map(lambda days: days * DAY), st.just(12 * HOUR))
_ranks = st.sampled_from((">=", ">", "<=", "<", ">=", ">="))
_any_op = st.sampled_from((">=", ">=", ">", "<=", "<", "==", "!="))
_windows = st.one_of(st.none(), lengths)

SCORED = {"nps": "feedback.received", "csat": "feedback.received", "ces": "feedback.received",
          "lead_score": "lead.captured", "rating": "review.posted", "points": "loyalty.points"}  # fmt: skip
_acts = {
    "visit": "web.visit", "product": "web.visit", "pricing": "web.visit", "ad": "ad.click", "social": "social.engagement",
    "lead": "lead.captured", "qualified": "lead.captured", "trial": "trial.started", "signup": "account.created",
    "feature": "feature.used", "cart": "cart.updated", "checkout": "checkout.step", "email": "email.event",
    "answer": "feedback.received", "review": "review.posted", "good": "review.posted", "community": "community.activity",
}  # fmt: skip
_by_name = {
    "trial_conversion": "trial.ended", "referral_sent": "referral.sent", "referral_converted": "referral.converted",
    "ticket": "ticket.created", "ticket_reply": "ticket.replied",
}  # fmt: skip


@cache
def _kinds_of_signals() -> dict[str, str]:
    found = {}
    for plural, (singular, _) in SIGNALS.items():
        kind = _by_name.get(singular) or _acts[singular.partition("_")[0]]
        for name in (plural, f"{singular}_days", f"since_last_{singular}", f"since_first_{singular}"):
            found[name] = kind
    return found


def kinds_asked(plan: Plan) -> list[str]:
    """The kinds of facts that a plan's conditions ask about, each as often as it is asked."""
    return kinds_asked_by([leaf for stage in plan.stages for leaf in leaves(stage.when)])


def kinds_asked_by(asked: Sequence[Compare]) -> list[str]:
    """The kinds of facts that comparisons ask about."""
    found: list[str] = []
    signals = _kinds_of_signals()
    known: dict[str, Sequence[str]] = {
        "sessions": ["web.visit"], "features": ["feature.used"], "trait": ["profile.updated"],
        "trait_number": ["profile.updated"], "trial_running": TRIALS, "accounts_closed": [*ACCOUNTS, "order.completed"],
        "customer": [*ORDERS, "subscription.started"], "since_last_purchase": [*ORDERS, *SUBSCRIPTIONS],
        "subscription_lapsed": [*SUBSCRIPTIONS, "order.completed"], "reached": ["web.visit", "email.event", "ad.click"],
        "acquired": ["lead.captured", "ticket.created", "email.event", "account.created", *ORDERS],
        "since_last_activity": ALL_KINDS, **{name: [kind] for name, kind in SCORED.items()},
    }  # fmt: skip
    for leaf in asked:
        if leaf.operand in signals:
            found.append(signals[leaf.operand])
        elif leaf.operand in known:
            found += known[leaf.operand]
        else:
            found += ORDERS if "order" in leaf.operand or leaf.operand == "net_revenue" else SUBSCRIPTIONS
    return found


def _signal_leaves() -> st.SearchStrategy[Compare]:
    forms: list[st.SearchStrategy[Compare]] = []
    for plural, (singular, _) in SIGNALS.items():
        forms += [
            st.builds(Compare, st.just(plural), _any_op, st.integers(0, 3), _windows),
            st.builds(Compare, st.just(f"{singular}_days"), _any_op, st.integers(0, 3), lengths),
            st.builds(Compare, st.sampled_from((f"since_last_{singular}", f"since_first_{singular}")), _ranks, lengths),
        ]
    return st.sampled_from(forms).flatmap(lambda form: form)


def _flags(*names: str) -> st.SearchStrategy[Compare]:
    return st.builds(Compare, st.sampled_from(names), st.just("=="), st.just(1))


def _counts(windows: st.SearchStrategy[int | None], *names: str) -> st.SearchStrategy[Compare]:
    return st.builds(Compare, st.sampled_from(names), _any_op, st.integers(0, 3), windows)


def _since(*names: str) -> st.SearchStrategy[Compare]:
    return st.builds(Compare, st.sampled_from(names), _ranks, lengths)


_scores = st.builds(
    Compare,
    st.sampled_from(tuple(SCORED)),
    _any_op,
    st.sampled_from((0, 1000, 4000, 5000, 9000, 10_000, 40_500, 7500, 63, 62)),
    _windows,
)
_trait_names = st.sampled_from(("plan", "seats", "vip"))
_traits_asked = st.one_of(
    st.builds(Compare, st.just("trait"), st.sampled_from(("==", "!=")), st.sampled_from(("pro", "true", "5")), st.none(), _trait_names),
    st.builds(Compare, st.just("trait_number"), _any_op, st.sampled_from((0, 5000, 7125, 7126)), st.none(), _trait_names),
)  # fmt: skip
_currencies = st.sampled_from(("EUR", "EUR", "EUR", "USD", "JPY"))
_amounts = st.sampled_from((0, 500, 1000, 1200, 2000, 2500, 3000))
_money_asked = st.one_of(
    st.builds(Compare, st.just("net_revenue"), _any_op, _amounts, _windows, _currencies),
    st.builds(Compare, st.just("mrr"), _any_op, _amounts, st.none(), _currencies),
)
comparisons: st.SearchStrategy[Compare] = st.one_of(
    _flags("customer", "reached", "acquired", "subscribed", "active_subscription", "subscription_lapsed"),
    _flags("subscription_expanded", "trial_running", "accounts_closed"),
    _counts(_windows, "standing_orders", "order_days", "subscription_renewals"),
    _since("since_last_order", "since_first_order", "since_last_purchase", "since_last_activity"),
    _counts(lengths, "sessions", "features"),
    _signal_leaves(),
    _signal_leaves(),
    _scores,
    _traits_asked,
    _money_asked,
)
"""Any comparison that the plan language can say."""


def _joined(parts: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(All, several), st.builds(Either, several), st.builds(Not, parts))


conditions: st.SearchStrategy[Condition] = st.one_of(
    comparisons, comparisons, st.recursive(comparisons, _joined, max_leaves=4)
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A plan of 1 to 4 stages, ranks falling; some beside the ranks, some forward only, some with other days or a least order."""
    forward = draw(st.integers(0, 3)) == 0
    count = draw(st.integers(1, 4))
    beside = 0 if forward else draw(st.integers(0, count - 1))
    stages = []
    for n in range(count):
        rank = None if n < beside else count - n
        enter, leave = draw(st.sampled_from((("at_risk", "recovery"), ("churn", "reactivation"), ("dormancy", None))))
        kind = (None, None) if rank is not None else (enter, leave)
        stages.append(Stage(f"s{count - n}", rank, draw(conditions), *kind))
    return Plan(
        id="random",
        version=1,
        stages=tuple(stages),
        day_zone=draw(st.sampled_from((0, 0, 0, 2 * HOUR, -5 * HOUR, 12 * HOUR))),
        forward_only=forward,
        min_order_net=draw(st.sampled_from((None, None, None, (1000, "EUR"), (1, "EUR")))),
    )
