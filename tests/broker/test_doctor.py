"""`lifestage doctor` as a person types it: nothing to say of what is well; and what it says of Redis and of this machine."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from commands.doctor import configuration
from config.settings import Settings
from streams import doctor_machine, doctor_state
from streams.doctor import RANK, Check, Finding, Ground, examine, worst
from streams.doctor_redis import judge_redis
from streams.doctor_redis import redis as redis_check
from streams.embedded.kafka import KafkaServer
from streams.embedded.redis import EmbeddedRedis
from tests.doctors import alter, found, ground, order, with_
from tests.pipeline import Deployment, deployment
from tests.wire import produce
from tests.workers import Worker, environment_of

pytestmark = pytest.mark.broker

PASSWORD = "pa55-in-no-line"
PATIENT = ("--within", "120")
"""The machine may be busy."""


def doctor(made_of: dict[str, str], home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, as a person types it."""
    command = [sys.executable, "-P", "-m", "commands", "doctor", *words]
    return subprocess.run(
        command, env=environment_of(made_of, home), capture_output=True, text=True, check=False, timeout=180
    )


@pytest.fixture(scope="module")
def live(
    kafka: KafkaServer, redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, Worker]]:
    """A deployment at work: a worker that has taken in some orders."""
    home = tmp_path_factory.mktemp("doctor")
    settings = {"redis__enabled": "true", "redis__url": redis_server.url, "redis__prefix": f"{home.name}:"}
    with deployment(kafka.bootstrap, f"{home.name}.", home, clock__mode="wall", **settings) as made:
        worker = made.worker().wait_ready()
        now = int(time.time() * 1000)
        made.produce("purchases", [order(f"c{i}", now - i * 1000) for i in range(40)])
        made.wait_done(alive=[worker])
        yield made, worker


def test_of_a_deployment_at_work_every_line_is_ok(live: tuple[Deployment, Worker], tmp_path: Path) -> None:
    """Fifteen lines and their sum, exit code 0; and not one record more in any topic, though the clocks were compared."""
    made, _ = live
    alter(made, made.topics.stages.name, message_timestamp_after_max_ms="3600000")
    # the log and its state go on by ticks of the worker
    names = [topic.name for topic in made.topics.all() if topic not in (made.topics.log, made.topics.changelog)]
    before = made.ends(names)
    done = doctor({**made.given, "metrics.port": "0"}, tmp_path, *PATIENT)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["ok"] * 15
    assert lines[-1] == "0 failed, 0 warnings, 15 ok"
    said = {line.split()[1]: line for line in lines[:-1]}
    assert "11 topics as `lifestage provision` makes them; 4 partitions of the log" in said["topics"]
    assert (
        "behind the broker's, give or take" in said["clock"] or "ahead of the broker's, give or take" in said["clock"]
    )
    assert "1 at work, who own all 4 partitions of the log" in said["group"]
    assert "4 of 4 partitions hold state, folded with plan clm5" in said["state"]
    assert "noeviction" in said["redis"]
    assert made.ends(names) == before


def test_as_json_it_is_one_document(live: tuple[Deployment, Worker], tmp_path: Path) -> None:
    """Counts, and each finding with its five parts; a warning fails with --strict only."""
    made, _ = live
    produce(made.bootstrap, made.prefix + "emails", [(b"x", b"no json")], partition=2)
    made.wait_done()
    settings = {**made.given, "metrics.port": "0"}
    assert doctor(settings, tmp_path, *PATIENT).returncode == 0
    done = doctor(settings, tmp_path, *PATIENT, "--json", "--strict")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["ok"], document["warn"], document["FAIL"]) == (15, 1, 0)
    (warned,) = [one for one in document["findings"] if one["level"] == "warn"]
    assert set(warned) == {"check", "level", "found", "means", "fix"}
    assert warned["found"].endswith(f"would be rejected: unparsable, such as {made.prefix}emails[2]@0")
    assert warned["fix"] == "lifestage dead-letters list --reason unparsable"


def test_where_nothing_answers_every_check_ends(tmp_path: Path) -> None:
    """Servers that take connections and say nothing: two failures, what needs Kafka is not checked, no secret is shown."""
    with ExitStack() as open_:
        servers = [open_.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        kafka, silent = (f"127.0.0.1:{server.getsockname()[1]}" for server in servers)
        settings = {
            "kafka.bootstrap": kafka,
            "redis.url": f"redis://:{PASSWORD}@{silent}/0",
            "identity.secret": PASSWORD,
            "metrics.port": "0",
            "kafka.request_timeout_s": "2",
            "redis.timeout_s": "1",
        }
        done = doctor(settings, tmp_path, *PATIENT)
    assert done.returncode == 1
    assert PASSWORD not in done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("FAIL")] == [
        f"FAIL  kafka     Kafka at {kafka}: timed out; workers reach no broker",
        f"FAIL  redis     Redis at {silent}: timed out; stages are computed and announced, and lookups fail or are of old",
    ]
    assert sum(line.endswith("not checked: kafka is to be mended first") for line in lines) == 8
    assert "-> is kafka.bootstrap right, does a firewall drop the packets, does the port speak TLS?" in done.stdout


