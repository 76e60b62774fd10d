"""Evidence: why a stage holds and why no earlier one does, in comparisons with the values they had.

It is a proof: from the comparisons under `operands` and `ruled_out` alone, with the plan, the stage follows.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import UNSET

from lifestage.change import Evidence, OperandSeen
from lifestage.conditions import All, Any, Compare, Condition, Not
from lifestage.look import ABSENT, NEVER, Look
from lifestage.operands import OPERANDS, Operand
from lifestage.plan import Compiled
from lifestage.profile import Profile

POSITIONS_MAX = 10


class Seen:
    """The truth of comparisons at one look, each worked out once."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self._truth: dict[Compare, bool] = {}

    def holds(self, condition: Condition) -> bool:
        """Whether a condition holds at the look's instant."""
        if isinstance(condition, Compare):
            known = self._truth.get(condition)
            if known is None:
                known = self._truth[condition] = compare(
                    condition, OPERANDS[condition.operand].value(self.look, condition)
                )
            return known
        if isinstance(condition, Not):
            return not self.holds(condition.of)
        wanted = isinstance(condition, Any)
        for part in condition.of:
            if self.holds(part) is wanted:
                return wanted
        return not wanted

    def proof(self, condition: Condition, wanted: bool, chosen: dict[Compare, None]) -> None:
        """Add to `chosen` comparisons from which it follows that a condition holds, or with `wanted` false that it does not."""
        if isinstance(condition, Compare):
            chosen[condition] = None
        elif isinstance(condition, Not):
            self.proof(condition.of, not wanted, chosen)
        elif isinstance(condition, All) is wanted:
            for part in condition.of:
                self.proof(part, wanted, chosen)
        else:
            # one part is enough: rather one that is shown by what is chosen already
            parts = [part for part in condition.of if self.holds(part) is wanted]
            self.proof(next((part for part in parts if part in chosen), parts[0]), wanted, chosen)


def compare(leaf: Compare, value: int | str | None) -> bool:
    """Whether a comparison holds for a value; none does where there is nothing to say."""
    if value is None or value == ABSENT or (value == NEVER and OPERANDS[leaf.operand].unit == "ms"):
        return False
    if leaf.op == "==":
        return value == leaf.value
    if leaf.op == "!=":
        return value != leaf.value
    if isinstance(value, str) or isinstance(leaf.value, str):
        return False
    if leaf.op == ">=":
        return value >= leaf.value
    if leaf.op == ">":
        return value > leaf.value
    return value <= leaf.value if leaf.op == "<=" else value < leaf.value


def evidence_of(plan: Compiled, stage: str | None, look: Look, located: bool = False) -> Evidence:
    """Why `stage` holds at the look's instant: its rule, and what rules out each stage before it.

    `located`: with log positions of the facts.
    """
    truths = plan.truths(look)
    told, others = _proved.get((plan.hash, stage, truths)) or _prove(plan, stage, look, truths)
    rule, text = ("none", "no stage's condition holds") if stage is None else plan.asked[stage][:2]
    return Evidence(
        rule,
        text,
        tuple([seen(shown, look) for shown in told]),
        positions(plan.asked[stage].leaves, look) if located and stage is not None else (),
        tuple([seen(shown, look) for shown in others]),
    )


class Shown(NamedTuple):
    """A comparison as evidence shows it, but for the value."""

    leaf: Compare
    operand: Operand
    name: str
    threshold: int | float | bool | str
    window_s: int | float | None


_PROVED_MAX = 10_000
_proved: dict[tuple[str, str | None, tuple[bool, ...]], tuple[tuple[Shown, ...], tuple[Shown, ...]]] = {}
"""What is shown of a plan's stage, by which comparisons hold: some hundred combinations come up, and a proof costs 50 µs."""


