"""The scenarios of faults in their small size: what `make chaos` does a hundred times, done some times on each change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from streams.embedded.kafka import KafkaServer
from tests.chaos.arena import Arena
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.table import Row, plain
from tests.chaos.teeth import every_break_has_a_tooth
from tests.shared_state import changed, shared_state

pytestmark = pytest.mark.broker

SIDE_BY_SIDE = 3
"""Scenarios wait for most of their time, so three of them take little longer than one; each has topics of its own."""
SMALL = ("kills", "teeth", "identities", "kills_in_recovery", "rebalances", "named_points", "rolling_restart")
"""The longest first."""


@pytest.fixture(scope="module")
def seed() -> int:
    """The seed of all chance: CHAOS_SEED, or always the same."""
    return int(os.environ.get("CHAOS_SEED", "19"))


@pytest.fixture(scope="module", autouse=True)
def _no_trace() -> Iterator[None]:
    """All of them together leave the process as they found it: each alone starts and ends while others are under way."""
    before = shared_state()
    yield
    left = changed(before, shared_state())
    assert not left, "left behind in this process: " + "; ".join(left)


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> Iterator[dict[str, Future[Row]]]:
    """The scenarios whose tests are asked for, under way."""
    asked = {
        name
        for item in request.session.items
        if item.path == request.path
        for name in SMALL
        if item.name == f"test_{name}"
    }
    pool = ThreadPoolExecutor(SIDE_BY_SIDE)
    yield {
        name: pool.submit(
            SCENARIOS[name].run, Arena(kafka.bootstrap, tmp_path_factory.mktemp(name), seed), SCENARIOS[name].small
        )
        for name in SMALL
        if name in asked
    }
    pool.shutdown(cancel_futures=True)


def check(running: dict[str, Future[Row]], name: str, seed: int) -> Row:
    """The row of a scenario, which must be right in everything."""
    print(f"seed {seed}: the same again with CHAOS_SEED={seed}")
    row = running[name].result()
    print(plain([row]))
    assert row.ok, plain([row])
    return row


def test_kills(running: dict[str, Future[Row]], seed: int) -> None:
    """Twenty times one of two workers is killed with work in flight: changes, profiles and counts are exact."""
    row = check(running, "kills", seed)
    assert row.events > 20 * 300


def test_identities(running: dict[str, Future[Row]], seed: int) -> None:
    """Under kills and rebalances each person ends as one profile: exact visits, orders and money, one live id."""
    row = check(running, "identities", seed)
    assert row.events > 6 * 300


def test_kills_in_recovery(running: dict[str, Future[Row]], seed: int) -> None:
    """Workers that die while they read their state back, their own or that of a dead one, leave it as it was."""
    check(running, "kills_in_recovery", seed)


def test_named_points(running: dict[str, Future[Row]], seed: int) -> None:
    """One worker after the other dies between two steps of intake, flush, commit or recovery; the outcome is exact."""
    check(running, "named_points", seed)


def test_rebalances(running: dict[str, Future[Row]], seed: int) -> None:
    """Up to three workers join and leave under load: nothing is lost, and nothing is read or told twice."""
    check(running, "rebalances", seed)


def test_rolling_restart(running: dict[str, Future[Row]], seed: int) -> None:
    """Each of three workers is restarted under load: nothing is lost, and nothing is read or told twice."""
    check(running, "rolling_restart", seed)


def test_teeth(running: dict[str, Future[Row]], seed: int) -> None:
    """Without a guard, a death at the point that it is there for is seen by the judges; with all of them nothing is."""
    check(running, "teeth", seed)
    assert every_break_has_a_tooth()
