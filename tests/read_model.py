"""A worker's profiles and its read model, for tests that read what it wrote."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

from config.settings import Settings
from streams.connections import redis_async
from streams.read_buffer import REREAD, Pending
from streams.read_model import ReadModel
from streams.read_store import CustomerView, View

PREFIX = "test[1]:"  # brackets: a prefix must not be read as a pattern
Profiles = dict[int, dict[str, View]]


def view(key: str, applied: int, stage: str = "reach") -> CustomerView:
    """A customer as the lifecycle agent would hand it over."""
    return CustomerView(applied=applied, customer_id=key, stage=stage, since="1997-01-01T00:00:00Z", seq=1)


class Said(msgspec.Struct, frozen=True):
    """A change; the padding is what a real one has in evidence."""

    id: str
    pad: str = "x" * 200


def change(number: int) -> Said:
    """A change by its number."""
    return Said(f"change-{number}")


class Worker:
    """One worker's profiles and its read model."""

    def __init__(self, url: str, profiles: Profiles, *, recent: int = 100, views_max: int = 200_000) -> None:
        self.profiles, self.views_read, self.longest_slice = profiles, 0, 0.0
        self.model = ReadModel(
            redis_async(Settings(), url),
            PREFIX,
            "clm5",
            recent,
            0.5,
            lookup=lambda partition, key: self.profiles[partition].get(key),
            snapshot=self.snapshot,
            views_max=views_max,
        )

    def snapshot(self, partition: int) -> Iterator[tuple[str, View]]:
        """All views, bearing changes in between."""
        for key in list(self.profiles[partition]):
            if (found := self.profiles[partition].get(key)) is not None:
                self.views_read += 1
                yield key, found

    def submit(self, partition: int, customers: Mapping[str, Pending], version: int, *changes: Said) -> None:
        """Keep and hand over, as after a flush."""
        kept = self.profiles.setdefault(partition, {})
        for key, found in customers.items():
            if found is None:
                kept.pop(key, None)
            elif found is not REREAD:
                kept[key] = found
        self.model.submit(partition, customers, changes, self.stages(partition), version)

    def stages(self, partition: int) -> dict[str, int]:
        """Customers of a partition by stage."""
        counts: dict[str, int] = {}
        for kept in self.profiles[partition].values():
            if isinstance(kept, CustomerView):
                counts[str(kept.stage)] = counts.get(str(kept.stage), 0) + 1
        return counts


async def eventually(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until it holds, and fail when it does not."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to hold"
        await asyncio.sleep(0.02)


Start = Callable[..., Worker]


def written(worker: Worker) -> Callable[[], bool]:
    """Whether nothing waits any more."""
    return lambda: worker.model.connected and worker.model._idle.is_set()
