"""Workers of a scenario, and what the broker says of them: who owns what, what is done, and what is in flight."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kafka.errors import KafkaError

from streams.embedded.process import Child, free_ports
from tests.broken_worker import POINTS
from tests.pipeline import Deployment
from tests.workers import Worker, environment_of

PATIENCE_S = 120.0
"""How long a condition is waited for: two slow cores that others use, too, need ten times what a quiet machine needs."""


class Named(Worker):
    """A static member of the group: under the name of one that was killed it gets the same partitions, at once."""

    def __init__(self, made: Deployment, name: str) -> None:
        super().__init__({**made.given, "kafka.instance_id": name}, made.home, name)
        made.hire(self)


class Fragile(Worker):
    """A worker with a point to die at once `arm` exists, or with something broken: `tests.broken_worker` has the words."""

    def __init__(self, made: Deployment, words: str, name: str, *, named: bool = False) -> None:
        (self.port,) = free_ports(1)
        self.name = name
        self.arm = made.home / f"{name}.arm"
        given = {**made.given, "metrics.port": str(self.port)} | ({"kafka.instance_id": name} if named else {})
        # what takes nothing out of the core runs the compiled one
        program = "tests.mortal_worker" if {*filter(None, words.split(","))} <= POINTS.keys() else "tests.broken_worker"
        self.child = Child(
            [sys.executable, "-P", "-m", program, str(self.arm), words, "worker"],
            made.home / f"{name}.log",
            environment_of(given, made.home / name),
        )
        made.hire(self)


class Stand(NamedTuple):
    """One log partition: how much of it is durably folded, and where it ends."""

    committed: int
    end: int


@dataclass(frozen=True)
class Undone:
    """What a worker that was killed had begun and not kept."""

    ends: dict[int, int]
    """By its log partitions: where they ended when it was killed."""
    records: int
    """Records in front of those ends whose effects were not durable when it was gone."""
    at: float
    """When it was killed, by the monotonic clock."""


class Watch:
    """What the broker says of a deployment's group."""

    def __init__(self, made: Deployment) -> None:
        self._made, self._log = made, made.topics.log.name
        self.before: dict[int, Stand] = {}
        """How the last fault found the log partitions."""
        self._taken_in = 0

    def owners(self) -> dict[str, frozenset[int]]:
        """By member (its instance id, or what the broker calls it) the log partitions that it owns; empty in a rebalance."""
        group = self._made.settings.kafka.group
        try:
            told = self._made._admin.describe_groups([group])[group]
        except KafkaError:
            return {}
        if told["group_state"] != "Stable":
            return {}
        found = {}
        for member in told["members"]:
            assigned = (member["member_assignment"] or {}).get("assigned_partitions", ())
            numbers = [n for held in assigned if held["topic"] == self._log for n in held["partitions"]]
            found[member["group_instance_id"] or member["member_id"]] = frozenset(numbers)
        return found

    def stands(self) -> dict[int, Stand]:
        """How far each log partition is."""
        committed = self._made.committed()
        ends = self._made.ends([self._log])
        return {tp.partition: Stand(max(0, committed.get(tp, 0)), end) for tp, end in ends.items()}

    def taken_in(self) -> int:
        """Source records that the group has committed."""
        return sum(max(0, at) for tp, at in self._made.committed().items() if tp.topic in self._made.sources)

    def wait_work(self, numbers: Iterable[int], alive: Sequence[Worker], least: int = 300) -> dict[int, Stand]:
        """Return when log partitions have moved since the last fault, `least` source records more were taken in, and
        in one of `numbers` there is work in flight; gives how they stand."""
        wanted, found = set(numbers), dict[int, Stand]()

        def moved() -> bool:
            found.update(self.stands())
            moved = any(found[n].committed > self.before.get(n, Stand(0, 0)).committed for n in wanted)
            return moved and _undone(found, wanted) > 0 and self.taken_in() >= self._taken_in + least

        until(moved, "work since the last fault", alive)
        return found

    def fault(self) -> None:
        """Remember how a fault found things: the next one wants work since then."""
        self.before, self._taken_in = self.stands(), self.taken_in()

    def kill(self, worker: Worker, numbers: Iterable[int]) -> Undone:
        """Kill a worker that owns `numbers`; says what it leaves undone, as told by the broker when it is gone."""
        wanted = set(numbers)
        before, at = self.stands(), time.monotonic()
        worker.kill()
        assert worker.child.returncode == -signal.SIGKILL, (
            f"{worker.name} ended with {worker.child.returncode} by itself"
        )
        after = self.stands()
        left = {n: Stand(after[n].committed, before[n].end) for n in wanted}
        self.fault()
        return Undone({n: before[n].end for n in wanted}, _undone(left, wanted), at)

    def wait_caught_up(self, undone: Undone, alive: Sequence[Worker]) -> float:
        """Return when all that was undone is done; says how many seconds after the kill."""
        until(
            lambda: all(stand.committed >= undone.ends.get(n, 0) for n, stand in self.stands().items()),
            "caught up with what was in flight",
            alive,
        )
        return time.monotonic() - undone.at

    def wait_moving(self, alive: Sequence[Worker]) -> None:
        """Return when all that is in the log now is durably folded: every partition moves."""
        before = self.stands()
        until(lambda: all(now.committed >= before[n].end for n, now in self.stands().items()), "moving again", alive)

    def wait_owned_by(self, name: str, alive: Sequence[Worker]) -> None:
        """Return when one member owns all of the log."""
        until(lambda: len(self.owners().get(name, ())) == self._made.topics.log.partitions, f"all with {name}", alive)

    def wait_spread(self, members: int, alive: Sequence[Worker]) -> dict[str, frozenset[int]]:
        """Return when so many members own log partitions, each some and all of them together all; says which."""
        found: dict[str, frozenset[int]] = {}

        def spread() -> bool:
            found.clear()
            found.update(self.owners())
            all_of_it = sum(map(len, found.values())) == self._made.topics.log.partitions
            return len(found) == members and all(found.values()) and all_of_it

        until(spread, f"spread over {members} workers", alive)
        return found


def _undone(stands: dict[int, Stand], numbers: Iterable[int]) -> int:
    return sum(max(0, stands[n].end - stands[n].committed) for n in numbers)


def until(holds: Callable[[], bool], what: str, alive: Sequence[Worker] = (), timeout_s: float = PATIENCE_S) -> None:
    """Return when something holds. Raises with the workers' last words when it does not, or when one of them ends."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        for worker in alive:
            assert worker.running, f"{worker.name} ended with {worker.child.returncode}:\n{worker.log()[-3000:]}"
        told = "\n".join(f"{worker.name}: {worker.log()[-2000:]}" for worker in alive)
        assert time.monotonic() < deadline, f"not {what} after {timeout_s:.0f} s\n{told}"
        time.sleep(0.1)  # each look is two or three requests: oftener, the judge takes the processor from the judged
