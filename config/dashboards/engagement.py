"""The dashboard of engagement: traffic, messages, answers, support, carts and checkout."""

from __future__ import annotations

from config.dashboards.panels import JOB, JOBS, Ask, Dashboard, Panel, Row, Variable, bars, grid, kpi, lines, named, now
from lifestage.kpi_labels import CAMPAIGNS_MAX

CHANNEL = f'{JOB}, channel=~"$channel"'
_RATES = (
    ("delivery_rate", "delivered"), ("bounce_rate", "bounced"), ("open_rate", "opened"), ("click_rate", "clicked"),
    ("unsubscribe_rate", "unsubscribed"), ("complaint_rate", "complained"),
)  # fmt: skip


def _rates(title: str, words: str, label: str) -> Panel:
    """All rates of messages by a label, as a table."""
    by, select, height = (None, CHANNEL, 5) if label == "channel" else (label, JOB, 9)
    return grid(
        title,
        f"Delivered and bounced ÷ sent; opened and clicked by humans, unsubscribed and complained about ÷ delivered. {words}".strip(),
        "percentunit",
        Ask(" or ".join(named(name, "rate", shown, select, by) for name, shown in _RATES)),
        row=label,
        column="rate",
        width=24,
        height=height,
    )


ENGAGEMENT = Dashboard(
    uid="lifestage-engagement",
    title="Customer engagement",
    words="Traffic, messages, what customers answer, support, carts and checkout.",
    variables=(JOBS, Variable("channel", "Channel", f"label_values(lifestage_kpi_delivery_rate{{{JOB}}}, channel)")),
    parts=(
        Row("Now"),
        now("visitors"),
        now("sessions"),
        now("nps"),
        now("csat"),
        now("ces"),
        now("cart_abandonment"),
        Row("Messages"),
        _rates("Messages by channel", "", "channel"),
        kpi("delivery_rate", CHANNEL),
        kpi("bounce_rate", CHANNEL),
        lines(
            "Complaints by channel",
            "Of messages delivered in the window: complained about ÷ delivered. Mailbox providers ask for less than 0.1 % and turn away from 0.3 % on.",
            "percentunit",
            Ask(f"lifestage_kpi_complaint_rate{{{CHANNEL}}}", "{{channel}}"),
            Ask("vector(0.001)", "0.1 %"),
            Ask("vector(0.003)", "0.3 %"),
        ),
        kpi("open_rate", CHANNEL),
        kpi("click_rate", CHANNEL),
        kpi("unsubscribe_rate", CHANNEL),
        Row("Mail by who runs the mailbox"),
        _rates(
            "Mail by mailbox provider",
            "By the domain of the recipient's address. Where one provider alone delivers or opens less, it is its filter: look at your standing there.",
            "mailbox",
        ),
        kpi("delivery_rate", by="mailbox"),
        kpi("bounce_rate", by="mailbox"),
        lines(
            "Complaints by mailbox provider",
            "Of mails delivered in the window: complained about ÷ delivered. Each provider asks for less than 0.1 % and turns away from 0.3 % on.",
            "percentunit",
            Ask(f"lifestage_kpi_complaint_rate_by_mailbox{{{JOB}}}", "{{mailbox}}"),
            Ask("vector(0.001)", "0.1 %"),
            Ask("vector(0.003)", "0.3 %"),
        ),
        Row("Messages by campaign"),
        _rates(
            "Campaigns",
            f"The {CAMPAIGNS_MAX} campaigns with the most messages in the window, on all channels; live there is no rate of the others.",
            "campaign",
        ),
        kpi("open_rate", by="campaign"),
        kpi("click_rate", by="campaign"),
        kpi("unsubscribe_rate", by="campaign"),
        Row("Traffic"),
        lines(
            "Visitors and sessions",
            "Persons with a visit in the window, and sessions that began in it.",
            "short",
            Ask(f"lifestage_kpi_visitors{{{JOB}}}", "visitors"),
            Ask(f"lifestage_kpi_sessions{{{JOB}}}", "sessions"),
        ),
        bars(
            "Sessions by source",
            "Sessions that began in the window, by source and medium of their first visit: the ten most frequent.",
            "short",
            Ask(f"sort_desc(topk(10, sum by (source, medium) (lifestage_kpi_traffic_by_source{{{JOB}}})))", "{{source}} / {{medium}}"),
        ),
        kpi("direct_share"),
        kpi("engagement_depth"),
        kpi("engagement_frequency"),
        kpi("ctr"),
        kpi("impressions"),
        bars(
            "Social engagement",
            "Likes, shares, comments and the like in the window.",
            "short",
            Ask(f"sort_desc(sum by (kind) (lifestage_kpi_social_engagement{{{JOB}}}))", "{{kind}}"),
        ),
        kpi("lead_quality"),
        Row("What customers say"),
        kpi("nps", width=6),
        kpi("csat", width=6),
        kpi("ces", width=6),
        lines(
            "Answers",
            "Persons with an answer in the window. Few answers make a score that means little.",
            "short",
            Ask(f"lifestage_kpi_nps_n{{{JOB}}}", "NPS"),
            Ask(f"lifestage_kpi_csat_n{{{JOB}}}", "CSAT"),
            Ask(f"lifestage_kpi_ces_n{{{JOB}}}", "CES"),
            width=6,
        ),
        kpi("advocacy", width=12),
        kpi("referral_rate", width=12),
        Row("Support"),
        kpi("response_time", width=6),
        kpi("resolution_time", width=6),
        kpi("self_service_share", width=6),
        kpi("support_assisted_conversion", width=6),
        Row("Carts and checkout"),
        kpi("cart_abandonment", width=12),
        bars(
            "From step to step of the checkout",
            "Of the checkouts begun in the window that reached a step: how many went beyond it.",
            "percentunit",
            Ask(f"lifestage_kpi_checkout_step_conversion{{{JOB}}}", "step {{step}}"),
            width=12,
        ),
    ),
)  # fmt: skip
