"""Evidence: why a stage holds and why no earlier one does, in comparisons with the values they had.

It is a proof: from the comparisons under `operands` and `ruled_out` alone, with the plan, the stage follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import UNSET, UnsetType

from lifestage.change import Evidence, OperandSeen
from lifestage.conditions import All, Any, Compare, Condition, Not
from lifestage.look import ABSENT, NEVER, Look
from lifestage.operands import OPERANDS, Value
from lifestage.plan import Asked, Compiled, values_of
from lifestage.profile import Profile

POSITIONS_MAX: Final = 10


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
    proof = _proved.get((plan.hash, stage, truths)) or _prove(plan, stage, look, truths)
    seen = [
        shown.known.get(value) or show(shown, value)
        for shown, value in zip(proof.shown, proof.values(look), strict=True)
    ]
    return Evidence(
        proof.rule,
        proof.text,
        tuple(seen[: proof.told]),
        positions(plan.asked[stage].leaves, look) if located and stage is not None else (),
        tuple(seen[proof.told :]),
    )


class Shown(NamedTuple):
    """A comparison as evidence shows it, but for the value."""

    name: str
    unit: str
    op: str
    threshold: int | float | bool | str
    window_s: int | float | None
    currency: str | UnsetType
    known: dict[Value, OperandSeen]
    """What was shown before, by value: flags and small counts come again and again."""


class Proof(NamedTuple):
    """What is shown of a stage: its rule, the comparisons of the rule, those that rule out others, and how both are read."""

    rule: str
    text: str
    shown: tuple[Shown, ...]
    told: int
    """How many of these are of the rule."""
    values: Callable[[Look], tuple[Value, ...]]


_PROVED_MAX: Final = 10_000
_proved: Final[dict[tuple[str, str | None, tuple[bool, ...]], Proof]] = {}
"""What is shown of a plan's stage, by which comparisons hold: some hundred combinations come up, and a proof costs 50 µs."""


def _prove(plan: Compiled, stage: str | None, look: Look, truths: tuple[bool, ...]) -> Proof:
    holding = Seen(look)
    chosen: dict[Compare, None] = {}
    for earlier in plan.plan.stages:
        if earlier.name == stage:
            break
        if not holding.holds(earlier.when):
            holding.proof(earlier.when, False, chosen)  # read as: the proof that it does not hold
    rule, text, told = Asked("none", "no stage's condition holds", ()) if stage is None else plan.asked[stage]
    known = {(leaf.operand, leaf.window, leaf.of) for leaf in told}
    others = []
    for leaf in chosen:
        # a value decides every comparison with it, so it is told once
        if (leaf.operand, leaf.window, leaf.of) not in known:
            known.add((leaf.operand, leaf.window, leaf.of))
            others.append(leaf)
    if len(_proved) >= _PROVED_MAX:
        _proved.clear()
    proof = _proved[plan.hash, stage, truths] = Proof(
        rule, text, tuple(map(shown, [*told, *others])), len(told), values_of([*told, *others])
    )
    return proof


def shown(leaf: Compare) -> Shown:
    """A comparison made ready to be shown: lengths of time in seconds, scores as they are given."""
    operand, threshold = OPERANDS[leaf.operand], leaf.value
    name = f"trait.{leaf.of}" if operand.reads == "trait" else leaf.operand
    window = None if leaf.window is None else seconds(leaf.window)
    currency = leaf.of if operand.unit == "money" and leaf.of is not None else UNSET
    if operand.unit == "flag":
        return Shown(name, operand.unit, leaf.op, bool(threshold), window, currency, {})
    if isinstance(threshold, int) and operand.unit in {"ms", "score", "number"}:
        return Shown(name, operand.unit, leaf.op, seconds(threshold), window, currency, {})
    return Shown(name, operand.unit, leaf.op, threshold, window, currency, {})


_KNOWN_MAX: Final = 64


def show(shown: Shown, value: Value) -> OperandSeen:
    """A comparison with the value it has; null where there is nothing to say."""
    unit = shown.unit
    told: int | float | bool | str | None = value
    if unit == "flag":
        told = bool(value)
    elif isinstance(value, int) and unit not in {"count", "money"}:
        absent = NEVER if unit == "ms" else ABSENT
        told = None if value == absent else seconds(value)
    made = OperandSeen(shown.name, told, shown.op, shown.threshold, shown.window_s, shown.currency)
    if len(shown.known) < _KNOWN_MAX:
        shown.known[value] = made
    return made


def seconds(thousandths: int) -> int | float:
    """ms as seconds, thousandths as units; whole where they are."""
    return thousandths // 1000 if thousandths % 1000 == 0 else thousandths / 1000


def positions(asked: tuple[Compare, ...], look: Look) -> tuple[int, ...]:
    """Log offsets of the newest facts that comparisons read, at most ten; none offline."""
    found = set[int]()
    ledger_read = False
    for leaf in asked:
        if OPERANDS[leaf.operand].reads not in _OF_LEDGER:
            found.update(_offsets(leaf, look))
        elif not ledger_read:
            # the same for each of these, and the largest part of it
            ledger_read = True
            found.update(_ledger_offsets(look.profile, look.t))
    found.discard(-1)
    return tuple(sorted(found)[-POSITIONS_MAX:])


_OF_LEDGER: Final = frozenset({"orders", "purchases", "subscriptions"})


def _offsets(leaf: Compare, look: Look) -> list[int]:
    profile, t, reads = look.profile, look.t, OPERANDS[leaf.operand].reads
    if leaf.operand == "reached":
        return [profile.reach_offset]
    if reads == "acquired":
        return [profile.acquired_offset]
    mark = profile.marks.get(reads)
    if mark is not None:
        after = -1 if leaf.window is None else t - leaf.window
        return [offset for at, offset in zip(mark.kept, mark.offsets, strict=True) if after < at <= t]
    said = look.latest(f"trait.{leaf.of}" if reads == "trait" else reads)
    return [] if said is None else [said.offset]


def _ledger_offsets(profile: Profile, t: int) -> list[int]:
    found = [order.offset for order in profile.orders if order.time is not None and order.time <= t]
    for subscription in profile.subscriptions:
        found += [act.offset for act in subscription.acts if act.time <= t]
    return found
