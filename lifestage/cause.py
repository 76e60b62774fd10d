"""What a step is given besides the profile and the fact, and what it reports to."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from lifestage.change import Announced
from lifestage.facts import Fact
from lifestage.messages import Occasion
from lifestage.plan import Compiled

LONG_AGO: Final = -(1 << 60)
"""The clock before any tick, ms."""


class Rules(NamedTuple):
    """What a step goes by, the same for all profiles of a partition."""

    plan: Compiled
    announce_anonymous: bool = False
    lateness: int = 7 * 86_400_000
    id_key: bytes = b"lifestage"
    link: bool = True
    """Whether events with several ids link them."""
    new_anonymous: int = 0
    """Anonymous profiles that a source may bring into being in one minute, in one partition; 0: any number."""
    window: int = 0
    """Days of the window of the KPIs that are kept with the state; 0: none are."""


class Clock(NamedTuple):
    """The tick in force: all facts before `time` (ms) are believed to be in the log."""

    time: int = LONG_AGO
    live: bool = False


class Cause(msgspec.Struct, frozen=True, gc=False):
    """The log record at hand. `due` is set where time, not the record's fact, brings the move."""

    fact: Fact | None
    topic: str | None = None
    partition: int | None = None
    offset: int = -1
    due: int | None = None
    why: Literal["", "link", "merge", "split"] = ""
    """What has happened to the customer's ids, where that is it."""
    occasion: Occasion | None = None
    """The event by which that came about."""

    def timer(self, due: int) -> Cause:
        """The same record as the occasion on which a timer's move is noticed."""
        return Cause(self.fact, self.topic, self.partition, self.offset, due)


class Tally(Protocol):
    """What a step reports besides the profile."""

    forgotten: int
    dedupe_overflow: int

    def change(self, announced: Announced) -> None:
        """A change to send."""

    def enter(self, stage: str | None) -> None:
        """A profile came to stand in `stage`."""

    def leave(self, stage: str | None) -> None:
        """A profile no longer stands in `stage`."""

    def money(self, currency: str, orders: int, gross_minor: int, net_minor: int) -> None:
        """The company's sums move by this much."""
