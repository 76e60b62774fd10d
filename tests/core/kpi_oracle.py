"""Every KPI but those of the path by brute force, from lists of raw facts by person: the judge of `lifestage.kpis`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from statistics import median
from typing import Any

from lifestage.conditions import Plan
from lifestage.facts import (
    AdClick,
    AdImpression,
    CartUpdated,
    CheckoutStep,
    CommunityActivity,
    CostRecorded,
    EmailEvent,
    FeedbackReceived,
    LeadCaptured,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    ReferralConverted,
    ReferralSent,
    ReviewPosted,
    SocialEngagement,
    SubscriptionStarted,
    TicketCreated,
    TicketReplied,
    TicketSolved,
    TrialEnded,
    TrialStarted,
    WebVisit,
)
from tests.core.kpi_oracle_asks import DAY, HOUR, Asking, Persons, Values
from tests.core.oracle_ledger import orders_at

__all__ = ["DAY", "HOUR", "Oracle", "Persons", "Values"]


class Oracle(Asking):
    """The KPIs of persons, and of the company's own facts."""

    def __init__(self, persons: Persons, company: Sequence[Any], plan: Plan, t: int, w: int) -> None:
        super().__init__(persons, company, plan, t, w)
        for work in (self.traffic, self.orders, self.relations, self.messages, self.tickets, self.carts, self.clv):
            work()

    def sessions(self, name: str) -> list[list[Any]]:
        """A person's sessions that began in the window."""
        return [v for v in self.things(name, "session_id", WebVisit) if self.within(v[0].time)]

    def traffic(self) -> None:
        """Sessions, visitors, advertisements, leads, trials."""
        sessions = [s for p in self.persons for s in self.sessions(p)]
        origins = [(s[0].context.source, s[0].context.medium) if s[0].context else ("direct", "none") for s in sessions]
        self.count("sessions", len(sessions))
        for origin in origins:
            self.count("traffic_by_source", origins.count(origin), *origin)
        self.put("direct_share", origins.count(("direct", "none")), len(sessions))
        self.put("engagement_depth", sum(v.pages for s in sessions for v in s), len(sessions))
        visitors = [p for p in self.persons if any(self.within(v.time) for v in self.of(p, WebVisit))]
        leads = [(p, v) for p, v in self.every("lead_id", LeadCaptured) if self.within(v[0].time)]
        self.count("visitors", len(visitors))
        self.put("lead_conversion_rate", len({p for p, _ in leads} & set(visitors)), len(visitors))
        shown = sum(f.count for f in self.all_of(AdImpression))
        self.count("impressions", shown)
        self.put("ctr", sum(f.count for f in self.all_of(AdClick)), shown)
        for f in self.all_of(SocialEngagement):
            alike = [g.count for g in self.all_of(SocialEngagement) if g.kind == f.kind]
            self.count("social_engagement", sum(alike), f.kind)
        said = [[f.qualified for f in v if f.qualified is not None] for _, v in leads]
        self.count("leads", len(leads))
        self.put("lead_quality", sum(1 for s in said if s and s[-1]), len(leads))
        if cost := self.spent({"marketing"}):
            self.money("cpl", cost, len(leads))
        bought = [any(0 <= o.placed - v[0].time <= 90 * DAY for o in self.standing(p, self.t)) for p, v in leads]
        self.put("lead_to_customer_conversion", sum(bought), len(leads))
        still = [v for (_, v), yes in zip(leads, bought, strict=True) if not yes and v[0].time + 90 * DAY > self.t]
        self.count("lead_to_customer_conversion_open", len(still))
        self.trials()

    def trials(self) -> None:
        """Trials that were paid for."""
        paid, count, still = 0, 0, 0
        for name, acts in self.every("trial_id", TrialStarted, TrialEnded):
            starts = [f for f in acts if isinstance(f, TrialStarted)]
            ends = [f for f in acts if isinstance(f, TrialEnded)]
            if not starts or not self.within(starts[0].time):
                continue
            end = min([f.time for f in ends] + [f.ends_at for f in starts[:1] if f.ends_at], default=1 << 60) + 14 * DAY
            times = [o.placed for o in self.standing(name, self.t)]
            times += [f.time for f in self.of(name, SubscriptionStarted)] + [f.time for f in ends if f.converted][:1]
            yes = any(starts[0].time <= at <= end for at in times)
            paid, count, still = paid + yes, count + 1, still + (not yes and end > self.t)
        self.put("trial_conversion", paid, count)
        self.count("trial_conversion_open", still)

    def orders(self) -> None:
        """Money, new customers, retention, repeats."""
        placed = [
            o for p in self.persons for o in orders_at(self.persons[p], self.t, self.plan) if self.within(o.placed)
        ]
        standing = [o for o in placed if o.fell is None]
        net = sum(max(0, o.net - o.refunded) for o in standing)
        for name, minor in (("net_revenue", net if standing else None), ("orders", None)):
            if minor is not None:
                self.values[name][("EUR",)] = minor / 100
        self.count("orders", len(standing), "EUR")
        self.money("aov", net, len(standing))
        kept = [o for o in placed if not o.cancelled]
        self.put("refund_rate", sum(min(o.net, o.refunded) for o in kept), sum(o.net for o in kept), "EUR")
        was, now, new = self.active(self.t0), self.active(self.t), set(self.new())
        self.count("active_customers", len(now))
        self.put("crr", len(was & now), len(was))
        self.put("churn_rate", len(was - now), len(was))
        self.put("crr_naive", len(now - new), len(was))
        self.count("reactivated", len(now - was - new))
        self.count("new_customers", len(new))
        times = {p: [o.placed for o in self.standing(p, self.t) if self.within(o.placed)] for p in self.persons}
        days = {p: {at // DAY for at in found} for p, found in times.items() if found}
        self.put("rpr", sum(len(found) > 1 for found in days.values()), len(days))
        self.put("rpr_by_orders", sum(len(times[p]) > 1 for p in days), len(days))
        self.count("returning_customers", len([p for p in days if (self.first(p) or 0) <= self.t0]))
        helped = [
            p for p in new
            if any(0 <= (self.first(p) or 0) - f.time <= 7 * DAY for f in self.of(p, TicketCreated) if f.by != "agent")
        ]  # fmt: skip
        self.put("support_assisted_conversion", len(helped), len(new))
        if cost := self.spent({"marketing", "sales"}):
            self.money("cac", cost, len(new))

    def relations(self) -> None:
        """Answers, recommendations, engagement."""
        last: dict[str, list[float]] = defaultdict(list)
        praise = set()
        for name in self.persons:
            for metric in ("nps", "csat", "ces"):
                scores = [f for f in self.of(name, FeedbackReceived) if f.metric == metric and self.within(f.time)]
                if scores:
                    last[metric].append(scores[-1].score)
                    praise |= {name} if metric == "nps" and scores[-1].score >= 9 else set()
        nps = last["nps"]
        self.put("nps", 100 * (sum(s >= 9 for s in nps) - sum(s <= 6 for s in nps)), len(nps))
        self.put("csat", sum(s >= 4 for s in last["csat"]), len(last["csat"]))
        self.put("ces", Fraction(sum(Fraction(s) for s in last["ces"])), len(last["ces"]))
        for metric, scores in last.items():
            self.count(f"{metric}_n", len(scores))
        sent = {
            p for p in self.persons if any(self.within(f.time) for f in self.of(p, ReferralSent, ReferralConverted))
        }
        won = {p for p in self.persons if any(self.within(f.time) for f in self.of(p, ReferralConverted))}
        stars = [
            p for p in self.persons for f in self.of(p, ReviewPosted) if self.within(f.time) and (f.rating or 0) >= 4
        ]
        active = self.active(self.t)
        self.put("advocacy", len((praise | sent | set(stars)) & active), len(active))
        customers = self.customers()
        self.put("referral_rate", len(won & set(customers)), len(customers))
        of = {f.referred_id for p in self.persons for f in self.of(p, ReferralSent, ReferralConverted)}
        self.put("referred_share", len([p for p in self.new() if p in of]), len(self.new()))
        self.put("engagement_frequency", sum(self.acts(p) for p in active), len(active))

    def acts(self, name: str) -> int:
        """What a person did in the window."""
        acts = [f for f in self.of(name, AdClick, CommunityActivity) if self.within(f.time)]
        acts += [f for f in self.of(name, EmailEvent) if f.event == "clicked" and not f.machine and self.within(f.time)]
        acts += [f for f in self.of(name, TicketCreated) if f.by != "agent" and self.within(f.time)]
        return len(acts) + len(self.sessions(name))

    def messages(self) -> None:
        """What became of messages, by channel, by campaign, and of mails by mailbox: as the first of each one's events says."""
        of = [
            kept for _, m in self.every("message_id", EmailEvent) if (kept := [f for f in m if not self.by_machine(f)])
        ]
        for channel in ("email", "sms"):
            self.rates([m for m in of if m[0].channel == channel], "", channel)
        for said, campaign in ((None, "none"), ("Spring", "spring"), ("x2", "x2")):
            self.rates([m for m in of if m[0].campaign_id == said], "/campaign", campaign)
        for said, mailbox in ((None, "unknown"), ("gmail", "gmail"), ("other", "other")):
            theirs = [m for m in of if m[0].channel == "email" and m[0].mailbox == said]
            self.rates(theirs, "/mailbox", mailbox)

    def rates(self, theirs: list[list[Any]], by: str, label: str) -> None:
        """What became of these messages."""
        if theirs:
            for base, names in (
                ("sent", {"delivery_rate": "delivered", "bounce_rate": "bounced"}),
                ("delivered", {"complaint_rate": "complained", "open_rate": "opened", "click_rate": "clicked",
                               "unsubscribe_rate": "unsubscribed"}),
            ):  # fmt: skip
                began = [m for m in theirs if self.within(next((f.time for f in m if f.event == base), None))]
                for name, event in names.items():
                    found = [m for m in began if any(f.event == event and not self.by_machine(f) for f in m)]
                    self.put(name + by, len(found), len(began), label)

    @staticmethod
    def by_machine(fact: Any) -> bool:
        """Whether a machine opened or clicked."""
        return bool(fact.machine) and fact.event in ("opened", "clicked")

    def tickets(self) -> None:
        """How long tickets took, and who solved them."""
        replies, solutions, bots = [], [], []
        for _, acts in self.every("ticket_id", TicketCreated, TicketReplied, TicketSolved):
            created = [f.time for f in acts if isinstance(f, TicketCreated)][:1]
            begun = created[0] if created else None
            agents = [f for f in acts if isinstance(f, TicketReplied) and f.by == "agent"]
            replied = [f.time for f in agents if begun is not None and self.after_created(f, acts)][:1]
            solved = [f for f in acts if isinstance(f, TicketSolved)][:1]
            if begun is not None and replied and self.within(replied[0]):
                replies.append(replied[0] - begun)
            if solved and self.within(solved[0].time):
                bots.append(solved[0].by == "bot")
                if begun is not None and begun <= solved[0].time:
                    solutions.append(solved[0].time - begun)
        self.put("self_service_share", sum(bots), len(bots))
        self.spread("response_time", replies, 1000)
        self.spread("resolution_time", solutions, 1000)

    @staticmethod
    def after_created(fact: Any, acts: Iterable[Any]) -> bool:
        """Whether a fact comes after that which created its ticket."""
        created = next(f for f in acts if isinstance(f, TicketCreated))
        return (created.time, created.source, created.id) < (fact.time, fact.source, fact.id)

    def spread(self, name: str, values: list[int], scale: int, *labels: str) -> None:
        """Mean, median, p90."""
        if values:
            ranked = sorted(values)
            p90 = next(v for n, v in enumerate(ranked, 1) if 10 * n >= 9 * len(ranked))
            middle = median([*ranked, *ranked])
            found = {"mean": Fraction(sum(values), len(values)), "median": Fraction(middle), "p90": Fraction(p90)}
            for what, value in found.items():
                exact = round(value) / 100 if labels else float(Fraction(value) / scale)
                self.values[name][(*labels, what)] = exact

    def carts(self) -> None:
        """Carts without an order, and checkouts by step."""
        carts, abandoned, steps = 0, 0, []
        for name, acts in self.every("cart_id", CartUpdated, CheckoutStep):
            placed = [o.placed for o in orders_at(self.persons[name], self.t, self.plan)]
            until = acts[-1].time + 24 * HOUR
            ordered = any(acts[0].time <= at <= until for at in placed)
            if self.within(acts[0].time) and (ordered or until <= self.t):
                carts, abandoned = carts + 1, abandoned + (not ordered)
            checkout = [f for f in acts if isinstance(f, CheckoutStep)]
            if checkout and self.within(checkout[0].time):
                steps.append(max(int(f.step or 0) for f in checkout))
        self.put("cart_abandonment", abandoned, carts)
        for k in range(1, max(steps, default=0)):
            self.put("checkout_step_conversion", sum(s > k for s in steps), sum(s >= k for s in steps), str(k))

    def clv(self) -> None:
        """What customers are worth."""
        customers = {p: self.standing(p, self.t) for p in self.customers()}
        worth = {p: sum(max(0, o.net - o.refunded) for o in found) for p, found in customers.items()}
        goods = {p: self.goods(p) for p in customers}
        count = sum(len(found) for found in customers.values())
        self.spread("clv_1", list(worth.values()), 100, "EUR")
        self.spread(
            "clv_3",
            [round(Fraction(len(found) * sum(worth.values()), count)) for found in customers.values()],
            100,
            "EUR",
        )
        known = sum(net for _, net in goods.values())
        spent = sum(cost for cost, _ in goods.values())
        if known > 0:
            self.spread("clv_2", [round(w * Fraction(known - spent, known)) for w in worth.values()], 100, "EUR")
        last = [round(worth[p] - goods[p][0] - self.borne(p)) for p in customers]
        self.spread("clv_4", last, 100, "EUR")

    def goods(self, name: str) -> tuple[int, int]:
        """What the goods of a person's standing orders cost, and the net of the orders of which that is known."""
        cost, net = 0, 0
        for acts in self.things(name, "order_id", OrderCompleted, OrderRefunded, OrderCancelled):
            said = [f.cost_of_goods_minor for f in acts if isinstance(f, OrderCompleted)][:1]
            found = [o for o in orders_at(acts, self.t, self.plan) if o.fell is None]
            if said and said[0] is not None and found:
                cost, net = cost + said[0], net + max(0, found[0].net - found[0].refunded)
        return cost, net

    def borne(self, name: str) -> Fraction:
        """The share of all costs that a customer bears."""
        total = Fraction(0)
        for cost in self.company:
            if not isinstance(cost, CostRecorded) or cost.category not in ("marketing", "sales"):
                continue
            mine = (None, self.channel(name))
            won = [
                p for p in self.customers()
                if cost.period_start <= (self.first(p) or 0) < cost.period_end and cost.channel in (None, self.channel(p))
            ]  # fmt: skip
            if name in won and cost.channel in mine:
                part = Fraction(min(cost.period_end, self.t) - cost.period_start, cost.period_end - cost.period_start)
                total += cost.amount_minor * part / len(won)
        return total + self.kept(name)

    def kept(self, name: str) -> Fraction:
        """The share of what it cost to keep customers: each month's by those whom an order of the 90 days before its end made active."""
        total, begin = Fraction(0), datetime(2023, 12, 1, tzinfo=UTC)
        while begin.timestamp() * 1000 <= self.t:
            following = (begin + timedelta(days=32)).replace(day=1)
            start, end = (round(at.timestamp() * 1000) for at in (begin, following))
            at = min(end - 1, self.t)
            active = [
                p for p in self.customers() if any(at - 90 * DAY < o.placed <= at for o in self.standing(p, self.t))
            ]
            for cost in self.company:
                if name in active and isinstance(cost, CostRecorded) and cost.category in ("retention", "support"):
                    share = min(end, self.t, cost.period_end) - max(start, cost.period_start)
                    part = Fraction(max(0, share), cost.period_end - cost.period_start)
                    total += cost.amount_minor * part / len(active)
            begin = following
        return total
