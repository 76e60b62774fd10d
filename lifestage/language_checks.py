"""What is well written and still makes no sense: a condition that can never hold, a stage that is never reached.

A finding is a proof, never a guess: every value that a fact may have is tried, as one value for each stretch between
the constants it is compared with, and of the relations between facts only those that hold for every profile are used.
Where the search would take too long nothing is found.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lifestage.language_conditions import Node
from lifestage.language_relations import Variable, fits, possible
from lifestage.language_words import Place, PlanError
from lifestage.look import ABSENT, NEVER
from lifestage.operands import OPERANDS, Value
from lifestage.plan import All, Compare, Condition, Not, leaves
from lifestage.signals import SCALES

__all__ = ["can_hold", "check", "possible"]

TRIES_MAX = 20_000
"""Steps of one search: about 50 ms. A shipped stage needs a dozen."""
PATIENCE = 300_000
"""Comparisons looked at for one plan: half a second. clm5 needs a hundredth of it."""

Truth = Callable[[Mapping[Variable, Value]], bool | None]
"""Whether a condition holds as far as values are given; None while that is open."""
_OPEN: Any = object()
"""Stands for a value that is not given yet."""

_COMPARE: dict[str, Callable[..., bool]] = {
    "==": operator.eq, "!=": operator.ne, ">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt,
}  # fmt: skip


def check(stages: Sequence[tuple[Place, Node]]) -> None:
    """Raise `PlanError` at the first part that can never hold, else at the first stage that is never reached.

    `stages` in precedence: the place of the name, and the condition.
    """
    patience = _Patience()
    for _, when in stages:
        for part in when.inside_out():
            if not isinstance(part.condition, bool) and not can_hold(part.condition, patience):
                what = "comparison" if isinstance(part.condition, Compare) else "condition"
                raise PlanError(part.place, f"this {what} can never hold", "no customer fits it; change or remove it")
    conditions = [when.condition for _, when in stages if not isinstance(when.condition, bool)]
    for index, (place, _) in enumerate(stages):
        condition, earlier = conditions[index], conditions[:index]
        for at, before in enumerate(earlier):
            if not can_hold(All((condition, Not(before))), patience):
                line = stages[at][0].line
                raise PlanError(place, f"this stage is never reached: the one in line {line} always holds when it does", "put it before that one")  # fmt: skip
        if not can_hold(All((condition, *(Not(before) for before in earlier))), patience):
            raise PlanError(place, "this stage is never reached: one of those above always holds when it does", "put it further up")  # fmt: skip


class _Patience:
    """How much of the time for one plan is left."""

    def __init__(self) -> None:
        self.left = PATIENCE


def can_hold(condition: Condition, patience: _Patience | None = None) -> bool:
    """Whether some customer could fit. False is a proof; True may only mean that none was found in time."""
    found = list(dict.fromkeys(leaves(condition)))
    variables = list(dict.fromkeys(_variable(leaf) for leaf in found))
    return _Search(condition, variables, found, patience or _Patience()).run({}, 0)


class _Search:
    """Values are given to the facts one after the other, until the condition is decided."""

    def __init__(
        self, condition: Condition, variables: list[Variable], found: list[Compare], patience: _Patience
    ) -> None:
        self.truth, self.variables, self.found, self.patience = _truth(condition), variables, found, patience
        self.choices: list[list[Value]] = []
        self.tries = 0

    def run(self, said: dict[Variable, Value], depth: int) -> bool:
        """Whether the condition can hold with what is said so far."""
        truth = self.truth(said)
        self.tries += 1
        self.patience.left -= len(self.found)
        if truth is not None or self.tries > TRIES_MAX or self.patience.left < 0:
            return truth is not False
        variable = self.variables[depth]
        if depth == len(self.choices):
            self.choices.append(_values(variable, self.found))
        for value in self.choices[depth]:
            said[variable] = value
            if fits(variable, said) and self.run(said, depth + 1):
                return True
        del said[variable]
        return False


def _variable(leaf: Compare) -> Variable:
    return leaf.operand, leaf.window, leaf.of


def _values(variable: Variable, found: Iterable[Compare]) -> list[Value]:
    """One value for each stretch in which no comparison changes: the constants, what is next to them, 0 and never.

    Counts share theirs, and a window is a constant of every length of time, so that what is true between facts is true
    between these values, too: each stands for all from it up to the next.
    """
    name, _, of = variable
    unit = OPERANDS[name].unit
    if unit == "flag":
        return [0, 1]
    alike = [leaf for leaf in found if OPERANDS[leaf.operand].unit == unit and (unit in {"ms", "count"} or (leaf.operand, leaf.of) == (name, of))]  # fmt: skip
    if unit == "text":
        texts = sorted({str(leaf.value) for leaf in alike})
        return [None, *texts, "".join(texts) + "."]
    constants = {leaf.value for leaf in alike if isinstance(leaf.value, int)}
    if unit in {"score", "number"}:
        constants |= {SCALES[name][0] * 1000} if name in SCALES else set()
        return [ABSENT, min(constants) - 1, *_stretches(constants)]
    constants.add(0)
    if unit == "ms":
        constants |= {leaf.window for leaf in found if leaf.window is not None}
    stretches = [value for value in _stretches(constants) if value >= 0]
    return [NEVER, *stretches] if unit == "ms" else [*stretches]


def _stretches(constants: set[int]) -> list[int]:
    return sorted({value + more for value in constants for more in (0, 1)})


def _truth(condition: Condition) -> Truth:
    """Whether a condition holds, made ready to be asked often."""
    if isinstance(condition, Compare):
        return _comparison(condition)
    if isinstance(condition, Not):
        inner = _truth(condition.of)
        return lambda said: None if (found := inner(said)) is None else not found
    decides, parts = not isinstance(condition, All), [_truth(part) for part in condition.of]

    def joined(said: Mapping[Variable, Value]) -> bool | None:
        known = True
        for part in parts:
            found = part(said)
            if found is decides:
                return decides
            if found is None:
                known = False
        return not decides if known else None

    return joined


def _comparison(leaf: Compare) -> Truth:
    variable, compare, constant = _variable(leaf), _COMPARE[leaf.op], leaf.value
    nothing = {"ms": NEVER, "score": ABSENT, "number": ABSENT}.get(OPERANDS[leaf.operand].unit)

    def holds(said: Mapping[Variable, Value]) -> bool | None:
        value = said.get(variable, _OPEN)
        if value is _OPEN:
            return None
        return value != nothing and compare(value, constant)

    return holds
