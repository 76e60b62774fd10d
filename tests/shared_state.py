"""What all tests of a process share without asking for it: a test that leaves it changed decides how a later one ends."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys


def shared_state() -> dict[str, object]:
    """By name everything of this process that a test may change and must put back; two of them can be compared."""
    state: dict[str, object] = {
        "working directory": os.getcwd(),  # noqa: PTH109 - cheaper than a Path, before and after each test
        "import path": tuple(sys.path),
        "arguments": tuple(sys.argv),
        "garbage collection": (gc.isenabled(), gc.get_threshold()),
        "logging switched off up to": logging.root.manager.disable,
    }
    state.update((f"variable {name}", value) for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST")
    state.update((f"{number!r}", signal.getsignal(number)) for number in SIGNALS)
    named = {"root": logging.root, **logging.root.manager.loggerDict}
    for name, logger in named.items():
        if isinstance(logger, logging.Logger) and (found := _set_of(logger)) != PLAIN:
            state[f"logger {name}"] = found
    return state


SIGNALS = sorted(signal.valid_signals())
PLAIN = (logging.NOTSET, False, True, (), ())
"""A logger that nobody has set anything of."""


def _set_of(logger: logging.Logger) -> tuple[object, ...]:
    # pytest puts its own in for each part of a test, and what a library gives itself when it is imported handles nothing
    handlers = tuple(
        one
        for one in logger.handlers
        if not isinstance(one, logging.NullHandler) and not type(one).__module__.startswith("_pytest.")
    )
    return logger.level, logger.disabled, logger.propagate, handlers, tuple(logger.filters)


def changed(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """What is not as it was, each with what it was and is."""
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return [f"{name}: {before.get(name)!r} became {after.get(name)!r}" for name in names]
