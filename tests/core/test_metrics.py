"""The metrics of a worker and the port that serves them."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from lifestage.kpi_parts import PREFIX
from streams.collector import WorkerMetrics
from streams.endpoint import Endpoint
from streams.kpi_families import PartitionSums
from streams.metrics import METRICS, OUTCOMES, PAIRS_MAX, Labels
from tests.core.crowded import CROWDED
from tests.core.histories import CLM5
from tests.http import ask

ROOT = Path(__file__).parents[2]
LOG = "customer-events"
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass
class Worker:
    """What a worker knows, as plain fields."""

    population: dict[str, int] = field(default_factory=dict)
    accounts: dict[tuple[str, str, str], int] = field(default_factory=dict)
    sums: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    lags: dict[tuple[str, int], int] = field(default_factory=dict)
    ticks: dict[int, float | None] = field(default_factory=dict)
    holds: dict[tuple[str, int], float] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)
    records: dict[int, int] = field(default_factory=dict)
    kpi_sums: dict[int, PartitionSums | None] = field(default_factory=dict)
    kpi_expected: int = 0
    recovering: bool = True

    def populations(self) -> Mapping[str, int]:
        """Walks the dictionary in Python, as a sum over partitions does."""
        return {stage: count + 0 for stage, count in self.population.items()}

    def accounted(self) -> Mapping[tuple[str, str, str], int]:
        """As kept."""
        return self.accounts

    def money(self) -> Mapping[str, tuple[int, int, int]]:
        """As kept."""
        return self.sums

    def kept(self) -> Mapping[int, int]:
        """As kept."""
        return self.records

    def kpis(self) -> Mapping[int, PartitionSums | None]:
        """As kept."""
        return self.kpi_sums

    def kpi_partitions(self) -> int:
        """As kept."""
        return self.kpi_expected

    def lag_records(self) -> Mapping[tuple[str, int], int]:
        """As kept."""
        return self.lags

    def clocks(self) -> Mapping[int, float | None]:
        """As kept."""
        return self.ticks

    def holding(self) -> Mapping[tuple[str, int], float]:
        """As kept."""
        return self.holds

    def recovery(self) -> tuple[bool, int, int]:
        """Under way."""
        return self.recovering, 42, 100

    def owned(self) -> Mapping[str, int]:
        """As kept."""
        return self.partitions


@dataclass
class Writer:
    """The state of a read model's writer."""

    connected: bool = True
    written_total: int = 5
    failures_total: int = 1
    refills_total: int = 0
    pending: int = 7


def busy() -> Worker:
    """A worker that owns something of everything."""
    return Worker(
        population={"loyalty": 198, "reach": 3},
        accounts={("shop", "order.completed", "accepted"): 6919},
        sums={"USD": (2, 10**15 + 1, 1999), "JPY": (1, 500, 500), "KWD": (1, 1234, 1234)},
        lags={("purchases", 0): 12},
        ticks={0: time.time() - 100, 1: None},
        holds={("purchases", 0): 852076800.0},
        partitions={LOG: 2, "purchases": 1},
        records={0: 1200, 1: 1300},
        kpi_sums={0: PartitionSums(20_000, 90, CROWDED), 1: None},
        kpi_expected=4,
    )


def worker_metrics() -> WorkerMetrics:
    """The metrics of a worker that runs `clm5`."""
    found = WorkerMetrics("0.1.0", CLM5, "abc123", LOG)
    found.targets = {"nps": 40}
    found.log_partitions = 4
    return found


@pytest.fixture
def metrics() -> WorkerMetrics:
    """Metrics with nothing counted and nothing owned."""
    return worker_metrics()


@pytest.fixture
def endpoint(metrics: WorkerMetrics) -> Iterator[Endpoint]:
    """The port of a worker that recovers."""
    served = Endpoint("127.0.0.1", 0, metrics.registry(), lambda: (False, "recovering 42 %"))
    served.start()
    yield served
    served.stop()


def scrape(metrics: WorkerMetrics) -> Series:
    """All series by name and labels, through the text that Prometheus gets."""
    endpoint = Endpoint("127.0.0.1", 0, metrics.registry(), lambda: (True, ""))
    try:
        text = endpoint.answer("/metrics", "")[2].decode()
    finally:
        endpoint.stop()
    found = [sample for family in parse_text(text) for sample in family.samples]
    series = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}
    assert len(series) == len(found), "a series stands there twice"
    return series


