"""The values of KPIs, from what the parts of an offline command summed up and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from lifestage.kpi_contribute import Bought
from lifestage.kpi_costs import Shares
from lifestage.kpi_formulas import Found, Row, Summary, summary
from lifestage.kpi_gather import NONE, Span
from lifestage.kpi_labels import bounded
from lifestage.kpi_worth import Worths
from lifestage.kpis import DEFINITIONS
from streams.offline import Result, Shown
from streams.offline_kpis import (
    BOUGHT,
    COST,
    NAMED,
    SINGLE,
    bought_in,
    cost_in,
    group_in,
    named_in,
    single_record,
    value_in,
)
from streams.offline_merge import merged
from streams.offline_read import TELL_EVERY

TOP = 5


class Top(NamedTuple):
    """One of the customers who are worth most."""

    net_minor: int
    currency: str
    key: str


class Values(NamedTuple):
    """What a command tells: the rows of each KPI that has any, and the customers worth most by currency."""

    rows: dict[str, list[Row]]
    top: list[Top]


def values(result: Result, span: Span, by: str | None, shown: Shown) -> Values:
    """The KPIs of a result whose job had this window, by another label those that are told by it. Inside the `with` of `working`."""
    costs = [cost_in(memoryview(record)[1:]) for record in _of(result, COST)]
    shares = Shares(costs, span.end, NONE)
    spreads = dict(_summaries(lambda: _of(result, SINGLE)))
    worths = Worths(shares)
    best: dict[str, list[tuple[int, str]]] = {}
    shown.begin("counting customers", result.customers)
    buyers = 0
    for one in _shown(_buyers(result), shown):
        buyers += 1
        worths.count(one)
        theirs = best.setdefault(one.currency, [])
        theirs.append((-one.net_minor, one.key))
        if len(theirs) > 100 * TOP:
            theirs[:] = sorted(theirs)[:TOP]
    worths.settle()
    spool = result.spool("worths")
    shown.begin("computing lifetime values", buyers)
    for one in _shown(_buyers(result), shown):
        for name, worth in worths.of(one).items():
            spool.add(single_record(name, one.currency, round(worth)))
    runs = spool.runs()[0]
    spreads.update(_summaries(lambda: merged(runs, result.folder / "worths-merged")))
    sums, bounded_costs = bounded(result.sums, lambda: map(named_in, _of(result, NAMED)), costs)
    found = Found(sums, bounded_costs, spreads, span)
    rows = {}
    for definition in DEFINITIONS:
        formula = definition.formula_by(by) or definition.formula
        told = formula.rows(found, definition.unit)
        if told:
            rows[definition.name] = told
    top = [Top(-less, currency, key) for currency in sorted(best) for less, key in sorted(best[currency])[:TOP]]
    return Values(rows, top)


def _of(result: Result, kind: bytes) -> Iterator[bytes]:
    for record in result.records():
        if record > kind:
            if not record.startswith(kind):
                return
            yield record


def _buyers(result: Result) -> Iterator[Bought]:
    return (bought_in(memoryview(record)[1:]) for record in _of(result, BOUGHT))


def _shown(all_bought: Iterable[Bought], shown: Shown) -> Iterator[Bought]:
    for number, one in enumerate(all_bought, 1):
        yield one
        if number % TELL_EVERY == 0:
            shown.reach(number, f"{number:,} customers")


def _summaries(again: Callable[[], Iterator[bytes]]) -> Iterator[tuple[tuple[str, str], Summary]]:
    """The summary of each group of single values, which are gone through twice: to count them, and in order."""
    counts = Counter(map(group_in, again()))
    for group, records in groupby(again(), key=group_in):
        yield group, summary(map(value_in, records), counts[group])
