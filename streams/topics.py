"""Everything that flows, on one screen. Names on the wire are written out here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from config.settings import Settings

Cleanup = Literal["delete", "compact"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it is provisioned. `retention_days` −1 keeps for ever."""

    name: str
    keyed_by: str
    carries: str
    partitions: int
    cleanup: Cleanup
    retention_days: int
    timestamps: Literal["CreateTime", "LogAppendTime"]


LOG = "customer-events"
CHANGES = "stage-changes"
STAGES = "customer-stages"
DEAD_LETTERS = "dead-letters"
PROFILES = "profiles"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one deployment, in the order of an event's journey."""

    sources: tuple[Topic, ...]
    log: Topic
    changelog: Topic
    changes: Topic
    stages: Topic
    dead_letters: Topic

    def all(self) -> tuple[Topic, ...]:
        """Every topic that `lifestage provision` sees to."""
        return (*self.sources, self.log, self.changelog, self.changes, self.stages, self.dead_letters)


def topics_of(settings: Settings) -> Topics:
    """The table: what flows, keyed by what, kept how long."""
    t, p, app = settings.topics, settings.topics.prefix, settings.kafka.group
    n = t.partitions
    # fmt: off
    #                      name on the wire                keyed by        carries           partitions  cleanup    kept, days                    timestamps
    sources = tuple(Topic(p + name,                        "anything",     "events",                n, "delete",  t.source_retention_days,      "LogAppendTime") for name in t.sources)
    return Topics(
        sources,
        log=          Topic(p + LOG,                       "customer",     "facts and ticks",       n, "delete",  t.log_retention_days,         "CreateTime"),
        changelog=    Topic(f"{app}-{p}{PROFILES}-changelog", "customer",  "profiles, markers",     n, "compact", -1,                           "CreateTime"),
        changes=      Topic(p + CHANGES,                   "customer",     "stage changes",         n, "delete",  t.changes_retention_days,     "CreateTime"),
        stages=       Topic(p + STAGES,                    "customer",     "the newest change",     n, "compact", -1,                           "CreateTime"),
        dead_letters= Topic(p + DEAD_LETTERS,              "as it came",   "rejected events",       n, "delete",  t.dead_letter_retention_days, "CreateTime"),
    )
    # fmt: on
