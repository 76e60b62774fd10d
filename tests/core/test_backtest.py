"""Two plans over the same events: what `backtest` and `whatif` say is what two replays say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from commands.main import application
from commands.whatif import changes_of
from config.errors import OptionError
from config.plan_files import sheet_of, shipped
from config.settings import Settings
from lifestage.backtest import standings
from lifestage.facts import Fact
from lifestage.language import parse
from lifestage.moments import parse as instant
from lifestage.replay import Follower, in_order, replay, time_of
from lifestage.replay import Path as Tallied
from streams.cdnow import FILE, events
from streams.rules import rules_with
from tests.core.histories import facts, thorough
from tests.core.samples import event

END = "1998-07-01T00:00:00Z"
CLM5 = shipped()["clm5"].read_text(encoding="utf-8")
SHORTER = CLM5.replace("at_risk 90d", "at_risk 60d").replace("churned 180d", "churned 120d")
RULES = [rules_with(Settings(), parse(text)) for text in (CLM5, SHORTER)]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `lifestage` in a folder of its own, with no settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)
    Path("shorter.plan").write_text(SHORTER)
    return lambda *words: CliRunner().invoke(application(), list(words))


def write(name: str, *given: dict[str, Any]) -> None:
    """A file of events in the current folder."""
    Path(name).write_text("".join(json.dumps(e) + "\n" for e in given))


def ends(lines: str) -> dict[str, dict[str, Any]]:
    """The last change of each customer."""
    return {change["partitionkey"]: change["data"] for change in map(json.loads, lines.splitlines())}


def test_both_sides_are_two_replays_of_cdnow(run: Callable[..., Result]) -> None:
    """Changes, stages and moves are those of two replays; each customer who differs is told with both stages and why."""
    assert SHORTER.count("60d") == SHORTER.count("120d") == 1
    words = (str(FILE), "--csv", "cdnow", "--until", END)
    done = run("backtest", *words, "--plan", "clm5", "--against", "shorter.plan", "--json", "--output", "moved.jsonl")
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    replays = {name: run("replay", *words, "--plan", plan) for name, plan in (("a", "clm5"), ("b", "shorter.plan"))}
    stand = {name: ends(replayed.stdout) for name, replayed in replays.items()}
    differ = {key for key in stand["a"] if stand["a"][key]["stage"] != stand["b"][key]["stage"]}
    for name, replayed in replays.items():
        assert said[f"changes_{name}"] == len(replayed.stdout.splitlines())
        assert said[f"stages_{name}"] == Counter(data["stage"] for data in stand[name].values())
        assert said[f"plan_{name}"] == next(iter(stand[name].values()))["plan"]
    moves = Counter((stand["a"][key]["stage"], stand["b"][key]["stage"]) for key in differ)
    assert {(move["from"], move["to"]): move["customers"] for move in said["moves"]} == moves
    assert (said["customers"], said["differ"], said["changes_a"]) == (2357, len(differ), 10_241)
    told = [json.loads(line) for line in Path("moved.jsonl").read_text().splitlines()]
    assert [one["customer_id"] for one in told] == sorted(differ)
    for one in told:
        for name in ("a", "b"):
            data = stand[name][one["customer_id"]]
            assert (one[name]["stage"], one[name]["entered_at"]) == (data["stage"], data["entered_at"])
            assert one[name]["evidence"]["rule"] == data["evidence"]["rule"]
            assert one[name]["evidence"]["condition"] == data["evidence"]["condition"]


def test_whatif_is_a_backtest_against_other_windows(run: Callable[..., Result]) -> None:
    """`--set` on a plan says what a backtest against a file with these windows says."""
    words = (str(FILE), "--csv", "cdnow", "--until", END, "--plan", "clm5", "--json")
    wanted = json.loads(run("backtest", *words, "--against", "shorter.plan", "--output", "a.jsonl").stdout)
    done = run("whatif", *words, "--set", "at_risk=60d", "--set", "churned = 120d", "--output", "b.jsonl")
    assert done.exit_code == 0, done.stderr
    names = (("_a", "_before"), ("_b", "_after"))
    assert json.loads(done.stdout) == {
        next((name.removesuffix(old) + new for old, new in names if name.endswith(old)), name): value
        for name, value in wanted.items()
    }
    assert [list(json.loads(line)) for line in Path("b.jsonl").read_text().splitlines()[:1]] == [["customer_id", "before", "after"]]  # fmt: skip
    assert [list(json.loads(line).values()) for line in Path("b.jsonl").read_text().splitlines()] == [
        list(json.loads(line).values()) for line in Path("a.jsonl").read_text().splitlines()
    ]


def test_what_a_person_reads(run: Callable[..., Result]) -> None:
    """From → to with numbers, both plans with their changes and stages; the events are accounted for on stderr."""
    orders = [one for _, one in events()]
    Random(3).shuffle(orders)
    write("e.jsonl", *orders)
    done = run("whatif", "e.jsonl", "--set", "at_risk=60d", "--set", "churned=120d", "--until", END)
    assert done.stdout == (
        "185 of 2,357 customers stand elsewhere at the end: before 1998-07-01T00:00:00Z\n"
        "  at_risk -> churned                115\n"
        "  loyalty -> at_risk                 37\n"
        "  retention -> at_risk               33\n"
        "before  10,241 changes: clm5 version 1\n"
        "after   11,327 changes: at_risk 90d -> 60d, churned 180d -> 120d\n"
        "before  customers by stage: churned 1,843, at_risk 215, loyalty 198, retention 101\n"
        "after   customers by stage: churned 1,958, at_risk 170, loyalty 161, retention 68\n"
    )
    assert "6,919 accepted, 0 rejected" in done.stderr


@thorough
@given(facts(), st.integers(0, 400))
def test_a_side_is_a_replay_of_its_own(history: list[Fact], after: int) -> None:
    """Followed side by side, each plan's changes and stage are those of its own replay, and the evidence is that at the end."""
    end = max(fact.time for fact in history) + 1 + after * 86_400_000
    tallies = [Tallied() for _ in RULES]
    followers = [Follower("c1", rules, tally) for rules, tally in zip(RULES, tallies, strict=True)]
    for time in sorted({fact.time for fact in history}):
        for follower in followers:
            follower.take([fact for fact in in_order(history) if time_of(fact) == time])
    before, after_ = [follower.finish(end) for follower in followers]
    for rules, tally, profile in zip(RULES, tallies, (before, after_), strict=True):
        alone = replay(history, rules, end)
        assert (tally.changes, +tally.population) == (alone.changes, +alone.population)
        assert profile.stage == (alone.changes[-1].data.stage if alone.changes else None)
    told = standings((before, RULES[0]), (after_, RULES[1]), end)
    assert (told is None) == (before.stage == after_.stage)
    for side, profile in zip(told or (), (before, after_), strict=bool(told)):
        assert side.stage == profile.stage
        assert side.evidence.rule == f"clm5.{profile.stage}"
        assert instant(str(side.entered_at)) < end


