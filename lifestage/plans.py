"""The shipped plans as data. `clm5`, version 1, is the table of the semantics page, rule for rule."""

from __future__ import annotations

from lifestage.plan import All, Any, Compare, Not, Plan, Stage

DAYS = 86_400_000

_customer = Compare("standing_orders", ">=", 1)
_reached = Compare("reached", "==", 1)
_acquired = Compare("acquired", "==", 1)


def _silent(days: int) -> All:
    return All((_customer, Compare("since_last_purchase", ">=", days * DAYS)))


CLM5 = Plan(
    id="clm5",
    version=1,
    stages=(
        Stage("churned", None, _silent(180), "churn", "reactivation"),
        Stage("at_risk", None, _silent(90), "at_risk", "recovery"),
        Stage(
            "dormant",
            None,
            All((Not(_customer), Any((_reached, _acquired)), Compare("since_last_activity", ">=", 90 * DAYS))),
            "dormancy",
            "recovery",
        ),
        Stage("loyalty", 5, Compare("order_days", ">=", 3, 365 * DAYS)),
        Stage("retention", 4, Compare("order_days", ">=", 2)),
        Stage("conversion", 3, _customer),
        Stage("acquisition", 2, _acquired),
        Stage("reach", 1, _reached),
    ),
)

PLANS: dict[str, Plan] = {CLM5.id: CLM5}
