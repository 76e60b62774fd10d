"""A plan made ready: what its conditions say, who stands where at an instant, and what must be kept for it.

Because a comparison is always *fact op constant*, the instants at which it can turn by time alone are known: that of a
fact plus the constant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, NamedTuple, cast

import msgspec

from lifestage import money
from lifestage.conditions import (
    OPS,
    All,
    Any,
    Compare,
    Condition,
    Not,
    Op,
    Plan,
    Stage,
    leaves,
    signed_leaves,
)
from lifestage.look import ABSENT, NEVER, Look, Terms, effects, fact_instants
from lifestage.moments import MAX_MS
from lifestage.operands import OPERANDS, Ahead, Turns, Value
from lifestage.profile import Profile
from lifestage.signals import DISTINCT, SCORES, SIGNALS, keeping

__all__ = [
    "OPS", "All", "Any", "Asked", "Compare", "Compiled", "Condition", "Not", "Op", "Plan", "Stage", "constant", "duration",
    "leaves", "signed_leaves", "text_of",
]  # fmt: skip

FOREVER: Final = 1 << 62
PLACES: Final = ("orders", "marks", "distinct", "said")
"""Where a profile keeps what comparisons read that age."""
PLACE_OF: Final = {
    "orders": "orders",
    "purchases": "orders",
    "subscriptions": "orders",
    **{signal.name: "marks" for signal in SIGNALS},
    **dict.fromkeys(DISTINCT, "distinct"),
    **dict.fromkeys(SCORES, "said"),
}
"""The place by what an operand reads; the others are asked always."""


def text_of(condition: Condition) -> str:
    """A condition as a person reads it: `standing_orders >= 1 and since_last_purchase >= 90d`."""
    if isinstance(condition, Compare):
        unit = OPERANDS[condition.operand].unit
        if unit == "flag" and condition.op == "==":
            return condition.operand if condition.value else f"not {condition.operand}"
        name = condition.operand if unit not in {"text", "number"} else f"trait.{condition.of}"
        window = f" in {duration(condition.window)}" if condition.window is not None else ""
        return f"{name}{window} {condition.op} {constant(condition)}"
    if isinstance(condition, Not):
        text = text_of(condition.of)
        return f"not {text}" if isinstance(condition.of, Not) or " " not in text else f"not ({text})"
    return (" and " if isinstance(condition, All) else " or ").join(map(_part, condition.of))


def _part(condition: Condition) -> str:
    text = text_of(condition)
    return f"({text})" if isinstance(condition, All | Any) else text


def constant(leaf: Compare) -> str:
    """What a fact is compared with, as it is written in a plan: `3`, `90d`, `4.5`, `500.00 EUR`, `"gold"`, `true`."""
    value, unit = leaf.value, OPERANDS[leaf.operand].unit
    if isinstance(value, str):
        return value if value in {"true", "false"} else f'"{value}"'
    if unit == "ms":
        return duration(value)
    if unit in {"score", "number"}:
        return money.major(value, 3).rstrip("0").rstrip(".")
    if unit == "money":
        return f"{money.major(value, money.DIGITS.get(leaf.of or '', 2))} {leaf.of}"
    return ("true" if value else "false") if unit == "flag" else str(value)


def duration(ms: int) -> str:
    """A fixed length of time in its largest whole unit: 90d, 12h, 5m, 30s, 250ms."""
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms and ms % length == 0:
            return f"{ms // length}{unit}"
    return f"{ms}ms"


def _source(condition: Condition) -> str:
    """A condition as a Python expression over `look`: built from operands, operators and literals, never from text."""
    if isinstance(condition, Compare):
        return _compared(condition)
    if isinstance(condition, Not):
        return f"(not {_source(condition.of)})"
    return "(" + (" and " if isinstance(condition, All) else " or ").join(map(_source, condition.of)) + ")"


def _compared(leaf: Compare) -> str:
    operand = OPERANDS[leaf.operand]
    if leaf.op not in OPS:
        raise ValueError(f"{leaf.op!r} is no comparison")
    value = operand.code(leaf)
    if operand.unit == "text":
        return f"(None is not {value} {leaf.op} {str(leaf.value)!r})"
    absent = {"ms": f"{NEVER} != ", "score": f"{ABSENT} != ", "number": f"{ABSENT} != "}.get(operand.unit, "")
    return f"({absent}{value} {leaf.op} {int(leaf.value)})"


def _made(expression: str) -> Callable[[Look], object]:
    """An expression over `look` as a function: a quarter of what a tree of closures costs."""
    made: Callable[[Look], object] = eval(f"lambda look: {expression}", {"__builtins__": {}})  # noqa: S307  # see _source
    return made


def _judge_of(stages: tuple[Stage, ...]) -> Callable[[Look], str | None]:
    """The first stage whose condition holds at a look's instant."""
    choices = "".join(f"{stage.name!r} if {_source(stage.when)} else " for stage in stages)
    return cast("Callable[[Look], str | None]", _made(f"{choices}None"))


