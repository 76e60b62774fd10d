"""All scenarios of faults by name: what `make chaos` runs large and the tests run small."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.chaos.arena import Arena
from tests.chaos.table import Row


class Scenario(NamedTuple):
    """A scenario and how often it does its fault."""

    run: Callable[[Arena, int], Row]
    full: int
    """In `make chaos`."""
    small: int
    """In the tests."""


SCENARIOS: dict[str, Scenario] = {}
"""In the order in which they are run and stand in the table."""
