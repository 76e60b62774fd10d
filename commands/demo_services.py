"""What the demo runs on: the services given by the settings, or ones of its own, and a worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from commands.demo_feed import SOURCES
from config.errors import UserFacingError
from config.settings import Settings, load
from streams import running
from streams.embedded.kafka import EmbeddedKafka, start_kafka
from streams.embedded.process import Child, Claim, ServiceError, free_ports
from streams.embedded.redis import start_redis
from streams.topics import topics_of

CHECKOUT = Path(__file__).parents[1]
READY_S = 60.0
STOP_S = 10.0
OUT_OF_ORDER_S = 2 * 86_400
MEMORY_PARTITIONS = 4
"""What librdkafka's in-memory cluster gives every topic."""


@dataclass(slots=True)
class Services:
    """Everything that runs. `own` says that Kafka was started here and goes with the demo; `extra` is for kafka-python."""

    settings: Settings
    bootstrap: str
    worker: Child
    metrics: str
    own: bool
    extra: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise `UserFacingError` when the worker has ended."""
        if self.worker.returncode is not None:
            end = "\n  ".join(self.worker.printed().strip().splitlines()[-15:])
            raise UserFacingError(f"the worker ended with status {self.worker.returncode}; {self.worker.log}:\n  {end}")


@contextmanager
def started(config: Path | None, say: Callable[[str], None]) -> Iterator[Services]:
    """Start what the settings do not give; everything is stopped at the end. `say` gets a line for each.

    Raises `UserFacingError` when something cannot be had.
    """
    given = load(config, os.environ)
    _check_sources(given)
    home = running.default_home().resolve()
    try:
        with ExitStack() as stack:
            stack.enter_context(_claimed(home))
            yield _start(given, config, home, say, stack)
    except ServiceError as error:
        raise UserFacingError(str(error)) from None


def _check_sources(settings: Settings) -> None:
    missing = [name for name in SOURCES if name not in settings.topics.sources]
    if missing:
        raise UserFacingError(
            f"topics.sources = {list(settings.topics.sources)}: the demo needs {', '.join(missing)} too"
        )


def _claimed(home: Path) -> Claim:
    try:
        return Claim(home / "demo", "A demo")
    except ServiceError:
        where = running.read(home).get("metrics")
        raise UserFacingError(
            f"a demo is already running from {home}{f' ({where}/metrics)' if where else ''}: end it with Ctrl-C where it "
            "was started, or set LIFESTAGE_HOME to another folder for a second one"
        ) from None


def _start(given: Settings, config: Path | None, home: Path, say: Callable[[str], None], stack: ExitStack) -> Services:
    files = home / "demo"
    kafka: EmbeddedKafka | None = None
    names: dict[str, str] = {}
    extra: dict[str, Any] = {}
    addresses: dict[str, str] = {}
    if not given.kafka.bootstrap:
        kafka = stack.enter_context(start_kafka(files, say=say))
        say(f"Kafka: {kafka.description} at {kafka.bootstrap}")
        addresses["kafka"] = kafka.bootstrap
        names = {"KAFKA_BOOTSTRAP": kafka.bootstrap, "KAFKA_SECURITY": "PLAINTEXT", "TOPICS_REPLICATION": "1"}
        names["METRICS_PORT"] = str(free_ports(1)[0])
        if not kafka.durable:
            names["TOPICS_PARTITIONS"] = str(MEMORY_PARTITIONS)
            extra = _memory_options()
    if given.redis.enabled and not given.redis.url:
        redis = stack.enter_context(start_redis(files / "redis"))
        say(f"Redis: {redis.description} at {redis.url}")
        addresses["redis"] = names["REDIS_URL"] = redis.url
    environment = environment_of(given, names)
    settings = load(config, environment)
    bootstrap = settings.kafka.bootstrap
    _provision(settings, bootstrap, kafka, say)
    worker = _start_worker(config, environment, files / "worker.log")
    stack.callback(worker.stop, STOP_S)
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.metrics.host, settings.metrics.host)  # noqa: S104  # compared
    metrics = f"http://{host}:{settings.metrics.port}"
    worker.wait_until(lambda: _answers(f"{metrics}/readyz"), "the worker", READY_S)
    say(f"worker: ready, metrics at {metrics}/metrics")
    if addresses:
        stack.callback(running.clear, home)
        running.write(home, **addresses, metrics=metrics, **(running.settings_in(settings) if kafka else {}))
    return Services(settings, bootstrap, worker, metrics, kafka is not None, extra)


def environment_of(given: Settings, names: dict[str, str]) -> dict[str, str]:
    """The environment of the demo's worker: ours, the demo's clock, KPIs counted, and `names` (section and name as in variables).

    On services that are not its own the demo takes names of its own, where the settings leave them at their defaults.
    """
    default = Settings()
    mine = {
        "CLOCK_MODE": "data",
        "CLOCK_TICK_INTERVAL_S": "0.5",
        "CLOCK_OUT_OF_ORDERNESS_S": str(OUT_OF_ORDER_S),
        # What is announced happened in 1997-98: longer ago than any retention in days.
        "TOPICS_CHANGES_RETENTION_DAYS": "-1",
        "KPIS_LIVE": "true",
    }
    if given.kafka.bootstrap:
        if given.kafka.group == default.kafka.group:
            mine["KAFKA_GROUP"] = "lifestage-demo"
        if given.topics.prefix == default.topics.prefix:
            mine["TOPICS_PREFIX"] = "demo-"
    if given.redis.url and given.redis.prefix == default.redis.prefix:
        mine["REDIS_PREFIX"] = "lifestage-demo:"
    settings = {f"LIFESTAGE_{name}": value for name, value in {**mine, **names}.items()}
    path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, **settings, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _memory_options() -> dict[str, Any]:
    from streams.embedded.kafka_memory import KAFKA_PYTHON

    return dict(KAFKA_PYTHON)


def _provision(settings: Settings, bootstrap: str, kafka: EmbeddedKafka | None, say: Callable[[str], None]) -> None:
    from streams.provision import apply, plan

    if kafka is not None and not kafka.durable:
        _touch(settings, bootstrap)
        return
    actions = plan(settings, bootstrap)
    apply(settings, bootstrap, actions)
    say(f"topics: {', '.join(topic.name for topic in topics_of(settings).all())}")


def _touch(settings: Settings, bootstrap: str) -> None:
    """Name every topic once: that makes it in the in-memory cluster, which cannot be asked to."""
    from kafka import KafkaProducer

    from streams.connections import kafka_python

    producer = KafkaProducer(bootstrap_servers=bootstrap, **kafka_python(settings) | _memory_options())
    try:
        for topic in topics_of(settings).all():
            producer.partitions_for(topic.name)
    finally:
        producer.close(timeout=2)


def _start_worker(config: Path | None, environment: dict[str, str], log: Path) -> Child:
    chosen = ["--config", str(config)] if config else []
    return Child([sys.executable, "-P", "-m", "commands", "worker", *chosen], log, environment)


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=2) as answer:  # noqa: S310  # our own http://
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
