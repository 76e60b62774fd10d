"""KPIs that workers keep, through kills and takeovers on a real Kafka: what is kept is what the log says, sum by sum."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.embedded.kafka import KafkaServer
from tests.broker.test_faults import Progress, finish
from tests.load import Load
from tests.pipeline import Deployment, deployment, differences, samples

pytestmark = pytest.mark.broker

SEED, RATE = 41, 1_000


def reconciled(made: Deployment) -> dict[str, Any]:
    """What `lifestage reconcile --json` says of a deployment."""
    given = {f"LIFESTAGE_{name.replace('.', '_').upper()}": value for name, value in made.given.items()}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LIFESTAGE_")}
    words = [str(Path(sys.prefix) / "bin" / "lifestage"), "reconcile", "--json"]
    done = subprocess.run(words, env=clean | given, cwd=made.home, capture_output=True, timeout=300, check=False)
    assert done.stdout, done.stderr[-2000:]
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


def test_kills_and_takeovers_leave_every_sum_exact(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """Three kills with work in flight and a worker that joins: every sum of every partition is that of the log, and none is left out."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, kpis__live="true", kpis__window="30") as made:
        progress = Progress(made)
        with Load(kafka.bootstrap, topic_prefix, SEED, RATE):
            worker = made.worker("w0").wait_ready(60)
            for number in range(3):
                progress.wait(timeout_s=90)
                worker.kill()
                progress.fault()
                worker = made.worker(f"w{number + 1}").wait_ready(60)
            progress.wait(timeout_s=90)
            second = made.worker("second").wait_ready(60)
            made.wait_shared([worker, second], 90)
            progress.fault()
            progress.wait(timeout_s=90)
            second.kill()
            progress.fault()
            progress.wait(timeout_s=90)
        made.wait_done(120, alive=[worker])
        made.end_tick(1_300_000_000_000)
        made.wait_done(120, alive=[worker])
        shown = {name: value for (name, _), value in samples(worker).items()}
        assert shown["lifestage_kpi_complete"] == 1
        assert shown["lifestage_kpi_part_customers"] > 0
        finish(made, [worker])
        assert differences(made) == []
        found = reconciled(made)
        assert found["differences"] == []
        assert found["not_compared"] == {}
        assert found["sums"] > 30
