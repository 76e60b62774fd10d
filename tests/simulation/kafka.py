"""A Kafka without a network: logs, a group with generations and commits, and requests that are delivered one by one.

A request goes in two steps, each of which the simulation takes when it likes: the broker does it, and the answer comes
back. So a batch may be in the log and its sender not know, for as long as one likes, or for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka.errors import RebalanceInProgressError, UnknownMemberIdError
from faust.types import TP

from tests.simulation.loop import Life

HELD_S = 6.0
"""Two session timeouts: so long may a network hold a write of a member that the group has given up."""


class Record(NamedTuple):
    """A record as a consumer gets it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: Any
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = -1
    producer: int = -1
    """Who wrote it, as a batch's header says."""


class Stored:
    """One partition's records; compaction leaves holes."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.end = 0
        """The next offset to be written."""

    def since(self, offset: int, most: int) -> list[Record]:
        """The first `most` records at or after an offset."""
        records = self.records
        low = max(0, len(records) - (self.end - offset)) if offset < self.end else len(records)
        while low and records[low - 1].offset >= offset:
            low -= 1
        return records[low : low + most]


@dataclass
class Request:
    """Something that a life asks of the broker."""

    life: Life
    do: Callable[[], Any]
    answer: asyncio.Future[Any]
    what: str
    done: bool = False
    result: Any = None
    sent: float = 0.0
    """When it was put on the wire."""
    ready: Callable[[], bool] = lambda: True
    """Whether the broker can answer already: a member that joins waits for the others."""


@dataclass
class Member:
    """A member of the group."""

    life: Life
    generation: int = -1
    joined: bool = False
    """Has asked to be in the generation that is being prepared."""
    assigned: frozenset[int] = frozenset()
    heard: float = 0.0
    """When it was last heard of."""


@dataclass
class Group:
    """The coordinator of the one consumer group. It hands out numbers: each stands for that partition of every topic."""

    partitions: int
    now: Callable[[], float]
    generation: int = 0
    preparing: bool = False
    members: dict[str, Member] = field(default_factory=dict)
    takeovers: int = 0
    """How often a partition came to another member."""
    _owners: dict[int, str] = field(default_factory=dict)

    def join(self, life: Life) -> None:
        """A member asks for the next generation."""
        member = self.members.setdefault(life.name, Member(life))
        member.joined, member.heard = True, self.now()
        self.preparing = True
        self.complete()

    def placed(self, life: Life) -> bool:
        """Whether a member that has joined can be told what it was given, or that it is none."""
        member = self.members.get(life.name)
        return member is None or not member.joined

    def hear(self, life: Life, generation: int) -> int:
        """Take a heartbeat; returns Kafka's code."""
        member = self.members.get(life.name)
        if member is None or member.generation != generation:
            return int(UnknownMemberIdError.errno)
        member.heard = self.now()
        return int(RebalanceInProgressError.errno) if self.preparing else 0

    def drop(self, name: str) -> None:
        """A member has left, or was not heard of for a session timeout."""
        if self.members.pop(name, None) is not None:
            self.preparing = True
            self.complete()

    def complete(self) -> None:
        """Begin a generation when all members are here. A partition mostly stays where it is."""
        if not self.preparing or not self.members or not all(member.joined for member in self.members.values()):
            return
        self.generation += 1
        self.preparing = False
        names = sorted(self.members)
        given: dict[str, set[int]] = {name: set() for name in names}
        for number in range(self.partitions):
            owner = self._owners.get(number, "")
            if owner not in names or (number + self.generation) % 3 == 0:
                owner = names[(number + self.generation) % len(names)]
            self.takeovers += self._owners.get(number, owner) != owner
            self._owners[number] = owner
            given[owner].add(number)
        for name, member in self.members.items():
            member.generation, member.joined, member.assigned = self.generation, False, frozenset(given[name])
            member.heard = self.now()

    def knows(self, life: Life, generation: int) -> bool:
        """Whether a commit of this generation is taken."""
        member = self.members.get(life.name)
        return member is not None and member.life is life and generation == self.generation == member.generation


