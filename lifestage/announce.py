"""How a move becomes a change: its kind, direction, evidence and document; and corrections of what was announced."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

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
    change_id,
    uuid_text,
)
from lifestage.facts import TYPES, Fact, OrderCancelled, OrderRefunded
from lifestage.look import NEVER, OPERANDS, Look
from lifestage.moments import iso
from lifestage.plan import Compare, Compiled, leaves, text_of
from lifestage.profile import Move, Profile

YEAR = 365 * 86_400_000
POSITIONS_MAX = 10
LONG_AGO = -(1 << 60)
"""The clock before any tick, ms."""


class Rules(NamedTuple):
    """What a step goes by, the same for all profiles of a partition."""

    plan: Compiled
    announce_anonymous: bool = False
    lateness: int = 7 * 86_400_000
    id_key: bytes = b"lifestage"


class Clock(NamedTuple):
    """The tick in force: all facts before `time` (ms) are believed to be in the log."""

    time: int = LONG_AGO
    live: bool = False


class Cause(NamedTuple):
    """The log record at hand. `due` is set where time, not the record's fact, brings the move."""

    fact: Fact | None
    topic: str | None = None
    partition: int | None = None
    offset: int = -1
    due: int | None = None

    def timer(self, due: int) -> Cause:
        """The same record as the occasion on which a timer's move is noticed."""
        return self._replace(due=due)


class Tally(Protocol):
    """What a step reports besides the profile."""

    forgotten: int
    dedupe_overflow: int

    def change(self, announced: Announced) -> None:
        """A change to send."""

    def enter(self, stage: str | None) -> None:
        """A profile came to stand in `stage`."""

    def leave(self, stage: str | None) -> None:
        """A profile no longer stands in `stage`."""

    def money(self, currency: str, orders: int, gross_minor: int, net_minor: int) -> None:
        """The company's sums move by this much."""


def earlier(a: int | None, b: int | None) -> int | None:
    """The earlier of two instants, either of which may be absent."""
    return a if b is None else b if a is None else min(a, b)


def is_hidden(key: str, rules: Rules) -> bool:
    """Whether the profile's moves are kept to ourselves."""
    return not rules.announce_anonymous and key.startswith("anon:")


def forget_at(profile: Profile, key: str, t: int, rules: Rules) -> int | None:
    """When an anonymous visitor without an order will be forgotten, if that is after `t`."""
    silence = rules.plan.plan.forget_anonymous
    if silence is None or profile.orders or profile.seq or profile.newest is None or not is_hidden(key, rules):
        return None
    at = profile.newest + silence
    return at if at > t else None


def move(
    profile: Profile, key: str, at: int, stage: str | None, cause: Cause, clock: Clock, rules: Rules, tally: Tally
) -> None:
    """Put one move at the end of the path, and announce it with its ordinary kind."""
    before = profile.stage
    since = profile.moves[-1].at if profile.moves else None
    hidden = is_hidden(key, rules)
    seq = profile.seq if hidden else profile.seq + 1
    plan = rules.plan
    id = b"" if hidden else change_id(plan.plan.id, plan.hash, key, seq, at, before, stage)
    tally.leave(before)
    tally.enter(stage)
    profile.seq, profile.stage = seq, stage
    profile.moves.append(Move(at, stage, seq, id))
    if len(profile.moves) > 8:
        _trim(profile, clock.time - rules.lateness)
    turn = _settle(profile, key, at, rules)
    if hidden:
        return
    kind = _kind(plan, before, stage, cause)
    change = _document(
        profile, key, at, before, kind, cause, clock, rules, turn,
        time_in_previous=None if since is None else at - since,
        skipped=_skipped(plan, before, stage) if kind in ("entry", "advance", "skip") else (),
    )  # fmt: skip
    tally.change(_envelope(change, id, at, key, cause, rules))


def _settle(profile: Profile, key: str, t: int, rules: Rules) -> tuple[int, str | None] | None:
    turn = rules.plan.next_turn(profile, t)
    profile.due = earlier(turn[0] if turn else None, forget_at(profile, key, t, rules))
    return turn


