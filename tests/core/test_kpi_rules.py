"""The recording rules are made of the definitions: each KPI has its rule, by the names that workers expose."""

from __future__ import annotations

import re
from collections import Counter

import promql_parser as promql
import yaml

from lifestage.kpi_formulas import Spread
from lifestage.kpi_labels import CURRENCY, KINDS
from lifestage.kpi_names import BOUNDS, KPIS
from lifestage.kpi_parts import COST, LIVE, PARTS, PREFIX, metric_of
from lifestage.kpi_rules import (
    COUNTED,
    EXPECTED,
    HIDDEN,
    OFF_TARGET,
    TARGET,
    TOLD,
    WHOLE,
    record_of,
    rules,
    targets,
    text,
    whole_of,
)
from streams.kpi_families import PartitionSums, families
from streams.metrics import METRICS
from tests.company import DAY_S, WINDOW, shown, sums
from tests.deployment import RULES, known_parts
from tests.promql import walk

REST = {
    "lifestage_kpi_traffic_by_source": (("source", "other"), ("medium", "other")),
    "lifestage_kpi_social_engagement": (("kind", "other"),),
    "lifestage_kpi_leads_by_channel": (("channel", "other"),),
    "lifestage_kpi_new_customers_by_channel": (("channel", "other"),),
}
"""Counts of which all that is not told apart is a value of its own."""
SHIPPED = RULES.with_name("kpis.yml")


def test_the_shipped_rules_are_those_of_the_definitions() -> None:
    """The file in the repository is what `lifestage kpis --rules` prints."""
    assert SHIPPED.read_text(encoding="utf-8") == text()


def test_the_file_holds_every_rule_as_it_is_meant() -> None:
    """Read as YAML it gives each rule with its expression and labels, in order."""
    kpis, off = yaml.safe_load(text())["groups"]
    assert kpis["rules"] == [
        {"record": rule.record, "expr": " ".join(rule.lines)} | ({"labels": dict(rule.labels)} if rule.labels else {})
        for rule in rules()
    ]
    assert [rule["labels"]["kpi"] for rule in off["rules"]] == [dict(rule.labels)["kpi"] for rule in targets()]


def test_each_kpi_is_recorded_with_its_labels() -> None:
    """By its name, and by channel where the definition is, too; a statistic has three rules, a count by values that events name
    one more, of the rest no two are one."""
    made = [(rule.record, *rule.labels) for rule in rules() if not rule.record.startswith(WHOLE)]
    assert len(set(made)) == len(made)
    wanted = []
    for one in LIVE:
        statistics = [(("statistic", name),) for name in ("mean", "median", "p90")]
        wanted += [(record_of(one), *more) for more in (statistics if isinstance(one.formula, Spread) else [()])]
        if record_of(one) in REST:
            wanted.append((record_of(one), *REST[record_of(one)]))
        for record in (record_of(one, by) for by, _ in one.by):
            wanted += [(record,)] + ([(record, *REST[record])] if record in REST else [])
    assert made == wanted
    by_name = {rule.record: rule for rule in [*rules()][::-1]}
    for one in LIVE:
        rule = by_name[record_of(one)]
        kept = set(one.labels) - {"statistic"}
        assert f"sum by ({', '.join(['job', *(x for x in one.labels if x in kept)])}" in rule.lines[0], rule


def test_rules_ask_only_for_parts_and_leave_none_out() -> None:
    """What workers expose of the definitions is what the rules ask for, spreads by bucket, sum and count; and costs."""
    asked = {selector.name for rule in rules() for selector, _ in walk(promql.parse(" ".join(rule.lines)))}
    bound = {rule.record for rule in rules() if rule.record.startswith(WHOLE)}
    assert asked == {*known_parts(), *bound, COUNTED, EXPECTED, HIDDEN, TOLD}
    assert COST in asked


