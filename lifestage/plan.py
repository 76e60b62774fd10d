"""A plan as data: stages, their conditions, windows; and what is computed from it once.

Conditions are trees of `Compare`, `All`, `Any` and `Not` over the operands of `lifestage.look`. Because a comparison is
always *operand op constant*, the instants at which it can turn by time alone are known: that of a fact plus the constant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from lifestage.look import NEVER, OPERANDS, Look, Operand, fact_instants
from lifestage.profile import Profile

Op = Literal["==", "!=", ">=", ">", "<=", "<"]
OPS = frozenset({"==", "!=", ">=", ">", "<=", "<"})


class Compare(msgspec.Struct, frozen=True, tag="compare"):
    """`operand op value`, over all time or over the window (t − window, t] in ms."""

    operand: str
    op: Op
    value: int
    window: int | None = None


class All(msgspec.Struct, frozen=True, tag="all"):
    """Every one holds."""

    of: tuple[Condition, ...]


class Any(msgspec.Struct, frozen=True, tag="any"):
    """At least one holds."""

    of: tuple[Condition, ...]


class Not(msgspec.Struct, frozen=True, tag="not"):
    """It does not hold."""

    of: Condition


Condition = Compare | All | Any | Not


class Stage(msgspec.Struct, frozen=True):
    """A place where a customer can stand. `rank` None: not on the ladder (churned, at_risk, dormant)."""

    name: str
    rank: int | None
    when: Condition
    enter_kind: str | None = None
    """Kind of a change into it, where it is not one between ranks: at_risk, churn, dormancy."""
    leave_kind: str | None = None
    """Kind of a change from it to a ranked stage: recovery, reactivation."""


class Plan(msgspec.Struct, frozen=True):
    """One company's stage definition. `stages` in order of precedence: the first whose condition holds."""

    id: str
    version: int
    stages: tuple[Stage, ...]
    grace: int = 0
    """Timers fire this long (ms) after their instant; they are stamped with the instant all the same."""
    day_zone: int = 0
    """Fixed offset (ms) of the days that order-days are counted in."""
    forget_anonymous: int | None = 30 * 86_400_000
    """An anonymous visitor without an order is forgotten after this much silence (ms)."""


def signed_leaves(condition: Condition, positive: bool = True) -> list[tuple[Compare, bool]]:
    """The comparisons of a condition, left to right, each with whether an even number of nots stands over it."""
    if isinstance(condition, Compare):
        return [(condition, positive)]
    if isinstance(condition, Not):
        return signed_leaves(condition.of, not positive)
    return [leaf for part in condition.of for leaf in signed_leaves(part, positive)]


def leaves(condition: Condition) -> list[Compare]:
    """The comparisons of a condition, left to right."""
    return [leaf for leaf, _ in signed_leaves(condition)]


def text_of(condition: Condition) -> str:
    """A condition as a person reads it: `standing_orders >= 1 and since_last_purchase >= 90d`."""
    if isinstance(condition, Compare):
        operand = OPERANDS[condition.operand]
        if operand.unit == "flag" and condition.op == "==":
            return condition.operand if condition.value else f"not {condition.operand}"
        value = duration(condition.value) if operand.unit == "ms" else str(condition.value)
        window = f"[{duration(condition.window)}]" if condition.window is not None else ""
        return f"{condition.operand}{window} {condition.op} {value}"
    if isinstance(condition, Not):
        return f"not {_in_brackets(condition.of)}"
    return (" and " if isinstance(condition, All) else " or ").join(_in_brackets(part) for part in condition.of)


def _in_brackets(condition: Condition) -> str:
    text = text_of(condition)
    return text if isinstance(condition, Compare) else f"({text})"


def duration(ms: int) -> str:
    """A fixed length of time in its largest whole unit: 90d, 12h, 5m, 30s, 250ms."""
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms and ms % length == 0:
            return f"{ms // length}{unit}"
    return f"{ms}ms"


def _source(condition: Condition) -> str:
    """A condition as a Python expression over `look`: built from operands, operators and integers, never from text."""
    if isinstance(condition, Compare):
        operand = OPERANDS[condition.operand]
        value = operand.code.format(window=condition.window)
        if condition.op not in OPS:
            raise ValueError(f"{condition.op!r} is no comparison")
        never = f"{NEVER} != " if operand.unit == "ms" else ""
        return f"({never}{value} {condition.op} {int(condition.value)})"
    if isinstance(condition, Not):
        return f"(not {_source(condition.of)})"
    return "(" + (" and " if isinstance(condition, All) else " or ").join(map(_source, condition.of)) + ")"


