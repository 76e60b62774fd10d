"""The plan language: what a text says, what is refused and where, and that nothing else can come of any text."""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import language
from lifestage.facts import Fact
from lifestage.language import PlanError, parse, read, unparse
from lifestage.language_checks import can_hold, possible
from lifestage.look import OPERANDS, Look
from lifestage.plan import All, Compare, Compiled, Condition, Not, Plan, Stage, leaves
from lifestage.plans import CLM5
from lifestage.profile import Profile, fold
from tests.core.histories import START, facts, thorough
from tests.core.histories import order as an_order
from tests.core.histories import visit as a_visit
from tests.core.oracle import DAY
from tests.core.plan_samples import CLM5_TEXT, conditions, plans

ROOT = Path(__file__).parents[2]


def profile_of(history: list[Fact]) -> Profile:
    """A profile with these facts."""
    profile = Profile()
    for offset, fact in enumerate(history):
        fold(profile, fact, offset, b"k" * 16, 30 * DAY)
    return profile


PROFILES = [
    Profile(),
    profile_of([a_visit(0, "a")]),
    profile_of([a_visit(0, "a"), an_order(1, "b", "o1")]),
    profile_of([an_order(day, f"b{day}", f"o{day}") for day in (0, 40, 200)]),
]


def one_stage(condition: Condition) -> Plan:
    """A plan of one stage."""
    return Plan("p", 1, (Stage("s", 1, condition),))


def test_the_text_of_clm5_is_clm5() -> None:
    """The shipped text says exactly the plan whose hash stands in every change that was announced."""
    assert parse(CLM5_TEXT, "clm5.plan") == CLM5
    assert Compiled(parse(CLM5_TEXT)).hash == "4201ba0bf822973f"


def test_what_is_no_part_of_the_plan_is_kept_beside_it() -> None:
    """The title and the windows by name are there for those who show or change them."""
    sheet = read(CLM5_TEXT)
    assert sheet.title == "Customer lifecycle in five stages"
    assert sheet.windows == {"churned": 180 * DAY, "at_risk": 90 * DAY, "dormant": 90 * DAY, "loyalty": 365 * DAY}


def test_a_window_can_be_given_another_length() -> None:
    """The same text with another window is the plan that the changed text would be; an unknown window is refused."""
    changed = read(CLM5_TEXT, windows={"at_risk": 60 * DAY}).plan
    assert changed == parse(CLM5_TEXT.replace("at_risk 90d", "at_risk 60d")) != CLM5
    with pytest.raises(ValueError, match="no window 'at_rsk' to change; did you mean 'at_risk'"):
        read(CLM5_TEXT, windows={"at_rsk": DAY})


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (("\n", "\r\n"), True),
        (("plan clm5", "\ufeffplan clm5"), True),
        (("\n    when", "\n\n    # why\n    when"), True),
        (("when acquired", "when (((acquired)))"), True),
        (("when acquired", "when acquired == true"), True),
        (("when acquired", "when not not acquired"), False),
        (("at_risk 90d", "at_risk 2160h"), True),
        (("days in UTC", "days in UTC+01:00"), False),
        (("forget anonymous after 30d", "keep anonymous"), False),
        (("grace 0d", "grace 5m"), False),
    ],
)
def test_the_form_of_a_text_does_not_matter_but_its_words_do(change: tuple[str, str], same: bool) -> None:
    """Line ends, notes, brackets and units may be written in several ways; what means something else is another plan."""
    text = CLM5_TEXT.split("\n", 2)[2].replace(*change)
    assert (parse(text) == CLM5) == same


@thorough
@given(plans())
def test_a_plan_written_as_text_is_read_as_the_same_plan(plan: Plan) -> None:
    """Whatever the language can say is read back as it was."""
    text = unparse(plan)
    assert read(text).plan == plan
    assert unparse(read(text).plan) == text


@thorough
@given(plans(), facts())
def test_a_plan_that_is_refused_was_of_no_use(plan: Plan, history: list[Fact]) -> None:
    """No false alarm: a part that is said to hold for nobody, or a stage said to be never reached, is so in any history."""
    profile = profile_of(history)
    looks = [Look(profile, fact.time + more, 0) for fact in history for more in (-1, 0, 1, DAY, 90 * DAY, 365 * DAY)]
    before: list[Condition] = []
    for stage in plan.stages:
        for condition in (stage.when, All((stage.when, *map(Not, before)))):
            if not can_hold(condition):
                stage_at = Compiled(one_stage(condition)).stage_at
                assert not any(stage_at(look) for look in looks)
        before.append(stage.when)


@thorough
@given(facts(), conditions)
def test_what_a_customer_shows_is_never_thought_impossible(history: list[Fact], condition: Condition) -> None:
    """The relations between facts that proofs rest on hold for every profile at every instant."""
    profile = profile_of(history)
    asked = {(leaf.operand, leaf.window) for leaf in leaves(condition)}
    asked |= {(name, None) for name in OPERANDS} | {("order_days", 90 * DAY), ("order_days", DAY)}
    for t in {fact.time + more for fact in history for more in (-1, 0, 1, DAY, 90 * DAY)}:
        look = Look(profile, t, 0)
        assert possible({(name, window): OPERANDS[name].value(look, window) for name, window in asked})


OPERATORS = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
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


