"""The demo as a person starts it: the right figures, an end of its own, and nothing left behind."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.embedded.kafka import KafkaServer
from streams.embedded.process import free_ports
from streams.embedded.redis import EmbeddedRedis
from streams.running import read
from tests.core.test_replay_command import END, GOLDEN
from tests.workers import environment_of

pytestmark = pytest.mark.broker

COMMAND = [sys.executable, "-P", "-m", "commands"]


class Demo:
    """A running `lifestage demo` with a home of its own; `text()` is what it has printed so far."""

    def __init__(self, home: Path, *words: str, **settings: str) -> None:
        self.home = home
        self.environment = environment_of({name.replace("__", "."): value for name, value in settings.items()}, home)
        self._printed = home / "printed"
        home.mkdir(exist_ok=True)
        with self._printed.open("wb") as out:
            self.process = subprocess.Popen(
                [*COMMAND, "demo", *words], env=self.environment, stdout=out, stderr=out, start_new_session=True
            )

    def text(self) -> str:
        """What it has printed so far."""
        return self._printed.read_text()

    def until(self, words: str, timeout_s: float = 90) -> None:
        """Wait until it has printed `words`."""
        deadline = time.monotonic() + timeout_s
        while words not in self.text():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.05)

    def end(self, timeout_s: float = 150) -> int:
        """Wait until it ends by itself; its exit code."""
        return self.process.wait(timeout_s)

    def interrupt(self, number: int = signal.SIGINT) -> tuple[int, float]:
        """Send a signal; the exit code, and the seconds until the end."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(40), time.monotonic() - began

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command in the same home, as from another terminal."""
        return subprocess.run([*COMMAND, *words], env=self.environment, capture_output=True, text=True, check=False)

    def left(self) -> list[str]:
        """The processes of this home that still run: each inherits the variable that names it, or works in a folder of it.

        (Valkey writes its title over its variables.)
        """
        mark = f"LIFESTAGE_HOME={self.home}\0".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                ours = mark in (process / "environ").read_bytes()
                if ours or (process / "cwd").readlink().is_relative_to(self.home):
                    found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found


@pytest.fixture
def demo(real_kafka: Callable[..., KafkaServer], tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Starts a demo; what a failed test leaves is killed."""
    del real_kafka  # asked for, so that a machine without Java says what to type
    begun: list[Demo] = []

    def start(*words: str, **settings: str) -> Demo:
        begun.append(Demo(tmp_path / "home", *words, **settings))
        return begun[-1]

    yield start
    for one in begun:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def figures(text: str) -> dict[str, str]:
    """The closing table by its names."""
    lines = (re.fullmatch(r"(events|orders|revenue|customers|changes)  +(\S.*)", line) for line in text.splitlines())
    return {line[1]: line[2] for line in lines if line}


def moves(text: str) -> dict[str, int]:
    """The transitions in a closing table or in a summary of `replay`."""
    found = re.findall(r"^  (\S+ -> \S+) +([\d,]+)$", text, re.MULTILINE)
    return {move: int(count.replace(",", "")) for move, count in found}


def test_the_real_purchases_give_the_real_figures(demo: Callable[..., Demo]) -> None:
    """Through Kafka: 10,241 changes, each transition as in the file replay; then it ends and leaves nothing running."""
    running = demo("--purchases-only", "--speed", "max")
    assert running.end() == 0, running.text()
    text = running.text()
    assert figures(text) == {
        "events": "6,919 in, 6,919 accepted, 0 rejected",
        "orders": "6,919",
        "revenue": "244,091.94 USD",
        "customers": "churned 1,843, at_risk 215, loyalty 198, retention 101",
        "changes": "10,241",
    }
    assert moves(text) == GOLDEN
    assert "made up" not in text
    assert re.search(r"metrics    http://127\.0\.0\.1:\d+/metrics until now", text)
    assert "`make demo ARGS=--keep` leaves it running" in text
    assert "Traceback" not in text
    assert text.endswith("stopped\n")
    assert (running.left(), read(running.home)) == ([], {})
    assert not (running.home / "demo" / "kafka" / "data").exists()


def test_with_what_is_made_up_the_live_figures_are_those_of_the_files(demo: Callable[..., Demo]) -> None:
    """The demo's own events, given to `replay`, say the same; five broken ones are rejected, and said to be on purpose."""
    running = demo("--events", "9000", "--speed", "max")
    assert running.end() == 0, running.text()
    events = running.home / "events.jsonl"
    events.write_text(running.run("demo", "--events-only", "--events", "9000").stdout)
    offline = running.run("replay", str(events), "--until", END, "--output", os.devnull).stderr
    assert "8,995 accepted, 5 rejected" in offline
    live = figures(running.text())
    assert live["events"] == "9,000 in, 8,995 accepted, 5 rejected"
    assert live["customers"] == offline.splitlines()[-1].removeprefix("customers by stage: ")
    assert sum(json.loads(line)["type"] == "order.completed" for line in events.read_text().splitlines() if line[-1] == "}"
               ) - 2 == int(live["orders"].replace(",", ""))  # fmt: skip
    # Three topics are read side by side: on a busy machine a move may be corrected, never lost.
    assert moves(running.text()).keys() >= moves(offline).keys()
    assert "The rejected events are broken on purpose; they are in the topic dead-letters" in running.text()


