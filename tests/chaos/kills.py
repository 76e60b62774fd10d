"""SIGKILL: at random times over a long load, at every named point, and in the middle of a recovery."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import count

from tests.broken_worker import DIED, POINTS
from tests.chaos.arena import Arena
from tests.chaos.crew import PATIENCE_S, Fragile, Named, Watch, until
from tests.chaos.table import Row
from tests.load import Load
from tests.pipeline import Deployment
from tests.workers import Worker

RATE, RATE_SMALL = 1_500, 400
EVENTS_PER_KILL = 10_000
"""What is sent for each kill of a full run: 100 kills are a million events."""
FULL = 100
PIECE = 1_500
"""Events between two deaths at named points: a flush of them is several small batches for each partition."""
OFTEN = {"lifecycle__flush_interval_s": "0.6"}
ALONE = {"kafka__instance_id": "one"}
"""A worker that comes back under its name need not wait until the dead one is missed."""


def kills(arena: Arena, times: int) -> Row:
    """One of two workers is killed at a random moment, again and again; it comes back at once, or when the other one has
    taken over."""
    row, chance = Row("kills", times), arena.chance("kills")
    full = times >= FULL
    with arena.deployment("kills") as made:
        watch = Watch(made)
        crew: dict[str, Worker] = {name: Named(made, name) for name in ("a", "b")}
        with arena.load(made, RATE if full else RATE_SMALL) as load:
            undone_in_all = 0
            for attempt in count():
                assert attempt <= 2 * times + 10, f"{row.proven} of {attempt} kills met work"
                # where a kill takes long, no more is sent than the plan of the load has time for
                load.most = 2 * EVENTS_PER_KILL * (attempt + 1)
                undone, seconds = kill_one(made, watch, crew, chance)
                undone_in_all += undone
                row.proven += undone > 0
                row.slowest(seconds)
                arena.say(row, row.proven, f"{load.sent:,} events")
                if row.proven == times:
                    break
            load.most = times * EVENTS_PER_KILL
            until(lambda: not full or load.sent >= times * EVENTS_PER_KILL, "all sent", tuple(crew.values()), 3_600)
        arena.finish(made, list(crew.values()))
        arena.judge(made, row)
    row.notes.append(f"{undone_in_all:,} records were folded again, or for the first time, after the kills")
    return row


def kill_one(made: Deployment, watch: Watch, crew: dict[str, Worker], chance: random.Random) -> tuple[int, float]:
    """Kill a worker with work in flight and see that this is done by whoever comes; says how much, and how soon."""
    alive = tuple(crew.values())
    owned = watch.wait_spread(2, alive)
    victim = chance.choice(sorted(crew))
    (other,) = set(crew) - {victim}
    watch.wait_work(owned[victim], alive)
    time.sleep(chance.uniform(0, 1.5))
    undone = watch.kill(crew[victim], owned[victim])
    if at_once := chance.random() < 0.5:
        crew[victim] = Named(made, victim)
    seconds = watch.wait_caught_up(undone, list(crew.values()) if at_once else [crew[other]])
    if not at_once:
        watch.wait_owned_by(other, [crew[other]])
        crew[victim] = Named(made, victim)
    return undone.records, seconds


def named_points(arena: Arena, times: int) -> Row:
    """Workers die between two steps of intake, flush, commit or recovery: at every named point, for each of so many seeds."""
    row = Row("named_points", times * len(POINTS))
    with ThreadPoolExecutor(3) as pool:
        for run in as_completed([pool.submit(_die_at_each, arena, number) for number in range(times)]):
            row.add(run.result())
            arena.say(row, row.proven)
    return row


def _die_at_each(arena: Arena, number: int) -> Row:
    row, points = Row(f"points {number}", len(POINTS)), sorted(POINTS)
    arena.chance(f"points{number}").shuffle(points)
    if points[0] == "recovering":
        # there is nothing to read back before anybody has worked
        points.append(points.pop(0))
    with arena.deployment(f"points{number}", **OFTEN, **ALONE) as made:
        load = arena.load(made, 0)
        load.send(PIECE)
        for point in points:
            die_at(made, load, point, point)
            row.proven += 1
        load.close()
        finish(arena, made, "")
        arena.judge(made, row)
    return row


def die_at(made: Deployment, load: Load, words: str, name: str) -> None:
    """Work in peace, then die with work in flight."""
    with Fragile(made, words, name) as worker:
        if "recovering" in words:
            load.send(PIECE)
            worker.arm.touch()
        else:
            worker.wait_ready()
            made.wait_done(PATIENCE_S, alive=[worker])
            worker.arm.touch()
            load.send(PIECE)
        assert worker.child.wait(PATIENCE_S) == DIED, worker.log()[-3000:]


def finish(arena: Arena, made: Deployment, words: str) -> None:
    """Work off what is left, with what is broken if anything is, and let time pass."""
    with Fragile(made, words, "last") as worker:
        arena.finish(made, [worker.wait_ready()])


def kills_in_recovery(arena: Arena, times: int) -> Row:
    """Workers die while they read their state back: after a start of their own, or when they take over from a dead one."""
    row, chance = Row("kills_in_recovery", times), arena.chance("kills_in_recovery")
    with arena.deployment("recovery") as made:
        watch = Watch(made)
        crew = {name: Fragile(made, "recovering", name, named=True) for name in ("a", "b")}
        with arena.load(made, RATE_SMALL):
            while row.proven < times:
                alive = tuple(crew.values())
                owned = watch.wait_spread(2, alive)
                victim = chance.choice(sorted(crew))
                watch.wait_work(owned[victim], alive)
                undone = watch.kill(crew[victim], owned[victim])
                row.proven += _die_recovering(made, crew, victim, chance)
                row.slowest(watch.wait_caught_up(undone, list(crew.values())))
                arena.say(row, row.proven)
        arena.finish(made, list(crew.values()))
        arena.judge(made, row)
    return row


def _die_recovering(made: Deployment, crew: dict[str, Fragile], victim: str, chance: random.Random) -> int:
    """A worker was killed: let it, or the one that takes over from it, die in the recovery that follows, once or twice."""
    (other,) = set(crew) - {victim}
    dying, back = (victim, {victim}) if chance.random() < 0.6 else (other, {victim, other})
    deaths = chance.randrange(1, 3) if dying == victim else 1
    for number in range(deaths):
        # how many runs of the changelog are let in before the end
        crew[dying].arm.write_text(str(chance.randrange(3)))
        if dying == victim or number:
            crew[dying] = Fragile(made, "recovering", dying, named=True)
        assert crew[dying].child.wait(PATIENCE_S) == DIED, crew[dying].log()[-3000:]
        crew[dying].arm.unlink()
    for name in back:
        crew[name] = Fragile(made, "recovering", name, named=True)
    return deaths
