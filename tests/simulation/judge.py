"""What must have come out of a simulated history: the log folded by one process that nothing ever happened to.

I1 the state that the changelog gives is that of the fold, byte for byte; I2 and I4 the changes, after dropping every seq
that was seen, are the fold's, without a gap; I9 so are the messages between partitions, but for repeats of an origin; I3 no id and no seq stands for two contents; I5 every record of a source is
in the log and accounted for once. I8, that nothing is committed before its time, is looked at with every commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from faust.types import TP

from lifestage.change import encode_value
from lifestage.log import topic_code
from lifestage.messages import Posted
from lifestage.partition import Partition
from streams.dead_letters import why
from streams.profiles import applied_of
from tests.kept_kpis import kpi_differences
from tests.posts import posts_amiss
from tests.simulation.kafka import Record
from tests.simulation.product import PARTITIONS, rules_in
from tests.simulation.world import World, WrongError


class Found(NamedTuple):
    """What a history that is right came to."""

    records: int
    profiles: int
    changes: int
    repeats: int


class _Said(msgspec.Struct):
    seq: int
    stage: str | None


_said = msgspec.json.Decoder(_Said).decode


def judge(world: World) -> Found:
    """Compare everything that was written with the fold of the log. Raises `WrongError` with all differences."""
    wrong: list[str] = []
    found = Found(0, 0, 0, 0)
    accounted, posted = 0, list[tuple[int, Posted]]()
    name = world.topics.log.name
    for number in range(PARTITIONS):
        truth = Partition(rules_in(world.settings), name, number, topic_code(name))
        records = world.kafka.logs[TP(truth.topic, number)].records
        due = truth.fold((r.offset, r.key, r.value) for r in records)
        truth.checkpoint()
        posted += [(number, one) for one in truth.take_posted()]
        changes: dict[str, list[tuple[bytes, bytes]]] = {}
        for change in due:
            changes.setdefault(change.partitionkey, []).append((change.id.encode(), encode_value(change.data)))
        wrong += _state(world, truth)
        wrong += _plainly(world, truth)
        repeats, differ = _changes(world, number, changes)
        wrong += differ
        wrong += _newest(world, number, changes)
        for types in truth.marker.accounts.values():
            accounted += sum(count for outcomes in types.values() for count in outcomes.values())
        found = Found(
            found.records + len(records), found.profiles + len(truth.stored), found.changes + len(due),
            found.repeats + repeats,
        )  # fmt: skip
    said = [(n, r.key, r.value) for n in range(PARTITIONS) for r in world.kafka.logs[TP(name, n)].records]
    wrong += [f"I9 {amiss}" for amiss in posts_amiss(said, posted, PARTITIONS)]
    wrong += _conserved(world, accounted)
    if wrong:
        raise WrongError("\n".join(wrong[:20]))
    return found


def _born(truth: Partition, records: Iterable[Record]) -> Partition:
    """A partition that has read these records of its changelog."""
    born = Partition(truth.rules, truth.topic, truth.number)
    for record in records:
        assert record.key is not None
        if record.value is None:
            born.restore(record.key, None, applied_of(record.headers))
        else:
            born.restore(record.key, record.value)
    born.recovered()
    return born


def _state(world: World, truth: Partition) -> list[str]:
    born = _born(truth, world.kafka.logs[TP(world.topics.changelog.name, truth.number)].records)
    place = f"changelog[{truth.number}]"
    wrong = [
        f"I1 {place}: marker.{name} is {getattr(born.marker, name)}, due {getattr(truth.marker, name)}"
        for name in truth.marker.__struct_fields__
        if name != "kpis" and getattr(born.marker, name) != getattr(truth.marker, name) and truth.applied >= 0
    ]
    wrong += [
        f"I1 {place}: profile of {key!r} is {_shown(born, key)}, due {_shown(truth, key)}"
        for key in sorted({*truth.keys(), *born.keys()})
        if truth.stored.get(key) != born.stored.get(key)
    ]
    wrong += [f"I1 {place}: {differs}" for differs in kpi_differences(truth, born)]
    return wrong


def _plainly(world: World, truth: Partition) -> list[str]:
    """After the repairs the newest record of each key is the state: what compaction leaves in the end."""
    changelog = world.kafka.logs[TP(world.topics.changelog.name, truth.number)]
    newest = {record.key or b"": record for record in changelog.records}
    place = f"changelog[{truth.number}]"
    wrong = [
        f"I1 {place}: the newest record of {key!r} is not the state"
        for key in sorted(truth.stored.keys() | {key for key in newest if 0 not in key})
        if truth.stored.get(key) != (newest[key].value if key in newest else None)
    ]
    born = _born(truth, sorted(newest.values(), key=lambda record: record.offset))
    return [*wrong, *(f"I1 {place}, compacted: {differs}" for differs in kpi_differences(truth, born))]


def _shown(partition: Partition, key: bytes) -> str:
    profile = partition.profile(key)
    return "none" if profile is None else f"as of {profile.applied}, seq {profile.seq}, {profile.stage}"


def _changes(world: World, number: int, due: dict[str, list[tuple[bytes, bytes]]]) -> tuple[int, list[str]]:
    told: dict[str, list[tuple[bytes, bytes]]] = {}
    of_id: dict[bytes, tuple[str, int]] = {}
    repeats, wrong = 0, []
    for record in world.kafka.logs[TP(world.topics.changes.name, number)].records:
        assert record.key is not None
        key, seq, id_ = record.key.decode(), _said(record.value).seq, dict(record.headers)["ce_id"]
        heard = told.setdefault(key, [])
        if of_id.setdefault(id_, (key, seq)) != (key, seq):
            wrong.append(f"I3 id {id_!r} stands for {of_id[id_]} and {key, seq}")
        if seq <= len(heard):
            repeats += 1
            if heard[seq - 1] != (id_, record.value):
                wrong.append(f"I3 {key} seq {seq} has two contents: {heard[seq - 1]} and {id_, record.value}")
        elif seq > len(heard) + 1:
            wrong.append(f"I4 {key}: seq {seq} follows {len(heard)}")
        else:
            heard.append((id_, record.value))
    wrong += [
        f"I2 changes of {key}: {len(told.get(key, []))} told, due {len(due.get(key, []))}"
        for key in sorted(due.keys() | told.keys())
        if due.get(key, []) != told.get(key, [])
    ]
    return repeats, wrong


def _newest(world: World, number: int, due: dict[str, list[tuple[bytes, bytes]]]) -> list[str]:
    newest = {}
    for record in world.kafka.logs[TP(world.topics.stages.name, number)].records:
        assert record.key is not None
        newest[record.key.decode()] = record.value
    return [
        f"I2 customer-stages of {key} is not its newest change"
        for key, changes in due.items()
        if newest.get(key) != (None if _said(changes[-1][1]).stage is None else changes[-1][1])
    ]


def _conserved(world: World, accounted: int) -> list[str]:
    wrong = []
    for topic in world.topics.sources:
        for number in range(PARTITIONS):
            tp = TP(topic.name, number)
            missing = set(range(world.kafka.logs[tp].end)) - world.arrived(tp)
            wrong += [f"I5 {tp.topic}[{number}]@{offset} is not in the log" for offset in sorted(missing)]
    if accounted != len(world.shop.sent):
        wrong.append(f"I5 {accounted} events are accounted for, {len(world.shop.sent)} were sent")
    letters = set()
    for number in range(PARTITIONS):
        for record in world.kafka.logs[TP(world.topics.dead_letters.name, number)].records:
            letter = why(dict(record.headers))
            letters.add((letter.topic, letter.partition, letter.offset))
    broken = world.broken()
    if letters != broken:
        wrong.append(f"I5 dead letters {sorted(letters ^ broken)} are missing, or there without a cause")
    return wrong
