"""Histories with an aim: what has to happen in one order for a guard to matter, which steps by chance hardly ever come to.

Of each only the order is given. Who, how much, how long, on which clock and what else happens is a matter of chance.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.simulation.events import CUSTOMERS, EVERYBODY, place_of
from tests.simulation.product import PARTITIONS

Step = tuple[str, int, int]

SHARE = 0.3
"""Of all seeds, those with a history that has an aim."""
ALL, VISITORS = range(EVERYBODY), range(CUSTOMERS, EVERYBODY)
PURCHASES, VISITS = range(2, 6), range(8, 16)
"""Kinds of events, each on time; see `events.Shop.make`."""


def flush_cut(chance: random.Random) -> list[Step]:
    """A flush that is cut in the middle spans more than the lateness: what it has kept has forgotten ids of its facts.

    While an earlier flush is on its way the next one gathers facts, a tick a week later and more facts. Some batches of
    it come in before the worker dies, so that some profiles are ahead of the marker when the log is read again.
    """
    crowd, who = chance.sample(ALL, chance.randrange(5, 8)), chance.choice(ALL)
    return [
        ("start", 0, 0),
        *(_fact(chance, each) for each in ALL),
        *_flow(chance, 12, 16),
        ("hold", 0, who),
        _fact(chance, who),
        *_flow(chance, 8, 12),
        *(_visit(chance, each) for each in crowd),
        *_flow(chance, 8, 12),
        *_long_after(chance, who),
        *_flow(chance, 16, 24),
        *(_fact(chance, each) for each in crowd),
        *_flow(chance, 8, 12),
        ("trickle", 1, 0),
        *_flow(chance, 4, 8),
        ("trickle", chance.randrange(4), 0),
        *_aside(chance),
        ("kill", 0, chance.randrange(2)),
        *_aside(chance),
    ]


def late_write(chance: random.Random) -> list[Step]:
    """What a former owner has on the wire comes in after its successor has kept more, which dies before it sees that.

    Of each owner it is what a customer did, or that a visitor was forgotten.
    """
    if chance.random() < 0.3:
        customer, ends = chance.choice(ALL), (False, False)
    else:
        customer, ends = chance.choice(VISITORS), chance.choice(((True, False), (True, False), (False, True)))
    before, after = (_happening(chance, customer, end) for end in ends)
    return [
        ("start", 0, 0),
        *(_fact(chance, each) for each in chance.sample(ALL, 3)),
        _visit(chance, customer),
        *_flow(chance, 10, 16),
        ("hold", 0, customer),
        *before,
        ("start", 0, 0),
        chance.choice((("halt", 0, 0), ("kill", 0, 0))),
        ("expire", 0, 0),
        *_flow(chance, 4, 8),
        *after,
        ("release", 0, 0),
        *_aside(chance),
        ("kill", 1, chance.randrange(2)),
        ("start", 0, 0),
        *_aside(chance),
        ("expire", 0, 0),
        *_flow(chance, 0, 12),
    ]


def revoked(chance: random.Random) -> list[Step]:
    """Workers come and go while facts are folded and not yet kept: those who stay let go, join and go on."""
    steps: list[Step] = [("start", 0, 0), *(_fact(chance, each) for each in ALL), *_flow(chance, 10, 16)]
    for moved in (("start", 0, 0), chance.choice((("start", 0, 0), ("leave", 1, 0))), ("leave", 0, 0)):
        steps += [
            *(_fact(chance, each) for each in chance.sample(ALL, 4)),
            *_flow(chance, 5, 8),
            moved,
            ("rush", 0, 0),
            ("beat", 0, 0),
            ("beat", 1, 0),
            *_flow(chance, 6, 12),
        ]
    return steps


AIMS: tuple[Callable[[random.Random], list[Step]], ...] = (flush_cut, late_write, revoked)


def directed(seed: int) -> list[Step] | None:
    """The steps of a seed whose history has an aim; None for any other."""
    chance = random.Random(f"aim of {seed}")
    return chance.choice(AIMS)(chance) if chance.random() < SHARE else None


def _happening(chance: random.Random, customer: int, end: bool) -> list[Step]:
    """Something that changes or ends what is kept of a customer, up to where it is on its way to the changelog."""
    if not end:
        return [_fact(chance, customer), *_flow(chance, 9, 14)]
    return [*_long_after(chance, customer), *_flow(chance, 20, 26)]


def _long_after(chance: random.Random, who: int) -> list[Step]:
    """Enough time for visitors to be forgotten passes, or for customers to be given up, too.

    The clock may be that of the data: somebody of another partition comes then, so that nothing else happens to `who`.
    """
    others = [other for other in ALL if place_of(other, PARTITIONS) != place_of(who, PARTITIONS)]
    return [*[("days", chance.randrange(45, 60), 0)] * chance.choice((1, 2)), _visit(chance, chance.choice(others))]


def _visit(chance: random.Random, who: int) -> Step:
    return ("produce", chance.choice(VISITS), who + EVERYBODY * chance.randrange(9_000))


def _fact(chance: random.Random, who: int) -> Step:
    return ("produce", chance.choice((*PURCHASES, *VISITS)), who + EVERYBODY * chance.randrange(9_000))


def _flow(chance: random.Random, least: int, most: int) -> list[Step]:
    """All goes well and fast for so many turns of 0.05 s, except for what is held."""
    return [("rush", 0, 0)] * chance.randint(least, most)


def _aside(chance: random.Random) -> list[Step]:
    """Mostly nothing; or something small in between."""
    if chance.random() < 0.7:
        return []
    name = chance.choice(("spin", "deliver", "wait", "beat", "compact", "produce"))
    return [(name, chance.randrange(1 << 16), chance.randrange(1 << 16))]
