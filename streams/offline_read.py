"""Pieces of files become facts in a spool, and an account of what became of every line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from lifestage.decode import Decoder
from lifestage.facts import Fact
from lifestage.refusal import Refusal
from streams.files import Piece, lines_in
from streams.offline_gather import Gathering
from streams.offline_merge import merged
from streams.offline_spill import Run, Spool

SHOWN_REJECTED = 5
REJECTED_BUDGET = 1 << 20
"""Bytes of rejected events that a reader holds; beyond it they go to a file."""
TELL_EVERY = 10_000

Tell = Callable[[int, int], None]
"""Called now and then with what was done since: bytes and events while reading, facts and changes while folding."""


class Row(NamedTuple):
    """A line or row that was read. `decided` None: it is blank."""

    number: int
    value: bytes
    size: int
    decided: Fact | Refusal | None


class Rejected(NamedTuple):
    """A line that is no event. `line` counts from 1 at the piece's first line."""

    line: int
    reason: str
    message: str
    event: str


class Account(NamedTuple):
    """What became of the lines of a piece."""

    piece: Piece
    lines: int
    events: int
    outcomes: Counter[str]
    facts: int
    """How many facts the accepted events gave: of a merge none, of a referral two where it names two persons."""
    newest: int | None
    first_rejected: list[Rejected]
    rejected: list[Run]
    """All of them, where they are kept."""


def line_rows(piece: Piece, decoder: Decoder) -> Iterator[Row]:
    """The lines of a piece as events."""
    decode = decoder.decode
    for number, value, size in lines_in(piece):
        yield Row(number, value, size, decode(value, None) if value else None)


class Reading:
    """Reads one piece. Facts before `until` (ms) go to `gathering`; rejected lines to `aside`."""

    def __init__(self, gathering: Gathering, until: int | None, aside: Path | None) -> None:
        self._gathering, self._until = gathering, until
        self._facts = 0
        self._aside = Spool(aside.parent, aside.name, 1, REJECTED_BUDGET) if aside else None
        self._outcomes: Counter[str] = Counter()
        self._newest: int | None = None
        self._first_rejected: list[Rejected] = []

    def read(self, piece: Piece, rows: Iterable[Row], tell: Tell, keep: bool) -> Account:
        """Take all rows of a piece. `keep`: rejected ones may stay in memory."""
        number = size = events = told = 0
        for number, value, length, decided in rows:
            size += length
            if decided is None:
                continue
            events += 1
            if isinstance(decided, tuple):
                self._refuse(number, value, decided)
            else:
                self._keep(decided)
            if events - told >= TELL_EVERY:
                tell(size, events - told)
                size, told = 0, events
        tell(size, events - told)
        aside = self._aside.runs(keep)[0] if self._aside else []
        return Account(piece, number, events, self._outcomes, self._facts, self._newest, self._first_rejected, aside)

    def _keep(self, fact: Fact) -> None:
        time = fact.time
        if self._until is not None and time >= self._until:
            self._outcomes["after --until"] += 1
            return
        if self._newest is None or time > self._newest:
            self._newest = time
        facts = self._gathering.add(fact)
        self._facts += facts
        if not facts:
            self._outcomes["accepted"] += 1

    def _refuse(self, number: int, value: bytes, refusal: Refusal) -> None:
        self._outcomes[refusal.outcome] += 1
        if refusal.outcome != "rejected":
            return
        if len(self._first_rejected) < SHOWN_REJECTED:
            self._first_rejected.append(Rejected(number, refusal.reason, refusal.message, ""))
        if self._aside is not None:
            rejected = Rejected(number, refusal.reason, refusal.message, value.decode(errors="replace"))
            self._aside.add(number.to_bytes(8, "big") + msgspec.msgpack.encode(rejected))


_rejected = msgspec.msgpack.Decoder(Rejected).decode


def rejected_of(runs: Sequence[Run], place: Path) -> Iterator[Rejected]:
    """The rejected lines in the runs of an account, in their order."""
    for record in merged(runs, place):
        yield _rejected(memoryview(record)[8:])
