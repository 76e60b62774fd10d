"""A real Prometheus scrapes real workers, and queries over them give the figures of what was sent."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from streams.embedded.kafka import KafkaServer
from tests.deployment import RULES
from tests.load import BEGIN_MS
from tests.pipeline import deployment
from tests.services import Prometheus, start_prometheus

pytestmark = pytest.mark.broker

DAY_MS = 86_400_000
CUSTOMERS = 20
"""So many with one order, with two, and with three on different days."""
CONFIG = """
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: lifestage
    static_configs: [{{targets: [{targets}]}}]
"""
QUERIES: dict[str, float | None] = {
    'sum by (stage) (lifestage_customers{stage="conversion"})': 20,
    'sum by (stage) (lifestage_customers{stage="retention"})': 20,
    'sum by (stage) (lifestage_customers{stage="loyalty"})': 20,
    "sum(lifestage_customers)": 60,
    'sum(lifestage_orders{currency="USD"})': 120,
    'sum(lifestage_revenue_gross{currency="USD"})': 1500,
    'sum(lifestage_revenue_net{currency="USD"})': 1500,
    'sum(lifestage_accounted_events{source="shop",outcome="accepted"})': 120,
    'sum(lifestage_accounted_events{source="shop",outcome="duplicate"})': 60,
    'sum(lifestage_accounted_events{outcome="rejected"})': None,
    "sum(lifestage_accounted_events)": 180,
    'sum(lifestage_stage_changes_total{to_stage="loyalty",kind="advance"})': 20,
    'sum(lifestage_stage_changes_total{from_stage="none"})': 60,
    'sum(lifestage_events_total{source="shop"})': 180,
    "sum(lifestage_lag_records)": 0,
    'sum(lifestage_partitions_owned{topic=~".*customer-events"})': 4,
    "count(lifestage_worker_info)": 2,
    'sum(up{job="lifestage"})': 2,
    "sum(lifestage_recovery_active)": 0,
    # KPIs: two workers expose sums, the rules add them up and divide.
    "count(lifestage_kpi_complete == 1)": 2,
    'lifestage_kpi_orders{currency="USD"}': 120,
    'lifestage_kpi_gross_revenue{currency="USD"}': 1500,
    'lifestage_kpi_aov{currency="USD"}': 12.5,
    "lifestage_kpi_new_customers": 60,
    "lifestage_kpi_active_customers": 60,
    "lifestage_kpi_rpr": 2 / 3,
    "lifestage_kpi_crr": None,
    'lifestage_kpi_clv_1{currency="USD",statistic="mean"}': 25,
    'lifestage_kpi_clv_3{currency="USD",statistic="mean"}': 25,
    'lifestage_kpi_stage_counts{stage="loyalty"}': 20,
    'lifestage_kpi_funnel{stage="retention"}': 40,
    'lifestage_kpi_transitions{from="retention",to="loyalty"}': 20,
}


def events() -> list[dict[str, str | int]]:
    """60 customers' orders by day, the first of each sent twice."""
    found: list[dict[str, str | int]] = []
    for day in range(3):
        for customer in range(day * CUSTOMERS, 3 * CUSTOMERS):
            event: dict[str, str | int] = {
                "id": f"e{customer}-{day}",
                "source": "shop",
                "type": "order.completed",
                "time": BEGIN_MS + day * DAY_MS,
                "customer_id": f"c{customer}",
                "order_id": f"o{customer}-{day}",
                "currency": "USD",
                "total": "12.50",
            }
            found += [event] if day else [event, event]
    return found


def answers(prometheus: Prometheus) -> dict[str, float | None]:
    """What every query says now; None where there is no series."""
    found: dict[str, float | None] = {}
    for query in QUERIES:
        series = prometheus.query(query)
        found[query] = float(series[0]["value"][1]) if len(series) == 1 else None
    return found


def test_queries_over_two_scraped_workers_give_the_figures_sent(
    kafka: KafkaServer, prometheus_binary: Path, topic_prefix: str, tmp_path: Path
) -> None:
    """Sums over two workers are the customers, orders, revenue, outcomes and KPIs of 180 events, and nothing lags."""
    assert prometheus_binary.is_file()
    with (
        deployment(kafka.bootstrap, topic_prefix, tmp_path, kpis__live="true") as made,
        made.worker("w1") as first,
        made.worker("w2") as second,
    ):
        workers = [first.wait_ready(), second.wait_ready()]
        made.wait_shared(workers)
        targets = ", ".join(f"'127.0.0.1:{worker.port}'" for worker in workers)
        with start_prometheus(
            CONFIG.format(targets=targets, rules=RULES.with_name("kpis.yml")), tmp_path / "prometheus"
        ) as prometheus:
            made.produce("purchases", events())
            made.wait_done(alive=workers)
            made.end_tick(BEGIN_MS + 3 * DAY_MS)
            deadline = time.monotonic() + 60
            while (found := answers(prometheus)) != QUERIES and time.monotonic() < deadline:
                time.sleep(0.3)
            assert found == QUERIES
            assert {target["health"] for target in prometheus.targets()} == {"up"}
