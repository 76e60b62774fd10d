"""The shipped dashboard and alerts keep their rules, and each rule finds what breaks it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable

import promql_parser as promql
import pytest

from tests.dashboard_rules import Json, broken_rules, panels, walk
from tests.deployment import ROOT, dashboard, known_metrics, rules

SELECTED = '{job=~"$job", instance=~"$instance"}'


def test_the_shipped_dashboard_breaks_no_rule() -> None:
    """The dashboard as provisioned keeps every rule."""
    assert broken_rules(dashboard(), known_metrics()) == []


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
        (lambda board: board["templating"]["list"].pop(0), "no variable `datasource`"),
        (lambda board: board["templating"]["list"].pop(2), "no variable `instance`"),
        (variable(1, "multi", value=False), "`job` must be labelled"),
        (variable(1, "refresh", 1), "`job` is not read again"),
        (variable(2, "type", "custom"), "`instance` does not ask"),
        (set_in("title", ""), "has no title"),
        (set_in("description", ""), "has no description"),
        (set_in("targets", []), "asks nothing"),
        (set_in("datasource", {"type": "prometheus", "uid": "prometheus"}), "does not use the chosen data source"),
        (set_in("gridPos", {"x": 20, "y": 90, "w": 8, "h": 8}), "is wider than the page"),
        (set_in("gridPos", {"x": 0, "y": 0, "w": 8, "h": 8}), "Customers lies over"),
        (set_in("id", 1), "two panels have one id"),
        (set_in("fieldConfig", {"defaults": {"unit": "customers"}}), "unit 'customers'"),
        (ask("sum by (stage) (lifestage_customers{"), "not PromQL"),
        (ask(f"sum(lifestage_clients{SELECTED})"), "lifestage_clients is exposed by no worker"),
        (ask('sum(lifestage_customers{job=~"$job"})'), 'no matcher instance=~"$instance"'),
        (ask(f"sum(lifestage_events_total{SELECTED})"), "is a counter outside rate"),
        (ask(f"rate(lifestage_events_total{SELECTED}[5m])"), "is not $__rate_interval"),
        (ask(f"sum by (campaign) (lifestage_customers{SELECTED})"), "groups by campaign"),
        (ask(f"sum(lifestage_customers{SELECTED})", "{{stage}}"), "the legend shows stage"),
    ],
)
def test_each_rule_finds_what_breaks_it(plant: Callable[[Json], None], breach: str) -> None:
    """A dashboard with one planted breach is reported with that breach."""
    board = copy.deepcopy(dashboard())
    plant(board)
    assert any(breach in found for found in broken_rules(board, known_metrics())), broken_rules(board, known_metrics())


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
