"""What a worker says of its KPIs beside their parts: which partitions it counts, and which label values it tells apart."""

from __future__ import annotations

from collections import Counter

import pytest

from streams.collector import WorkerMetrics
from streams.kpi_families import PartitionSums
from tests.core.test_metrics import busy, scrape, value, worker_metrics


@pytest.fixture
def metrics() -> WorkerMetrics:
    """Metrics with nothing counted and nothing owned."""
    return worker_metrics()


def test_a_worker_says_which_partitions_it_counts(metrics: WorkerMetrics) -> None:
    """Each by its number; none while state is read back, when not all that it owns is counted; of how many there are it says always."""
    metrics.view = busy()
    metrics.view.recovering = False
    found = scrape(metrics)
    assert value(found, "lifestage_kpi_counted", partition="0") == 1
    assert value(found, "lifestage_kpi_counted", partition="1") == 0
    assert value(found, "lifestage_kpi_partitions") == 1
    assert value(found, "lifestage_kpi_partitions_expected") == 4
    assert value(found, "lifestage_kpi_complete") == 0
    metrics.view.kpi_sums.pop(1)
    assert value(scrape(metrics), "lifestage_kpi_complete") == 1
    metrics.view.recovering = True
    metrics.view.kpi_sums = {}
    found = scrape(metrics)
    assert value(found, "lifestage_kpi_complete") == 0
    assert value(found, "lifestage_kpi_partitions") == 0
    assert value(found, "lifestage_kpi_counted", partition="0") is None
    assert value(found, "lifestage_kpi_partitions_expected") == 4
    assert value(found, "lifestage_kpi_part_active") is None


def test_a_worker_says_which_values_it_hides(metrics: WorkerMetrics) -> None:
    """How many of each label, and those that it tells apart; where it hides none it need not name any."""
    metrics.view = busy()
    found = scrape(metrics)
    assert [
        value(found, "lifestage_kpi_hidden_values", label=label)
        for label in ("currency", "channel", "campaign", "source", "kind")
    ] == [1, 5, 0, 5, 6]
    told = [dict(labels) for name, labels in found if name == "lifestage_kpi_told"]
    assert {one["currency"] for one in told if one["label"] == "currency"} == {"CHF", "CZK", "EUR", "PLN"}
    assert {one["kind"] for one in told if one["label"] == "kind"} >= {"like", "none"}
    assert not [one for one in told if one["channel"] == "other"]
    metrics.view.kpi_sums = {0: PartitionSums(20_000, 90, Counter({("orders", "EUR"): 2}))}
    found = scrape(metrics)
    assert value(found, "lifestage_kpi_hidden_values", label="channel") == 0
    assert not [name for name, _ in found if name == "lifestage_kpi_told"]
