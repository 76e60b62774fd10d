"""The stories of the shipped plans are true, offline and through the log; and one that is not true is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.json import encode
from msgspec.structs import replace

from lifestage.cause import Rules
from lifestage.decode import Decoder
from lifestage.facts import EmailEvent
from lifestage.language import checked
from lifestage.plan import Compiled
from lifestage.stories import differences, end_of, facts_of, moves_of, run
from tests.core.histories import Tick, partition, records
from tests.core.plan_samples import HAPPENINGS
from tests.stories.shipped import PLANS, Told, event, renamed, sheet, stories

STORIES = stories()


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_a_story_of_a_shipped_plan_is_true(told: Told) -> None:
    """What file replay announces is what the story tells, no more and no less."""
    assert [str(failure) for failure in run(told.story, told.rules)] == []


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_a_story_is_true_through_the_log(told: Told) -> None:
    """The facts as log records, one after the other, and a tick at the end: a partition announces what the story tells."""
    story = told.story
    live = partition(told.rules).fold(records([*facts_of(story), Tick(end_of(story))]))
    assert [str(failure) for failure in differences(story, moves_of(live))] == []


@pytest.mark.parametrize("told", STORIES, ids=str)
def test_a_story_is_true_while_the_clock_goes_on(told: Told) -> None:
    """A tick before each record brings what was due by then at its own instant, in order, and the story stays true."""
    story = told.story
    through = partition(told.rules)
    items = [item for line in story.lines for item in (Tick(line.at), line.fact) if item is not None]
    changes = through.fold(records([*items, Tick(end_of(story))]))
    assert [str(failure) for failure in differences(story, moves_of(changes))] == []
    assert not any(change.data.supersedes for change in changes)


def test_all_stories_are_true_side_by_side() -> None:
    """Customers with other names in one log do not touch each other."""
    for path in PLANS:
        rules = Rules(Compiled(sheet(path).plan))
        told = [renamed(story, f"s{number}") for number, story in enumerate(sheet(path).stories)]
        facts = sorted((fact for story in told for fact in facts_of(story)), key=lambda fact: fact.time)
        through = partition(rules)
        moves = moves_of(through.fold(records([*facts, Tick(max(map(end_of, told)))])))
        for story in told:
            keys, end = {line.key for line in story.lines}, end_of(story)
            mine = [move for move in moves if move.key in keys and move.at < end]
            assert [str(failure) for failure in differences(story, mine)] == []


def test_each_stage_and_each_kind_of_move_has_its_story() -> None:
    """Every stage of a shipped plan is reached in one of its stories; reversals, demotions and the rest are told as well."""
    kinds = set()
    for path in PLANS:
        moves = [line.told for story in sheet(path).stories for line in story.lines if line.told is not None]
        assert {move.stage for move in moves} >= {stage.name for stage in sheet(path).plan.stages}, path.stem
        kinds |= {move.kind for move in moves}
    assert {"entry", "advance", "skip", "demotion", "reversal", "at_risk", "churn", "dormancy", "recovery", "reactivation"} <= kinds  # fmt: skip


HEAD = """plan p version 1
stage silent
    when reached and since_last_activity >= 90d
    entering is at_risk
    leaving is recovery
stage buyer rank 2
    when standing_orders >= 1
stage guest rank 1
    when reached
