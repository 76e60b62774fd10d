"""Label values that events name freely: of each label the most frequent are shown, the rest is `other`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from lifestage.kpi_contribute import BY_CAMPAIGN, BY_CHANNEL, Sums
from lifestage.kpi_gather import OTHER, Cost

VALUES_MAX = 20
"""Values of a label that events name freely; the most frequent stay, the rest is `other`."""
CAMPAIGNS_MAX = 6
"""The same of campaigns, each of which is told by eight sums."""


class Kind(NamedTuple):
    """A label, or two that belong together, whose values events name freely."""

    label: str
    """What it is called."""
    labels: tuple[str, ...]
    most: int = VALUES_MAX
    """Values that are shown."""
    by: str = ""
    """At the end of the names of all sums that have it, where these are counted together."""


KINDS = {
    BY_CHANNEL: Kind("channel", ("channel",), by=BY_CHANNEL),
    BY_CAMPAIGN: Kind("campaign", ("campaign",), CAMPAIGNS_MAX, BY_CAMPAIGN),
    "sessions_by_source": Kind("source", ("source", "medium")),
    "social_engagement": Kind("kind", ("kind",)),
}
"""By what their values are counted: channels of all sums together, and so campaigns."""
_SHARED = (BY_CHANNEL, BY_CAMPAIGN)
_MONEY = frozenset({"net_revenue" + BY_CHANNEL})
CURRENCY = Kind("currency", ("currency",))
"""The label of money, of whose values a few are told."""
Labels = tuple[str, ...]
Key = tuple[str, ...]
"""The name of a sum and its label values."""
Named = Callable[[], Iterable[tuple[Key, int]]]
"""Gives sums whose labels events name freely, as often as asked; those of one `place_of` follow each other."""


def place_of(key: Key) -> Key | None:
    """By what label values are counted, and these: by the sum, but channels, and campaigns, of all sums together. None: they are not free."""
    name = key[0]
    if name.endswith(_SHARED):
        return name[name.rindex("/") :], key[-1]
    return key if key[0] in KINDS else None


def in_other(key: Key) -> Key:
    """The sum to which one with free labels is added whose values are not told apart; whose money it is stays."""
    if key[0].endswith(_SHARED):
        return *key[:-1], OTHER
    return key[0], *(OTHER for _ in key[1:])


def weight_of(key: Key, n: int) -> int:
    """What a sum tells of how frequent its label values are: what is money, nothing."""
    return 0 if key[0] in _MONEY else n


def divided(sums: Sums) -> tuple[Sums, Named]:
    """Sums without free labels, and those with them."""
    free = sorted((place, key, n) for key, n in sums.items() if (place := place_of(key)) is not None)
    plain = Counter({key: n for key, n in sums.items() if place_of(key) is None})
    return plain, lambda: ((key, n) for _, key, n in free)


def bounded(plain: Sums, named: Named, costs: Sequence[Cost]) -> tuple[Sums, list[Cost]]:
    """All sums with at most `Kind.most` values of each free label; what is left over is added up as `other`. Exact: `named`
    is gone through twice, and never held.

    Of costs only those go there whose customers do: what a channel cost that brought nobody is borne by nobody.
    """
    kept = _most(named())
    spent, over = {cost.channel for cost in costs}, set()
    found: Sums = Counter(plain)
    for key, n in named():
        place = place_of(key)
        if place is None or place in kept:
            found[key] += n
            continue
        found[in_other(key)] += n
        if place[0] == BY_CHANNEL and place[1] in spent:
            over.add(place[1])
    return found, [cost._replace(channel=OTHER) if cost.channel in over else cost for cost in costs]


def _most(named: Iterable[tuple[Key, int]]) -> set[Key | None]:
    best: dict[str, list[tuple[int, Key]]] = {}
    for place, group in groupby(named, key=lambda pair: place_of(pair[0])):
        if place is not None:
            theirs = best.setdefault(place[0], [])
            theirs.append((-sum(weight_of(key, n) for key, n in group), place))
            if len(theirs) > 50 * VALUES_MAX:
                theirs[:] = sorted(theirs)[:VALUES_MAX]
    return {place for kind, theirs in best.items() for _, place in sorted(theirs)[: KINDS[kind].most]}
