"""The shipped dashboards and alerts keep their rules, and each rule finds what breaks it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable

import promql_parser as promql
import pytest

from config.dashboards.__main__ import FOLDER
from config.dashboards.files import files
from lifestage.kpi_parts import LIVE
from lifestage.kpi_rules import record_of
from tests.dashboard_rules import Json, broken_rules, panels
from tests.deployment import DASHBOARDS, ROOT, dashboard, dashboards, known_metrics, recorded, rules
from tests.drawing import COLUMN
from tests.promql import labels_of, walk

SELECTED = '{job=~"$job", instance=~"$instance"}'
METRICS, RECORDED = known_metrics(), recorded()


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_the_shipped_dashboards_break_no_rule(name: str) -> None:
    """Each dashboard as provisioned keeps every rule."""
    assert broken_rules(dashboard(name), METRICS, RECORDED) == []


def test_the_shipped_files_are_those_that_are_built() -> None:
    """`python -m config.dashboards` would write what is there, and nothing else is there."""
    assert FOLDER == DASHBOARDS
    assert {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS.iterdir()} == files()


def test_each_dashboard_has_a_picture_in_the_docs() -> None:
    """Small, as wide as the page that is drawn, and linked from the operations page; there is none of a dashboard that is gone."""
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    pictures = {path.name: path.read_bytes() for path in (ROOT / "docs/pictures").glob("dashboard-*.png")}
    assert pictures.keys() == {f"dashboard-{name}.png" for name in dashboards()}
    for name, picture in pictures.items():
        assert f"](pictures/{name})" in page
        assert len(picture) < 200_000
        assert int.from_bytes(picture[16:20], "big") == 24 * COLUMN + 12


def test_links_lead_to_the_same_dashboards_after_an_upgrade() -> None:
    """The ids by which Grafana's addresses name them stay."""
    found = {name: one["uid"] for name, one in dashboards().items()}
    assert found == {
        "lifecycle": "lifestage", "value": "lifestage-value", "engagement": "lifestage-engagement", "pipeline": "lifestage-pipeline",
    }  # fmt: skip


def test_every_kpi_is_on_a_dashboard() -> None:
    """Each definition's record is asked for by a panel; of stages the live count is, which needs no day to turn."""
    asked = {
        selector.name
        for one in dashboards().values()
        for panel in panels(one)
        for target in panel["targets"]
        for selector, _ in walk(promql.parse(re.sub(r"\$__\w+", "5m", target["expr"])))
    }
    assert {record_of(one) for one in LIVE} - asked == {"lifestage_kpi_stage_counts"}


def ask(expression: str, legend: str = "") -> Callable[[Json], None]:
    """Replaces the first panel's query."""

    def change(board: Json) -> None:
        panels(board)[0]["targets"][0] |= {"expr": expression, "legendFormat": legend}

    return change


def set_in(key: str, value: object) -> Callable[[Json], None]:
    """Sets one field of the first panel."""

    def change(board: Json) -> None:
        panels(board)[0][key] = value

    return change


def variable(position: int, key: str, value: object) -> Callable[[Json], None]:
    """Sets one field of a variable: 0 the data source, 1 the job, 2 the instance."""

    def change(board: Json) -> None:
        board["templating"]["list"][position][key] = value

    return change


