"""The company of the pictures fills every panel, through a real Prometheus of its past."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.company import TARGETS
from tests.drawing import Drawn, page
from tests.pictures import END, NEW_PLAN, panels, spans


@pytest.fixture(scope="module")
def drawn(prometheus_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Drawn]]:
    """The dashboards of two days."""
    assert prometheus_binary.is_file()
    return panels(tmp_path_factory.mktemp("past"), spans(days=2, step=600))


def test_no_panel_is_without_data(drawn: Mapping[str, list[Drawn]]) -> None:
    """Each shows numbers up to the last instant, over all of its range where it shows more than now."""
    for name, board in drawn.items():
        shown = [panel for panel in board if panel.type != "row"]
        assert len(shown) >= 20
        assert [panel.title for panel in shown if not panel.series] == [], name
        for panel in shown:
            assert max(at for one in panel.series for at, _ in one.points) == END, panel.title
        assert "No data" not in page(name, name, board)[0]


def test_the_new_plan_is_marked(drawn: Mapping[str, list[Drawn]]) -> None:
    """Where a dashboard looks back so far, at the hour in which it began to run, and nowhere else."""
    assert {mark for panel in drawn["value"] for mark in panel.marks} == {NEW_PLAN}
    assert {mark for panel in drawn["pipeline"] for mark in panel.marks} == set()


def test_what_is_shown_is_what_the_company_is(drawn: Mapping[str, list[Drawn]]) -> None:
    """Numbers that can be known without Prometheus: the targets, two workers, and the funnel from its top."""
    by_title = {panel.title: panel for board in drawn.values() for panel in board}
    assert by_title["Workers"].series[0].points[-1][1] == 2
    retention = by_title["Customer retention rate"].series
    target = next(one for one in retention if one.name == "target")
    assert {value for _, value in target.points} == {TARGETS["crr"]}
    heights = [one.points[-1][1] for one in by_title["Funnel"].series]
    assert heights == sorted(heights, reverse=True)
    assert by_title["Funnel"].series[0].name == "reach"
