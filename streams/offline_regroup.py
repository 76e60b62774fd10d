"""Facts of ids that belong to somebody else go to where that person's facts are, in sorted runs again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec

from lifestage.keys import ANONYMOUS, class_of
from lifestage.resolve import Resolver, Stay, silences
from streams.offline_gather import part_of
from streams.offline_merge import FAN_IN, merged
from streams.offline_records import fact_in, key_in, named_line, named_record, order_in, silence_record
from streams.offline_spill import Run, Spool


class Move(NamedTuple):
    """Where the facts of an id go, which belonged to somebody from `joined` on (ms)."""

    joined: int | None
    stays: tuple[Stay, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Move).decode


def moves_by_part(resolver: Resolver, spool: Spool, parts: int, facts: Sequence[Sequence[Run]]) -> list[list[Run]]:
    """Of each part in which there are `facts` the ids whose facts go elsewhere, as runs."""
    for id in resolver.ids():
        part = part_of(id, parts)
        if facts[part]:
            spool.add(named_record(id, _encode(Move(resolver.joined(id), resolver.stays(id)))), part)
    return spool.runs()


def moves_in(runs: Sequence[Run], place: Path, fan_in: int = FAN_IN) -> dict[bytes, Move]:
    """The ids of a part whose facts go elsewhere."""
    return {key_in(record): _decode(named_line(record)) for record in merged(runs, place, fan_in)}


class Regrouping:
    """Gives the facts of a part's moving ids to `moved`, under the key of whoever they belong to.

    Silences are told that are longer than `least` (ms; None: nobody asks), before an id was linked.
    """

    def __init__(self, moved: Spool, parts: int, least: int | None) -> None:
        self._moved, self._parts, self._least = moved, parts, least

    def take(self, records: Iterable[bytes], moves: dict[bytes, Move]) -> None:
        """Take the facts of ids that move, in order."""
        for raw, of_one in groupby(records, key=key_in):
            move, id = moves[raw], raw.decode()
            passing = self._passing(of_one, len(raw), move)
            if self._least is not None and move.joined is not None and class_of(id) <= class_of(ANONYMOUS):
                to = move.stays[0].root
                facts = (fact_in(record, len(raw)) for record in passing)
                for silence in silences(id, facts, move.joined, self._least):
                    self._moved.add(silence_record(to.encode(), silence), part_of(to, self._parts))
            for _ in passing:
                pass

    def _passing(self, records: Iterable[bytes], after: int, move: Move) -> Iterator[bytes]:
        """Each record, once it is where it belongs."""
        stays = iter(move.stays)
        until, root = next(stays)
        to, part = root.encode(), part_of(root, self._parts)
        for record in records:
            while until is not None and order_in(record, after) >= until:
                until, root = next(stays)
                to, part = root.encode(), part_of(root, self._parts)
            self._moved.add(to + record[after:], part)
            yield record
