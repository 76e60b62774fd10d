"""Persons are followed for their KPIs: path and facts together. Of facts in memory all is found here; `streams.offline_kpis` does
the same with files of any size."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.facts import Fact
from lifestage.identity import HOLDING
from lifestage.keys import COMPANY
from lifestage.kpi_contribute import Bought, Spreads, Sums, bought, company, contribute
from lifestage.kpi_costs import Shares
from lifestage.kpi_formulas import Found, summary
from lifestage.kpi_gather import NONE, Cost, Gather, Span
from lifestage.kpi_labels import bounded, divided
from lifestage.kpi_path import Step, stand, walk
from lifestage.kpi_worth import Worths
from lifestage.moments import parse
from lifestage.replay import Follower, Path, time_of
from lifestage.resolve import Silence, persons


class Walked(Path):
    """A `Tally` that keeps the path of the person at hand, and counts all changes."""

    def __init__(self) -> None:
        super().__init__()
        self.path: list[Step] = []
        self.count = 0

    def change(self, announced: Announced) -> None:
        """A change to send."""
        self.count += 1
        self.path.append((parse(announced.time), announced.data.stage))


class Told(NamedTuple):
    """What one person says beside the sums; of a company record its costs."""

    spreads: Spreads
    bought: list[Bought]
    costs: list[Cost]


class Following:
    """One person, or a company record: the facts of each instant in rising order, then the end."""

    def __init__(self, key: str, rules: Rules, span: Span, tally: Walked, silences: Sequence[Silence]) -> None:
        tally.path = []
        self._key, self._rules, self._tally = key, rules, tally
        self._follower = Follower(key, rules, tally, silences)
        self._found = Gather(span)

    def take(self, together: Sequence[Fact]) -> None:
        """All facts of one instant."""
        left = self._follower.left(together)
        for fact in left:
            self._found.hear(fact)
        for fact in self._follower.fold(left):
            self._found.take(fact)

    def finish(self, sums: Sums) -> Told:
        """Add to the sums what the window's end leaves."""
        found, plan, key = self._found, self._rules.plan, self._key
        profile = self._follower.finish(found.span.end + 1)
        if key.startswith(COMPANY):
            company(found, sums)
            return Told([], [], found.costs)
        spreads = contribute(found, profile, plan.terms, sums)
        spreads += walk(self._tally.path, plan, found.span, sums)
        stand(profile.stage, self._tally.path, plan, sums)
        return Told(spreads, bought(key, found, profile, plan.terms, self._rules.id_key), [])


def found_in(facts: Iterable[Fact], rules: Rules, span: Span) -> Found:
    """What the formulas need of facts in any order, which may come under any ids of their persons."""
    known = [fact for fact in facts if fact.time <= span.end]
    sums: Sums = Counter()
    tally, told = Walked(), Told([], [], [])
    for person in persons(known, rules.link)[0]:
        if person.root.startswith(HOLDING):
            continue
        following = Following(person.root, rules, span, tally, person.silences)
        for _, together in groupby(person.facts, key=time_of):
            following.take(list(together))
        theirs = following.finish(sums)
        told.spreads.extend(theirs.spreads)
        told.bought.extend(theirs.bought)
        told.costs.extend(theirs.costs)
    worths = Worths(Shares(told.costs, span.end, NONE))
    for one in told.bought:
        worths.count(one)
    worths.settle()
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for name, label, value in [*told.spreads, *_worths(worths, told.bought)]:
        groups[name, label].append(value)
    shown, costs = bounded(*divided(sums), told.costs)
    return Found(shown, costs, {group: summary(sorted(one), len(one)) for group, one in groups.items()}, span)


def _worths(worths: Worths, all_bought: Iterable[Bought]) -> Iterator[tuple[str, str, int]]:
    for one in all_bought:
        for name, worth in worths.of(one).items():
            yield name, one.currency, round(worth)
