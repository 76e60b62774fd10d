"""The KPIs: one definition each, by which they are computed, shown and explained.

`t` is the instant of which they speak, the end of the window (t − W, t]. *Active* is who has a standing order in (t − 90 d, t],
a *customer* who has a standing order; *new* is whose first standing order is in the window.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from lifestage.kpi_contribute import BY_CAMPAIGN, BY_CHANNEL, BY_MAILBOX
from lifestage.kpi_costs import ACQUISITION
from lifestage.kpi_formulas import Count, Formula, PerCost, Ratio, Spread
from lifestage.kpi_names import KPIS, Unit

MARKETING = frozenset({"marketing"})


class Definition(NamedTuple):
    """One KPI. `labels` name what its values are told by."""

    name: str
    title: str
    unit: Unit
    formula: Formula
    labels: tuple[str, ...]
    stage: str
    """The stage that it speaks of, by the names of the plan clm5; of the whole lifecycle: empty."""
    better: str
    """`higher`, `lower`, or empty."""
    words: str
    source: str
    by: tuple[tuple[str, Formula], ...] = ()
    """Other labels that it may be told by, each with its formula for that."""

    def formula_by(self, label: str | None) -> Formula | None:
        """Its formula by another label, if there is one; that of the KPI itself by None."""
        return self.formula if label is None else dict(self.by).get(label)

    def labels_by(self, label: str | None) -> tuple[str, ...]:
        """What its values are told by then: a person's channel comes beside the labels, what is told of a message in their place."""
        if label is None:
            return self.labels
        return (*self.labels, label) if label == "channel" else (label,)


BREAKDOWNS = "channel", "campaign", "mailbox"
"""The labels by which some KPIs are told beside their own."""
UP, DOWN = "higher", "lower"
WEB, BOOK, NPS_BOOK, FADER, MAIL = (
    "web analytics: sessions, users, traffic source (Google Analytics 4)",
    "Farris, Bendle, Pfeifer, Reibstein: Marketing Metrics (2010)",
    "Reichheld: The One Number You Need to Grow, HBR 81 (12), 2003",
    "Fader, Hardie: Forecasting Repeat Sales at CDNOW, Interfaces 31 (3), 2001",
    "M3AAWG Sender Best Common Practices",
)
DESK, FUNNEL, OURS = "service desk practice (ITIL)", "funnel analysis by cohort", "the plan's own path"


def _of(
    name: str, formula: Formula, labels: tuple[str, ...], stage: str, better: str, source: str, words: str,
    by_channel: Formula | None = None, title: str = "", unit: Unit = "count",
) -> Definition:  # fmt: skip
    by = (("channel", by_channel),) if by_channel is not None else ()
    known = KPIS.get(name)
    shown = (known.title, known.unit) if known is not None else (title, unit)
    return Definition(name, *shown, formula, labels, stage, better, words, source, by)


def _mail(name: str, top: str, bottom: str, better: str, words: str) -> Definition:
    """A rate of messages: by channel, or by campaign, or of mails by who runs the mailbox."""
    by = tuple(
        (label, Ratio(top + end, bottom + end)) for label, end in (("campaign", BY_CAMPAIGN), ("mailbox", BY_MAILBOX))
    )
    return _of(name, Ratio(top, bottom), ("channel",), REACH, better, MAIL, words)._replace(by=by)


_CURRENCY, _NO = ("currency",), ()
_SPREAD = ("statistic",)
REACH, ACQUIRE, CONVERT, RETAIN, LOYAL, RISK = "reach", "acquisition", "conversion", "retention", "loyalty", "at_risk"

