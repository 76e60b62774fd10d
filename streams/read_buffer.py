"""What waits to be written to the read model: bounded, and the newest view of a customer wins."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Protocol

from streams.read_store import View


class Reread(enum.Enum):
    """Stands in for a view that is looked up when it is written."""

    REREAD = 0


REREAD = Reread.REREAD
Pending = View | Reread | None
"""A view, one to be looked up, or None for a customer who is gone."""


class Told(Protocol):
    """A change, a Struct. Its JSON document is made when it is written: of what a backlog changes, the newest are enough."""

    @property
    def id(self) -> str:
        """What a repeat of it is recognised by."""


@dataclass(slots=True)
class Stages:
    """Customers by stage of one partition at log offset `version`."""

    version: int
    counts: Mapping[str, int]


@dataclass(slots=True)
class Batch:
    """What one pipeline writes. `drained`: the partitions of which everything before it is written."""

    customers: dict[int, dict[str, Pending]] = field(default_factory=dict)
    stages: dict[int, Stages] = field(default_factory=dict)
    changes: list[Told] = field(default_factory=list)
    drained: set[int] = field(default_factory=set)

    def size(self) -> int:
        """How many customers are in it."""
        return sum(map(len, self.customers.values()))

    def __bool__(self) -> bool:
        return bool(self.customers or self.stages or self.changes)


class Buffer:
    """Pending writes. At most `views_max` entries hold a view; a customer beyond that is a key to be looked up.

    So memory is bounded by 0.6 KB x `views_max` and some 100 bytes for each further customer of the owned partitions.
    Of changes the newest `recent` are kept, as the read model shows no more.
    """

    def __init__(self, views_max: int, recent: int) -> None:
        self._views_max = views_max
        self._customers: dict[int, dict[str, Pending]] = {}
        self._stages: dict[int, Stages] = {}
        self._changes: deque[Told] = deque(maxlen=recent)

    def __len__(self) -> int:
        """Customers that wait."""
        return sum(map(len, list(self._customers.values())))

    def __bool__(self) -> bool:
        return bool(self._customers or self._stages or self._changes)

    def add(self, partition: int, customers: Mapping[str, Pending], changes: Sequence[Told]) -> None:
        """Take newer views. Runs at the speed of `dict.update`: the caller is the hot path."""
        if customers:
            waiting = self._customers.setdefault(partition, {})
            if len(self) + len(customers) > self._views_max:
                waiting.update(dict.fromkeys(customers, REREAD))
            else:
                waiting.update(customers)
        self._changes.extend(changes)

    def count(self, partition: int, stages: Stages) -> None:
        """Take the newest counts of a partition; they replace what waits."""
        self._stages[partition] = stages

    def holds(self, partition: int, key: str) -> bool:
        """Whether a view of that customer waits."""
        return key in self._customers.get(partition, ())

    def take(self, customers_max: int, changes_max: int) -> Batch:
        """Remove what is to be written next, longest waiting first, the partitions in turn.

        Counts go out with every batch, and stay until one that has no customers of theirs: that one can say that all is
        written, because the ones before it were answered.
        """
        batch = Batch()
        room = customers_max
        for partition in list(self._customers):
            if room <= 0:
                break
            waiting = self._customers.pop(partition)
            taken = batch.customers[partition] = {key: waiting.pop(key) for key in list(islice(waiting, room))}
            room -= len(taken)
            if waiting:  # back at the end, so that no partition starves another
                self._customers[partition] = waiting
        for partition in list(self._stages):
            batch.stages[partition] = self._stages[partition]
            if partition not in self._customers and partition not in batch.customers:
                del self._stages[partition]
                batch.drained.add(partition)
        batch.changes = [self._changes.popleft() for _ in range(min(changes_max, len(self._changes)))]
        return batch

    def put_back(self, batch: Batch, owned: Mapping[int, object]) -> None:
        """Take back a batch that may not have been written; what came since is newer and stays."""
        for partition, customers in batch.customers.items():
            if partition in owned:
                waiting = self._customers.setdefault(partition, {})
                for key, view in customers.items():
                    waiting.setdefault(key, view)
        for partition, stages in batch.stages.items():
            if partition in owned:
                self._stages.setdefault(partition, stages)
        self.restore(batch.changes)

    def restore(self, changes: Iterable[Told]) -> None:
        """Put changes before those that wait."""
        self._changes = deque(chain(changes, self._changes), maxlen=self._changes.maxlen)

    def drop(self, partition: int) -> None:
        """Forget a partition that is another worker's now. Changes stay: they happened, and repeats are recognised."""
        self._customers.pop(partition, None)
        self._stages.pop(partition, None)
