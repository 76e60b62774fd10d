"""A plan as text in the plan language: `lifestage.language.parse` reads it back as the same plan."""

from __future__ import annotations

from collections.abc import Iterator

from lifestage.language_facts import comparison_text
from lifestage.money import DIGITS, major
from lifestage.plan import All, Any, Compare, Condition, Not, Plan, Stage, duration

_DEFAULTS = Plan("", 1, ())


def unparse(plan: Plan) -> str:
    """The text of a plan, windows written as lengths. Raises `ValueError` for what the language cannot say."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: Plan) -> Iterator[str]:
    yield f"plan {plan.id} version {plan.version}"
    if plan.grace != _DEFAULTS.grace:
        yield f"grace {duration(plan.grace)}"
    if plan.day_zone != _DEFAULTS.day_zone:
        yield f"days in {zone(plan.day_zone)}"
    if plan.forget_anonymous is None:
        yield "keep anonymous"
    elif plan.forget_anonymous != _DEFAULTS.forget_anonymous:
        yield f"forget anonymous after {duration(plan.forget_anonymous)}"
    if plan.forward_only:
        yield "forward only"
    if plan.min_order_net is not None:
        yield f"min order net {amount(*plan.min_order_net)}"
    for stage in plan.stages:
        yield ""
        yield from _stage(stage)


def _stage(stage: Stage) -> Iterator[str]:
    yield f"stage {stage.name}" + (f" rank {stage.rank}" if stage.rank is not None else "")
    yield f"    when {condition_text(stage.when)}"
    if stage.enter_kind is not None:
        yield f"    entering is {stage.enter_kind}"
    if stage.leave_kind is not None:
        yield f"    leaving is {stage.leave_kind}"


def amount(minor: int, currency: str) -> str:
    """Money as the language writes it: 20.00 EUR."""
    return f"{major(minor, DIGITS[currency])} {currency}"


def zone(ms: int) -> str:
    """A fixed offset as people write it: UTC, UTC+02:00."""
    if ms % 60_000:
        raise ValueError(f"an offset of {ms} ms is no whole number of minutes")
    minutes = abs(ms) // 60_000
    return f"UTC{'+' if ms > 0 else '-'}{minutes // 60:02}:{minutes % 60:02}" if ms else "UTC"


def condition_text(condition: Condition) -> str:
    """A condition in the plan language; `and` and `or` inside another in brackets."""
    if isinstance(condition, Compare):
        return comparison_text(condition)
    if isinstance(condition, Not):
        text = condition_text(condition.of)
        return f"not {text}" if isinstance(condition.of, Not) or " " not in text else f"not ({text})"
    if len(condition.of) < 2:
        raise ValueError("and, or join two conditions at least")
    return (" and " if isinstance(condition, All) else " or ").join(_part(part) for part in condition.of)


def _part(condition: Condition) -> str:
    text = condition_text(condition)
    return f"({text})" if isinstance(condition, (All, Any)) else text
