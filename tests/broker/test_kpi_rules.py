"""What the recording rules make of parts, on the real promtool and on a real Prometheus."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from lifestage.kpi_formulas import Spread
from lifestage.kpi_parts import LIVE
from lifestage.kpi_rules import record_of
from lifestage.kpis import Definition
from tests.company import Sample
from tests.deployment import ROOT, RULES
from tests.exporter import Exporter
from tests.random_sums import Company, company
from tests.services import Prometheus, promtool

EXAMPLES = ROOT / "tests/broker/kpis.yml"
COMPANIES = 12
CONFIG = """
global: {{scrape_interval: 5s, scrape_timeout: 5s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: companies
    honor_labels: true
    static_configs: [{{targets: ["{address}"]}}]
"""
Values = dict[tuple[str, ...], float]


def test_small_examples_have_the_values_worked_out_by_hand() -> None:
    """Rates, scores, money, costs, steps, quantiles and cohorts over two workers; no denominator, no series."""
    done = promtool("test", "rules", EXAMPLES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_examples_find_a_formula_that_is_wrong(tmp_path: Path) -> None:
    """Rules that divide each worker's own numbers, forget a missing numerator or let 0 divide fail the same examples."""
    rules = RULES.with_name("kpis.yml").read_text(encoding="utf-8")
    for planted in (
        rules.replace("by (job", "by (instance, job"),
        re.sub(r" or 0 \* sum by \([^)]*\) \([^)]*\)", "", rules),
        rules.replace(" > 0)", " > -1)"),
        rules.replace('category=~"marketing|sales"', 'category=~".+"'),
        rules.replace("0.5,", "0.9,"),
    ):
        assert planted != rules
        (tmp_path / "kpis.yml").write_text(planted, encoding="utf-8")
        examples = EXAMPLES.read_text(encoding="utf-8").replace("../../config/prometheus/rules/kpis.yml", "kpis.yml")
        (tmp_path / "examples.yml").write_text(examples, encoding="utf-8")
        assert promtool("check", "rules", tmp_path / "kpis.yml").returncode == 0, planted[:3000]
        assert promtool("test", "rules", tmp_path / "examples.yml").returncode == 1


def wanted(companies: list[Company], one: Definition, by: str | None) -> Values:
    """What the formulas of `lifestage kpis` make of the companies' sums, by company and labels."""
    formula = one.formula_by(by)
    assert formula is not None
    return {
        (str(number), *row.labels): row.value
        for number, made in enumerate(companies)
        for row in formula.rows(made.found, one.unit)
    }


def recorded(prometheus: Prometheus, one: Definition, by: str | None) -> Values:
    """The same as Prometheus has recorded it."""
    labels = ("job", *one.labels_by(by))
    found = prometheus.query(record_of(one, by))
    return {tuple(s["metric"][label] for label in labels): float(s["value"][1]) for s in found}


def differing(given: Values, found: Values, one: Definition) -> list[str]:
    """What is not as it should be: missing, too much, or of another value; of money up to half a minor unit, of lifetime values up to a whole
    one (each is rounded first), of medians and 90th percentiles up to the width of a size class is allowed: half as much of times and of many orders.
    """
    wrong = [f"{one.name}{labels} is missing" for labels in given.keys() - found.keys()]
    wrong += [f"{one.name}{labels} should not be" for labels in found.keys() - given.keys()]
    for labels in given.keys() & found.keys():
        is_spread = isinstance(one.formula, Spread)
        minor = 1 if "JPY" in labels else 0.01
        rounded = (1.01 if is_spread else 0.51) * minor if one.unit == "money" else 1e-9
        wide = 0.51 if one.unit == "seconds" or one.name == "clv_3" else 0.26
        rel = wide if is_spread and labels[-1] != "mean" else 1e-9
        if found[labels] != pytest.approx(given[labels], rel=rel, abs=rounded):
            wrong.append(f"{one.name}{labels} is {found[labels]}, not {given[labels]}")
    return wrong


def test_rules_make_of_parts_what_lifestage_kpis_makes_of_sums(prometheus_binary: Path, tmp_path: Path) -> None:
    """Of companies at random, with sums that are missing or 0 on one worker or both, each KPI has the same labels and value."""
    assert prometheus_binary.is_file()
    companies = [company(seed) for seed in range(COMPANIES)]
    samples = [
        Sample(name, {"job": str(number), **labels}, value)
        for number, made in enumerate(companies)
        for name, labels, value in made.samples
    ]
    page = Exporter(lambda: samples)
    kpis = [(one, by) for one in LIVE for by in (None, *dict(one.by))]
    assert sum(len(wanted(companies, one, by)) for one, by in kpis) > 50 * COMPANIES
    try:
        config = CONFIG.format(rules=RULES.with_name("kpis.yml"), address=page.address)
        with Prometheus(config, tmp_path / "prometheus") as server:
            deadline = time.monotonic() + 120
            while wrong := [
                each
                for one, by in kpis
                for each in differing(wanted(companies, one, by), recorded(server, one, by), one)
            ]:
                assert time.monotonic() < deadline, wrong
                time.sleep(1)
    finally:
        page.stop()


def test_a_value_that_is_wrong_missing_or_too_much_is_found() -> None:
    """One customer less, a cent more, a label that is not, one that should not be: each is a difference."""
    aov, crr = (one for one in LIVE if one.name in {"aov", "crr"})
    assert differing({("0",): 0.5}, {("0",): 0.5}, crr) == []
    assert len(differing({("0",): 0.5}, {("0",): 0.501}, crr)) == 1
    assert len(differing({("0",): 0.5}, {("1",): 0.5}, crr)) == 2
    assert differing({("0", "EUR"): 12.34}, {("0", "EUR"): 12.3449}, aov) == []
    assert len(differing({("0", "EUR"): 12.34}, {("0", "EUR"): 12.36}, aov)) == 1
    assert differing({("0", "JPY"): 12.0}, {("0", "JPY"): 12.49}, aov) == []
