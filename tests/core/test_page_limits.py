"""A page by its limits: what all metrics may come to, added up, and the worst that events, state and plan can make of it."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import get_args

import pytest
from msgspec.structs import replace

from lifestage.change import KINDS as OF_MOVES
from lifestage.conditions import Plan
from lifestage.facts import TYPES
from lifestage.identity import OUTCOMES as OF_IDS
from lifestage.kpi_contribute import BY_CHANNEL, Sums
from lifestage.kpi_gather import STEPS_MAX
from lifestage.kpi_labels import KINDS
from lifestage.kpi_names import BOUNDS
from lifestage.kpi_parts import PARTS, Part
from lifestage.kpi_spread import LADDERS, bounds_of, is_shown
from lifestage.kpis import DEFINITIONS
from lifestage.language_stages import STAGES_MAX
from lifestage.mailboxes import GROUPS, UNKNOWN
from lifestage.money import DIGITS
from lifestage.refusal import REASONS
from lifestage.wire import Channel
from streams import metrics as names
from streams.collector import OF_PROCESS, WorkerMetrics
from streams.kpi_families import COHORTS_MAX, PartitionSums, families, limited, summed
from streams.kpi_values import LIMITS
from streams.metrics import CUSTOMERS, METRICS, OUTCOMES, SERIES_MAX, within
from streams.stage_limits import MOVES_MAX, TRANSITIONS_MAX, Moves, bounds_told, ordinary_moves, path_of
from tests.core.histories import CLM5
from tests.core.test_kpi_families import hostile
from tests.core.test_metrics import LOG, Series, Worker, Writer, scrape
from tests.every_sum import every_sum

PARTITIONS = 8
TOPICS = (LOG, "purchases", "visits", "mails")
LENGTHS = (1, 7, 8, 9, 14, 15, 21, 30, 34, STAGES_MAX)
"""Of plans."""
LAST = 20_088
"""The last day of a month: then most cohorts are followed."""
CHANNELS = get_args(Channel)


def plan_of(count: int) -> Plan:
    """A plan of so many stages, one above the other."""
    first = replace(CLM5.stages[0], enter_kind=None, leave_kind=None)
    return replace(CLM5, stages=tuple(replace(first, name=f"stage{n}", rank=n + 1) for n in range(count)))


def labels_at_most(part: Part, stages: int) -> int:
    """How many label values a part may be told of where KPIs have the least room. A label that is not here has no limit."""
    if part.of == "transitions":
        return min((stages + 1) ** 2, TRANSITIONS_MAX + 1)
    if part.of == "cohort_kept":
        return COHORTS_MAX * (COHORTS_MAX + 1) // 2
    least = LIMITS[-1]
    assert {least.of(kind) for kind in KINDS} == {0}, "of what events name freely all is other"
    most = {
        "stage": stages, "step": STEPS_MAX, "cohort": COHORTS_MAX, "mailbox": len(GROUPS) + 1, "currency": least.currencies,
        "campaign": 1, "source": 1, "medium": 1, "kind": 1, "channel": 1 if part.of.endswith(BY_CHANNEL) else len(CHANNELS),
    }  # fmt: skip
    found = 1
    for label in part.labels:
        found *= most[label]
    return found


def at_most(stages: int) -> int:
    """All limits added up, of a plan of so many stages."""
    found = OF_PROCESS + sum(metric.most for metric in METRICS) - CUSTOMERS.most + stages
    for part in PARTS.values():
        series = 1
        if part.of == "time_in_stage":
            series = len(bounds_told(path_of(plan_of(stages)).every)) + 3
        elif part.is_spread:
            series = sum(is_shown(part.of, bound) for bound in LADDERS[part.of]) + 3
        found += labels_at_most(part, stages) * series
    return found


def test_the_limits_of_all_metrics_come_to_no_more_than_a_page() -> None:
    """Of plans of any length: a metric, a part of KPIs or a label without a limit fails, and so does one limit too wide."""
    most = {count: at_most(count) for count in range(1, STAGES_MAX + 1)}
    assert max(most.values()) <= SERIES_MAX, most
    assert all(metric.most > 0 for metric in METRICS if metric is not names.KPI_TOLD), "one that is never there"


def everything(plan: Plan) -> Sums:
    """All sums that there are, with more values than are told of each label that has any number of them."""
    stages = [stage.name for stage in plan.stages]
    many = [*map(str, range(60)), "direct", "none", "other"]
    values = {
        "stage": stages, "from": [*stages, "none"], "to": [*stages, "none"], "currency": [*DIGITS], "campaign": many, "kind": many, "channel": CHANNELS,
        "source": many, "medium": ("direct", "none", "other"), "mailbox": (*GROUPS, UNKNOWN), "step": [str(n + 1) for n in range(STEPS_MAX)],
    }  # fmt: skip
    costs = {"category": ("marketing", "sales", "support"), "currency": ("EUR", "USD", "JPY"), "channel": many}
    return every_sum(LAST, values, many, costs)


@pytest.fixture(scope="module")
def bad() -> PartitionSums:
    """A hundred thousand values of each label that events name."""
    days = hostile()
    days.turn(LAST)
    return PartitionSums(LAST, 90, days.totals(), days.places)


def worst(plan: Plan, *sums: PartitionSums) -> WorkerMetrics:
    """A worker of which everything was asked at once: events of any number of sources with every outcome, all moves that there could be
    between any two stages, everything due, held and refused."""
    numbers, types = range(PARTITIONS), sorted(TYPES.values())
    found = WorkerMetrics("0.1.0", plan, "abc", LOG)
    found.read_model, found.log_partitions = Writer(), PARTITIONS
    found.targets = {one.name: 1 for one in DEFINITIONS if one.unit in BOUNDS}
    seen = {}
    for n, outcome in product(range(300), OUTCOMES):
        for source in (f"source{n % 70}", "", "other"):
            found.counts.add(source, types[n % len(types)] if n % 9 else "no type", outcome)
            seen[source, types[n % len(types)], outcome] = n + 1
    names_of = [*(stage.name for stage in plan.stages), None]
    for before, after, kind in product(names_of, names_of, OF_MOVES):
        found.counts.change(before, after, kind)
    for reason in (*REASONS, "what a newer release refuses"):
        found.counts.dead_letter(reason)
    found.counts.happened(0, dict.fromkeys((*OF_IDS, "what a newer release counts"), 3))
    found.view = Worker(
        population={stage.name: 5 for stage in plan.stages},
        accounts=seen,
        sums={code: (n, 100, 100) for n, code in enumerate(DIGITS)},
        lags={(topic, n): 1 for topic in TOPICS for n in numbers},
        ticks=dict.fromkeys(numbers, 1.0),
        holds={(topic, n): 1.0 for topic in TOPICS for n in numbers},
        partitions=dict.fromkeys(TOPICS, PARTITIONS),
        records=dict.fromkeys(numbers, 100),
        kpi_sums={n: sums[n % len(sums)] for n in numbers},
        kpi_expected=PARTITIONS,
        recovering=False,
    )
    return found


def total(found: Series, name: str, **labels: str) -> float:
    """The sum of a metric over all series with these labels."""
    return sum(n for (metric, of), n in found.items() if metric == name and of >= frozenset(labels.items()))


@pytest.mark.parametrize("count", LENGTHS)
def test_the_worst_page_is_bounded(bad: PartitionSums, count: int) -> None:
    """Everything at once, of plans of any length: 2,000 series at most, no metric beyond its limit, and no sum short of anything."""
    plan = plan_of(count)
    sums = everything(plan)
    found = scrape(worst(plan, bad, PartitionSums(LAST, 90, sums)))
    assert len(found) <= SERIES_MAX
    of = Counter(name for name, _ in found)
    for metric in METRICS:
        theirs = [
            name for name in of if name == metric.name or (metric.type == "histogram" and name.startswith(metric.name))
        ]
        assert 0 < sum(of[name] for name in theirs) <= metric.most or metric is names.KPI_TOLD, metric.name
    moved = (count + 1) ** 2
    assert total(found, "lifestage_stage_changes_total") == moved * len(OF_MOVES)
    for kind in OF_MOVES:
        assert total(found, "lifestage_stage_changes_total", kind=kind) == moved, kind
    assert total(found, "lifestage_kpi_part_transitions") == 4 * 5 * moved
    assert total(found, "lifestage_kpi_part_time_in_stage_count") == 4 * count
    assert (
        of["lifestage_kpi_part_stage_counts"] == of["lifestage_kpi_part_funnel"] == of["lifestage_customers"] == count
    )
    assert of["lifestage_kpi_part_cohort_size"] == COHORTS_MAX
    for kind in ("leads_by_channel", "messages_sent_by_campaign", "sessions_by_source", "social_engagement"):
        assert total(found, f"lifestage_kpi_part_{kind}") == 4 * (
            sum(n for key, n in sums.items() if key[0] == kind.replace("_by_c", "/c"))
            + sum(n for key, n in bad.sums.items() if key[0] == kind.replace("_by_c", "/c"))
        ), kind


@pytest.mark.parametrize("count", LENGTHS)
def test_what_is_counted_of_a_plan_of_any_length_is_what_is_on_its_page(count: int) -> None:
    """Up to every bound that is told, cumulative; the greatest and that above it always."""
    path = path_of(plan_of(count))
    given = summed([PartitionSums(LAST, 90, everything(plan_of(count)))], path)
    for limits in (LIMITS[0], LIMITS[-1]):
        made = limited(given, limits)
        told = {
            sample.labels["le"]: sample.value
            for family in families(made)
            for sample in family.samples
            if sample.name == "lifestage_kpi_part_time_in_stage_bucket" and sample.labels["stage"] == "stage0"
        }
        assert len(told) == len(bounds_told(path.every)) + 1
        assert {"1000000000", "+Inf"} <= {*told}
        assert [*told.values()] == sorted(told.values())
        assert told["+Inf"] == len(bounds_of("time_in_stage"))
    assert (path.every == 1) == (count <= 8)
    assert count > 14 or path.every <= 2


def test_every_ordinary_move_has_the_kind_of_the_plan() -> None:
    """Up one is advance, up more skip, down demotion; the plan's own kinds come first; from nothing it is entry."""
    kinds = {(before, stage): kind for before, stage, kind in ordinary_moves(CLM5)}
    assert len(kinds) == len(list(ordinary_moves(CLM5))) == 8 + 8 * 7
    assert kinds["none", "loyalty"] == "entry"
    assert kinds["conversion", "retention"] == "advance"
    assert kinds["reach", "conversion"] == "skip"
    assert kinds["loyalty", "retention"] == "demotion"
    assert kinds["loyalty", "at_risk"] == "at_risk"
    assert kinds["at_risk", "churned"] == "churn"
    assert kinds["churned", "retention"] == "reactivation"
    assert kinds["dormant", "reach"] == "recovery"


