"""What the core's benchmark does with its events: the door, then the step, as the agents call them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from config.settings import Identity, Settings
from lifestage.cause import Cause, Clock
from lifestage.change import Announced
from lifestage.decode import Decoder
from lifestage.fact import Fact
from lifestage.keys import key_of
from lifestage.profile import Profile
from lifestage.replay import Path
from lifestage.step import take
from streams.rules import rules_of


def decoded(values: Iterable[bytes]) -> list[Fact]:
    """The facts of events that are all accepted."""
    decode = Decoder(b"bench").decode
    facts = [decode(value, None) for value in values]
    return [fact for fact in facts if isinstance(fact, Fact)]


class Counted(Path):
    """Counts changes and lets them go, as a worker does once they are sent."""

    told = 0

    def change(self, announced: Announced) -> None:  # noqa: ARG002 - a Tally's
        """One more."""
        self.told += 1


def folded(facts: Sequence[Fact]) -> int:
    """Fold facts one by one in order of arrival, judge each, and announce; returns the number of changes."""
    rules = rules_of(Settings(identity=Identity(secret="bench")))  # noqa: S106 - it keys the hashes of made-up ids
    profiles: dict[str, Profile] = {}
    told, clock = Counted(), Clock()
    for offset, fact in enumerate(facts):
        key = key_of(fact)
        assert key is not None
        profile = profiles.get(key)
        if profile is None:
            profile = profiles[key] = Profile()
        take(profile, key, fact, Cause(fact, "customer-events", 0, offset), clock, rules, told)
    return told.told