def value(series: Series, name: str, **labels: str) -> float | None:
    """The value of one series, None when it is absent."""
    return series.get((name, frozenset(labels.items())))


def test_the_page_parses_in_both_formats_and_holds_every_metric(metrics: WorkerMetrics, endpoint: Endpoint) -> None:
    """Prometheus reads text and OpenMetrics; each metric of the table is there with its type and its labels."""
    metrics.view, metrics.read_model = busy(), Writer()
    metrics.counts.add("shop", "order.completed", "accepted")
    metrics.flush_seconds.observe(0.03)
    for accept, parse in (("", parse_text), ("application/openmetrics-text; version=1.0.0", parse_openmetrics)):
        status, body, headers = ask(endpoint, "/metrics", accept=accept)
        assert status == 200
        assert ("openmetrics" in headers["Content-Type"]) == bool(accept)
        families = {family.name: family for family in parse(body)}
        for metric in METRICS:
            name = metric.name.removesuffix("_total")
            if metric.type == "info":
                name = next(known for known in families if known.startswith("lifestage_worker"))
            samples = families[name].samples
            assert samples, metric.name
            assert {label for sample in samples for label in sample.labels} - {"le"} == set(metric.labels), metric.name
            assert families[name].type in (metric.type, "gauge" if metric.type == "info" else ""), metric.name
        ours = {name for name in families if name.startswith("lifestage_") and not name.startswith(PREFIX)}
        assert len(ours) == len(METRICS)


def test_values_are_those_of_the_worker(metrics: WorkerMetrics) -> None:
    """Customers, money in major units by the currency's digits, clock, lag, recovery and read model."""
    metrics.view, metrics.read_model = busy(), Writer()
    found = scrape(metrics)
    assert value(found, "lifestage_customers", stage="loyalty") == 198
    assert value(found, "lifestage_customers", stage="churned") == 0
    assert value(found, "lifestage_revenue_gross", currency="USD") == 10_000_000_000_000.01
    assert value(found, "lifestage_revenue_net", currency="USD") == 19.99
    assert value(found, "lifestage_revenue_net", currency="JPY") == 500
    assert value(found, "lifestage_revenue_net", currency="KWD") == 1.234
    assert value(found, "lifestage_orders", currency="USD") == 2
    assert value(found, "lifestage_clock_held", topic="purchases", partition="0") == 1
    assert value(found, "lifestage_clock_held_timestamp_seconds", topic="purchases", partition="0") == 852076800
    assert value(found, "lifestage_event_time_lag_seconds", partition="0") == pytest.approx(100, abs=5)
    assert value(found, "lifestage_event_time_lag_seconds", partition="1") is None
    assert value(found, "lifestage_recovery_records_done") == 42
    assert value(found, "lifestage_kept_records", partition="1") == 1300
    assert value(found, "lifestage_read_model_pending") == 7
    assert value(found, "lifestage_worker_info", version="0.1.0", plan="clm5", plan_hash="abc123") == 1


def test_what_can_happen_is_zero_before_it_happens(metrics: WorkerMetrics) -> None:
    """Rates of a first change, dead letter or outcome are seen, because the series was 0 before."""
    metrics.counts.add("shop", "order.completed", "accepted", 3)
    metrics.counts.change("at_risk", None, "merge")
    found = scrape(metrics)
    for outcome in OUTCOMES:
        counted = value(found, "lifestage_events_total", source="shop", type="order.completed", outcome=outcome)
        assert counted == (3 if outcome == "accepted" else 0)
    assert value(found, "lifestage_dead_letters_total", reason="unparsable") == 0
    changed = "lifestage_stage_changes_total"
    assert value(found, changed, from_stage="none", to_stage="conversion", kind="entry") == 0
    assert value(found, changed, from_stage="at_risk", to_stage="none", kind="merge") == 1


def test_what_happened_to_ids_is_counted_from_when_a_partition_was_taken_over(metrics: WorkerMetrics) -> None:
    """The counts that came with a partition are of its former owner; each later rise counts once, all outcomes from 0."""
    assert value(scrape(metrics), "lifestage_identity_total", outcome="email_conflict") == 0
    metrics.counts.adopt(3, {"linked": 40})
    metrics.counts.happened(3, {"linked": 42, "email_conflict": 1})
    metrics.counts.happened(3, {"linked": 42, "email_conflict": 1, "what a newer release counts": 5})
    metrics.counts.adopt(3, {"linked": 30})
    metrics.counts.happened(3, {"linked": 31})
    found = scrape(metrics)
    assert value(found, "lifestage_identity_total", outcome="linked") == 3
    assert value(found, "lifestage_identity_total", outcome="email_conflict") == 1
    assert value(found, "lifestage_identity_total", outcome="other") == 5
    assert value(found, "lifestage_identity_total", outcome="split") == 0


