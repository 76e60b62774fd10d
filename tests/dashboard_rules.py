"""The rules that a dashboard has to keep: those of Grafana's dashboard-linter, and that it asks only for what exists.

`broken_rules` returns one sentence per breach, so that a test can also plant a breach and see it found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import promql_parser as promql

Json = dict[str, Any]
# Of Grafana's value formats, those that a panel here may use.
UNITS = {"short", "none", "locale", "percentunit", "s", "cps", "cpm", "bool_yes_no", "dateTimeAsIso"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
MACROS = {"$__rate_interval": "97s", "$__range": "98s"}  # lengths that nobody would write, so that they can be told


def panels(dashboard: Json) -> list[Json]:
    """Every panel that shows something: rows are headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def without_macros(expression: str, job: str = ".+", instance: str = ".+", **macros: str) -> str:
    """The PromQL that Grafana would send, with `macros` (`rate_interval`, `range`) and variables put in."""
    for macro, length in MACROS.items():
        expression = expression.replace(macro, macros.get(macro.removeprefix("$__"), length))
    return expression.replace("$job", job).replace("$instance", instance)


def walk(node: Any, parents: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every vector selector in an expression, with what stands around it, the innermost last."""
    if isinstance(node, promql.VectorSelector):
        yield node, parents
    for inner in _inside(node):
        yield from walk(inner, (*parents, node))


def _inside(node: Any) -> list[Any]:
    match node:
        case promql.BinaryExpr():
            return [node.lhs, node.rhs]
        case promql.Call():
            return list(node.args)
        case promql.MatrixSelector():
            return [node.vector_selector]
        case promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return [node.expr]
        case _:
            return []


def broken_rules(dashboard: Json, metrics: Mapping[str, set[str]]) -> list[str]:
    """What is wrong with a dashboard; `metrics` are the names that a worker exposes, each with its labels."""
    found = list(_of_dashboard(dashboard))
    for panel in panels(dashboard):
        found += [f"{panel.get('title') or panel['id']}: {breach}" for breach in _of_panel(panel)]
        for target in panel.get("targets", []):
            found += [f"{panel.get('title')}: {breach}" for breach in _of_target(target, metrics)]
    return found


def _of_dashboard(dashboard: Json) -> Iterator[str]:
    if dashboard["editable"]:
        yield "is editable"
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    source = variables.get("datasource")
    if source is None or (source["type"], source["query"], source["label"]) != (
        "datasource",
        "prometheus",
        "Data source",
    ):
        yield "has no variable `datasource` labelled `Data source` that chooses a Prometheus"
    for name in ("job", "instance"):
        variable = variables.get(name)
        if variable is None:
            yield f"has no variable `{name}`"
        elif variable["datasource"]["uid"] != "${datasource}" or variable["type"] != "query":
            yield f"variable `{name}` does not ask the chosen data source"
        elif (variable["label"], variable["multi"], variable["allValue"]) != (name.title(), True, ".+"):
            yield f"variable `{name}` must be labelled {name.title()}, be a multi select and have .+ for all"
        elif variable["refresh"] != 2:
            yield f"variable `{name}` is not read again when the time range changes"
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(set(ids)) != len(ids):
        yield "two panels have one id"
    for one, other in combinations(dashboard["panels"], 2):
        if _overlap(one["gridPos"], other["gridPos"]):
            yield f"{one['title']} lies over {other['title']}"


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


def _of_target(target: Json, metrics: Mapping[str, set[str]]) -> Iterator[str]:
    if target.get("datasource") != DATASOURCE:
        yield "a query does not use the chosen data source"
    try:
        tree = promql.parse(without_macros(target["expr"]))
    except ValueError as error:
        yield f"not PromQL: {target['expr']}: {error}"
        return
    known = {"job", "instance"}
    for selector, parents in walk(tree):
        yield from _of_selector(selector, parents, metrics)
        known |= metrics.get(selector.name, set())
    kept = set(tree.modifier.labels) if isinstance(tree, promql.AggregateExpr) and tree.modifier else None
    grouped = {label for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in re.split(r",\s*", by)}
    if unknown := grouped - known:
        yield f"groups by {', '.join(sorted(unknown))}, which no metric in it has"
    shown = set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
    if lost := shown - (grouped if kept is None else kept):
        yield f"the legend shows {', '.join(sorted(lost))}, which the query does not keep"


def _of_selector(selector: Any, parents: tuple[Any, ...], metrics: Mapping[str, set[str]]) -> Iterator[str]:
    if selector.name not in metrics:
        yield f"{selector.name} is exposed by no worker"
    matched = {(matcher.name, str(matcher.op), matcher.value) for matcher in selector.matchers.matchers}
    for variable in ("job", "instance"):
        if not any(name == variable and value == ".+" for name, _, value in matched):
            yield f'{selector.name} has no matcher {variable}=~"${variable}"'
    within = parents[-1] if parents else None
    call = parents[-2] if len(parents) > 1 and isinstance(parents[-2], promql.Call) else None
    function = str(call.func.name) if call is not None and isinstance(within, promql.MatrixSelector) else ""
    if str(selector.name).endswith("_total") and function not in {"rate", "irate", "increase"}:
        yield f"{selector.name} is a counter outside rate, irate or increase"
    if within is not None and function in {"rate", "irate"} and within.range.total_seconds() != 97:
        yield f"the range of {function}({selector.name}) is not $__rate_interval"
