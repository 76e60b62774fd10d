"""Wrong plans, each refused at the place that is wrong with a word that helps; and what only looks wrong is not."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from lifestage.language import PlanError, parse
from lifestage.plan import Compiled, Plan
from tests.core.histories import CLM5
from tests.core.plan_samples import CLM5_TEXT

HEAD = "plan p version 1\n"
TAIL = "stage s rank 1\n    when reached\n"
WINDOWS = "windows\n    at_risk 90d\n    dormant 60d\n"

Wrong = tuple[str, int, int, str]
"""A text, the line and the column that are refused, and what the message says."""


def when(condition: str, line: int, column: int, said: str) -> Wrong:
    """A wrong condition in line 5; columns from 10 on are in the condition."""
    text = f"{HEAD}{WINDOWS}stage s rank 1\n    when {condition}\n"
    return text, line, column, said


def stages(*given: str, line: int, column: int, said: str) -> Wrong:
    """A wrong list of stages, from line 2 on."""
    return HEAD + "".join(given), line, column, said


def stage(head: str, condition: str) -> str:
    """A stage of two lines."""
    return f"stage {head}\n    when {condition}\n"


TEXTS: list[Wrong] = [
    ("", 1, 1, "the plan is empty; begin with: plan NAME version 1"),
    ("\n# only a note\n   \n", 1, 1, "the plan is empty"),
    ("# note\nstage s rank 1\n    when reached\n", 2, 1, "no name yet"),
    ("plam p version 1\n" + TAIL, 1, 1, "unknown word 'plam'; did you mean 'plan'?"),
    ("plan\n" + TAIL, 1, 5, "after 'plan' the name of the plan is missing"),
    ("plan P version 1\n" + TAIL, 1, 6, "'P' is no name of a plan"),
    ("plan a-b version 1\n", 1, 7, "unexpected character '-'"),
    ("plan 5stages version 1\n" + TAIL, 1, 6, "'5stages' is no name"),
    ("plan and version 1\n" + TAIL, 1, 6, "'and' is a word of the language"),
    ("plan " + "a" * 41 + " version 1\n" + TAIL, 1, 6, "at most 40"),
    ("plan p versoin 1\n" + TAIL, 1, 8, "'versoin' where 'version' is expected"),
    ("plan p version\n" + TAIL, 1, 15, "after 'version' a version is missing"),
    ("plan p version 0\n" + TAIL, 1, 16, "'0' is no version; write a whole number from 1"),
    ("plan p version -1\n" + TAIL, 1, 16, "'-1' is no version"),
    ("plan p version 1.5\n" + TAIL, 1, 16, "'1.5' is no version"),
    ("plan p version one\n" + TAIL, 1, 16, "'one' is no version"),
    ("plan p version 1d\n" + TAIL, 1, 16, "'1d' is no version"),
    ("plan p version " + "9" * 5000 + "\n" + TAIL, 1, 16, "is no version"),
    ("plan p version 1 2\n" + TAIL, 1, 18, "'2' is too much here"),
    (HEAD + HEAD + TAIL, 2, 1, "a second plan"),
    (HEAD, 1, 1, "no stage has a rank"),
    (HEAD + 'titel "x"\n' + TAIL, 2, 1, "unknown word 'titel'; did you mean 'title'?"),
    (HEAD + "title x\n" + TAIL, 2, 7, "put the title between"),
    (HEAD + 'title "x\n' + TAIL, 2, 7, "a text that does not end"),
    (HEAD + 'title "x" "y"\n' + TAIL, 2, 11, "too much here"),
    (HEAD + 'title "x"\ntitle "y"\n' + TAIL, 3, 1, "'title' is said a second time"),
    (HEAD + "grace\n" + TAIL, 2, 6, "after 'grace' a length of time is missing"),
    (HEAD + "grace 5\n" + TAIL, 2, 7, "'5' is no length of time; write days, hours"),
    (HEAD + "grace -5d\n" + TAIL, 2, 7, "'-5d' is no length of time"),
    (HEAD + "grace 2w\n" + TAIL, 2, 7, "weeks, months and years are written in days"),
    (HEAD + "grace 40000d\n" + TAIL, 2, 7, "longer than 100 years"),
    (HEAD + "days in Berlin\n" + TAIL, 2, 9, "'Berlin' is no fixed offset; write UTC, or UTC+02:00"),
    (HEAD + "days in UTC+15:00\n" + TAIL, 2, 9, "at most 14 hours"),
    (HEAD + "days of UTC\n" + TAIL, 2, 6, "'of' where 'in' is expected"),
    (HEAD + "forget anonymous after 0d\n" + TAIL, 2, 24, "forgetting at once"),
    (HEAD + "forget everyone after 3d\n" + TAIL, 2, 8, "'everyone' where 'anonymous' is expected"),
    (HEAD + "forget anonymous after 3d\nkeep anonymous\n" + TAIL, 3, 1, "said a second time"),
    (HEAD + "windows\n" + TAIL, 2, 1, "no window is listed"),
    (HEAD + "windows now\n    a 1d\n" + TAIL, 2, 9, "'now' is too much here"),
    (HEAD + "windows\n    a 1d\n    a 2d\n" + TAIL, 4, 5, "a second window 'a'"),
    (HEAD + "windows\n    a\n" + TAIL, 3, 6, "after 'a' a length of time is missing"),
    (HEAD + "windows\n    a: 1d\n" + TAIL, 3, 5, "a colon after 'a'; write: a 1d"),
    (HEAD + "windows\n    in 1d\n" + TAIL, 3, 5, "'in' is a word of the language"),
    (HEAD + "windows\n  a 1d\n" + TAIL, 3, 3, "2 spaces before 'a'; 0, 4 or 8"),
    (HEAD + "windows\n\ta 1d\n" + TAIL, 3, 1, "a tab; write spaces"),
    (HEAD + "windows\n    a\t1d\n" + TAIL, 3, 6, "a tab"),
    (HEAD + "    grace 1d\n" + TAIL, 2, 5, "'grace' belongs to nothing"),
    ("    " + HEAD + TAIL, 1, 5, "'plan' belongs to nothing"),
    (HEAD + "stage s rank 1\n        when reached\n", 3, 9, "8 spaces before 'when'"),
    (HEAD + "stage s rank 1\nwhen reached\n", 3, 1, "unknown word 'when'"),
]

STAGES: list[Wrong] = [
    stages("stage\n    when reached\n", line=2, column=6, said="after 'stage' the name of the stage is missing"),
    stages("stage s rank 1\n", line=2, column=7, said="stage 's' does not say when it holds"),
    stages("stage s rnak 1\n    when reached\n", line=2, column=9, said="'rnak' where 'rank' is expected"),
    stages("stage s rank\n    when reached\n", line=2, column=13, said="a rank is missing"),
    stages("stage s rank 0\n    when reached\n", line=2, column=14, said="'0' is no rank"),
    stages("stage s rank 1 2\n    when reached\n", line=2, column=16, said="too much here"),
    stages(stage("s", "reached"), line=2, column=7, said="no stage has a rank"),
    stages(stage("none rank 1", "reached"), line=2, column=7, said="'none' is what metrics call it where a customer has no stage; give the stage another name"),
    stages(stage("a rank 1", "acquired"), stage("b rank 1", "reached"), line=4, column=14, said="rank 1 is that of 'a'"),
    stages(stage("a rank 1", "acquired"), stage("a rank 2", "reached"), line=4, column=7, said="a second stage 'a'; the first is in line 2"),
    stages(TAIL, "    when acquired\n", line=4, column=5, said="'when' is said a second time"),
    stages(TAIL, "    wehn acquired\n", line=4, column=5, said="unknown word 'wehn' in a stage; did you mean 'when'?"),
    stages(TAIL, "    entering is chrun\n", line=4, column=17, said="unknown kind 'chrun'; did you mean 'churn'?"),
    stages(TAIL, "    leaving is churn\n", line=4, column=16, said="unknown kind 'churn'; known: recovery, reactivation"),
    stages(TAIL, "    entering churn\n", line=4, column=14, said="'churn' where 'is' is expected"),
    stages(TAIL, "    leaving is recovery recovery\n", line=4, column=25, said="too much here"),
    # never reached
    stages(stage("a rank 2", "reached"), stage("b rank 1", "reached"), line=4, column=7, said="never reached: the one in line 2"),
    stages(stage("a rank 2", "standing_orders >= 1"), stage("b rank 1", "standing_orders >= 3"), line=4, column=7, said="never reached"),
    stages(stage("a rank 2", "standing_orders >= 1"), stage("b rank 1", "order_days >= 2"), line=4, column=7, said="never reached"),
    stages(stage("a", "since_last_purchase >= 90d"), stage("b rank 1", "reached and since_last_purchase > 180d"), line=4, column=7, said="never reached"),
    stages(stage("a", "order_days in 90d >= 1"), stage("b rank 1", "since_last_order < 30d"), line=4, column=7, said="never reached"),
    stages(stage("a rank 1", "reached"), stage("b rank 2", "acquired"), stage("c rank 3", "reached or acquired"), line=6, column=7, said="one of those above"),
    stages(stage("a rank 1", "reached or not reached"), stage("b rank 2", "acquired"), line=4, column=7, said="never reached"),
]  # fmt: skip

CONDITIONS: list[Wrong] = [
    when("", 6, 9, "after 'when' a condition is missing"),
    when("order_day >= 2", 6, 10, "unknown fact 'order_day'; did you mean 'order_days'?"),
    when("Reached", 6, 10, "did you mean 'reached'?"),
    when("reached and (aquired)", 6, 23, "unknown fact 'aquired'; did you mean 'acquired'?"),
    when("xyz", 6, 10, "unknown fact 'xyz'; `lifestage check` shows those of a plan"),
    when("3 <= order_days", 6, 10, "a comparison begins with its fact"),
    when("at_risk <= since_last_purchase", 6, 10, "unknown fact 'at_risk'"),
    when("order_days", 6, 20, "a comparison such as >= is missing"),
    when("order_days >=", 6, 23, "a whole number is missing"),
    when("order_days = 3", 6, 21, "unexpected character '='; write == to compare"),
    when("order_days => 3", 6, 21, "unexpected '=>'; write >="),
    when("order_days is 3", 6, 21, "'is' where a comparison is expected"),
    when("reached && acquired", 6, 18, "write and"),
    when("!reached", 6, 10, "write not"),
    when("order_days >= many", 6, 24, "'many' is no whole number"),
    when("order_days >= 2.5", 6, 24, "'2.5' is no whole number"),
    when("order_days >= order_days", 6, 24, "is no whole number"),
    when("order_days >= 2 + 1", 6, 26, "unexpected character '+'"),
    when("order_days >= 90d", 6, 24, "'order_days' is a number, not the length of time 90d"),
    when("standing_orders >= at_risk", 6, 29, "is a number, not the length of time at_risk"),
    when("order_days >= 99999999999999999999", 6, 24, "is no whole number"),
    when("order_days in 90d", 6, 27, "a comparison such as >= is missing"),
    when("order_days in 90 >= 1", 6, 24, "'90' is no length of time"),
    when("order_days in 0d >= 1", 6, 24, "a window of no length"),
    when("order_days in at_rsk >= 1", 6, 24, "unknown window 'at_rsk'; did you mean 'at_risk'?"),
    when("since_last_order in 90d >= 1d", 6, 27, "'since_last_order' has no window; it is as of now"),
    when("reached in 90d", 6, 18, "'reached' has no window"),
    when("reached >= 90d", 6, 18, "'reached' cannot be compared by >=; write reached or not reached"),
    when("reached == 90d", 6, 21, "'reached' is true or false, not '90d'"),
    when("reached == 1", 6, 21, "is true or false, not '1'"),
    when("since_last_purchase", 6, 29, "a comparison such as >= is missing"),
    when("since_last_purchase >= 90", 6, 33, "not the number 90; 90d?"),
    when("since_last_purchase == 90d", 6, 30, "cannot be compared by ==; an instant has no length"),
    when("since_last_purchase >= true", 6, 33, "unknown window 'true'"),
    when("since_last_purchase >= atrisk", 6, 33, "unknown window 'atrisk'; did you mean 'at_risk'?"),
    when("since_last_purchase >= 3months", 6, 33, "weeks, months and years are written in days"),
    when("(reached", 6, 18, "after 'reached' ')' is missing"),
    when("reached)", 6, 17, "')' is too much here"),
    when("()", 6, 11, "')' where a fact is expected"),
    when("reached acquired", 6, 18, "'acquired' is too much here"),
    when("reached and", 6, 21, "after 'and' a condition is missing"),
    when("reached\n        and", 7, 12, "after 'and' a condition is missing"),
    when("and reached", 6, 10, "unknown fact 'and'"),
    when("not", 6, 13, "after 'not' a condition is missing"),
    when("reached and acquired or order_days >= 2", 6, 31, "'or' after 'and' can be read in two ways; put brackets"),
    when("reached; acquired", 6, 17, "unexpected character ';'"),
    when('reached and "x"', 6, 22, "where a fact is expected"),
    when("__import__", 6, 10, "unknown fact '__import__'"),
    # never holds
    when("order_days < 0", 6, 10, "this comparison can never hold"),
    when("standing_orders == -1", 6, 10, "this comparison can never hold"),
    when("reached and order_days <= -1", 6, 22, "this comparison can never hold"),
    when("since_last_purchase < 0d", 6, 10, "this comparison can never hold"),
    when("since_last_purchase >= at_risk and since_last_purchase < 30d", 6, 10, "this condition can never hold"),
    when("reached and not reached", 6, 10, "this condition can never hold"),
    when("reached and acquired and reached == false", 6, 10, "this condition can never hold"),
    when("acquired or (order_days >= 3 and order_days < 3)", 6, 22, "this condition can never hold"),
    when("acquired and (reached and (not reached or not acquired))", 6, 10, "this condition can never hold"),
    when("not (order_days >= 0)", 6, 10, "this condition can never hold"),
    when("order_days >= 2 and standing_orders < 2", 6, 10, "this condition can never hold"),
    when("order_days in 90d >= 3 and order_days in 365d < 3", 6, 10, "this condition can never hold"),
    when("order_days in 90d >= 1 and since_last_purchase >= 90d", 6, 10, "this condition can never hold"),
    when("standing_orders < 1 and since_last_order > 1d", 6, 10, "this condition can never hold"),
]


@pytest.mark.parametrize(("text", "line", "column", "said"), [*TEXTS, *STAGES, *CONDITIONS])
def test_a_wrong_plan_is_refused_with_its_place(text: str, line: int, column: int, said: str) -> None:
    """The first thing that is wrong is named with line and column, and the message helps."""
    with pytest.raises(PlanError) as refused:
        parse(text, "wrong.plan")
    error = refused.value
    assert (error.line, error.column) == (line, column), str(error)
    assert str(error).startswith(f"wrong.plan:{line}:{column}: ")
    assert said in str(error)


@pytest.mark.parametrize(
    "condition",
    [
        "not (since_last_purchase >= 90d) and not (since_last_purchase < 90d)",  # who never bought
        "since_last_purchase >= 90d and since_last_purchase <= 90d",  # one instant
        "order_days > 2 and order_days < 4",
        "standing_orders > 5 and order_days >= 1 and order_days < 2",
        "standing_orders >= 7 and order_days > 5 and order_days in 90d > 3 and order_days in 30d < 1",
        "order_days in 90d == 0 and order_days >= 3",
        "order_days in 90d < 1 and order_days >= 1 and since_last_purchase >= 30d",
        "not reached and since_last_activity >= 0d",
        "acquired and not reached",
        "since_last_activity < 1d and since_last_purchase >= 365d",
        "standing_orders < 1 and since_last_purchase > 1d",  # who subscribed
        "visit_days in 7d >= 8 and sessions in 7d < 1",
        "nps in 30d >= 9 and not (nps in 30d < 9) and nps >= 9",
        "not (nps >= 9) and not (nps < 9)",
        'trait.plan != "pro" and trait.plan != "free"',
        'not (trait.plan == "pro") and not (trait.plan != "pro")',
        'trait.plan == "pro" and trait.seats >= 5',
        "net_revenue >= 500.00 EUR and net_revenue < 500.00 USD",
        "subscription_lapsed and active_subscription",
        "customer and standing_orders == 0",
        "trial_running and trials == 0",
        "pricing_visits >= 2 and product_visits >= 2 and visits <= 3",
    ],
)
def test_what_only_looks_like_a_contradiction_is_taken(condition: str) -> None:
    """No false alarm where some customer fits."""
    assert isinstance(parse(HEAD + stage("s rank 1", condition)), Plan)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("standing_orders >= 3", "standing_orders >= 1"),
        ("order_days >= 1 and since_last_purchase >= 1d", "order_days >= 1"),
        ("standing_orders >= 1", "since_last_purchase < 30d"),
        ("order_days in 30d >= 1", "order_days in 31d >= 1"),
        ("order_days >= 2", "standing_orders >= 2"),
        ("since_last_purchase >= 90d", "not (since_last_purchase < 90d)"),
        ("since_last_purchase >= 90d", "since_last_activity >= 90d"),
        ("reached and acquired", "reached or acquired"),
    ],
)
def test_a_stage_that_some_customer_reaches_is_taken(first: str, second: str) -> None:
    """No false alarm where a customer fits the second stage and not the first."""
    assert isinstance(parse(HEAD + stage("a rank 2", first) + stage("b rank 1", second)), Plan)


def test_a_refusal_crosses_a_process() -> None:
    """A refusal keeps its place when it is sent from one process to another."""
    with pytest.raises(PlanError) as refused:
        parse("", "p")
    copy = pickle.loads(pickle.dumps(refused.value))  # noqa: S301
    assert (str(copy), copy.line, copy.column) == (str(refused.value), 1, 1)


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `lifestage check`."""
    command = [str(Path(sys.prefix) / "bin" / "lifestage"), "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_shows_what_a_plan_holds(tmp_path: Path) -> None:
    """`lifestage check` tells hash, windows, facts and stages in precedence; of a shipped plan by name, or of a file."""
    done = check("clm5")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"plan     clm5 version 1, hash {Compiled(CLM5).hash}"
    assert "policy   grace none, days in UTC, anonymous visitors forgotten after 30d" in lines
    assert "options  engaged_visitor off" in lines
    assert "  nps                    score           latest answer to “would you recommend us”, 0 to 10" in lines
    assert "  churn_rate            churned" in lines
    assert f"stories  {CLM5_TEXT.count(chr(10) + 'story ')}" in lines
    assert "ladder   reach < acquisition < conversion < retention < loyalty" in lines
    assert "windows  churned 180d, at_risk 90d, dormant 90d, loyalty 365d, promoter 180d, engaged 30d" in lines
    first = lines.index("stages   in precedence: the first that holds") + 1
    assert [line.split()[0] for line in lines[first : first + 8]] == [
        "churned",
        "at_risk",
        "dormant",
        "loyalty",
        "retention",
        "conversion",
        "acquisition",
        "reach",
    ]
    (tmp_path / "mine.plan").write_text(CLM5_TEXT)
    assert check(str(tmp_path / "mine.plan")).stdout == done.stdout


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    """A wrong plan, a file that is no text, and a plan that is not there: one line on stderr and exit code 1."""
    wrong, binary = tmp_path / "wrong.plan", tmp_path / "binary.plan"
    wrong.write_text(CLM5_TEXT.replace("when acquired", "when aquired"))
    binary.write_bytes(b"\xff\xfe")
    row = CLM5_TEXT.split("\n").index("    when acquired or (engaged_visitor and sessions in engaged >= 3)") + 1
    for argument, said in (
        (str(wrong), f"lifestage: {wrong}:{row}:10: unknown fact 'aquired'; did you mean 'acquired'?\n"),
        (str(binary), f"lifestage: {binary}: not UTF-8 at byte 0; save it as UTF-8 text\n"),
        (str(tmp_path), f"lifestage: {tmp_path}: cannot be read (Is a directory); give a plan file\n"),
        ("clm5x", "lifestage: no plan 'clm5x'; did you mean 'clm5'?\n"),
        ("", "lifestage: no plan is named; give a plan file, or one of: aida, clm5, clm7, hubspot8, saas\n"),
    ):
        done = check(argument)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
