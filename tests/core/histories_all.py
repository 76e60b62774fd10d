"""Histories over all kinds of facts for property tests, each with a plan that it concerns.

A history is made for a plan: most of its facts are of the kinds that the plan asks about, at instants at which they meet
the plan's windows. What arrives how is as in `tests.core.histories`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

from hypothesis import strategies as st
from msgspec.structs import replace

from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.conditions import Compare, Plan, Stage, leaves
from lifestage.facts import Fact
from lifestage.partition import Partition
from lifestage.plan import Compiled
from tests.core.effort import effort
from tests.core.histories import START, TIMES, WEEK, Tick, partition, record, times
from tests.core.oracle_plans import DAY, SIGNALS
from tests.core.plans_all import ALL_KINDS, CLASSES, HOUR, comparisons, kinds_asked, kinds_asked_by, plans

many = effort(80)
"""As `thorough`, for properties over all kinds: an example of them costs ten times as much."""
EMAIL = "email:" + "0" * 32


class Draws(NamedTuple):
    """What was drawn for one fact: a number of it, two small numbers, a coin, and perhaps an instant that it names."""

    n: int
    a: int
    b: int
    coin: bool
    at: int | None


AMOUNTS = (1000, 500, 1500, 2500, 0, 2000)


def _money(draws: Draws) -> dict[str, Any]:
    total = AMOUNTS[draws.b]
    currency = ("USD", "JPY")[draws.n % 2] if draws.a == 3 and draws.coin else "EUR"
    return {"currency": currency, "total_minor": total, "net_minor": total * 4 // 5 if draws.coin else total}


def _refund(draws: Draws) -> dict[str, Any]:
    currency = ("EUR", "USD", "JPY")[draws.n % 3] if draws.coin and draws.b > 2 else None
    return {
        "order_id": f"o{draws.a}",
        "refund_id": f"r{draws.b % 3}",
        "amount_minor": AMOUNTS[draws.b] * (100 if draws.a == 3 and currency is None else 1),
        "currency": currency,
    }


def _subscription(draws: Draws) -> dict[str, Any]:
    price = (None, 1000, 2000, 3000, 2000, 0)[draws.b]
    currency = None if price is None else "USD" if draws.coin and draws.b > 3 else "EUR"
    return {
        "subscription_id": f"s{draws.a % 2}",
        "mrr_minor": price,
        "currency": currency,
        "effective_at": draws.at,
    }


def _trial(draws: Draws) -> dict[str, Any]:
    return {"trial_id": f"t{draws.a % 2}"}


def _feedback(draws: Draws) -> dict[str, Any]:
    metric, low, high = (
        ("nps", 0, 10), ("nps", 0, 100), ("csat", 1, 5), ("ces", 1, 7), ("csat", 0, 32), ("nps", -1, 1),
    )[draws.b]  # fmt: skip
    score = low + (high - low) * (0, 0.5, 0.75, 1)[draws.a]
    return {"survey_id": f"q{draws.n}", "metric": metric, "score": score + 0.0, "scale_min": low, "scale_max": high}


def _traits(draws: Draws) -> dict[str, str | float | bool | None]:
    values = ("pro", "basic", 5, 7.125, draws.coin, None)
    said = {("plan", "seats", "vip")[draws.a % 3]: values[draws.b]}
    return {**said, "more": draws.a} if draws.coin else said


_MAILS = ("delivered", "opened", "clicked", "bounced", "complained", "subscribed", "unsubscribed", "sent")
_WHO = (None, "customer", "agent", "bot")

_own: dict[str, Callable[[Draws], dict[str, Any]]] = {
    "web.visit": lambda d: {
        "url": "/",
        "session_id": (None, "x", "y", "z")[d.a],
        "page_type": (None, "product", "pricing", "content", "pricing", "product")[d.b],
    },
    "ad.impression": lambda d: {"campaign_id": f"c{d.a}"},
    "ad.click": lambda d: {"campaign_id": f"c{d.a}", "count": 1 + d.b},
    "social.engagement": lambda d: {"campaign_id": f"c{d.a}", "kind": "like"},
    "lead.captured": lambda d: {
        "lead_id": f"l{d.n}",
        "form": "f",
        "qualified": (None, True, False)[d.a % 3],
        "score": (None, 10.0, 40.5, 0.0625, 99.9995, 40.0)[d.b],
    },
    "trial.started": lambda d: {**_trial(d), **({"starts_at": d.at} if d.coin else {"ends_at": d.at})},
    "trial.ended": lambda d: {**_trial(d), "converted": (None, True, False)[d.b % 3], "ends_at": d.at},
    "account.created": lambda d: {"account_id": f"a{d.a % 3}"},
    "account.closed": lambda d: {"account_id": f"a{d.a % 3}"},
    "feature.used": lambda d: {"feature": f"f{d.a}"},
    "cart.updated": lambda d: {"cart_id": f"k{d.a}", "value_minor": 100 * d.b, "currency": "EUR"},
    "checkout.step": lambda d: {"cart_id": f"k{d.a}", "step": f"{d.b}"},
    "email.event": lambda d: {
        "message_id": f"m{d.n}",
        "event": _MAILS[d.b + 2 * (d.n % 2)],
        "channel": "sms" if d.a == 3 else "email",
        "machine": d.coin and d.a == 2,
    },
    "order.completed": lambda d: {"order_id": f"o{d.a}", **_money(d)},
    "order.updated": lambda d: {"order_id": f"o{d.a}", **_money(d)},
    "order.refunded": _refund,
    "order.cancelled": lambda d: {"order_id": f"o{d.a}"},
    "subscription.started": _subscription,
    "subscription.renewed": _subscription,
    "subscription.changed": _subscription,
    "subscription.cancelled": _subscription,
    "feedback.received": _feedback,
    "referral.sent": lambda d: {"referral_id": f"x{d.n}", "referrer_id": "c1"},
    "referral.converted": lambda d: {"referral_id": f"x{d.n}", "referrer_id": "c1", "referred_id": "c2"},
    "review.posted": lambda d: {"rating": (None, 1.0, 3.5, 4.0, 4.5, 5.0)[d.b]},
    "community.activity": lambda _: {"kind": "answer"},
    "loyalty.points": lambda d: {"points": 5.0, "balance": (None, 0.0, 10.0, 100.5, -5.0, 1e6)[d.b]},
    "ticket.created": lambda d: {"ticket_id": f"i{d.a}", "by": _WHO[d.a]},
    "ticket.replied": lambda d: {"ticket_id": f"i{d.b}", "by": _WHO[d.a]},
    "ticket.solved": lambda d: {"ticket_id": f"i{d.b}", "by": _WHO[d.a]},
    "ticket.reopened": lambda d: {"ticket_id": f"i{d.b}", "by": _WHO[d.a]},
    "cost.recorded": lambda d: {
        "cost_id": f"k{d.n}", "amount_minor": 100, "currency": "EUR", "category": "sales",
        "period_start": START, "period_end": START + DAY,
    },
    "profile.updated": lambda d: {"traits": _traits(d)},
    "consent.changed": lambda d: {"purposes": {"marketing": d.coin}},
}  # fmt: skip
"""Of each kind, its own fields from what was drawn."""
_moments = st.sampled_from((*(None for _ in TIMES), *TIMES))
_smalls = st.sampled_from(
    [(a, b, coin, odd) for odd in range(8) for coin in (False, True) for b in range(6) for a in range(4)]
)
"""All that is drawn for a fact beside its kind and its times, at once: each draw of its own costs as much as the fact."""


def _fact_of(draw: st.DrawFn, n: int, which: Sequence[str], customer: str) -> Fact:
    name = which[draw(st.integers(0, len(which) - 1))]
    a, b, coin, odd = draw(_smalls)
    draws = Draws(n, a, b, coin, draw(_moments))
    # of two events that tell the same of an order one is a duplicate: they differ in nothing that could count beside it
    named = draws.a == 3 if name.startswith("order.") else odd == 5
    common: dict[str, Any] = {"time": draw(times), "source": "app" if odd == 6 else "shop", "id": f"e{n:02}"}
    if customer.startswith("anon:"):
        common |= {"anonymous_id": customer[5:], "bot": odd == 7}
    else:
        common |= {"customer_id": customer, "bot": odd == 7 and not named, "email": EMAIL if named else None}
    return CLASSES[name](**{**common, **_own[name](draws)})


@st.composite
def a_fact(draw: st.DrawFn, n: int, which: Sequence[str]) -> Fact:
    """One fact of the customer c1, of some of the kinds `which`, with the `n`th id."""
    return _fact_of(draw, n, which, "c1")


@st.composite
def histories(draw: st.DrawFn, which: Sequence[str] = ALL_KINDS, most: int = 9, customer: str = "c1") -> list[Fact]:
    """Facts of one customer in the order of their ids; some come again, with the same ids or as the same thing."""
    return [_fact_of(draw, n, which, customer) for n in range(draw(st.integers(1, most)))]


def happened(chance: Random, which: Sequence[str], count: int) -> list[Fact]:
    """Facts of some of the kinds `which`, by chance and without hypothesis: ten times as fast."""
    found = []
    for n in range(count):
        name, odd = chance.choice(which), chance.randrange(8)
        at = START + chance.choice(_DAYS) * DAY + chance.choice((0, 0, 0, 1, -1, 12 * HOUR, DAY - 1))
        then = chance.choice((None, at + chance.choice(_DAYS) * DAY, at - DAY))
        draws = Draws(n, chance.randrange(4), chance.randrange(6), chance.random() < 0.5, then)
        common: dict[str, Any] = {"time": at, "source": "shop", "id": f"e{n:02}", "customer_id": "c1", "bot": odd == 7}
        found.append(CLASSES[name](**{**common, **_own[name](draws)}))
    return found


_DAYS = (0, 0, 1, 2, 10, 28, 29, 30, 60, 89, 90, 91, 180)


class Case(NamedTuple):
    """A plan and a history of one customer that concerns it."""

    plan: Plan
    facts: list[Fact]

    @property
    def rules(self) -> Rules:
        """The plan, compiled, with all else as it is by default."""
        return Rules(Compiled(self.plan))


@st.composite
def cases(draw: st.DrawFn, plan: st.SearchStrategy[Plan] | None = None, most: int = 9) -> Case:
    """A plan, and facts most of which it asks about."""
    drawn = draw(plans() if plan is None else plan)
    asked = kinds_asked(drawn)
    which = [*asked, *asked, *asked[:3], draw(st.sampled_from(ALL_KINDS))] if plan is None else [*asked, *ALL_KINDS]
    history = draw(histories(which, most))
    again = draw(st.lists(st.sampled_from(history), max_size=2))
    return Case(drawn, history + again)


class Log(NamedTuple):
    """A case whose facts arrive in some order."""

    case: Case
    items: list[Fact | Tick]


_delays = st.sampled_from((0, 0, 0, DAY, WEEK, 100 * DAY, 400 * DAY))
_behind = st.sampled_from((0, 1, DAY, WEEK - 1, WEEK, WEEK + 1, 30 * DAY))
_silences = st.sampled_from((0, 1, 30 * DAY, 90 * DAY, 200 * DAY, 400 * DAY))


@st.composite
def arrivals(draw: st.DrawFn, history: Sequence[Fact], delays: st.SearchStrategy[int] = _delays) -> list[Fact | Tick]:
    """The history in some order of arrival, with ticks such that nothing comes later than the lateness; last, a tick past all."""
    coming = [(fact.time + draw(delays), n, fact) for n, fact in enumerate(history)]
    waiting = [fact for _, _, fact in sorted(coming, key=lambda item: item[:2])]
    found: list[Fact | Tick] = []
    while waiting:
        if draw(st.booleans()):
            # the oldest that is still to come is at most exactly as late as is allowed
            found.append(Tick(min(fact.time for fact in waiting) + WEEK - draw(_behind)))
        found.append(waiting.pop(0))
    found.append(Tick(max(fact.time for fact in history) + 1 + draw(_silences)))
    return found


@st.composite
def logs(draw: st.DrawFn, some: st.SearchStrategy[Case]) -> Log:
    """A case and an order in which its facts arrive."""
    case = draw(some)
    return Log(case, draw(arrivals(case.facts)))


class Noted(NamedTuple):
    """What a partition made of one record of a log."""

    changes: list[Announced]
    facts: list[Fact]
    """All that have come so far."""
    reached: int
    """Up to where the path is told: the newest fact and the last tick."""


def followed(log: Log) -> Iterator[Noted]:
    """Fold a log record by record."""
    folded, facts, reached, repeated = partition(log.case.rules), list[Fact](), -1, 0
    for offset, item in enumerate(log.items):
        changes = folded.fold([record(offset, item)])
        again = outcomes(folded).get("duplicate", 0)
        if isinstance(item, Tick):
            reached = max(reached, item.time - 1)
        else:
            facts.append(item)
            # what is known already is no fact
            reached = max(reached, item.time) if again == repeated else reached
        repeated = again
        yield Noted(changes, facts, reached)


def outcomes(whole: Partition) -> Counter[str]:
    """Events by outcome."""
    found: Counter[str] = Counter()
    for by_type in whole.marker.accounts.values():
        for by_outcome in by_type.values():
            found.update(by_outcome)
    return found


CROWDED = ("web.visit", "web.visit", "feature.used", "feedback.received", "profile.updated", "ticket.replied")


_about_crowded = comparisons.filter(lambda leaf: set(kinds_asked_by([leaf])) <= set(CROWDED))
_many = st.sampled_from((1, 3, 5, 10, 20, 25, 30))


def _crowded(draw: st.DrawFn) -> Compare:
    """A comparison with a constant that matters where there are many: of what is counted more than a few."""
    leaf = draw(_about_crowded)
    counted = leaf.operand in SIGNALS or leaf.operand.endswith("_days")
    return replace(leaf, value=draw(_many)) if counted else leaf


@st.composite
def crowds(draw: st.DrawFn) -> Log:
    """So many signals that a profile lets the old ones go, nearly in order of time, with ticks between them."""
    stages = [Stage(f"s{n}", n, _crowded(draw)) for n in (2, 1)]
    plan = Plan("crowded", 1, tuple(stages), forward_only=draw(st.booleans()))
    which = [kind for kind in CROWDED if kind in kinds_asked_by([leaf for s in stages for leaf in leaves(s.when)])]
    apart, step, history, time = (
        draw(st.booleans()),
        draw(st.sampled_from((HOUR, 5 * HOUR, DAY, 3 * DAY))),
        list[Fact](),
        START,
    )
    for n in range(draw(st.integers(26, 60))):
        time += step * (1 + n * n % 5 % 3)
        draws = Draws(n, n * n % 7 % 4, n * n % 11 % 6, n % 3 == 0, None)
        name = which[(n // 26 if apart else n * n % 13) % len(which)]
        common: dict[str, Any] = {"time": time, "source": "shop", "id": f"e{n:02}", "customer_id": "c1"}
        history.append(CLASSES[name](**common, **_own[name](draws)))
    delays = st.sampled_from((0, 0, 0, 0, 0, DAY, 6 * DAY))
    return Log(Case(plan, history), draw(arrivals(history, delays)))
