"""Drawn dashboards show what was answered, and say where nothing was."""

from __future__ import annotations

import pytest

from tests.drawing import Drawn, Series, page, written


def drawn(kind: str, series: list[Series], unit: str = "short", *, stacked: bool = False) -> str:
    """The page with one panel."""
    html, height = page(
        "Title", "Words", [Drawn(kind, "Panel", unit, 0, 0, 12, 8, stacked, ("from", "to"), series, [5.0])]
    )
    assert height > 8 * 30
    return html


POINTS = [(0.0, 10.0), (10.0, 30.0)]
LOYAL, REACH = Series("loyal", {"from": "a", "to": "b"}, POINTS), Series("reach", {"from": "b", "to": "c"}, POINTS)


@pytest.mark.parametrize("kind", ["timeseries", "bargauge", "stat", "table"])
def test_a_panel_without_an_answer_says_so(kind: str) -> None:
    """Of each kind."""
    assert "No data" in drawn(kind, [])
    assert "No data" not in drawn(kind, [LOYAL])


def test_lines_stand_where_their_values_are() -> None:
    """From below on the left to above on the right; on top of each other where they are stacked; marks between."""
    html = drawn("timeseries", [LOYAL, REACH])
    assert html.count("<polyline") == 2
    first, last = html.split('points="')[1].split('"')[0].split()
    assert float(first.split(",")[0]) < float(last.split(",")[0])
    assert float(first.split(",")[1]) > float(last.split(",")[1])
    assert "loyal" in html
    assert html.count('stroke-dasharray="3 3"') == 1
    assert drawn("timeseries", [LOYAL, REACH], stacked=True).count("<polygon") == 2
    assert drawn("timeseries", [LOYAL, Series("target", {}, POINTS)]).count('stroke-dasharray="6 4"') == 1


def test_numbers_and_tables_show_the_newest_value_by_its_labels() -> None:
    """A cell has its row and its column; a bar is as long as its share of the longest."""
    assert ">30</div>" in drawn("stat", [LOYAL])
    table = drawn("table", [LOYAL, REACH])
    assert "<th>b</th><th>c</th>" in table
    assert table.count("<tr>") == 3
    bars = drawn("bargauge", [LOYAL, Series("half", {}, [(0.0, 15.0)])])
    widths = [float(each.split("width:")[1].split("px")[0]) for each in bars.split("<i ")[1:]]
    assert widths[1] == pytest.approx(widths[0] / 2, abs=1)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.001, "percentunit", "0.1 %"), (0.7364, "percentunit", "73.6 %"), (7200, "s", "2 h"), (0.046, "s", "46 ms"), (90 * 86_400, "s", "90 d"),
        (1234.5, "locale", "1,234.50"), (485_806.26, "locale", "485,806"), (8_410, "short", "8.41 K"), (3.1e6, "short", "3.1 Mil"), (1, "bool_yes_no", "Yes"),
        (86_400_000, "dateTimeAsIso", "1970-01-02 00:00"), (2**20 * 5, "bytes", "5 MiB"), (-4, "none", "-4"),
    ],
)  # fmt: skip
def test_a_value_is_written_in_its_unit(value: float, unit: str, text: str) -> None:
    """As short as it can be read."""
    assert written(value, unit) == text


def test_what_is_drawn_is_no_markup() -> None:
    """A label that looks like HTML is shown as it is."""
    assert "<script>" not in drawn("bargauge", [Series("<script>", {}, POINTS)])
