"""What Prometheus and a person are told of a recount."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections import Counter
from fractions import Fraction

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from commands.reconcile import document, is_well, lines
from streams.reconcile import Difference, Recounted
from streams.recount_metrics import RecountMetrics
from streams.recounting import Outcome

DIFFERENCES = [
    Difference(0, "orders", ("EUR",), 12, 13),
    Difference(2, "orders", ("USD",), 9, 5),
    Difference(2, "cost", ("marketing", "EUR", "none"), Fraction(10, 4), Fraction(2)),
]
WRONG = Outcome(
    Recounted(Counter(orders=2, cost=1, customers=3), 1000, 50, DIFFERENCES),
    {0: 7, 2: 9},
    {3: "for a reason"},
    "log",
    2.0,
)
WELL = WRONG._replace(found=WRONG.found._replace(differences=[]), uncounted={})


def test_each_sum_shows_its_greatest_difference() -> None:
    """With its sign, and 0 where all agree; nothing before the first recount, which /readyz says."""
    metrics = RecountMetrics("127.0.0.1", 0)
    try:
        assert served(metrics) == {}
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{metrics.url}/readyz", timeout=10)  # noqa: S310  # our own http://
        metrics.take(WRONG)
        found = served(metrics)
        assert {kpi: value for (name, kpi), value in found.items() if name.endswith("difference")} == {
            "orders": 4.0, "cost": 0.5, "customers": 0.0,
        }  # fmt: skip
        assert found["lifestage_reconcile_duration_seconds", ""] == 2.0
        metrics.take(WELL)
        assert {value for (name, _), value in served(metrics).items() if name.endswith("difference")} == {0.0}
    finally:
        metrics.stop()


def test_it_shows_how_many_partitions_were_compared() -> None:
    """Also where none was, so that a fresh recount without a difference is not taken for one that agrees."""
    metrics = RecountMetrics("127.0.0.1", 0)
    nothing = WELL._replace(found=Recounted(Counter(), 0, 0, []), offsets={}, uncounted={0: "for a reason", 1: "too"})
    try:
        for outcome, compared, left in ((WRONG, 2, 1), (WELL, 2, 0), (nothing, 0, 2)):
            metrics.take(outcome)
            with urllib.request.urlopen(f"{metrics.url}/metrics", timeout=10) as answer:  # noqa: S310  # our own http://
                text = answer.read().decode()
            assert f'lifestage_reconcile_partitions{{state="compared"}} {compared}.0' in text
            assert f'lifestage_reconcile_partitions{{state="not_compared"}} {left}.0' in text
    finally:
        metrics.stop()


def test_a_recount_that_cannot_be_made_is_said() -> None:
    """What was found before stays with its time, /readyz gives the reason, and the next that can be made ends it."""
    metrics = RecountMetrics("127.0.0.1", 0)
    try:
        metrics.fail("the log has been cut")
        assert served(metrics) == {("lifestage_reconcile_up", ""): 0.0}
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{metrics.url}/readyz", timeout=10)  # noqa: S310  # our own http://
        with refused.value as answer:
            assert "the log has been cut" in answer.read().decode()
        metrics.take(WRONG)
        found = served(metrics)
        assert found["lifestage_reconcile_up", ""] == 1.0
        metrics.fail("the log has been cut")
        assert served(metrics) == found | {("lifestage_reconcile_up", ""): 0.0}
        metrics.take(WELL)
        assert served(metrics)["lifestage_reconcile_up", ""] == 1.0
    finally:
        metrics.stop()


def served(metrics: RecountMetrics) -> dict[tuple[str, str], float]:
    """What /metrics says, by name and KPI."""
    with urllib.request.urlopen(f"{metrics.url}/metrics", timeout=10) as answer:  # noqa: S310  # our own http://
        families = text_string_to_metric_families(answer.read().decode())
    return {(one.name, one.labels.get("kpi", "")): one.value for family in families for one in family.samples}


def test_a_person_is_told_of_each_difference() -> None:
    """A line for each, one for each partition that was not compared, and a summary; only if there are none is all well."""
    assert lines(WRONG) == [
        "log[0] orders{EUR}: kept 12, the log says 13",
        "log[2] orders{USD}: kept 9, the log says 5",
        "log[2] cost{marketing, EUR, none}: kept 2.5, the log says 2",
        "log[3]: not compared: for a reason",
        "3 of 6 sums differ: 2 partitions, 1,000 records, 50 persons in 2.0 s (500 records a second)",
    ]
    assert lines(WELL)[0].startswith("all 6 sums agree: 2 partitions")
    assert not is_well(WRONG)
    assert not is_well(WELL._replace(uncounted={3: "for a reason"}))
    assert is_well(WELL)
    told = msgspec.json.decode(document(WRONG))
    assert told["differences"][2] == {
        "partition": 2, "sum": "cost", "labels": ["marketing", "EUR", "none"], "kept": 2.5, "recounted": 2,
    }  # fmt: skip