@pytest.mark.parametrize(
    ("plant", "breach"),
    [
        (lambda board: board.update(editable=True), "is editable"),
        (lambda board: board.update(links=[]), "has no links to the others"),
        (lambda board: board.update(description=""), "has no description"),
        (lambda board: board["templating"]["list"].pop(0), "no variable `datasource`"),
        (lambda board: board["templating"]["list"].pop(1), "no variable `job`"),
        (lambda board: board["templating"]["list"].pop(2), "asks by $instance, which is no variable"),
        (variable(1, "multi", value=False), "`job` must be labelled"),
        (variable(1, "refresh", 1), "`job` is not read again"),
        (variable(2, "type", "custom"), "`instance` does not ask"),
        (variable(2, "query", {"query": "label_values(lifestage_nobody, instance)"}), "asks for what nobody exposes"),
        (variable(3, "name", "region"), "variable `region` chooses nothing"),
        (set_in("title", ""), "has no title"),
        (set_in("description", ""), "has no description"),
        (set_in("targets", []), "asks nothing"),
        (set_in("datasource", {"type": "prometheus", "uid": "prometheus"}), "does not use the chosen data source"),
        (set_in("gridPos", {"x": 20, "y": 90, "w": 8, "h": 8}), "is wider than the page"),
        (set_in("gridPos", {"x": 0, "y": 0, "w": 8, "h": 8}), "Events lies over"),
        (set_in("id", 1), "two panels have one id"),
        (set_in("fieldConfig", {"defaults": {"unit": "customers"}}), "unit 'customers'"),
        (ask("sum by (stage) (lifestage_customers{"), "not PromQL"),
        (ask(f"sum(lifestage_clients{SELECTED})"), "lifestage_clients is exposed by no worker"),
        (ask('lifestage_kpi_unheard_of{job=~"$job"}'), "lifestage_kpi_unheard_of is exposed by no worker"),
        (ask('sum(lifestage_customers{job=~"$job"})'), 'no matcher instance=~"$instance"'),
        (ask('lifestage_kpi_crr{instance=~"$instance"}'), 'no matcher job=~"$job"'),
        (ask(f"lifestage_kpi_crr{SELECTED}"), "asked by instance, which it does not have"),
        (ask('lifestage_kpi_aov{job=~"$job", channel="email"}'), "asked by channel, which it does not have"),
        (ask(f"sum(lifestage_events_total{SELECTED})"), "is a counter outside rate"),
        (ask(f"rate(lifestage_events_total{SELECTED}[5m])"), "is not $__rate_interval"),
        (ask(f"sum by (campaign) (lifestage_customers{SELECTED})"), "groups by campaign"),
        (ask(f"sum(lifestage_customers{SELECTED})", "{{stage}}"), "the legend shows stage"),
        (ask('lifestage_kpi_aov{job=~"$job"}', "{{channel}}"), "the legend shows channel"),
        (
            lambda board: board["annotations"]["list"][0].update(expr='plans{job=~"$job"}'),
            "plans is exposed by no worker",
        ),
    ],
)
def test_each_rule_finds_what_breaks_it(plant: Callable[[Json], None], breach: str) -> None:
    """A dashboard with one planted breach is reported with that breach."""
    board = copy.deepcopy(dashboard("pipeline"))
    plant(board)
    found = broken_rules(board, METRICS, RECORDED)
    assert any(breach in each for each in found), found


def test_a_dashboard_that_cannot_choose_an_instance_adds_up_over_them() -> None:
    """Series of single workers on a dashboard of the whole company are found, as each would be a line of its own."""
    board = copy.deepcopy(dashboard("lifecycle"))
    ask('lifestage_customers{job=~"$job"}', "{{stage}}")(board)
    assert any("tells instances apart" in each for each in broken_rules(board, METRICS, RECORDED))


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        ("lifestage_kpi_aov", {"job", "currency"}),
        ("sum by (job, stage, campaign) (lifestage_customers)", {"stage"}),
        ("sum without (stage) (lifestage_customers)", set()),
        ("topk(3, lifestage_kpi_aov)", {"job", "currency"}),
        ("histogram_quantile(0.5, sum by (le) (rate(lifestage_flush_seconds_bucket[5m])))", set()),
        ("lifestage_kpi_crr or lifestage_kpi_aov", {"job", "currency"}),
        ("lifestage_kpi_crr and lifestage_kpi_aov", {"job"}),
        ("lifestage_kpi_cac_by_channel / on (job) group_left () lifestage_kpi_crr", {"job", "currency", "channel"}),
        ("lifestage_kpi_crr / on (job) group_right () lifestage_kpi_aov", {"job", "currency"}),
        ("lifestage_kpi_aov / on (job) lifestage_kpi_crr", {"job"}),
        ("1 - lifestage_kpi_crr", {"job"}),
        ('label_replace(lifestage_kpi_crr, "which", "x", "", "")', {"job", "which"}),
        ("vector(1)", set()),
    ],
)
def test_the_labels_of_an_answer_are_known(expression: str, labels: set[str]) -> None:
    """What an aggregation, a join or a function leaves of labels is what Prometheus would leave."""
    assert labels_of(promql.parse(expression), METRICS | RECORDED) == labels


def test_what_is_recorded_has_the_labels_of_its_definition() -> None:
    """Each KPI's record has `job` and the labels that the page of KPIs names."""
    for one in LIVE:
        assert RECORDED[record_of(one)] == {"job", *one.labels}
        for by, _ in one.by:
            assert RECORDED[record_of(one, by)] == {"job", *one.labels_by(by)}
    assert RECORDED["job_stage:lifestage_customers:sum"] == {"job", "stage"}


def test_rules_ask_only_for_what_a_worker_exposes() -> None:
    """Every recording rule and alert names metrics that exist, or that a rule records (`up` is Prometheus' own)."""
    asked = {selector.name for rule in rules() for selector, _ in walk(promql.parse(rule["expr"]))}
    assert asked - {"up"} - {rule.get("record") for rule in rules()} <= set(known_metrics())


def test_every_alert_says_what_to_do() -> None:
    """Each alert has a severity, a summary and a heading of its own in the operations page."""
    page = (ROOT / "docs/operations.md").read_text()
    headings = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", page, re.MULTILINE)}
    alerts = [rule for rule in rules() if "alert" in rule]
    assert alerts
    for alert in alerts:
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"
        assert alert["alert"].lower() in headings
