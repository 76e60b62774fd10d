"""The dashboard of value: what customers buy, what they are worth, and what winning them costs."""

from __future__ import annotations

from config.dashboards.panels import JOB, JOBS, Ask, Dashboard, Row, Variable, bars, grid, kpi, lines, now

CURRENCY = f'{JOB}, currency=~"$currency"'
CHANNEL = f'{JOB}, channel=~"$channel"'
BOTH = f'{CURRENCY}, channel=~"$channel"'
_WORTH = (
    ("clv_1", "net purchases"),
    ("clv_2", "gross margin"),
    ("clv_3", "average order × orders"),
)


def _worth(name: str, words: str) -> str:
    return f'label_replace(lifestage_kpi_{name}{{{CURRENCY}}}, "value", "$1 {words}", "currency", "(.+)")'


VALUE = Dashboard(
    uid="lifestage-value",
    title="Customer value",
    words="What customers buy, what they are worth, and what winning them costs. Amounts are in major units and never added up over currencies.",
    variables=(
        JOBS,
        Variable("currency", "Currency", f"label_values(lifestage_kpi_gross_revenue{{{JOB}}}, currency)"),
        Variable("channel", "Channel", f"label_values(lifestage_kpi_new_customers_by_channel{{{JOB}}}, channel)"),
    ),
    parts=(
        Row("Now"),
        now("net_revenue", select=CURRENCY, width=6),
        now("aov", select=CURRENCY, width=6),
        now("cac", select=CURRENCY, width=6),
        now("rpr", width=6),
        Row("Revenue"),
        kpi("net_revenue", CURRENCY),
        kpi("gross_revenue", CURRENCY),
        kpi("orders", CURRENCY),
        kpi("aov", CURRENCY),
        kpi("refund_rate", CURRENCY),
        lines(
            "Net revenue ever",
            "Orders without tax and shipping and less refunds, since the first event, each counted once.",
            "locale",
            Ask(f"job_currency:lifestage_revenue_net:sum{{{CURRENCY}}}", "{{currency}}"),
        ),
        Row("Lifetime value"),
        grid(
            "Lifetime values",
            "Of customers, all their time up to now, by three definitions; the fourth, after all costs, is told by lifestage kpis. Mean exactly, median and 90th percentile by size classes.",
            "locale",
            Ask(" or ".join(_worth(name, words) for name, words in _WORTH)),
            row="value",
            column="statistic",
        ),
        lines(
            "Mean lifetime values",
            "The means of the three definitions over time: net purchases; times the gross margin; average order × orders.",
            "locale",
            *(Ask(f'lifestage_kpi_{name}{{{CURRENCY}, statistic="mean"}}', f"{{{{currency}}}} {words}") for name, words in _WORTH),
            width=12,
        ),
        kpi("clv_1", CURRENCY, width=12),
        kpi("clv_2", CURRENCY, width=12),
        Row("What winning customers costs"),
        kpi("cac", CURRENCY),
        kpi("cpl", CURRENCY),
        kpi("new_customers"),
        kpi("cac", BOTH, by="channel"),
        kpi("cpl", BOTH, by="channel"),
        kpi("new_customers", CHANNEL, by="channel"),
        kpi("net_revenue", BOTH, by="channel"),
        kpi("orders", BOTH, by="channel"),
        kpi("aov", BOTH, by="channel"),
        bars(
            "Return on acquisition by channel",
            "Mean gross margin (CLV 2 ÷ CLV 1) of the net revenue in the window of all customers who came by this channel, less what the channel cost, ÷ what it cost. "
            "Below 0 it costs more than it brings. Of costs in several currencies each counts only its own.",
            "percentunit",
            Ask(
                f"lifestage_kpi_net_revenue_by_channel{{{BOTH}}} * on (job, currency) group_left ()"
                f' (lifestage_kpi_clv_2{{{CURRENCY}, statistic="mean"}} / lifestage_kpi_clv_1{{{CURRENCY}, statistic="mean"}})'
                f" / (lifestage_kpi_cac_by_channel{{{BOTH}}} * on (job, channel) group_left () lifestage_kpi_new_customers_by_channel{{{CHANNEL}}}) - 1",
                "{{currency}} {{channel}}",
            ),
            width=12,
        ),
        lines(
            "Lifetime value ÷ acquisition cost",
            "Mean lifetime gross margin (CLV 2) ÷ acquisition cost of a customer, over all channels. 3 is a common aim. Of costs in several currencies each counts only its own.",
            "none",
            Ask(
                f'lifestage_kpi_clv_2{{{CURRENCY}, statistic="mean"}} / on (job, currency) lifestage_kpi_cac{{{CURRENCY}}}',
                "{{currency}}",
            ),
            width=12,
        ),
        Row("Who brings whom"),
        kpi("referral_rate"),
        kpi("referred_share"),
        kpi("leads", CHANNEL, by="channel"),
    ),
)  # fmt: skip
