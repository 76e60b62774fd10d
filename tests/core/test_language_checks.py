"""What is called impossible or never reached is so for every customer: proofs, held against what customers show."""

from __future__ import annotations

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage.conditions import All, Any, Compare, Condition, Not, Op, Plan, Stage
from lifestage.facts import Fact
from lifestage.language import PlanError
from lifestage.language_checks import can_hold, check, possible
from lifestage.language_conditions import Node
from lifestage.language_relations import ASKS, Variable, relations
from lifestage.language_words import Place
from lifestage.look import ABSENT, NEVER, Look, Terms
from lifestage.operands import OPERANDS, Value
from lifestage.plan import Compiled
from tests.core.histories import thorough
from tests.core.oracle import DAY
from tests.core.plan_samples import HAPPENINGS, few, happened, lives, ops_of, plans, profile_of, some

OPERATORS = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
EMPTY: frozenset[Value] = frozenset({None, NEVER, ABSENT, 0})
WINDOWS = (1, DAY, 30 * DAY, 90 * DAY, 365 * DAY)
OF = {"money": ("EUR", "USD"), "text": ("plan", "seats"), "number": ("plan", "seats")}


def every_question() -> list[Compare]:
    """Each fact that can be asked, in windows, currencies and of traits that lives have."""
    return [
        Compare(o.name, ">=", 1, window, of)
        for o in OPERANDS.values()
        for window in (*(() if o.window == "must" else (None,)), *(() if o.window == "no" else WINDOWS))
        for of in OF.get(o.unit, (None,))
    ]


QUESTIONS = every_question()
TERMS = st.builds(Terms, st.sampled_from((0, 2 * 3_600_000)), st.none() | st.just((2000, "EUR")))


def answers(look: Look, questions: list[Compare]) -> list[tuple[Compare, Value]]:
    """What a customer shows."""
    return [(asked, OPERANDS[asked.operand].value(look, asked)) for asked in questions]


def instants(history: list[Fact]) -> list[int]:
    """Instants around which a customer may look different."""
    return sorted({fact.time + more for fact in history for more in (-1, 0, 1, DAY, 90 * DAY)})


ASKED = [asked for asked in QUESTIONS if asked.window in {None, DAY, 90 * DAY}]
VARIABLES: list[Variable] = [(asked.operand, asked.window, asked.of) for asked in ASKED]
PAIRS = [(one, other, holds) for one in VARIABLES for other in VARIABLES for holds in relations(one, other)]


def contradictions(look: Look) -> list[tuple[Variable, Variable]]:
    """Pairs of facts whose relation does not hold for what a customer shows."""
    said = dict(zip(VARIABLES, (value for _, value in answers(look, ASKED)), strict=True))
    return [(one, other) for one, other, holds in PAIRS if not holds(said[one], said[other])]


@pytest.mark.parametrize("what", HAPPENINGS)
def test_what_one_happening_shows_is_never_thought_impossible(what: str) -> None:
    """Every relation between facts that proofs rest on holds after each thing that can happen, at all boundaries of time."""
    history = happened(what)
    profile = profile_of(history)
    for after in (-1, 0, 1, DAY - 1, DAY, 90 * DAY - 1, 90 * DAY):
        assert contradictions(Look(profile, history[0].time + after)) == []


@some
@given(lives(most=6), st.data())
def test_what_a_customer_shows_is_never_thought_impossible(history: list[Fact], data: st.DataObject) -> None:
    """And so it is for every customer at every instant, whatever happened."""
    profile = profile_of(history)
    look = Look(profile, data.draw(st.sampled_from(instants(history))), data.draw(TERMS))
    assert contradictions(look) == []
    shown = answers(look, QUESTIONS)
    told = [pair for pair in shown if pair[1] not in EMPTY] or shown[:1]
    few = data.draw(st.lists(st.sampled_from(shown), max_size=8))
    assert possible({(asked.operand, asked.window, asked.of): value for asked, value in [*told[:12], *few]})


