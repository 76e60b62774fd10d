"""Events a second as bars, in an SVG that any page can show."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from benchmarks.table import Rated

WIDTH, LEFT, RIGHT, ROW, BAR, HEAD = 860, 240, 110, 26, 16, 34
OURS, THEIRS, INK = "#2563eb", "#9ca3af", "#374151"


def svg(groups: Mapping[str, Mapping[str, Sequence[Rated]]], ours: Sequence[str]) -> str:
    """A bar a contestant with its median, and a line from min to max; a group a job, each on a scale of its own."""
    lines, y = [], 8.0
    for title, rounds in groups.items():
        lines.append(_text(8, y + 18, title, "bold"))
        y += HEAD
        top = max((run.rate for runs in rounds.values() for run in runs), default=1.0)
        for name, runs in rounds.items():
            lines += _bar(y, name, [run.rate for run in runs], top, OURS if name in ours else THEIRS)
            y += ROW
        y += 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y:.0f}" viewBox="0 0 {WIDTH} {y:.0f}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(lines) + "\n</svg>\n"
    )


def _bar(y: float, name: str, rates: Sequence[float], top: float, colour: str) -> Iterable[str]:
    scale = (WIDTH - LEFT - RIGHT) / top
    middle, low, high = (f(rates) * scale for f in (statistics.median, min, max))
    line = y + BAR / 2
    yield _text(8, y + 13, name)
    yield f'<rect x="{LEFT}" y="{y:.1f}" width="{middle:.1f}" height="{BAR}" fill="{colour}"/>'
    yield (
        f'<line x1="{LEFT + low:.1f}" y1="{line:.1f}" x2="{LEFT + high:.1f}" y2="{line:.1f}" '
        f'stroke="{INK}" stroke-width="2"/>'
    )
    yield _text(LEFT + high + 8, y + 13, f"{statistics.median(rates):,.0f}/s")


def _text(x: float, y: float, text: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}">{escape(text)}</text>'
