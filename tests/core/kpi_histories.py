"""Histories of customers for the tests of KPIs: drawn from a seed, or order by order; and the values of all KPIs of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from msgspec.structs import replace

from lifestage import facts as f
from lifestage.fact import Context, Fact
from lifestage.kpi_follow import found_in
from lifestage.kpi_formulas import Row
from lifestage.kpi_gather import Span
from lifestage.kpis import DEFINITIONS
from lifestage.plan import Compiled
from tests.core.histories import CLM5, RULES, START
from tests.core.kpi_oracle import DAY, HOUR

PLAN = replace(CLM5, forget_anonymous=None)
KEEP_ALL = RULES._replace(plan=Compiled(PLAN))
Values = dict[str, dict[tuple[str, ...], float]]
T = START + 180 * DAY


def kpis(given_facts: Iterable[Fact], t: int = T, w: int = 90 * DAY, by: str | None = None) -> Values:
    """The values of all KPIs by labels."""
    found = found_in(given_facts, KEEP_ALL, Span(t - w, t))
    rows: dict[str, list[Row]] = {}
    for one in DEFINITIONS:
        formula = one.formula_by(by) or one.formula
        rows[one.name] = formula.rows(found, one.unit)
    return {name: {row.labels: row.value for row in theirs} for name, theirs in rows.items() if theirs}


_TIMES = tuple(
    START + day * DAY + ms for day in (0, 1, 30, 80, 90, 91, 120, 174, 179, 180) for ms in (-1, 0, 1, 5 * HOUR)
)
_CONTEXTS = (None, None, Context(source="google", medium="cpc"), Context(source="news", medium="email"))


WEIGHTS = (4, 1, 1, 1, 1, 1, 1, 1, 1, 2, 12, 1, 1, 1, 1, 2, 2, 2, 1, 1)
"""How often each kind comes: it takes many messages for one to be sent, delivered and opened."""


def some_fact(draw: Random, n: int, people: int) -> Fact:
    """A fact of anybody: instants meet the window's edges, and things are named again and again."""
    who, a = draw.randrange(people), draw.randrange(3)
    common: dict[str, Any] = {"time": draw.choice(_TIMES), "source": "shop", "id": f"e{n:03}"}
    common |= {"customer_id": f"c{who}"} if draw.random() < 0.7 else {"anonymous_id": f"a{who}"}
    thing, bot = f"{who}-{a}", draw.random() < 0.1
    makers: list[Callable[[], Fact]] = [
        lambda: f.WebVisit(url="/", session_id=draw.choice((None, f"s{thing}")), pages=a + 1, bot=bot, context=draw.choice(_CONTEXTS), **common),
        lambda: f.AdClick(campaign_id="c", channel=draw.choice((None, "search")), count=a + 1, bot=bot, **common),
        lambda: f.AdImpression(campaign_id="c", count=10, **common),
        lambda: f.SocialEngagement(campaign_id="c", kind=("like", "share")[a % 2], count=a + 1, **common),
        lambda: f.LeadCaptured(lead_id=f"l{thing}", form="f", qualified=draw.choice((None, True, False)), **common),
        lambda: f.TrialStarted(trial_id=f"t{thing}", ends_at=draw.choice((None, *_TIMES)), **common),
        lambda: f.TrialEnded(trial_id=f"t{thing}", converted=draw.choice((None, True, False)), **common),
        lambda: f.SubscriptionStarted(subscription_id=f"u{thing}", **common),
        lambda: f.CartUpdated(cart_id=f"k{thing}", **common),
        lambda: f.CheckoutStep(cart_id=f"k{thing}", step=str(draw.randint(1, 4)), **common),
        lambda: f.EmailEvent(message_id=f"m{thing}", event=draw.choice(("sent", "delivered", "bounced", "opened", "clicked", "complained", "unsubscribed")), channel=("email", "sms")[a % 2], machine=draw.random() < 0.3, campaign_id=draw.choice((None, "Spring", "x2")), mailbox=draw.choice((None, "gmail", "other")), **common),
        lambda: f.FeedbackReceived(survey_id="q", metric="nps", score=draw.choice((0.0, 6.0, 7.0, 9.0, 10.0)), scale_min=0, scale_max=10, **common),
        lambda: f.FeedbackReceived(survey_id="q", metric=("csat", "ces")[a % 2], score=draw.choice((1.0, 3.0, 4.0, 5.0)), scale_min=1, scale_max=(5, 7)[a % 2], **common),
        lambda: f.ReviewPosted(rating=draw.choice((None, 3.0, 4.0)), **common),
        lambda: f.CommunityActivity(**common),
        lambda: f.TicketCreated(ticket_id=f"i{thing}", by=draw.choice((None, "customer", "agent")), **common),
        lambda: f.TicketReplied(ticket_id=f"i{thing}", by=draw.choice(("agent", "customer")), **common),
        lambda: f.TicketSolved(ticket_id=f"i{thing}", by=draw.choice(("agent", "bot")), **common),
        lambda: f.OrderRefunded(refund_id=f"r{n}", order_id=f"o{draw.randrange(40)}", amount_minor=draw.choice((100, 700, 5000)), currency="EUR", **common),
        lambda: f.OrderCancelled(order_id=f"o{draw.randrange(40)}", **common),
    ]  # fmt: skip
    return draw.choices(makers, WEIGHTS)[0]()


