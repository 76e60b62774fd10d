"""What PromQL asks for, read from its syntax tree: the series, what stands around them, and the labels that are left."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import promql_parser as promql

MACROS = {"$__rate_interval": "97s", "$__range": "98s"}  # lengths that nobody would write, so that they can be told


def without_macros(expression: str, variables: Mapping[str, str] | None = None, **macros: str) -> str:
    """The PromQL that Grafana would send, with `macros` (`rate_interval`, `range`) and variables put in; of these, all values
    of those that are not given.
    """
    for macro, length in MACROS.items():
        expression = expression.replace(macro, macros.get(macro.removeprefix("$__"), length))
    return re.sub(r'"\$(\w+)"', lambda found: f'"{(variables or {}).get(found[1], ".+")}"', expression)


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


def labels_of(node: Any, known: Mapping[str, set[str]]) -> set[str]:
    """The labels that the series of an answer may have; `known` names those of each metric."""
    match node:
        case promql.VectorSelector():
            return known.get(node.name or "", set())
        case promql.AggregateExpr():
            return _aggregated(node, labels_of(node.expr, known))
        case promql.BinaryExpr():
            return _joined(node, known)
        case promql.Call() if node.func.name in {"label_replace", "label_join"}:
            return labels_of(node.args[0], known) | {node.args[1].val}
        case promql.Call():
            found = set().union(*(labels_of(inner, known) for inner in node.args))
            return found - {"le"} if node.func.name == "histogram_quantile" else found
        case _:
            return set().union(*(labels_of(inner, known) for inner in _inside(node)))


def _aggregated(node: Any, inner: set[str]) -> set[str]:
    if str(node.op) in {"topk", "bottomk"}:
        return inner
    if node.modifier is None:
        return set()
    labels = set(node.modifier.labels)
    return inner & labels if node.modifier.type == promql.AggModifierType.By else inner - labels


def _joined(node: Any, known: Mapping[str, set[str]]) -> set[str]:
    left, right = labels_of(node.lhs, known), labels_of(node.rhs, known)
    operator = str(node.op)
    if operator == "or":
        return left | right
    if operator in {"and", "unless"} or not any(True for _ in walk(node.rhs)):
        return left
    if not any(True for _ in walk(node.lhs)):
        return right
    modifier = node.modifier
    if modifier is None or modifier.matching is None:
        return left & right
    if modifier.card == promql.VectorMatchCardinality.OneToMany:
        return right
    if modifier.card == promql.VectorMatchCardinality.ManyToOne:
        return left
    labels = set(modifier.matching.labels)
    return labels if modifier.matching.type == promql.LabelModifierType.Include else left - labels
