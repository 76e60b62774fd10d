"""File replay: a set of facts in any order becomes the path of every customer, as if each had come in its time.

Equals the live history once superseded changes are taken out of it. Lateness and the future check do not apply.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from lifestage.cause import Cause, Clock, Rules
from lifestage.change import Announced
from lifestage.facts import Fact, encode
from lifestage.keys import key_of
from lifestage.moments import parse
from lifestage.profile import Profile
from lifestage.step import advance, take_together

_CLOCK = Clock()


class Path:
    """A `Tally` that keeps what one replay announces, and counts."""

    def __init__(self) -> None:
        self.changes: list[Announced] = []
        self.outcomes: Counter[str] = Counter()
        self.population: Counter[str] = Counter()
        self.sums: dict[str, list[int]] = {}
        self.forgotten = 0
        self.dedupe_overflow = 0

    def change(self, announced: Announced) -> None:
        """A change to send."""
        self.changes.append(announced)

    def enter(self, stage: str | None) -> None:
        """One more stands in `stage`."""
        if stage is not None:
            self.population[stage] += 1

    def leave(self, stage: str | None) -> None:
        """One fewer stands in `stage`."""
        if stage is not None:
            self.population[stage] -= 1

    def money(self, currency: str, orders: int, gross_minor: int, net_minor: int) -> None:
        """The company's sums move by this much."""
        sums = self.sums.setdefault(currency, [0, 0, 0])
        for index, amount in enumerate((orders, gross_minor, net_minor)):
            sums[index] += amount


class Follower:
    """One customer's replay under one plan: the facts of each instant in rising order, then the end."""

    __slots__ = ("_key", "_path", "_rules", "profile")

    def __init__(self, key: str, rules: Rules, path: Path) -> None:
        self._key, self._path = key, path
        self._rules = rules
        self.profile = Profile()

    def take(self, together: Sequence[Fact]) -> None:
        """Fold all facts of one instant, sorted by `in_order`, later than any before."""
        path = self._path
        path.outcomes.update(take_together(self.profile, self._key, together, _CLOCK, self._rules, path))

    def finish(self, end: int) -> Profile:
        """Let time pass up to `end` (ms, exclusive); the profile as it stands then."""
        advance(self.profile, self._key, end, Cause(None), _CLOCK, self._rules, self._path)
        return self.profile


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """Facts by (time, source, id). What differs although these are equal is sorted too, so that no order of arrival shows."""
    return sorted(facts, key=lambda f: (f.time, f.source, f.id, encode(f)))


def replay(facts: Iterable[Fact], rules: Rules, until: int | None = None) -> Path:
    """The changes of all customers by (time, customer, seq), from facts with time < `until` and timers due < `until`.

    Without `until` time ends with the newest fact of all, inclusive.
    """
    by_key: dict[str, list[Fact]] = {}
    newest = None
    for fact in facts:
        if until is not None and fact.time >= until:
            continue
        key = key_of(fact)
        if key is None:
            raise ValueError(f"fact {fact.id!r} of source {fact.source!r} names no customer")
        by_key.setdefault(key, []).append(fact)
        newest = fact.time if newest is None or fact.time > newest else newest
    end = until if until is not None else (newest + 1 if newest is not None else 0)
    path = Path()
    for key in sorted(by_key):
        for _ in replay_customer(key, by_key[key], rules, end, path):
            pass
    path.changes.sort(key=lambda a: (parse(a.time), a.partitionkey, a.data.seq))
    return path


def replay_customer(key: str, facts: Iterable[Fact], rules: Rules, end: int, path: Path) -> Iterator[Profile]:
    """Fold one customer's facts, in any order, then let time pass up to `end` (ms, exclusive).

    Yields the profile after each instant at which there are facts and once at the end.
    """
    follower = Follower(key, rules, path)
    for _, together in groupby(in_order(facts), key=time_of):
        follower.take(list(together))
        yield follower.profile
    yield follower.finish(end)


def time_of(fact: Fact) -> int:
    """The instant of a fact, ms."""
    return fact.time