def test_a_check_that_hangs_delays_no_other() -> None:
    """It is said to have given no answer; those before and after it are told; what an error says is a finding."""
    never = threading.Event()

    def hang(_: Ground) -> list[Finding]:
        never.wait()
        return []

    def fail(_: Ground) -> list[Finding]:
        raise OSError("the disk is away: mount it")

    def well(_: Ground) -> list[Finding]:
        return [Finding("well", "ok", "fine")]

    checks = [Check("hangs", hang), Check("fails", fail), Check("well", well), Check("later", well, needs="hangs")]
    told = list(examine(checks, Ground(Settings(), "", ""), 1.0))
    never.set()
    assert [(one.check, one.level, one.found, one.fix) for one in told[:3]] == [
        ("hangs", "FAIL", "no answer within 1 s", "look at the line before, and run it again"),
        ("fails", "FAIL", "the disk is away", "mount it"),
        ("well", "ok", "fine", ""),
    ]
    assert told[3].level != "ok"
    assert worst(told) == "FAIL"


def test_state_that_was_folded_otherwise_is_found(live: tuple[Deployment, Worker], tmp_path: Path) -> None:
    """With another plan or another secret than the configured ones: a failure for each partition that holds state."""
    made, _ = live
    text = (Path(__file__).parents[2] / "config" / "plans" / "clm5.plan").read_text(encoding="utf-8")
    (tmp_path / "other.plan").write_text(text.replace("90d", "80d", 1), encoding="utf-8")
    assert "90d" in text
    for section, values, what in (
        ("lifecycle", {"plan": str(tmp_path / "other.plan")}, "was folded with plan "),
        ("identity", {"secret": "of these tests the second"}, "was folded with another identity.secret"),
    ):
        told = found(doctor_state.state, ground(made, with_(made.settings, section, **values)))
        assert [one.level for one in told] == ["FAIL"] * 3
        assert told[-1].found.endswith(" (and 1 more like it)")
        assert [one.found for one in told if what not in one.found] == []
        assert all("set another topics.prefix and kafka.group" in one.fix for one in told)


def test_what_is_wrong_with_redis(server: EmbeddedRedis) -> None:
    """Eviction with and without a limit, memory that is used up, a replica, a server that is gone; and that it may be off."""
    settings = with_(Settings(), "redis", url=server.url)

    def told() -> tuple[str, str]:
        said = examine([Check("redis", redis_check)], Ground(settings, "", server.url), 120)
        one = max(said, key=lambda one: RANK[one.level])
        return one.level, f"{one.found} -> {one.fix}"

    assert told()[0] == "ok"
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert told()[0] == "warn"
        client.config_set("maxmemory", "100mb")
        level, said = told()
        assert level == "FAIL"
        assert said.startswith("maxmemory-policy is allkeys-lru -> redis-cli CONFIG SET maxmemory-policy noeviction")
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", str(int(client.info()["used_memory"] * 1.05)))
        assert told()[0] == "warn"
        client.config_set("maxmemory", "0")
        client.replicaof("127.0.0.1", 1)
        level, said = told()
        assert level == "FAIL"
        assert said.endswith("is a replica -> set redis.url to its master, 127.0.0.1:1")
    server.stop()
    level, said = told()
    assert level == "FAIL"
    assert said.endswith("refused, nothing listens there -> start it, or correct redis.url")
    settings = with_(settings, "redis", enabled=False)
    assert told() == ("ok", "off (redis.enabled = false): no customer can be looked up -> ")


@pytest.mark.parametrize(
    ("told", "level", "said"),
    [
        ({}, "ok", "Redis 7.2.4; 5 MB used without a limit, noeviction; in memory, filled anew after a restart"),
        ({"cluster_enabled": 1}, "FAIL", "Redis 7.2.4 is a cluster"),
        ({"rdb_last_bgsave_status": "err"}, "FAIL", "it could not write a snapshot"),
        ({"aof_last_write_status": "err"}, "FAIL", "it could not write its append-only file"),
        ({"redis_version": "5.0.14"}, "warn", "Redis 5.0.14"),
        ({"loading": 1}, "warn", "it is loading its data"),
        ({"maxmemory_policy": "volatile-lru"}, "warn", "maxmemory-policy is volatile-lru"),
    ],
)
def test_what_a_redis_says_of_itself(told: dict[str, Any], level: str, said: str) -> None:
    """What it cannot be used as fails; what will matter only later is warned of, each with what to do."""
    healthy = {"redis_version": "7.2.4", "role": "master", "maxmemory_policy": "noeviction", "used_memory": 5 << 20}
    first, *rest = judge_redis(healthy | told)
    assert (first.level, first.found) == (level, said)
    assert [one.level for one in rest] == (["ok"] if level == "warn" else [])
    assert bool(first.fix) == (level != "ok")


