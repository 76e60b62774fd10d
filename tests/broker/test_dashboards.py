"""Every query of the dashboards and every rule on a real Prometheus that scrapes two workers, and the alerts on promtool."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from lifestage.identity import OUTCOMES
from streams.collector import WorkerMetrics
from streams.endpoint import Endpoint
from streams.kpi_families import PartitionSums
from tests.company import WORKERS, kpis, recount
from tests.core.histories import CLM5
from tests.dashboard_rules import panels
from tests.deployment import PROMETHEUS, ROOT, RULES, dashboard, dashboards, rules
from tests.exporter import Exporter
from tests.promql import without_macros
from tests.services import Prometheus, promtool

ALERTS = sorted((ROOT / "tests/broker").glob("alerts*.yml"))
EVERY = {rule["alert"] for rule in rules() if "alert" in rule}
LOG = "customer-events"
RISE_PER_S = 6
QUERIES = [
    pytest.param(target["expr"], id=f"{name} {panel['title']} {target['refId']}")
    for name, board in dashboards().items()
    for panel in panels(board)
    for target in panel["targets"]
]
RECORDING = sorted({(rule["record"], tuple(rule.get("labels", {}).items())) for rule in rules() if "record" in rule})


class OwnedPartitions:
    """What a worker knows of two partitions, the `first` and the next, as numbers that a test can expect."""

    def __init__(self, first: int) -> None:
        self._first = first

    def populations(self) -> Mapping[str, int]:
        """198 loyal customers and some others."""
        return {"reach": 410, "loyalty": 198, "churned": 1843}

    def accounted(self) -> Mapping[tuple[str, str, str], int]:
        """Orders taken in and one refused event."""
        return {("shop", "order.completed", "accepted"): 6919, ("unknown", "unknown", "rejected"): 1}

    def money(self) -> Mapping[str, tuple[int, int, int]]:
        """Two currencies."""
        return {"USD": (6919, 24_230_211, 23_900_104), "EUR": (40, 120_050, 110_050)}

    def kept(self) -> Mapping[int, int]:
        """Records of two partitions."""
        return {self._first: 2_500, self._first + 1: 3_100}

    def kpis(self) -> Mapping[int, PartitionSums | None]:
        """None: what KPIs come to is told by `company`."""
        return {}

    def kpi_partitions(self) -> int:
        """None."""
        return 0

    def lag_records(self) -> Mapping[tuple[str, int], int]:
        """Some waiting records."""
        return {("purchases", 0): 120, (LOG, 0): 45}

    def clocks(self) -> Mapping[int, float | None]:
        """One partition in 1998, one before its first tick."""
        return {0: 899_251_200.0, 1: None}

    def holding(self) -> Mapping[tuple[str, int], float]:
        """What waits in purchases holds the clock."""
        return {("purchases", 0): 899_164_800.0}

    def recovery(self) -> tuple[bool, int, int]:
        """No recovery."""
        return (False, 0, 0)

    def owned(self) -> Mapping[str, int]:
        """Half of a topic each."""
        return {"purchases": 4, LOG: 4}


class ConnectedReadModel:
    """A read model that has written all it was given."""

    connected, pending = True, 0
    written_total, failures_total, refills_total = 2451, 0, 0


class ToldWorker:
    """The metrics endpoint of a worker on 127.0.0.1, told what there is; its counters rise by `RISE_PER_S` a second."""

    def __init__(self, first: int) -> None:
        """Serve on a free port."""
        self.metrics = WorkerMetrics("0.1.0", CLM5, "a1b2c3", LOG)
        self.metrics.log_partitions = 4
        self.metrics.view, self.metrics.read_model = OwnedPartitions(first), ConnectedReadModel()
        self._endpoint = Endpoint("127.0.0.1", 0, self.metrics.registry(), lambda: (True, ""))
        self.address = f"127.0.0.1:{self._endpoint.port}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._rise)
        self._thread.start()
        self._endpoint.start()

    def _rise(self) -> None:
        started, told = time.monotonic(), 0
        while not self._over.wait(0.05):
            due = int(RISE_PER_S * (time.monotonic() - started)) - told
            told += due
            self.metrics.counts.change("at_risk", "churned", "churn", due)
            self.metrics.counts.add("shop", "order.completed", "accepted", due)
            self.metrics.counts.dead_letter("unparsable", due)
            self.metrics.flush_seconds.observe(0.04)
            self.metrics.batch_events.observe(due)
            self.metrics.counts.happened(0, {"linked": told, "shed": 2 * told})

    def stop(self) -> None:
        """Serve no more."""
        self._over.set()
        self._thread.join()
        self._endpoint.stop()


def shipped_config(jobs: Mapping[str, list[str]]) -> str:
    """The shipped prometheus.yml, with the workers of `jobs` in place of those that compose's DNS would name."""
    config = yaml.safe_load(PROMETHEUS.read_text())
    config["global"] |= {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(PROMETHEUS.parent / pattern) for pattern in config["rule_files"]]
    config["scrape_configs"] = [{"job_name": job, "static_configs": [{"targets": at}]} for job, at in jobs.items()]
    return str(yaml.safe_dump(config))


