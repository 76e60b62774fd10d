"""Figures as a table: ratios first, then each contestant's min, median and max."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.contestants import Measured

Rounds = Mapping[str, Sequence[Measured]]
"""By contestant, one entry a round; the rounds of all stand in the same order."""


def ratios(mine: Sequence[Measured], theirs: Sequence[Measured]) -> tuple[float, float, float]:
    """(min, median, max) of how many times as many events a second, round by round."""
    found = [a.rate / b.rate for a, b in zip(mine, theirs, strict=True)]
    return min(found), statistics.median(found), max(found)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """`median (min to max)`, with thousands separated."""
    low, middle, high = (f"{f(values):,.{digits}f}" for f in (min, statistics.median, max))
    return f"{middle} ({low} to {high})"


def render(rounds: Rounds, peer: str) -> str:
    """Markdown: the ratios to `peer`, then a row a contestant."""
    lines = []
    for name, runs in rounds.items():
        if name != peer:
            low, middle, high = ratios(runs, rounds[peer])
            lines.append(f"**{name}: {middle:.1f} times the events a second of {peer}** ({low:.1f} to {high:.1f})")
    lines += [
        "",
        "| | events | events/s | CPU-s per million events | peak memory, MB | changes (of them corrections) |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in rounds.items():
        cpu = spread([run.cpu_s / run.events * 1e6 for run in runs], 1)
        memory = spread([run.peak_rss_mb for run in runs])
        told = statistics.median_high(run.outcome.announced for run in runs)
        amended = statistics.median_high(run.outcome.corrections for run in runs)
        rate = spread([run.rate for run in runs])
        lines.append(f"| {name} | {runs[0].events:,} | {rate} | {cpu} | {memory} | {told:,} ({amended:,}) |")
    return "\n".join(lines)


def machine(load: float) -> str:
    """Where it was measured, in one line; `load` is the load average before the first run."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("faust-streaming", "aiokafka"))
    return (
        f"{os.cpu_count()} cores ({_processor()}), shared with the broker and the benchmark itself; "
        f"load average before the first run {load:.1f}; Python {platform.python_version()}, {versions}"
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()
