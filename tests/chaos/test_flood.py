"""A million ids that nobody has seen before, in one minute: memory stays within a bound, and who is known is always taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from config.settings import Settings, load
from lifestage import log
from lifestage.marker import PREPARED_KEY
from lifestage.partition import SECOND_LEAST, Partition
from streams.rules import rules_of
from tests.chaos.flood import KNOWN, SHARE, visit
from tests.load import BEGIN_MS
from tests.workers import CHECKOUT

FRESH = 1_000_000
GROWN_MB = 30
"""7,500 visitors take 5 MB; the rest is what a collector of memory leaves. Without the bound there would be a hundred times as many."""


@pytest.fixture(scope="module")
def flooded() -> dict[str, Any]:
    """What came of a million ids."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.chaos.flood", str(FRESH)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_memory_stays_within_its_bound(flooded: dict[str, Any]) -> None:
    """One partition takes its share of what a minute may bring and no more, in profiles, timers and megabytes."""
    assert flooded["new_profiles"] == SHARE
    assert flooded["due"] <= 3 * (SHARE + 2 * KNOWN) + 10_000
    assert flooded["largest_mb"] - flooded["before_mb"] < GROWN_MB


def test_what_is_shed_is_counted(flooded: dict[str, Any]) -> None:
    """Each event of the flood is accepted or suppressed, and each suppressed one counts as shed."""
    accepted, shed = flooded["accounts"]["accepted"], flooded["accounts"]["suppressed"]
    assert shed == FRESH - SHARE
    assert flooded["identity"]["shed"] == shed
    assert accepted + shed == FRESH + 4 * KNOWN


def test_who_is_known_is_always_taken(flooded: dict[str, Any]) -> None:
    """Every visit of a known customer or visitor in the middle of the flood is accepted."""
    assert flooded["accounts"]["accepted"] == SHARE + 4 * KNOWN


@pytest.mark.parametrize(("most", "live", "visitors", "taken"), [(2, False, 6, 2), (1_000, True, 150, SECOND_LEAST)])
def test_who_is_shed_is_shed_again(most: int, live: bool, visitors: int, taken: int) -> None:
    """A flush that was cut off after the first visitor is folded again: the same are taken, and no more."""
    settings = load(environment={"LIFESTAGE_IDENTITY_SECRET": "a secret of the tests"})
    rules = rules_of(settings)._replace(new_anonymous=most)
    tick = log.pack_tick(log.Tick(BEGIN_MS, live))
    visits = [visit(1 + n, BEGIN_MS + 1 + n, anonymous_id=f"a{n}") for n in range(visitors)]
    whole = Partition(rules, "log", 0)
    whole.fold([(0, None, tick), *visits])
    flush = whole.checkpoint()
    again = Partition(rules, "log", 0)
    again.restore(PREPARED_KEY, flush.marker)
    again.restore(b"anon:a0", flush.profiles[b"anon:a0"])
    again.recovered()
    again.fold([(0, None, tick), *visits])
    again.checkpoint()
    assert again.stored == whole.stored
    assert sorted(again.stored) == sorted(b"anon:a%d" % n for n in range(taken))
    assert again.marker == whole.marker


def _of_a_second(step_ms: int, *, live: bool) -> Partition:
    """What is kept of 400 new visitors at intervals, of whom a minute may bring 1,000."""
    settings = load(environment={"LIFESTAGE_IDENTITY_SECRET": "a secret of the tests"})
    partition = Partition(rules_of(settings)._replace(new_anonymous=1_000), "log", 0)
    tick = log.pack_tick(log.Tick(BEGIN_MS, live))
    visits = [visit(1 + n, BEGIN_MS + (step_ms and 1 + step_ms * n), anonymous_id=f"a{n}") for n in range(400)]
    partition.fold([(0, None, tick), *visits])
    partition.checkpoint()
    return partition


@pytest.mark.parametrize(
    ("step_ms", "live", "taken"),
    [(1, True, SECOND_LEAST), (5, True, 2 * SECOND_LEAST), (20, True, 400), (1, False, 400), (0, True, 400)],
)
def test_live_a_second_brings_a_part_of_its_minute(step_ms: int, live: bool, taken: int) -> None:
    """So who is known waits no longer while a flood is taken in. A backlog, and a source without seconds, have their minutes."""
    partition = _of_a_second(step_ms, live=live)
    assert len(partition.stored) == taken
    assert partition.marker.identity.get("shed", 0) == 400 - taken


@pytest.mark.parametrize(
    ("asked", "partitions", "share"), [(60_000, 8, 7_500), (60_000, 7, 8_572), (1, 8, 1), (0, 8, 0)]
)
def test_the_bound_is_the_deployments(asked: int, partitions: int, share: int) -> None:
    """Each partition has its share of the number that is set, rounded up; 0 is no bound."""
    given = {"IDENTITY_NEW_ANONYMOUS_PER_MINUTE": asked, "TOPICS_PARTITIONS": partitions}
    settings: Settings = load(environment={f"LIFESTAGE_{name}": str(value) for name, value in given.items()})
    assert rules_of(settings).new_anonymous == share
