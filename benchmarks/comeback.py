"""How long a contestant of job (a) takes to come back with the state of many customers: from its start to the changes of new events.

Each customer has one event; then the contestant is stopped and its own files are removed, as on another machine, but for
Bytewax, whose snapshots are nowhere else. An order for a few customers of each partition waits for the next start, and
each must be the customer's second event: so the state was there.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks import simple
from benchmarks.broker import EventSet, Watch, preload, watching
from benchmarks.contest import Contestant, Where
from benchmarks.events import SPAN, START, SourceEvent
from benchmarks.measuring import PARTITIONS, DifferentError, Given, Job, Say, Timed, settings_of, started, topics_made
from benchmarks.table import spread
from lifestage.moments import iso
from streams.embedded.process import Child, ServiceError
from streams.topics import CHANGES

PROBES = 64
LONGEST_S = 300.0
"""A peer that takes longer has no figure; ours fails."""
LOOK_S = 0.05


class Back(NamedTuple):
    """One comeback."""

    profiles: int
    took_s: float | None
    """None where it did not come back."""


def first_events(customers: int) -> Iterator[SourceEvent]:
    """A visit of each customer."""
    for n in range(customers):
        name, at = f"c{n:07d}", START + n * SPAN // customers
        fields = {
            "id": f"v-{n:07d}", "source": "shop", "type": "web.visit", "time": iso(at), "customer_id": name,
            "url": "https://shop.example/",
        }  # fmt: skip
        yield SourceEvent(simple.TOPIC, name.encode(), msgspec.json.encode(fields))


def probes(customers: int) -> Iterator[SourceEvent]:
    """An order of some customers, later than everything."""
    for n in range(PROBES):
        name = f"c{n * (customers // PROBES):07d}"
        fields = {
            "id": f"p-{n}", "source": "shop", "type": "order.completed", "time": iso(START + SPAN + n), "customer_id": name,
            "order_id": f"o-{n}", "currency": "EUR", "total": "10.00",
        }  # fmt: skip
        yield SourceEvent(simple.TOPIC, name.encode(), msgspec.json.encode(fields))


async def measured(job: Job, contestant: Contestant, bootstrap: str, home: Path, profiles: int, say: Say) -> Back:
    """Fill, stop, clear, and time the comeback; all changes are compared. Raises `ServiceError` or `DifferentError`.

    Of a peer that is alive and says nothing within `LONGEST_S` there is nothing to compare, and no figure.
    """
    settings, count = settings_of(job), round(profiles * contestant.share)
    where = Where(settings, bootstrap, home / "data")
    shutil.rmtree(where.directory, ignore_errors=True)
    where.directory.mkdir(parents=True)
    log = home / f"{where.prefix}log"
    filling = EventSet(first_events(count), PARTITIONS)
    await preload(bootstrap, settings, filling)
    if names := [where.prefix + name for name in contestant.topics()]:
        await topics_made(bootstrap, names, PARTITIONS)
    async with watching(bootstrap) as watch:
        child = started(contestant, where, log)
        try:
            await Timed(contestant, child, watch, where, Given(filling, None, count), say).run()
        finally:
            await asyncio.to_thread(child.stop, 60)
        if contestant.elsewhere:
            shutil.rmtree(where.directory)
            where.directory.mkdir()
        await preload(bootstrap, settings, EventSet(probes(count), PARTITIONS))
        began = time.monotonic()
        child = started(contestant, where, log)
        try:
            told = await _all_told(watch, where, count + PROBES, contestant, child)
            took = time.monotonic() - began
        finally:
            await asyncio.to_thread(child.stop, 60)
        if not told:
            await watch.delete(where.prefix)
            return Back(count, None)
        expected, _ = job.reference(EventSet(chain(first_events(count), probes(count)), PARTITIONS))
        wrong = job.differ(expected, contestant, {CHANGES: await watch.read(where.prefix + CHANGES, PARTITIONS)})
        await watch.delete(where.prefix)
    if wrong:
        raise DifferentError(f"{contestant.name} says something else than the reference: {wrong}")
    return Back(count, took)


async def _all_told(watch: Watch, where: Where, changes: int, contestant: Contestant, child: Child) -> bool:
    """Whether so many changes are out within `LONGEST_S`."""
    deadline = time.monotonic() + LONGEST_S
    while sum((await watch.ends([where.prefix + CHANGES], PARTITIONS)).values()) < changes:
        if child.returncode not in {None, 0}:
            raise ServiceError(f"{contestant.name} ended with status {child.returncode}; its log is {child.log}")
        if time.monotonic() > deadline:
            if contestant.ours:
                raise ServiceError(f"{contestant.name} did not come back within {LONGEST_S:.0f} s")
            return False
        await asyncio.sleep(LOOK_S)
    return True


def render(rounds: Mapping[str, Sequence[Back]]) -> str:
    """A row a contestant."""
    lines = ["| | profiles | from start to their next changes, s | profiles/s |", "|---|---|---|---|"]
    for name, backs in rounds.items():
        took = [back.took_s for back in backs if back.took_s is not None]
        if len(took) < len(backs):
            shown = f"does not come back within {LONGEST_S:.0f} s | "
        else:
            shown = f"{spread(took, 1)} | {spread([backs[0].profiles / one for one in took])}"
        lines.append(f"| {name} | {backs[0].profiles:,} | {shown} |")
    return "\n".join(lines)
