"""`lifestage reconcile` on a real Kafka: what workers keep is what the log says, and a sum that is off is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner, Result

from commands.main import application
from lifestage.marker import MARKER_KEY, decode_marker, encode_marker
from lifestage.moments import parse
from lifestage.pages import NAME
from streams.embedded.kafka import KafkaServer
from streams.embedded.process import free_ports
from tests.pipeline import Deployment, deployment
from tests.upsets import delete_records
from tests.wire import produce

pytestmark = pytest.mark.broker

DAY = 86_400_000
START = parse("2024-02-01T00:00:00Z")


def event(n: int, kind: str, day: float, **fields: object) -> dict[str, Any]:
    """An event on a day after the start."""
    given = {"url": "/", "session_id": f"s{n % 7}"} if kind == "web.visit" else {}
    return {"id": f"e{n}", "source": "shop", "type": kind, "time": START + round(day * DAY), **given, **fields}


def bought() -> Iterator[dict[str, Any]]:
    """Customers who visit, buy, pay back and fall silent; some under several ids, some of whom are one person."""
    n = 0
    for who in range(40):
        customer = {"customer_id": f"c{who}"}
        for order in range(who % 4 + 1):
            n += 2
            yield event(
                n - 1, "web.visit", who / 7 + order * 9, **customer, context={"source": "news", "medium": "email"}
            )
            money = {"currency": "EUR", "total": "20.00", "order_id": f"c{who}-{order}", "cost_of_goods": "7.50"}
            yield event(n, "order.completed", who / 7 + order * 10, **customer, **money)
        if who % 3 == 0:
            n += 1
            yield event(n, "order.cancelled", who / 7 + 1, **customer, order_id=f"c{who}-0")
        if who % 4 == 0:
            n += 2
            yield event(n - 1, "web.visit", 12, customer_id="", anonymous_id=f"d{who}")
            yield event(n, "web.visit", 13, **customer, anonymous_id=f"d{who}", email=f"p{who}@example.com")
    for who in (3, 13):
        n += 1
        yield event(n, "identity.merged", 20, customer_id="", ids=[f"c{who}", f"c{who + 10}"])


def spent() -> list[tuple[bytes | None, bytes | None]]:
    """What advertising cost, and how often it was seen."""
    cost = event(900, "cost.recorded", 5, cost_id="k", amount="100.00", currency="EUR", category="marketing",
                 period_start=START, period_end=START + 45 * DAY)  # fmt: skip
    seen = event(901, "ad.impression", 6, campaign_id="c", count=1000)
    return [(None, msgspec.json.encode(one)) for one in (cost, seen)]


@pytest.fixture(scope="module")
def made(kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment with KPIs whose worker has folded all there is, and is stopped."""
    home = tmp_path_factory.mktemp("reconcile")
    prefix = f"{home.name}."
    given = {"clock__out_of_orderness_s": "86400", "kpis__live": "true", "kpis__window": "30"}
    with deployment(kafka.bootstrap, prefix, home, **given) as made, made.worker() as worker:
        worker.wait_ready()
        events = list(bought())
        for part in (events[: len(events) // 2], events[len(events) // 2 :]):
            made.produce("purchases", part)
            made.wait_taken_in(alive=[worker])
        produce(kafka.bootstrap, prefix + "costs", spent())
        made.wait_taken_in(alive=[worker])
        made.end_tick(START + 32 * DAY)
        made.wait_done(alive=[worker])
        assert worker.terminate() == 0
        yield made


@pytest.fixture
def reconcile(made: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `lifestage reconcile` on the deployment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)

    def run(*words: str, **settings: str) -> Result:
        for name, value in environment(made, **settings).items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(application(), ["reconcile", *words])

    return run


def environment(made: Deployment, **settings: str) -> dict[str, str]:
    """The deployment's settings as variables."""
    given = made.given | {name.replace("__", "."): value for name, value in settings.items()}
    return {f"LIFESTAGE_{name.replace('.', '_').upper()}": value for name, value in given.items()}


def test_what_is_kept_is_what_the_log_says(reconcile: Callable[..., Result]) -> None:
    """All sums agree, orders and costs and paths among them, and each partition is named with how far it was compared."""
    done = reconcile("--json")
    assert done.exit_code == 0, done.output
    found = msgspec.json.decode(done.stdout)
    assert found["differences"] == []
    assert found["not_compared"] == {}
    assert found["sums"] > 100
    assert len(found["offsets"]) == 4
    assert found["persons"] == 38  # three of forty are one


def marker_of_the_first(made: Deployment) -> tuple[int, bytes]:
    """The least partition of which anything is kept, and its newest marker."""
    records = made.read(made.topics.changelog.name)
    newest = {record.partition: record.value for record in records if record.key == MARKER_KEY and record.value}
    return min(newest), newest[min(newest)]


def test_a_sum_that_is_off_is_named(made: Deployment, reconcile: Callable[..., Result]) -> None:
    """One order too many in what is kept of a partition: exit code 1, and the line says which sum, where, and both numbers."""
    number, before = marker_of_the_first(made)
    wrong = decode_marker(before)
    assert wrong.kpis is not None
    wrong.kpis.late.append((("orders", "EUR"), START // DAY + 30, 1))
    produce(made.bootstrap, made.topics.changelog.name, [(MARKER_KEY, encode_marker(wrong))], partition=number)
    try:
        done = reconcile()
        assert done.exit_code == 1
        lines = done.stdout.splitlines()
        assert lines[0].startswith(f"{made.topics.log.name}[{number}] orders{{EUR}}: kept ")
        kept, right = (int(part.split()[-1]) for part in lines[0].split(", the log says "))
        assert kept == right + 1
        assert lines[-1].startswith("1 of ")
        assert [one["sum"] for one in msgspec.json.decode(reconcile("--json").stdout)["differences"]] == ["orders"]
    finally:
        produce(made.bootstrap, made.topics.changelog.name, [(MARKER_KEY, before)], partition=number)


def test_sums_that_cannot_be_read_are_not_compared(made: Deployment, reconcile: Callable[..., Result]) -> None:
    """A marker names a page of sums that is not there: its partition is named with the reason, the others are compared."""
    number, before = marker_of_the_first(made)
    torn = decode_marker(before)
    assert torn.kpis is not None
    torn = replace(torn, kpis=replace(torn.kpis, journal=torn.kpis.journal + b"\1" * NAME))
    produce(made.bootstrap, made.topics.changelog.name, [(MARKER_KEY, encode_marker(torn))], partition=number)
    try:
        done = reconcile()
        assert done.exit_code == 1
        why = "not compared: what its changelog has of them cannot be read"
        assert done.stdout.startswith(f"{made.topics.log.name}[{number}]: {why}")
        assert done.stdout.count("not compared") == 1
    finally:
        produce(made.bootstrap, made.topics.changelog.name, [(MARKER_KEY, before)], partition=number)


def test_what_is_not_kept_is_not_compared(reconcile: Callable[..., Result]) -> None:
    """Another window than the one that is kept: each partition is named with the reason, and that is not well."""
    done = reconcile(kpis__window="31")
    assert done.exit_code == 1
    assert "not compared: they are kept for a window of 30 days, not of 31" in done.stdout
    done = reconcile(kpis__live="false")
    assert done.exit_code == 1
    assert "kpis.live" in str(done.exception)


def test_it_counts_again_and_again_and_says_so_to_prometheus(made: Deployment, tmp_path: Path) -> None:
    """With --every and --metrics there is a difference of 0 for each sum, and when that was found; it ends when it is asked to."""
    (port,) = free_ports(1)
    words = [
        str(Path(sys.prefix) / "bin" / "lifestage"),
        "reconcile",
        "--every",
        "1s",
        "--metrics",
        f"127.0.0.1:{port}",
    ]
    with (tmp_path / "out").open("w") as out:
        child = subprocess.Popen(words, env=_clean(made), cwd=tmp_path, stdout=out, stderr=out)
        try:
            first = _metrics(child, port, 0.0)
            later = _metrics(child, port, first["lifestage_reconcile_timestamp_seconds", ""])
            child.send_signal(signal.SIGTERM)
            assert child.wait(60) == 0
        finally:
            child.kill()
            child.wait()
    assert later["lifestage_reconcile_difference", "orders"] == 0
    assert later["lifestage_reconcile_difference", "stage_counts"] == 0
    assert later["lifestage_reconcile_duration_seconds", ""] > 0
    assert (tmp_path / "out").read_text().count("sums agree") >= 2


@pytest.fixture
def unkept(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment with records in its log of which nothing is kept: its changelog was deleted, and no worker runs yet."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, kpis__live="true") as made:
        for day in (1, 2):
            made.end_tick(START + day * DAY)
        yield made


def test_a_log_of_which_nothing_is_kept_is_not_said_to_agree(unkept: Deployment, tmp_path: Path) -> None:
    """Each partition that has records is named, and the exit code is 1: nothing was compared."""
    words = [str(Path(sys.prefix) / "bin" / "lifestage"), "reconcile", "--json"]
    done = subprocess.run(words, env=_clean(unkept), cwd=tmp_path, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    found = msgspec.json.decode(done.stdout)
    assert found["not_compared"] == {str(number): "nothing is kept of it yet" for number in range(4)}


def test_what_cannot_be_recounted_any_more_is_said_and_served(unkept: Deployment, tmp_path: Path) -> None:
    """Retention has cut the log: the process goes on, says why each time, and Prometheus finds that it failed."""
    delete_records(unkept, unkept.topics.log.name, {2: 1})
    (port,) = free_ports(1)
    words = [
        str(Path(sys.prefix) / "bin" / "lifestage"),
        "reconcile",
        "--every",
        "1s",
        "--metrics",
        f"127.0.0.1:{port}",
    ]
    with (tmp_path / "out").open("w") as out:
        child = subprocess.Popen(words, env=_clean(unkept), cwd=tmp_path, stdout=out, stderr=out)
        try:
            found = _served(child, port, lambda found: ("lifestage_reconcile_up", "") in found)
            assert found["lifestage_reconcile_up", ""] == 0
            assert ("lifestage_reconcile_timestamp_seconds", "") not in found
            deadline = time.monotonic() + 60
            while (tmp_path / "out").read_text().count("counted again after --every") < 2:
                assert time.monotonic() < deadline, (tmp_path / "out").read_text()
                time.sleep(0.2)
            child.send_signal(signal.SIGTERM)
            assert child.wait(60) == 0
        finally:
            child.kill()
            child.wait()
    assert f"{unkept.topics.log.name}[2]" in (tmp_path / "out").read_text()


def _clean(made: Deployment) -> dict[str, str]:
    """The environment of a process, with the deployment's settings and no others of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LIFESTAGE_")} | environment(made)


def _metrics(child: subprocess.Popen[bytes], port: int, after: float) -> dict[tuple[str, str], float]:
    """What is served once a recount has ended after an instant: by name and KPI."""
    return _served(child, port, lambda found: found.get(("lifestage_reconcile_timestamp_seconds", ""), 0.0) > after)


def _served(
    child: subprocess.Popen[bytes], port: int, wanted: Callable[[dict[tuple[str, str], float]], bool]
) -> dict[tuple[str, str], float]:
    """What is served once it is as wanted: by name and KPI."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert child.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                families = list(text_string_to_metric_families(answer.read().decode()))
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            families = []
        found = {(one.name, one.labels.get("kpi", "")): one.value for family in families for one in family.samples}
        if wanted(found):
            return found
        time.sleep(0.2)
    raise AssertionError("no recount has ended")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metrics", "127.0.0.1:9465"], "--every"),
        (["--every", "soon"], "--every 'soon'"),
        (["--every", "1h", "--metrics", "9465"], "HOST:PORT"),
    ],
)
def test_a_wrong_option_is_refused(reconcile: Callable[..., Result], words: list[str], said: str) -> None:
    """By name, with what to write, before anything is counted."""
    done = reconcile(*words)
    assert done.exit_code != 0
    assert said in str(done.exception)
