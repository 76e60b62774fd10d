"""A deployment's KPIs counted anew: what its changelog keeps of them, against its log, both as they stand in Kafka.

It joins no consumer group and commits nothing: the workers do not notice.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from config.errors import UserFacingError
from config.settings import Settings
from lifestage.cause import Rules
from lifestage.partition import Partition
from streams.kept_reader import KeptReader
from streams.log_reader import LogReader
from streams.reconcile import Kept, Reach, Reconciliation, Recounted

TRIES = 3
"""How often a partition is read whose pages were written anew in the meantime."""


class Outcome(NamedTuple):
    """What came of a recount of a deployment."""

    found: Recounted
    offsets: dict[int, int]
    """By partition the newest record that the compared sums hold."""
    uncounted: dict[int, str]
    """Why a partition's KPIs are not kept, and so could not be compared."""
    topic: str
    seconds: float


def check_counted(rules: Rules) -> None:
    """Raise `UserFacingError` where by the settings no KPIs are kept."""
    if not rules.window:
        raise UserFacingError(
            "workers keep no KPIs here (kpis.live = false), so there is nothing to compare: set kpis.live, or "
            "LIFESTAGE_KPIS_LIVE=true, for the workers from their first start on and for this command"
        )


def reconcile(settings: Settings, bootstrap: str, rules: Rules, reach: Reach) -> Outcome:
    """Count once. Raises `UserFacingError` where there is nothing to compare, or the log is not whole; and `UnreachableError`."""
    check_counted(rules)
    began = time.monotonic()
    kept: dict[int, Kept] = {}
    uncounted: dict[int, str] = {}
    with KeptReader(settings, bootstrap, rules) as reader:
        for number in range(reader.partitions):
            reach("reading what is kept", number, reader.partitions)
            state = _sums(reader, number)
            if state.marker.offset < 0:
                uncounted[number] = "nothing is kept of it yet"
            elif state.kpis is None:
                uncounted[number] = state.uncounted
            else:
                kept[number] = Kept(state.marker.offset, state.kpis.days)
    with LogReader(settings, bootstrap) as logs, tempfile.TemporaryDirectory(prefix="lifestage-") as folder:
        for number in [number for number in uncounted if not logs.ends.get(number)]:
            del uncounted[number]  # there is nothing to be kept of it
        logs.check_whole(number for number, end in logs.ends.items() if end)
        found = Reconciliation(logs, kept, rules, Path(folder), reach).run()
        offsets = {number: one.offset for number, one in kept.items()}
        return Outcome(found, offsets, uncounted, logs.topic, time.monotonic() - began)


def _sums(reader: KeptReader, number: int) -> Partition:
    """What is kept of a partition. A flush that comes while it is read may take pages away that were named before it."""
    for _ in range(TRIES - 1):
        state = reader.sums(number)
        if state.kpis is not None:
            return state
    return reader.sums(number)