def test_every_rule_is_bound_to_what_is_whole() -> None:
    """No KPI has a value where a partition is counted by nobody or by two; none of a label value of which a worker hides a part."""
    kinds = {kind.label: kind for kind in (CURRENCY, *KINDS.values())}
    for rule in rules():
        if rule.record == WHOLE:
            continue
        guards = set(re.findall(rf"and on \(([^)]*)\) ({WHOLE}\w*)", rule.lines[-1]))
        told = {record_of(each, by): (each, by) for each in LIVE for by in (None, *dict(each.by))}
        one, by = told.get(rule.record, (None, None))
        # a message's own channel is one of a closed list
        free = {label for label in kinds if label != "channel" or by == "channel"}
        labels = free.intersection(one.labels_by(by)) if one else set()
        if (rule.labels and rule.labels[0][1] == "other") or not labels:
            assert guards == {("job", WHOLE)}, rule
        else:
            wanted = {(", ".join(("job", *kinds[label].labels)), whole_of(kinds[label])) for label in labels}
            assert guards == wanted, rule


def test_workers_expose_the_parts_and_nothing_else() -> None:
    """What a worker shows of a company that has everything has the names and labels of the parts that rules ask for."""
    day = 20_530
    counted = PartitionSums(day, WINDOW, sums(day * DAY_S, 1.0))
    found = {sample.name: set(sample.labels) for family in families(shown([counted])) for sample in family.samples}
    assert found == known_parts()


def test_a_currency_is_shown_of_which_no_order_stands_any_more() -> None:
    """What was paid for a cancelled order is gross revenue, also where it is all there is in that currency."""
    counted = PartitionSums(20_530, WINDOW, Counter({("gross_revenue", "JPY"): 1838}))
    found = [sample for family in families(shown([counted])) for sample in family.samples if sample.labels]
    assert [(one.name, one.labels, one.value) for one in found] == [
        ("lifestage_kpi_part_gross_revenue", {"currency": "JPY"}, 1838)
    ]


def test_names_of_parts_and_kpis_never_clash() -> None:
    """A recorded KPI is no part and no metric of a worker, and neither is what says that it misses its target."""
    recorded = {rule.record for rule in rules()} | {OFF_TARGET}
    assert not recorded & {metric.name for metric in METRICS}
    assert not recorded & {TARGET}
    assert not any(name.startswith(PREFIX) for name in recorded)


def test_a_sum_by_channel_has_a_name_and_a_label_for_it() -> None:
    """`leads/channel` is another metric than `leads`, and what is told of a message stands in its channel's place."""
    assert metric_of("messages_sent/mailbox") == "lifestage_kpi_part_messages_sent_by_mailbox"
    assert PARTS["messages_sent/campaign"].labels == ("campaign",)
    assert PARTS["messages_sent"].labels == ("channel",)
    assert metric_of("leads") == "lifestage_kpi_part_leads"
    assert metric_of("leads/channel") == "lifestage_kpi_part_leads_by_channel"
    assert (PARTS["leads"].labels, PARTS["leads/channel"].labels) == ((), ("channel",))
    assert PARTS["time_in_stage"].labels == ("stage",)
    assert PARTS["clv_1"].is_spread


def test_a_target_is_held_against_what_has_a_better_side() -> None:
    """Each KPI that a plan may give a target and of which more or less is better has one rule, and no other has."""
    wanted = [one.name for one in LIVE if one.better and one.unit in BOUNDS]
    assert [dict(rule.labels)["kpi"] for rule in targets()] == wanted
    assert "traffic_by_source" not in wanted
    assert {name for name in wanted if name in KPIS} >= {"crr", "aov", "complaint_rate", "response_time", "clv_1"}
    words = {dict(rule.labels)["kpi"]: " ".join(rule.lines) for rule in targets()}
    assert words["crr"].startswith("lifestage_kpi_crr < bool on (job)")
    assert words["churn_rate"].startswith("lifestage_kpi_churn_rate > bool on (job)")
    assert words["clv_2"].startswith('lifestage_kpi_clv_2{statistic="mean"} <')
    assert words["response_time"].startswith('lifestage_kpi_response_time{statistic="median"} >')
