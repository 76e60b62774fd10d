"""Files of events become stage changes, without Kafka."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from commands.main import application
from config.errors import OptionError
from config.plan_files import shipped
from streams.cdnow import events
from streams.offline_mapping import shipped as mappings
from tests.core.samples import event

GOLDEN = {
    "- -> conversion": 2357,
    "conversion -> retention": 687,
    "conversion -> at_risk": 1670,
    "retention -> loyalty": 514,
    "retention -> at_risk": 750,
    "loyalty -> at_risk": 723,
    "loyalty -> retention": 124,
    "at_risk -> churned": 2331,
    "at_risk -> loyalty": 376,
    "at_risk -> retention": 221,
    "churned -> retention": 333,
    "churned -> loyalty": 155,
}
END = "1998-07-01T00:00:00Z"


@pytest.fixture
def replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `lifestage replay` in a folder of its own, with no settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)

    def run(*words: str, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(application(), ["replay", *words], input=stdin)

    return run


def write(name: str, *given: dict[str, Any] | str) -> None:
    """A file of events in the current folder."""
    Path(name).write_text("".join((e if isinstance(e, str) else json.dumps(e)) + "\n" for e in given))


def moves(lines: str) -> dict[str, int]:
    """Changes by from and to."""
    data = [json.loads(line)["data"] for line in lines.splitlines()]
    return dict(Counter(f"{d['previous_stage'] or '-'} -> {d['stage']}" for d in data))


def test_the_purchases_of_cdnow_give_their_changes_in_any_order(replay: Callable[..., Result]) -> None:
    """10,241 changes up to the end of the sample, by time, then customer, whatever the order of the lines or files."""
    orders = [one for _, one in events()]
    write("all.jsonl", *orders)
    done = replay("all.jsonl", "--plan", "clm5", "--until", END)
    assert done.exit_code == 0, done.stderr
    assert moves(done.stdout) == GOLDEN
    assert sum(GOLDEN.values()) == len(done.stdout.splitlines()) == 10_241
    places = [(change["time"], change["partitionkey"]) for change in map(json.loads, done.stdout.splitlines())]
    assert places == sorted(places)
    Random(7).shuffle(orders)
    write("one.jsonl", *orders[:3000])
    write("two.jsonl", *orders[3000:])
    assert replay("two.jsonl", "one.jsonl", "--until", "1998-07-01", "--output", "changes.jsonl").stdout == ""
    assert Path("changes.jsonl").read_text() == done.stdout
    assert "6,919 accepted, 0 rejected" in done.stderr
    assert "10,241 changes before 1998-07-01T00:00:00Z\n  - -> conversion                 2,357\n" in done.stderr
    assert done.stderr.endswith("customers by stage: churned 1,843, at_risk 215, loyalty 198, retention 101\n")


def test_until_is_exclusive_and_without_it_time_ends_with_the_newest_event(replay: Callable[..., Result]) -> None:
    """An event or a timer at the end itself is left out; without an end the newest event is in."""
    first = event("order.completed", time="2024-01-01T00:00:00Z")
    second = event("web.visit", id="e2", time="2024-03-31T00:00:00Z")  # 90 days later to the instant
    write("e.jsonl", second, first)
    assert moves(replay("e.jsonl", "--until", "2024-03-31").stdout) == {"- -> conversion": 1}
    assert "1 accepted, 0 rejected, 1 after --until" in replay("e.jsonl", "--until", "2024-03-31").stderr
    assert moves(replay("e.jsonl").stdout) == {"- -> conversion": 1, "conversion -> at_risk": 1}


def test_what_is_no_event_is_shown_with_its_place_and_kept_aside(replay: Callable[..., Result]) -> None:
    """The first five by file and line, all of them in --rejected; the neighbours count, blank lines do not."""
    write("mixed.jsonl", event(), "", '{"a"', *[event(id=f"x{n}", time="never") for n in range(5)], event(test=True))
    done = replay("mixed.jsonl", "mixed.jsonl", "--rejected", "aside.jsonl")
    assert done.exit_code == 0
    assert "16 events" in done.stderr
    assert "1 accepted, 1 duplicate, 2 suppressed, 12 rejected" in done.stderr
    assert "  mixed.jsonl:3: unparsable: $: expected JSON, got" in done.stderr
    assert "  mixed.jsonl:4: wrong_type: $.time: expected an RFC 3339 time with a zone" in done.stderr
    assert "mixed.jsonl:8" not in done.stderr
    assert "  and 7 more; --rejected FILE keeps them all\n" in done.stderr
    aside = [json.loads(line) for line in Path("aside.jsonl").read_text().splitlines()]
    assert [one["line"] for one in aside] == [3, 4, 5, 6, 7, 8] * 2
    assert aside[0] | {"message": ""} == {
        "file": "mixed.jsonl", "line": 3, "reason": "unparsable", "message": "", "event": '{"a"',
    }  # fmt: skip


def test_events_come_from_a_pipe_too(replay: Callable[..., Result]) -> None:
    """`-` is stdin."""
    done = replay("-", stdin=json.dumps(event("order.completed")).encode())
    assert moves(done.stdout) == {"- -> conversion": 1}


def test_within_a_second_changes_stand_by_time(replay: Callable[..., Result]) -> None:
    """Half a second after comes after, though its text sorts before."""
    write(
        "e.jsonl",
        event("order.completed", customer_id="a", time="2024-01-01T00:00:00.500Z"),
        event("order.completed", id="e2", order_id="o2", customer_id="b", time="2024-01-01T00:00:00Z"),
    )
    assert [json.loads(line)["partitionkey"] for line in replay("e.jsonl").stdout.splitlines()] == ["b", "a"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.jsonl",), "nowhere.jsonl: no such file"),
        ((".",), ".: a folder; name the files in it, such as ./*.jsonl"),
        (("e.jsonl", "--plan", "klm5"), "no plan 'klm5'; did you mean 'clm5'?"),
        (("e.jsonl", "--output", "no/where"), "no/where: cannot be written (No such file or directory)"),
    ],
)
def test_a_wrong_word_is_one_line(replay: Callable[..., Result], words: tuple[str, ...], said: str) -> None:
    """A file or plan that is not there is named, with what to do."""
    write("e.jsonl", event())
    done = replay(*words)
    assert done.exit_code == 1
    assert str(done.exception) == said


def test_a_wrong_time_is_a_wrong_option(replay: Callable[..., Result]) -> None:
    """--until says what it takes."""
    write("e.jsonl", event())
    done = replay("e.jsonl", "--until", "noon")
    assert done.exit_code == 2
    assert "'noon': expected an RFC 3339 time with a zone" in done.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("e.jsonl --output e.jsonl", "--output e.jsonl: the same file as e.jsonl, which is read"),
        ("link.jsonl --rejected ./e.jsonl", "--rejected e.jsonl: the same file as link.jsonl, which is read"),
        ("e.jsonl --output hard.jsonl", "--output hard.jsonl: the same file as e.jsonl, which is read"),
        ("e.jsonl --plan my.plan --output my.plan", "--output my.plan: the same file as my.plan, which is read"),
        ("e.jsonl --config my.toml --output my.toml", "--output my.toml: the same file as my.toml, which is read"),
        ("rows.csv --csv m.toml --rejected m.toml", "--rejected m.toml: the same file as m.toml, which is read"),
        ("e.jsonl --output new --rejected ./new", "--rejected new: the same file as that of --output"),
        ("--log --plan my.plan --output my.plan", "--output my.plan: the same file as my.plan, which is read"),
    ],
)
def test_nothing_that_is_read_is_overwritten(replay: Callable[..., Result], words: str, said: str) -> None:
    """An output under any name of an input, or of another output, is refused before it is opened."""
    write("e.jsonl", event())
    Path("link.jsonl").symlink_to("e.jsonl")
    Path("hard.jsonl").hardlink_to("e.jsonl")
    Path("my.plan").write_text(shipped()["clm5"].read_text())
    Path("my.toml").write_text("")
    Path("m.toml").write_text(mappings()["cdnow"].read_text())
    Path("rows.csv").write_text("customer,date,dollars\n")
    before = {path: path.read_bytes() for path in Path().iterdir()}
    done = replay(*words.split())
    assert isinstance(done.exception, OptionError)
    assert str(done.exception) == f"{said}; name another one"
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_a_dash_is_stdout(replay: Callable[..., Result]) -> None:
    """`--output -` writes the changes to stdout; rejected events are not mixed with them."""
    write("e.jsonl", event("order.completed"))
    done = replay("e.jsonl", "--output", "-")
    assert moves(done.stdout) == {"- -> conversion": 1}
    assert [path.name for path in Path().iterdir()] == ["e.jsonl"]
    assert str(replay("e.jsonl", "--rejected", "-").exception) == "--rejected -: stdout is for the result; name a file"
    assert replay("e.jsonl", "--output", "/dev/null", "--rejected", "/dev/null").exit_code == 0


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("e.csv", "1;2\n", "e.csv looks like CSV; --csv MAPPING says which column gives which field"),
        ("export", "id,time\n1,2\n", "export looks like CSV; --csv MAPPING says which column gives which field"),
        ("e.json", '[{"id": 1},\n{"id": 2}]\n', "e.json is one JSON array; write its events one a line, such as by  jq -c '.[]' e.json"),
        ("e.json", '{\n"id": 1\n}\n', "e.json is JSON over several lines; write an event a line, such as by  jq -c . e.json"),
        ("e.txt", '\ufeff{"id": 1}\n', "e.txt is UTF-16; save it as UTF-8"),
    ],
)  # fmt: skip
def test_a_file_of_another_form_is_told_what_to_do(
    replay: Callable[..., Result], name: str, content: str, said: str
) -> None:
    """Where most of what was read is no event, the summary says what the file is and how to read it."""
    Path(name).write_bytes(content.encode("utf-16-le" if "UTF-16" in said else "utf-8"))
    assert f"\n  {said}\n" in replay(name).stderr
    write("fine.jsonl", event(), event(id="e2"), event(id="e3"), event(id="e4", time="never"))
    assert "looks like" not in replay("fine.jsonl").stderr


def test_a_stream_of_another_form_is_told_what_to_do(replay: Callable[..., Result]) -> None:
    """What came through a pipe cannot be looked at again: where it does not begin with JSON, what is expected is said."""
    hint = "\n  events are JSON, one a line; --csv MAPPING reads rows of CSV\n"
    assert hint in replay("-", stdin=b"id,time\n1,2\n").stderr
    assert hint not in replay("-", stdin=json.dumps(event(time="never")).encode()).stderr
    assert hint not in replay("-", stdin=b"").stderr


@pytest.mark.parametrize("csv", [[], ["--csv", "cdnow"]])
def test_a_packed_file_is_refused_with_what_unpacks_it(replay: Callable[..., Result], csv: list[str]) -> None:
    """Its bytes are not taken for lines."""
    Path("e.jsonl.gz").write_bytes(gzip.compress(b"{}\n"))
    refused = replay("e.jsonl.gz", *csv)
    assert str(refused.exception) == "e.jsonl.gz: packed by gzip; unpack it: gunzip -k e.jsonl.gz"


def test_a_byte_order_mark_is_no_part_of_the_first_event(replay: Callable[..., Result]) -> None:
    """Files as editors on Windows save them, from a pipe too; the mark of a later line is not overlooked."""
    line = json.dumps(event("order.completed"))
    Path("e.jsonl").write_text(f"\ufeff{line}\r\n\ufeff{line}\r\n")
    for name, stdin in (("e.jsonl", None), ("-", Path("e.jsonl").read_bytes())):
        done = replay(name, stdin=stdin)
        assert moves(done.stdout) == {"- -> conversion": 1}
        assert "2 events" in done.stderr
        assert "1 accepted, 1 rejected" in done.stderr


def test_the_summary_says_when_time_ended(replay: Callable[..., Result]) -> None:
    """With the newest event, told when that is ahead of now, or where --until says; one is not called many."""
    write("e.jsonl", event("order.completed", time="2024-01-01T00:00:00Z"))
    said = replay("e.jsonl").stderr
    assert "1 event in " in said
    assert "\n1 change up to 2024-01-01T00:00:00Z, the newest event\n" in said
    assert "ahead of now" not in said
    assert "\n3 changes before 2025-01-01T00:00:00Z\n" in replay("e.jsonl", "--until", "2025-01-01").stderr
    write("e.jsonl", event("order.completed", time="2999-01-01T00:00:00Z"))
    warning = "warning: the newest event is 2999-01-01T00:00:00Z, ahead of now; --until TIME ends before it\n"
    assert warning in replay("e.jsonl").stderr
    assert warning not in replay("e.jsonl", "--until", "2025-01-01").stderr
