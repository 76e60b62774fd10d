"""KPIs in a real Prometheus while real workers die and join: at every instant the whole, or nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from streams.embedded.kafka import KafkaServer
from tests.broker.test_prometheus import events
from tests.deployment import RULES
from tests.load import BEGIN_MS
from tests.pipeline import deployment
from tests.services import Prometheus, start_prometheus
from tests.workers import Worker

pytestmark = pytest.mark.broker

DAY_MS = 86_400_000
CONFIG = """
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: ["{rules}/*.yml"]
scrape_configs:
  - job_name: lifestage
    file_sd_configs: [{{files: ["{targets}"], refresh_interval: 1s}}]
"""
RIGHT = {
    "lifestage_kpi_active_customers": 60,
    'lifestage_kpi_orders{currency="USD"}': 120,
    'lifestage_kpi_aov{currency="USD"}': 12.5,
    "lifestage_kpi_rpr": 2 / 3,
    'lifestage_kpi_leads_by_channel{channel="other"}': None,
    'lifestage_kpi_new_customers_by_channel{channel="direct"}': 60,
    "sum(job_stage:lifestage_customers:sum)": 60,
    "sum(job_source:lifestage_accounted_events:sum)": 180,
}
WAIT_S = 120


def told(prometheus: Prometheus) -> dict[str, float | None]:
    """What each KPI is now; None where it has no value."""
    found = {query: prometheus.query(query) for query in RIGHT}
    return {query: float(series[0]["value"][1]) if series else None for query, series in found.items()}


def wait(prometheus: Prometheus, *, is_whole: bool) -> None:
    """Wait until KPIs have the right values, or none."""
    wanted = RIGHT if is_whole else dict.fromkeys(RIGHT)
    deadline = time.monotonic() + WAIT_S
    while (found := told(prometheus)) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def values(prometheus: Prometheus, query: str, begin: float) -> set[float]:
    """All values that a query had since an instant."""
    series = prometheus.query(f"{query}[{round(time.time() - begin)}s:250ms]")
    return {float(value) for one in series for _, value in one["values"]}


def scraped(file: Path, *workers: Worker) -> None:
    """Have Prometheus scrape these workers."""
    made = file.with_suffix(".new")
    made.write_text(json.dumps([{"targets": [f"127.0.0.1:{worker.port}" for worker in workers]}]), encoding="utf-8")
    made.rename(file)


def test_no_kpi_is_of_a_part_while_workers_die_and_join(
    kafka: KafkaServer, prometheus_binary: Path, topic_prefix: str, tmp_path: Path
) -> None:
    """Two workers, one is killed, another joins: whoever adds parts up finds half of the customers for a while; no KPI ever is."""
    assert prometheus_binary.is_file()
    targets = tmp_path / "targets.json"
    config = CONFIG.format(rules=RULES.parent, targets=targets)
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, kpis__live="true") as made:
        first, second = made.worker("w1").wait_ready(), made.worker("w2").wait_ready()
        made.wait_shared([first, second])
        scraped(targets, first, second)
        with start_prometheus(config, tmp_path / "prometheus") as prometheus:
            made.produce("purchases", events())
            made.wait_done(alive=[first, second])
            made.end_tick(BEGIN_MS + 3 * DAY_MS)
            wait(prometheus, is_whole=True)
            begin = time.time()
            second.kill()
            wait(prometheus, is_whole=False)
            wait(prometheus, is_whole=True)
            third = made.worker("w3").wait_ready()
            scraped(targets, first, second, third)
            made.wait_shared([first, third])
            deadline = time.monotonic() + WAIT_S
            while len(prometheus.query("lifestage_kpi_partitions > 0")) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            wait(prometheus, is_whole=True)
            seen = {query: values(prometheus, query, begin) for query in RIGHT}
            assert seen == {query: set() if value is None else {value} for query, value in RIGHT.items()}
            assert min(values(prometheus, "sum(lifestage_kpi_part_active)", begin)) < 60
            assert values(prometheus, "sum(lifestage_customers)", begin) != {60.0}
            assert values(prometheus, "max(lifestage_kpi_partitions_expected)", begin) == {4.0}
