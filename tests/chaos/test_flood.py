"""A million ids that nobody has seen before, in one minute: memory stays within a bound, and who is known is always taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings, load
from lifestage import facts, log
from lifestage.facts import WebVisit
from lifestage.log import ARRIVALS
from lifestage.marker import PREPARED_KEY, Marker, decode_marker, encode_marker
from lifestage.newcomers import ALWAYS_AT_ONCE, MINUTE, MINUTES, admit, at_once
from lifestage.partition import Partition
from streams.doorway import doorway_of
from streams.rules import rules_of
from tests.chaos.flood import KNOWN, SHARE, visit
from tests.load import BEGIN_MS
from tests.workers import CHECKOUT

FRESH = 1_000_000
GROWN_MB = 30
"""7,500 visitors take 5 MB; the rest is what a collector of memory leaves. Without the bound there would be a hundred times as many."""


class Source(NamedTuple):
    """A record of a source as it is parsed."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: tuple[()]


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


class Pace:
    """Visitors who are new, by when they came; their clocks tell a minute of their own, so that no minute is full."""

    def __init__(self, most: int) -> None:
        self.marker, self.most, self.minute = Marker(), most, 0

    def taken(self, arrived: int, count: int) -> int:
        """How many of so many who came in one second are let in."""
        self.minute += 1
        return sum(admit(self.marker, "site", self.minute * MINUTE, arrived, self.most) for _ in range(count))


def test_a_flood_is_let_in_at_a_pace() -> None:
    """A tenth of a minute's number comes in at once, a sixtieth more each second, and after seconds of rest a tenth again."""
    pace = Pace(6_000)
    assert [pace.taken(second, 2_000) for second in (1, 1, 2, 3, 7)] == [600, 0, 100, 100, 400]
    assert [pace.taken(second, 2_000) for second in (20, 21)] == [600, 100]
    even = Pace(6_000)
    assert [even.taken(second, 100) for second in range(1, 200)] == [100] * 199


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3_000)), min_size=1, max_size=40), st.integers(1, 9_000))
def test_no_time_lets_in_more_than_its_share_and_what_comes_at_once(runs: list[tuple[int, int]], most: int) -> None:
    """Whatever comes when: within any seconds no more than a sixtieth for each of them beside what may come at once."""
    pace, second, taken = Pace(most), ARRIVALS - 30, []
    for pause, count in runs:
        second += pause
        taken.append((second, pace.taken(second % ARRIVALS + 1, count)))
    for first, (begin, _) in enumerate(taken):
        within = 0
        for end, count in taken[first:]:
            within += count
            assert within <= at_once(most) + (end - begin) * most / 60


def test_seconds_in_disorder_let_in_no_more_and_a_long_rest_fills_up() -> None:
    """Source partitions that are some seconds apart make no time pass; who comes after a day or at the turn of the numbers is let in."""
    pace = Pace(6_000)
    assert pace.taken(100, 1_000) == 600
    assert [pace.taken(second, 1_000) for second in (95, 100, 41, 100)] == [0, 0, 0, 0]
    assert pace.taken(101, 1_000) == 100
    for rest in (3_600, 30_000, 60_000, ARRIVALS + 7):
        full = Pace(6_000)
        assert [full.taken((second % ARRIVALS) + 1, 1_000) for second in (9, 9 + rest)] == [600, 600]


def test_a_small_number_is_not_spread() -> None:
    """Where a minute may bring few, they may come at once; and a log that does not say when facts came is counted by minute alone."""
    assert at_once(ALWAYS_AT_ONCE // 2) == ALWAYS_AT_ONCE // 2
    assert Pace(ALWAYS_AT_ONCE // 2).taken(1, 1_000) == ALWAYS_AT_ONCE // 2
    assert Pace(6_000).taken(0, 5_000) == 5_000


def test_who_was_let_in_at_a_pace_is_let_in_again() -> None:
    """A flush that was cut off in a flood is folded again: the same are taken, and what may come in then is the same."""
    settings = load(environment={"LIFESTAGE_IDENTITY_SECRET": "a secret of the tests"})
    rules = rules_of(settings)._replace(new_anonymous=6_000)
    records = [visit(n, BEGIN_MS + n, 1 + n // 700, anonymous_id=f"a{n}") for n in range(2_100)]
    whole = Partition(rules, "log", 0)
    whole.fold(records)
    flush = whole.checkpoint()
    assert len(whole.stored) == 800
    assert whole.marker.paced == {"site": [3, 0]}
    again = Partition(rules, "log", 0)
    again.restore(PREPARED_KEY, flush.marker)
    for key in [*flush.profiles][::3]:
        again.restore(key, flush.profiles[key])
    again.recovered()
    again.fold(records)
    again.checkpoint()
    assert again.stored == whole.stored
    assert again.marker == whole.marker == decode_marker(encode_marker(whole.marker))


def test_a_fact_says_in_the_log_when_it_came() -> None:
    """It is when Kafka took in the source's record, whatever the sender's clock says; nothing where Kafka does not say it."""
    settings = load(environment={"LIFESTAGE_IDENTITY_SECRET": "a secret of the tests"})
    door = doorway_of(settings, ("visits",), 8)
    for appended, said in ((BEGIN_MS + 1_999, BEGIN_MS // 1000 % ARRIVALS + 2), (-1, 0)):
        value = b'{"id":"v","source":"site","type":"web.visit","time":%d,"url":"u","anonymous_id":"a"}' % BEGIN_MS
        entry = door.enter_run([Source(7, appended, None, value, ())], "visits", 0)[0]
        assert log.header(entry.value).flags == said
        assert isinstance(facts.decode(entry.value[log.HEADER_SIZE :]), WebVisit)


@pytest.mark.parametrize(
    ("asked", "partitions", "share"), [(60_000, 8, 7_500), (60_000, 7, 8_572), (1, 8, 1), (0, 8, 0)]
)
def test_the_bound_is_the_deployments(asked: int, partitions: int, share: int) -> None:
    """Each partition has its share of the number that is set, rounded up; 0 is no bound."""
    given = {"IDENTITY_NEW_ANONYMOUS_PER_MINUTE": asked, "TOPICS_PARTITIONS": partitions}
    settings: Settings = load(environment={f"LIFESTAGE_{name}": str(value) for name, value in given.items()})
    assert rules_of(settings).new_anonymous == share
