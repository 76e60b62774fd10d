"""The benchmark on a real Kafka: small, but with everything it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m benchmarks` with arguments."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks", *arguments],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, cwd="/", capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip


def done_right(times: int, *arguments: str) -> str:
    """What a bench of these parts says on stdout, once it has ended well and found the moves of so many runs right."""
    done = bench("--rounds", "1", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("are right") == times, done.stderr
    return done.stdout


@pytest.mark.broker
def test_the_benchmark_runs_compares_and_shows_its_table() -> None:
    """A few thousand events through ours and through Kafka Streams are all right, then a table of figures."""
    said = done_right(3, "--events", "4000", "--only", "a,core", "--contestants", "lifestage,Kafka Streams")
    rows = [line for line in said.splitlines() if line.startswith("|")]
    names = [row.split("|")[1].strip() for row in rows]
    assert names[2:5] == ["lifestage's batch path", "lifestage, whole worker", "Kafka Streams"]
    assert names[7:] in (["compiled"] * 2 + ["uncompiled"] * 2, ["uncompiled"] * 4)
    assert "**lifestage's batch path: " in said


@pytest.mark.broker
def test_the_full_job_is_done_right_by_ours_and_by_kafka_streams() -> None:
    """Arbitrary keys, broken events, timers of 90, 180 and 365 days: both say what the reference says."""
    said = done_right(2, "--events", "4000", "--only", "b", "--contestants", "lifestage,Kafka Streams")
    assert "**lifestage, no identity: " in said


@pytest.mark.broker
def test_latency_and_recovery_are_measured_of_what_is_right() -> None:
    """A few seconds at each rate, and a comeback with a few thousand customers, each change compared."""
    arguments = [
        "--events",
        "4000",
        "--profiles",
        "4000",
        "--seconds",
        "3",
        "--rounds",
        "1",
        "--only",
        "latency,recovery",
        "--contestants",
        "batch",
    ]
    done = bench(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("changes are right") + done.stderr.count("does not keep up (") == 2
    assert done.stderr.count("4,000 customers are right") == 1
    rows = [line for line in done.stdout.splitlines() if line.startswith("| lifestage's batch path | ")]
    assert len(rows) == 2


@pytest.mark.broker
def test_the_cost_of_features_is_measured_of_what_is_right() -> None:
    """Two bare hops and the whole worker with everything on make the moves of an offline replay."""
    said = done_right(2, "--events", "3000", "--only", "features", "--contestants", "bare,everything")
    assert "- lifestage, everything on: " in said


@pytest.mark.broker
def test_one_worker_and_two_are_measured_of_what_is_right() -> None:
    """Two workers of a group say what one says; the cores that they keep busy are of both, and not more than there are."""
    said = done_right(2, "--events", "4000", "--only", "scale", "--contestants", "lifestage")
    assert "- lifestage, two workers: " in said
    rows = [line.split("|") for line in said.splitlines() if line.startswith("| lifestage, ")]
    for row in rows:
        own, everything = (float(cell.split()[0]) for cell in row[5:7])
        assert 0 < own <= everything <= (os.cpu_count() or 1) + 0.1


def test_a_part_that_is_not_there_is_refused() -> None:
    """A misspelt part is named, with those that are."""
    done = bench("--only", "a,cor")
    assert done.returncode == 2
    assert "no part is called cor: --only takes a, " in done.stderr
