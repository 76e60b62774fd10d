"""No tick overtakes a fact that is on its way from one partition of the log to another."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from lifestage.clock import HOPS, Rounds

PARTITIONS = 4


class Travelling:
    """A log whose records are sent on: each is the number of hops that what it says has still to go, 0 for a tick."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.logs: list[list[int]] = [[] for _ in range(PARTITIONS)]
        self.folded = [0] * PARTITIONS
        self.committed = [0] * PARTITIONS

    def fact(self, hops: int) -> None:
        """A fact comes in."""
        self._chance.choice(self.logs).append(hops)

    def fold(self, number: int) -> None:
        """The next record of a partition is folded: what follows from it goes into another, before anything is committed."""
        if self.folded[number] < len(self.logs[number]):
            hops = self.logs[number][self.folded[number]]
            self.folded[number] += 1
            if hops:
                self.fact(hops - 1)

    def commit(self, number: int) -> None:
        """What is folded is committed."""
        self.committed[number] = self.folded[number]

    def step(self, load: float) -> None:
        """Anything may happen next: a fact or a tick comes in, a partition goes on."""
        if self._chance.random() < load:
            self.fact(self._chance.randrange(HOPS + 1))
        number = self._chance.randrange(PARTITIONS)
        self._chance.choice((self.fold, self.fold, self.commit))(number)

    def idle(self) -> None:
        """All that can be done is done, and nothing comes in."""
        while self.committed != [len(log) for log in self.logs]:
            for number in range(PARTITIONS):
                self.fold(number)
                self.commit(number)


class Marked(Travelling):
    """The same, and it is known of each record whether it goes back to a fact from before the reading."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self._before: list[list[bool]] = [[] for _ in range(PARTITIONS)]
        self._cause: bool | None = None
        self.read = False

    def fact(self, hops: int) -> None:
        """A fact comes in, or what follows from the record at hand."""
        number = self._chance.randrange(PARTITIONS)
        self.logs[number].append(hops)
        self._before[number].append(not self.read if self._cause is None else self._cause)

    def fold(self, number: int) -> None:
        """As above."""
        if self.folded[number] < len(self.logs[number]):
            self._cause = self._before[number][self.folded[number]]
            super().fold(number)
            self._cause = None

    def on_the_way(self) -> int:
        """Records that go back to before the reading and whose consequences are not in the log yet."""
        return sum(
            bool(hops) and before
            for log, marks, folded in zip(self.logs, self._before, self.folded, strict=True)
            for hops, before in zip(log[folded:], marks[folded:], strict=True)
        )


def settle(log: Marked, rounds: Rounds, between: Callable[[], None], asked_max: int = 100_000) -> int:
    """Ask what the rounds ask for until they are over, with things happening in between; returns how often."""
    for asked in range(asked_max):
        if rounds.over:
            return asked
        if rounds.asks == "ends":
            rounds.hear_ends({number: len(found) for number, found in enumerate(log.logs)})
        else:
            rounds.hear_commits(dict(enumerate(log.committed)))
        between()
    raise AssertionError(f"not over after {asked_max} questions")


def run(seed: int, hops: int, load: float) -> Marked:
    """A busy log at the instant at which the rounds of one reading are over."""
    chance = random.Random(seed)
    log = Marked(chance)
    for _ in range(30):
        log.step(0.5)
    log.read = True

    def between() -> None:
        for _ in range(chance.randrange(4)):
            log.step(load)

    settle(log, Rounds(hops), between)
    return log


@given(st.integers(0, 1 << 32), st.sampled_from([0.0, 0.1, 0.25]))
def test_after_the_rounds_nothing_is_on_its_way(seed: int, load: float) -> None:
    """Whatever was in the log at the reading has arrived with all that follows from it, under load and without."""
    assert run(seed, HOPS, load).on_the_way() == 0


def test_one_round_fewer_is_not_enough() -> None:
    """Of many busy logs one at least still has something on its way after one round fewer than hops: each of them is needed."""
    assert any(run(seed, HOPS - 1, 0.25).on_the_way() for seed in range(300))


def test_a_silent_log_needs_one_look() -> None:
    """Where all is committed when the ends are asked for, nothing can be on its way, and nothing more is asked."""
    rounds = Rounds()
    rounds.hear_commits({0: 5, 1: 0})
    rounds.hear_ends({0: 5, 1: 0})
    assert rounds.over


def test_ticks_and_facts_that_go_on_coming_in_delay_nothing() -> None:
    """A partition that is never committed to its end is waited for only up to where it ended when that was asked."""
    rounds, end = Rounds(), 10
    for number in range(HOPS):
        assert not rounds.over
        assert rounds.asks == "ends"
        rounds.hear_ends({0: end})
        assert rounds.lagging == {0: (end, 10 * number)}
        end += 10
        rounds.hear_commits({0: end - 10})
    assert rounds.over


def test_a_round_waits_for_every_partition() -> None:
    """It names those that it waits for; a word of some, or an older one, ends nothing."""
    rounds = Rounds(1)
    rounds.hear_ends({0: 3, 1: 4})
    rounds.hear_commits({0: 3})
    assert (rounds.over, rounds.asks, rounds.lagging) == (False, "commits", {1: (4, 0)})
    rounds.hear_commits({0: 1, 1: 3})
    assert rounds.lagging == {1: (4, 3)}
    rounds.hear_commits({1: 4})
    assert rounds.over


@given(st.integers(0, 1 << 32))
def test_a_log_that_comes_to_rest_is_settled_at_once(seed: int) -> None:
    """When nothing comes in any more and all is folded, three questions suffice, whatever was heard before."""
    chance = random.Random(seed)
    log, rounds = Marked(chance), Rounds()
    for _ in range(30):
        log.step(0.5)
    if chance.random() < 0.5:
        rounds.hear_ends({number: len(found) for number, found in enumerate(log.logs)})
    log.idle()
    assert settle(log, rounds, lambda: None) <= 3
