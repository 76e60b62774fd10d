"""Rejected events are listed with their reasons, shown with the place of the mistake, and go back once what was wrong is mended."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner, Result

from commands.main import application
from lifestage.refusal import REASONS
from streams import redriving
from streams.dead_letters import REDRIVEN, Why, headers
from streams.embedded.kafka import KafkaServer
from streams.letters import Letter, LetterReader, Scan, Wanted
from streams.redriving import Plan, Redriver, Told
from tests.broker.test_bad_input import BAD, order
from tests.pipeline import Deployment, deployment, differences, truth_of

pytestmark = pytest.mark.broker

ALONE = {"kafka__instance_id": "one"}
MORE: dict[str, tuple[bytes | None, str, str]] = {
    "bad id": (order(id="e\x7f1"), "bad_id", "$.id"),
    "no number": (order(total_minor=-1, total=...), "out_of_range", "$.total_minor"),
}
KINDS = BAD | MORE
"""At least one record for each reason that a letter can have."""


class Shell:
    """A person's shell in a deployment."""

    def __init__(self, made: Deployment) -> None:
        self.made = made

    def run(self, *words: str) -> Result:
        """Run `lifestage dead-letters …` to its end; `output` is stdout and stderr."""
        return CliRunner().invoke(application(), ["dead-letters", *words])

    def done(self, *words: str) -> str:
        """What a command says that is to end well."""
        ended = self.run(*words)
        assert ended.exit_code == 0, (words, ended.output, ended.exception)
        return ended.stdout