def _judge_of(stages: tuple[Stage, ...]) -> Callable[[Look], str | None]:
    """The stage of a look as one expression, the first condition that holds: a quarter of what a tree of closures costs."""
    choices = "".join(f"{stage.name!r} if {_source(stage.when)} else " for stage in stages)
    judge: Callable[[Look], str | None] = eval(f"lambda look: {choices}None", {"__builtins__": {}})  # noqa: S307  # see _source
    return judge


class Asked(NamedTuple):
    """What a stage's rule is called, how it reads, and its distinct comparisons: the fixed part of evidence."""

    rule: str
    text: str
    leaves: tuple[Compare, ...]


class Compiled:
    """A plan made ready: who stands where at t, and when that could next change by time alone."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.hash = hashlib.sha256(msgspec.json.encode(plan, order="deterministic")).hexdigest()[:16]
        self.stage = {stage.name: stage for stage in plan.stages}
        self.rank = {stage.name: stage.rank for stage in plan.stages}
        # Off the ladder the earlier in precedence is the worse, and all are below the ladder.
        self.height = {
            stage.name: stage.rank if stage.rank is not None else index - len(plan.stages)
            for index, stage in enumerate(plan.stages)
        }
        self.ladder = tuple(
            stage.name for stage in sorted((s for s in plan.stages if s.rank is not None), key=lambda s: s.rank or 0)
        )
        self.stage_at = _judge_of(plan.stages)
        """The stage at a look's instant, by precedence; None when no condition holds."""
        self.asked = {
            stage.name: Asked(f"{plan.id}.{stage.name}", text_of(stage.when), tuple(dict.fromkeys(leaves(stage.when))))
            for stage in plan.stages
        }
        signed = [leaf for stage in plan.stages for leaf in signed_leaves(stage.when)]
        self._aging: list[tuple[Operand, int]] = sorted(
            {(OPERANDS[leaf.operand], _age(leaf)) for leaf, _ in signed if _ages(leaf)}, key=lambda pair: (pair[0].name, pair[1])
        )  # fmt: skip
        silences = [leaf.value for leaf, _ in signed if leaf.operand == "since_last_activity"]
        self.activity_gap = min([*silences, plan.forget_anonymous or 1 << 62])
        self.activity_matters = self._where_activity_matters()

    def _where_activity_matters(self) -> frozenset[str | None]:
        """Stages that a later last activity could end. Silence only ever makes `since >= x` true, so a fresh activity
        can change the stage only where a condition that asks for silence holds, or where one asks for its absence."""
        asks = {
            s.name: [(x, p) for x, p in signed_leaves(s.when) if x.operand == "since_last_activity"]
            for s in self.plan.stages
        }
        plain = all(p == (x.op in (">=", ">")) for found in asks.values() for x, p in found)
        if not plain:
            return frozenset([*self.stage, None])
        return frozenset(name for name, found in asks.items() if found)

    def look(self, profile: Profile, t: int) -> Look:
        """The profile at instant `t`, by this plan's days."""
        return Look(profile, t, self.plan.day_zone)

    def judge(self, profile: Profile, t: int) -> str | None:
        """The stage at `t`."""
        return self.stage_at(Look(profile, t, self.plan.day_zone))

    def turns(self, profile: Profile, after: int, until: int | None) -> list[int]:
        """Instants in (after, until] at which the stage could change, from all facts of the profile; rising."""
        found = {at for at in fact_instants(profile) if at > after}
        for operand, age in self._aging:
            found.update(at + age for at in operand.instants(profile) if at + age > after)
        return sorted(at for at in found if until is None or at <= until)

    def next_turn(self, look: Look, now: str | None) -> tuple[int, str | None] | None:
        """The next instant after the look's at which the stage `now` changes with no further event, and to what.

        No fact of the profile may be later than the look.
        """
        found = {since + age for operand, age in self._aging for since in operand.ahead(look)}
        t, profile = look.t, look.profile
        for at in sorted(found):
            if at > t:
                then = self.judge(profile, at)
                if then != now:
                    return at, then
        return None


def _ages(leaf: Compare) -> bool:
    return OPERANDS[leaf.operand].ages or leaf.window is not None


def _age(leaf: Compare) -> int:
    if leaf.window is not None:
        return leaf.window
    # `since > x` turns one ms after `since >= x`
    return leaf.value + 1 if leaf.op in (">", "<=") else leaf.value