def test_what_it_says_to_try_works_while_it_is_kept(demo: Callable[..., Demo]) -> None:
    """With --keep each command that the end names works as it is printed, and SIGTERM ends all of it."""
    running = demo("--keep", "--purchases-only", "--speed", "max")
    running.until("It goes on running until Ctrl-C")
    running.until("lifestage send")
    tries = [shlex.split(line)[1:] for line in running.text().splitlines() if line.startswith("  lifestage ")]
    customer, tail, send, reconcile = tries
    assert [tried[0] for tried in tries] == ["customer", "tail", "send", "reconcile"]
    told = running.run(*customer).stdout
    assert "stage      churned since 1998-06-10T00:00:00Z, before that at_risk\n" in told
    assert "orders     4 on 2 days of the last 365, 100.50 USD net\n" in told
    assert "at_risk -> churned" in running.run(*tail, "--count", "10").stdout.splitlines()[-1]
    assert running.run(*send).stdout.startswith("purchases[")
    followed = running.run(*tail, "--count", "11").stdout.splitlines()
    assert followed[-1].split() == ["1998-07-02T12:00:00Z", "00004", "churned", "->", "loyalty", "reactivation"]
    status = running.run("status").stdout
    assert re.search(r"^  customer-events +0 waiting$", status, re.MULTILINE)
    assert re.search(r"^  churned +1,842 customers$", status, re.MULTILINE)
    assert "newest changes\n    1998-07-02T12:00:00Z  00004         churned -> loyalty\n" in status
    assert re.search(
        r"^all [\d,]+ sums agree: \d+ partitions, [\d,]+ records, 2,357 persons", running.run(*reconcile).stdout
    )
    code, seconds = running.interrupt(signal.SIGTERM)
    assert (code, running.left(), read(running.home)) == (128 + signal.SIGTERM, [], {})
    assert seconds < 15


def test_ctrl_c_ends_it_while_it_plays_and_a_second_one_does_not_clash(demo: Callable[..., Demo]) -> None:
    """A second demo in the same folder is refused with what to do; Ctrl-C stops the first within seconds, without a trace."""
    running = demo("--speed", "5")
    running.until("s left")
    second = running.run("demo")
    assert second.returncode == 1
    assert f"a demo is already running from {running.home} (http://127.0.0.1:" in second.stderr
    assert "LIFESTAGE_HOME" in second.stderr
    assert len(running.left()) == 4  # itself, Kafka, Redis, the worker
    code, seconds = running.interrupt()
    text = running.text()
    assert (code, text.splitlines()[-1], "Traceback" in text) == (130, "stopping", False)
    assert (running.left(), read(running.home)) == ([], {})
    assert seconds < 15


def test_ctrl_c_ends_it_while_it_starts(demo: Callable[..., Demo]) -> None:
    """Before there is a worker it ends as cleanly."""
    running = demo()
    running.until("Redis: ")
    code, _ = running.interrupt()
    assert (code, "Traceback" in running.text(), running.left()) == (130, False, [])


def test_in_a_terminal_the_numbers_move_in_place(demo: Callable[..., Demo], tmp_path: Path) -> None:
    """On a terminal there is a live view with a bar, stages and changes, and the closing table after it."""
    del demo  # for its check of Java
    ours, theirs = pty.openpty()
    environment = environment_of({}, tmp_path) | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    command = [*COMMAND, "demo", "--events", "2500", "--speed", "20"]
    with subprocess.Popen(
        command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
        assert process.wait(60) == 0, shown.decode()
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "")
    assert "customers by stage" in text
    assert "events/s" in text
    assert "reach -> conversion" in text
    assert figures(text)["events"].startswith("2,500 in")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the other side is closed
        return b""


def test_on_services_that_are_given_it_takes_names_of_its_own(
    demo: Callable[..., Demo], kafka: KafkaServer, redis_server: EmbeddedRedis
) -> None:
    """Given addresses are used, under names that no deployment of one's own has; a second run does not send again."""
    given = {"kafka__bootstrap": kafka.bootstrap, "redis__url": redis_server.url}
    words = ("--purchases-only", "--events", "400", "--speed", "max")
    first = demo(*words, **given, metrics__port=str(free_ports(1)[0]))
    assert first.end() == 0, first.text()
    text = first.text()
    assert (
        "topics: demo-visits, demo-emails, demo-purchases, demo-feedback, demo-costs, demo-identity, demo-customer-events"
        in text
    )
    assert figures(text)["events"] == "400 in, 400 accepted, 0 rejected"
    (customer,) = [line for line in text.splitlines() if "lifestage customer" in line]
    variables, _, words_of = customer.strip().partition("lifestage ")
    assert "LIFESTAGE_REDIS_PREFIX=lifestage-demo:" in variables
    first.environment |= dict(word.split("=", 1) for word in shlex.split(variables))
    assert "stage      churned" in first.run(*words_of.split()).stdout
    assert "lifestage send" not in text
    second = demo(*words, **given, metrics__port=str(free_ports(1)[0]))
    assert second.end() == 0, second.text()
    assert "hold 400 events of an earlier run: they are not sent again" in second.text()
    assert figures(second.text())["customers"] == figures(text)["customers"]
    assert second.left() == []


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "nan", "inf"])
def test_a_wrong_speed_is_refused(speed: str, tmp_path: Path) -> None:
    """--speed says what it takes, before anything is started."""
    done = subprocess.run(
        [*COMMAND, "demo", f"--speed={speed}"],
        env=environment_of({}, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "simulated days a second, such as 20, or max" in done.stderr
    assert not (tmp_path / "demo").exists()