def spoiled(text: str, chance: random.Random) -> str:
    """The text with one to three words or lines left out, doubled, swapped or replaced by another of the text."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        by_line = chance.random() < 0.4
        parts = text.split("\n") if by_line else re.split(r"([\w.:+-]+|[<>=!]+|[()\"#])", text)
        wanted = [n for n, part in enumerate(parts) if part.strip()]
        if not wanted:
            return text
        one, other = chance.choice(wanted), chance.choice(wanted)
        how = chance.choice(("delete", "double", "swap", "copy", "cut"))
        if how == "delete":
            del parts[one]
        elif how == "double":
            parts[one] += ("\n" if by_line else " ") + parts[one]
        elif how == "swap":
            parts[one], parts[other] = parts[other], parts[one]
        elif how == "copy":
            parts[one] = parts[other]
        else:
            parts[one] = parts[one][: chance.randrange(len(parts[one]))]
        text = ("\n" if by_line else "").join(parts)
    return text


def outcome(text: str) -> PlanError | Plan:
    """The plan of a text after it has judged some customers, or its refusal."""
    try:
        plan = parse(text, "p")
    except PlanError as error:
        return error
    compiled = Compiled(plan)
    for profile in PROFILES:
        for day in (0, 1, 90, 400):
            look = compiled.look(profile, START + day * DAY)
            assert compiled.stage_at(look) in {None, *compiled.stage}
            compiled.turns(profile, START, None)
    assert parse(unparse(plan)) == plan
    return plan


def _mutants() -> Iterator[str]:
    chance = random.Random(20_240_201)
    for _ in range(1500):
        yield spoiled(CLM5_TEXT, chance)


def test_a_spoiled_text_is_refused_with_its_place_or_truly_valid() -> None:
    """1,500 accidents with the shipped text: each ends in a plan that judges, or in a place within the text."""
    refused = 0
    for text in _mutants():
        found = outcome(text)
        if isinstance(found, PlanError):
            refused += 1
            rows = text.split("\n")
            assert 1 <= found.line <= len(rows), text
            assert 1 <= found.column <= len(rows[found.line - 1]) + 1, text
            assert str(found).startswith(f"p:{found.line}:{found.column}: ")
            assert "\n" not in str(found)
    assert 500 < refused < 1500


@thorough
@given(st.text() | st.text(alphabet='plan stage when\n()<>=!"#0159d_windows\t\r\x00é '))
def test_no_text_at_all_ends_in_another_error(text: str) -> None:
    """Any characters: a plan or a `PlanError`."""
    outcome(text)
    outcome(f"plan p version 1\nstage s rank 1\n    when {text}")


@pytest.mark.parametrize("open_close", [("(", ")"), ("not ", "")])
@pytest.mark.parametrize("leaf", ["reached", "order_days >= 1"])
@pytest.mark.parametrize("depth", [19, 20, 21, 100, 100_000])
def test_the_deepest_text_is_refused_or_compiles(open_close: tuple[str, str], depth: int, leaf: str) -> None:
    """Brackets and nots without end meet a limit of ours, not one of the interpreter."""
    text = f"plan p version 1\nstage s rank 1\n    when {open_close[0] * depth}{leaf}{open_close[1] * depth}\n"
    assert isinstance(outcome(text), PlanError) == (depth > 20)


def test_the_largest_plan_compiles() -> None:
    """Fifty stages with long conditions are read, checked and compiled; one more is refused."""
    body = " or ".join(f"order_days in {n}d == {n}" for n in range(1, 40))
    stages = [f"stage s{n} rank {n}\n    when {body} or standing_orders == {n}\n" for n in range(1, 51)]
    assert isinstance(outcome("plan p version 1\n" + "".join(stages)), Plan)
    found = outcome("plan p version 1\n" + "".join(stages) + stages[0].replace("s1 rank 1", "s51 rank 51"))
    assert isinstance(found, PlanError)
    assert (found.line, found.problem) == (102, "more than 50 stages")


def test_a_plan_that_the_language_cannot_say_is_not_written() -> None:
    """Better no text than one that means something else."""
    for wrong in (All((Compare("reached", "==", 1),)), Compare("reached", "==", 2)):
        with pytest.raises(ValueError, match=r"two conditions|true or false"):
            unparse(one_stage(wrong))
    with pytest.raises(ValueError, match="whole number of minutes"):
        unparse(Plan("p", 1, CLM5.stages, day_zone=1))


def test_the_page_lists_every_fact_and_its_example_is_a_plan() -> None:
    """docs/plans.md names each fact with its unit and whether it takes a window; its example parses, its error is real."""
    page = (ROOT / "docs/plans.md").read_text(encoding="utf-8")
    units = {"flag": "true or false", "count": "number", "ms": "length of time"}
    rows = re.findall(r"^\| `(\w+)` \| (true or false|number|length of time) \| (yes|no) \| \S", page, re.MULTILINE)
    assert rows == [(o.name, units[o.unit], "yes" if o.windowed else "no") for o in OPERANDS.values()]
    example = re.findall(r"```plan\n(.*?)```", page, re.DOTALL)[0]
    assert parse(example).id == "shop"
    with pytest.raises(PlanError) as error:
        parse(example.replace("when standing_orders >= 1 and", "when standing_order >= 1 and"), "shop.plan")
    assert str(error.value) in page
    for word in (*language.STATEMENTS, *language.ENTER_KINDS, *language.LEAVE_KINDS, "when", "entering", "leaving"):
        assert re.search(rf"`[^`\n]*\b{word}\b[^`\n]*`", page), word
