"""Panels and dashboards for Grafana, as plain data: each panel is a few words here and forty lines of JSON there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from lifestage.kpi_names import BOUNDS
from lifestage.kpi_rules import record_of
from lifestage.kpis import BY_NAME, UP

Json = dict[str, Any]
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
JOB: Final = 'job=~"$job"'
WORKER: Final = 'job=~"$job", instance=~"$instance"'
UNITS: Final = {"ratio": "percentunit", "count": "short", "seconds": "s", "money": "locale", "distribution": "short"}
"""Grafana's value formats by the units of KPIs; all else is a plain number."""
WIDTH = 24


class Ask(NamedTuple):
    """One query and what its series are called."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """One panel: its kind, what it shows and says, how large it is, and what it has beside the usual."""

    type: str
    title: str
    words: str
    unit: str
    asks: tuple[Ask, ...]
    width: int
    height: int
    defaults: Json
    options: Json
    more: Json


class Row(NamedTuple):
    """A heading above the panels that follow."""

    title: str


class Variable(NamedTuple):
    """What a person may choose on a dashboard: the values of a label."""

    name: str
    label: str
    query: str
    chosen: str = ""
    """What is chosen at first; all, where it is empty."""


class Dashboard(NamedTuple):
    """One dashboard."""

    uid: str
    title: str
    words: str
    variables: tuple[Variable, ...]
    parts: tuple[Panel | Row, ...]
    since: str = "now-7d"
    refresh: str = "1m"


JOBS: Final = Variable("job", "Job", "label_values(lifestage_worker_info, job)", "lifestage")
INSTANCES: Final = Variable("instance", "Instance", f"label_values(lifestage_worker_info{{{JOB}}}, instance)")
NEW_PLAN: Final = Ask(
    f"count by (job, plan, plan_hash) (lifestage_worker_info{{{JOB}}})"
    f" unless count by (job, plan, plan_hash) (last_over_time(lifestage_worker_info{{{JOB}}}[1h] offset 15m))",
    "{{plan}} {{plan_hash}}",
)
NEW_RELEASE: Final = Ask(
    f"count by (job, version) (lifestage_worker_info{{{JOB}}})"
    f" unless count by (job, version) (last_over_time(lifestage_worker_info{{{JOB}}}[1h] offset 15m))",
    "{{version}}",
)
"""What runs now and ran at no time of the hour before; true for a quarter of an hour."""


def lines(
    title: str,
    words: str,
    unit: str,
    *asks: Ask,
    width: int = 8,
    height: int = 8,
    stacked: bool = False,
    **defaults: Any,
) -> Panel:
    """Values over time."""
    custom = {
        "drawStyle": "line", "lineWidth": 1, "fillOpacity": 40 if stacked else 10, "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }  # fmt: skip
    legend = {"calcs": ["lastNotNull"], "displayMode": "table", "placement": "bottom", "showLegend": True}
    options = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    given = {"color": {"mode": "palette-classic"}, "custom": custom} | defaults
    return Panel("timeseries", title, words, unit, asks, width, height, given, options, {})


def bars(title: str, words: str, unit: str, *asks: Ask, width: int = 8, height: int = 8) -> Panel:
    """Values of now as bars, beside each other to be compared."""
    options = {
        "displayMode": "basic", "orientation": "horizontal", "showUnfilled": True, "valueMode": "text",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }  # fmt: skip
    return Panel(
        "bargauge",
        title,
        words,
        unit,
        asks,
        width,
        height,
        {"color": {"mode": "palette-classic"}, "min": 0},
        options,
        {},
    )


def numbers(title: str, words: str, unit: str, *asks: Ask, width: int = 4, height: int = 4) -> Panel:
    """Values of now in large letters."""
    options = {
        "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "textMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }  # fmt: skip
    return Panel("stat", title, words, unit, asks, width, height, {"color": {"mode": "thresholds"}}, options, {})


def grid(title: str, words: str, unit: str, ask: Ask, row: str, column: str, width: int = 12, height: int = 8) -> Panel:
    """Values of now by two labels, as a table whose cells are coloured by value."""
    matrix = {"columnField": column, "rowField": row, "valueField": "Value", "emptyValue": "null"}
    cells = {"align": "auto", "cellOptions": {"type": "color-background", "mode": "gradient"}}
    more = {"transformations": [{"id": "groupingToMatrix", "options": matrix}]}
    defaults = {"color": {"mode": "continuous-BlPu"}, "custom": cells}
    return Panel("table", title, words, unit, (ask,), width, height, defaults, {"showHeader": True}, more)


def kpi(name: str, select: str = JOB, width: int = 8, height: int = 8, by: str | None = None) -> Panel:
    """A KPI over time by its definition, by its own labels or by another, with the plan's target as a dashed line."""
    one = BY_NAME[name]
    legend = " ".join(f"{{{{{label}}}}}" for label in one.labels_by(by)) or "{{job}}"
    asks = [Ask(f"{record_of(one, by)}{{{select}}}", legend)]
    words = [f"{one.words[0].upper()}{one.words[1:]}."]
    if one.better:
        words.append("More is better." if one.better == UP else "Less is better.")
    if one.unit in BOUNDS and one.better:
        asks.append(Ask(f'max by (job) (lifestage_kpi_target{{{JOB}, kpi="{name}"}})', "target"))
        words.append("Dashed: the plan's target, if it has one.")
    title = f"{one.title} by {by}" if by else one.title
    return lines(title, " ".join(words), UNITS.get(one.unit, "none"), *asks, width=width, height=height)


