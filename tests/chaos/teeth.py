"""Broken workers: without a guard, a death at the point that it is there for must be seen by the judges."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from streams.embedded.process import ServiceError
from tests.broken_worker import BREAKS, DIED
from tests.chaos.arena import END_MS, Arena
from tests.chaos.crew import PATIENCE_S, Fragile
from tests.chaos.kills import ALONE, OFTEN, PIECE, die_at, finish
from tests.chaos.table import Row
from tests.load import BEGIN_MS
from tests.pipeline import differences

SELDOM = {**ALONE, "lifecycle__flush_interval_s": "5"}
DAY_MS = 86_400_000
TRIES = 3
PLANNED = {
    "prepared_off": "first_of_several",
    "prepared_kpis_off": "first_of_several",
    "marker_first": "first_of_several",
    "state_before_changes": "marker_kept",
    "commit_ahead": "changes_acknowledged",
    "source_commit_ahead": "",
    "origins_off": "log_written",
}
"""What is broken, and where to die for it to matter."""
ELSEWHERE = {"clock_unheld", "rounds_off", "messages_after_state"}
"""Breaks whose tooth is shown by tests of their own: those of downtime, and of identity on a real Kafka."""


def teeth(arena: Arena, times: int) -> Row:
    """Each seeded bug is found, for so many seeds; and the same runs without a bug are clean."""
    breaks: dict[str, Callable[[Arena, str], Row]] = dict.fromkeys(PLANNED, broken_run)
    breaks["guard_off"] = forgotten_ids_run
    row = Row("teeth", times * len(breaks))
    with ThreadPoolExecutor(3) as pool:
        runs = [
            (name, pool.submit(until_found, run, arena, name)) for _ in range(times) for name, run in breaks.items()
        ]
        sound = [pool.submit(run, arena, "") for run in (broken_run, forgotten_ids_run)]
        for name, run in runs:
            found = run.result()
            row.proven += bool(found.failures)
            row.failures += [] if found.failures else [f"{name} was not found"]
            row.events += found.events
            arena.say(row, row.proven, name)
        for clean in sound:
            row.failures += clean.result().failures
    return row


def until_found(run: Callable[[Arena, str], Row], arena: Arena, broken: str) -> Row:
    """The first of `TRIES` runs that is found wrong, else the last: what a death meets is for the machine to say, and one
    that comes a moment late harms nothing."""
    for _ in range(TRIES - 1):
        found = run(arena, broken)
        if found.failures:
            return found
    return run(arena, broken)


def broken_run(arena: Arena, broken: str) -> Row:
    """What the judges find after a worker that lacks something has died at a point and was started again."""
    found = Row(broken, 1)
    with arena.deployment(broken.replace("_", "") or "sound", **OFTEN, **ALONE) as made:
        load = arena.load(made, 0)
        load.send(PIECE)
        die_at(made, load, f"{broken},{PLANNED.get(broken, 'marker_kept')}", "w1")
        load.close()
        try:
            finish(arena, made, broken if broken != "source_commit_ahead" else "")
        except ServiceError as error:
            if not broken:
                raise
            # reading on from a commit that is ahead of the state, it waits for a rebuild that it has skipped
            found.failures.append(f"{broken}: {str(error)[:100]}")
            return found
        arena.judge(made, found)
    return found


def forgotten_ids_run(arena: Arena, broken: str) -> Row:
    """The same where a flush is cut that holds a fact, a tick that makes its id be forgotten, and a later fact."""
    found = Row(broken, 1)
    with arena.deployment(broken.replace("_", "") or "sound", **SELDOM) as made:
        with Fragile(made, f"{broken},first_of_several", "w1") as worker:
            worker.wait_ready()
            made.produce("visits", [visit(0, 0)])
            made.wait_done(PATIENCE_S, alive=[worker])  # a flush was just now: the next is 5 s away
            made.produce("visits", [visit(number, 1) for number in range(800)])
            made.wait_taken_in(PATIENCE_S, alive=[worker])
            made.end_tick(BEGIN_MS + 30 * DAY_MS)
            made.produce("visits", [visit(number, 30) for number in range(800)])
            made.wait_taken_in(PATIENCE_S, alive=[worker])
            worker.arm.touch()
            assert worker.child.wait(PATIENCE_S) == DIED, worker.log()[-3000:]
        with Fragile(made, broken, "last") as worker:
            made.wait_done(PATIENCE_S, alive=[worker.wait_ready()])
            made.end_tick(END_MS)
            made.wait_done(PATIENCE_S, alive=[worker])
            assert worker.terminate() == 0, worker.log()[-3000:]
        found.failures += differences(made)
        found.events = sum(made.ends(made.sources).values())
    return found


def every_break_has_a_tooth() -> bool:
    """Whether each break of `tests.broken_worker` is shown to be found, here or elsewhere."""
    return {*PLANNED, "guard_off"} | ELSEWHERE == set(BREAKS)


def visit(customer: int, day: int) -> dict[str, str | int]:
    """A visit at the end of a day."""
    return {
        "id": f"{customer}-{day}",
        "source": "shop",
        "type": "web.visit",
        "time": BEGIN_MS + (day + 1) * DAY_MS - 1,
        "customer_id": f"c{customer}",
        "url": "https://shop.example/",
    }