def test_series_are_gone_with_their_partitions(metrics: WorkerMetrics) -> None:
    """After all partitions were revoked nothing of them is shown, not even zeros; counters of the process stay."""
    metrics.counts.add("shop", "order.completed", "accepted")
    metrics.view = busy()
    assert value(scrape(metrics), "lifestage_customers", stage="reach") == 3
    metrics.view = Worker()
    names = {name for name, _ in scrape(metrics)}
    assert not names & {
        "lifestage_customers", "lifestage_accounted_events", "lifestage_orders", "lifestage_revenue_gross",
        "lifestage_revenue_net", "lifestage_lag_records", "lifestage_event_time_lag_seconds",
        "lifestage_clock_timestamp_seconds", "lifestage_clock_held", "lifestage_partitions_owned", "lifestage_kept_records",
    }  # fmt: skip
    assert "lifestage_events_total" in names


def test_a_partition_that_is_named_is_in_every_sum(metrics: WorkerMetrics) -> None:
    """One that comes while the page is made, after customers were counted, is not named: rules would take what lacks it for whole."""

    class Moving(Worker):
        def populations(self) -> Mapping[str, int]:
            told = super().populations()
            self.records = {2: 30, 3: 40}
            return told

    metrics.view = Moving(records={1: 10, 2: 20}, recovering=False)
    found = scrape(metrics)
    assert {dict(pairs)["partition"]: n for (name, pairs), n in found.items() if name == "lifestage_kept_records"} == {
        "2": 30
    }
    assert value(found, "lifestage_log_partitions") == 4
    assert {dict(pairs)["partition"] for name, pairs in scrape(metrics) if name == "lifestage_kept_records"} == {
        "2",
        "3",
    }


def test_hostile_labels_stay_few_short_and_printable(metrics: WorkerMetrics) -> None:
    """Ten thousand sources, line breaks, quotes, half surrogates and 1 MB names give a bounded page that parses."""
    hostile = ['a"b\\c\n', "x\u2028y\u2029z", "\x00\x1b[31m", "\ud800", "", "n" * 1_000_000, "é\u202e", " pad "]
    metrics.view = Worker(accounts={(f"{n}-kept", "web.visit", "late"): 1 for n in range(10_000)})
    for n, source in enumerate(hostile + [f"source-{n}" for n in range(10_000)]):
        metrics.counts.add(source, f"type-{n}", "accepted")
        metrics.counts.dead_letter(f"reason-{n}")
    found = scrape(metrics)
    sources = {dict(pairs)["source"] for name, pairs in found if "source" in dict(pairs)}
    assert len(sources) <= 52  # 50, other and unknown
    assert "other" in sources
    assert all(len(source) <= 60 and source.isprintable() for source in sources)
    types = {dict(pairs).get("type") for name, pairs in found if name == "lifestage_events_total"}
    assert types == {"unknown", "other"}
    counted = [count for (name, _), count in found.items() if name == "lifestage_events_total"]
    assert sum(counted) == len(hostile) + 10_000
    kept = [count for (name, _), count in found.items() if name == "lifestage_accounted_events"]
    assert sum(kept) == 10_000
    pairs = {
        (one["source"], one["type"]) for one in (dict(labels) for _, labels in found) if {"source", "type"} <= {*one}
    }
    assert len(pairs) <= PAIRS_MAX + len({one for one, _ in pairs} | sources), "each source has a sum of its own"
    assert value(found, "lifestage_dead_letters_total", reason="other") == len(hostile) + 10_000


def test_a_label_keeps_its_meaning_between_scrapes() -> None:
    """A source that had a label of its own keeps it, however many come after; one that came too late stays `other`."""
    labels = Labels(limit=2)
    assert [labels.of(name) for name in ("a", "b", "c", "a", "other", "c")] == [
        "a",
        "b",
        "other",
        "a",
        "other",
        "other",
    ]