def correct_from(
    profile: Profile,
    key: str,
    since: int,
    until: int,
    cause: Cause,
    clock: Clock,
    rules: Rules,
    tally: Tally,
    present_only: bool = False,
) -> None:
    """Derive the path anew in [since, until] and announce the difference from what was announced.

    Only additions: each with its ordinary kind. Anything that no longer holds: one correction. With `present_only`
    (a fact older than the lateness) the difference is one correction, too.
    """
    tail = [m for m in profile.moves if m.at >= since]
    earlier_moves = profile.moves[: len(profile.moves) - len(tail)]
    stage = earlier_moves[-1].stage if earlier_moves else None
    path: list[tuple[int, str | None]] = []
    for at in [since, *rules.plan.turns(profile, since, until)]:
        now = rules.plan.judge(profile, at)
        if now != stage:
            path.append((at, now))
            stage = now
    same = 0
    while same < len(tail) and same < len(path) and (tail[same].at, tail[same].stage) == path[same]:
        same += 1
    if same == len(tail) and not (present_only and len(path) > same):
        for at, now in path[same:]:
            move(profile, key, at, now, cause if at == since else cause.timer(at), clock, rules, tally)
        if same == len(path):
            _settle(profile, key, until, rules)
        return
    _correct(profile, key, tail[same:], path[same:], since, until, cause, clock, rules, tally)


def _correct(
    profile: Profile,
    key: str,
    gone: list[Move],
    path: list[tuple[int, str | None]],
    since: int,
    until: int,
    cause: Cause,
    clock: Clock,
    rules: Rules,
    tally: Tally,
) -> None:
    hidden = is_hidden(key, rules)
    ids = list(dict.fromkeys(m.id for m in gone))
    # moves of a superseded correction that still hold are told again by this one
    restated = [(m.at, m.stage) for m in profile.moves if m.id in ids and m not in gone] if not hidden else []
    kept = [m for m in profile.moves if m not in gone and (hidden or m.id not in ids)]
    steps = [*restated, *path]
    before = profile.stage
    stage = steps[-1][1] if steps else kept[-1].stage if kept else None
    entered = steps[-1][0] if steps else kept[-1].at if kept else since
    seq = profile.seq if hidden else profile.seq + 1
    plan = rules.plan
    id = b"" if hidden else change_id(plan.plan.id, plan.hash, key, seq, entered, before, stage)
    tally.leave(before)
    tally.enter(stage)
    profile.seq, profile.stage = seq, stage
    profile.moves = [*kept, *(Move(at, now, seq, id) for at, now in steps)]
    turn = _settle(profile, key, until, rules)
    if hidden:
        return
    told: list[PathStep] = []
    previous = kept[-1].stage if kept else None
    for at, now in steps:
        told.append(PathStep(now, previous, iso(at)))
        previous = now
    change = _document(
        profile, key, entered, before, "correction", cause, clock, rules, turn,
        seen_at=until, supersedes=tuple(uuid_text(raw) for raw in ids), path=tuple(told),
    )  # fmt: skip
    tally.change(_envelope(change, id, entered, key, cause, rules))


def _trim(profile: Profile, horizon: int) -> None:
    """Fold moves older than the horizon into sums; the last of them stays, as the stage to start from."""
    moves = profile.moves
    last_old = -1
    for index, past in enumerate(moves):
        if past.at < horizon:
            last_old = index
    if last_old < 1:
        return
    for past, then in zip(moves[:last_old], moves[1 : last_old + 1], strict=True):
        first, times, spent = profile.before.get(past.stage or "", (past.at, 0, 0))
        profile.before[past.stage or ""] = (min(first, past.at), times + 1, spent + then.at - past.at)
    del moves[:last_old]


def _kind(plan: Compiled, before: str | None, stage: str | None, cause: Cause) -> Kind:
    """The first that fits, in the order of the semantics page."""
    if before is None:
        return "entry"
    if cause.due is None and isinstance(cause.fact, OrderRefunded | OrderCancelled):
        return "reversal"
    entering = plan.stage[stage].enter_kind if stage is not None else None
    if entering is not None:
        return entering  # type: ignore[return-value]
    leaving = plan.stage[before].leave_kind
    if leaving is not None:
        return leaving  # type: ignore[return-value]
    steps = len(_between(plan, before, stage))
    if plan.height[before] > (plan.height[stage] if stage is not None else -1):
        return "demotion"
    return "skip" if steps else "advance"


