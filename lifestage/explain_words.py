"""How the comparisons of a condition, their values and what they lack are put into words."""

from __future__ import annotations

from msgspec.structs import replace

from lifestage.look import ABSENT, NEVER, Look
from lifestage.moments import parse
from lifestage.operands import OPERANDS
from lifestage.plan import Compare, constant, duration

_OPPOSITE = {">=": "<", ">": "<=", "<=": ">", "<": ">=", "==": "!=", "!=": "=="}
_IS = {
    "reached": "was reached",
    "acquired": "was acquired",
    "customer": "is a customer",
    "subscribed": "has subscribed",
    "active_subscription": "is active",
    "subscription_lapsed": "has lapsed",
    "subscription_expanded": "has expanded",
    "trial_running": "is running",
    "accounts_closed": "are closed",
}
"""A flag that is true, as a person says it."""
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms"))


def value_of(look: Look, leaf: Compare) -> int | str | None:
    """What a comparison's fact is at the look; None where there is nothing to compare."""
    value = OPERANDS[leaf.operand].value(look, leaf)
    return None if value == ABSENT or (value == NEVER and unit_of(leaf) == "ms") else value


def unit_of(leaf: Compare) -> str:
    """The unit of a comparison's fact: flag, count, ms, score, money, text or number."""
    return OPERANDS[leaf.operand].unit


def asked_text(leaf: Compare) -> str:
    """What a comparison asks, without operator and constant: `order_days in 365d`, `trait.tier`, `net_revenue, EUR`."""
    unit = unit_of(leaf)
    if unit in {"text", "number"}:
        return f"trait.{leaf.of}"
    window = "" if leaf.window is None else f" in {duration(leaf.window)}"
    return f"{leaf.operand}{window}{f', {leaf.of}' if unit == 'money' else ''}"


def length(ms: int) -> str:
    """A length of time in its two largest units, the rest cut off: `80 d`, `3 d 4 h`, `250 ms`; `0` for none."""
    words: list[str] = []
    for size, unit in _UNITS:
        if words and len(words) == 2:
            break
        count, ms = divmod(ms, size)
        if count:
            words.append(f"{count} {unit}")
        elif words:
            break
    return " ".join(words) or "0"


def value_text(leaf: Compare, value: int | str | None) -> str:
    """A value as a person reads it."""
    unit = unit_of(leaf)
    if value is None:
        return "never" if unit == "ms" else "nothing"
    if unit == "flag":
        return "yes" if value else "no"
    return length(int(value)) if unit == "ms" else constant(replace(leaf, value=value))


def difference_text(leaf: Compare, value: int | str | None, at: int, turns_at: str | None, *, positive: bool) -> str:
    """What it takes for a comparison, or its opposite, to hold, which it does not at `at` (ms).

    `turns_at` is the instant at which it will with no further event, if it will.
    """
    unit = unit_of(leaf)
    if value is None:
        return "never so far" if unit == "ms" else "nothing so far" if leaf.window is None else "nothing in that time"
    if unit == "flag" and value:
        until = "" if turns_at is None else f" until {turns_at}, for {length(parse(turns_at) - at)} more"
        return f"{_IS[leaf.operand]}{until}"
    said = "not yet" if unit == "flag" else f"{value_text(leaf, value)} now{_step(leaf, value, positive=positive)}"
    if turns_at is not None:
        return f"{said}, in {length(parse(turns_at) - at)}, at {turns_at}"
    return f"{said}, and time alone does not change that" if unit == "ms" else said


def _step(leaf: Compare, value: int | str, *, positive: bool) -> str:
    """`, 2 more needed`: the least that makes the comparison hold; nothing for texts and lengths of time."""
    if isinstance(value, str) or isinstance(leaf.value, str) or unit_of(leaf) == "ms":
        return ""
    op = leaf.op if positive else _OPPOSITE[leaf.op]
    if op == "!=":
        return ", any other needed"
    more = leaf.value + (op == ">") - (op == "<") - value
    return f", {value_text(leaf, abs(more))} {'more' if more > 0 else 'less'} needed"
