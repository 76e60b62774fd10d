"""Workers that join, leave and are restarted one after the other, all in good order: nothing is lost, doubled or repeated."""

from __future__ import annotations

import random
import time
from itertools import count

from tests.chaos.arena import Arena
from tests.chaos.crew import Named, Watch
from tests.chaos.kills import RATE_SMALL
from tests.chaos.table import Row
from tests.pipeline import Deployment, written_by
from tests.workers import Worker

MOST = 3


def rebalances(arena: Arena, times: int) -> Row:
    """From one worker to two, to three and back to one, over and over: each joining and each leaving moves partitions that
    have work in flight, and nothing is read or told twice."""
    row, chance = Row("rebalances", times), arena.chance("rebalances")
    with arena.deployment("rebalances") as made:
        watch = Watch(made)
        crew: list[Worker] = [made.worker("w0")]
        names = (f"w{number}" for number in count(1))
        with arena.load(made, RATE_SMALL):
            before = watch.wait_spread(1, crew)
            growing = True
            while row.proven < times:
                watch.wait_work(range(made.topics.log.partitions), crew)
                began = time.monotonic()
                growing = len(crew) == 1 or (growing and len(crew) < MOST)
                if growing:
                    crew.append(made.worker(next(names)))
                else:
                    _leave(crew, chance)
                after = watch.wait_spread(len(crew), crew)
                assert after != before, f"nothing moved: {after}"
                row.proven += 1
                watch.wait_moving(crew)
                row.slowest(time.monotonic() - began)
                watch.fault()
                before = after
                arena.say(row, row.proven, f"{len(crew)} workers")
        arena.finish(made, crew)
        arena.judge(made, row)
        _expect_no_repeats(made, row)
    return row


def _leave(crew: list[Worker], chance: random.Random) -> None:
    leaver = crew.pop(chance.randrange(len(crew)))
    status = leaver.terminate(60)
    assert status == 0, f"{leaver.name} ended with {status}:\n{leaver.log()[-2000:]}"


def rolling_restart(arena: Arena, times: int) -> Row:
    """Three workers are stopped and started again one after the other, under their names: partitions stay where they are."""
    row = Row("rolling_restart", times)
    # A session is longer than any restart on a slow machine: with a shorter one a late worker is missed, and others take over.
    with arena.deployment("rolling", kafka__session_timeout_s="60") as made:
        watch = Watch(made)
        crew: dict[str, Worker] = {name: Named(made, name) for name in ("a", "b", "c")}
        with arena.load(made, RATE_SMALL):
            for number in range(times):
                owned = watch.wait_spread(3, list(crew.values()))
                name = sorted(crew)[number % 3]
                watch.wait_work(owned[name], list(crew.values()))
                status = crew[name].terminate(60)
                assert status == 0, f"{name} ended with {status}:\n{crew[name].log()[-2000:]}"
                crew[name] = Named(made, name).wait_ready(120)
                after = watch.wait_spread(3, list(crew.values()))
                if after != owned:
                    row.failures.append(f"partitions moved with the restart of {name}: {owned} became {after}")
                watch.fault()
                row.proven += 1
                arena.say(row, row.proven)
        arena.finish(made, list(crew.values()))
        arena.judge(made, row)
        _expect_no_repeats(made, row)
    return row


def _expect_no_repeats(made: Deployment, row: Row) -> None:
    """What was stopped in good order tells nothing twice and puts nothing into the log twice."""
    if row.repeats:
        row.failures.append(f"{row.repeats} changes were told twice, though nothing was killed")
    reread = sum(marker.reread for marker in written_by(made).markers.values())
    if reread:
        row.failures.append(f"{reread} events were put into the log twice, though nothing was killed")
