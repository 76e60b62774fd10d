"""File replay: a set of facts in any order becomes the path of every customer, as if each had come in its time.

Equals the live history once superseded changes are taken out of it. Lateness and the future check do not apply.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from lifestage.cause import Cause, Clock, Rules
from lifestage.change import Announced
from lifestage.facts import Fact, Referred, encode
from lifestage.identity import HOLDING
from lifestage.keys import key_of
from lifestage.moments import parse
from lifestage.profile import Profile
from lifestage.resolve import Forgotten, Silence, decided, forgotten, persons
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
    """One person's replay under one plan: the facts of each instant in rising order, then the end.

    `silences` are those of the person's ids before they were linked: what the plan had forgotten by then does not count.
    """

    __slots__ = ("_forgotten", "_key", "_path", "_rules", "profile")

    def __init__(self, key: str, rules: Rules, path: Path, silences: Sequence[Silence] = ()) -> None:
        self._key, self._path = key, path
        self._rules = rules
        self._forgotten: Forgotten | None = None
        if silences:
            held = rules.plan.plan.forget_anonymous
            self._forgotten = forgotten(silences, None if rules.announce_anonymous else held, held)
        self.profile = Profile()

    def take(self, together: Sequence[Fact]) -> list[Fact]:
        """Fold all facts of one instant, sorted by `in_order`, later than any before. Returns those that are no repeats."""
        return self.fold(self.left(together))

    def fold(self, together: Sequence[Fact]) -> list[Fact]:
        """The same of those that are left of them."""
        path = self._path
        counts = path.outcomes
        outcomes = take_together(self.profile, self._key, together, _CLOCK, self._rules, path)
        joined = []
        for fact, outcome in zip(together, outcomes, strict=True):
            if type(fact) is not Referred:  # the other side of an event that is counted
                counts[outcome] += 1
            if outcome != "duplicate":
                joined.append(fact)
        return joined

    def left(self, together: Sequence[Fact]) -> Sequence[Fact]:
        """Without what the plan had forgotten before the person was known."""
        forgotten = self._forgotten
        if forgotten is None:
            return together
        left = []
        for fact in together:
            key = key_of(fact)
            if key is not None and forgotten.has(key, fact):
                self._path.outcomes["suppressed" if key.startswith(HOLDING) else "accepted"] += 1
            else:
                left.append(fact)
        return left

    def finish(self, end: int) -> Profile:
        """Let time pass up to `end` (ms, exclusive); the profile as it stands then."""
        advance(self.profile, self._key, end, Cause(None), _CLOCK, self._rules, self._path)
        return self.profile


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """Facts by (time, source, id). What differs although these are equal is sorted too, so that no order of arrival shows."""
    return sorted(facts, key=lambda f: (f.time, f.source, f.id, encode(f)))


def replay(facts: Iterable[Fact], rules: Rules, until: int | None = None) -> Path:
    """The changes of all persons by (time, customer, seq), from facts with time < `until` and timers due < `until`.

    Without `until` time ends with the newest fact of all, inclusive. Facts come under the ids that their events name: whose
    they are is worked out here.
    """
    known = [fact for fact in facts if until is None or fact.time < until]
    end = until if until is not None else max((fact.time + 1 for fact in known), default=0)
    path = Path()
    for person in persons(known, rules.link)[0]:
        if person.root.startswith(HOLDING):
            path.outcomes["suppressed"] += len(person.facts)
            continue
        for _ in replay_customer(person.root, person.facts, rules, end, path, person.silences):
            pass
    path.outcomes.update(decided(known))
    path.changes.sort(key=lambda a: (parse(a.time), a.partitionkey, a.data.seq))
    return path


def replay_customer(
    key: str, facts: Iterable[Fact], rules: Rules, end: int, path: Path, silences: Sequence[Silence] = ()
) -> Iterator[Profile]:
    """Fold one customer's facts, in any order, then let time pass up to `end` (ms, exclusive).

    Yields the profile after each instant at which there are facts and once at the end.
    """
    follower = Follower(key, rules, path, silences)
    for _, together in groupby(in_order(facts), key=time_of):
        follower.take(list(together))
        yield follower.profile
    yield follower.finish(end)


def time_of(fact: Fact) -> int:
    """The instant of a fact, ms."""
    return fact.time
