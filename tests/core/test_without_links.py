"""With `identity.link = false` nobody is found by an order or ticket: what is said of one names a person, or is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner, Result

from commands.main import application
from commands.send import Events
from config.sections import Identity
from config.settings import Settings
from lifestage import log
from streams.doorway import Entry, doorway_of
from tests.core.samples import SECRET, decoded, encoded, event

OF_THINGS = [
    "order.refunded",
    "order.cancelled",
    "ticket.created",
    "ticket.replied",
    "ticket.solved",
    "ticket.reopened",
]
NOBODY: list[dict[str, Any]] = [{}, {"customer_id": "guest", "anonymous_id": "0", "email": "null"}]
SAID = (
    "$: expected a customer_id, an email or an anonymous_id that names somebody: "
    "with identity.link = false nobody is found by an order or ticket"
)


class Record(NamedTuple):
    """A record of a source."""

    value: bytes
    timestamp: int = -1
    headers: tuple[tuple[str, bytes], ...] = ()
    topic: str = "purchases"
    partition: int = 3
    offset: int = 7
    key: bytes | None = b"k"


def entered(value: bytes, *, link: bool) -> Entry:
    """What the doorway of a deployment with or without links makes of an event."""
    settings = Settings(identity=Identity(secret=SECRET.decode(), link=link))
    return doorway_of(settings, ("purchases",), 8).enter(Record(value))


def nobodys(kind: str, ids: dict[str, Any]) -> dict[str, Any]:
    """An event of an order or ticket whose ids name nobody."""
    return event(kind, **{"customer_id": ..., "email": ..., "anonymous_id": ..., **ids})


@pytest.mark.parametrize("ids", NOBODY)
@pytest.mark.parametrize("kind", OF_THINGS)
def test_what_names_nobody_is_a_dead_letter_and_counted(kind: str, ids: dict[str, Any]) -> None:
    """The log gets the account of a refusal, and the letter says why; with links it is a fact of the order or ticket."""
    value = json.dumps(nobodys(kind, ids)).encode()
    entry = entered(value, link=False)
    assert log.header(entry.value).kind == log.REFUSED
    refused = log.refused(entry.value)
    assert (refused.outcome, refused.source, refused.type, refused.reason) == ("rejected", "shop", kind, "no_identity")
    assert entry.dead_letter is not None
    assert entry.dead_letter[1] == value
    assert SAID.encode() in dict(entry.dead_letter[2]).values()
    linked = entered(value, link=True)
    assert (log.header(linked.value).kind, linked.dead_letter) == (log.FACT, None)
    assert (linked.key or b"").startswith((b"order:", b"ticket:"))


@pytest.mark.parametrize("ids", [{"customer_id": "ann"}, {"email": "ann@example.com"}, {"anonymous_id": "x"}])
@pytest.mark.parametrize("kind", OF_THINGS)
def test_what_names_somebody_is_theirs_as_with_links(kind: str, ids: dict[str, Any]) -> None:
    """Any one id is enough."""
    value = json.dumps(nobodys(kind, ids)).encode()
    entry = entered(value, link=False)
    assert log.header(entry.value).kind == log.FACT
    assert entry == entered(value, link=True)


@pytest.mark.parametrize("kind", ["cost.recorded", "ad.impression", "social.engagement", "identity.merged"])
def test_what_is_the_company_s_or_about_ids_needs_nobody(kind: str) -> None:
    """Nothing but orders and tickets is asked for a person."""
    assert decoded(encoded(kind, customer_id=...), link=False) == decoded(encoded(kind, customer_id=...))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in a folder of its own, with links or without."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)

    def run(*words: str, link: bool) -> Result:
        return CliRunner().invoke(application(), words, env={"LIFESTAGE_IDENTITY_LINK": str(link).lower()})

    return run


EVENTS = [
    event("order.completed", id="o1", order_id="o1", customer_id="ann", time="2024-01-10T00:00:00Z"),
    event("order.refunded", id="r1", order_id="o1", customer_id=..., time="2024-01-11T00:00:00Z"),
]


@pytest.mark.parametrize(
    "words",
    [
        ("replay", "e.jsonl"),
        ("explain", "ann", "e.jsonl"),
        ("backtest", "e.jsonl", "--plan", "clm5", "--against", "clm5"),
    ],
    ids=lambda words: words[0],
)
def test_commands_on_files_say_the_same(run: Callable[..., Result], words: tuple[str, ...]) -> None:
    """The refund that names nobody is told as rejected, with its line and the reason; with links it is not."""
    Path("e.jsonl").write_text("".join(json.dumps(one) + "\n" for one in EVENTS))
    without, linked = run(*words, link=False), run(*words, link=True)
    assert (without.exit_code, linked.exit_code) == (0, 0)
    assert f"e.jsonl:2: no_identity: {SAID}" in without.stderr
    assert "no_identity" not in linked.stderr


@pytest.mark.parametrize("link", [True, False])
def test_send_says_the_same_before_it_sends(link: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """The check in front of the broker refuses a refund of nobody, by the settings of the deployment."""
    settings = Settings(identity=Identity(secret=SECRET.decode(), link=link))
    events = Events(settings, ["order.refunded", "refund_id=r1", "order_id=o1", "amount=5"], None, check=True)
    assert len(list(events)) == link
    assert events.refused == (not link)
    assert (f"not sent, it would be rejected (no_identity): {SAID}" in capsys.readouterr().err) == (not link)
