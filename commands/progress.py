"""How far a long command is: a bar with rate and time left in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol, Self

PLAIN_EVERY_S = 2.0


class Progress(Protocol):
    """What a command reports to. Use it in a `with`."""

    def begin(self, what: str, total: int | None) -> None:
        """The next part of the work: what it is, and how much there is (None: not known)."""

    def reach(self, done: int, said: str = "") -> None:
        """So much of the part is done; `said` adds words. May be called often: the screen is spared."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def progress() -> Progress:
    """On stderr, as suits what stderr is."""
    return Bar() if sys.stderr.isatty() else Lines()


class Lines:
    """Progress in plain lines, the first after two seconds: quick work is silent."""

    def __init__(self) -> None:
        self._what = ""
        self._total: int | None = None
        self._began = self._said = time.monotonic()

    def begin(self, what: str, total: int | None) -> None:
        """See `Progress`."""
        self._what, self._total = what, total
        self._began = time.monotonic()

    def reach(self, done: int, said: str = "") -> None:
        """See `Progress`."""
        now = time.monotonic()
        if now - self._said < PLAIN_EVERY_S:
            return
        self._said = now
        words = [self._what]
        if self._total:
            left = (now - self._began) * (self._total - done) / max(done, 1)
            words += [f"{100 * done // self._total} %", f"{left:.0f} s left"]
        print(", ".join([*words, *([said] if said else [])]), file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class Bar:
    """Progress as a bar that goes away at the end."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._rich.add_task("", total=None, said="")

    def begin(self, what: str, total: int | None) -> None:
        """See `Progress`."""
        self._rich.reset(self._task, description=what, total=total, said="")

    def reach(self, done: int, said: str = "") -> None:
        """See `Progress`."""
        self._rich.update(self._task, completed=done, said=said)

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rich.stop()
