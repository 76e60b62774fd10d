"""Events go in from the shell and are seen going through, on a real Kafka."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner, Result

from commands.main import application
from config.settings import Settings, load
from streams.embedded.kafka import KafkaServer
from streams.provision import apply, plan
from streams.running import write
from streams.topics import topics_of
from tests.wire import create_topic, produce, read_all

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
ORDER = ["order.completed", "customer_id=ann", "total=40.10", "currency=EUR", "order_id=0042"]
CHANGE = b"""{"customer_id":"%s","stage":"conversion","previous_stage":"reach","kind":"advance","entered_at":"%s"}"""


class Shell:
    """A person's shell, with settings of a deployment of its own on the shared broker."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.file = folder / "lifestage.toml"
        self.file.write_text(
            f'[kafka]\nbootstrap = "{bootstrap}"\ngroup = "{prefix}group"\n'
            f'[topics]\nprefix = "{prefix}"\npartitions = 3\n[identity]\nsecret = "for tests only, 32 characters."\n'
        )
        self.bootstrap, self.prefix = bootstrap, prefix
        self.settings: Settings = load(self.file)

    def run(self, *words: str, stdin: bytes | None = None) -> Result:
        """Run a command to its end; `output` is stdout and stderr."""
        return CliRunner().invoke(application(), [words[0], "--config", str(self.file), *words[1:]], input=stdin)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        command = [sys.executable, "-m", "commands", words[0], "--config", str(self.file), *words[1:]]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )

    def values(self, topic: str) -> list[dict[str, object]]:
        """The JSON values of a topic."""
        return [json.loads(record.value or b"") for record in read_all(self.bootstrap, self.prefix + topic)]


