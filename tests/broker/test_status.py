"""`lifestage status` on a real Kafka: who works, what waits, how far time has got, with workers and without, with Redis and without."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from commands.doctor import findings
from commands.main import application
from streams.embedded.kafka import KafkaServer
from streams.embedded.kafka_memory import start_kafka_in_memory
from streams.embedded.process import free_ports
from streams.embedded.redis import EmbeddedRedis
from streams.endpoint import Endpoint
from streams.overview import ask_worker, reachable
from streams.survey import Member
from tests.doctors import order
from tests.pipeline import Deployment, deployment
from tests.wire import produce
from tests.workers import environment_of

pytestmark = pytest.mark.broker

PASSWORD = "pa55-in-no-line"
LOCAL = ("ports", "files", "disk", "versions")
"""Checks of the machine."""


def status(made: Deployment, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The command, as a person types it."""
    given = made.given | {name.replace("__", "."): value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-P", "-m", "commands", "status", *words],
        env=environment_of(given, made.home),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.fixture
def deploy(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """Makes a deployment of the test's own."""
    with ExitStack() as made:

        def make(**settings: str) -> Deployment:
            return made.enter_context(deployment(kafka.bootstrap, topic_prefix[-20:], tmp_path, **settings))

        yield make


def of_kpis(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What is said of KPIs."""
    lines = done.stdout.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("KPIs "))
    return [
        lines[first],
        *(line for line in lines[first + 1 : first + 4] if "none has a value" in line or "not counted in" in line),
    ]


def orders(made: Deployment, first: int, last: int) -> None:
    """Send an order of each of so many customers."""
    now = int(time.time() * 1000)
    made.produce("purchases", [order(f"c{n}", now - n * 1000) for n in range(first, last)])


def quiet_screen(made: Deployment) -> list[str]:
    """What is shown as soon as nothing waits: with a wall clock a tick is in the log each second, and may be seen before it is taken."""
    lines = [", the oldest for "]
    deadline = time.monotonic() + 60
    while any(", the oldest for " in line for line in lines) and time.monotonic() < deadline:
        lines = status(made).stdout.splitlines()
    return lines


def test_a_deployment_on_one_screen(deploy: Callable[..., Deployment], redis_server: EmbeddedRedis) -> None:
    """The worker that is ready and what it owns, nothing waiting, counts and changes; and the same counts when it has gone."""
    made = deploy(clock__mode="wall", redis__enabled="true", redis__url=redis_server.url, redis__prefix="status:")
    with made.worker() as worker:
        worker.wait_ready()
        orders(made, 0, 20)
        made.wait_done(alive=[worker])
        lines = quiet_screen(made)
        assert lines[0] == f"Kafka {made.bootstrap}, group {made.prefix}g"
        assert lines[1] == "workers   1, 4 of 4 partitions of the log have an owner"
        assert lines[2].split()[:7] == [f"127.0.0.1:{worker.port}", "ready", "owns", "0,", "1,", "2,", "3"]
        waiting = [line.split() for line in lines if line.endswith(" waiting")]
        assert waiting == [[topic, "0", "waiting"] for topic in (*made.sources, made.topics.log.name)]
        assert any(line.startswith("clock     ") and line.endswith("Z, up to date") for line in lines)
        assert "events    20: 20 accepted" in lines
        assert [line.split() for line in lines if line.endswith(" customers")] == [["conversion", "20", "customers"]]
        assert sum(line.endswith("  - -> conversion") for line in lines) == 10
        assert not any(line.startswith("Redis") for line in lines)
        assert "KPIs      off (kpis.live = false)" in lines
        seen = json.loads(status(made, "--json").stdout)
        assert seen["workers"][0] | {"memory_mb": 0} == {
            "host": "127.0.0.1",
            "metrics": worker.url,
            "state": "ready",
            "partitions": [0, 1, 2, 3],
            "memory_mb": 0,
            "uncounted": [],
        }
        assert (seen["state"], seen["stages"], seen["events"]) == ("Stable", {"conversion": 20}, {"accepted": 20})
        assert (seen["announced"], seen["redis"], seen["problem"]) == (20, "connected", "")
        assert seen["clock"]["live"] is True
    orders(made, 20, 25)
    done = status(made, redis__url=f"redis://:{PASSWORD}@127.0.0.1:{free_ports(1)[0]}/0")
    assert PASSWORD not in done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == "workers   none runs: what comes in waits; `lifestage worker` starts one"
    (waits,) = [line for line in lines if ", the oldest for " in line]
    assert waits.split()[:3] == [f"{made.prefix}purchases", "5", "waiting,"]
    assert [line.split() for line in lines if line.endswith(" customers")] == [["conversion", "20", "customers"]]
    assert any(line.startswith("clock     ") and f", held by {made.prefix}purchases[" in line for line in lines)
    assert any(line.startswith("Redis     Redis at 127.0.0.1:") and "refused" in line for line in lines)


def test_before_anything_has_worked(deploy: Callable[..., Deployment]) -> None:
    """Records that wait and for how long, a clock that has not begun, topics that are not there, no Redis."""
    made = deploy()
    produce(made.bootstrap, made.prefix + "visits", [(None, b"{}")] * 5, partition=2)
    lines = status(made, topics__sources="visits,others").stdout.splitlines()
    assert lines[1].startswith("workers   none runs")
    assert lines[2].split()[:3] == [f"{made.prefix}visits", "5", "waiting,"]
    assert lines[3] == f"  {made.prefix}others".ljust(26) + " is not there: `lifestage provision` makes it"
    assert lines[4].split() == [f"{made.prefix}customer-events", "0", "waiting"]
    assert lines[5] == f"clock     has not begun, held by {made.prefix}visits[2]"
    assert lines[6:] == [
        "events    0",
        "customers 0 in stages",
        "KPIs      off (kpis.live = false)",
        "Redis     off (redis.enabled = false): no customer can be looked up",
        "  newest changes: none",
    ]


def test_without_kafka_it_is_one_line(deploy: Callable[..., Deployment]) -> None:
    """Exit code 1, the address and what to do."""
    done = status(deploy(), kafka__bootstrap="127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "lifestage: Kafka at 127.0.0.1:1: refused, nothing listens there: start it, or correct kafka.bootstrap\n"
    )


def test_watched_from_a_pipe_it_is_a_line_a_look(deploy: Callable[..., Deployment]) -> None:
    """With rates from the second on, until ^C, which is no failure; as JSON a document a line."""
    made = deploy()
    lines = watched(made, "--watch", "--every", "0.2")
    assert lines[0].endswith("0 workers, 0 ready; 0 waiting; clock has not begun; 0 customers")
    assert lines[1].endswith("; 0/s events; 0/s changes")
    assert [json.loads(line)["group"] for line in watched(made, "--watch", "--every", "0.2", "--json")] == [
        f"{made.prefix}g"
    ] * 2


def watched(made: Deployment, *words: str) -> list[str]:
    """The first two lines of a command that is ended by ^C then."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "commands", "status", *words],
        env=environment_of(made.given, made.home),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip("\n") for _ in range(2)]
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(60) == 0
    return lines


def test_watched_on_a_terminal_the_screen_is_refreshed(deploy: Callable[..., Deployment]) -> None:
    """Each look begins at the upper left of an empty screen, and has what came in and was done a second."""
    made = deploy()
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "commands", "status", "--watch", "--every", "0.2"],
        env=environment_of(made.given, made.home),
        stdout=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while shown.count(b"\x1b[H\x1b[J") < 3:
            shown += os.read(ours, 65_536)
        process.send_signal(signal.SIGINT)
        while process.poll() is None:
            read(ours)
    os.close(ours)
    assert process.returncode == 0
    second = shown.decode().split("\x1b[H\x1b[J")[2]
    assert second.startswith("Kafka ")
    assert "0 waiting, 0/s in, 0/s done\r\n" in second
    assert "  newest changes, 0/s: none" in second


def read(terminal: int) -> None:
    """Take what a process writes to a terminal, that it may end."""
    try:
        os.read(terminal, 65_536)
    except OSError:  # it has closed it
        time.sleep(0.01)


def test_a_worker_says_what_it_waits_for() -> None:
    """One that recovers is told in its own words, and one that does not answer as that."""
    endpoint = Endpoint("127.0.0.1", 0, CollectorRegistry(), lambda: (False, "recovering 45 %"))
    endpoint.start()
    member = Member("w", "g-worker", "127.0.0.1", endpoint.url, {"customer-events": (1, 2)})
    try:
        worker = ask_worker(member, "customer-events")
    finally:
        endpoint.stop()
    assert (worker.state, worker.partitions, worker.metrics) == ("recovering 45 %", (1, 2), endpoint.url)
    assert ask_worker(member, "customer-events").state == "no answer from here"
    assert ask_worker(member._replace(url=""), "customer-events").state == "no answer from here"


@pytest.mark.parametrize(
    ("url", "host", "from_here"),
    [
        ("http://127.0.0.1:9464", "127.0.0.1", "http://127.0.0.1:9464"),
        ("http://127.0.0.1:9464", "192.0.2.7", ""),
        ("http://0.0.0.0:9464", "192.0.2.7", "http://192.0.2.7:9464"),
        ("http://[::]:9464", "2001:db8::7", "http://[2001:db8::7]:9464"),
        ("http://10.0.0.5:9464", "192.0.2.7", "http://10.0.0.5:9464"),
        ("file:///etc/passwd", "127.0.0.1", ""),
        ("", "127.0.0.1", ""),
    ],
)
def test_where_a_worker_is_asked(url: str, host: str, from_here: str) -> None:
    """Where it listens to all, at the address it comes from; where to itself alone, from its own machine only."""
    assert reachable(url, host) == from_here


def test_of_an_in_memory_broker_there_is_nothing_to_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo's broker without Java says neither who works nor what waits: one line says so, and the doctor passes it by."""
    broker = start_kafka_in_memory()
    for name, value in environment_of(
        {"kafka.bootstrap": broker.bootstrap, "redis.enabled": "false"}, tmp_path
    ).items():
        monkeypatch.setenv(name, value)
    try:
        told = CliRunner().invoke(application(), ["status"])
        checked = [one for one in findings(None, 120) if one.check not in LOCAL]
    finally:
        broker.stop()
    assert told.exit_code == 1
    assert str(told.exception).startswith(f"the broker at {broker.bootstrap} is a demo's, in memory")
    assert [one.level for one in checked] == ["ok"] * 11
    assert [one.found for one in checked[2:10]] == ["the broker is a demo's, in memory: nothing to check"] * 8


def test_whether_kpis_are_counted(deploy: Callable[..., Deployment]) -> None:
    """Off; of what is not there yet; counted up to a day; and where that is not so, of which partitions and why, with no worker too."""
    made = deploy(clock__mode="wall", kpis__live="true", kpis__window="30")
    assert of_kpis(status(made)) == ["KPIs      counted in 0 of 4 partitions, over 30 days; of 4 nothing is kept yet"]
    with made.worker() as worker:
        worker.wait_ready()
        orders(made, 0, 20)
        made.wait_done(alive=[worker])
        line, deadline = "", time.monotonic() + 60
        while " up to " not in line and time.monotonic() < deadline:  # there is no day before the first tick
            (line,) = of_kpis(status(made))
    assert line.startswith("KPIs      counted in all 4 partitions, over 30 days up to 20")
    assert of_kpis(status(made, kpis__live="false")) == ["KPIs      off (kpis.live = false)"]
    first, *more = of_kpis(status(made, kpis__window="90"))
    assert first == "KPIs      counted in 0 of 4 partitions, over 90 days"
    assert more == [
        "  none has a value: one of some partitions would be of some customers",
        "  not counted in 0, 1, 2, 3: they are kept for a window of 30 days, not of 90 (kpis.window)",
    ]
    seen = json.loads(status(made, "--json", lifecycle__announce_anonymous="true").stdout)["kpis"]
    assert seen["uncounted"]["3"] == "they were counted with lifecycle.announce_anonymous = false"


def test_kpis_of_state_that_was_kept_without_them(deploy: Callable[..., Deployment]) -> None:
    """Turned on beside state that has none they are counted nowhere, and it is said."""
    made = deploy(clock__mode="wall")
    with made.worker() as worker:
        worker.wait_ready()
        orders(made, 0, 20)
        made.wait_done(alive=[worker])
    why = "its changelog was written without them"
    assert of_kpis(status(made, kpis__live="true"))[-1] == f"  not counted in 0, 1, 2, 3: {why}"