DEFINITIONS: tuple[Definition, ...] = (
    _of("sessions", Count("sessions"), _NO, REACH, UP, WEB, "sessions that began in W"),
    _of("visitors", Count("visitors"), _NO, REACH, UP, WEB, "persons with a visit in W; all ids of one person are one"),
    _of("traffic_by_source", Count("sessions_by_source"), ("source", "medium"), REACH, "", WEB, "sessions that began in W, by the source and medium of their first visit; without them the referrer's host"),
    _of("direct_share", Ratio("direct_sessions", "sessions"), _NO, REACH, "", WEB, "sessions without source, medium, campaign and referrer ÷ sessions"),
    _of("impressions", Count("impressions"), _NO, REACH, UP, BOOK, "Σ count of ad.impression in W"),
    _of("ctr", Ratio("ad_clicks", "impressions"), _NO, REACH, UP, BOOK, "Σ count of ad.click ÷ Σ count of ad.impression"),
    _of("social_engagement", Count("social_engagement"), ("kind",), REACH, UP, BOOK, "Σ count of social.engagement in W, by kind"),
    _of("leads", Count("leads"), _NO, ACQUIRE, UP, BOOK, "leads first captured in W", Count("leads" + BY_CHANNEL), "New leads"),
    _of("lead_conversion_rate", Ratio("visitors_who_became_leads", "visitors"), _NO, ACQUIRE, UP, BOOK, "visitors in W with a lead captured in W ÷ visitors"),
    _of("lead_quality", Ratio("qualified_leads", "leads"), _NO, ACQUIRE, UP, BOOK, "leads last said to be qualified ÷ leads captured in W"),
    _of("cpl", PerCost(MARKETING, "leads"), _CURRENCY, ACQUIRE, DOWN, BOOK, "marketing cost overlapping W, pro rata ÷ leads captured in W", PerCost(MARKETING, "leads" + BY_CHANNEL)),
    _of("new_customers", Count("new_customers"), _NO, CONVERT, UP, BOOK, "customers whose first standing order is in W", Count("new_customers" + BY_CHANNEL), "New customers"),
    _of("cac", PerCost(ACQUISITION, "new_customers"), _CURRENCY, CONVERT, DOWN, BOOK, "marketing and sales cost overlapping W, pro rata ÷ new customers", PerCost(ACQUISITION, "new_customers" + BY_CHANNEL)),
    _of("trial_conversion", Ratio("trials_paid", "trials"), _NO, CONVERT, UP, BOOK, "trials begun in W with an order, a subscription or an end marked converted up to 14 d after their end ÷ trials begun in W"),
    _of("trial_conversion_open", Count("trials_open"), _NO, CONVERT, "", BOOK, "of these trials those that have not converted and still can", None, "Trials that may still convert"),
    _of("lead_to_customer_conversion", Ratio("leads_who_bought", "leads"), _NO, CONVERT, UP, BOOK, "leads captured in W whose person placed a standing order up to 90 d later ÷ leads captured in W"),
    _of("lead_to_customer_conversion_open", Count("leads_open"), _NO, CONVERT, "", BOOK, "of these leads those that have not bought and still can", None, "Leads that may still convert"),
    _of("cart_abandonment", Ratio("carts_abandoned", "carts"), _NO, CONVERT, DOWN, BOOK, "carts first touched in W without an order of the person up to 24 h after their last act ÷ carts; those still within it are left out"),
    _of("checkout_step_conversion", Ratio("carts_past_step", "carts_at_step", as_far_as_top=True), ("step",), CONVERT, UP, FUNNEL, "of the checkouts begun in W: that reached step k + 1 or later ÷ that reached step k or later; steps are numbers, those above 20 count as 20"),
    _of("support_assisted_conversion", Ratio("first_orders_after_ticket", "new_customers"), _NO, CONVERT, "", DESK, "new customers who opened a ticket in the 7 d up to their first order ÷ new customers"),
    _of("orders", Count("orders"), _CURRENCY, CONVERT, UP, BOOK, "orders placed in W that stand at t", Count("orders" + BY_CHANNEL), "Orders"),
    _of("gross_revenue", Count("gross_revenue"), _CURRENCY, CONVERT, UP, BOOK, "Σ total of orders placed in W, whatever became of them", None, "Gross revenue", "money"),
    _of("net_revenue", Count("net_revenue"), _CURRENCY, CONVERT, UP, BOOK, "Σ net, less refunds up to t, of orders placed in W that stand at t", Count("net_revenue" + BY_CHANNEL), "Net revenue", "money"),
    _of("aov", Ratio("net_revenue", "orders"), _CURRENCY, CONVERT, UP, BOOK, "net revenue ÷ orders", Ratio("net_revenue" + BY_CHANNEL, "orders" + BY_CHANNEL)),
    _of("refund_rate", Ratio("net_refunded", "net_sold"), _CURRENCY, CONVERT, DOWN, BOOK, "of orders placed in W and not cancelled: net given back up to t ÷ net"),
    _of("active_customers", Count("active"), _NO, RETAIN, UP, BOOK, "customers with a standing order in (t − 90 d, t]", None, "Active customers"),
    _of("crr", Ratio("retained", "active_before"), _NO, RETAIN, UP, BOOK, "active at t − W and at t ÷ active at t − W"),
    _of("churn_rate", Ratio("active_before", "active_before", "retained"), _NO, RISK, DOWN, BOOK, "1 − CRR"),
    _of("crr_naive", Ratio("active", "active_before", "new_active"), _NO, RETAIN, UP, BOOK, "the textbook's (E − N) ÷ S: active at t less the new among them ÷ active at t − W; it counts the reactivated as retained, and may exceed 1"),
    _of("reactivated", Count("reactivated"), _NO, RISK, UP, BOOK, "active at t, neither active at t − W nor new"),
    _of("rpr", Ratio("repeat_buyers", "buyers"), _NO, RETAIN, UP, FADER, "customers with standing orders on two days or more in W ÷ on one or more; days as the plan divides them"),
    _of("rpr_by_orders", Ratio("repeat_buyers_by_orders", "buyers"), _NO, RETAIN, UP, BOOK, "the same with orders for days: two on one day count as a repeat", None, "Repeat purchase rate by orders", "ratio"),
    _of("returning_customers", Count("returning_customers"), _NO, RETAIN, UP, BOOK, "customers with a standing order in W and one before"),
    _of("nps", Ratio("promoters", "nps_answers", "detractors", Fraction(100)), _NO, LOYAL, UP, NPS_BOOK, "latest answer of each person in W: (9 to 10 − 0 to 6) ÷ answers × 100"),
    _of("nps_n", Count("nps_answers"), _NO, LOYAL, "", NPS_BOOK, "persons with an answer in W", None, "Answers to the NPS question"),
    _of("csat", Ratio("satisfied", "csat_answers"), _NO, RETAIN, UP, BOOK, "latest answer of each person in W: 4 to 5 of 5 ÷ answers"),
    _of("csat_n", Count("csat_answers"), _NO, RETAIN, "", BOOK, "persons with an answer in W", None, "Answers on satisfaction"),
    _of("ces", Ratio("ces_thousandths", "ces_answers", scale=Fraction(1, 1000)), _NO, RETAIN, UP, "Dixon, Freeman, Toman: Stop Trying to Delight Your Customers, HBR 88 (7/8), 2010; scale 1 to 7 of CES 2.0", "latest answer of each person in W: mean of 1 to 7"),
    _of("ces_n", Count("ces_answers"), _NO, RETAIN, "", BOOK, "persons with an answer in W", None, "Answers on effort"),
    _of("clv_1", Spread("clv_1"), (*_CURRENCY, *_SPREAD), LOYAL, UP, BOOK, "of customers, all their time up to t: Σ net, less refunds, of standing orders"),
    _of("clv_2", Spread("clv_2"), (*_CURRENCY, *_SPREAD), LOYAL, UP, BOOK, "CLV 1 × the mean gross margin: (Σ net − Σ cost of goods) ÷ Σ net of the standing orders of those of whose goods a cost is known"),
    _of("clv_3", Spread("clv_3"), (*_CURRENCY, *_SPREAD), LOYAL, UP, BOOK, "the average standing order of all customers × the customer's standing orders"),
    _of("clv_4", Spread("clv_4"), (*_CURRENCY, *_SPREAD), LOYAL, UP, BOOK, "CLV 1 − cost of goods − the share of costs: marketing and sales ÷ the customers whose first order is in the cost's period (of its channel, where it has one); retention and support of a month ÷ the active at its end"),
    _of("referral_rate", Ratio("customers_who_referred", "customers"), _NO, LOYAL, UP, BOOK, "customers with a referral.converted in W ÷ customers"),
    _of("referred_share", Ratio("new_customers_referred", "new_customers"), _NO, LOYAL, UP, BOOK, "new customers whom somebody referred ÷ new customers"),
    _of("advocacy", Ratio("advocates", "active"), _NO, LOYAL, UP, NPS_BOOK, "active customers who in W referred somebody, wrote a review of 4 or more, or last answered 9 to 10 ÷ active customers"),
    _of("engagement_frequency", Ratio("acts_of_active", "active"), _NO, RETAIN, UP, WEB, "sessions begun, human clicks on ads and messages, tickets opened and community acts in W of active customers ÷ active customers"),
    _of("engagement_depth", Ratio("pages", "sessions"), _NO, REACH, UP, WEB, "Σ pages of the sessions that began in W ÷ sessions"),
    _mail("delivery_rate", "messages_delivered_of_sent", "messages_sent", UP, "of messages sent in W: delivered ÷ sent"),
    _mail("bounce_rate", "messages_bounced", "messages_sent", DOWN, "of messages sent in W: bounced ÷ sent"),
    _mail("complaint_rate", "messages_complained", "messages_delivered", DOWN, "of messages delivered in W: complained about ÷ delivered"),
    _mail("open_rate", "messages_opened", "messages_delivered", UP, "of messages delivered in W: opened by a human ÷ delivered"),
    _mail("click_rate", "messages_clicked", "messages_delivered", UP, "of messages delivered in W: clicked by a human ÷ delivered"),
    _mail("unsubscribe_rate", "messages_unsubscribed", "messages_delivered", DOWN, "of messages delivered in W: unsubscribed from ÷ delivered"),
    _of("response_time", Spread("response_time"), _SPREAD, RETAIN, DOWN, DESK, "created → first reply by an agent, of tickets whose first reply is in W"),
    _of("resolution_time", Spread("resolution_time"), _SPREAD, RETAIN, DOWN, DESK, "created → first solved, of tickets first solved in W"),
    _of("self_service_share", Ratio("tickets_solved_by_bot", "tickets_solved"), _NO, RETAIN, UP, DESK, "tickets first solved in W, by a bot ÷ all"),
    _of("stage_counts", Count("stage_counts"), ("stage",), "", "", OURS, "persons who stand in the stage at t, visitors without a name too"),
    _of("transitions", Count("transitions"), ("from", "to"), "", "", OURS, "moves in W, by where from and where to; visitors without a name are left out"),
    _of("time_in_stage", Spread("time_in_stage"), ("stage", *_SPREAD), "", "", OURS, "how long a stay in the stage was that ended in W"),
    _of("funnel", Count("funnel"), ("stage",), "", UP, OURS, "persons who by t ever stood in the ranked stage or a higher one"),
    _of("cohort_retention", Ratio("cohort_kept", "cohort_size"), ("cohort", "months"), "", UP, FUNNEL, "of the persons with their first move in a month: in a ranked stage at the end of that month and of each later one before t ÷ all; the last 24 months"),
)  # fmt: skip
"""In the order of the lifecycle. `W` in the words is the window."""

BY_NAME = {definition.name: definition for definition in DEFINITIONS}
