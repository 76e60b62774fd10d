"""Which values of the labels that events name freely a worker tells apart, and how many it hides in `other`.

Workers choose each for itself, and rules add up what they show. So that no sum over workers is of a part, a worker tells
apart only what all of its partitions do, and where it hides anything it names what it tells apart: what every worker that
hides anything tells apart is whole (`lifestage.kpi_rules`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from fractions import Fraction
from itertools import product
from typing import Final, NamedTuple

from lifestage.kpi_contribute import BY_CAMPAIGN, BY_CHANNEL
from lifestage.kpi_days import SHUT, Name, places_max
from lifestage.kpi_gather import DIRECT, NONE, OTHER
from lifestage.kpi_labels import KINDS, VALUES_MAX, place_of, weight_of

USUAL: Final = frozenset({DIRECT, NONE, OTHER})
"""Values that are told apart wherever any are."""
Cost = tuple[str, str, str]
"""Category, currency and channel."""


class Limits(NamedTuple):
    """How many currencies, channels and campaigns are told apart at most, and values of a label that one sum has alone."""

    currencies: int
    values: int = VALUES_MAX
    alone: int = VALUES_MAX

    def of(self, kind: str) -> int:
        """Values of a label by what it is counted."""
        return min(KINDS[kind].most, self.values if KINDS[kind].by else self.alone)


LIMITS: Final = (
    *(Limits(4, values) for values in (VALUES_MAX, 16, 12, 9, 6, 4, 2)),
    Limits(3, 4), Limits(3, 2), Limits(2, 6), Limits(2, 4), Limits(2, 2), Limits(1, 2), Limits(1, 0), Limits(1, 0, 4), Limits(0, 0, 4),
    Limits(0, 0, 0),
)  # fmt: skip
"""From the most on: of a page that would be too long the next is taken. A channel has two series, and four more of each currency; a
currency has 130 of its own; sources and kinds cost little, and give way last. With the last one each page has room, whatever else is on it."""


class Told(NamedTuple):
    """Of one label: the values that are told apart where others are hidden, and how many are, at least."""

    values: frozenset[tuple[str, ...]]
    hidden: int


def chosen(
    sums: Mapping[Name, int], costs: Mapping[Cost, Fraction], places: Collection[Collection[Name]], limits: Limits
) -> dict[str, Told]:
    """Of each label by what it is counted (`kpi_labels.KINDS`): the most frequent values of those that no partition has in
    `other`. `places`: what each partition tells apart.
    """
    weights: defaultdict[str, Counter[Name]] = defaultdict(Counter)
    for name, n in sums.items():
        place = place_of(name)
        if place is not None:
            weights[place[0]][place] += weight_of(name, n)
    dear: Counter[Name] = Counter()
    for (_, _, channel), minor in costs.items():
        weights[BY_CHANNEL][BY_CHANNEL, channel] += 0
        dear[BY_CHANNEL, channel] += round(minor)
    named: defaultdict[str, list[set[Name]]] = defaultdict(list)
    full: defaultdict[str, list[set[Name]]] = defaultdict(list)
    for theirs in places:
        of = defaultdict[str, set[Name]](set)
        for place in theirs:
            of[place[0]].add(place)
        for kind in KINDS:
            named[kind].append(of[kind])
            if len(of[kind]) >= places_max(kind) or (kind == BY_CAMPAIGN and of[SHUT]):
                full[kind].append(of[kind])
    return {kind: _told(kind, limits.of(kind), weights[kind], dear, named[kind], full[kind]) for kind in KINDS}


def _told(
    kind: str,
    most: int,
    weights: Counter[Name],
    dear: Counter[Name],
    named: Collection[set[Name]],
    full: Collection[set[Name]],
) -> Told:
    """`full`: of the partitions that may have values in `other` what they tell apart."""
    usual = {*product(USUAL if most else [OTHER], repeat=len(KINDS[kind].labels))}
    seen = {place for place in weights if place[1:] not in usual}
    whole = {place for place in seen.union(*named) if all(place in known for known in full)}
    best = sorted(whole, key=lambda place: (-weights[place], -dear[place], place))[:most]
    hidden = len(seen.difference(best)) + len(full)
    return Told(frozenset({place[1:] for place in best}.union(usual)), hidden)


def currencies(weights: Mapping[str, int], most: int) -> Told:
    """Of currencies those of the most orders and customers."""
    best = [code for _, code in sorted((-n, code) for code, n in weights.items())[:most]]
    return Told(frozenset((code,) for code in best), len(weights) - len(best))
