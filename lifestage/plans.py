"""The shipped plans as data. `clm5`, version 1, is the table of the semantics page, rule for rule."""

from __future__ import annotations

from lifestage.conditions import All, Any, Compare, Condition, Not, Plan, Stage

DAYS = 86_400_000


def _flag(name: str) -> Compare:
    return Compare(name, "==", 1)


_customer, _reached, _acquired = _flag("customer"), _flag("reached"), _flag("acquired")


def _silent(days: int) -> Condition:
    return Compare("since_last_purchase", ">=", days * DAYS)


CLM5 = Plan(
    id="clm5",
    version=1,
    stages=(
        Stage(
            "churned",
            None,
            Any((
                All((_customer, Not(_flag("active_subscription")), Any((_silent(180), _flag("subscription_lapsed"))))),
                All((_customer, _flag("accounts_closed"))),
            )),
            "churn",
            "reactivation",
        ),
        Stage("at_risk", None, All((_customer, Not(_flag("active_subscription")), _silent(90))), "at_risk", "recovery"),
        Stage(
            "dormant",
            None,
            All((Not(_customer), Any((_reached, _acquired)), Compare("since_last_activity", ">=", 90 * DAYS))),
            "dormancy",
            "recovery",
        ),
        Stage(
            "loyalty",
            5,
            Any((
                Compare("order_days", ">=", 3, 365 * DAYS),
                All((
                    Compare("order_days", ">=", 2),
                    Any((Compare("referrals_converted", ">=", 1, 365 * DAYS), Compare("nps", ">=", 9000, 180 * DAYS))),
                )),
            )),
        ),
        Stage("retention", 4, Any((Compare("order_days", ">=", 2), Compare("subscription_renewals", ">=", 1)))),
        Stage("conversion", 3, _customer),
        Stage("acquisition", 2, _acquired),
        Stage("reach", 1, _reached),
    ),
)

PLANS: dict[str, Plan] = {CLM5.id: CLM5}
