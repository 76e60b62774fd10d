"""`lifestage explain` on files: what it reads, what it says beside the answer, and how it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from commands.main import application
from lifestage.keys import email_key
from tests.core.oracle import DAY
from tests.core.samples import event


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `lifestage explain` in a folder of its own, with no settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)

    def run(*words: str, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(application(), ["explain", *words], input=stdin)

    return run


def write(name: str, *given: dict[str, Any]) -> None:
    """A file of events in the current folder."""
    Path(name).write_text("".join(json.dumps(one) + "\n" for one in given))


def bought(customer: str, number: int, time: str, **changes: Any) -> dict[str, Any]:
    """An order of a customer."""
    return event("order.completed", id=f"{customer}{number}", order_id=f"{customer}{number}", customer_id=customer,
                 time=time, **changes)  # fmt: skip


def test_the_command_explains_from_files_in_any_order(run: Callable[..., Result]) -> None:
    """Of two files only the customer's events count; time ends with the newest event of anybody."""
    write("one.jsonl", bought("ann", 2, "2024-02-10T00:00:00Z"), bought("bob", 1, "2024-06-30T00:00:00Z"))
    write("two.jsonl", bought("ann", 1, "2024-01-10T00:00:00Z"), event(customer_id="eve", time="no time"))
    done = run("ann", "one.jsonl", "two.jsonl")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith(
        "ann  is in at_risk since 2024-05-10T00:00:00Z\nas of 2024-06-30T00:00:00Z, plan clm5"
    )
    assert run("ann", "two.jsonl", "one.jsonl").stdout == done.stdout


def test_rejected_lines_are_told_beside_the_explanation(run: Callable[..., Result]) -> None:
    """On stderr, however the answer ends: how many, the first with their places, and how many have the customer's name."""
    wrong = [event(customer_id="ann" if number < 2 else "eve", time="no time") for number in range(5)]
    write("e.jsonl", bought("ann", 1, "2024-01-10T00:00:00Z"), *wrong)
    said = run("ann", "e.jsonl").stderr.splitlines()
    assert said[0] == "5 rejected, 2 of them with 'ann' in them:"
    assert [line.split(" ")[2] for line in said[1:4]] == ["e.jsonl:2:", "e.jsonl:3:", "e.jsonl:4:"]
    assert said[4:] == ["  and 2 more; `lifestage replay FILE... --rejected REJECTED` keeps them all"]
    assert run("bob", "e.jsonl").stderr.startswith("5 rejected:\n")
    assert run("ann", "e.jsonl", "--at", "2024-01-11").exit_code == 0
    Path("t.csv").write_text("id,time\n1,2024-01-10\n")
    assert run("ann", "t.csv").stderr.splitlines()[-1] == (
        "nothing was read; of files of CSV name the mapping: --csv MAPPING"
    )


def test_at_is_inclusive_and_leaves_out_what_came_later(run: Callable[..., Result]) -> None:
    """An event at that instant counts; one after it, and what it would have brought, does not."""
    write("e.jsonl", bought("ann", 1, "2024-01-10T00:00:00Z"), bought("ann", 2, "2024-02-10T00:00:00Z"))
    assert run("ann", "e.jsonl", "--at", "2024-02-10").stdout.startswith("ann  is in retention since 2024-02-10T00")
    assert run("ann", "e.jsonl", "--at", "2024-02-09T23:59:59.999Z").stdout.startswith(
        "ann  is in conversion since 2024"
    )
    assert run("ann", "e.jsonl", "--at", "2024-05-10").stdout.startswith("ann  is in at_risk since 2024-05-10T00")
    assert run("ann", "e.jsonl", "--at", "2024-05-09T23:59:59.999Z").stdout.startswith("ann  is in retention since")


def test_json_has_everything(run: Callable[..., Result]) -> None:
    """Stages with their findings, all instants, and the changes as replay gives them."""
    write("e.jsonl", bought("ann", 1, "2024-01-10T00:00:00Z"), bought("ann", 2, "2024-02-10T00:00:00Z"))
    found = json.loads(run("ann", "e.jsonl", "--json").stdout)
    assert (found["customer"], found["stage"], found["since"]) == ("ann", "retention", "2024-02-10T00:00:00Z")
    assert found["next"] == {"at": "2024-05-10T00:00:00Z", "in_ms": 90 * DAY, "stage": "at_risk", "forgotten": False}
    assert [one["facts"][0]["id"] for one in found["history"]] == ["ann1", "ann2"]
    by_stage = {one["stage"]: one for one in found["stages"]}
    assert by_stage["loyalty"]["higher"]
    assert by_stage["retention"]["holds"]
    assert by_stage["loyalty"]["finding"]["parts"][0] == {
        "kind": "comparison", "condition": "order_days in 365d >= 3", "holds": False, "value": 2, "said": "2",
        "missing": "2 now, 1 more needed", "turns_at": None,
    }  # fmt: skip
    replayed = CliRunner().invoke(application(), ["replay", "e.jsonl"])
    assert found["changes"] == [json.loads(line) for line in replayed.stdout.splitlines()]