@pytest.fixture(scope="module")
def prometheus(prometheus_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A real Prometheus with the shipped rules that has scraped two workers, their KPIs and a recount for some seconds, and has
    evaluated each rule since. The KPIs are on pages of their own, as their numbers are told.
    """
    assert prometheus_binary.is_file()
    workers = [ToldWorker(0), ToldWorker(2)]
    parts = [Exporter(lambda share=share: kpis(time.time(), share)) for share in WORKERS.values()]  # type: ignore[misc]
    counts = Exporter(lambda: recount(time.time()))
    pages = [worker.address for worker in workers] + [page.address for page in parts]
    try:
        config = shipped_config({"lifestage": pages, "lifestage-reconcile": [counts.address]})
        with Prometheus(config, tmp_path_factory.mktemp("prometheus")) as server:
            deadline = time.monotonic() + 60
            wanted = "count_over_time(lifestage_worker_info[1m]) >= 8 and on () count(lifestage_kpi_off_target) and on () lifestage_kpi_leads_by_channel"
            while len(server.query(wanted)) < len(workers):
                assert time.monotonic() < deadline, server.targets()
                time.sleep(0.1)
            yield server
    finally:
        for worker in workers:
            worker.stop()
        for page in (*parts, counts):
            page.stop()


@pytest.mark.parametrize("expression", QUERIES)
def test_every_panel_shows_data(prometheus: Prometheus, expression: str) -> None:
    """Each query is accepted as Grafana would send it, and answers with at least one number."""
    found = prometheus.query(without_macros(expression, rate_interval="20s", range="1m"))
    assert found
    assert all(series["value"][1] != "NaN" for series in found)


def test_a_query_of_what_nobody_exposes_shows_no_data(prometheus: Prometheus) -> None:
    """An answer without a series is what the test above takes for a panel without data: here is one."""
    for expression in ('sum(lifestage_nobody{job=~"$job"})', 'lifestage_kpi_aov{job=~"$job", currency="CHF"}'):
        assert prometheus.query(without_macros(expression)) == []


@pytest.mark.parametrize(("name", "labels"), RECORDING, ids=lambda given: given if isinstance(given, str) else "")
def test_every_rule_records_something(prometheus: Prometheus, name: str, labels: tuple[tuple[str, str], ...]) -> None:
    """Each recording rule has a series by its name, with the labels that it adds."""
    selected = ",".join(f'{label}="{value}"' for label, value in labels)
    found = prometheus.query(f"{name}{{{selected}}}")
    assert found
    assert all(series["value"][1] != "NaN" for series in found)


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_what_a_person_may_choose_is_there(prometheus: Prometheus, name: str) -> None:
    """Each variable of a dashboard finds values of its label."""
    for variable in dashboard(name)["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert asked is not None
            found = prometheus.query(f"count by ({asked[2]}) ({without_macros(asked[1])})")
            assert found
            assert all(series["metric"][asked[2]] for series in found)


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_a_new_plan_is_marked(prometheus: Prometheus, name: str) -> None:
    """What runs now and did not an hour ago is one note for each plan and each release."""
    plans, releases = dashboard(name)["annotations"]["list"]
    (plan,) = prometheus.query(without_macros(plans["expr"]))
    (release,) = prometheus.query(without_macros(releases["expr"]))
    assert plan["metric"] == {"job": "lifestage", "plan": "clm5", "plan_hash": "a1b2c3"}
    assert release["metric"] == {"job": "lifestage", "version": "0.1.0"}


def test_a_population_is_the_sum_over_workers(prometheus: Prometheus) -> None:
    """Two workers with 198 loyal customers each are 396, on the panel and in the recording rule."""
    panel = next(panel for panel in panels(dashboard("lifecycle")) if panel["title"] == "Customers by stage")
    for expression in (without_macros(panel["targets"][0]["expr"]), "job_stage:lifestage_customers:sum"):
        found = {series["metric"]["stage"]: series["value"][1] for series in prometheus.query(expression)}
        assert found["loyalty"] == "396"
        assert len(found) == 8


def test_the_variables_choose(prometheus: Prometheus) -> None:
    """One instance shows its own share; a job that has no workers shows nothing."""
    panel = next(panel for panel in panels(dashboard("pipeline")) if panel["title"] == "Records kept")
    expression = panel["targets"][0]["expr"]
    one = prometheus.query("lifestage_worker_info")[0]["metric"]["instance"]
    for instance, shown in ((one, 2), (".+", 4)):
        found = prometheus.query(without_macros(expression, {"instance": instance}))
        kept = {int(s["metric"]["partition"]): s["value"][1] for s in found}
        assert len(kept) == shown
        assert all(count == ("3100" if number % 2 else "2500") for number, count in kept.items())
    assert prometheus.query(without_macros(expression, {"job": "lifestage-demo"})) == []


def test_changes_are_shown_per_minute(prometheus: Prometheus) -> None:
    """Counters that rise by 6 a second, on two workers, are 720 a minute."""
    panel = next(panel for panel in panels(dashboard("lifecycle")) if panel["title"] == "Stage changes per minute")
    found = prometheus.query(without_macros(panel["targets"][0]["expr"], rate_interval="3s"))
    moves = {(s["metric"]["from_stage"], s["metric"]["to_stage"]): float(s["value"][1]) for s in found}
    # Prometheus extrapolates from the samples within the window to its edges: a third either way with few of them.
    assert moves["at_risk", "churned"] == pytest.approx(2 * 60 * RISE_PER_S, rel=0.34)
    assert ("none", "conversion") not in moves


def test_what_happens_to_ids_is_shown_by_outcome(prometheus: Prometheus) -> None:
    """Every outcome has its line, those that did not happen at 0; twice as many shed as linked are told as such."""
    panel = next(panel for panel in panels(dashboard("pipeline")) if panel["title"] == "Ids per minute by outcome")
    found = prometheus.query(without_macros(panel["targets"][0]["expr"], rate_interval="3s"))
    rates = {s["metric"]["outcome"]: float(s["value"][1]) for s in found}
    assert rates.keys() == set(OUTCOMES)
    assert rates["linked"] == pytest.approx(2 * 60 * RISE_PER_S, rel=0.34)
    assert rates["shed"] == pytest.approx(4 * 60 * RISE_PER_S, rel=0.34)
    assert {outcome for outcome, rate in rates.items() if rate} == {"linked", "shed"}


def test_healthy_workers_raise_no_alert_at_once(prometheus: Prometheus) -> None:
    """The rules are evaluated without an error, and nothing fires on workers that answer."""
    assert prometheus.query("sum(prometheus_rule_evaluation_failures_total) or vector(0)")[0]["value"][1] == "0"
    assert prometheus.query('ALERTS{alertstate="firing"}') == []


def test_promtool_accepts_the_configuration() -> None:
    """The shipped prometheus.yml and the rules that it names are valid."""
    done = promtool("check", "config", PROMETHEUS)
    assert done.returncode == 0, done.stderr
    assert sum(map(int, re.findall(r"(\d+) rules found", done.stdout))) == len(rules())


def test_promtool_finds_a_planted_error(tmp_path: Path) -> None:
    """A mistyped function in a rule is refused, so that the acceptance above means something."""
    shutil.copytree(PROMETHEUS.parent, tmp_path, dirs_exist_ok=True)
    rule = tmp_path / RULES.relative_to(PROMETHEUS.parent)
    rule.write_text(RULES.read_text().replace("absent(", "missing("))
    assert promtool("check", "config", tmp_path / PROMETHEUS.name).returncode != 0


@pytest.mark.parametrize("scenarios", ALERTS, ids=lambda path: path.stem)
def test_every_alert_fires_when_it_should_and_not_before(scenarios: Path) -> None:
    """promtool finds all scenarios of a file true."""
    done = promtool("test", "rules", scenarios)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_scenario_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    """Both are asked of each alert, by name."""
    fires: set[str] = set()
    silent: set[str] = set()
    for scenarios in ALERTS:
        told = yaml.safe_load(scenarios.read_text())["tests"]
        for asked in (each for test in told for each in test.get("alert_rule_test", [])):
            (fires if asked["exp_alerts"] else silent).add(asked["alertname"])
        for asked in (each for test in told for each in test.get("promql_expr_test", [])):
            if "ALERTS" in asked["expr"] and not asked["exp_samples"]:
                silent |= set(re.findall(r'alertname="(\w+)"', asked["expr"]))
    assert fires == EVERY
    assert silent == EVERY
