"""Asking a broker that is not ready for the question yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def soon(ask: Callable[[], Answer], not_yet: type[Exception] | tuple[type[Exception], ...], tries: int = 100) -> Answer:
    """The answer, asked for again while `not_yet` is raised, for about ten seconds; then that is raised."""
    for _ in range(tries - 1):
        try:
            return ask()
        except not_yet:
            time.sleep(0.1)
    return ask()
