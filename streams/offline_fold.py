"""Sorted facts are folded customer by customer, under one plan or under two.

A customer's facts stream past in order of time, so that only the profile is in memory, however many they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec

from lifestage.backtest import standings
from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.facts import Fact
from lifestage.identity import HOLDING
from lifestage.keys import COMPANY
from lifestage.kpi_contribute import Sums
from lifestage.profile import Profile
from lifestage.replay import Follower, Path, time_of
from streams.offline_read import TELL_EVERY, Tell
from streams.offline_records import by_customer, change_record, named_record
from streams.offline_spill import Run, Spool

Moves = Counter[tuple[str | None, str | None]]
"""How often from which stage to which."""


class Folded(NamedTuple):
    """What came of a part. `population` and `moves` are one for each plan."""

    customers: int
    outcomes: Counter[str]
    population: list[Counter[str]]
    moves: list[Moves]
    differ: Moves
    """Of two plans: customers by (stage under the first, stage under the second), where these are not the same."""
    told: list[Run]
    """Of one plan: its changes, as `change_record`. Of two: the customers who differ, as `named_record`."""
    sums: Sums
    """Of KPIs (`streams.offline_kpis`), whose `told` are single values."""


class Telling(Path):
    """A `Tally` that counts moves, and hands changes on."""

    def __init__(self, told: Spool | None) -> None:
        super().__init__()
        self.moves: Moves = Counter()
        self.count = 0
        self._told = told

    def change(self, announced: Announced) -> None:
        """A change to send."""
        self.count += 1
        self.moves[announced.data.previous_stage, announced.data.stage] += 1
        if self._told is not None:
            self._told.add(change_record(announced))


class Folding:
    """Follows customers up to `end` (ms, exclusive), under one plan or two. What is told goes to `told`.

    `names` are those of the two sides in a document about a customer who differs.
    """

    def __init__(self, rules: Sequence[Rules], names: Sequence[str], end: int, told: Spool) -> None:
        self._rules, self._names, self._end, self._told = rules, names, end, told
        self._tallies = [Telling(told if len(rules) == 1 else None) for _ in rules]
        self._customers = 0
        self._differ: Moves = Counter()

    def fold(self, records: Iterable[bytes], tell: Tell, keep: bool) -> Folded:
        """Follow all customers of sorted fact records. `keep`: what is told may stay in memory."""
        done = changes = 0
        for key, silences, facts in by_customer(records):
            if key.startswith(HOLDING):
                done += self._nobodys(facts)
                continue
            followers = [
                Follower(key, rules, tally, silences) for rules, tally in zip(self._rules, self._tallies, strict=True)
            ]
            for instant in instants(facts):
                for follower in followers:
                    follower.take(instant)
                done += len(instant)
                if done >= TELL_EVERY:
                    count = self._tallies[0].count
                    tell(done, count - changes)
                    done, changes = 0, count
            self._finish(key, [follower.finish(self._end) for follower in followers])
        tell(done, self._tallies[0].count - changes)
        tallies, told = self._tallies, self._told.runs(keep)[0]
        population = [tally.population for tally in tallies]
        moves = [tally.moves for tally in tallies]
        return Folded(self._customers, tallies[0].outcomes, population, moves, self._differ, told, Counter())

    def _nobodys(self, facts: Iterable[Fact]) -> int:
        """Facts of an order or ticket of which nobody says whose it is."""
        count = sum(1 for _ in facts)
        for tally in self._tallies:
            tally.outcomes["suppressed"] += count
        return count

    def _finish(self, key: str, ends: Sequence[Profile]) -> None:
        if key.startswith(COMPANY):
            return
        self._customers += 1
        if len(ends) == 1:
            return
        sides = standings((ends[0], self._rules[0]), (ends[1], self._rules[1]), self._end)
        if sides is None:
            return
        self._differ[sides[0].stage, sides[1].stage] += 1
        document = {"customer_id": key, **dict(zip(self._names, sides, strict=True))}
        self._told.add(named_record(key, msgspec.json.encode(document)))


def instants(facts: Iterable[Fact]) -> Iterator[list[Fact]]:
    """The facts of each instant together."""
    for _, together in groupby(facts, key=time_of):
        yield list(together)
