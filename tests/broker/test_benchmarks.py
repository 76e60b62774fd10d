"""The benchmark on a real Kafka: small, but with everything it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.broker
def test_the_benchmark_runs_compares_and_shows_its_table() -> None:
    """A few thousand events through our worker and through plain Faust give the same paths, then a table of figures."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks", "--events", "4000", "--repeats", "1"],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, cwd="/", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("are right") == 4
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    names = [row.split("|")[1].strip() for row in rows]
    assert names[2:5] == ["lifestage", "plain Faust", "lifestage, with Redis"]
    assert names[7:] in (["compiled"] * 2 + ["uncompiled"] * 2, ["uncompiled"] * 4)
    assert "times the events a second of plain Faust" in done.stdout.splitlines()[1]
