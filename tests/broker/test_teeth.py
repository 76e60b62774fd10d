"""Workers that die at each named point lose and double nothing; and the comparison does see what a missing guard does."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streams.embedded.kafka import KafkaServer
from streams.embedded.process import Child, free_ports
from tests.broken_worker import BREAKS, DIED, POINTS
from tests.load import BEGIN_MS, Load
from tests.pipeline import Deployment, deployment, differences
from tests.workers import Worker, environment_of

pytestmark = pytest.mark.broker

END_MS = 1_300_000_000_000
SEED = 7
DAY_MS = 86_400_000
PIECE = 1_500
"""Events between two faults: a flush of them is several small batches for each partition."""


ALONE = {"kafka__instance_id": "one"}
"""A worker that comes back under its name need not wait until the dead one is missed."""
OFTEN = {**ALONE, "lifecycle__flush_interval_s": "0.6"}
SELDOM = {**ALONE, "lifecycle__flush_interval_s": "5"}
PLANNED = {
    "prepared_off": "first_of_several",
    "marker_first": "first_of_several",
    "state_before_changes": "marker_kept",
    "commit_ahead": "changes_acknowledged",
    "source_commit_ahead": "",
    "origins_off": "log_written",
}
"""What is broken, and where to die for it to matter."""


class Fragile(Worker):
    """A worker with a point to die at, or with something broken."""

    def __init__(self, made: Deployment, words: str, name: str) -> None:
        (self.port,) = free_ports(1)
        self.name = name
        self.arm = made.home / f"{name}.arm"
        self.child = Child(
            [sys.executable, "-P", "-m", "tests.broken_worker", str(self.arm), words, "worker"],
            made.home / f"{name}.log",
            environment_of({**made.given, "metrics.port": str(self.port)}, made.home / name),
        )


def die_at(made: Deployment, load: Load, words: str, name: str) -> None:
    """Work in peace, then die with work in flight."""
    with Fragile(made, words, name) as worker:
        if "recovering" in words:
            load.send(PIECE)
            worker.arm.touch()
        else:
            worker.wait_ready()
            made.wait_done(alive=[worker])
            worker.arm.touch()
            load.send(PIECE)
        assert worker.child.wait(30) == DIED, worker.log()[-3000:]


def finish(made: Deployment, words: str) -> list[str]:
    """Work off what is left, let time pass, and compare."""
    with Fragile(made, words, "last") as worker:
        worker.wait_ready()
        made.wait_done(alive=[worker])
        made.end_tick(END_MS)
        made.wait_done(alive=[worker])
        assert worker.terminate() == 0, worker.log()[-3000:]
    return differences(made)


def test_dying_at_any_named_point_changes_nothing(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """One worker after the other dies between two steps of intake, flush, commit or recovery; the outcome is exact."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **OFTEN) as made:
        load = Load(made.bootstrap, topic_prefix, SEED, 0)
        load.send(PIECE)
        for point in POINTS:
            die_at(made, load, point, point)
        load.close()
        assert finish(made, "") == []


def broken_run(bootstrap: str, prefix: str, home: Path, broken: str, point: str) -> list[str]:
    """What the comparison finds after a worker that lacks something has died at a point and was started again."""
    with deployment(bootstrap, f"{prefix}{broken}.", home / broken, **OFTEN) as made:
        load = Load(made.bootstrap, made.prefix, SEED, 0)
        load.send(PIECE)
        die_at(made, load, f"{broken},{point}", "w1")
        load.close()
        return finish(made, broken if broken != "source_commit_ahead" else "")


def forgotten_ids_run(bootstrap: str, prefix: str, home: Path, broken: str) -> list[str]:
    """The same where a flush is cut that holds a fact, a tick that makes its id be forgotten, and a later fact."""
    with deployment(bootstrap, f"{prefix}{broken or 'sound'}.", home / (broken or "sound"), **SELDOM) as made:
        with Fragile(made, f"{broken},first_of_several", "w1") as worker:
            worker.wait_ready()
            made.produce("visits", [visit(0, 0)])
            made.wait_done(alive=[worker])  # a flush was just now: the next is 5 s away
            made.produce("visits", [visit(number, 1) for number in range(800)])
            made.wait_taken_in(alive=[worker])
            made.end_tick(BEGIN_MS + 30 * DAY_MS)
            made.produce("visits", [visit(number, 30) for number in range(800)])
            made.wait_taken_in(alive=[worker])
            worker.arm.touch()
            assert worker.child.wait(30) == DIED, worker.log()[-3000:]
        return finish(made, broken)


def test_each_missing_guard_is_seen(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """Without a guard, a death at the point that it is there for makes the comparison fail; with all of them it does not.

    The runs are of topics of their own, three at a time: most of their time is waiting.
    """
    assert {*PLANNED, "guard_off", "clock_unheld"} == set(BREAKS)  # the last is for the tests of downtime
    of = (kafka.bootstrap, topic_prefix, tmp_path)
    with ThreadPoolExecutor(3) as pool:
        runs = {broken: pool.submit(forgotten_ids_run, *of, broken) for broken in ("guard_off", "")}
        runs |= {broken: pool.submit(broken_run, *of, broken, point) for broken, point in PLANNED.items()}
        seen = {broken: bool(run.result()) for broken, run in runs.items()}
    assert seen == {broken: bool(broken) for broken in seen}


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
