"""What provisioning has to do: a pure comparison of what is there with what the settings say.

Nothing that would lose data or order happens by itself: a partition count is never changed, and a source topic that
was there before belongs to the company: it is only made more generous, never less.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from config.errors import SettingsError
from config.settings import Settings
from streams.topics import Topic, topics_of

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

SOURCE_MESSAGE_BYTES = 1_048_588
"""Kafka's own default: a batch of 1 MiB and its 12 bytes of framing."""
OUR_MESSAGE_BYTES = 2 * 1_048_576
"""Twice as much: a dead letter holds a source record as it came and says in headers what is wrong with it."""

_LOSES_WHEN_LESS = ("retention.ms", "max.message.bytes")


class ProvisionError(SettingsError):
    """A topic cannot be as the settings say. One line a topic: what is there, what is wanted, what to do."""


@dataclass(frozen=True, slots=True)
class Existing:
    """A topic as the broker has it: `configs` are those in force, defaults included."""

    partitions: int
    replication: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do to one topic; `str()` is the line that a person reads.

    `alter` carries only the configs that change, with `before` what they were; `keep` needs nothing done;
    `touch` names a topic to a broker that makes topics by itself.
    `notes` say what was found different and left alone.
    """

    kind: Literal["create", "alter", "keep", "touch"]
    topic: str
    partitions: int
    replication: int
    configs: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.kind == "create":
            told = f"{self.partitions} partitions, {self.replication}x, " + ", ".join(
                f"{name}={_shown(name, value)}" for name, value in self.configs.items()
            )
        elif self.kind == "alter":
            told = ", ".join(
                f"{name}: {_shown(name, self.before.get(name, '?'))} -> {_shown(name, value)}"
                for name, value in self.configs.items()
            )
        else:
            told = (
                f"{self.partitions} partitions, as it should be" if not self.notes else f"{self.partitions} partitions"
            )
        return "; ".join((f"{self.kind:<6}  {self.topic}: {told}", *self.notes))


def _shown(name: str, value: str) -> str:
    if not name.endswith(".ms") or not value.lstrip("-").isdigit():
        return value
    number = int(value)
    if number == -1:
        return "for ever"
    for unit, size in (("d", DAY_MS), ("h", HOUR_MS)):
        if number and number % size == 0:
            return f"{number // size} {unit}"
    return f"{number} ms"


def configs_of(topic: Topic, settings: Settings, *, source: bool) -> dict[str, str]:
    """The topic configs that the settings ask for, in Kafka's names."""
    configs = {
        "cleanup.policy": topic.cleanup,
        "retention.ms": str(-1 if topic.retention_days == -1 else topic.retention_days * DAY_MS),
        "message.timestamp.type": topic.timestamps,
        # The broker rewrites what another producer compressed otherwise: without this a source in lz4, snappy or zstd
        # would stop a reader that has no such library, and so would our outputs stop theirs.
        "compression.type": "gzip" if settings.kafka.compression == "gzip" else "uncompressed",
        "max.message.bytes": str(SOURCE_MESSAGE_BYTES if source else OUR_MESSAGE_BYTES),
    }
    if settings.topics.replication >= 3 and not source:
        # With acks=all and one copy in sync, an acknowledged record would stand on one disk.
        configs["min.insync.replicas"] = "2"
    if topic.cleanup == "compact":
        configs |= {
            # A reader that lags less than an hour sees every version, not only the newest.
            "min.compaction.lag.ms": str(HOUR_MS),
            # What was deleted is gone from the disk after 7 days; a tombstone can be read for as long.
            "max.compaction.lag.ms": str(7 * DAY_MS),
            "delete.retention.ms": str(7 * DAY_MS),
            # Only closed segments are compacted.
            "segment.ms": str(DAY_MS),
        }
    return configs


def decide(settings: Settings, existing: Mapping[str, Existing]) -> list[Action]:
    """What has to be done so that `existing` becomes what the settings ask for, a topic each, in journey order.

    Raises `ProvisionError` naming every topic of ours whose partition count differs.
    """
    topics = topics_of(settings)
    actions: list[Action] = []
    refused: list[str] = []
    for topic in topics.all():
        source = topic in topics.sources
        wanted = configs_of(topic, settings, source=source)
        found = existing.get(topic.name)
        if found is None:
            actions.append(Action("create", topic.name, topic.partitions, settings.topics.replication, wanted))
            continue
        if found.partitions != topic.partitions and not source:
            refused.append(_refusal(topic, found, settings, is_log=topic == topics.log))
            continue
        actions.append(_adjust(topic, found, wanted, settings, source=source))
    if refused:
        raise ProvisionError("\n".join(refused))
    return actions


def _refusal(topic: Topic, found: Existing, settings: Settings, *, is_log: bool) -> str:
    why = (
        "the log's can never change once facts are in it"
        if is_log
        else "it would put customers into other partitions than the log does"
    )
    return (
        f"topic {topic.name} has {found.partitions} partitions and topics.partitions is {topic.partitions}: {why}; "
        f"set topics.partitions = {found.partitions}, or another topics.prefix and kafka.group "
        f"(now {settings.topics.prefix!r}, {settings.kafka.group!r}) for a new deployment"
    )


def _adjust(topic: Topic, found: Existing, wanted: dict[str, str], settings: Settings, *, source: bool) -> Action:
    notes: list[str] = []
    if found.partitions != topic.partitions:
        notes.append(f"topics.partitions is {topic.partitions}: left alone, a source may have any number")
    if found.replication != settings.topics.replication:
        notes.append(
            f"kept {found.replication}x, not {settings.topics.replication}x: kafka-reassign-partitions does that"
        )
    changed = {name: value for name, value in wanted.items() if found.configs.get(name) != value}
    if source:
        notes += _left_alone(found, changed)
    elif "retention.ms" in changed and not _grows(found.configs.get("retention.ms"), changed["retention.ms"]):
        notes.append("Kafka will delete what is older")
    before = {name: found.configs.get(name, "?") for name in changed}
    kind: Literal["alter", "keep"] = "alter" if changed else "keep"
    return Action(kind, topic.name, found.partitions, found.replication, changed, before, tuple(notes))


def _left_alone(found: Existing, changed: dict[str, str]) -> Iterator[str]:
    """Take out of `changed` what could lose records of a company's topic, saying so."""
    for name in ("cleanup.policy", *_LOSES_WHEN_LESS):
        if name in changed and not (name in _LOSES_WHEN_LESS and _grows(found.configs.get(name), changed[name])):
            wanted = changed.pop(name)
            yield f"kept {name}={_shown(name, found.configs.get(name, '?'))}, not {_shown(name, wanted)}: no record is lost"


def _grows(before: str | None, after: str) -> bool:
    return before is None or after == "-1" or (before != "-1" and int(after) > int(before))
