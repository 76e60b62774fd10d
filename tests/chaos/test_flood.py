"""A million ids that nobody has seen before, in one minute: memory stays within a bound, and who is known is always taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from config.settings import Settings, load
from lifestage.marker import PREPARED_KEY
from lifestage.newcomers import ALWAYS_AT_ONCE, MINUTE, MINUTES, has_room
from lifestage.partition import Partition
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


def test_who_is_shed_is_shed_again() -> None:
    """A flush that was cut off after the first visitor is folded again: the same are taken, and no more."""
    settings = load(environment={"LIFESTAGE_IDENTITY_SECRET": "a secret of the tests"})
    rules = rules_of(settings)._replace(new_anonymous=2)
    records = [visit(offset, BEGIN_MS + offset, anonymous_id=f"a{offset}") for offset in range(6)]
    whole = Partition(rules, "log", 0)
    whole.fold(records)
    flush = whole.checkpoint()
    again = Partition(rules, "log", 0)
    again.restore(PREPARED_KEY, flush.marker)
    again.restore(b"anon:a0", flush.profiles[b"anon:a0"])
    again.recovered()
    again.fold(records)
    again.checkpoint()
    assert again.stored == whole.stored
    assert sorted(again.stored) == [b"anon:a0", b"anon:a1"]
    assert again.marker == whole.marker


def test_clocks_that_are_ahead_shed_nobody_else() -> None:
    """Of ten minutes with as many new visitors as a minute may bring, some of whose clocks are up to 5 minutes ahead, none is
    shed; but one more of a minute that is full is, and so is one of a minute from long before when the oldest is full."""
    settings = load(environment={"LIFESTAGE_IDENTITY_SECRET": "a secret of the tests"})
    most = 20
    partition = Partition(rules_of(settings)._replace(new_anonymous=most), "log", 0)
    times = [BEGIN_MS // MINUTE * MINUTE + minute * MINUTE + n * 1_000 for minute in range(10) for n in range(most - 2)]
    # of every 17th the clock is ahead; by so much in turn that no minute gets more than its two that are left
    ahead = [time + (n // 17 % 5 + 1) * MINUTE if n % 17 == 0 else time for n, time in enumerate(times)]
    visits = [visit(n, time, anonymous_id=f"a{n}") for n, time in enumerate(ahead)]
    partition.fold(visits)
    partition.checkpoint()
    assert partition.marker.identity.get("shed", 0) == 0
    assert len(partition.stored) == len(visits)
    assert len(partition.marker.fresh["site"]) == 2 * MINUTES
    last = max(ahead)
    more = [visit(1_000 + n, last, anonymous_id=f"b{n}") for n in range(most)]
    partition.fold(more)
    full = partition.marker.identity["shed"]
    assert 0 < full < most
    partition.fold([visit(2_000 + n, BEGIN_MS - 1, anonymous_id=f"c{n}") for n in range(2 * most)])
    assert full < partition.marker.identity["shed"] <= full + 2 * most


def taken(times: list[int], most: int) -> list[int]:
    """When those came who are taken, of new visitors with these times in a minute, ms."""
    settings = load(environment={"LIFESTAGE_IDENTITY_SECRET": "a secret of the tests"})
    partition = Partition(rules_of(settings)._replace(new_anonymous=most), "log", 0)
    begin = BEGIN_MS // MINUTE * MINUTE
    partition.fold([visit(n, begin + time, anonymous_id=f"a{n}") for n, time in enumerate(times)])
    partition.checkpoint()
    there = {int(key.removeprefix(b"anon:a")) for key in partition.stored}
    assert partition.marker.identity.get("shed", 0) == len(times) - len(there)
    return [time for n, time in enumerate(times) if n in there]


def test_a_flood_comes_in_at_a_pace() -> None:
    """Of ten times too many in a minute as many as may come do, in no second more than twice its even part after the first few."""
    most = 7_500
    came = taken([n * MINUTE // (10 * most) for n in range(10 * most)], most)
    assert len(came) == most
    by_second = [sum(second * 1_000 <= time < (second + 1) * 1_000 for time in came) for second in range(60)]
    assert most // 10 <= by_second[0] <= most // 10 + most // 60 + 1
    assert max(by_second[1:]) <= 2 * most // 60
    assert min(by_second[:50]) >= most // 60 - 1


def test_visitors_who_come_evenly_are_all_taken() -> None:
    """As many as a minute may bring, and nobody is shed; nor are 500, however they come."""
    most = 7_500
    assert len(taken([n * MINUTE // most for n in range(most)], most)) == most
    assert len(taken([0] * ALWAYS_AT_ONCE, most)) == ALWAYS_AT_ONCE
    assert len(taken([n % 7 * 8_000 for n in range(ALWAYS_AT_ONCE)], ALWAYS_AT_ONCE)) == ALWAYS_AT_ONCE


@pytest.mark.parametrize("most", [1, 20, 499, 501, 7_500, 60_000])
def test_the_pace_never_gives_more_than_the_bound(most: int) -> None:
    """By its last instant a minute has brought what it may, not one more; and there is never less room later in it."""
    assert has_room([0, most - 1], 1, MINUTE - 1, most)
    for time in (0, 1, 30_000, MINUTE - 1):
        assert not has_room([0, most], 1, time, most)
        assert has_room([0, 0], 1, time, most)
    rooms = [
        sum(has_room([0, count], 1, time, most) for count in range(0, most, 7)) for time in range(0, MINUTE, 6_000)
    ]
    assert rooms == sorted(rooms)


def test_what_is_from_long_before_is_not_paced() -> None:
    """Of minutes that are counted together so many as one may bring come in, in any order; of one that is new they are paced."""
    most = 7_500
    assert has_room([10, most - 1], 1, 9 * MINUTE, most)
    assert not has_room([10, most], 1, 9 * MINUTE, most)
    assert not has_room([10, most - 1], 1, 10 * MINUTE, most)


@pytest.mark.parametrize(
    ("asked", "partitions", "share"), [(60_000, 8, 7_500), (60_000, 7, 8_572), (1, 8, 1), (0, 8, 0)]
)
def test_the_bound_is_the_deployments(asked: int, partitions: int, share: int) -> None:
    """Each partition has its share of the number that is set, rounded up; 0 is no bound."""
    given = {"IDENTITY_NEW_ANONYMOUS_PER_MINUTE": asked, "TOPICS_PARTITIONS": partitions}
    settings: Settings = load(environment={f"LIFESTAGE_{name}": str(value) for name, value in given.items()})
    assert rules_of(settings).new_anonymous == share