def test_moves_beyond_the_bound_are_told_by_their_kind() -> None:
    """Those of the plan from the start, as 0, skips and demotions last; the first corrections; of what comes then each kind, from 0 on."""
    moves = Moves()
    moves.expect(CLM5)
    assert moves.copy() == dict.fromkeys(ordinary_moves(CLM5), 0)
    for n in range(MOVES_MAX):
        moves.add(f"a{n}", "b", "correction", 2)
        assert len(moves.copy()) in (65 + n, MOVES_MAX + len(OF_MOVES))
    found = moves.copy()
    assert found["a0", "b", "correction"] == 2
    assert found["other", "other", "correction"] == 2 * len(list(ordinary_moves(CLM5)))
    assert found["other", "other", "merge"] == 0
    assert sum(found.values()) == 2 * MOVES_MAX
    named = Moves()
    named.add("other", "other", "correction", 3)
    for n in range(MOVES_MAX):
        named.add(f"a{n}", "b", "correction", 1)
    assert sum(named.copy().values()) == 3 + MOVES_MAX, "hubspot8 has a stage of this name, which may be corrected, too"
    long = Moves()
    long.expect(plan_of(12))
    told = [kind for before, _, kind in long.copy() if before != "other"]
    assert told.count("entry") == 12
    assert told.count("advance") == 11
    assert len(told) == MOVES_MAX


def test_types_give_way_to_sources() -> None:
    """Those with the fewest events first, each to `other` of its source, of which nothing is lost."""
    counted = {(f"s{n}", f"t{m}", outcome): 10 * n + m for n in range(5) for m in range(6) for outcome in OUTCOMES[:2]}
    assert within(counted, 60) == counted
    found = within(counted, 40)
    assert 36 < len(found) <= 40
    assert ("s4", "t5", "accepted") in found
    assert ("s0", "t5", "accepted") not in found
    assert len(within(counted, 0)) == 10, "each source and outcome has its own still"
    for n in range(5):
        theirs = [sum(count for (source, _, _), count in of.items() if source == f"s{n}") for of in (found, counted)]
        assert theirs[0] == theirs[1]
