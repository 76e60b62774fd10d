"""What is well written and still makes no sense: a condition that can never hold, a stage that is never reached.

A finding is a proof, never a guess: every value that a fact may have is tried, as one value for each stretch between
the constants it is compared with, and of the relations between facts only those that hold for every profile are used.
Where the search would take too long nothing is found.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from lifestage.language_conditions import Node
from lifestage.language_words import Place, PlanError
from lifestage.look import NEVER, OPERANDS
from lifestage.plan import All, Compare, Condition, Not, leaves

Variable = tuple[str, int | None]
"""A fact and its window."""

TRIES_MAX = 20_000
"""Steps of one search: about 50 ms. A shipped stage needs a dozen."""
PATIENCE = 1_000_000
"""Comparisons looked at for one plan: half a second. clm5 needs a thousandth of it."""

_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt,
}  # fmt: skip


def check(stages: Sequence[tuple[Place, Node]]) -> None:
    """Raise `PlanError` at the first part that can never hold, else at the first stage that is never reached.

    `stages` in precedence: the place of the name, and the condition.
    """
    patience = _Patience()
    for _, when in stages:
        for part in when.inside_out():
            if not can_hold(part.condition, patience):
                what = "comparison" if isinstance(part.condition, Compare) else "condition"
                raise PlanError(part.place, f"this {what} can never hold", "no customer fits it; change or remove it")
    for index, (place, when) in enumerate(stages):
        earlier = [before for _, before in stages[:index]]
        for at, before in enumerate(earlier):
            if not can_hold(All((when.condition, Not(before.condition))), patience):
                line = stages[at][0].line
                raise PlanError(place, f"this stage is never reached: the one in line {line} always holds when it does", "put it before that one")  # fmt: skip
        if not can_hold(All((when.condition, *(Not(before.condition) for before in earlier))), patience):
            raise PlanError(place, "this stage is never reached: one of those above always holds when it does", "put it further up")  # fmt: skip


class _Patience:
    """How much of the time for one plan is left."""

    def __init__(self) -> None:
        self.left = PATIENCE


def can_hold(condition: Condition, patience: _Patience | None = None) -> bool:
    """Whether some customer could fit. False is a proof; True may only mean that none was found in time."""
    found = list(dict.fromkeys(leaves(condition)))
    variables = list(dict.fromkeys((leaf.operand, leaf.window) for leaf in found))
    choices = [(variable, _values(variable, found)) for variable in variables]
    return _Search(condition, choices, len(found), patience or _Patience()).run({}, 0)


class _Search:
    """Values are given to the facts one after the other, until the condition is decided."""

    def __init__(
        self, condition: Condition, choices: list[tuple[Variable, list[int]]], cost: int, patience: _Patience
    ) -> None:
        self.condition, self.choices, self.cost, self.patience = condition, choices, cost, patience
        self.tries = 0

    def run(self, said: dict[Variable, int], depth: int) -> bool:
        """Whether the condition can hold with what is said so far."""
        truth = _truth(self.condition, said)
        self.tries += 1
        self.patience.left -= self.cost
        if truth is not None or self.tries > TRIES_MAX or self.patience.left < 0:
            return truth is not False
        variable, values = self.choices[depth]
        for value in values:
            said[variable] = value
            if possible(said) and self.run(said, depth + 1):
                return True
        del said[variable]
        return False


def _values(variable: Variable, found: Iterable[Compare]) -> list[int]:
    """One value for each stretch in which no comparison changes: the constants, what is next to them, 0 and never.

    Counts share theirs, and a window is a constant of every length of time, so that what is true between facts is true
    between these values, too.
    """
    unit = OPERANDS[variable[0]].unit
    if unit == "flag":
        return [0, 1]
    constants = {0} | {leaf.value for leaf in found if OPERANDS[leaf.operand].unit == unit}
    if unit == "ms":
        constants |= {leaf.window for leaf in found if leaf.window is not None}
    stretches = sorted({value + more for value in constants for more in (0, 1) if value + more >= 0})
    return [NEVER, *stretches] if unit == "ms" else stretches


def _truth(condition: Condition, said: Mapping[Variable, int]) -> bool | None:
    """Whether a condition holds as far as values are given; None while that is open."""
    if isinstance(condition, Compare):
        value = said.get((condition.operand, condition.window))
        if value is None:
            return None
        if OPERANDS[condition.operand].unit == "ms" and value == NEVER:
            return False
        return _COMPARE[condition.op](value, condition.value)
    if isinstance(condition, Not):
        inner = _truth(condition.of, said)
        return None if inner is None else not inner
    decides = not isinstance(condition, All)
    parts = [_truth(part, said) for part in condition.of]
    if decides in parts:
        return decides
    return None if None in parts else not decides


def possible(said: Mapping[Variable, int]) -> bool:
    """Whether one profile could say all of this at one instant: relations between facts that hold for every profile."""
    windowed = sorted((w, n) for (name, w), n in said.items() if name == "order_days" and w is not None)
    overall = [said[v] for v in (("order_days", None), ("standing_orders", None)) if v in said]
    rising = [*(n for _, n in windowed), *overall]
    if any(one > next_one for one, next_one in pairwise(rising)):
        return False
    if len({n > 0 for n in overall}) > 1:
        return False
    purchase = said.get(("since_last_purchase", None))
    if purchase is not None:
        if any((n > 0) != (purchase != NEVER) for n in overall):
            return False
        if any((n > 0) != (purchase != NEVER and purchase < w) for w, n in windowed):
            return False
    known = said.get(("reached", None)) == 1 or said.get(("acquired", None)) == 1
    return not (known and said.get(("since_last_activity", None)) == NEVER)