def history(seed: int) -> tuple[list[Fact], dict[str, list[Fact]], list[Fact]]:
    """Facts in an order of arrival of their own, with repeats; the same by person; and those of nobody."""
    draw = Random(seed)
    people = draw.randint(1, 5)
    whose: dict[int, str] = {who: f"c{who}" for who in range(people)}
    theirs: dict[str, list[Fact]] = {f"c{who}": [] for who in range(people)}
    links: list[Fact] = [
        f.WebVisit(time=START - DAY, source="shop", id=f"link{who}", url="/", customer_id=f"c{who}", anonymous_id=f"a{who}")
        for who in range(people)
    ]  # fmt: skip
    told: list[Fact] = [*links, *(some_fact(draw, n, people) for n in range(draw.randint(0, 140)))]
    owner = {f"o{n}": draw.randrange(people) for n in range(40)}
    for n in range(draw.randint(0, 12)):
        order, net = f"o{n}", draw.choice((700, 1000, 1999, 0))
        told.append(
            f.OrderCompleted(time=draw.choice(_TIMES), source="shop", id=f"p{n:02}", customer_id=f"c{owner[order]}",
                             order_id=order, currency="EUR", total_minor=net + 100, net_minor=net,
                             cost_of_goods_minor=draw.choice((None, 300)))
        )  # fmt: skip
    # what is done to an order is done by whoever placed it
    told = [
        replace(one, customer_id=f"c{owner[one.order_id]}", anonymous_id=None)
        if isinstance(one, f.OrderRefunded | f.OrderCancelled) else one
        for one in told
    ]  # fmt: skip
    acts: list[Fact] = []
    if people > 1 and draw.random() < 0.4:
        whose[1] = "c0"
        acts.append(f.IdentityMerged(time=T - DAY, source="crm", id="merge", ids=("c0", "c1"), into="c0"))
    if people > 2:
        referral = draw.choice((f.ReferralSent, f.ReferralConverted))
        told.append(referral(time=draw.choice(_TIMES), source="shop", id="ref", customer_id="c0", referral_id="x",
                             referrer_id="c0", referred_id="c2"))  # fmt: skip
    company: list[Fact] = [
        f.CostRecorded(time=START, source="erp", id=f"g{n}", cost_id=f"g{n}", amount_minor=draw.choice((1000, 3333)), currency="EUR",
                       category=draw.choice(("marketing", "sales", "retention", "support", "other")), channel=draw.choice((None, "cpc", "search", "direct")),
                       period_start=start, period_end=start + draw.choice((7, 45, 200)) * DAY)
        for n, start in enumerate(draw.choices(_TIMES, k=draw.randrange(4)))
    ]  # fmt: skip
    company += [
        f.AdImpression(time=draw.choice(_TIMES), source="ads", id=f"i{n}", campaign_id="c", count=7) for n in range(3)
    ]
    for one in told:
        who = int((one.customer_id or one.anonymous_id or "")[1:])
        theirs[whose[who]].append(one)
    arrived = [*told, *acts, *company, *draw.choices(told, k=len(told) // 3)]
    draw.shuffle(arrived)
    return arrived, theirs, company


def order(n: int, who: str, day: float, net: int, **more: Any) -> f.OrderCompleted:
    """An order on a day after the start."""
    time = START + int(day * DAY)
    return f.OrderCompleted(time=time, source="shop", id=f"e{n}", customer_id=who, order_id=f"o{n}", currency="EUR",
                            total_minor=net, net_minor=net, **more)  # fmt: skip


def cost(name: str, category: str, minor: int, start: int, days: int, channel: str | None = None) -> f.CostRecorded:
    """A cost from a day after the start on."""
    return f.CostRecorded(time=START, source="erp", id=name, cost_id=name, amount_minor=minor, currency="EUR",
                          category=category, channel=channel, period_start=START + start * DAY,
                          period_end=START + (start + days) * DAY)  # fmt: skip