def _prove(
    plan: Compiled, stage: str | None, look: Look, truths: tuple[bool, ...]
) -> tuple[tuple[Shown, ...], tuple[Shown, ...]]:
    holding = Seen(look)
    chosen: dict[Compare, None] = {}
    for earlier in plan.plan.stages:
        if earlier.name == stage:
            break
        if not holding.holds(earlier.when):
            holding.proof(earlier.when, False, chosen)  # read as: the proof that it does not hold
    told = () if stage is None else plan.asked[stage].leaves
    known = {(leaf.operand, leaf.window, leaf.of) for leaf in told}
    others = []
    for leaf in chosen:
        # a value decides every comparison with it, so it is told once
        if (leaf.operand, leaf.window, leaf.of) not in known:
            known.add((leaf.operand, leaf.window, leaf.of))
            others.append(shown(leaf))
    if len(_proved) >= _PROVED_MAX:
        _proved.clear()
    proved = _proved[plan.hash, stage, truths] = (tuple([shown(leaf) for leaf in told]), tuple(others))
    return proved


def shown(leaf: Compare) -> Shown:
    """A comparison made ready to be shown: lengths of time in seconds, scores as they are given."""
    operand, threshold = OPERANDS[leaf.operand], leaf.value
    name = f"trait.{leaf.of}" if operand.reads == "trait" else leaf.operand
    window = None if leaf.window is None else seconds(leaf.window)
    if operand.unit == "flag":
        return Shown(leaf, operand, name, bool(threshold), window)
    if isinstance(threshold, int) and operand.unit in {"ms", "score", "number"}:
        return Shown(leaf, operand, name, seconds(threshold), window)
    return Shown(leaf, operand, name, threshold, window)


def seen(shown: Shown, look: Look) -> OperandSeen:
    """A comparison with the value it has at the look's instant; null where there is nothing to say."""
    leaf, operand, name, threshold, window_s = shown
    value = operand.value(look, leaf)
    unit = operand.unit
    if unit == "flag":
        return OperandSeen(name, bool(value), leaf.op, threshold, window_s)
    if unit == "money":
        return OperandSeen(name, value, leaf.op, threshold, window_s, leaf.of or UNSET)
    if isinstance(value, int) and unit != "count":
        absent = NEVER if unit == "ms" else ABSENT
        return OperandSeen(name, None if value == absent else seconds(value), leaf.op, threshold, window_s)
    return OperandSeen(name, value, leaf.op, threshold, window_s)


def seconds(thousandths: int) -> int | float:
    """ms as seconds, thousandths as units; whole where they are."""
    return thousandths // 1000 if thousandths % 1000 == 0 else thousandths / 1000


def positions(asked: tuple[Compare, ...], look: Look) -> tuple[int, ...]:
    """Log offsets of the newest facts that comparisons read, at most ten; none offline."""
    found = set[int]()
    for leaf in asked:
        found.update(_offsets(leaf, look))
    found.discard(-1)
    return tuple(sorted(found)[-POSITIONS_MAX:])


def _offsets(leaf: Compare, look: Look) -> list[int]:
    profile, t, reads = look.profile, look.t, OPERANDS[leaf.operand].reads
    if leaf.operand == "reached":
        return [profile.reach_offset]
    if reads == "acquired":
        return [profile.acquired_offset]
    if reads == "orders":
        return _order_offsets(profile, t)
    if reads in {"purchases", "subscriptions"}:
        return [*_order_offsets(profile, t), *(a.offset for s in profile.subscriptions for a in s.acts if a.time <= t)]
    mark = profile.marks.get(reads)
    if mark is not None:
        after = -1 if leaf.window is None else t - leaf.window
        return [offset for at, offset in zip(mark.kept, mark.offsets, strict=True) if after < at <= t]
    said = look.latest(f"trait.{leaf.of}" if reads == "trait" else reads)
    return [] if said is None else [said.offset]


def _order_offsets(profile: Profile, t: int) -> list[int]:
    return [order.offset for order in profile.orders if order.time is not None and order.time <= t]
