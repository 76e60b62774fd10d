"""Workers with something taken out, as processes of their own: each runs a module of this folder in place of `commands`."""

from __future__ import annotations

from tests.pipeline import Deployment
from tests.workers import Worker


class Careless(Worker):
    """A worker that sends when it is told to, or lacks a guard of the intake: `tests.spoilt.intake` has the words."""

    def __init__(self, made: Deployment, words: str, name: str) -> None:
        self.arm = made.home / f"{name}.arm"
        program = ("tests.spoilt.intake", str(self.arm), words)
        # a guard that is taken out of the sources is still in what was compiled from them
        super().__init__(made.given, made.home, name, program, {"LIFESTAGE_COMPILED": "0"})
        made.hire(self)

    @property
    def held(self) -> tuple[int, int]:
        """The most bytes that it has held, and how many partitions it did not fetch then."""
        file = self.arm.with_suffix(".held")
        text = file.read_text() if file.exists() else ""
        peak, _, full = text.partition(" ")
        return (int(peak), int(full)) if full else (0, 0)


class Forgetful(Worker):
    """A worker that cannot come back from a lost state, or dies while it does: `tests.spoilt.rebuild` has the words."""

    def __init__(self, made: Deployment, word: str, name: str) -> None:
        super().__init__(made.given, made.home, name, ("tests.spoilt.rebuild", word))


class Stalled(Worker):
    """A worker that is never told where to go on."""

    def __init__(self, made: Deployment, name: str) -> None:
        super().__init__(made.given, made.home, name, ("tests.spoilt.recovery",))