def test_a_port_that_is_taken_is_told_with_who_holds_it(live: tuple[Deployment, Worker]) -> None:
    """By a worker of ours it may be; by another program it must not, and that one is named."""
    made, worker = live

    def told(port: int) -> Finding:
        (one,) = doctor_machine.ports(ground(made, with_(made.settings, "metrics", port=port)))
        return one

    held = told(worker.port)
    assert held.level == "ok"
    assert f"pid {worker.pid} (version 0.1.0, plan clm5 " in held.found
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        taken = told(port)
    assert taken.level == "FAIL"
    assert taken.found.startswith(f"metrics.port {port} is held by another program, ")
    assert taken.fix == "set metrics.port to another one, or 0 for a free one"
    assert told(port).found == f"metrics.port {port} is free on 127.0.0.1"
    elsewhere = with_(made.settings, "metrics", host="192.0.2.1", port=port)
    assert [one.level for one in doctor_machine.ports(ground(made, elsewhere))] == ["FAIL"]


def test_too_few_open_files_and_a_wrong_setting_are_told(tmp_path: Path) -> None:
    """A settings file that does not load is the first line; what needs no settings is checked all the same."""
    (tmp_path / "wrong.toml").write_text("[kafka]\ngrup = 'x'\n")
    command = (
        f"ulimit -n 200 && exec {sys.executable} -P -m commands doctor --within 120 --config {tmp_path / 'wrong.toml'}"
    )
    done = subprocess.run(
        ["bash", "-c", command],
        env=environment_of({}, tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 1
    first, second, *rest = done.stdout.splitlines()
    assert first.startswith(f"FAIL  config    {tmp_path / 'wrong.toml'}:2: ")
    assert "did you mean 'group'?" in first
    assert second.split() == ["->", "correct", "that", "line"]
    assert any(line.startswith("FAIL  files     200 open files a process; ") for line in rest)
    assert any("ulimit -n 4096" in line for line in rest)


def test_a_plan_that_is_wrong_and_a_secret_that_is_missing_are_told() -> None:
    """Both stop a worker; each is a line with what to type."""
    settings = with_(with_(Settings(), "lifecycle", plan="clm6"), "kafka", bootstrap="kafka.example:9092")
    secret, plan = configuration(Ground(settings, "", ""))
    assert (secret.level, plan.level) == ("FAIL", "FAIL")
    assert secret.found.startswith("identity.secret is not set, and Kafka (kafka.example:9092) is not on this machine")
    assert secret.fix.startswith("set LIFESTAGE_IDENTITY_SECRET to a long random text")
    assert plan.found.startswith("lifecycle.plan = 'clm6': ")
    assert plan.fix == "lifestage check clm6"


def test_a_full_disk_is_told() -> None:
    """The folder with the least room, what is kept there, and the variable that moves it."""
    gigabyte = 1 << 30
    home, tmp = Path("/data"), Path("/tmp")  # noqa: S108  # nothing is written there
    told = {
        free: doctor_machine.judge_disk({"LIFESTAGE_HOME": (home, free), "TMPDIR": (tmp, 9 * gigabyte)})
        for free in (9 * gigabyte, gigabyte, 10 << 20)
    }
    assert [one.level for one in told.values()] == ["ok", "warn", "FAIL"]
    one = told[10 << 20]
    assert one.found == "10 MB free in LIFESTAGE_HOME (/data)"
    assert one.fix == "make room in /data, or set LIFESTAGE_HOME to a folder of a larger disk"


def test_a_library_that_is_not_the_pinned_one_is_told(tmp_path: Path) -> None:
    """Another version and a missing library are warned of; those of other systems do not count."""
    lock = tmp_path / "lock"
    lock.write_text("redis==1.0.0 \\\n    --hash\nno-such==2.0\ncolorama==0.4.6 ; sys_platform == 'win32' \\\n")
    told = [one for one in doctor_machine.versions(Ground(Settings(), "", ""), lock) if one.level != "ok"]
    assert [one.level for one in told] == ["warn"]
    assert told[0].found == f"redis is {redis.__version__}, not 1.0.0; no-such is missing"
    assert told[0].fix == "make setup"
