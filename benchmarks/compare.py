"""Whether two contestants said the same about the same events.

They read three topics at their own pace, so a customer's events meet in different orders, and a fact that comes late
makes a contestant correct what it announced. What must be the same whatever the order is the *path*: every move of
every customer with its instant, once superseded changes are taken out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

Moves = tuple[tuple[str, str | None], ...]
"""(entered_at, stage), rising."""


class Step(msgspec.Struct):
    """One entry of a correction's `path`."""

    stage: str | None
    entered_at: str


class Told(msgspec.Struct):
    """What is read of a change's value."""

    customer_id: str
    seq: int
    stage: str | None
    previous_stage: str | None
    entered_at: str
    kind: str
    supersedes: tuple[str, ...] = ()
    path: tuple[Step, ...] = ()


class Outcome(NamedTuple):
    """What one contestant said in all."""

    paths: Mapping[str, Moves]
    """By customer."""
    announced: int
    """Changes, each seq once."""
    corrections: int


class BrokenHistoryError(ValueError):
    """A customer's changes are no history: a seq is missing, or one does not go on where the last ended."""


_decode = msgspec.json.Decoder(Told).decode


def outcome_of(changes: Iterable[tuple[str, bytes]]) -> Outcome:
    """What (id, value) of all records of `stage-changes`, in any order, say. Raises `BrokenHistoryError`."""
    told: dict[str, dict[int, tuple[str, Told]]] = {}
    for id, value in changes:
        change = _decode(value)
        told.setdefault(change.customer_id, {})[change.seq] = (id, change)
    paths = {customer: _path(customer, by_seq) for customer, by_seq in told.items()}
    kinds = Counter(change.kind for by_seq in told.values() for _, change in by_seq.values())
    return Outcome(paths, kinds.total(), kinds["correction"])


def _path(customer: str, by_seq: Mapping[int, tuple[str, Told]]) -> Moves:
    standing: dict[str, list[tuple[str, str | None]]] = {}
    stage: str | None = None
    for seq in range(1, len(by_seq) + 1):
        if seq not in by_seq:
            raise BrokenHistoryError(f"customer {customer}: {len(by_seq)} changes, but none with seq {seq}")
        id, change = by_seq[seq]
        if change.previous_stage != stage:
            raise BrokenHistoryError(
                f"customer {customer}: change {seq} goes on from {change.previous_stage}, after one to {stage}"
            )
        stage = change.stage
        for gone in change.supersedes:
            standing.pop(gone, None)
        if change.kind == "correction":
            standing[id] = [(step.entered_at, step.stage) for step in change.path]
        else:
            standing[id] = [(change.entered_at, change.stage)]
    # as instants: of texts, one of a whole second stands behind those of its second, for "Z" comes after "."
    return tuple(
        sorted(
            (move for moves in standing.values() for move in moves), key=lambda move: datetime.fromisoformat(move[0])
        )
    )


def transitions(paths: Mapping[str, Moves]) -> dict[tuple[str, str], int]:
    """How many moves there are from one stage to another; "" stands for no stage."""
    found: Counter[tuple[str, str]] = Counter()
    for moves in paths.values():
        before = ""
        for _, stage in moves:
            found[before, stage or ""] += 1
            before = stage or ""
    return dict(sorted(found.items()))


def difference(expected: Mapping[str, Moves], found: Mapping[str, Moves]) -> str:
    """Empty when both are the same; else how many customers differ, and the first of them."""
    wrong = [c for c in sorted({*expected, *found}) if expected.get(c) != found.get(c)]
    if not wrong:
        return ""
    first = wrong[0]
    return (
        f"{len(wrong)} of {len(expected)} customers differ, such as {first}: "
        f"expected {expected.get(first)}, found {found.get(first)}"
    )