@pytest.fixture
def shell(kafka: KafkaServer, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell in a provisioned deployment."""
    for name in [name for name in os.environ if name.startswith("LIFESTAGE_")]:
        monkeypatch.delenv(name)
    shell = Shell(kafka.bootstrap, topic_prefix, tmp_path)
    apply(shell.settings, kafka.bootstrap, plan(shell.settings, kafka.bootstrap))
    return shell


def test_an_order_is_sent_in_one_line(shell: Shell) -> None:
    """The topic follows from the type, what is missing is filled in, and the place of the record is printed."""
    done = shell.run("send", *ORDER)
    assert done.exit_code == 0, done.output
    (record,) = read_all(shell.bootstrap, shell.prefix + "purchases")
    assert done.output == f"{shell.prefix}purchases[{record.partition}]@{record.offset}\n"
    assert record.key == b"ann"
    event = json.loads(record.value or b"")
    assert event["order_id"] == "0042"
    assert event["source"] == "shell"
    assert {"id", "time"} <= event.keys()
    assert b'"total":40.10' in (record.value or b"")


def test_a_topic_may_be_named(shell: Shell) -> None:
    """The first word is a topic when it is one."""
    assert shell.run("send", "visits", *ORDER).exit_code == 0
    assert len(shell.values("visits")) == 1


def test_what_would_be_rejected_is_not_sent(shell: Shell) -> None:
    """The message names place and reason, the exit code is 1, and nothing is in the topic; --unchecked sends it."""
    wrong = [word.replace("40.10", "-4") for word in ORDER]
    refused = shell.run("send", *wrong)
    assert refused.exit_code == 1
    assert "$.total" in refused.output
    assert "not sent" in refused.output
    assert shell.values("purchases") == []
    assert shell.run("send", *wrong, "--unchecked").exit_code == 0
    assert [event["total"] for event in shell.values("purchases")] == [-4]


def test_json_is_sent_as_it_stands(shell: Shell) -> None:
    """One event as an option, with the topic that its type asks for."""
    given = '{"id":"v1","source":"s","type":"web.visit","time":"2026-01-01T00:00:00Z","anonymous_id":"a","url":"/"}'
    done = shell.run("send", "--json", given)
    assert done.exit_code == 0, done.output
    (record,) = read_all(shell.bootstrap, shell.prefix + "visits")
    assert record.value == given.encode()
    assert record.key == b"a"


@pytest.mark.parametrize("words", [["-"], ["--json", "-"]])
def test_lines_of_json_are_read_from_stdin(shell: Shell, words: list[str]) -> None:
    """Good lines are sent, each to its topic; bad ones are told with their number, and the exit code is 1."""
    lines = [
        b'{"type":"web.visit","url":"/","customer_id":"ann"}',
        b"",
        b"{",
        b'{"type":"order.cancelled","order_id":"o1","customer_id":"ann"}',
        b'{"type":"order.cancelled","customer_id":"ann"}',
        b'{"url":"/"}',
    ]
    done = shell.run("send", *words, stdin=b"\n".join(lines))
    assert done.exit_code == 1
    assert "line 3: not a JSON object" in done.output
    assert "line 5: not sent" in done.output
    assert "line 6: the event has no type" in done.output
    assert len(shell.values("visits")) == len(shell.values("purchases")) == 1


def test_thousands_of_lines_keep_their_order(shell: Shell) -> None:
    """Events of one customer arrive as they were written, more than are on their way at a time."""
    lines = [b'{"type":"web.visit","url":"/","customer_id":"ann","id":"%d"}' % number for number in range(2_500)]
    done = shell.run("send", "visits", "-", stdin=b"\n".join(lines))
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) == 2_500
    assert [event["id"] for event in shell.values("visits")] == [str(number) for number in range(2_500)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no type of event"),
        (["customer_id=ann"], "no type of event"),
        (["order.completed", "ann"], "'ann' is no field"),
        (["oder.completed"], "did you mean 'order.completed'"),
        (["visits", "a=1", "--json", "{}"], "not both"),
    ],
)
def test_a_wrong_command_says_what_was_meant(shell: Shell, words: list[str], told: str) -> None:
    """One line on stderr and exit code 1; nothing is sent."""
    done = shell.run("send", *words)
    assert done.exit_code == 1
    assert told in done.output
    assert len(done.output.splitlines()) == 1


def test_a_topic_that_is_not_there_says_how_to_make_it(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """Neither sending nor following makes a topic, and both say so within seconds."""
    shell = Shell(kafka.bootstrap, topic_prefix, tmp_path)
    started = time.monotonic()
    for words in (["send", *ORDER], ["tail", "purchases"]):
        done = shell.run(*words)
        assert done.exit_code == 1
        assert f"topic {topic_prefix}purchases is not there: `lifestage provision` makes it" in done.output
    assert time.monotonic() - started < 10
    with pytest.raises(LookupError):
        read_all(kafka.bootstrap, topic_prefix + "purchases")


def test_changes_are_followed_from_the_beginning(shell: Shell) -> None:
    """One line a change; --customer leaves out the others, --count ends it."""
    topic = topics_of(shell.settings).changes.name
    for customer in (b"ann", b"bob", b"ann"):
        produce(shell.bootstrap, topic, [(customer, CHANGE % (customer, b"2026-03-01T12:00:00Z"))])
    done = shell.run("tail", "stage-changes", "--from-beginning", "--customer", "ann", "--count", "2")
    assert done.exit_code == 0, done.output
    assert [line.split() for line in done.output.splitlines()] == [
        ["2026-03-01T12:00:00Z", "ann", "reach", "->", "conversion", "advance"]
    ] * 2


def test_records_are_shown_whole_as_json(shell: Shell) -> None:
    """With --json a line is the record: place, key, headers and value."""
    assert shell.run("send", *ORDER).exit_code == 0
    done = shell.run("tail", "purchases", "--from-beginning", "--count", "1", "--json")
    found = json.loads(done.output)
    assert (found["topic"], found["key"]) == (shell.prefix + "purchases", "ann")
    assert found["value"]["order_id"] == "0042"


def test_following_shows_what_comes_and_not_what_was(shell: Shell) -> None:
    """Without --from-beginning only records that come after the command was given are shown; Ctrl-C ends it quietly."""
    topic = topics_of(shell.settings).changes.name
    produce(shell.bootstrap, topic, [(b"old", CHANGE % (b"old", b"2026-01-01T00:00:00Z"))])
    tail = shell.start("tail", "stage-changes")
    try:
        assert tail.stdout is not None
        seen = b""
        deadline = time.monotonic() + 30
        while b"new" not in seen and time.monotonic() < deadline:
            produce(shell.bootstrap, topic, [(b"new", CHANGE % (b"new", b"2026-03-01T12:00:00Z"))])
            if select.select([tail.stdout], [], [], 0.2)[0]:
                seen += os.read(tail.stdout.fileno(), 65_536)
        assert b"new" in seen
        assert b"old" not in seen
        tail.send_signal(signal.SIGINT)
        assert tail.communicate(timeout=15)[1] == ""
        assert tail.returncode == 0
    finally:
        tail.kill()
        tail.communicate()


def test_a_pipe_that_ends_ends_the_command_quietly(shell: Shell) -> None:
    """`lifestage tail … | head -1` leaves no traceback."""
    produce(shell.bootstrap, shell.prefix + "visits", [(None, b'{"id":"%d"}' % number) for number in range(20_000)])
    tail = shell.start("tail", "visits", "--from-beginning")
    try:
        assert tail.stdout is not None
        assert tail.stdout.readline()
        tail.stdout.close()
        tail.stdout = None
        assert tail.communicate(timeout=15)[1] == ""
    finally:
        tail.kill()
        tail.communicate()


@pytest.mark.parametrize(("codec", "library"), [("snappy", "python-snappy"), ("lz4", "lz4"), ("zstd", "zstandard")])
def test_a_record_that_cannot_be_unpacked_is_named(shell: Shell, codec: str, library: str) -> None:
    """What comes before it is shown, also of other partitions; then one line with its place, its codec and what to install."""
    topic = shell.prefix + "packed"
    create_topic(shell.bootstrap, topic, 3)
    for number, (compression, partition) in enumerate((("none", 0), ("gzip", 1), (codec, 1), ("none", 2))):
        producer = Producer({"bootstrap.servers": shell.bootstrap, "compression.type": compression, "linger.ms": 200})
        for n in range(5):
            producer.produce(topic, b'{"id":"%d.%d %s"}' % (number, n, b"a" * 300), partition=partition)
        assert producer.flush(30) == 0
    shell.file.write_text(shell.file.read_text().replace("[topics]\n", '[topics]\nsources = ["packed"]\n'))
    tail = shell.start("tail", "packed", "--from-beginning")
    try:
        out, err = tail.communicate(timeout=60)
    finally:
        tail.kill()
    assert tail.returncode == 1
    assert err == (
        f"lifestage: {topic}[1]@5 is compressed with {codec}, for which there is no library: type  .venv/bin/pip install "
        f"{library}  (a worker needs cramjam: `lifestage doctor` says more)\n"
    )
    assert [f"1.{n} " in out for n in range(5)] == [True] * 5
    assert "2.0 " not in out


def test_no_broker_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command that needs Kafka says which address did not answer, and ends with 1."""
    shell = Shell("127.0.0.1:1", "none.", tmp_path)
    monkeypatch.setenv("LIFESTAGE_HOME", str(tmp_path))
    monkeypatch.setenv("LIFESTAGE_REDIS_ENABLED", "false")
    monkeypatch.setenv("LIFESTAGE_METRICS_PORT", "0")
    for words in (["send", *ORDER], ["tail", "visits"], ["provision"], ["worker"]):
        process = shell.start(*words)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 1
        assert out == ""
        *before, line = err.splitlines()
        assert line.startswith("lifestage: Kafka at 127.0.0.1:1: refused, nothing listens there: start it, or correct ")
        assert len(before) == (2 if words == ["worker"] else 0), "its core and the address of its metrics"


def test_without_an_address_a_running_demo_is_used(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no kafka.bootstrap the commands find the demo of LIFESTAGE_HOME; without one they say what to start."""
    monkeypatch.setenv("LIFESTAGE_HOME", str(tmp_path))
    shell = Shell("", topic_prefix, tmp_path)
    process = shell.start("send", *ORDER)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "no demo is running" in err
    assert "`lifestage demo --keep`" in err
    write(tmp_path, kafka=kafka.bootstrap)
    create_topic(kafka.bootstrap, topic_prefix + "purchases")
    assert shell.run("send", *ORDER).exit_code == 0
