"""What the core's benchmark does with its events: the door, then the step, as the agents call them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from config.settings import Identity, Settings
from lifestage import facts, log
from lifestage.cause import Cause, Clock, Rules
from lifestage.change import Announced
from lifestage.decode import Decoder
from lifestage.fact import Fact
from lifestage.keys import key_of
from lifestage.partition import Partition
from lifestage.profile import Profile
from lifestage.replay import Path
from lifestage.step import take
from streams.rules import rules_of


def decoded(values: Iterable[bytes]) -> list[Fact]:
    """The facts of events that are all accepted."""
    decode = Decoder(b"bench").decode
    found = [decode(value, None) for value in values]
    return [fact for fact in found if isinstance(fact, Fact)]


class Counted(Path):
    """Counts changes and lets them go, as a worker does once they are sent."""

    told = 0

    def change(self, announced: Announced) -> None:  # noqa: ARG002 - a Tally's
        """One more."""
        self.told += 1


def folded(given: Sequence[Fact]) -> int:
    """Fold facts one by one in order of arrival, judge each, and announce; returns the number of changes."""
    rules = rules_of(Settings(identity=Identity(secret="bench")))  # noqa: S106 - it keys the hashes of made-up ids
    profiles: dict[str, Profile] = {}
    told, clock = Counted(), Clock()
    for offset, fact in enumerate(given):
        key = key_of(fact)
        assert key is not None
        profile = profiles.get(key)
        if profile is None:
            profile = profiles[key] = Profile()
        take(profile, key, fact, Cause(fact, "customer-events", 0, offset), clock, rules, told)
    return told.told


CODE = 1
"""What the log is known by to itself."""
RUN, FLUSH = 400, 4_000
"""Records that are folded at a time, and events after which what has changed is kept, about as a worker does every 0.2 s."""
Records = list[tuple[bytes | None, bytes]]


def packed(given: Iterable[Fact]) -> Records:
    """Facts as they stand in the log."""
    found: Records = []
    for fact in given:
        key = key_of(fact)
        assert key is not None
        found.append((key.encode(), log.pack(log.FACT, facts.encode(fact))))
    return found


def worked(records: Records, rules: Rules) -> int:
    """Fold a log of one partition to its end, with the messages that come of it, each run's after it; returns how many."""
    partition, waiting, offset, told = Partition(rules, "customer-events", 0, CODE), Records(), 0, 0
    for at in range(0, len(records), RUN):
        waiting += records[at : at + RUN]
        while waiting:
            partition.fold((offset + n, key, value) for n, (key, value) in enumerate(waiting))
            offset += len(waiting)
            waiting = [(posted.key, posted.value) for posted in partition.take_posted()]
            told += len(waiting)
            if at + RUN < len(records):
                break  # what came of a run is folded with the next one
        if at % FLUSH < RUN:
            partition.checkpoint()
    partition.checkpoint()
    return told
