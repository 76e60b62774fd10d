"""What a worker shows: one port, no customer data, one clear line for whatever is wrong at its start."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.embedded.kafka import KafkaServer
from streams.embedded.process import free_ports
from tests.load import BEGIN_MS
from tests.pipeline import Deployment, deployment
from tests.wire import produce
from tests.workers import Worker, environment_of

pytestmark = pytest.mark.broker

SECRETS = ("canary-customer", "canary-order", "canary-visitor", "canary.person", "canary-event")


def listening(pid: int) -> set[str]:
    """The addresses that a process listens on, as `/proc` tells: `127.0.0.1:9464`; IPv6 in hex digits."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if found := re.fullmatch(r"socket:\[(\d+)\]", target):
            inodes.add(found[1])
    found_at = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:  # 0A: listening
                address, _, port = fields[1].partition(":")
                octets = ".".join(str(byte) for byte in reversed(bytes.fromhex(address))) if table == "tcp" else address
                found_at.add(f"{octets}:{int(port, 16)}")
    return found_at


def personal(number: int, **changes: Any) -> dict[str, Any]:
    """An event full of what must not be seen in a log."""
    event = {
        "id": f"canary-event-{number}",
        "source": "shop",
        "type": "order.completed",
        "time": BEGIN_MS + number,
        "customer_id": f"canary-customer-{number}",
        "anonymous_id": f"canary-visitor-{number}",
        "email": f"canary.person{number}@example.com",
        "order_id": f"canary-order-{number}",
        "currency": "USD",
        "total": "1.00",
    }
    return event | changes


def test_a_worker_listens_on_its_metrics_port_alone_and_logs_nobody(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """A working worker has one listening socket, on loopback, and its log names no customer, order or address."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made, made.worker() as worker:
        worker.wait_ready()
        made.produce("purchases", [personal(n) for n in range(50)])
        bad = {"total": "canary-order", "time": "canary.person@example.com", "customer_id": ["canary-customer"]}
        made.produce("visits", [personal(n) | {"type": kind} for n, kind in enumerate(("web.visit", "canary-event"))])
        produce_broken(made, bad)
        made.wait_done(alive=[worker])
        assert listening(worker.pid) == {f"127.0.0.1:{worker.port}"}
        assert worker.terminate() == 0
        assert [secret for secret in SECRETS if secret in worker.log()] == []


def produce_broken(made: Deployment, bad: dict[str, Any]) -> None:
    """Events that are refused for the sake of a personal value."""
    values = [msgspec.json.encode(personal(1, **{name: value})) for name, value in bad.items()]
    produce(made.bootstrap, made.prefix + "emails", [(b"canary-customer-1", value) for value in values])


def refused(settings: dict[str, str], home: Path) -> tuple[int, str]:
    """How a worker with such settings ends, and what it says."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "commands", "worker"],
        env=environment_of({"identity.secret": "s", **settings}, home),
        cwd=home, capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("clock.mode", "never", "wall"),
        ("topics.partitions", "0", "at least 1"),
        ("lifecycle.plan", "clm55", "clm5"),
        ("lifecycle.flush_interval_s", "-1", "above 0"),
        ("metrics.port", "99999", "65535"),
        ("kafka.compression", "zstd", "gzip"),
        ("kafka.group", "a group", "letters"),
        ("kafka.bootstrap", "kafka.example:9092", "plaintext"),
    ],
)
def test_a_bad_setting_is_refused_at_start(
    kafka: KafkaServer, tmp_path: Path, name: str, value: str, meant: str
) -> None:
    """A worker ends at once with status 2 and one line: the setting's name, its value, what was meant."""
    code, said = refused({"kafka.bootstrap": kafka.bootstrap, "redis.enabled": "false", name: value}, tmp_path)
    assert code == 2, said
    assert value in said
    assert name.rpartition(".")[2] in said or name.replace(".", "_").upper() in said
    assert meant in said
    assert "Traceback" not in said
    assert said.strip().count("\n") == 0


def test_a_broker_that_is_away_is_named(tmp_path: Path) -> None:
    """With no Kafka at the address a worker ends with status 1, the address and what to look at, and no traceback."""
    (port,) = free_ports(1)
    code, said = refused({"kafka.bootstrap": f"127.0.0.1:{port}", "redis.enabled": "false"}, tmp_path)
    assert code == 1, said
    assert f"127.0.0.1:{port}" in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) <= 3


def test_topics_that_are_missing_are_named(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """Without its topics a worker ends with the name of one and the command that makes them."""
    settings = {"kafka.bootstrap": kafka.bootstrap, "topics.prefix": topic_prefix, "redis.enabled": "false"}
    code, said = refused({**settings, "kafka.group": topic_prefix + "g"}, tmp_path)
    assert code in {1, 2}, said
    assert topic_prefix in said
    assert "provision" in said
    assert "Traceback" not in said


def test_a_redis_that_is_away_is_named_and_not_waited_for(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """With no Redis at the address the worker works all the same, and says which address does not answer."""
    (port,) = free_ports(1)
    redis = {"redis__enabled": "true", "redis__url": f"redis://127.0.0.1:{port}/0"}
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **redis) as made, made.worker() as worker:
        worker.wait_ready()
        made.produce("purchases", [personal(1)])
        made.wait_done(alive=[worker])
        assert f"127.0.0.1:{port}" in worker.log()
        assert "Traceback" not in worker.log()
        assert worker.terminate() == 0


def page(worker: Worker, path: str) -> tuple[int, str]:
    """Status and text of a page; (0, "") while nothing answers."""
    try:
        with urllib.request.urlopen(worker.url + path, timeout=5) as answer:  # noqa: S310 - our own http://
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_metrics_are_served_before_and_during_a_recovery(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """From its first second a worker answers: not ready and why, recovery under way, no customers; then all of them."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        with made.worker("w1") as worker:
            made.produce("purchases", [personal(n) for n in range(3_000)])
            made.wait_done(alive=[worker.wait_ready()])
            assert worker.terminate() == 0
        seen: set[str] = set()
        with made.worker("w2") as worker:
            deadline = time.monotonic() + 30
            while (answer := page(worker, "/readyz"))[0] != 200:
                assert time.monotonic() < deadline
                status, text = page(worker, "/metrics")
                if answer[0] == 503 and status == 200 and "lifestage_recovery_active 1.0" in text:
                    assert page(worker, "/livez")[0] == 200
                    assert 'lifestage_customers{stage="conversion"}' not in text
                    seen.add(re.sub(r"\d+", "N", answer[1].strip()))
            assert seen, "the worker was ready before it was asked"
            assert all(reason.startswith(("joining the group", "recovering N %")) for reason in seen), seen
            text = page(worker, "/metrics")[1]
            assert "lifestage_recovery_active 0.0" in text
            assert 'lifestage_customers{stage="conversion"} 3000.0' in text
            done = re.search(r"^lifestage_recovery_records_done (\S+)", text, re.MULTILINE)
            assert done is not None
            assert float(done[1]) >= 3_000
            assert worker.terminate() == 0
