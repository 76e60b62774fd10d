"""The rules that a dashboard has to keep: those of Grafana's dashboard-linter, and that it asks only for what exists.

`broken_rules` returns one sentence per breach, so that a test can also plant a breach and see it found.

The linter asks each query for `instance`. KPIs are of a whole job and recorded without one, so here a dashboard that tells
instances apart has the variable and asks by it everywhere; one that does not adds up over them everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import promql_parser as promql

from tests.promql import labels_of, walk, without_macros

Json = dict[str, Any]
Known = Mapping[str, set[str]]
# Of Grafana's value formats, those that a panel here may use.
UNITS = {"short", "none", "locale", "percentunit", "s", "cps", "cpm", "bytes", "bool_yes_no", "dateTimeAsIso"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def panels(dashboard: Json) -> list[Json]:
    """Every panel that shows something: rows are headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def broken_rules(dashboard: Json, metrics: Known, recorded: Known) -> list[str]:
    """What is wrong with a dashboard; `metrics` are the names that workers expose and `recorded` those that rules make, each
    with its labels.
    """
    found = list(_of_dashboard(dashboard)) + list(_of_variables(dashboard, {*metrics, *recorded}))
    tells = any(variable["name"] == "instance" for variable in dashboard["templating"]["list"])
    known = {name: labels | {"job", "instance"} for name, labels in metrics.items()} | dict(recorded)
    for panel in panels(dashboard):
        title = panel.get("title") or panel["id"]
        found += [f"{title}: {breach}" for breach in _of_panel(panel)]
        for target in panel.get("targets", []):
            found += [f"{title}: {breach}" for breach in _of_target(target, known, tells)]
    for note in dashboard["annotations"]["list"]:
        asked = {"expr": note["expr"], "legendFormat": note["textFormat"], "datasource": note["datasource"]}
        found += [f"{note['name']}: {breach}" for breach in _of_target(asked, known, tells=False)]
    return found


def _of_dashboard(dashboard: Json) -> Iterator[str]:
    if dashboard["editable"]:
        yield "is editable"
    links = [link for link in dashboard["links"] if link["tags"] == ["lifestage"] and link["includeVars"]]
    if dashboard["tags"] != ["lifestage"] or not links:
        yield "has no links to the others"
    if not dashboard["description"]:
        yield "has no description"
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(set(ids)) != len(ids):
        yield "two panels have one id"
    for one, other in combinations(dashboard["panels"], 2):
        if _overlap(one["gridPos"], other["gridPos"]):
            yield f"{one['title']} lies over {other['title']}"


def _of_variables(dashboard: Json, known: set[str]) -> Iterator[str]:
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    source = variables.pop("datasource", None)
    if source is None or (source["type"], source["query"], source["label"]) != (
        "datasource",
        "prometheus",
        "Data source",
    ):
        yield "has no variable `datasource` labelled `Data source` that chooses a Prometheus"
    if "job" not in variables:
        yield "has no variable `job`"
    for name, variable in variables.items():
        if variable["type"] != "query" or variable["datasource"]["uid"] != "${datasource}":
            yield f"variable `{name}` does not ask the chosen data source"
        elif (variable["label"], variable["multi"], variable["allValue"]) != (name.title(), True, ".+"):
            yield f"variable `{name}` must be labelled {name.title()}, be a multi select and have .+ for all"
        elif variable["refresh"] != 2:
            yield f"variable `{name}` is not read again when the time range changes"
        elif not any(re.search(rf"\b{each}\b", variable["query"]["query"]) for each in known):
            yield f"variable `{name}` asks for what nobody exposes"
    asked = " ".join(target["expr"] for panel in panels(dashboard) for target in panel.get("targets", []))
    used = set(re.findall(r'"\$(\w+)"', asked))
    for name in used - variables.keys():
        yield f"asks by ${name}, which is no variable"
    for name in variables.keys() - used:
        yield f"variable `{name}` chooses nothing"


def _overlap(one: Json, other: Json) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


def _of_panel(panel: Json) -> Iterator[str]:
    if not panel.get("title"):
        yield "has no title"
    if not panel.get("description"):
        yield "has no description"
    if panel["fieldConfig"]["defaults"].get("unit") not in UNITS:
        yield f"unit {panel['fieldConfig']['defaults'].get('unit')!r} is not one of {', '.join(sorted(UNITS))}"
    if panel.get("datasource") != DATASOURCE:
        yield "does not use the chosen data source"
    if not panel.get("targets"):
        yield "asks nothing"
    if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
        yield "is wider than the page"


def _of_target(target: Json, known: Known, tells: bool) -> Iterator[str]:
    if target.get("datasource") != DATASOURCE:
        yield "a query does not use the chosen data source"
    try:
        tree = promql.parse(without_macros(target["expr"]))
    except ValueError as error:
        yield f"not PromQL: {target['expr']}: {error}"
        return
    all_labels: set[str] = set()
    for selector, parents in walk(tree):
        yield from _of_selector(selector, parents, known, tells)
        all_labels |= known.get(selector.name, set())
    for call in re.findall(r'label_replace\(.*?, "(\w+)", "', target["expr"]):
        all_labels.add(call)
    grouped = {label for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in re.split(r",\s*", by)}
    if unknown := grouped - all_labels:
        yield f"groups by {', '.join(sorted(unknown))}, which no metric in it has"
    kept = labels_of(tree, known)
    if not tells and "instance" in kept:
        yield "tells instances apart, and there is no variable to choose one"
    shown = set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
    if lost := shown - kept:
        yield f"the legend shows {', '.join(sorted(lost))}, which the query does not keep"


def _of_selector(selector: Any, parents: tuple[Any, ...], known: Known, tells: bool) -> Iterator[str]:
    if selector.name not in known:
        yield f"{selector.name} is exposed by no worker and recorded by no rule"
    yield from _of_matchers(selector, known.get(selector.name, set()), tells)
    within = parents[-1] if parents else None
    call = parents[-2] if len(parents) > 1 and isinstance(parents[-2], promql.Call) else None
    function = str(call.func.name) if call is not None and isinstance(within, promql.MatrixSelector) else ""
    if str(selector.name).endswith("_total") and function not in {"rate", "irate", "increase"}:
        yield f"{selector.name} is a counter outside rate, irate or increase"
    if within is not None and function in {"rate", "irate"} and within.range.total_seconds() != 97:
        yield f"the range of {function}({selector.name}) is not $__rate_interval"


def _of_matchers(selector: Any, labels: set[str], tells: bool) -> Iterator[str]:
    chosen = {matcher.name for matcher in selector.matchers.matchers if matcher.value == ".+"}
    matched = {matcher.name for matcher in selector.matchers.matchers}
    if "job" not in chosen:
        yield f'{selector.name} has no matcher job=~"$job"'
    if (
        tells
        and "instance" in labels
        and "instance" not in chosen
        and not str(selector.name).startswith("lifestage_reconcile")
    ):
        yield f'{selector.name} has no matcher instance=~"$instance"'
    if lost := matched - labels - {"job"}:
        yield f"{selector.name} is asked by {', '.join(sorted(lost))}, which it does not have"
