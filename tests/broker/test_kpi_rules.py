"""What the recording rules make of parts, on the real promtool."""

from __future__ import annotations

import re
from pathlib import Path

from tests.deployment import ROOT, RULES
from tests.services import promtool

EXAMPLES = ROOT / "tests/broker/kpis.yml"


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
