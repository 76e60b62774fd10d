"""Plans for tests: the shipped text, random plans that the language can say, and the customers to judge by them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from lifestage.language import ENTER_KINDS, LEAVE_KINDS
from lifestage.look import OPERANDS
from lifestage.plan import All, Any, Compare, Condition, Not, Op, Plan, Stage
from tests.core.oracle import DAY

CLM5_TEXT = (Path(__file__).parents[2] / "config/plans/clm5.plan").read_text(encoding="utf-8")

_lengths = st.one_of(
    st.sampled_from((1, 1000, 60_000, DAY, 30 * DAY, 90 * DAY, 180 * DAY, 365 * DAY)), st.integers(1, 1000 * DAY)
)
_names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in {"and", "or", "not", "in", "true", "false"}
)


@st.composite
def comparisons(draw: st.DrawFn, counts: int = 1_000_000_000) -> Compare:
    """One comparison of each kind that the language knows."""
    operand = OPERANDS[draw(st.sampled_from(sorted(OPERANDS)))]
    if operand.unit == "flag":
        return Compare(operand.name, draw(st.sampled_from(("==", "!="))), draw(st.integers(0, 1)))
    if operand.unit == "ms":
        return Compare(operand.name, draw(st.sampled_from((">=", ">", "<=", "<"))), draw(st.just(0) | _lengths))
    window = draw(st.none() | _lengths) if operand.windowed else None
    op: Op = draw(st.sampled_from(("==", "!=", ">=", ">", "<=", "<")))
    return Compare(operand.name, op, draw(st.integers(-1, 4) | st.integers(0, counts)), window)


def _joined(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, inner) | st.builds(All, several) | st.builds(Any, several)


conditions: st.SearchStrategy[Condition] = st.recursive(comparisons(), _joined, max_leaves=6)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A plan that can be written; whether it makes sense is left to chance."""
    names = draw(st.lists(_names, min_size=1, max_size=5, unique=True))
    ranks: list[int | None] = list(draw(st.permutations(range(1, len(names) + 1))))
    for index in range(1, len(ranks)):
        ranks[index] = draw(st.sampled_from((ranks[index], None)))
    stages = tuple(
        Stage(name, rank, draw(conditions), draw(st.sampled_from((None, *ENTER_KINDS))), draw(st.sampled_from((None, *LEAVE_KINDS))))
        for name, rank in zip(names, ranks, strict=True)
    )  # fmt: skip
    return Plan(
        draw(_names),
        draw(st.integers(1, 1000)),
        stages,
        draw(st.just(0) | _lengths),
        draw(st.integers(-14 * 60, 14 * 60)) * 60_000,
        draw(st.none() | st.just(30 * DAY) | _lengths),
    )
