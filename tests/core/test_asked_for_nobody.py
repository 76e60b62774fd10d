"""Who asks for a blocked id is told that it names nobody, before any server is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from commands.main import application
from lifestage.keys import email_key
from tests.core.samples import event

SECRET = "a secret of the tests, 32 bytes."
OF_NOBODY = email_key("noreply@example.com", SECRET.encode())
SETTINGS = f"""
[identity]
secret = "{SECRET}"
[intake]
blocked_ids = [" Till 7 ", "NoReply@example.com"]
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in a folder of its own, with the settings of a company that has no Kafka here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lifestage.toml").write_text(SETTINGS)
    monkeypatch.setenv("LIFESTAGE_CONFIG", "lifestage.toml")
    return lambda *words: CliRunner().invoke(application(), words)


def said(done: Result) -> str:
    """The one line with which a command was refused."""
    assert done.exit_code == 1
    return str(done.exception)


NAMES_NOBODY = "it names nobody, and in an event it counts as absent"


@pytest.mark.parametrize("id", ["guest", "GUEST ", "anon:null", "0", "00000000-0000-0000-0000-000000000000"])
@pytest.mark.parametrize(
    "words",
    [("explain",), ("identity", "show"), ("identity", "split", "c1"), ("identity", "merge", "c1"),
     ("identity", "merge", "c1", "c2", "--into")],
    ids=" ".join,
)  # fmt: skip
def test_an_id_that_is_always_blocked_names_nobody(run: Callable[..., Result], words: tuple[str, ...], id: str) -> None:
    """In any spelling, in every command that takes an id; nothing needs to be read for that."""
    assert said(run(*words, id)) == f"{id!r} is blocked: {NAMES_NOBODY}"


@pytest.mark.parametrize(
    ("id", "shown"),
    [("till 7", "'till 7'"), ("anon:TILL 7", "'anon:TILL 7'"), ("noreply@EXAMPLE.com", f"'{OF_NOBODY}'"),
     (OF_NOBODY, f"'{OF_NOBODY}'")],
)  # fmt: skip
def test_nobody_is_merged_with_an_id_that_a_company_has_blocked(
    run: Callable[..., Result], id: str, shown: str
) -> None:
    """Also where something came under it before; an address is not repeated, and its key stands for it."""
    assert said(run("identity", "merge", "c1", id)) == f"{shown} is blocked (intake.blocked_ids): {NAMES_NOBODY}"


def test_an_explanation_from_files_says_so_beside_what_was_rejected(run: Callable[..., Result]) -> None:
    """The lines with that id are told all the same: that is where it was sent."""
    events = [event(id="v1", customer_id="guest"), event(id="v2", customer_id="Till 7"), event(id="v3")]
    Path("e.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    guest, till = run("explain", "guest", "e.jsonl"), run("explain", "till 7", "e.jsonl")
    assert said(guest) == f"'guest' is blocked: {NAMES_NOBODY}"
    assert said(till) == f"'till 7' is blocked (intake.blocked_ids): {NAMES_NOBODY}"
    assert guest.stderr.startswith("2 rejected, 1 of them with 'guest' in them:\n  e.jsonl:1: no_identity: ")


def test_who_is_not_blocked_is_asked_for_as_ever(run: Callable[..., Result]) -> None:
    """A name that only begins like a blocked one goes on to Kafka, which is not there; in files it has no events."""
    Path("e.jsonl").write_text(json.dumps(event()) + "\n")
    for id in ("guest2", "till 77", "no", "10"):
        assert "kafka.bootstrap" in said(run("identity", "show", id))
        assert said(run("explain", id, "e.jsonl")) == f"no events of customer {id!r} in e.jsonl"