@pytest.fixture
def shell(kafka: KafkaServer, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A shell in a deployment of its own, whose settings stand in the environment."""
    for name in [name for name in os.environ if name.startswith("LIFESTAGE_")]:
        monkeypatch.delenv(name)
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **ALONE) as made:
        for name, value in made.given.items():
            monkeypatch.setenv(f"LIFESTAGE_{name.replace('.', '_').upper()}", value)
        yield Shell(made)


def send(made: Deployment, source: str, values: dict[str, bytes | None]) -> None:
    """Send values to one partition of a source, each with a key and a header that say which it is."""
    producer = KafkaProducer(bootstrap_servers=made.bootstrap, acks="all", max_request_size=2_000_000)
    for name, value in values.items():
        headers = [("trace", name.encode())]
        producer.send(made.prefix + source, key=name.encode(), value=value, headers=headers, partition=1)
    producer.flush(60)
    producer.close(5)


def worked_off(made: Deployment, name: str) -> None:
    """Let a worker do all there is to do."""
    with made.worker(name) as worker:
        made.wait_done(alive=[worker.wait_ready()])
        assert worker.terminate() == 0


def outcomes(made: Deployment) -> Counter[str]:
    """Events by what became of them, as accounted for."""
    found: Counter[str] = Counter()
    for (_, _, outcome), count in truth_of(made).accounted.items():
        found[outcome] += count
    return found


def listed(shell: Shell, *words: str) -> dict[str, dict[str, Any]]:
    """The letters that `list --json` shows, by the name in their key."""
    letters = [json.loads(line) for line in shell.done("list", "--all", "--json", *words).splitlines()]
    return {letter["key"]: letter for letter in letters}


def place(letter: dict[str, Any]) -> str:
    """Where a listed letter is, as a person writes it."""
    return f"{letter['topic']}[{letter['partition']}]@{letter['offset']}"


def test_every_reason_is_listed_shown_and_taken_out_as_it_came(shell: Shell) -> None:
    """A letter of each reason is counted, found by its filters, shown with its place marked, and given out byte for byte."""
    made = shell.made
    assert {reason for _, reason, _ in KINDS.values()} == REASONS - {"test"}
    send(made, "purchases", {name: value for name, (value, _, _) in KINDS.items()})
    worked_off(made, "w1")
    letters = listed(shell)
    assert {name: letter["headers"]["lifestage-reason"] for name, letter in letters.items()} == {
        name: reason for name, (_, reason, _) in KINDS.items()
    }
    told = shell.done("list", "--limit", "3").splitlines()
    assert len([line for line in told if line.startswith("20")]) == 3
    assert f"{len(KINDS)} rejected events" in told
    for reason, count in Counter(reason for _, reason, _ in KINDS.values()).items():
        assert f"  {reason:<20}{count:>9}" in told
    assert listed(shell, "--source", "visits") == {}
    assert listed(shell, "--since", "2999-01-01") == {}
    chosen = listed(shell, "--since", "2001-01-01", "--source", "purchases", "--reason", "too_large")
    assert chosen.keys() == {name for name, (_, reason, _) in KINDS.items() if reason == "too_large"}
    for name in ("nearly 1 MB", "no value", "registry"):
        value, reason, _ = KINDS[name]
        there = place(letters[name])
        assert CliRunner().invoke(application(), ["dead-letters", "show", there, "--raw"]).stdout_bytes == (
            value or b""
        )
        text = shell.done("show", there)
        assert f"reason     {reason}" in text
        assert f"header     trace: {name}" in text
        assert f"came in    {letters[name]['headers']['lifestage-topic']}[1]@" in text
        assert len(text) < 8_000
    shown = shell.done("show", place(letters["negative amount"])).splitlines()
    at = next(number for number, line in enumerate(shown) if "^" in line)
    assert shown[at - 1][shown[at].index("^") : shown[at].rindex("^") + 1] == '"-1.00"'
    assert "\n000000  7b 22" in shell.done("show", place(letters["not UTF-8"])), "what is no text is not in hex"
    source = f"purchases[1]@{letters['deep']['headers']['lifestage-offset']}"
    assert shell.done("show", source) == shell.done("show", place(letters["deep"])), "not found by its source"


def test_what_was_mended_goes_back_and_counts_once(shell: Shell) -> None:
    """A redriven event is accepted once, also when it is sent back twice by mistake; its rejection stays counted."""
    made = shell.made
    nobody: dict[str, bytes | None] = {
        f"n{at}": order(customer_id="null", id=f"e{at}", order_id=f"o{at}") for at in range(3)
    }
    wrong: dict[str, bytes | None] = {"wrong": order(total="-1.00", id="e9"), "raw": b"\x00\xff" + order()}
    send(made, "purchases", nobody | wrong)
    with made.worker() as worker:
        made.wait_done(alive=[worker.wait_ready()])
        assert outcomes(made) == {"rejected": 5}
        ended = shell.run("redrive", "--all", "--yes")
        assert ended.exit_code == 1, "what is as wrong as before was said to be sent"
        assert ended.output.count("would be rejected again") == 5
        mended = ("redrive", "--reason", "no_identity", "--fix", "customer_id=ann")
        assert "nobody can be asked here" in str(shell.run(*mended).exception)
        assert shell.done(*mended, "--dry-run").count("would go to") == 3
        assert sum(made.ends([made.prefix + "purchases"]).values()) == 5, "something was sent"
        assert shell.done(*mended, "--yes").count("->") == 3
        assert shell.done(*mended, "--yes").count("left: was redriven before, to ") == 3
        made.wait_done(alive=[worker])
        assert outcomes(made) == {"rejected": 5, "accepted": 3}
        assert shell.done(*mended, "--yes", "--again").count("->") == 3
        letter = place(listed(shell)["raw"])
        assert "->" in shell.done("redrive", letter, "--unchecked")
        made.wait_done(alive=[worker])
        assert worker.terminate() == 0
    assert outcomes(made) == {"rejected": 6, "accepted": 3, "duplicate": 3}
    check_redriven(shell, nobody)
    check_untouched(made, letter, wrong["raw"])
    assert differences(made) == []


def check_redriven(shell: Shell, nobody: dict[str, bytes | None]) -> None:
    """Beside the fix a record went back as it came, and list and show say where to."""
    made = shell.made
    records = [record for record in made.read(made.prefix + "purchases") if record.key == b"n0"]
    assert len(records) == 3
    original, mended, again = records
    assert msgspec.json.decode(mended.value or b"") == msgspec.json.decode(nobody["n0"] or b"") | {"customer_id": "ann"}
    assert mended.value == again.value
    letter = listed(shell)["n0"]
    assert mended.headers == (*original.headers, (REDRIVEN, place(letter).encode()))
    there = f"{made.prefix}purchases[1]@{again.offset}"
    assert letter["redriven"] == there
    assert f"redriven   to {there}" in shell.done("show", place(letter))
    assert f"redriven to {there}]" in shell.done("list")
    assert "6 rejected events, 4 redriven" in shell.done("list")


def check_untouched(made: Deployment, letter: str, value: bytes | None) -> None:
    """Without a fix key, value and headers went back as they came; rejected once more, the new letter names the first."""
    original, again = [record for record in made.read(made.prefix + "purchases") if record.key == b"raw"]
    assert (again.key, again.value) == (original.key, value)
    assert again.headers == (*original.headers, (REDRIVEN, letter.encode()))
    letters = [dict(one.headers) for one in made.read(made.topics.dead_letters.name) if one.key == b"raw"]
    assert [one.get(REDRIVEN) for one in letters] == [None, letter.encode()]


def redriven(made: Deployment, doubt_s: float = 60, since: int | None = None, **how: Any) -> list[Told]:
    """Send back all there is, or since an instant (ms), from within."""
    with Redriver(made.settings, made.bootstrap) as redriver, LetterReader(made.settings, made.bootstrap) as reader:
        redriver.doubt_s = doubt_s
        scan = Scan(reader, Wanted(since=since))
        letters = list(scan.letters())
        return list(redriver.send(letters, Plan(scan.marks, sources=frozenset(made.sources), **how)))


def put_aside(made: Deployment, count: int) -> None:
    """Letters as a worker writes them, of events that named nobody."""
    producer = KafkaProducer(bootstrap_servers=made.bootstrap, acks="all")
    topic = made.prefix + "purchases"
    for at in range(count):
        why = Why("no_identity", "$: expected a customer_id", topic, 1, at)
        told = headers(why, [("trace", b"%d" % at)])
        producer.send(made.topics.dead_letters.name, value=order(id=f"e{at}"), headers=told, partition=1)
    producer.flush(60)
    producer.close(5)


def half_done(made: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redrive of 40 that dies when 20 are sent, and 10 of them are marked as sent."""
    with monkeypatch.context() as broken:
        mark, calls = Redriver._mark, list[Any]()

        def dying(self: Redriver, *of: Any, **how: Any) -> None:
            calls.append(how)
            if len(calls) == 4:
                raise KeyboardInterrupt
            mark(self, *of, **how)

        broken.setattr(Redriver, "_mark", dying)
        with pytest.raises(KeyboardInterrupt):
            redriven(made)


def sent(made: Deployment) -> Counter[bytes]:
    """How often each letter was sent back."""
    return Counter(dict(record.headers)[REDRIVEN] for record in made.read(made.prefix + "purchases"))


def test_a_redrive_that_dies_half_way_is_gone_on_with_exactly(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a redrive sent before it died is found by its header and not sent again; the rest is."""
    made = shell.made
    put_aside(made, 40)
    monkeypatch.setattr(redriving, "RUN_MAX", 10)
    half_done(made, monkeypatch)
    assert Counter(told.left.partition(":")[0].partition(", to")[0] for told in redriven(made)) == {
        "was redriven before": 10, "another redrive has begun with it just now": 10, "": 20,
    }  # fmt: skip
    assert Counter(told.before for told in redriven(made, doubt_s=0)) == {True: 40}
    assert len(sent(made)) == 40
    assert set(sent(made).values()) == {1}, "sent twice, or not at all"


def test_without_the_look_for_what_went_out_it_goes_out_twice(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same redrive goes wrong where the source is not asked, so the test before would see it."""
    made = shell.made
    put_aside(made, 40)
    monkeypatch.setattr(redriving, "RUN_MAX", 10)
    half_done(made, monkeypatch)
    monkeypatch.setattr(Redriver, "_went_out", lambda *_: {})
    redriven(made, doubt_s=0)
    assert Counter(sent(made).values()) == {1: 30, 2: 10}


def test_of_two_redrives_at_a_time_one_sends(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redrive whose mark comes second leaves the letter to the one whose mark came first."""
    made = shell.made
    put_aside(made, 5)
    mark, others = Redriver._mark, list[Told]()

    def overtaken(self: Redriver, *of: Any, **how: Any) -> None:
        if not others:
            others.append(Told(of[0].ready[0][0]))
            others.extend(redriven(made))
        mark(self, *of, **how)

    monkeypatch.setattr(Redriver, "_mark", overtaken)
    left = [told.left for told in redriven(made)]
    assert len(left) == 5
    assert all(words.startswith("another redrive has it in hand") for words in left)
    assert Counter(sent(made).values()) == {1: 5}


def test_also_in_a_later_run_of_letters_the_first_mark_counts(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a redrive has marked its letters before as sent is no claim to the next: one that began with those is first."""
    made = shell.made
    put_aside(made, 10)
    monkeypatch.setattr(redriving, "RUN_MAX", 5)
    mark, calls = Redriver._mark, list[Any]()

    def dying(*_: Any) -> Any:
        raise KeyboardInterrupt

    def overtaken(self: Redriver, *of: Any, **how: Any) -> None:
        calls.append(how)
        if len(calls) == 3:  # begun, sent, begun
            with monkeypatch.context() as broken:
                broken.setattr(Redriver, "_taken", dying)
                with pytest.raises(KeyboardInterrupt):
                    redriven(made)
        mark(self, *of, **how)

    monkeypatch.setattr(Redriver, "_mark", overtaken)
    assert Counter(told.left.partition(":")[0] for told in redriven(made)) == {
        "": 5,
        "another redrive has it in hand": 5,
    }
    assert Counter(sent(made).values()) == {1: 5}


def test_a_mark_from_before_the_instant_that_is_asked_for_counts(shell: Shell) -> None:
    """A letter that a restart repeats after it was redriven is not sent again when one asks for the newest alone."""
    made = shell.made
    put_aside(made, 1)
    redriven(made)
    with LetterReader(made.settings, made.bootstrap) as reader:
        since = 1 + max(found.timestamp if isinstance(found, Letter) else found[2] for found in reader.scan())
    put_aside(made, 1)
    assert [told.before for told in redriven(made, since=since)] == [True]
    assert Counter(sent(made).values()) == {1: 1}
