"""Figures as a table: ratios first, then each contestant's min, median and max."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Protocol


class Rated(Protocol):
    """Anything with a rate."""

    @property
    def rate(self) -> float:
        """Events per second."""


class Taken(Rated, Protocol):
    """What a row is made of: `measuring.Run`."""

    @property
    def events(self) -> int:
        """How many."""

    @property
    def cpu_s(self) -> float:
        """CPU seconds."""

    @property
    def peak_mb(self) -> float:
        """The most memory."""

    @property
    def start_s(self) -> float:
        """From start to the first change."""

    @property
    def changes(self) -> int:
        """Changes announced."""

    @property
    def later_s(self) -> float:
        """How much later the last timer had fired."""


def ratios(mine: Sequence[Rated], theirs: Sequence[Rated]) -> tuple[float, float, float]:
    """(min, median, max) of how many times as many events a second, round by round."""
    found = [a.rate / b.rate for a, b in zip(mine, theirs, strict=True)]
    return min(found), statistics.median(found), max(found)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """`median (min to max)`, with thousands separated."""
    low, middle, high = (f"{f(values):,.{digits}f}" for f in (min, statistics.median, max))
    return f"{middle} ({low} to {high})"


def render(rounds: Mapping[str, Sequence[Taken]], ours: Sequence[str]) -> str:
    """Markdown: how `ours` compare with each of the others, round by round, then a row a contestant."""
    peers = [name for name in rounds if name not in ours]
    lines = []
    for name in ours:
        if name in rounds and peers:
            found = [(peer, *ratios(rounds[name], rounds[peer])) for peer in peers]
            text = "; ".join(
                f"{middle:.1f} times {peer} ({low:.1f} to {high:.1f})" for peer, low, middle, high in found
            )
            lines.append(f"**{name}: {text}**\n")
    return "\n".join([*lines, _rows(rounds)])


def render_shares(rounds: Mapping[str, Sequence[Taken]], base: str) -> str:
    """Markdown: what share of the events a second of `base` each of the others does, then a row a contestant."""
    lines = []
    for name, runs in rounds.items():
        if name != base and base in rounds:
            low, middle, high = ratios(runs, rounds[base])
            lines.append(f"- {name}: {middle:.0%} of the events a second of {base} ({low:.0%} to {high:.0%})")
    return "\n".join([*lines, "", _rows(rounds)])


def _rows(rounds: Mapping[str, Sequence[Taken]]) -> str:
    lines = [
        "| | events | events/s | CPU-s per million events | peak memory, MB | start to first change, s | last timer, s later | changes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in rounds.items():
        cpu = spread([run.cpu_s / run.events * 1e6 for run in runs], 1)
        memory = spread([run.peak_mb for run in runs])
        rate, start = spread([run.rate for run in runs]), spread([run.start_s for run in runs], 1)
        changes = max(run.changes for run in runs)
        later = spread([run.later_s for run in runs], 1)
        lines.append(f"| {name} | {runs[0].events:,} | {rate} | {cpu} | {memory} | {start} | {later} | {changes:,} |")
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
