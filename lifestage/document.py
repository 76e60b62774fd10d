"""The document of a change: its kind, direction, evidence and everything a consumer reads."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET

from lifestage.cause import Cause, Clock, Rules
from lifestage.change import (
    Acquisition,
    Announced,
    Change,
    Evidence,
    Kind,
    Metrics,
    OperandSeen,
    PathStep,
    PlanRef,
    Trigger,
    uuid_text,
)
from lifestage.facts import TYPES
from lifestage.look import NEVER, OPERANDS, Look
from lifestage.moments import iso
from lifestage.plan import Compare, Compiled
from lifestage.profile import Profile

YEAR = 365 * 86_400_000
POSITIONS_MAX = 10


def kind_of(plan: Compiled, before: str | None, stage: str | None, reversal: bool) -> Kind:
    """The first that fits, in the order of the semantics page. `reversal`: by a refund or cancellation of its instant."""
    if before is None:
        return "entry"
    if reversal:
        return "reversal"
    entering = plan.stage[stage].enter_kind if stage is not None else None
    if entering is not None:
        return entering  # type: ignore[return-value]
    leaving = plan.stage[before].leave_kind
    if leaving is not None:
        return leaving  # type: ignore[return-value]
    steps = len(between(plan, before, stage))
    if plan.height[before] > (plan.height[stage] if stage is not None else -1):
        return "demotion"
    return "skip" if steps else "advance"


def between(plan: Compiled, before: str | None, stage: str | None) -> tuple[str, ...]:
    """The ranked stages strictly between two; from nothing or from off the ladder: all below the higher one."""
    low = plan.rank[before] if before is not None else None
    high = plan.rank[stage] if stage is not None else None
    if high is None:
        return ()
    return tuple(name for name in plan.ladder if (low or 0) < (plan.rank[name] or 0) < high)


def _direction(plan: Compiled, before: str | None, stage: str | None) -> Literal["forward", "backward", "none"]:
    if before == stage:
        return "none"
    if before is None or stage is None:
        return "forward" if before is None else "backward"
    return "forward" if plan.height[stage] > plan.height[before] else "backward"


def document(
    profile: Profile,
    key: str,
    at: int,
    look: Look,
    before: str | None,
    kind: Kind,
    cause: Cause,
    clock: Clock,
    rules: Rules,
    turn: tuple[int, str | None] | None,
    *,
    time_in_previous: int | None = None,
    skipped: tuple[str, ...] = (),
    supersedes: tuple[str, ...] = (),
    path: tuple[PathStep, ...] = (),
) -> Change:
    """The whole document of a change that brought `profile` to where it stands; `at` is the effective instant (ms).

    The facts are read at `look`; `turn` is what time alone will bring next.
    """
    plan, stage = rules.plan, profile.stage
    first, times = _stays(profile)
    reached = [name for name in plan.ladder if name in first]
    return Change(
        customer_id=key,
        account_id=profile.account[1] if profile.account else None,
        seq=profile.seq,
        stage=stage,
        previous_stage=before,
        entered_at=iso(at),
        time_in_previous_s=None if time_in_previous is None else _seconds(time_in_previous),
        kind=kind,
        direction=_direction(plan, before, stage),
        skipped=skipped,
        trigger=_trigger(cause),
        evidence=evidence_of(plan, stage, look),
        plan=PlanRef(plan.plan.id, plan.plan.version, plan.hash),
        high_water_stage=reached[-1] if reached else None,
        first_reached={name: iso(moment) for name, moment in first.items()},
        times_entered=times,
        next_due_at=iso(turn[0]) if turn else None,
        next_due_stage=turn[1] if turn else None,
        metrics=metrics_of(look),
        acquisition=Acquisition(*(said or None for said in profile.touch[1:])) if profile.touch else Acquisition(),
        consent=consent_of(profile),
        supersedes=supersedes,
        path=path,
        merged_into=None,
        mode="live" if clock.live else "backfill",
    )


def consent_of(profile: Profile) -> dict[str, bool]:
    """What the customer last allowed; a purpose that was never named is absent."""
    said = {"marketing": profile.marketing, "analytics": profile.analytics}
    return {name: latest[1] for name, latest in said.items() if latest is not None}


def _stays(profile: Profile) -> tuple[dict[str, int], dict[str, int]]:
    """First instant and number of entries by stage, over the whole unsuperseded path."""
    first = {name: past[0] for name, past in profile.before.items() if name}
    times = {name: past[1] for name, past in profile.before.items() if name}
    for m in profile.moves:
        if m.stage is not None:
            first.setdefault(m.stage, m.at)
            times[m.stage] = times.get(m.stage, 0) + 1
    return first, times


def metrics_of(look: Look) -> Metrics:
    """The customer in numbers at the look's instant; money in the currency of the latest order."""
    profile, t = look.profile, look.t
    newest = None
    for order in profile.orders:
        time = order.time
        if time is not None and time <= t and (newest is None or (time, order.id) > (newest.time, newest.id)):
            newest = order
    net = 0
    currency = newest.currency if newest is not None else None
    for order in profile.orders:
        if order.currency != currency or order.time is None or order.time > t:
            continue
        if order.cancelled_at is None or order.cancelled_at > t:
            left = order.net_minor
            for refund in order.refunds:
                if refund.time <= t:
                    left -= refund.amount_minor
            net += max(0, left)
    return Metrics(
        orders=look.standing,
        order_days_365d=look.order_days(YEAR),
        net_revenue_minor=net,
        currency=currency,
        last_order_at=None if look.last_purchase is None else iso(look.last_purchase),
        last_seen_at=None if profile.newest is None else iso(profile.newest),
    )