def _truths_of(every: list[Compare]) -> Callable[[Look], tuple[bool, ...]]:
    truths = "".join(f"{_compared(leaf)}, " for leaf in every)
    return cast("Callable[[Look], tuple[bool, ...]]", _made(f"({truths})"))


def values_of(asked: list[Compare]) -> Callable[[Look], tuple[Value, ...]]:
    """The values that comparisons compare, read from a look in one go."""
    values = "".join(f"{OPERANDS[leaf.operand].code(leaf)}, " for leaf in asked)
    return cast("Callable[[Look], tuple[Value, ...]]", _made(f"({values})"))


class Asked(NamedTuple):
    """What a stage's rule is called, how it reads, and its distinct comparisons: the fixed part of evidence."""

    rule: str
    text: str
    leaves: tuple[Compare, ...]


def _said(plan: Plan) -> dict[str, object]:
    """What a plan says other than by default. By value: msgspec's `omit_defaults` asks whether it is the same object, and
    a plan that was read from a text, or came from another process, has equal ones that are not."""
    return {
        field.name: value
        for field in msgspec.structs.fields(plan)
        if (value := getattr(plan, field.name)) != field.default
    }


class Compiled:
    """A plan made ready: who stands where at t, and when that could next change by time alone."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.hash = hashlib.sha256(msgspec.json.encode(_said(plan))).hexdigest()[:16]
        self.terms = Terms(plan.day_zone, plan.min_order_net)
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
        self.between = {
            (before, stage): self._between(before, stage)
            for before in (None, *self.stage)
            for stage in (None, *self.stage)
        }
        """The ranked stages strictly between two; from nothing or from off the ladder: all below the higher one."""
        self.holding = _judge_of(plan.stages)
        """The stage whose condition holds at a look's instant, by precedence; None when no condition does."""
        self.asked = {
            stage.name: Asked(f"{plan.id}.{stage.name}", text_of(stage.when), tuple(dict.fromkeys(leaves(stage.when))))
            for stage in plan.stages
        }
        signed = [leaf for stage in plan.stages for leaf in signed_leaves(stage.when)]
        every = list(dict.fromkeys(leaf for leaf, _ in signed))
        self.truths = _truths_of(every)
        """Which of the plan's comparisons hold at a look's instant."""
        self._turns: list[tuple[Turns, Compare]] = []
        self._ahead: dict[str, list[tuple[Ahead, Compare]]] = {where: [] for where in (*PLACES, "")}
        for leaf in every:
            operand = OPERANDS[leaf.operand]
            if operand.turns is not None and operand.ahead is not None:
                self._turns.append((operand.turns, leaf))
                self._ahead[PLACE_OF.get(operand.reads, "")].append((operand.ahead, leaf))
        silences = [int(leaf.value) for leaf in every if leaf.operand == "since_last_activity"]
        self.keep = keeping(
            [(OPERANDS[leaf.operand].reads, leaf.window or 0) for leaf in every],
            [leaf.of for leaf in every if OPERANDS[leaf.operand].reads == "trait" and leaf.of is not None],
            max(1, min([*silences, plan.forget_anonymous or FOREVER])),
        )
        self.activity_matters = self._where_activity_matters()

    def _between(self, before: str | None, stage: str | None) -> tuple[str, ...]:
        low = (self.rank[before] or 0) if before is not None else 0
        high = (self.rank[stage] or 0) if stage is not None else 0
        return tuple([name for name in self.ladder if low < (self.rank[name] or 0) < high])

    def _where_activity_matters(self) -> frozenset[str | None]:
        """Stages that a later last activity could end. Silence only ever makes `since >= x` true, so a fresh activity
        can change the stage only where a condition that asks for silence holds, or where one asks for its absence."""
        asks = {
            s.name: [(x, p) for x, p in signed_leaves(s.when) if x.operand == "since_last_activity"]
            for s in self.plan.stages
        }
        plain = all(p == (x.op in (">=", ">")) for found in asks.values() for x, p in found)
        if not plain or self.plan.forward_only:
            return frozenset([*self.stage, None])
        return frozenset(name for name, found in asks.items() if found)

    def look(self, profile: Profile, t: int) -> Look:
        """The profile at instant `t`, by this plan's days and least order."""
        return Look(profile, t, self.terms)

    def stage_at(self, look: Look, before: str | None) -> str | None:
        """Where a customer stands at a look's instant who stood in `before` until then."""
        holding = self.holding(look)
        if (
            self.plan.forward_only
            and before is not None
            and (holding is None or self.height[holding] < self.height[before])
        ):
            return before
        return holding

    def judge(self, profile: Profile, t: int, before: str | None) -> str | None:
        """The stage at `t` of a profile that stood in `before` until then."""
        return self.stage_at(Look(profile, t, self.terms), before)

    def turns(self, profile: Profile, after: int, until: int | None) -> list[int]:
        """Instants in (after, until] at which the stage could change, from all facts of the profile; rising."""
        if until is not None and until <= after:
            # a second fact of the newest instant: with 6,000 orders the search took 20 ms
            return []
        found = self.aged(profile)
        found.update(fact_instants(profile))
        return sorted([at for at in found if at > after and (until is None or at <= until)])

    def aged(self, profile: Profile) -> set[int]:
        """Instants at which a comparison turns by time alone: a fact has aged, or what was known takes effect."""
        found = set(effects(profile)) if profile.subscriptions or profile.trials else set()
        for turns, leaf in self._turns:
            found.update(turns(profile, leaf))
        return found

    def next_turn(self, look: Look, now: str | None) -> tuple[int, str | None] | None:
        """The next instant after the look's at which the stage `now` changes with no further event, and to what.

        No fact of the profile may be later than the look.
        """
        t, profile = look.t, look.profile
        asked = self._ahead[""]
        # most customers have nothing in most places: asking each comparison all the same took 3 µs
        if profile.orders or profile.subscriptions:
            asked = [*asked, *self._ahead["orders"]]
        if profile.marks:
            asked = [*asked, *self._ahead["marks"]]
        if profile.distinct:
            asked = [*asked, *self._ahead["distinct"]]
        if profile.said:
            asked = [*asked, *self._ahead["said"]]
        found: set[int] = set()
        for ahead, leaf in asked:
            found.update(ahead(look, leaf))
        if profile.subscriptions or profile.trials:
            found.update(effects(profile))
        for at in sorted(found):
            if at > MAX_MS:
                # the year 10,000 cannot be written, and no clock will come to it
                break
            if at > t:
                then = self.judge(profile, at, now)
                if then != now:
                    return at, then
        return None