def _between(plan: Compiled, before: str | None, stage: str | None) -> tuple[str, ...]:
    low = plan.rank[before] if before is not None else None
    high = plan.rank[stage] if stage is not None else None
    if high is None:
        return ()
    return tuple(name for name in plan.ladder if (low or 0) < (plan.rank[name] or 0) < high)


def _skipped(plan: Compiled, before: str | None, stage: str | None) -> tuple[str, ...]:
    return _between(plan, before, stage)


def _direction(plan: Compiled, before: str | None, stage: str | None) -> Literal["forward", "backward", "none"]:
    if before == stage:
        return "none"
    if before is None or stage is None:
        return "forward" if before is None else "backward"
    return "forward" if plan.height[stage] > plan.height[before] else "backward"


def _document(
    profile: Profile,
    key: str,
    at: int,
    before: str | None,
    kind: Kind,
    cause: Cause,
    clock: Clock,
    rules: Rules,
    turn: tuple[int, str | None] | None,
    *,
    seen_at: int | None = None,
    time_in_previous: int | None = None,
    skipped: tuple[str, ...] = (),
    supersedes: tuple[str, ...] = (),
    path: tuple[PathStep, ...] = (),
) -> Change:
    plan, stage = rules.plan, profile.stage
    look = Look(profile, at if seen_at is None else seen_at, plan.plan.day_zone)
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
        evidence=_evidence(plan, stage, look),
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
    if profile.consent is None:
        return {}
    said = zip(("marketing", "analytics"), profile.consent[1:], strict=True)
    return {name: bool(answer) for name, answer in said if answer >= 0}


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
    known = [o for o in profile.orders if o.time is not None and o.time <= t]
    currency = max(known, key=lambda o: (o.time, o.id)).currency if known else None
    net = 0
    for order in known:
        if order.currency == currency and not (order.cancelled_at is not None and order.cancelled_at <= t):
            net += max(0, order.net_minor - sum(r.amount_minor for r in order.refunds if r.time <= t))
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
        topic=cause.topic,
        partition=cause.partition,
        offset=cause.offset if cause.offset >= 0 else None,
        due_at=None if cause.due is None else iso(cause.due),
    )


def _evidence(plan: Compiled, stage: str | None, look: Look) -> Evidence:
    if stage is None:
        return Evidence("none", "no stage's condition holds", ())
    condition = plan.stage[stage].when
    asked = list(dict.fromkeys(leaves(condition)))
    seen = tuple(_operand(leaf, look) for leaf in asked)
    return Evidence(f"{plan.plan.id}.{stage}", text_of(condition), seen, _positions(asked, look))


def _operand(leaf: Compare, look: Look) -> OperandSeen:
    operand = OPERANDS[leaf.operand]
    value = operand.value(look, leaf.window)
    window = None if leaf.window is None else _seconds(leaf.window)
    if operand.unit == "ms":
        return OperandSeen(leaf.operand, None if value == NEVER else _seconds(value), leaf.op, _seconds(leaf.value))
    if operand.unit == "flag":
        return OperandSeen(leaf.operand, bool(value), leaf.op, bool(leaf.value), window)
    return OperandSeen(leaf.operand, value, leaf.op, leaf.value, window)


def _positions(asked: list[Compare], look: Look) -> tuple[int, ...]:
    """Log offsets of the newest facts that the operands read, at most ten."""
    names = {leaf.operand for leaf in asked}
    profile, found = look.profile, set[int]()
    if names & {"standing_orders", "order_days", "since_last_purchase"}:
        found.update(o.offset for o in profile.orders if o.time is not None and o.time <= look.t)
    if "reached" in names:
        found.add(profile.reach_offset)
    if "acquired" in names:
        found.add(profile.acquired_offset)
    return tuple(sorted(offset for offset in found if offset >= 0)[-POSITIONS_MAX:])


def _envelope(change: Change, id: bytes, at: int, key: str, cause: Cause, rules: Rules) -> Announced:
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
