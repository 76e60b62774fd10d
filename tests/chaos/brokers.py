"""Brokers that are restarted in good order and killed, under load, with two workers: nothing acknowledged is lost."""

from __future__ import annotations

import time
from pathlib import Path

from streams.embedded.kafka import KafkaServer
from tests.chaos.arena import Arena
from tests.chaos.cluster import Cluster
from tests.chaos.siege import Crew, Order, Siege, patiently, stale
from tests.chaos.table import Row
from tests.workers import Worker

RATE = 400
DOWN_S = (0.0, 4.0)
LONG_EVERY, LONG_S = 7, 35.0
"""Every seventh outage is longer than a session and than `kafka.request_timeout_s`."""


def broker_faults(arena: Arena, times: int) -> Row:
    """The only broker is stopped and killed in turn."""
    return _faults(arena, Row("broker_faults", times), 1)


def broker_faults_of_three(arena: Arena, times: int) -> Row:
    """Of three brokers with two copies in sync at least, one after the other is stopped and killed in turn."""
    return _faults(arena, Row("broker_faults_of_three", times), 3)


def _faults(arena: Arena, row: Row, brokers: int) -> Row:
    with Cluster(arena.home / row.name, brokers, seed=arena.seed) as cluster:
        own = Arena(cluster.bootstrap, arena.home, arena.seed)
        chance = arena.chance(row.name)
        with (
            own.deployment(row.name, topics__replication=str(brokers)) as made,
            Order(made) as order,
            Crew(made, {name: lambda log: Worker(made.given, made.home, log) for name in ("a", "b")}) as crew,
        ):
            crew.wait_ready()
            siege = Siege(made, row)
            with own.load(made, RATE) as load:
                for number in range(times := row.asked):
                    crew.wait_ready()
                    siege.wait_work()
                    killed = number % 2 == 1
                    seconds = LONG_S if number % LONG_EVERY == LONG_EVERY - 1 else chance.uniform(*DOWN_S)
                    outage(cluster, chance.choice(cluster.nodes), seconds, killed=killed)
                    siege.catch_up()
                    row.proven += 1
                    arena.say(row, row.proven, f"{'kill -9' if killed else 'restart'} {row.proven} of {times}")
                siege.wait_work()
            finish(own, row, siege, crew, order)
            if sum(patiently(made, lambda: made.ends(made.sources)).values()) < load.sent:
                row.failures.append("acknowledged events are no longer in their topics")
            own.judge(made, row)
    return row


def outage(cluster: Cluster, node: KafkaServer, seconds: float, *, killed: bool) -> None:
    """Stop or kill a broker, and start it again after `seconds`. Raises when its process did not go or did not come."""
    was = node.pid
    if was is None:
        raise RuntimeError(f"{node.home} does not run")
    node.kill() if killed else node.stop()
    if Path(f"/proc/{was}").exists():
        raise RuntimeError(f"process {was} of {node.home} is still there")
    time.sleep(seconds)
    cluster.start()
    if node.pid in {None, was}:
        raise RuntimeError(f"{node.home} did not come back")


def finish(own: Arena, row: Row, siege: Siege, crew: Crew, order: Order) -> None:
    """Let everything be folded and all time pass, stop the workers, and say what was seen on the way."""
    siege.catch_up()
    row.failures += patiently(siege.made, lambda: stale(siege.made))[:20]
    own.finish(siege.made, [])
    row.failures += crew.dismiss() + order.ahead
    if not order.looks:
        row.failures.append("nobody could look at the order")
    row.notes.append(f"{len(crew.ends)} workers ended and were started again, {order.looks} looks at what is durable")
    row.notes += [f"{count} × {words}" for words, count in crew.why().items()]
