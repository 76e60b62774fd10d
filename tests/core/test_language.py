"""The plan language: what a text says, and that nothing but a plan or a place that is wrong can come of any text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import language
from lifestage.conditions import All, Compare, Condition, Plan, Stage
from lifestage.kpi_names import KPIS
from lifestage.language import PlanError, checked, parse, read, unparse
from lifestage.language_facts import UNIT_SAYS
from lifestage.language_happenings import HAPPENINGS, MAIL, PAGES, SOCIAL
from lifestage.language_stories import TOLD_KINDS
from lifestage.operands import OPERANDS
from lifestage.plan import Compiled
from lifestage.signals import SIGNALS
from tests.core.histories import CLM5, START
from tests.core.oracle import DAY
from tests.core.plan_samples import CLM5_TEXT, SHIPPED, lives, plans, profile_of, some

ROOT = Path(__file__).parents[2]


def one_stage(condition: Condition) -> Plan:
    """A plan of one stage."""
    return Plan("p", 1, (Stage("s", 1, condition),))


def outcome(text: str) -> PlanError | Plan:
    """The plan of a text, made ready and read back, or its refusal."""
    try:
        plan = parse(text, "p")
    except PlanError as error:
        return error
    compiled = Compiled(plan)
    for day in (0, 1, 90, 400):
        assert compiled.judge(profile_of([]), START + day * DAY, None) in {None, *compiled.stage}
    assert parse(unparse(plan)) == plan
    return plan


def test_the_rules_of_clm5_are_those_that_were_announced() -> None:
    """The hash stands in every change: other rules, however slightly, have another, and so need another version."""
    assert Compiled(parse(CLM5_TEXT)).hash == "066b98f797e4c33f"
    assert Compiled(parse(CLM5_TEXT.replace("at_risk 90d", "at_risk 91d"))).hash != "066b98f797e4c33f"


@pytest.mark.parametrize(
    "said", ["grace 0d", "days in UTC", "forget anonymous after 30d", "forget anonymous after 720h"]
)
def test_what_is_said_as_it_is_anyway_does_not_change_the_hash(said: str) -> None:
    """A plan that says a default is the plan that does not say it."""
    short = "stage s rank 1\n    when reached\n"
    plain, full = parse(f"plan p version 1\n{short}"), parse(f"plan p version 1\n{said}\n{short}")
    assert (full, Compiled(full).hash) == (plain, Compiled(plain).hash)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_plan_makes_sense_and_bears_its_name(path: Path) -> None:
    """Each shipped text is checked without complaint, is called as its file, and is the same when written and read."""
    sheet = checked(path.read_text(encoding="utf-8"), path.name)
    assert sheet.plan.id == path.stem
    assert parse(unparse(sheet.plan)) == sheet.plan
    assert sheet.title
    assert sheet.stories


def test_what_is_no_part_of_the_plan_is_kept_beside_it() -> None:
    """The title and the windows by name are there for those who show or change them."""
    sheet = read(CLM5_TEXT)
    assert sheet.title == "Customer lifecycle in five stages"
    assert sheet.windows == {
        "churned": 180 * DAY, "at_risk": 90 * DAY, "dormant": 90 * DAY, "loyalty": 365 * DAY, "promoter": 180 * DAY,
        "engaged": 30 * DAY,
    }  # fmt: skip
    assert sheet.options == {"engaged_visitor": False}


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
        (("when customer\n", "when (((customer)))\n"), True),
        (("when customer\n", "when customer == true\n"), True),
        (("when customer\n", "when not not customer\n"), False),
        (("at_risk 90d", "at_risk 2160h"), True),
        (("in promoter >= 9", "in promoter >= 9.000"), True),
        (("days in UTC", "days in UTC+01:00"), False),
        (("forget anonymous after 30d", "keep anonymous"), False),
        (("grace 0d", "grace 5m"), False),
        (("grace 0d", "min order net 20.00 EUR"), False),
        (("    kpi cac\n", "    kpi cac target 35.50\n"), True),
        (("    kpi cac\n", ""), True),
    ],
)
def test_the_form_of_a_text_does_not_matter_but_its_words_do(change: tuple[str, str], same: bool) -> None:
    """Line ends, notes, brackets and units may be written in several ways; what means something else is another plan."""
    text = CLM5_TEXT.split("\n", 2)[2]
    assert change[0] in text
    assert (parse(text.replace(*change)) == CLM5) == same


@some
@given(plans())
def test_a_plan_written_as_text_is_read_as_the_same_plan(plan: Plan) -> None:
    """Whatever the language can say is read back as it was."""
    text = unparse(plan)
    assert read(text).plan == plan
    assert unparse(read(text).plan) == text


@some
@given(st.text() | st.text(alphabet='plan stage when\n()<>=!"#0159d_.:->windows\t\r\x00é '))
def test_no_text_at_all_ends_in_another_error(text: str) -> None:
    """Any characters, as a plan, a condition or a story: a plan or a `PlanError`."""
    outcome(text)
    outcome(f"plan p version 1\nstage s rank 1\n    when {text}")
    outcome(f'plan p version 1\nstage s rank 1\n    when reached\nstory "x"\n    day {text}')


@pytest.mark.parametrize("open_close", [("(", ")"), ("not ", "")])
@pytest.mark.parametrize("leaf", ["reached", "order_days >= 1"])
@pytest.mark.parametrize("depth", [19, 20, 21, 10_000])
def test_the_deepest_text_is_refused_or_compiles(open_close: tuple[str, str], depth: int, leaf: str) -> None:
    """Brackets and nots without end meet a limit of ours, not one of the interpreter."""
    text = f"plan p version 1\nstage s rank 1\n    when {open_close[0] * depth}{leaf}{open_close[1] * depth}\n"
    assert isinstance(outcome(text), PlanError) == (depth > 20)


def test_the_largest_plan_compiles() -> None:
    """Fifty stages with long conditions are read, checked and compiled; one more is refused."""
    body = " or ".join(f"order_days in {n}d == {n}" for n in range(2, 25))
    stages = [f"stage s{n} rank {n}\n    when {body} or standing_orders == {n}\n" for n in range(1, 51)]
    assert isinstance(outcome("plan p version 1\n" + "".join(stages)), Plan)
    found = outcome("plan p version 1\n" + "".join(stages) + stages[0].replace("s1 rank 1", "s51 rank 51"))
    assert isinstance(found, PlanError)
    assert (found.line, found.problem) == (102, "more than 50 stages")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (All((Compare("reached", "==", 1),)), "two conditions"),
        (Compare("reached", "==", 2), "true or false"),
        (Compare("trait", "==", 'a"b', None, "plan"), "between quotes"),
        (Compare("trait", "==", "", None, "plan"), "between quotes"),
    ],
)
def test_a_plan_that_the_language_cannot_say_is_not_written(wrong: Condition, said: str) -> None:
    """Better no text than one that means something else."""
    with pytest.raises(ValueError, match=said):
        unparse(one_stage(wrong))
    with pytest.raises(ValueError, match="whole number of minutes"):
        unparse(Plan("p", 1, CLM5.stages, day_zone=1))


@some
@given(lives(), st.sampled_from(SHIPPED))
def test_a_shipped_plan_judges_any_customer(history: list, path: Path) -> None:  # type: ignore[type-arg]
    """Whatever happens to a customer, the plan says a stage of its own at any instant."""
    compiled = Compiled(parse(path.read_text(encoding="utf-8")))
    profile = profile_of(history)
    for fact in history:
        for t in (fact.time - 1, fact.time, fact.time + 90 * DAY, fact.time + 400 * DAY):
            assert compiled.judge(profile, t, None) in {None, *compiled.stage}


PAGE = (ROOT / "docs/plans.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `([\w.]+)` \| ([a-z ]+) \| (no|possible|needed) \| (.+) \|$", re.MULTILINE)


def test_the_page_lists_every_fact() -> None:
    """docs/plans.md names each fact with its unit, whether it takes a window, and what it says, in the words of the table."""
    windows = {"no": "no", "may": "possible", "must": "needed"}
    signals = {
        name
        for signal in SIGNALS
        for name in (signal.name, f"{signal.one}_days", f"since_last_{signal.one}", f"since_first_{signal.one}")
    }
    assert signals < set(OPERANDS)
    others = [o for o in OPERANDS.values() if o.name not in signals and o.unit not in {"text", "number"}]
    rows = [row for row in _ROW.findall(PAGE) if row[0] != "trait.NAME"]
    assert rows == [(o.name, UNIT_SAYS[o.unit], windows[o.window], o.says) for o in others]
    assert [row[1] for row in _ROW.findall(PAGE) if row[0] == "trait.NAME"] == ["text or number"]
    for s in SIGNALS:
        row = f"| `{s.name}` | `{s.one}_days` | `since_last_{s.one}` | `since_first_{s.one}` | {s.says} |"
        assert row in PAGE


def test_what_a_fact_says_stands_alone() -> None:
    """`lifestage check` lists facts by name, so that none may speak of the one before it."""
    assert [o.name for o in OPERANDS.values() if re.search(r"\b(such|this|these)\b", o.says)] == []


def test_the_examples_of_the_page_are_true() -> None:
    """The plan of docs/plans.md is read, its error is real, and every word of the language stands on the page."""
    example = re.findall(r"```plan\n(.*?)```", PAGE, re.DOTALL)[0]
    assert checked(example).plan.id == "shop"
    with pytest.raises(PlanError) as error:
        parse(example.replace("when standing_orders >= 1 and", "when standing_order >= 1 and"), "shop.plan")
    assert str(error.value) in PAGE
    words = (*language.STATEMENTS, *language.ENTER_KINDS, *language.LEAVE_KINDS, "when", "entering", "leaving", "kpi")
    for word in (*words, *KPIS, *HAPPENINGS):
        assert re.search(rf"`[^`\n]*\b{word}\b[^`\n]*`", PAGE), word
    for word in (*TOLD_KINDS, *PAGES, *SOCIAL):
        assert re.search(rf"\b{word}\b", PAGE), word
    assert {"delivered", "clicked"} < set(MAIL)
