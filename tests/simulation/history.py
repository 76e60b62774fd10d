"""Histories: chosen by a seed, run, judged, cut down to what is needed to fail, and told."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tests.simulation.directed import directed
from tests.simulation.ending import quiesce
from tests.simulation.judge import Found, judge
from tests.simulation.world import Step, World

WEIGHTS = {
    "produce": 30, "deliver": 30, "flow": 14, "spin": 12, "wait": 8, "beat": 4, "days": 2, "compact": 2,
    "start": 3, "kill": 3, "leave": 1, "halt": 2, "resume": 3, "expire": 4, "fail": 1, "empty": 1,
}  # fmt: skip
STEPS_MOST = 400


class Right(NamedTuple):
    """A history that came out right."""

    found: Found
    faults: Counter[str]


class Failure(NamedTuple):
    """A history that came out wrong."""

    seed: int | None
    mode: str
    steps: list[Step]
    reason: str
    said: list[str]
    faults: Counter[str]

    def __str__(self) -> str:
        """The seed, what is wrong, and the steps that lead there."""
        told = [
            f"{n:4} {name} {a} {b}: {words}"
            for n, ((name, a, b), words) in enumerate(zip(self.steps, self.said, strict=False))
        ]
        seed = "" if self.seed is None else f"seed {self.seed}: "
        return "\n".join([f"{seed}{self.reason}", f"clock.mode = {self.mode}, {len(self.steps)} steps:", *told])


def chosen(seed: int) -> tuple[str, list[Step]]:
    """The clock's mode and the steps of a seed."""
    chance = random.Random(seed)
    mode = chance.choice(("data", "wall"))
    aimed = directed(seed)
    if aimed is not None:
        return mode, aimed
    # each history has its own temper: some of the faults, more often or not at all
    weights = [
        weight if name in {"produce", "deliver", "flow"} else weight * chance.choice((0, 1, 1, 3))
        for name, weight in WEIGHTS.items()
    ]
    names = chance.choices(list(WEIGHTS), weights, k=chance.randrange(STEPS_MOST // 2, STEPS_MOST))
    steps = [(name, chance.randrange(1 << 16), chance.randrange(1 << 16)) for name in names]
    return mode, [("start", 0, 0), ("produce", 35, chance.randrange(1 << 16)), *steps]


def run(mode: str, steps: Sequence[Step], seed: int | None = None) -> Right | Failure:
    """Run a history to its quiet end, where all must be right."""
    with World(mode) as world:
        try:
            for step in steps:
                world.take(*step)
            world.said.append("")
            quiesce(world)
            return Right(judge(world), world.faults)
        except Exception as error:  # noqa: BLE001  # whatever it is, its seed is to be told
            return Failure(seed, mode, list(steps), str(error), world.said, world.faults)


def shortened(failure: Failure, tries: int = 400) -> Failure:
    """The same failure with as few steps as so many tries find."""
    found, size = failure, max(1, len(failure.steps) // 2)
    while size and tries > 0:
        at = 0
        while at < len(found.steps) and tries > 0:
            tries -= 1
            again = run(found.mode, found.steps[:at] + found.steps[at + size :], found.seed)
            if isinstance(again, Failure) and _kind(again) == _kind(found):
                found = again
            else:
                at += size
        size //= 2
    return found


def _kind(failure: Failure) -> str:
    return failure.reason[:6]