def _trigger(cause: Cause) -> Trigger:
    fact = cause.fact if cause.due is None else None
    return Trigger(
        type="event" if fact is not None else "timer",
        event_id=fact.id if fact is not None else None,
        event_type=TYPES[type(fact)] if fact is not None else None,
        topic=UNSET if cause.topic is None else cause.topic,
        partition=UNSET if cause.partition is None else cause.partition,
        offset=cause.offset if cause.offset >= 0 else UNSET,
        due_at=None if cause.due is None else iso(cause.due),
    )


def evidence_of(plan: Compiled, stage: str | None, look: Look) -> Evidence:
    """Why `stage` holds at the look's instant: its rule and what the rule read."""
    if stage is None:
        return Evidence("none", "no stage's condition holds", ())
    asked = plan.asked[stage]
    seen = tuple([_operand(leaf, look) for leaf in asked.leaves])
    return Evidence(asked.rule, asked.text, seen, _positions(asked.leaves, look))


def _operand(leaf: Compare, look: Look) -> OperandSeen:
    operand = OPERANDS[leaf.operand]
    value = operand.value(look, leaf.window)
    window = None if leaf.window is None else _seconds(leaf.window)
    if operand.unit == "ms":
        return OperandSeen(leaf.operand, None if value == NEVER else _seconds(value), leaf.op, _seconds(leaf.value))
    if operand.unit == "flag":
        return OperandSeen(leaf.operand, bool(value), leaf.op, bool(leaf.value), window)
    return OperandSeen(leaf.operand, value, leaf.op, leaf.value, window)


def _positions(asked: tuple[Compare, ...], look: Look) -> tuple[int, ...]:
    """Log offsets of the newest facts that the operands read, at most ten; none offline."""
    profile, found = look.profile, set[int]()
    for leaf in asked:
        name = leaf.operand
        if name == "reached":
            found.add(profile.reach_offset)
        elif name == "acquired":
            found.add(profile.acquired_offset)
        elif name in _OF_ORDERS:
            t = look.t
            found.update([o.offset for o in profile.orders if o.time is not None and o.time <= t])
    return tuple(sorted([offset for offset in found if offset >= 0])[-POSITIONS_MAX:])


_OF_ORDERS = frozenset({"standing_orders", "order_days", "since_last_purchase"})


def envelope(change: Change, id: bytes, at: int, key: str, cause: Cause, rules: Rules) -> Announced:
    """A change with its CloudEvents attributes."""
    return Announced(
        id=uuid_text(id),
        source=f"/lifecycle/{rules.plan.plan.id}",
        time=iso(at),
        partitionkey=key,
        causationid=cause.fact.id if cause.fact is not None and cause.due is None else None,
        data=change,
    )


def _seconds(ms: int) -> int | float:
    return ms // 1000 if ms % 1000 == 0 else ms / 1000
