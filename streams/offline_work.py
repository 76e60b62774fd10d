"""What one process does of an offline command: it reads pieces of files, sorts their facts, and folds parts of them."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from config.settings import Settings
from lifestage.cause import Rules
from lifestage.kpi_gather import Span
from lifestage.plan import Plan
from streams.doorway import decoder_of
from streams.files import Piece
from streams.offline_claims import Asked, claims_in
from streams.offline_csv import csv_rows
from streams.offline_fold import Folded, Folding
from streams.offline_gather import Gathered, Gathering
from streams.offline_kpis import KpiFolding
from streams.offline_mapping import Mapping
from streams.offline_merge import FAN_IN, merged
from streams.offline_read import Account, Reading, Tell, line_rows
from streams.offline_records import key_in
from streams.offline_regroup import Move, Regrouping, moves_in
from streams.offline_spill import Run, Spool, records_of
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
    """Into how many parts customers are divided, and into as many all other ids; one process folds a part."""
    span: Span | None = None
    """Of KPIs the window; None: changes or differences are wanted."""
    keep: bool = True
    """Whether what fits into memory stays there: where one process does all."""


class Part(NamedTuple):
    """What is to be folded by one process: sorted runs."""

    part: int
    runs: Sequence[Run]
    """Facts that came under the ids of the part."""
    moving: Sequence[Run] = ()
    """Those of its ids whose facts are somebody else's."""
    moved: Sequence[Run] = ()
    """Facts of other ids that belong here."""


class Hand:
    """One process at work in `folder`: it reads pieces, sorts, moves facts to those whose they are, and folds parts."""

    def __init__(self, job: Job, folder: Path, name: str) -> None:
        self._job, self._folder = job, folder
        self._decoder = decoder_of(job.settings)
        self._rules = [rules_with(job.settings, plan) for plan in job.plans]
        self._gathering = Gathering(folder, name, job.parts, job.memory, link=self._rules[0].link)
        self._moved = Spool(folder, f"moved-{name}", 2 * job.parts, job.memory)

    def read(self, tell: Tell, piece: Piece) -> Account:
        """Decode a piece and keep its facts. Raises `UserFacingError` when the file cannot be read."""
        job = self._job
        aside = self._folder / f"rejected-{piece.number}" if job.aside else None
        rows = csv_rows(piece, job.mapping, self._decoder) if job.mapping else line_rows(piece, self._decoder)
        return Reading(self._gathering, job.until, aside).read(piece, rows, tell, job.keep)

    def sort(self, _: Tell) -> Gathered:
        """The facts of all pieces read here, as runs of each part, and what they say of ids."""
        return self._gathering.runs(self._job.keep)

    def claims(self, _: Tell, part: int, runs: Sequence[Run], asked: Asked) -> list[Run]:
        """What the facts of a part say of ids that several may have."""
        found = Spool(self._folder, f"claims-{part}", 1, self._job.memory // 2)
        for run in runs:
            for record in claims_in(records_of(run), asked):
                found.add(record)
        return found.runs(self._job.keep)[0]

    def regroup(self, _: Tell, part: int, runs: Sequence[Run], moving: Sequence[Run]) -> None:
        """Take the facts of ids that are somebody else's out of a part, to give them to that person's."""
        moves = self._moves(part, moving)
        place = self._folder / f"moving-{part}"
        records = merged(runs, place, self._job.fan_in, lambda record: key_in(record) in moves)
        least = min((silence for silence in map(_silence_of, self._rules) if silence is not None), default=None)
        Regrouping(self._moved, self._job.parts, least).take(records, moves)

    def moved(self, _: Tell) -> list[list[Run]]:
        """The facts that were taken out of parts here, as runs of the parts where they belong."""
        return self._moved.runs(self._job.keep)

    def fold(self, tell: Tell, work: Part, end: int) -> Folded:
        """Follow every person of a part up to `end` (ms, exclusive)."""
        job, part = self._job, work.part
        told = Spool(self._folder, f"told-{part}", 1, job.memory // 2)
        gone = self._moves(part, work.moving).keys()
        stays = (lambda record: key_in(record) not in gone) if gone else None
        records = merged(work.runs, self._folder / f"merged-{part}", job.fan_in, stays)
        if work.moved:
            come = merged(work.moved, self._folder / f"come-{part}", job.fan_in)
            records = heapq.merge(records, come)
        if job.span is not None:
            return KpiFolding(self._rules[0], job.span, told, job.memory // 2).fold(records, tell, job.keep)
        return Folding(self._rules, job.names, end, told).fold(records, tell, job.keep)

    def _moves(self, part: int, runs: Sequence[Run]) -> dict[bytes, Move]:
        return moves_in(runs, self._folder / f"ids-{part}", self._job.fan_in)


def _silence_of(rules: Rules) -> int | None:
    return rules.plan.plan.forget_anonymous
