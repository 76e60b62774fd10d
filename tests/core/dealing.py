"""Facts of one customer dealt into several sets, as they come under several ids, and all of them in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import msgspec
from hypothesis import strategies as st
from msgspec import to_builtins
from msgspec.structs import replace

from config.plan_files import sheet_of, shipped
from lifestage.cause import Cause, Clock, Rules
from lifestage.facts import (
    Consent,
    Context,
    Fact,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    OrderUpdated,
)
from lifestage.profile import Profile, decode, encode
from lifestage.replay import Path
from lifestage.step import AMENDED, add_to_part, take
from lifestage.union import facts_of, is_empty
from tests.core.histories import Tick
from tests.core.histories_all import Log, cases, crowds, logs

SHIPPED = st.sampled_from([sheet_of(name).plan for name in shipped()])
some_log = st.one_of(logs(cases()), logs(cases()), logs(cases(SHIPPED)))
SETS = 4
ORDER_KINDS = (OrderCompleted, OrderUpdated, OrderRefunded, OrderCancelled)
BESIDE = {"newest", "seen"}
"""What remembers, too, the second event that tells the same of an order where it came to another set than the first."""


class Dealt(NamedTuple):
    """Facts in several sets, and all of them in one."""

    rules: Rules
    whole: Profile
    parts: list[Profile]
    horizon: int
    sums: dict[str, list[int]]
    """What the one set told the company's sums."""


class Hand:
    """Profiles that facts are folded into as they arrive."""

    def __init__(self, log: Log) -> None:
        self.rules, self.items = log.case.rules, log.items
        self.clock, self.tally = Clock(), Path()
        self.whole, self.parts = Profile(), [Profile() for _ in range(SETS)]

    @property
    def horizon(self) -> int:
        """Up to where everything may still be asked."""
        return self.clock.time - self.rules.lateness

    def fold(self, item: Fact | Tick, offset: int, to: Sequence[int]) -> None:
        """Let one item arrive at the whole and at some of the sets, each time a little later in the log."""
        if isinstance(item, Tick):
            self.clock = Clock(max(item.time, self.clock.time))
            return
        for copy in range(len(to)):
            self._take(self.whole, item, SETS * offset + copy, self.tally)
        for copy, hand in enumerate(to):
            self._take(self.parts[hand], item, SETS * offset + copy, Path())

    def keep(self, item: Fact | Tick, offset: int, to: int) -> None:
        """Let one item arrive at the whole, and keep it in one set if it counts."""
        if isinstance(item, Tick):
            self.clock = Clock(max(item.time, self.clock.time))
        elif self._take(self.whole, item, offset, self.tally) in ("accepted", AMENDED):
            add_to_part(self.parts[to], item, offset, self.horizon, self.rules)

    def _take(self, profile: Profile, fact: Fact, offset: int, tally: Path) -> str:
        return take(profile, "c1", fact, Cause(fact, "log", 0, offset), self.clock, self.rules, tally)

    def dealt(self) -> Dealt:
        """What has come of it; the sets have been kept and read again."""
        parts = [decode(encode(facts_of(part))) for part in self.parts if not is_empty(part)]
        return Dealt(self.rules, self.whole, parts, self.horizon, self.tally.sums)


def attributed(chance: Random, item: Fact) -> Fact:
    """A fact that may say where it came from, what the customer allows and to which account it belongs.

    Orders say none: of two events that tell the same of one, the second is no fact.
    """
    if isinstance(item, ORDER_KINDS) or chance.randrange(3):
        return item
    said = Context(source=chance.choice(("ad", "mail")))
    consent = Consent(chance.choice((None, True, False)), chance.choice((None, True, False)))
    account = item.account_id or chance.choice((None, "a0", "a1"))
    return replace(item, context=said, consent=consent, account_id=account)


chances = st.integers(0, 2**32 - 1).map(Random)
"""Chance for what is many and small, from one number: hypothesis takes ten times as long to draw each by itself."""


def one_hand(chance: Random) -> list[int]:
    """The set that a fact comes to."""
    return [chance.randrange(SETS)]


def some_hands(chance: Random) -> list[int]:
    """The sets that a fact comes to, mostly one."""
    return one_hand(chance) if chance.randrange(3) else chance.sample(range(SETS), chance.choice((2, 3)))


@st.composite
def deals(draw: st.DrawFn, log: st.SearchStrategy[Log], hands: Callable[[Random], list[int]] = some_hands) -> Dealt:
    """Facts that arrive in sets of their own, some in several."""
    drawn, chance = draw(log), draw(chances)
    hand = Hand(drawn)
    facts = {fact.id: attributed(chance, fact) for fact in drawn.case.facts}
    for offset, item in enumerate(drawn.items):
        hand.fold(item if isinstance(item, Tick) else facts[item.id], offset, hands(chance))
    return hand.dealt()


crowded = deals(crowds(), one_hand)
"""So many that a set lets old instants go, which then are a number and cannot be told apart: each in one set."""
any_deal = st.one_of(deals(some_log), deals(some_log), crowded)


def as_before(part: Profile) -> Profile:
    """A profile as a release kept it that noted no ids of instants."""
    fields = to_builtins(part)
    at = [field.name for field in msgspec.structs.fields(Profile)].index("marks")
    if len(fields) > at:
        fields[at] = {name: mark[:-1] for name, mark in fields[at].items()}
    return msgspec.convert(fields, Profile)
