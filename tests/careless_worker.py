"""`tests.careless_intake` as a process of its own."""

from __future__ import annotations

import sys

from streams.embedded.process import Child, free_ports
from tests.pipeline import Deployment
from tests.workers import Worker, environment_of


class Careless(Worker):
    """A worker that sends when it is told to."""

    def __init__(self, made: Deployment, words: str, name: str) -> None:
        (self.port,) = free_ports(1)
        self.name = name
        self.arm = made.home / f"{name}.arm"
        self.child = Child(
            [sys.executable, "-P", "-m", "tests.careless_intake", str(self.arm), words, "worker"],
            made.home / f"{name}.log",
            # a guard that is taken out of the sources is still in what was compiled from them
            environment_of({**made.given, "metrics.port": str(self.port)}, made.home / name)
            | {"LIFESTAGE_COMPILED": "0"},
        )

    @property
    def held(self) -> tuple[int, int]:
        """The most bytes that it has held, and how many partitions it did not fetch then."""
        file = self.arm.with_suffix(".held")
        text = file.read_text() if file.exists() else ""
        peak, _, full = text.partition(" ")
        return (int(peak), int(full)) if full else (0, 0)