def test_a_customer_is_found_by_address_and_by_anonymous_id(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address in any spelling, which is not shown; anon: and the id; events from a pipe."""
    monkeypatch.setenv("LIFESTAGE_IDENTITY_SECRET", "s" * 32)
    write(
        "e.jsonl", event(customer_id=..., email="Ann@Example.com"), event(id="e2", customer_id=..., anonymous_id="a1")
    )
    key = email_key("ann@example.com", b"s" * 32)
    assert run(" ann@EXAMPLE.com", "e.jsonl").stdout.startswith(f"{key}  is in acquisition since")
    assert run("anon:a1", "-", stdin=Path("e.jsonl").read_bytes()).stdout.startswith("anon:a1  is in reach since")


def test_who_is_not_there_is_one_line(run: Callable[..., Result]) -> None:
    """Never seen in these files, or not yet at that time: said so, with exit code 1."""
    write("e.jsonl", bought("ann", 1, "2024-01-10T00:00:00Z"))
    for words, said in (
        (("eve", "e.jsonl"), "no events of customer 'eve' in e.jsonl"),
        (
            ("ann", "e.jsonl", "--at", "2024-01-09"),
            "no events of customer 'ann' up to 2024-01-09T00:00:00Z in e.jsonl: the first is of 2024-01-10T00:00:00Z",
        ),
        (("ann", "nowhere.jsonl"), "nowhere.jsonl: no such file"),
    ):
        done = run(*words)
        assert (done.exit_code, str(done.exception)) == (1, said)
    assert run("ann", "e.jsonl", "--at", "noon").exit_code == 2


def test_any_id_of_a_customer_is_asked_for(run: Callable[..., Result]) -> None:
    """A visitor's device and address are the customer's: asked for any of them the answer is one, and says whose it is."""
    visits = [
        event("web.visit", id=f"v{day}", customer_id=..., anonymous_id="d1", time=f"2024-01-0{day}T00:00:00Z")
        for day in (1, 2, 3)
    ]
    joined = event("web.visit", id="j", customer_id="ann", anonymous_id="d1", email="Ann@example.com",
                   time="2024-01-04T00:00:00Z")  # fmt: skip
    read = event("email.event", id="m", customer_id=..., recipient="ann@EXAMPLE.com", time="2024-01-05T00:00:00Z")
    write("e.jsonl", read, joined, *visits, bought("ann", 1, "2024-01-06T00:00:00Z"))
    asked = {id: json.loads(run(id, "e.jsonl", "--json").stdout) for id in ("ann", "anon:d1", "ann@Example.com")}
    address = asked["ann@Example.com"]["asked"]["id"]
    assert address.startswith("email:")
    assert {one["customer"] for one in asked.values()} == {"ann"}
    assert [one["id"] for one in asked["ann"]["members"]] == ["anon:d1", address]
    assert asked["ann"]["asked"] is None
    assert asked["anon:d1"]["asked"] == {"id": "anon:d1", "since": "2024-01-04T00:00:00Z", "past": False}
    assert asked["ann"]["outcomes"] == {"accepted": 6}
    assert {**asked["ann"], "asked": 0} == {**asked["anon:d1"], "asked": 0} == {**asked["ann@Example.com"], "asked": 0}
    said = run("anon:d1", "e.jsonl").stdout
    assert "anon:d1 belongs to ann since 2024-01-04T00:00:00Z" in said
    assert f"ids  anon:d1, {address}" in said
    assert "ann@example.com" not in said.lower()


def test_at_knows_no_link_that_came_later(run: Callable[..., Result]) -> None:
    """Before a visitor was seen with a customer id they are explained as a visitor."""
    visit = event("web.visit", id="v", customer_id=..., anonymous_id="d1", time="2024-01-01T00:00:00Z")
    write("e.jsonl", visit, bought("ann", 1, "2024-01-06T00:00:00Z", anonymous_id="d1"))
    assert run("anon:d1", "e.jsonl", "--at", "2024-01-05").stdout.startswith("anon:d1  is in reach since 2024-01-01")
    assert run("anon:d1", "e.jsonl").stdout.startswith("ann  is in conversion since 2024-01-06")
    assert str(run("ann", "e.jsonl", "--at", "2024-01-05").exception).endswith("the first is of 2024-01-06T00:00:00Z")