class SimulatedKafka:
    """All that outlasts a worker."""

    def __init__(self, topics: Iterable[str], partitions: int, now: Callable[[], float]) -> None:
        self.logs = {TP(topic, number): Stored() for topic in topics for number in range(partitions)}
        self.committed: dict[TP, tuple[int, str]] = {}
        self.group, self.now = Group(partitions, now), now
        self.lanes: dict[tuple[str, str], deque[Request]] = {}
        """Requests of a life that keep their order among each other, the first of which is on the wire."""
        self.held: set[tuple[str, str]] = set()
        """Lanes that the network holds: they are delivered when that is said of them, and not along with all."""
        self.producers = 0
        """How many have been numbered: none has another's number."""
        self.appended: Callable[[Record], None] = lambda _: None
        """Told of every record."""
        self.moved: Callable[[TP], None] = lambda _: None
        """Told of every commit."""

    def append(
        self,
        tp: TP,
        records: Iterable[tuple[bytes | None, Any, Any]],
        timestamp: int | None = None,
        producer: int = -1,
    ) -> int:
        """Write records; returns the offset of the first."""
        log = self.logs[tp]
        first = log.end
        timestamp = int(self.now() * 1000) if timestamp is None else timestamp
        for key, value, headers in records:
            record = Record(tp.topic, tp.partition, log.end, key, value, tuple(headers), timestamp, producer)
            log.records.append(record)
            log.end += 1
            self.appended(record)
        return first

    def commit(self, life: Life, generation: int, offsets: dict[TP, tuple[int, str]]) -> bool:
        """Take a commit, unless it is of another generation."""
        if not self.group.knows(life, generation):
            return False
        for tp, said in offsets.items():
            self.committed[tp] = said
            self.moved(tp)
        return True

    # -- the wire --------------------------------------------------------------------------------

    def ask(
        self,
        life: Life,
        lane: str,
        what: str,
        do: Callable[[], Any],
        ready: Callable[[], bool] = lambda: True,
    ) -> asyncio.Future[Any]:
        """Put a request behind the others of its lane."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.lanes.setdefault((life.name, lane), deque()).append(
            Request(life, do, answer, what, sent=self.now(), ready=ready)
        )
        return answer

    def deliverable(self) -> list[tuple[str, str]]:
        """Lanes whose first request can be done or answered now."""
        return [lane for lane, waiting in self.lanes.items() if self._can(waiting[0]) and lane not in self.held]

    def come_in(self) -> list[tuple[str, str]]:
        """Held lanes whose first request can be done or answered."""
        return [lane for lane in sorted(self.held) if lane in self.lanes and self._can(self.lanes[lane][0])]

    def _can(self, request: Request) -> bool:
        if not request.done:
            return True
        return request.ready() and not request.life.stopped

    def deliver(self, lane: tuple[str, str], error: BaseException | None = None) -> str:
        """Do the first request of a lane, or bring its answer (`error`: instead of it). Says what happened."""
        waiting = self.lanes[lane]
        request = waiting[0]
        if not request.done and self._gone(request):
            del self.lanes[lane]
            return f"{lane[0]}: {request.what}: lost with its connection"
        if not request.done:
            request.result, request.done = request.do(), True
            if request.life.alive:
                return f"{lane[0]}: {request.what}: done"
        waiting.popleft()
        if not waiting:
            del self.lanes[lane]
        if not request.life.alive:
            return f"{lane[0]}: {request.what}: done, and nobody to answer"
        if not request.answer.done():
            if error is not None:
                request.answer.set_exception(error)
            else:
                request.answer.set_result(request.result)
        return f"{lane[0]}: {request.what}: {'failed' if error else 'answered'}"

    def _gone(self, request: Request) -> bool:
        """Whether a request of somebody who is no member has been on the wire for longer than a network holds it."""
        member = self.group.members.get(request.life.name)
        return " to " in request.what and member is None and self.now() - request.sent > HELD_S

    def cut_off(self, life: Life, *, lost: bool) -> None:
        """A life has ended: what it has not sent is gone; what is on the wire comes in, or is `lost` too."""
        for lane in [lane for lane in self.lanes if lane[0] == life.name]:
            first = self.lanes[lane][0]
            if lost or first.done or first.what in {"join", "heartbeat", "fetch", "ask"}:
                del self.lanes[lane]
            else:
                self.lanes[lane] = deque([first])

    def compact(self, tp: TP, held: Callable[[Record, Record], bool], below: int) -> int:
        """Drop records below an offset that a later one of the same key stands for. Says how many.

        `held(record, newest)` holds one back; also asked for the newest of a key where that is a tombstone.
        """
        log = self.logs[tp]
        newest = {record.key: record for record in log.records}
        before = len(log.records)
        log.records = [
            r
            for r in log.records
            if r.offset >= below or (newest[r.key] is r and r.value is not None) or held(r, newest[r.key])
        ]
        return before - len(log.records)
