"""The KPIs that a plan may name, with their titles and units: a closed list, one entry for each of the contract's figures."""

from __future__ import annotations

from typing import Literal, NamedTuple

Unit = Literal["ratio", "count", "number", "seconds", "money", "nps", "ces", "distribution"]
BOUNDS: dict[str, tuple[float, float]] = {
    "ratio": (0, 1),
    "count": (0, 1e12),
    "number": (0, 1e6),
    "seconds": (0, 3_155_760_000),
    "money": (-1e12, 1e12),
    "nps": (-100, 100),
    "ces": (1, 7),
}
"""Least and greatest target by unit; a distribution has none. Money is in major units."""


class Kpi(NamedTuple):
    """What a figure is called on a dashboard, and its unit."""

    title: str
    unit: Unit


KPIS: dict[str, Kpi] = {
    "sessions": Kpi("Sessions", "count"),
    "visitors": Kpi("Distinct visitors", "count"),
    "traffic_by_source": Kpi("Traffic by source", "distribution"),
    "direct_share": Kpi("Share of direct traffic", "ratio"),
    "impressions": Kpi("Ad impressions", "count"),
    "ctr": Kpi("Click-through rate of ads", "ratio"),
    "social_engagement": Kpi("Social engagement", "count"),
    "lead_conversion_rate": Kpi("Lead conversion rate", "ratio"),
    "lead_quality": Kpi("Share of qualified leads", "ratio"),
    "cpl": Kpi("Cost per lead", "money"),
    "cac": Kpi("Customer acquisition cost", "money"),
    "trial_conversion": Kpi("Trials that became customers", "ratio"),
    "lead_to_customer_conversion": Kpi("Leads that became customers", "ratio"),
    "aov": Kpi("Average order value", "money"),
    "refund_rate": Kpi("Refund rate", "ratio"),
    "crr": Kpi("Customer retention rate", "ratio"),
    "churn_rate": Kpi("Churn rate", "ratio"),
    "crr_naive": Kpi("Customer retention rate, (E − N) ÷ S", "ratio"),
    "reactivated": Kpi("Reactivated customers", "count"),
    "rpr": Kpi("Repeat purchase rate", "ratio"),
    "nps": Kpi("Net promoter score", "nps"),
    "csat": Kpi("Customer satisfaction", "ratio"),
    "ces": Kpi("Customer effort score", "ces"),
    "clv_1": Kpi("Lifetime value: net purchases", "money"),
    "clv_2": Kpi("Lifetime value: gross margin", "money"),
    "clv_3": Kpi("Lifetime value: average order × orders", "money"),
    "clv_4": Kpi("Lifetime value: after all costs", "money"),
    "expected_clv": Kpi("Expected lifetime value", "money"),
    "p_alive": Kpi("Probability of being alive", "ratio"),
    "next_order": Kpi("Time to the next order", "seconds"),
    "referral_rate": Kpi("Referral rate", "ratio"),
    "referred_share": Kpi("Share of referred new customers", "ratio"),
    "advocacy": Kpi("Share of advocates", "ratio"),
    "engagement_frequency": Kpi("Acts per active customer", "number"),
    "engagement_depth": Kpi("Pages per session", "number"),
    "delivery_rate": Kpi("Delivery rate", "ratio"),
    "bounce_rate": Kpi("Bounce rate", "ratio"),
    "complaint_rate": Kpi("Complaint rate", "ratio"),
    "open_rate": Kpi("Open rate", "ratio"),
    "click_rate": Kpi("Click rate", "ratio"),
    "unsubscribe_rate": Kpi("Unsubscribe rate", "ratio"),
    "response_time": Kpi("Time to the first reply", "seconds"),
    "resolution_time": Kpi("Time to the solution", "seconds"),
    "self_service_share": Kpi("Share of tickets solved by a bot", "ratio"),
    "returning_customers": Kpi("Returning customers", "count"),
    "cart_abandonment": Kpi("Cart abandonment", "ratio"),
    "checkout_step_conversion": Kpi("Conversion from step to step of the checkout", "ratio"),
    "support_assisted_conversion": Kpi("First orders after a ticket", "ratio"),
    "stage_counts": Kpi("Customers by stage", "distribution"),
    "transitions": Kpi("Moves between stages", "distribution"),
    "time_in_stage": Kpi("Time in a stage", "seconds"),
    "funnel": Kpi("Funnel", "distribution"),
    "cohort_retention": Kpi("Retention by cohort", "distribution"),
}
