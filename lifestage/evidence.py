"""Evidence: why a stage holds and why no earlier one does, in comparisons with the values they had.

It is a proof: from the comparisons under `operands` and `ruled_out` alone, with the plan, the stage follows.
"""

from __future__ import annotations

from msgspec import UNSET

from lifestage.change import Evidence, OperandSeen
from lifestage.conditions import All, Any, Compare, Condition, Not
from lifestage.look import ABSENT, NEVER, Look
from lifestage.operands import OPERANDS
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


def evidence_of(plan: Compiled, stage: str | None, look: Look) -> Evidence:
    """Why `stage` holds at the look's instant: its rule, and what rules out each stage before it."""
    seen = Seen(look)
    ruled_out: dict[Compare, None] = {}
    for earlier in plan.plan.stages:
        if earlier.name == stage:
            break
        if not seen.holds(earlier.when):
            seen.proof(earlier.when, False, ruled_out)  # read as: the proof that it does not hold
    if stage is None:
        return Evidence("none", "no stage's condition holds", (), (), _others(ruled_out, (), look))
    asked = plan.asked[stage]
    return Evidence(
        asked.rule,
        asked.text,
        tuple([operand_seen(leaf, look) for leaf in asked.leaves]),
        positions(asked.leaves, look),
        _others(ruled_out, asked.leaves, look),
    )


def _others(chosen: dict[Compare, None], told: tuple[Compare, ...], look: Look) -> tuple[OperandSeen, ...]:
    """The chosen comparisons whose value is not told yet: a value decides every comparison with it."""
    known = {(leaf.operand, leaf.window, leaf.of) for leaf in told}
    found = []
    for leaf in chosen:
        asked = (leaf.operand, leaf.window, leaf.of)
        if asked not in known:
            known.add(asked)
            found.append(operand_seen(leaf, look))
    return tuple(found)


def operand_seen(leaf: Compare, look: Look) -> OperandSeen:
    """A comparison with the value it has at the look's instant; lengths of time in seconds, scores as they are given."""
    operand = OPERANDS[leaf.operand]
    value, threshold = operand.value(look, leaf), leaf.value
    window = None if leaf.window is None else seconds(leaf.window)
    if operand.unit == "flag":
        return OperandSeen(leaf.operand, bool(value), leaf.op, bool(threshold), window)
    if operand.unit == "count":
        return OperandSeen(leaf.operand, value, leaf.op, threshold, window)
    if operand.unit == "money":
        return OperandSeen(leaf.operand, value, leaf.op, threshold, window, leaf.of or UNSET)
    if operand.unit == "text":
        return OperandSeen(f"trait.{leaf.of}", value, leaf.op, threshold)
    name = f"trait.{leaf.of}" if operand.unit == "number" else leaf.operand
    absent = NEVER if operand.unit == "ms" else ABSENT
    assert isinstance(value, int)
    assert isinstance(threshold, int)
    return OperandSeen(name, None if value == absent else seconds(value), leaf.op, seconds(threshold), window)


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
