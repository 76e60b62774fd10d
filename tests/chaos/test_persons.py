"""The judge of who is who is judged: what is right passes, on any number of partitions and in any order; slips are found."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest

from config.settings import load
from lifestage import log
from lifestage.change import encode_value
from lifestage.partition import Partition
from lifestage.profile import decode, encode
from streams.doorway import Doorway, decoder_of, partition_of
from streams.rules import rules_of
from tests.chaos.arena import END_MS
from tests.chaos.identities import counting_plan
from tests.chaos.people import MANNERS, ROUND, Event, people
from tests.chaos.persons import Persons, misplaced
from tests.chaos.verdict import slips
from tests.pipeline import Written

EVENTS = 4_500
TOPICS = ("visits", "emails", "purchases", "identity")
LOG_CODE = 7


class Deployment:
    """The product's own step on several partitions, with messages between them; chance says who is how far."""

    def __init__(self, plan: Path, partitions: int, seed: int) -> None:
        given = {"IDENTITY_SECRET": "a secret of the tests", "LIFECYCLE_PLAN": str(plan)}
        settings = load(environment={f"LIFESTAGE_{name}": value for name, value in given.items()})
        rules = rules_of(settings)
        self._doorway = Doorway(decoder_of(settings), TOPICS, partitions)
        self.partitions = [Partition(rules, "log", number, LOG_CODE) for number in range(partitions)]
        self._logs: list[list[tuple[int, bytes | None, bytes]]] = [[] for _ in self.partitions]
        self._chance, self._offset = random.Random(seed), 0
        self.written, self.letters = Written(), 0

    def _append(self, number: int, key: bytes | None, value: bytes) -> None:
        self._logs[number].append((len(self._logs[number]), key, value))

    def take_in(self, said: Event) -> None:
        """Put an event into the log."""
        source = SimpleNamespace(
            topic=said.topic, partition=0, offset=self._offset, timestamp=END_MS, key=None, value=said.value, headers=()
        )
        self._offset += 1
        entry = self._doorway.enter(source)
        self.letters += entry.dead_letter is not None
        self._append(entry.partition, entry.key, entry.value)

    def fold(self, most: int) -> bool:
        """Let some partition fold at most so many records. False where nothing is left."""
        waiting = [p for p in self.partitions if p.applied + 1 < len(self._logs[p.number])]
        if not waiting:
            return False
        partition = self._chance.choice(waiting)
        first = partition.applied + 1
        for change in partition.fold(self._logs[partition.number][first : first + self._chance.randrange(1, most + 1)]):
            self.written.changes[change.partitionkey].append(encode_value(change.data))
        for key, value in partition.take_posted():
            self._append(partition_of(key, len(self.partitions)), key, value)
        if self._chance.random() < 0.1:
            partition.checkpoint()
        return True

    def settle(self) -> None:
        """Fold everything."""
        while self.fold(50):
            pass

    def end(self) -> None:
        """All time passes."""
        for number in range(len(self.partitions)):
            self._append(number, None, log.pack_tick(log.Tick(END_MS, live=False)))
        self.settle()
        for partition in self.partitions:
            partition.checkpoint()
            self.written.profiles.update(partition.whole())
            self.written.markers[partition.number] = partition.marker
        for key, changes in self.written.changes.items():
            if b'"stage":null' not in changes[-1]:
                self.written.newest[key] = changes[-1]


def worked(plan: Path, said: list[Event], partitions: int, seed: int = 1) -> Deployment:
    """What so many partitions make of events, then of all time passing."""
    made = Deployment(plan, partitions, seed)
    for number, one in enumerate(said):
        if number % ROUND == 0:
            made.settle()
        made.take_in(one)
        if made._chance.random() < 0.3:
            made.fold(20)
    made.settle()
    made.end()
    return made


def amiss(said: list[Event], made: Deployment) -> list[str]:
    """All that the judge finds."""
    persons = Persons().listen(said)
    return slips(persons, made.written, made.letters) + misplaced(persons, made.written)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """The plan that counts."""
    return counting_plan(tmp_path)


@pytest.fixture(scope="module")
def said() -> list[Event]:
    """A few thousand events."""
    return list(islice(people(5), EVENTS))


@pytest.mark.parametrize("partitions", [1, 3, 8])
def test_what_is_right_passes(plan: Path, partitions: int) -> None:
    """The product's step and the judge, who share no line of code, agree on everybody, on whatever number of partitions."""
    given = list(islice(people(100 + partitions), EVENTS))
    assert amiss(given, worked(plan, given, partitions)) == []


def test_whose_an_event_is_is_what_who_made_it_says(said: list[Event]) -> None:
    """The judge finds out for each profile one person, or the two who are still taken for one; and each manner is there."""
    tags = Persons().listen(said).tags
    several = {frozenset(found) for found in tags.values() if len(found) > 1}
    assert all(max(pair) - min(pair) == 1 and MANNERS[min(pair) % len(MANNERS)] == "mistaken" for pair in several)
    assert len(several) < len(tags) / 20
    kinds = {one.event["type"] for one in said if one.fate == "accepted"}
    assert {"identity.merged", "identity.split", "identity.linked", "lead.captured", "order.refunded"} <= kinds


def test_a_device_of_two_changes_hands(said: list[Event]) -> None:
    """There are devices on which two people were, each of them without a name, too."""
    nameless = {(one.event["anonymous_id"], one.person) for one in said if one.event.keys() >= {"anonymous_id"}}
    shared = [device for device, _ in nameless if device.startswith("s")]
    assert sum(shared.count(device) == 2 for device in set(shared)) >= 10


def test_nothing_is_sent_again_in_a_round_with_a_split() -> None:
    """Neither before nor after it, of whom it tells apart: whether a repeat is known then depends on which partition is faster."""
    repeated, split = set[tuple[int, int]](), set[tuple[int, int]]()
    for number, one in enumerate(islice(people(1), 100 * ROUND)):
        if one.fate == "duplicate":
            repeated.add((one.person, number // ROUND))
        elif one.event.get("type") == "identity.split":
            split |= {(one.person, number // ROUND), (one.person + 1, number // ROUND)}
    assert len(split) > 50
    assert len(repeated) > 500
    assert not repeated & split


def _lose_a_visit(made: Deployment) -> None:
    written = made.written
    key = next(key for key, value in written.profiles.items() if (m := decode(value).marks.get("visits")) and m.kept)
    profile = decode(written.profiles[key])
    profile.marks["visits"].kept.pop()
    written.profiles[key] = encode(profile)


def _bring_back_an_address(made: Deployment) -> None:
    key = next(key for key in made.written.profiles if key.startswith(b"email:"))
    profile = decode(made.written.profiles[key])
    assert profile.kin is not None
    profile.kin.alias = None
    made.written.profiles[key] = encode(profile)


def _announce_twice(made: Deployment) -> None:
    key = next(key for key in made.written.changes if key.startswith("email:") and key not in made.written.newest)
    made.written.newest[key] = next(iter(made.written.newest.values()))


def _double_an_order(made: Deployment) -> None:
    made.written.markers[0].sums["EUR"][0] *= 2


@pytest.mark.parametrize("spoil", [_lose_a_visit, _bring_back_an_address, _announce_twice, _double_an_order])
def test_each_slip_is_found(plan: Path, said: list[Event], spoil: Callable[[Deployment], None]) -> None:
    """One wrong profile, id, change or sum among hundreds is found, and one only."""
    made = worked(plan, said, 1)
    spoil(made)
    assert len(amiss(said, made)) == 1