def test_an_option_is_tried_as_well(run: Callable[..., Result]) -> None:
    """With `engaged_visitor` on, three sessions are as good as a lead."""
    visits = [event("web.visit", id=f"e{n}", session_id=f"s{n}") for n in range(3)]
    write("e.jsonl", *visits)
    done = run("whatif", "e.jsonl", "--set", "engaged_visitor=on")
    said = done.stdout.splitlines()
    assert said[0] == "1 of 1 customer stands elsewhere at the end: up to 2024-02-29T12:00:00Z, the newest event"
    assert said[1] == "  reach -> acquisition                1"
    assert "after   1 change: engaged_visitor off -> on\n" in done.stdout
    wrong = run("whatif", "e.jsonl", "--set", "engaged_visitr=on")
    assert "engaged_visitor" in str(wrong.exception)


def test_the_document_says_as_of_when(run: Callable[..., Result]) -> None:
    """`until` is what was asked for, `as_of` what it came to: an instant, or that of the newest event, if there is any."""
    write("e.jsonl", event(time="2024-01-01T00:00:00Z"), event(id="e2", time="2024-02-03T00:00:00Z"))
    words = ("--plan", "clm5", "--against", "shorter.plan", "--json")
    for more, found in (
        ([], (None, "2024-02-03T00:00:00Z")),
        (["--until", "2024-05-01"], ("2024-05-01", "2024-05-01T00:00:00Z")),
    ):
        said = json.loads(run("backtest", "e.jsonl", *words, *more).stdout)
        assert (said["until"], said["as_of"]) == found
    Path("empty.jsonl").write_text("")
    assert json.loads(run("backtest", "empty.jsonl", *words).stdout)["as_of"] is None