def test_a_currency_of_nobody_is_left_out(metrics: WorkerMetrics) -> None:
    """An unknown code cannot be scaled and is no label."""
    metrics.view = Worker(sums={"XXQ": (1, 100, 100), "EUR": (1, 100, 100)})
    found = scrape(metrics)
    assert value(found, "lifestage_revenue_net", currency="EUR") == 1
    assert value(found, "lifestage_revenue_net", currency="XXQ") is None


def test_histograms_count_up_to_each_bound(metrics: WorkerMetrics) -> None:
    """A value on a bound belongs to it, one above all bounds to +Inf only, and count and sum are those of all."""
    for seconds in (0.005, 0.006, 99.0):
        metrics.flush_seconds.observe(seconds)
    found = scrape(metrics)
    assert value(found, "lifestage_flush_seconds_bucket", le="0.005") == 1
    assert value(found, "lifestage_flush_seconds_bucket", le="0.01") == 2
    assert value(found, "lifestage_flush_seconds_bucket", le="10.0") == 2
    assert value(found, "lifestage_flush_seconds_bucket", le="+Inf") == 3
    assert value(found, "lifestage_flush_seconds_count") == 3
    assert value(found, "lifestage_flush_seconds_sum") == pytest.approx(99.011)


def test_scrapes_bear_a_worker_that_goes_on_counting(metrics: WorkerMetrics, endpoint: Endpoint) -> None:
    """While another thread adds and removes keys as fast as it can, every scrape is whole and answers 200."""
    metrics.view = worker = busy()
    done = threading.Event()

    def count() -> None:
        n = 0
        while not done.is_set():
            n += 1
            worker.population[f"stage-{n % 500}"] = n
            worker.population.pop(f"stage-{(n * 7) % 500}", None)
            metrics.counts.add(f"s{n % 60}", "web.visit", OUTCOMES[n % 5])
            metrics.counts.change(f"a{n % 300}", "b", "skip")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    counting = threading.Thread(target=count)
    counting.start()
    try:
        answers = [ask(endpoint, "/metrics") for _ in range(20)]
    finally:
        done.set()
        counting.join()
        sys.setswitchinterval(interval)
    assert [status for status, _, _ in answers] == [200] * 20
    assert all(list(parse_text(body)) for _, body, _ in answers)


def test_a_defect_in_a_scrape_is_an_error_and_no_gap(endpoint: Endpoint, metrics: WorkerMetrics) -> None:
    """A page that cannot be made answers 500, so that Prometheus says the worker is down; the next one works."""
    metrics.view = Worker(sums={"USD": (1, 2)})  # type: ignore[dict-item]  # the defect
    assert ask(endpoint, "/metrics")[0] == 500
    metrics.view = busy()
    assert ask(endpoint, "/metrics")[0] == 200


def test_two_workers_in_one_process_share_nothing(metrics: WorkerMetrics) -> None:
    """Registries are handed in: what one worker counts is not seen in the other."""
    other = worker_metrics()
    metrics.counts.dead_letter("unparsable")
    assert value(scrape(metrics), "lifestage_dead_letters_total", reason="unparsable") == 1
    assert value(scrape(other), "lifestage_dead_letters_total", reason="unparsable") == 0


def test_the_document_names_every_metric_as_it_is() -> None:
    """docs/metrics.md has one row per metric, with the type, labels, unit and meaning of the code, in its order."""
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "| `lifestage_" in line]
    documented = [(name.strip("`"), *cells) for name, *cells in rows]
    assert documented == [(m.name, m.type, ", ".join(m.labels), m.unit, m.help) for m in METRICS]


def test_names_follow_the_conventions_of_prometheus() -> None:
    """Counters end in _total and nothing else does; seconds are named so; no two names are alike."""
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"lifestage_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.type == "counter"), metric.name
        assert ("second" in metric.unit) == metric.name.endswith("_seconds"), metric.name


@pytest.mark.parametrize(
    "source", ["ann@example.com", "Ann <ann@example.com>", "ann%40example.com", "n" * 57 + "ann@example.com"]
)
def test_no_label_has_an_address(metrics: WorkerMetrics, source: str) -> None:
    """A source that may hold one is `other`, also where no more than the mailbox would be kept of it."""
    metrics.view = Worker(accounts={(source, "web.visit", "late"): 1})
    metrics.counts.add(source, "web.visit", "accepted")
    assert {dict(pairs)["source"] for _, pairs in scrape(metrics) if "source" in dict(pairs)} == {"other"}
