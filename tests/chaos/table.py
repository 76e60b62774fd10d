"""What a scenario of faults came to: one row of the table that `make chaos` prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

COLUMNS = (
    "scenario", "asked", "proven", "events", "profiles", "wrong", "missing", "conflicting", "gaps", "repeats",
    "slowest catch-up", "",
)  # fmt: skip


@dataclass
class Row:
    """One scenario: how many faults were asked for and proven to have met work, and what the judges found."""

    name: str
    asked: int
    """Faults that the scenario was to do."""
    proven: int = 0
    """Faults that were seen to happen, with work in flight and work done since the one before."""
    events: int = 0
    profiles: int = 0
    wrong: int = 0
    """Profiles, counts and newest stages that are not what one of the two judges says."""
    missing: int = 0
    """Changes that are due and are not there, or that are there and not due."""
    conflicting: int = 0
    """Ids or (customer, seq) that stand for two contents."""
    gaps: int = 0
    """Steps in a customer's seq that are not from n to n+1, after repeats are dropped."""
    repeats: int = 0
    """Changes that were told again with the same id, seq and content: allowed after a crash, dropped by seq."""
    slowest_s: float = 0.0
    """The longest time from a fault to partitions moving again or to the end of the backlog, as the scenario says."""
    notes: list[str] = field(default_factory=list)
    """Remarks for the reader: figures, times. They fail nothing."""
    failures: list[str] = field(default_factory=list)
    """What is wrong in words. One is enough to fail the row."""

    @property
    def ok(self) -> bool:
        """Whether all faults were done and proven and nothing is wrong."""
        return self.proven >= self.asked and not (
            self.wrong or self.missing or self.conflicting or self.gaps or self.failures
        )

    def slowest(self, seconds: float) -> None:
        """Remember a time if it is the longest so far."""
        self.slowest_s = max(self.slowest_s, seconds)

    def add(self, other: Row) -> None:
        """Take in what a part of the scenario, run by itself, came to."""
        for name in ("proven", "events", "profiles", "wrong", "missing", "conflicting", "gaps", "repeats"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest(other.slowest_s)
        self.notes += other.notes
        self.failures += other.failures

    def cells(self) -> list[str]:
        """The row as texts, in the order of `COLUMNS`."""
        counts = (
            self.asked, self.proven, self.events, self.profiles, self.wrong, self.missing, self.conflicting, self.gaps,
            self.repeats,
        )  # fmt: skip
        seconds = f"{self.slowest_s:.1f} s" if self.slowest_s else "–"
        return [self.name, *(f"{count:,}" for count in counts), seconds, "ok" if self.ok else "WRONG"]


def plain(rows: Sequence[Row]) -> str:
    """The table for a terminal, remarks and failures below it."""
    lines = [list(COLUMNS), *(row.cells() for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(COLUMNS))]
    table = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
    return "\n".join([*table, *_remarks(rows, "  ")])


def _aligned(line: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    return (
        cell.rjust(width) if at else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(line, widths, strict=True))
    )


def markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown, remarks and failures below it as a list."""
    head = [f"| {' | '.join(COLUMNS)} |", f"|---|{'--:|' * (len(COLUMNS) - 1)}"]
    body = [f"| {' | '.join(row.cells())} |" for row in rows]
    remarks = _remarks(rows, "- ")
    return "\n".join([*head, *body, *([""] if remarks else []), *remarks]) + "\n"


def _remarks(rows: Sequence[Row], mark: str) -> list[str]:
    return [f"{mark}{row.name}: {words}" for row in rows for words in [*row.notes, *row.failures]]