def test_nobody_in_a_stage_differs_from_somebody(run: Callable[..., Result]) -> None:
    """A plan that places fewer customers leaves the others nowhere: `null` in JSON, - in the table."""
    buyers = "plan buyers version 1\n\nstage bought rank 1\n    when standing_orders >= 1\n"
    Path("buyers.plan").write_text(buyers)
    write("e.jsonl", event("web.visit"), event("order.completed", id="e2", customer_id="c2"))
    done = run("backtest", "e.jsonl", "--plan", "clm5", "--against", "buyers.plan", "--json", "--output", "m.jsonl")
    assert json.loads(done.stdout)["moves"] == [
        {"from": "conversion", "to": "bought", "customers": 1},
        {"from": "reach", "to": None, "customers": 1},
    ]
    first = msgspec.json.decode(Path("m.jsonl").read_bytes().splitlines()[0])
    assert first["b"] == {"stage": None, "entered_at": None, "evidence": first["b"]["evidence"]}
    assert "  reach -> -                          1\n" in run("backtest", "e.jsonl", "--plan", "clm5", "--against", "buyers.plan").stdout  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("at_risk", "--set 'at_risk': expected WINDOW=LENGTH, such as at_risk=60d, or OPTION=on"),
        ("=60d", "--set '=60d': expected WINDOW=LENGTH, such as at_risk=60d, or OPTION=on"),
        ("at_risk=", "--set 'at_risk=': expected WINDOW=LENGTH, such as at_risk=60d, or OPTION=on"),
        ("at_risk=60", "--set 'at_risk=60': '60' is no length of time; write days, hours, minutes or seconds: 90d, 12h, 30m, 45s"),
        ("at_risk=2w", "--set 'at_risk=2w': '2w' is no length of time; weeks, months and years are written in days: 7d, 30d, 365d"),
        ("at_risk=on", "--set 'at_risk=on': 'at_risk' is a window; write a length of time, such as at_risk=60d"),
        ("engaged_visitor=maybe", "--set 'engaged_visitor=maybe': 'engaged_visitor' is an option; write engaged_visitor=on or engaged_visitor=off"),
        ("engaged_visitor=60d", "--set 'engaged_visitor=60d': 'engaged_visitor' is an option; write engaged_visitor=on or engaged_visitor=off"),
        ("at_risk=-3d", "--set 'at_risk=-3d': '-3d' is no length of time; write days, hours, minutes or seconds: 90d, 12h, 30m, 45s"),
    ],
)  # fmt: skip
def test_a_wrong_window_is_one_line(given: str, said: str) -> None:
    """What is no window and length, or no option and switch, says what was meant."""
    with pytest.raises(OptionError) as refused:
        changes_of([given], sheet_of("clm5"))
    assert str(refused.value) == said


def test_a_change_that_the_plan_cannot_take_is_refused(run: Callable[..., Result]) -> None:
    """An unknown name, one that is set twice, and a window that makes a stage impossible end before any event is read."""
    write("e.jsonl", event())
    for words, said in (
        ("boredom=60d", "--set 'boredom=60d': the plan has no window or option 'boredom'; known: churned, at_risk, "),
        ("at_rsk=on", "--set 'at_rsk=on': the plan has no window or option 'at_rsk'; did you mean 'at_risk'?"),
        ("at_risk=60d --set at_risk=70d", "--set 'at_risk=70d': 'at_risk' is set a second time; once is enough"),
        ("churned=30d", f"--set churned=30d: with it, {shipped()['clm5']}:28:7: this stage is never reached"),
        (
            "at_risk=200d --set engaged_visitor=on",
            f"--set at_risk=200d --set engaged_visitor=on: with it, {shipped()['clm5']}:28:7: this stage is never",
        ),
    ):
        done = run("whatif", "e.jsonl", "--set", *words.split())
        assert isinstance(done.exception, OptionError)
        assert str(done.exception).startswith(said)
        assert done.stdout == ""


def test_a_window_that_no_condition_reads_is_warned_of(run: Callable[..., Result]) -> None:
    """`engaged` counts only with the option that asks for it; a window that is read is never warned of."""
    write("e.jsonl", event())
    warning = "warning: --set engaged: no condition reads the window 'engaged', so its length changes nothing\n"
    assert warning in run("whatif", "e.jsonl", "--set", "engaged=10d").stderr
    for words in ("engaged=10d --set engaged_visitor=on", "at_risk=200d --set churned=400d", "at_risk=90d"):
        done = run("whatif", "e.jsonl", "--set", *words.split())
        assert done.exit_code == 0, done.exception
        assert "warning: --set" not in done.stderr
