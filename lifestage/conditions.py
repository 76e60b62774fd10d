"""A plan as data: stages, their conditions, policies. Conditions are trees of `Compare`, `All`, `Any` and `Not`."""

from __future__ import annotations

from typing import Literal

import msgspec

Op = Literal["==", "!=", ">=", ">", "<=", "<"]
OPS = frozenset({"==", "!=", ">=", ">", "<=", "<"})


class Compare(msgspec.Struct, frozen=True, tag="compare", omit_defaults=True):
    """`operand op value`, over all time or over the window (t − window, t] in ms.

    The value is a count, 0 or 1, ms, thousandths, minor units or a text, as the operand's unit says.
    """

    operand: str
    op: Op
    value: int | str
    window: int | None = None
    of: str | None = None
    """Of money the currency, of a trait its name."""


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


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
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
    forward_only: bool = False
    """Whether a customer never moves back: the stage is the highest that ever held. Every stage has a rank then."""
    min_order_net: tuple[int, str] | None = None
    """Minor units and currency: an order in that currency with less net makes no customer, and counts in no condition."""


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
