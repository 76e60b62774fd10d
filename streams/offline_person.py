"""One person's facts out of files of any size: what comes under any of their ids, in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from lifestage.facts import Fact
from lifestage.keys import ANONYMOUS, class_of
from lifestage.resolve import Kept, Resolver, Silence, order_of, silences
from streams.offline_claims import Sorting, claims_in
from streams.offline_gather import Gathering
from streams.offline_merge import merged
from streams.offline_records import fact_in, key_in
from streams.offline_spill import Run, Spool, records_of

MEMORY = 64 << 20


class Found(NamedTuple):
    """A person, by any of their ids."""

    root: str
    facts: list[Fact]
    silences: list[Silence]
    members: list[Kept]
    since: int | None
    """When the id that was asked for was linked, ms; None: it is the person's own."""


class Searching:
    """Takes facts in any order, then finds a person's. Use it in a `with`: it sorts on disk what is too much for memory."""

    def __init__(self, *, link: bool = True) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="lifestage-")
        self._folder = Path(self._home.name)
        self._gathering = Gathering(self._folder, "all", 1, MEMORY, link=link)
        self.add: Callable[[Fact], int] = self._gathering.add
        """Take a fact."""

    def find(self, id: str) -> Found:
        """Whoever `id` belongs to, and all that is theirs."""
        gathered = self._gathering.runs(keep=True)
        runs = [run for part in gathered.facts for run in part]
        sorting = Sorting([gathered], self._folder, MEMORY)
        claimed = Spool(self._folder, "claims", 1, MEMORY)
        if sorting.asked.things or sorting.asked.contested:
            for run in runs:
                for record in claims_in(records_of(run), sorting.asked):
                    claimed.add(record)
        resolver, _ = sorting.resolved(claimed.runs(keep=True)[0])
        root = resolver.root(id)
        by_id = self._facts(runs, _ids(resolver, root))
        facts = [fact for one, found in by_id.items() for fact in found if resolver.owner(one, order_of(fact)) == root]
        told = [silence for one, found in by_id.items() for silence in _silences(resolver, one, found, root)]
        return Found(root, facts, told, resolver.members(root), resolver.since(id))

    def _facts(self, runs: list[Run], ids: set[bytes]) -> dict[str, list[Fact]]:
        found: dict[str, list[Fact]] = {}
        for record in merged(runs, self._folder / "merged", kept=lambda record: key_in(record) in ids):
            raw = key_in(record)
            found.setdefault(raw.decode(), []).append(fact_in(record, len(raw)))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._home.cleanup()


def _ids(resolver: Resolver, root: str) -> set[bytes]:
    """The keys under which facts of a person may stand."""
    theirs = (id for id in resolver.ids() if any(stay.root == root for stay in resolver.stays(id)))
    return {root.encode(), *(id.encode() for id in theirs)}


def _silences(resolver: Resolver, id: str, facts: list[Fact], root: str) -> list[Silence]:
    joined = resolver.joined(id)
    if joined is None or class_of(id) > class_of(ANONYMOUS) or resolver.stays(id)[0].root != root:
        return []
    return silences(id, facts, joined, 0)