def test_there_are_relations_between_nearly_all_facts() -> None:
    """Hundreds of pairs of facts are related, so that the tests above look at something; two flags stand alone."""
    assert len(PAIRS) > 1500
    related = {variable[0] for one, other, _ in PAIRS for variable in (one, other)}
    assert set(OPERANDS) - related == {"trial_running", "accounts_closed"}


def holding(asked: Compare, value: Value, data: st.DataObject) -> Condition:
    """A comparison that holds of this value, or a not of one where nothing is compared with it."""
    operand = OPERANDS[asked.operand]
    if value is None or value == ABSENT or (value == NEVER and operand.unit == "ms"):
        return Not(Compare(asked.operand, "!=" if operand.unit == "text" else ">=", "x" if value is None else 5, asked.window, asked.of))  # fmt: skip
    if isinstance(value, str):
        return Compare(asked.operand, "==", value, None, asked.of)
    near = value if operand.unit == "flag" else max(0, value + data.draw(st.sampled_from((-1, 0, 0, 1))))
    fits: list[Op] = [op for op in ops_of(operand) if OPERATORS[op](value, near)]
    if not fits:
        return Not(Compare(asked.operand, "<" if value >= near else ">=", near, asked.window, asked.of))
    return Compare(asked.operand, data.draw(st.sampled_from(fits)), near, asked.window, asked.of)


@some
@given(lives(most=6), st.data())
def test_what_holds_of_a_customer_can_hold(history: list[Fact], data: st.DataObject) -> None:
    """No false alarm: conditions made of what one customer shows at one instant are never refused."""
    terms = data.draw(TERMS)
    look = Look(profile_of(history), data.draw(st.sampled_from(instants(history))), terms)
    shown = answers(look, QUESTIONS)
    told = [pair for pair in shown if pair[1] not in EMPTY] or shown
    picked = data.draw(st.lists(st.sampled_from(told) | st.sampled_from(shown), min_size=2, max_size=5))
    parts = tuple(holding(asked, value, data) for asked, value in picked)
    condition = All(parts)
    assert Compiled(Plan("p", 1, (Stage("s", 1, condition),))).holding(look) == "s"
    assert can_hold(condition)
    assert can_hold(All((Any((parts[0], Not(parts[1]))), *parts[1:])))


@few
@given(plans(), st.lists(lives(most=6), min_size=1, max_size=3))
def test_a_plan_that_is_refused_was_of_no_use(plan: Plan, histories: list[list[Fact]]) -> None:
    """A part that is said to hold for nobody, or a stage said to be never reached, is so in any history."""
    place = Place("p", 1, 1)
    refused = ""
    try:
        check([(place, Node(stage.when, place)) for stage in plan.stages])
    except PlanError as error:
        refused = error.problem
    looks = [Look(profile_of(history), t) for history in histories for t in instants(history)]
    useless = [Compiled(Plan("p", 1, (Stage("s", 1, stage.when),))) for stage in plan.stages]
    if "never reached" in refused:
        reached = {Compiled(plan).holding(look) for look in looks}
        assert reached != {stage.name for stage in plan.stages}
    if "never hold" in refused:
        assert any(not any(compiled.holding(look) for look in looks) for compiled in useless)


GRID = [0, 1, 2, 3, 4, 5, 6]


@thorough
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("standing_orders", "order_days")), st.sampled_from(sorted(OPERATORS)), st.integers(-1, 4)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_contradictions_between_counts_are_all_found(parts: list[tuple[str, str, int]]) -> None:
    """Found exactly where no pair of numbers fits that some customer could have: days never exceed orders."""
    found = All(tuple(Compare(name, op, value) for name, op, value in parts))  # type: ignore[arg-type]
    fits = any(
        all(OPERATORS[op]({"standing_orders": orders, "order_days": days}[name], value) for name, op, value in parts)
        for orders in GRID
        for days in GRID
        if days <= orders and (days > 0) == (orders > 0)
    )
    assert can_hold(found) == fits


def test_the_facts_that_relations_speak_of_are_facts() -> None:
    """Every name in the tables of relations is one that a plan can ask."""
    assert set(ASKS) <= set(OPERANDS)
    assert {o.name for o in OPERANDS.values() if o.unit == "ms"} <= set(ASKS)
