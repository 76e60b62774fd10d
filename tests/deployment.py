"""The files of a deployment as tests read them: compose with its variables put in, the dashboards, the known metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import promql_parser as promql
import yaml

from lifestage.kpi_parts import COST, COST_LABELS, PARTS
from lifestage.kpi_rules import OFF_TARGET
from streams.metrics import METRICS
from streams.recount_metrics import DIFFERENCE, DURATION, PARTITIONS, TIMESTAMP, UP
from tests.promql import labels_of

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "docker-compose.yml"
DASHBOARDS = ROOT / "config/grafana/dashboards"
PROMETHEUS = ROOT / "config/prometheus/prometheus.yml"
RULES = ROOT / "config/prometheus/rules/lifestage.yml"
SECRETS = {"LIFESTAGE_IDENTITY_SECRET": "of-the-tests", "GRAFANA_ADMIN_PASSWORD": "of-the-tests"}
Json = dict[str, Any]
OF_RECORDED = {OFF_TARGET}
"""What is recorded of what is recorded."""
OF_PROCESSES = ("process_resident_memory_bytes", "process_cpu_seconds_total")
"""Those of Prometheus' own metrics of a process that are asked for."""
OF_RECOUNT: dict[str, set[str]] = {
    DIFFERENCE: {"kpi"},
    PARTITIONS: {"state"},
    UP: set(),
    TIMESTAMP: set(),
    DURATION: set(),
}
"""What a recount found, with its labels."""


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    """The compose file with `${NAME:-default}` and `${NAME:?message}` put in; a missing required one is a KeyError."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if environment.get(name):
            return environment[name]
        if kind != ":-":
            raise KeyError(name)
        return str(rest)

    return re.sub(r"\$\{(\w+)(:-|:\?)([^}]*)\}", value, text)


def compose(environment: Mapping[str, str] = SECRETS) -> Json:
    """docker-compose.yml as compose reads it, anchors and variables resolved."""
    return cast(Json, yaml.safe_load(interpolated(COMPOSE.read_text(), environment)))


def dashboard(name: str) -> Json:
    """A shipped dashboard, by the name of its file without the ending."""
    return cast(Json, json.loads((DASHBOARDS / f"{name}.json").read_text(encoding="utf-8")))


def dashboards() -> dict[str, Json]:
    """All of them by name."""
    return {path.stem: dashboard(path.stem) for path in sorted(DASHBOARDS.glob("*.json"))}


def rules() -> list[Json]:
    """Every recording and alerting rule of every file."""
    groups = [
        group for file in sorted(RULES.parent.glob("*.yml")) for group in yaml.safe_load(file.read_text())["groups"]
    ]
    return [rule for group in groups for rule in group["rules"]]


def recorded() -> dict[str, set[str]]:
    """Each series that a rule records, with the labels that its expression and the rule give it."""
    known = {name: labels | {"job", "instance"} for name, labels in known_metrics().items()}
    found: dict[str, set[str]] = {}
    for rule in sorted(
        (rule for rule in rules() if "record" in rule), key=lambda rule: str(rule["record"]) in OF_RECORDED
    ):
        labels = labels_of(promql.parse(rule["expr"]), known | found) | set(rule.get("labels", {}))
        found[rule["record"]] = found.get(rule["record"], set()) | labels
    return found


def known_metrics() -> dict[str, set[str]]:
    """Each series that a worker or a recount exposes, by the name a query uses, with its labels."""
    known = {metric.name: set(metric.labels) for metric in METRICS if metric.type != "histogram"}
    known |= known_parts() | OF_RECOUNT | {name: set() for name in OF_PROCESSES}
    for metric in METRICS:
        if metric.type == "histogram":
            known[f"{metric.name}_bucket"] = {*metric.labels, "le"}
            known |= {f"{metric.name}_{part}": set(metric.labels) for part in ("sum", "count")}
    return known


def known_parts() -> dict[str, set[str]]:
    """The series of the parts of KPIs, with their labels."""
    known = {COST: set(COST_LABELS)}
    for part in PARTS.values():
        if part.is_spread:
            known[f"{part.metric}_bucket"] = {*part.labels, "le"}
            known |= {f"{part.metric}_{each}": set(part.labels) for each in ("sum", "count")}
        else:
            known[part.metric] = set(part.labels)
    return known