def now(name: str, width: int = 4, select: str = JOB) -> Panel:
    """A KPI as it is now, in large letters."""
    one = BY_NAME[name]
    legend = " ".join(f"{{{{{label}}}}}" for label in one.labels) or "{{job}}"
    words = f"{one.words[0].upper()}{one.words[1:]}."
    return numbers(
        one.title, words, UNITS.get(one.unit, "none"), Ask(f"{record_of(one)}{{{select}}}", legend), width=width
    )


def named(name: str, label: str, value: str, select: str = JOB, by: str | None = None) -> str:
    """The query of a KPI with a label more, so that several may stand in one table."""
    return f'label_replace({record_of(BY_NAME[name], by)}{{{select}}}, "{label}", "{value}", "", "")'


def written(dashboard: Dashboard) -> Json:
    """The dashboard as Grafana reads it."""
    return {
        "annotations": {"list": [_annotation("Plan changes", NEW_PLAN, "purple"), _annotation("Releases", NEW_RELEASE, "blue")]},
        "description": dashboard.words,
        "editable": False,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": [
            {"asDropdown": False, "icon": "external link", "includeVars": True, "keepTime": True, "tags": ["lifestage"],
             "targetBlank": False, "title": "Customer lifecycle", "tooltip": "", "type": "dashboards", "url": ""},
        ],
        "panels": list(_placed(dashboard.parts)),
        "refresh": dashboard.refresh,
        "schemaVersion": 41,
        "tags": ["lifestage"],
        "templating": {"list": [_SOURCE, *map(_variable, dashboard.variables)]},
        "time": {"from": dashboard.since, "to": "now"},
        "timepicker": {},
        "timezone": "utc",
        "title": dashboard.title,
        "uid": dashboard.uid,
        "version": 1,
    }  # fmt: skip


_SOURCE: Final[Json] = {
    "current": {}, "hide": 0, "includeAll": False, "label": "Data source", "multi": False, "name": "datasource", "options": [],
    "query": "prometheus", "refresh": 1, "regex": "", "type": "datasource",
}  # fmt: skip


def _variable(one: Variable) -> Json:
    chosen = {"text": [one.chosen or "All"], "value": [one.chosen or "$__all"], "selected": True}
    return {
        "allValue": ".+", "current": chosen, "datasource": DATASOURCE, "definition": one.query, "hide": 0, "includeAll": True,
        "label": one.label, "multi": True, "name": one.name, "options": [],
        "query": {"query": one.query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2, "regex": "", "sort": 1, "type": "query",
    }  # fmt: skip


def _annotation(name: str, ask: Ask, color: str) -> Json:
    return {
        "datasource": DATASOURCE, "enable": True, "expr": ask.expr, "hide": False, "iconColor": color, "name": name,
        "step": "60s", "tagKeys": "job", "textFormat": ask.legend, "titleFormat": name, "useValueForTime": False,
    }  # fmt: skip


def _placed(parts: Iterable[Panel | Row]) -> Iterator[Json]:
    """From left to right, as many as fit; each row of panels is as high as its highest."""
    x = y = height = 0
    for number, part in enumerate(parts, 1):
        if isinstance(part, Row):
            y, x, height = y + height, 0, 0
            yield {
                "collapsed": False,
                "gridPos": _at(0, y, WIDTH, 1),
                "id": number,
                "panels": [],
                "title": part.title,
                "type": "row",
            }
            y += 1
            continue
        if x + part.width > WIDTH:
            y, x, height = y + height, 0, 0
        yield _panel(part, number, _at(x, y, part.width, part.height))
        x, height = x + part.width, max(height, part.height)


def _at(x: int, y: int, width: int, height: int) -> Json:
    return {"h": height, "w": width, "x": x, "y": y}


def _panel(panel: Panel, number: int, place: Json) -> Json:
    thresholds = {"mode": "absolute", "steps": [{"color": "green", "value": None}]}
    is_now = panel.type != "timeseries"
    return {
        "datasource": DATASOURCE,
        "description": panel.words,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": thresholds} | panel.defaults,
            "overrides": [_DASHED] if any(ask.legend == "target" for ask in panel.asks) else [],
        },
        "gridPos": place,
        "id": number,
        "options": panel.options,
        "targets": [
            {"datasource": DATASOURCE, "editorMode": "code", "expr": ask.expr, "instant": is_now, "range": not is_now,
             "legendFormat": ask.legend, "refId": chr(ord("A") + at)} | ({"format": "table"} if panel.type == "table" else {})
            for at, ask in enumerate(panel.asks)
        ],
        "title": panel.title,
        "type": panel.type,
    } | panel.more  # fmt: skip


_DASHED: Final[Json] = {
    "matcher": {"id": "byName", "options": "target"},
    "properties": [
        {"id": "custom.lineStyle", "value": {"dash": [10, 10], "fill": "dash"}},
        {"id": "custom.fillOpacity", "value": 0},
        {"id": "color", "value": {"fixedColor": "red", "mode": "fixed"}},
    ],
}