story "x"
"""


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("day 0 visit -> guest entry", []),
        ("day 0 visit -> guest", []),
        ("day 0 visit -> buyer", ["s:11: day 0: expected buyer, got guest entry"]),
        ("day 0 visit -> guest advance", ["s:11: day 0: expected guest advance, got guest entry"]),
        ("day 0 visit", ["s:11: day 0: expected nothing, got guest entry"]),
        ("day 0 visit -> -", ["s:11: day 0: expected nothing, got guest entry"]),
        ("day 0 order 5.00 -> buyer entry", ["s:11: day 0: expected buyer entry, got buyer entry (skipped guest)"]),
        ("day 0 order 5.00 -> buyer entry (skipped guest)", []),
        ("day 0 order 5.00 -> buyer", []),
        ("day 0 visit -> guest\n    day 90 nothing -> silent at_risk", []),
        (
            "day 0 visit -> guest\n    day 91 nothing -> silent",
            ["s:12: day 91: expected silent, got nothing; it comes at day 90"],
        ),
        (
            "day 0 12h visit -> guest\n    day 90 nothing -> silent\n    day 91 nothing",
            ["s:12: day 90: expected silent, got nothing; it comes at day 90 12h"],
        ),
        (
            "day 0 visit -> guest\n    day 100 visit -> guest recovery",
            ["s:11: day 90: expected nothing, got silent at_risk; add: day 90 nothing -> silent at_risk"],
        ),
        (
            "2024-02-01 visit -> guest\n    2024-05-10 12h visit -> guest recovery",
            ["s:11: 2024-05-01: expected nothing, got silent at_risk; add: 2024-05-01 nothing -> silent at_risk"],
        ),
        (
            "day 0 ben: visit -> guest\n    day 1 visit -> buyer\n    day 95 nothing",
            [
                "s:12: day 1: expected buyer, got guest entry",
                "s:12: day 90 ben: expected nothing, got silent at_risk; add: day 90 ben: nothing -> silent at_risk",
                "s:12: day 91: expected nothing, got silent at_risk; add: day 91 nothing -> silent at_risk",
            ],
        ),
        (
            "day 0 email z: visit -> buyer\n    day 0 anonymous: visit -> guest",
            [
                "s:11: day 0 email z: expected buyer, got guest entry",
                "s:12: day 0 anonymous customer: expected guest, got nothing",
            ],
        ),
    ],
)
def test_a_story_that_is_not_true_is_found(lines: str, said: list[str]) -> None:
    """Another stage or kind, a move too many, too few or at another instant: each is named with its line and its day."""
    sheet = checked(f"{HEAD}    {lines}\n", "s")
    found = run(sheet.stories[0], Rules(Compiled(sheet.plan)))
    assert [str(failure) for failure in found] == said


def test_a_customer_may_come_to_stand_nowhere() -> None:
    """Where no condition holds any more, the story says so."""
    text = 'plan p version 1\nstage s rank 1\n    when visits in 1d >= 1\nstory "x"\n    day 0 visit -> s entry\n    day 1 nothing -> nowhere demotion\n'
    sheet = checked(text)
    assert run(sheet.stories[0], Rules(Compiled(sheet.plan))) == []


def test_the_command_lists_all_that_is_not_true(tmp_path: Path) -> None:
    """`lifestage check` shows each story, writes one line for each failure, and ends with 1."""
    path = tmp_path / "mine.plan"
    path.write_text(
        f'{HEAD}    day 0 visit -> buyer\nstory "y"\n    day 0 visit -> guest\nstory "z"\n    day 0 visit\n'
    )
    done = subprocess.run(
        [str(Path(sys.prefix) / "bin/lifestage"), "check", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        [
            f"{path}:11: day 0: expected buyer, got guest entry",
            f"{path}:15: day 0: expected nothing, got guest entry",
        ],
    )
    assert done.stdout.splitlines()[-4:] == ["stories  3", "  not true  x", "  true      y", "  not true  z"]


def test_a_fact_of_a_story_is_an_event_that_the_door_takes() -> None:
    """All that a story can tell can be sent, and comes in as the same fact."""
    lines = "\n".join(f"    day 1 {what}" for what in HAPPENINGS)
    every = checked(
        f'{HEAD.removesuffix(chr(10))}\n{lines}\nstory "y"\n    day 0 anonymous: visit\n    day 0 email: visit\n'
    )
    decoder = Decoder(b"a secret of the tests, 32 bytes.")
    for story in (*every.stories, *(told.story for told in STORIES)):
        for fact in facts_of(renamed(story, "s1")):
            taken = decoder.decode(encode(event(fact)), None)
            assert isinstance(taken, type(fact)), taken
            assert (taken.email is None) == (fact.email is None)
            if isinstance(taken, EmailEvent):  # the door says of the address whose mailbox it is
                taken = replace(taken, mailbox=None)
            assert replace(taken, email=None) == replace(fact, email=None)
