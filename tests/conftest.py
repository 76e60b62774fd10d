"""Real services for the tests: one Kafka and one Redis for a whole run, started when first asked for; and what holds for each."""

from __future__ import annotations

import functools
import re
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from streams.embedded.java import INSTALL, find_java, kafka_jars
from streams.embedded.kafka import KafkaServer, start_kafka_server
from streams.embedded.process import ServiceError
from streams.embedded.redis import EmbeddedRedis, start_redis
from tests.services import MissingProgramError, find_program
from tests.shared_state import changed, shared_state

settings.register_profile("slow machines", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slow machines")


def pytest_configure() -> None:
    """Let Ctrl-C be heard: a shell starts what runs in the background deaf to it, and so would all be that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first, and the many short ones of the core last: so that two processes end at about the same time."""
    items.sort(key=lambda item: 0 if "chaos/test_chaos.py" in item.nodeid else 2 if "tests/core/" in item.nodeid else 1)


@pytest.fixture(autouse=True)
def _no_trace() -> Iterator[None]:
    """No test leaves the process other than it found it: each comes out alike, alone and after any others."""
    before = shared_state()
    yield
    left = changed(before, shared_state())
    assert not left, "left behind in this process: " + "; ".join(left)


@pytest.fixture(scope="session")
def real_kafka() -> Callable[..., KafkaServer]:
    """`start_kafka_server` for a broker of one's own; else the test fails and says what to type. Never a mock."""
    try:
        kafka_jars(find_java(), print)
    except ServiceError as error:
        pytest.fail(f"{error}\ninstall Java 17: {INSTALL}", pytrace=False)
    return functools.partial(start_kafka_server, say=print)


@pytest.fixture(scope="session")
def kafka(real_kafka: Callable[..., KafkaServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A real Kafka, shared by all tests: name topics and groups with `topic_prefix`, and leave it running."""
    with real_kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A real Redis, shared by all tests: start keys with `topic_prefix`, and leave it running."""
    with start_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def prometheus_binary() -> Path:
    """Prometheus' program; else the test fails and says what to type."""
    try:
        return find_program("prometheus")
    except MissingProgramError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A prefix for topics, groups and keys that no other test has, with the test's name in it."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:60]
    return f"{name}-{uuid.uuid4().hex[:8]}."
