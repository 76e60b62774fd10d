"""The files of a deployment as tests read them: compose with its variables put in, the dashboard, the known metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from streams.metrics import METRICS

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "docker-compose.yml"
DASHBOARD = ROOT / "config/grafana/dashboards/lifestage.json"
PROMETHEUS = ROOT / "config/prometheus/prometheus.yml"
RULES = ROOT / "config/prometheus/rules/lifestage.yml"
SECRETS = {"LIFESTAGE_IDENTITY_SECRET": "of-the-tests", "GRAFANA_ADMIN_PASSWORD": "of-the-tests"}
Json = dict[str, Any]


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


def dashboard() -> Json:
    """The shipped dashboard."""
    return cast(Json, json.loads(DASHBOARD.read_text()))


def rules() -> list[Json]:
    """Every recording and alerting rule."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def known_metrics() -> dict[str, set[str]]:
    """Each series that a worker exposes, by the name a query uses, with its labels."""
    known = {metric.name: set(metric.labels) for metric in METRICS if metric.type != "histogram"}
    for metric in METRICS:
        if metric.type == "histogram":
            known[f"{metric.name}_bucket"] = {*metric.labels, "le"}
            known |= {f"{metric.name}_{part}": set(metric.labels) for part in ("sum", "count")}
    return known
