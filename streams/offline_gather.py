"""Facts on their way into parts, and beside them what they say of ids: which were seen together, merges and splits."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from lifestage.facts import Fact, IdentityMerged, IdentitySplit
from lifestage.keys import ORDER, TICKET, class_of, key_of, lower_ids
from lifestage.resolve import order_of
from lifestage.sides import OF_TWO, facts_from
from streams.offline_records import act_record, fact_record, link_record
from streams.offline_spill import Run, Spool

CUSTOMER = class_of("")
BYTES_A_LINK = 512
"""Of memory for each pair of ids that is remembered as told, at the most."""
LEAST_LINKS = 10_000

_THINGS = (ORDER, TICKET)
_OF_IDS = frozenset({IdentityMerged, IdentitySplit})


def part_of(id: str, parts: int) -> int:
    """The part of an id: customers stand in the first `parts`, all other ids in as many behind them."""
    part = crc32(id.encode()) % parts
    return part if class_of(id) == CUSTOMER else parts + part


class Gathered(NamedTuple):
    """All that was gathered, as sorted runs."""

    facts: list[list[Run]]
    """Of each part."""
    links: list[Run]
    acts: list[Run]
    """Merges and splits."""
    things: frozenset[str]
    """Orders and tickets with facts that name nobody."""


class Gathering:
    """Takes facts in any order. `parts` for customers, as many for other ids; `memory` in bytes.

    `link`: events with several ids link them; then of each pair the earliest event is kept, and some others.
    """

    def __init__(self, folder: Path, name: str, parts: int, memory: int, *, link: bool = True) -> None:
        self._parts, self._link = parts, link
        self._facts = Spool(folder, f"facts-{name}", 2 * parts, memory)
        self._said = Spool(folder, f"ids-{name}", 2, max(memory // 8, 1))
        self._met: dict[str, tuple[str, int]] = {}
        self._met_max = max(LEAST_LINKS, memory // BYTES_A_LINK)
        self._things: set[str] = set()

    def add(self, fact: Fact) -> int:
        """Take what an event says: of how many it says something, none for a merge or split."""
        if type(fact) in OF_TWO:
            both = facts_from(fact)
            for one in both:
                self._add(one)
            return len(both)
        if type(fact) in _OF_IDS:
            self._said.add(act_record(fact), 1)
            return 0
        self._add(fact)
        return 1

    def _add(self, fact: Fact) -> None:
        key = fact.customer_id
        if key is not None:
            raw = key.encode()
            self._facts.add(fact_record(raw, fact), crc32(raw) % self._parts)
        else:
            key = key_of(fact)
            assert key is not None, "a decoded fact names somebody"
            raw = key.encode()
            self._facts.add(fact_record(raw, fact), self._parts + crc32(raw) % self._parts)
            if fact.email is None and fact.anonymous_id is None:
                if key.startswith(_THINGS):
                    self._things.add(key)
                return
        if self._link:
            for lower in lower_ids(fact):
                known = self._met.get(lower)
                if known is None or known[0] != key or fact.time <= known[1]:
                    self._meet(lower, key, fact)

    def _meet(self, lower: str, key: str, fact: Fact) -> None:
        if len(self._met) >= self._met_max:
            self._met.clear()
        self._met[lower] = key, fact.time
        self._said.add(link_record(lower, order_of(fact), key))

    def runs(self, keep: bool = False) -> Gathered:
        """What was gathered. `keep`: what fits into memory stays there."""
        self._met.clear()
        links, acts = self._said.runs(keep)
        return Gathered(self._facts.runs(keep), links, acts, frozenset(self._things))
