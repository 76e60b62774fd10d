"""A small world of log partitions that tell each other who belongs to whom: any order of work, any crash, from one seed.

What outlasts a process is here: the logs, what each partition kept of its state, and the changes that went out. A process
is a `Partition`; its messages stand in outboxes, a lane for each target, until they are in the log there.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import chain
from random import Random
from typing import NamedTuple

from lifestage import log
from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.facts import (
    Fact,
    IdentityMerged,
    IdentitySplit,
    OrderCancelled,
    OrderRefunded,
    TicketCreated,
    TicketReopened,
    TicketReplied,
    TicketSolved,
)
from lifestage.facts import encode as encode_fact
from lifestage.keys import MERGES, ORDER, TICKET, key_of
from lifestage.kpi_pages import OWNER as KPIS
from lifestage.marker import MARKER_KEY, PREPARED_KEY
from lifestage.messages import Posted
from lifestage.pages import owner
from lifestage.partition import Checkpoint, Partition
from lifestage.profile import Profile
from lifestage.sides import facts_from
from streams.doorway import partition_of
from tests.core.histories import Record

TOPIC = "customer-events"
CODE = log.topic_code(TOPIC)
SOURCE = log.topic_code("everything")
HOPS = 12
"""More log records for each fact of a source than any chain of messages takes."""


class LostError(AssertionError):
    """Work went on for ever, or nothing went on."""


def key_in_log(fact: Fact) -> str:
    """Under which key intake writes a fact."""
    if isinstance(fact, IdentityMerged | IdentitySplit):
        return MERGES
    key = key_of(fact)
    if key is not None:
        return key
    if isinstance(fact, OrderRefunded | OrderCancelled):
        return f"{ORDER}{fact.source} {fact.order_id}"
    assert isinstance(fact, TicketCreated | TicketReplied | TicketSolved | TicketReopened), fact
    return f"{TICKET}{fact.source} {fact.ticket_id}"


class Kept(NamedTuple):
    """A record of the changelog."""

    key: bytes
    value: bytes | None
    applied: int = -1


class Shape(NamedTuple):
    """How a world is: all that is not its facts."""

    partitions: int = 4
    sources: int = 2
    """Partitions of the source; each keeps the order of its events."""
    crashes: bool = True
    ticks: bool = True
    orderly: bool = False
    """Everything comes to rest before the next event comes in."""
    workers: int = 0
    """Processes that share the partitions, which go from one to another now and then; none: each partition has its own."""


class World:
    """The logs of one deployment, who folds them, and what is kept."""

    def __init__(
        self, rules: Rules, facts: Sequence[Fact], chance: Random, shape: Shape, kind: type[Partition] = Partition
    ) -> None:
        self.rules, self.facts, self.chance, self.shape, self.kind = rules, facts, chance, shape, kind
        self.left_out: set[str] = set()
        """Ids of the events that do not count."""
        count = shape.partitions
        self.logs: list[list[Record]] = [[] for _ in range(count)]
        self.changelogs: list[list[Kept]] = [[] for _ in range(count)]
        self.told: list[list[Announced]] = [[] for _ in range(count)]
        self.untold: list[list[Announced]] = [[] for _ in range(count)]
        self.lanes: list[dict[int, deque[Posted]]] = [defaultdict(deque) for _ in range(count)]
        self.sources: list[list[Fact]] = [list(facts[n :: shape.sources]) for n in range(shape.sources)]
        self.read = [0] * shape.sources
        self.furthest = [0] * shape.sources
        """How far each source has been read at any time: reading goes back after a crash of intake."""
        self.restless: list[int] = []
        """Times of the facts that came in since everything was at rest last."""
        self.crashes = 0
        self.holders = [number % max(shape.workers, 1) for number in range(count)]
        """Of each partition, the worker that folds it."""
        self.folds = [self.born(number) for number in range(count)]
        self.places = [0] * count
        """Of each log, how many records its process has folded."""

    # -- what goes on ----------------------------------------------------------------------------

    def run(self) -> None:
        """Let everything happen until nothing is left to do, then let the state be kept."""
        most = HOPS * (len(self.facts) + 10) * (self.shape.partitions + 2)
        for _ in range(most * 40):
            if self.rests() and self.read == [len(source) for source in self.sources]:
                break
            self.step()
            if self.distinct_records() > most:
                raise LostError(f"{self.distinct_records()} records of {len(self.facts)} facts: messages go in circles")
        else:
            raise LostError("the world did not come to rest")
        for number in range(self.shape.partitions):
            self.flush(number)

    def step(self) -> None:
        """Let one thing happen, by chance."""
        what = self.chance.random()
        number = self.chance.randrange(self.shape.partitions)
        if what < 0.25:
            if not self.shape.orderly:
                self.take_in(self.chance.randrange(self.shape.sources), self.chance.randrange(1, 4))
            elif self.rests():
                self.take_in(sum(self.read) % self.shape.sources, 1)
        elif what < 0.6:
            self.fold(number, self.chance.choice((1, 1, 2, 5, 1000)))
        elif what < 0.82:
            self.deliver(number, self.chance.choice((1, 2, 1000)))
        elif what < 0.9:
            self.flush(number)
        elif what < 0.96:
            if self.shape.workers > 0 and self.chance.random() < 0.5:
                self.share()
            elif self.shape.crashes:
                self.crash(number, self.chance.choice((None, None, 0, 1, 2, 5)))
        elif what < 0.98:
            if self.shape.crashes:
                self.go_back()
        elif self.shape.ticks:
            some = [n for n in range(self.shape.partitions) if self.chance.random() < 0.7]
            self.tick(self.next_tick() - self.chance.choice((0, 0, 1, 86_400_000, 7 * 86_400_000)), some)

    def rests(self) -> bool:
        """Whether all logs are folded to their ends and no message is on its way."""
        folded = all(place == len(records) for place, records in zip(self.places, self.logs, strict=True))
        at_rest = folded and not any(any(lanes.values()) for lanes in self.lanes)
        if at_rest:
            self.restless.clear()
        return at_rest

    def take_in(self, number: int, count: int) -> None:
        """Intake reads so many events of one source partition, and writes their facts."""
        for fact in self.sources[number][self.read[number] : self.read[number] + count]:
            for n, one in enumerate(facts_from(fact)):
                key = key_in_log(one)
                value = log.pack(log.FACT, encode_fact(one), SOURCE, number, self.read[number], n)
                self.append(partition_of(key.encode(), self.shape.partitions), key.encode(), value)
            self.restless.append(fact.time)
            self.read[number] += 1
        self.furthest[number] = max(self.furthest[number], self.read[number])

    def go_back(self) -> None:
        """Intake dies, and reads a source partition again from an earlier place."""
        number = self.chance.randrange(self.shape.sources)
        if not self.shape.orderly:
            self.read[number] -= self.chance.randrange(min(4, self.read[number] + 1))

    def append(self, number: int, key: bytes | None, value: bytes) -> None:
        """Put a record at the end of a log; some offsets hold none."""
        records = self.logs[number]
        last = records[-1][0] if records else -1
        records.append((last + self.chance.choice((1, 1, 1, 2)), key, value))

    def fold(self, number: int, count: int) -> None:
        """A partition folds its next records."""
        run = self.logs[number][self.places[number] : self.places[number] + count]
        self.places[number] += len(run)
        for changes in self.folds[number].folding(run):
            self.untold[number] += changes
            for posted in self.folds[number].take_posted():
                self.lanes[number][partition_of(posted.key, self.shape.partitions)].append(posted)

    def deliver(self, number: int, count: int) -> None:
        """Of the messages of a partition the next on one lane come in."""
        lanes = [(target, lane) for target, lane in self.lanes[number].items() if lane]
        if lanes:
            target, lane = self.chance.choice(lanes)
            for _ in range(min(count, len(lane))):
                self.append(target, *lane.popleft())

    def tick(self, time: int, numbers: Iterable[int]) -> None:
        """The clock goes on in some logs."""
        for number in numbers:
            self.append(number, None, log.pack_tick(log.Tick(time, live=True)))

    def end(self, time: int) -> None:
        """Everything happens, then time passes, for all, and everything that follows from it happens."""
        self.run()
        self.tick(time, range(self.shape.partitions))
        self.run()

    def next_tick(self) -> int:
        """How far clocks may go on."""
        return self.latest_tick()

    def latest_tick(self) -> int:
        """The latest tick by which no fact that is still to be folded somewhere comes too late, and no visitor is forgotten."""
        self.rests()
        unread = (fact.time for n, source in enumerate(self.sources) for fact in source[self.furthest[n] :])
        times = [fact.time for fact in self.facts]
        latest = min(chain(self.restless, unread), default=max(times)) + self.rules.lateness
        silence = self.rules.plan.plan.forget_anonymous
        return latest if self.rules.announce_anonymous or silence is None else min(latest, min(times) + silence)

    # -- keeping, and ends -----------------------------------------------------------------------

    def flush(self, number: int) -> None:
        """A partition keeps its state: first its messages and changes are out, then what they follow from is kept."""
        if self.folds[number].applied > self.folds[number].marker.offset:
            self.hand_over(number)
            self.keep(number, self.folds[number].checkpoint(), None)

    def hand_over(self, number: int) -> None:
        """All messages and changes of a partition are acknowledged."""
        lanes = list(self.lanes[number])
        self.chance.shuffle(lanes)
        for target in lanes:
            while self.lanes[number][target]:
                self.append(target, *self.lanes[number][target].popleft())
        self.told[number] += self.untold[number]
        self.untold[number].clear()

    def keep(self, number: int, kept: Checkpoint, cut: int | None) -> None:
        """Write a checkpoint as one too large for one batch; `cut`: the process ends after so many records of it."""
        first = [Kept(key, value) for key, value in kept.pages.items() if value is not None and owner(key) == KPIS]
        if first and cut is not None and self.chance.random() < 0.3:
            self.changelogs[number] += first[: self.chance.randrange(len(first) + 1)]
            return
        self.changelogs[number] += first
        if kept.final:
            self.changelogs[number].append(Kept(PREPARED_KEY, kept.marker))
        records = [Kept(key, value) for key, value in kept.pages.items() if value is None or owner(key) != KPIS]
        records += [Kept(key, value, kept.gone.get(key, -1)) for key, value in kept.profiles.items()]
        self.changelogs[number] += records[:cut]
        if kept.final and cut is None:
            self.changelogs[number].append(Kept(MARKER_KEY, kept.marker))

    def crash(self, number: int, cut: int | None) -> None:
        """A process ends: in the middle of keeping its state (`cut`), or with only some of its messages and changes out."""
        self.crashes += 1
        if cut is not None and self.folds[number].applied > self.folds[number].marker.offset:
            self.hand_over(number)
            self.keep(number, self.folds[number].checkpoint(), cut)
        for lane in self.lanes[number]:
            for _ in range(self.chance.randrange(len(self.lanes[number][lane]) + 1)):
                self.append(lane, *self.lanes[number][lane].popleft())
        self.lanes[number].clear()
        untold = self.untold[number]
        self.told[number] += untold[: self.chance.randrange(len(untold) + 1)]
        self.untold[number] = []
        self.folds[number] = self.born(number)
        applied = self.folds[number].applied
        self.places[number] = sum(offset <= applied for offset, _, _ in self.logs[number])

    def share(self) -> None:
        """Partitions go to other workers: each of them goes on from what was kept. The one whose they were has kept it all, or
        has come to an end, with all that it held."""
        ended = self.chance.randrange(self.shape.workers) if self.shape.crashes and self.chance.random() < 0.5 else -1
        for number, holder in enumerate(self.holders):
            to = self.chance.randrange(self.shape.workers)
            if holder == ended:
                self.crash(number, self.chance.choice((None, None, 0, 2)))
            elif holder != to:
                self.flush(number)
                self.crash(number, None)
            self.holders[number] = to

    def born(self, number: int) -> Partition:
        """A new process that has read what was kept of a partition."""
        new = self.kind(self.rules, TOPIC, number, CODE)
        for kept in self.changelogs[number]:
            new.restore(*kept)
        new.recovered()
        return new

    # -- what came of it -------------------------------------------------------------------------

    def distinct_records(self) -> int:
        """Records that are no repeats."""
        return sum(len({value for _, _, value in records}) for records in self.logs)

    def heard(self) -> list[Announced]:
        """What a consumer makes of all changes: those with a seq that it has not seen, by partition."""
        return list(chain.from_iterable(map(fresh, self.told)))

    def profiles(self) -> dict[str, Profile]:
        """All that is kept, by key."""
        found = {}
        for fold in self.folds:
            for key in [*fold.keys()]:
                profile = fold.profile(key)
                assert profile is not None
                found[key.decode()] = profile
        return found


class Ahead(World):
    """One in which clocks go on without regard to facts that are still to come: what comes too late, or was not anybody's in
    time, does not count."""

    def __init__(
        self, rules: Rules, facts: Sequence[Fact], chance: Random, shape: Shape, kind: type[Partition] = Partition
    ) -> None:
        left_out = set[str]()

        class Noting(kind):  # type: ignore[valid-type, misc]
            """A partition that notes which events it leaves out."""

            def _count(self, fact: Fact, outcome: str) -> None:
                if outcome in {"late", "suppressed"}:
                    left_out.add(fact.id)
                super()._count(fact, outcome)

        super().__init__(rules, facts, chance, shape, Noting)
        self.left_out = left_out

    def next_tick(self) -> int:
        """As far as one of the facts, read or not, is in time."""
        return self.chance.choice(self.facts).time + self.rules.lateness + 1


def fresh(told: Iterable[Announced]) -> list[Announced]:
    """Changes without those whose seq the customer has had."""
    seen: dict[str, int] = {}
    found = []
    for change in told:
        if change.data.seq > seen.get(change.partitionkey, 0):
            seen[change.partitionkey] = change.data.seq
            found.append(change)
    return found
