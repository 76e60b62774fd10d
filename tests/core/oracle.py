"""Plan clm5 by brute force, straight from its table in plain words: the judge of the program's judge.

Nothing is kept, nothing is clever: the stage at t is computed from the list of all facts with time ≤ t, and a path is
what that gives at every instant at which anything could change. Times are ms UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lifestage.facts import (
    AdClick,
    EmailEvent,
    Fact,
    LeadCaptured,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    WebVisit,
)

DAY = 86_400_000
LADDER = ("reach", "acquisition", "conversion", "retention", "loyalty")
Step = tuple[int, str]
"""One move of a path: instant, stage."""


def distinct(facts: Iterable[Fact]) -> list[Fact]:
    """Each fact once: the first of those with the same source and id."""
    found: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        found.setdefault((fact.source, fact.id), fact)
    return list(found.values())


def gives_reach(fact: Fact) -> bool:
    """A visit (no bot), an ad click or a delivered email."""
    if isinstance(fact, EmailEvent):
        return fact.event == "delivered" and fact.channel == "email"
    return isinstance(fact, AdClick) or (isinstance(fact, WebVisit) and not fact.bot)


def gives_acquisition(fact: Fact) -> bool:
    """A lead, a click by a human in an email, or an email address on any event that is not one about a message."""
    if isinstance(fact, EmailEvent):
        return fact.event == "clicked" and fact.channel == "email" and not fact.machine
    return isinstance(fact, LeadCaptured) or (fact.email is not None and not fact.bot)


def is_activity(fact: Fact) -> bool:
    """Visits (no bots), ad clicks, leads, opens and clicks by humans."""
    if isinstance(fact, EmailEvent):
        return fact.event in {"opened", "clicked"} and not fact.machine
    return isinstance(fact, AdClick | LeadCaptured) or (isinstance(fact, WebVisit) and not fact.bot)


class Standing(NamedTuple):
    """One order as of an instant: when it was placed, and since when it no longer stands (None: it does)."""

    placed: int
    fell: int | None


def orders_at(facts: Sequence[Fact], t: int) -> list[Standing]:
    """All orders placed by t."""
    past = [fact for fact in facts if fact.time <= t]
    found = []
    for order in past:
        if isinstance(order, OrderCompleted):
            this = (order.source, order.order_id)
            ends = [f.time for f in past if isinstance(f, OrderCancelled) and (f.source, f.order_id) == this]
            back = [f for f in past if isinstance(f, OrderRefunded) and (f.source, f.order_id) == this]
            ends += [
                refund.time
                for refund in back
                if sum(f.amount_minor for f in back if f.time <= refund.time) >= order.total_minor > 0
            ]
            found.append(Standing(order.time, max(min(ends), order.time) if ends else None))
    return found


def stage_at(facts: Sequence[Fact], t: int) -> str | None:
    """Where a customer with these facts stands at t; None before anything is known."""
    past = [fact for fact in facts if fact.time <= t]
    orders = orders_at(facts, t)
    standing = [order.placed for order in orders if order.fell is None]
    fallen = [order.fell for order in orders if order.fell is not None]
    reach = [fact.time for fact in past if gives_reach(fact)]
    acquisition = [fact.time for fact in past if gives_acquisition(fact)] + fallen
    if standing:
        if t >= max(standing) + 180 * DAY:
            return "churned"
        if t >= max(standing) + 90 * DAY:
            return "at_risk"
        if len({placed // DAY for placed in standing if t - 365 * DAY < placed}) >= 3:
            return "loyalty"
        return "retention" if len({placed // DAY for placed in standing}) >= 2 else "conversion"
    if not reach and not acquisition:
        return None
    activity = [fact.time for fact in past if is_activity(fact)]
    if t >= (max(activity) if activity else min(reach + acquisition)) + 90 * DAY:
        return "dormant"
    return "acquisition" if acquisition else "reach"


def instants(facts: Sequence[Fact]) -> list[int]:
    """Every instant at which the stage could change, with its neighbours for good measure; rising."""
    ages = [days * DAY for days in (0, 90, 180, 365)]
    return sorted({fact.time + age + beside for fact in facts for age in ages for beside in (-1, 0, 1)})


def path(facts: Iterable[Fact], until: int) -> list[Step]:
    """All moves with instant < `until`."""
    known = [fact for fact in distinct(facts) if fact.time < until]
    steps: list[Step] = []
    stage = None
    for t in instants(known):
        now = stage_at(known, t) if t < until else stage
        if now is not None and now != stage:
            steps.append((t, now))
            stage = now
    return steps


def is_reversal(facts: Sequence[Fact], at: int) -> bool:
    """Whether the stage at an instant is due to a refund or cancellation of that instant."""
    others = [f for f in facts if f.time != at or not isinstance(f, OrderRefunded | OrderCancelled)]
    return stage_at(facts, at) != stage_at(others, at)


def kind(before: str | None, after: str, reversal: bool) -> str:
    """The kind of a move, the first that fits."""
    if before is None:
        return "entry"
    if reversal:
        return "reversal"
    if after not in LADDER:
        return {"at_risk": "at_risk", "churned": "churn", "dormant": "dormancy"}[after]
    if before not in LADDER:
        return "reactivation" if before == "churned" else "recovery"
    climb = LADDER.index(after) - LADDER.index(before)
    return "demotion" if climb < 0 else "advance" if climb == 1 else "skip"


def skipped(before: str | None, after: str, kind: str) -> list[str]:
    """The ranked stages that an entry, advance or skip passed over."""
    if kind not in {"entry", "advance", "skip"} or after not in LADDER:
        return []
    low = LADDER.index(before) + 1 if before in LADDER else 0
    return list(LADDER[low : LADDER.index(after)])


def direction(before: str | None, after: str) -> str:
    """Forward up the ladder; churned is below at_risk, at_risk below dormant, and those below the ladder."""
    order = ("churned", "at_risk", "dormant", *LADDER)
    if before == after:
        return "none"
    return "forward" if before is None or order.index(after) > order.index(before) else "backward"
