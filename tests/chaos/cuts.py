"""Bad networks of every kind between two workers and their broker: on both ways at once, or on the way of one alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import Random

from tests.chaos.arena import Arena
from tests.chaos.brokers import finish
from tests.chaos.cluster import Cluster, Lane
from tests.chaos.proxy import Kind
from tests.chaos.siege import Crew, Order, Siege, patiently
from tests.chaos.table import Row
from tests.pipeline import Deployment
from tests.workers import Worker

RATE = 300
LEAST_S, MOST_S, MOST_OF_FEW_S = 1.0, 90.0, 10.0
FEW = 8
"""With fewer cuts than kinds of fault, none is longer than `MOST_OF_FEW_S`."""
WAYS = ("left", "right")
FAIR = {Kind.DELAY, Kind.DRIP}
"""Faults that let everything through in the end: nothing can be said of how little came through meanwhile."""


def cuts(arena: Arena, times: int) -> Row:
    """The network fails in every way in turn, for 1 to 90 s, for both workers or for one of them."""
    row = Row("cuts", times)
    with Cluster(arena.home / row.name, 1, WAYS, arena.seed) as cluster:
        own = Arena(cluster.bootstrap, arena.home, arena.seed)
        with own.deployment(row.name) as made, Order(made) as order, crew_of(made, cluster) as crew:
            crew.wait_ready()
            siege = Siege(made, row)
            with own.load(made, RATE) as load:
                for kind, seconds, ways in planned(arena.chance(row.name), times):
                    crew.wait_ready()
                    siege.wait_work()
                    cut(kind, seconds, [cluster.lanes[way] for way in ways], row)
                    took = siege.catch_up()
                    words = f"{kind.value} of {seconds:.0f} s, {' and '.join(ways)}, worked off in {took:.1f} s"
                    row.notes.append(words)
                    arena.say(row, row.proven, words)
                siege.wait_work()
            finish(own, row, siege, crew, order)
            if sum(patiently(made, lambda: made.ends(made.sources)).values()) < load.sent:
                row.failures.append("acknowledged events are no longer in their topics")
            own.judge(made, row)
    return row


def crew_of(made: Deployment, cluster: Cluster) -> Crew:
    """Two workers, each with a way of its own to the broker."""

    def hire(way: str, log: str) -> Worker:
        return Worker({**made.given, "kafka.bootstrap": cluster.lanes[way].bootstrap}, made.home, log)

    return Crew(made, {way: lambda log, way=way: hire(way, log) for way in WAYS})  # type: ignore[misc]


def planned(chance: Random, times: int) -> list[tuple[Kind, float, Sequence[str]]]:
    """Every kind as often as any other, long and short ones, on both ways or on one."""
    most = MOST_S if times > FEW else MOST_OF_FEW_S
    kinds: list[Kind] = []
    while len(kinds) < times:
        kinds += chance.sample(list(Kind), len(Kind))
    found: list[tuple[Kind, float, Sequence[str]]] = []
    for number, kind in enumerate(kinds[:times]):
        # Long ones are rarer than short ones, and the longest is sure to be there.
        seconds = most if number == times // 2 else LEAST_S + (most - LEAST_S) * chance.random() ** 2
        found.append((kind, seconds, chance.choice((WAYS, WAYS[:1], WAYS[1:]))))
    return found


def cut(kind: Kind, seconds: float, lanes: Sequence[Lane], row: Row) -> None:
    """Let a fault begin on every lane, last and end; it is proven when each lane has done to bytes what its kind does."""
    for lane in lanes:
        lane.fault(kind)
    time.sleep(seconds)
    unproven = [lane.name for lane in lanes if not lane.done().proves(kind)]
    for lane in lanes:
        lane.restore()
    if unproven:
        row.failures.append(f"{kind.value} of {seconds:.1f} s did nothing on {', '.join(unproven)}")
    else:
        row.proven += 1
