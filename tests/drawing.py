"""Draws dashboards as a page of HTML without a script, from the answers of Prometheus: for pictures, not for use."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

COLUMN, LINE, GAP, LEFT = 48, 30, 6, 58
"""Pixels of a column and of a line of the grid, between panels, and of the words left of an axis."""
COLORS = (
    "#3f7fbf",
    "#e08a2e",
    "#4f9d5d",
    "#b5475b",
    "#7d63b3",
    "#3aa3a8",
    "#c0a02c",
    "#8a8f98",
    "#d16ba5",
    "#5b6ee1",
    "#7a5a3a",
    "#9bb53c",
)
STYLE = """
body{margin:0;background:#f4f5f7;font:11px "DejaVu Sans",sans-serif;color:#24292e}
h1{font-size:17px;margin:10px 6px 2px}p{margin:0 6px 8px;color:#586069}
.board{position:relative}.panel{position:absolute;background:#fff;border:1px solid #dfe2e6;border-radius:3px;box-sizing:border-box;overflow:hidden}
.row{position:absolute;font-weight:bold;padding:8px 2px;font-size:12px}.title{font-weight:bold;padding:4px 6px;white-space:nowrap}
table{border-collapse:collapse;width:100%}td,th{padding:2px 6px;text-align:right;border:1px solid #fff;font-weight:normal}td:first-child,th:first-child{text-align:left}
.big{font-size:22px;text-align:center;color:#2d7d46;line-height:26px}.small{font-size:11px;color:#586069}.none{text-align:center;color:#b00;padding-top:20px}
.bar{display:flex;align-items:center;margin:0 6px}.bar span{white-space:nowrap;overflow:hidden}
"""  # fmt: skip


class Series(NamedTuple):
    """One series of an answer: its name, its labels, and its points in time; of now, a single one."""

    name: str
    labels: dict[str, str]
    points: Sequence[tuple[float, float]]


class Drawn(NamedTuple):
    """One panel as Grafana places it, with what was answered."""

    type: str
    title: str
    unit: str
    x: int
    y: int
    w: int
    h: int
    stacked: bool
    matrix: tuple[str, str]
    """The labels of the rows and of the columns of a table."""
    series: list[Series]
    marks: Sequence[float] = ()
    """Instants that are marked: of new plans and releases."""


def page(title: str, words: str, panels: Sequence[Drawn]) -> tuple[str, int]:
    """The page, and how high it is in pixels."""
    height = max(panel.y + panel.h for panel in panels) * LINE + 64
    drawn = "".join(map(_panel, panels))
    head = f"<h1>{escape(title)}</h1><p>{escape(words)}</p>"
    return f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style>{head}<div class="board">{drawn}</div>', height


def written(value: float, unit: str) -> str:
    """A value in the unit of its panel, short."""
    if math.isnan(value):
        return "–"
    match unit:
        case "percentunit":
            return f"{value * 100:.3g} %" if abs(value) < 10 else f"{value * 100:,.0f} %"
        case "s":
            for size, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
                if abs(value) >= size:
                    return f"{value / size:.3g} {name}"
            return f"{value * 1000:.3g} ms" if value else "0 s"
        case "dateTimeAsIso":
            return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M}"
        case "bool_yes_no":
            return "Yes" if value else "No"
        case "bytes":
            return f"{value / 2**20:.4g} MiB"
    if unit == "locale":
        return f"{value:,.2f}" if abs(value) < 10_000 else f"{value:,.0f}"
    for least, name in ((1e9, " Bil"), (1e6, " Mil"), (1e3, " K")):
        if abs(value) >= least:
            return f"{value / least:.3g}{name}"
    return f"{value:.3g}"


def _panel(panel: Drawn) -> str:
    place = f"left:{panel.x * COLUMN + GAP}px;top:{panel.y * LINE}px;width:{panel.w * COLUMN - GAP}px;height:{panel.h * LINE - GAP}px"
    if panel.type == "row":
        return f'<div class="row" style="{place}">{escape(panel.title)}</div>'
    how = {"timeseries": _lines, "bargauge": _bars, "stat": _numbers, "table": _table}[panel.type]
    inner = how(panel) if panel.series else '<div class="none">No data</div>'
    return f'<div class="panel" style="{place}"><div class="title">{escape(panel.title)}</div>{inner}</div>'


def _numbers(panel: Drawn) -> str:
    several = len(panel.series) > 1
    return "".join(
        f'<div class="big">{f"<span class=small>{escape(one.name)}</span> " if several else ""}{written(one.points[-1][1], panel.unit)}</div>'
        for one in panel.series[:4]
    )


def _bars(panel: Drawn) -> str:
    most = max((one.points[-1][1] for one in panel.series), default=0) or 1
    room = panel.h * LINE - 40
    high = min(22, room // max(1, len(panel.series)))
    found = []
    for at, one in enumerate(panel.series):
        value = one.points[-1][1]
        wide = max(0.0, value / most) * (panel.w * COLUMN - 200)
        found.append(
            f'<div class="bar" style="height:{high}px"><span style="width:110px">{escape(one.name)}</span>'
            f'<i style="display:block;height:{high - 5}px;width:{wide:.0f}px;background:{COLORS[at % len(COLORS)]}"></i>&nbsp;{written(value, panel.unit)}</div>'
        )
    return "".join(found)


def _table(panel: Drawn) -> str:
    row, column = panel.matrix
    cells = {(one.labels.get(row, ""), one.labels.get(column, "")): one.points[-1][1] for one in panel.series}
    rows, columns = sorted({at[0] for at in cells}), sorted({at[1] for at in cells})
    low, high = min(cells.values()), max(cells.values())
    found = [
        f"<tr><th>{escape(row)}\\{escape(column)}</th>{''.join(f'<th>{escape(each)}</th>' for each in columns)}</tr>"
    ]
    for each in rows:
        tds = []
        for other in columns:
            value = cells.get((each, other))
            share = 0.0 if value is None or high == low else (value - low) / (high - low)
            shade = "" if value is None else f' style="background:rgba(63,127,191,{0.08 + 0.6 * share:.2f})"'
            tds.append(f"<td{shade}>{'' if value is None else written(value, panel.unit)}</td>")
        found.append(f"<tr><td>{escape(each)}</td>{''.join(tds)}</tr>")
    return f"<table>{''.join(found)}</table>"


class Axes(NamedTuple):
    """Where instants and values lie in a drawing."""

    begin: float
    end: float
    low: float
    top: float
    step: float
    wide: int
    high: int

    def x(self, at: float) -> float:
        """From the left, pixels."""
        return LEFT + (at - self.begin) / ((self.end - self.begin) or 1) * (self.wide - LEFT - 8)

    def y(self, value: float) -> float:
        """From above, pixels."""
        return 6 + (self.top - value) / ((self.top - self.low) or 1) * (self.high - 24)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        """The points, as SVG writes them."""
        return " ".join(f"{self.x(at):.1f},{self.y(value):.1f}" for at, value in points if not math.isnan(value))


def _lines(panel: Drawn) -> str:
    beside = max(1, (panel.w * COLUMN - 20) // 182)
    shown = panel.series[: beside * (2 if panel.h < 8 else 4)]
    legend_high = 15 * math.ceil((len(shown) + (len(shown) < len(panel.series))) / beside) + 4
    stacks = _stacked(shown) if panel.stacked else [list(one.points) for one in shown]
    times = [at for points in stacks for at, _ in points]
    values = [value for points in stacks for _, value in points if not math.isnan(value)] or [0.0]
    scale = _scale(min(0.0, *values) if panel.stacked else min(values), max(values), panel.unit)
    axes = Axes(min(times), max(times), *scale, panel.w * COLUMN - GAP - 4, panel.h * LINE - GAP - 28 - legend_high)
    found = [f'<svg width="{axes.wide}" height="{axes.high}">', *_ticks(panel, axes)]
    for number, (one, points) in enumerate(zip(shown, stacks, strict=True)):
        color = _color(one, number)
        if panel.stacked:
            below = stacks[number - 1] if number else [(at, axes.low) for at, _ in points]
            path = f"{axes.path(points)} {axes.path(below[::-1])}"
            found.append(f'<polygon points="{path}" fill="{color}" fill-opacity="0.55"/>')
        else:
            dashed = ' stroke-dasharray="6 4"' if one.name == "target" else ""
            found.append(
                f'<polyline points="{axes.path(points)}" fill="none" stroke="{color}" stroke-width="1.4"{dashed}/>'
            )
    return "".join(found) + "</svg>" + _legend(panel, shown)


def _ticks(panel: Drawn, axes: Axes) -> Iterator[str]:
    right, form = axes.wide - 8, "%m-%d" if axes.end - axes.begin > 2 * 86_400 else "%H:%M"
    for number in range(round((axes.top - axes.low) / axes.step) + 1):
        value = axes.low + number * axes.step
        y = axes.y(value)
        yield f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e8eaed"/>'
        yield f'<text x="{LEFT - 5}" y="{y + 3:.1f}" text-anchor="end" font-size="9" fill="#586069">{written(value, panel.unit)}</text>'
    for at in _hours(axes.begin, axes.end, 3 if panel.w < 8 else 5):
        x, time = axes.x(at), datetime.fromtimestamp(at, UTC)
        yield f'<text x="{x:.1f}" y="{axes.high - 4}" text-anchor="middle" font-size="9" fill="#586069">{time:{form}}</text>'
    for x in (axes.x(at) for at in panel.marks if axes.begin < at <= axes.end):
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{axes.high - 18}" stroke="#7d3fbf" stroke-dasharray="3 3"/>'


def _color(one: Series, number: int) -> str:
    return "#d33" if one.name == "target" else COLORS[number % len(COLORS)]


def _legend(panel: Drawn, shown: Sequence[Series]) -> str:
    items = []
    for at, one in enumerate(shown):
        color = _color(one, at)
        items.append(
            f'<span style="display:inline-block;vertical-align:bottom;width:178px;white-space:nowrap;overflow:hidden"><b style="color:{color}">—</b> {escape(one.name)} <span class="small">{written(one.points[-1][1], panel.unit)}</span></span>'
        )
    more = len(panel.series) - len(shown)
    return f'<div style="padding:0 6px;line-height:15px">{"".join(items)}{f"and {more} more" if more > 0 else ""}</div>'


def _stacked(series: Sequence[Series]) -> list[list[tuple[float, float]]]:
    total: dict[float, float] = {}
    found = []
    for one in series:
        for at, value in one.points:
            total[at] = total.get(at, 0.0) + value
        found.append([(at, total[at]) for at, _ in one.points])
    return found


_TIMES = (
    2,
    5,
    10,
    20,
    30,
    60,
    120,
    300,
    600,
    1_200,
    1_800,
    3_600,
    7_200,
    14_400,
    21_600,
    43_200,
    86_400,
    172_800,
    432_000,
    864_000,
    1_728_000,
)


def _scale(low: float, high: float, unit: str) -> tuple[float, float, float]:
    """Least and greatest value of an axis, and the step from mark to mark: 1, 2 or 5 times a power of ten."""
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = (0.0, 2 * high) if high > 0 else (low, low + 1)
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    steps = (
        _TIMES
        if unit == "s" and rough > 1
        else (1,)
        if unit == "bool_yes_no"
        else tuple(each * power for each in (1, 2, 5, 10))
    )
    step = next((each for each in steps if each >= rough), steps[-1])
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _hours(begin: float, end: float, about: int) -> list[float]:
    length = next(
        each
        for each in (60, 300, 600, 3_600, 7_200, 86_400, 172_800, 604_800)
        if (end - begin) / each <= about or each == 604_800
    )
    first = math.ceil(begin / length) * length
    return [first + number * length for number in range(int((end - first) // length) + 1)]
