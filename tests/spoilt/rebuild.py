"""A worker that lacks something of what it takes to come back from a lost state, or dies while it does.

    python -m tests.spoilt.rebuild WORD worker …

WORD is the name of one of `WORDS`. A run of the log is folded in many flushes, so that a rebuild can be cut.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from commands.main import main
from lifestage.partition import Partition
from streams import outbox
from streams.batches import Positions
from streams.keeper import Keeper, Untold
from streams.outbox import acknowledged
from streams.rebuild import Out, Rebuilds
from tests.broken_worker import DIED

MANY = 60
"""Customers: of so many some have no newer change in what follows."""


def repeating() -> None:
    """What is out already is not looked up."""

    async def blind(_: Rebuilds) -> None:
        return

    Rebuilds.prepare = blind  # type: ignore[method-assign, assignment]


def leaving_behind() -> None:
    """What `customer-stages` lacks is not copied to it."""
    changes = Out.changes

    def blind(self: Out, records: Any) -> None:
        changes(self, records)
        self.behind.clear()

    Out.changes = blind  # type: ignore[method-assign]


def dying_on_the_way() -> None:
    """Dies as soon as a part of a rebuild is kept."""
    passed = Rebuilds.passed

    def dying(self: Rebuilds, partition: Partition) -> None:
        passed(self, partition)
        if self.remaining():
            os._exit(DIED)

    Rebuilds.passed = dying  # type: ignore[method-assign]


def dying_between_changes() -> None:
    """Dies when many changes are in `stage-changes` and not in `customer-stages`, be it one flush or several small ones."""
    told: set[str] = set()

    async def dying(_: Keeper, __: int, untold: Untold) -> None:
        await acknowledged(untold.futures, "stage changes")
        told.update(untold.newest)
        if len(told) >= MANY:
            os._exit(DIED)

    Keeper._tell_newest = dying  # type: ignore[method-assign, assignment]


def stopping_at_markers() -> None:
    """Offsets that hold no record are waited for."""
    Positions.pass_over = lambda *_: None  # type: ignore[method-assign]


WORDS: dict[str, Callable[[], None]] = {
    word.__name__: word
    for word in (repeating, leaving_behind, dying_on_the_way, dying_between_changes, stopping_at_markers)
}

if __name__ == "__main__":
    outbox.BATCH_BYTES = 6_000
    WORDS[sys.argv[1]]()
    sys.argv[1:] = sys.argv[2:]
    main()
