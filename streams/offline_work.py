"""What one process does of an offline command: it reads pieces of files, sorts their facts, and folds parts of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from config.settings import Settings
from lifestage.plan import Plan
from streams.doorway import decoder_of
from streams.files import Piece
from streams.offline_csv import csv_rows
from streams.offline_fold import Folded, Folding
from streams.offline_mapping import Mapping
from streams.offline_merge import FAN_IN, merged
from streams.offline_read import Account, Reading, Tell, line_rows
from streams.offline_spill import Run, Spool
from streams.rules import rules_with


class Job(NamedTuple):
    """What every process of a command must know. Times are ms, `memory` is bytes a process."""

    settings: Settings
    plans: tuple[Plan, ...]
    """One to replay; two to compare."""
    names: tuple[str, ...] = ()
    """What the two sides of a comparison are called in its documents."""
    until: int | None = None
    aside: bool = False
    """Whether rejected events are kept."""
    mapping: Mapping | None = None
    """How CSV is read; None: the files are JSON lines."""
    memory: int = 64 << 20
    fan_in: int = FAN_IN
    """Runs that are merged at a time."""
    parts: int = 1
    """Into how many parts customers are divided; one process folds a part."""
    keep: bool = True
    """Whether what fits into memory stays there: where one process does all."""


class Hand:
    """One process at work in `folder`: first it reads pieces, then it sorts, then it folds parts."""

    def __init__(self, job: Job, folder: Path, name: str) -> None:
        self._job, self._folder = job, folder
        self._decoder = decoder_of(job.settings)
        self._rules = [rules_with(job.settings, plan) for plan in job.plans]
        self._facts = Spool(folder, f"facts-{name}", job.parts, job.memory)

    def read(self, tell: Tell, piece: Piece) -> Account:
        """Decode a piece and keep its facts. Raises `UserFacingError` when the file cannot be read."""
        job = self._job
        aside = self._folder / f"rejected-{piece.number}" if job.aside else None
        rows = csv_rows(piece, job.mapping, self._decoder) if job.mapping else line_rows(piece, self._decoder)
        return Reading(self._facts, job.parts, job.until, aside).read(piece, rows, tell, job.keep)

    def sort(self, _: Tell) -> list[list[Run]]:
        """The facts of all pieces read here, as runs of each part."""
        return self._facts.runs(self._job.keep)

    def fold(self, tell: Tell, part: int, runs: Sequence[Run], end: int) -> Folded:
        """Follow every customer of a part up to `end` (ms, exclusive)."""
        job = self._job
        told = Spool(self._folder, f"told-{part}", 1, job.memory // 2)
        records = merged(runs, self._folder / f"merged-{part}", job.fan_in)
        return Folding(self._rules, job.names, end, told).fold(records, tell, job.keep)
