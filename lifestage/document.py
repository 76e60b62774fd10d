"""The document of a change: its kind, direction, evidence and everything a consumer reads."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import UNSET

from lifestage.cause import Cause, Clock, Rules
from lifestage.change import (
    Acquisition,
    Announced,
    Change,
    Kind,
    Metrics,
    PathStep,
    PlanRef,
    Trigger,
    uuid_text,
)
from lifestage.evidence import evidence_of, seconds
from lifestage.facts import type_of
from lifestage.ledger import amounts_at, net_at
from lifestage.look import Look
from lifestage.moments import iso
from lifestage.plan import Compiled
from lifestage.profile import Profile

YEAR: Final = 365 * 86_400_000


def kind_of(plan: Compiled, before: str | None, stage: str | None, reversal: bool) -> Kind:
    """The first that fits, in the order of the semantics page. `reversal`: by a refund or cancellation of its instant."""
    if before is None:
        return "entry"
    if reversal:
        return "reversal"
    if stage is None:
        return "demotion"
    entering = plan.stage[stage].enter_kind
    if entering is not None:
        return entering  # type: ignore[return-value]
    leaving = plan.stage[before].leave_kind
    if leaving is not None and plan.rank[stage] is not None:
        return leaving  # type: ignore[return-value]
    steps = len(plan.between[before, stage])
    if plan.height[before] > plan.height[stage]:
        return "demotion"
    return "skip" if steps else "advance"


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
    merged_into: str | None = None,
) -> Change:
    """The whole document of a change that brought `profile` to where it stands; `at` is the effective instant (ms).

    The facts are read at `look`; `turn` is what time alone will bring next.
    """
    plan, stage = rules.plan, profile.stage
    first, times = _stays(profile)
    reached = [name for name in plan.ladder if name in first]
    return Change(
        customer_id=key,
        account_id=profile.account[3] if profile.account else None,
        seq=profile.seq,
        stage=stage,
        previous_stage=before,
        entered_at=iso(at),
        time_in_previous_s=None if time_in_previous is None else seconds(time_in_previous),
        kind=kind,
        direction=_direction(plan, before, stage),
        skipped=skipped,
        trigger=_trigger(cause),
        evidence=evidence_of(plan, stage, look, cause.offset >= 0),
        plan=_plan_ref(plan),
        high_water_stage=reached[-1] if reached else None,
        first_reached={name: iso(moment) for name, moment in first.items()},
        times_entered=times,
        next_due_at=iso(turn[0]) if turn else None,
        next_due_stage=turn[1] if turn else None,
        metrics=metrics_of(look),
        acquisition=Acquisition(*(said or None for said in profile.touch[3:])) if profile.touch else Acquisition(),
        consent=consent_of(profile),
        supersedes=supersedes,
        path=path,
        merged_into=merged_into,
        mode="live" if clock.live else "backfill",
    )


_refs: Final[dict[str, PlanRef]] = {}


def _plan_ref(plan: Compiled) -> PlanRef:
    known = _refs.get(plan.hash)
    if known is None:
        known = _refs[plan.hash] = PlanRef(plan.plan.id, plan.plan.version, plan.hash)
    return known


def consent_of(profile: Profile) -> dict[str, bool]:
    """What the customer last allowed; a purpose that was never named is absent."""
    if not profile.consent:
        return {}
    return {purpose: profile.consent[purpose][3] for purpose in sorted(profile.consent)}


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
    currency = amounts_at(newest, t)[2] if newest is not None else None
    net = 0
    for order in profile.orders:
        if order.time is None or order.time > t:
            continue
        if (amounts_at(order, t)[2] if order.later else order.currency) == currency:
            net += net_at(order, t)
    return Metrics(
        orders=look.standing,
        order_days_365d=look.order_days(YEAR),
        net_revenue_minor=net,
        currency=currency,
        last_order_at=None if look.last_order is None else iso(look.last_order),
        last_seen_at=None if profile.newest is None else iso(profile.newest),
    )


def _trigger(cause: Cause) -> Trigger:
    fact = cause.fact if cause.due is None else None
    kind: Literal["event", "timer", "link", "merge", "split"] = "event" if fact is not None else "timer"
    id, name = (fact.id, type_of(fact)) if fact is not None else (None, None)
    if cause.occasion is not None and cause.why and cause.due is None:
        kind, id, name = cause.why, cause.occasion.id, cause.occasion.type
    return Trigger(
        type=kind,
        event_id=id,
        event_type=name,
        topic=UNSET if cause.topic is None else cause.topic,
        partition=UNSET if cause.partition is None else cause.partition,
        offset=cause.offset if cause.offset >= 0 else UNSET,
        due_at=None if cause.due is None else iso(cause.due),
    )


def envelope(change: Change, id: bytes, at: int, key: str, cause: Cause, rules: Rules) -> Announced:
    """A change with its CloudEvents attributes."""
    caused = cause.fact if cause.fact is not None else cause.occasion
    return Announced(
        id=uuid_text(id),
        source=f"/lifecycle/{rules.plan.plan.id}",
        time=iso(at),
        partitionkey=key,
        causationid=caused.id if caused is not None and cause.due is None else None,
        data=change,
    )
