"""What a page tells of a plan's stages, of which a plan may have fifty.

It is the plan's alone, so that all workers of a plan tell the same of each stage, and what they tell may be added up; but for moves
beyond the plan's own, of which each process tells those apart that it has seen first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from lifestage.change import KINDS
from lifestage.kpi_gather import NONE, OTHER
from lifestage.kpi_spread import LADDERS, is_shown
from lifestage.plan import Plan

TIME_IN_STAGE: Final = "time_in_stage"
MOVES_MAX: Final = 80
"""Moves that stand for themselves: a plan of eight stages brings about 64, and corrections as many as are left. Further ones are told by
their kind alone."""
TRANSITIONS_MAX: Final = 80
"""Transitions between stages that are told apart, which are all of eight stages and none; further ones are `other`."""
STAGES_OF_IT: Final = 8
"""Stages of each of which `time_in_stage` is told up to every bound that is shown; of more of them fewer bounds are."""
BESIDE: Final = 6
"""Series of a stage beside those bounds: of what is above them, sum and count; who stands in it, twice, and came that far."""
SHOWN: Final = {of: tuple(bound for bound in bounds if is_shown(of, bound)) for of, bounds in LADDERS.items()}
"""By spread the bounds up to which it is told."""
_BOUNDS: Final = SHOWN[TIME_IN_STAGE]
_LAST: Final = frozenset({"demotion", "skip"})
"""Kinds of moves that there are between any two stages."""


class Path(NamedTuple):
    """What is told of the stages of a plan."""

    transitions: frozenset[tuple[str, str]] | None = None
    """Those that are told apart; None for all of them."""
    every: int = 1
    """Of the bounds of `time_in_stage` every so many-th is shown, the greatest among them."""


def path_of(plan: Plan) -> Path:
    """What is told of a plan's stages, so that they have no more series than eight stages have with every bound."""
    count = len(plan.stages)
    room = STAGES_OF_IT * (len(_BOUNDS) + BESIDE)
    every = next((n for n in range(1, len(_BOUNDS)) if count * (len(bounds_told(n)) + BESIDE) <= room), len(_BOUNDS))
    if (count + 1) ** 2 - 1 <= TRANSITIONS_MAX:
        return Path(None, every)
    pairs = list(dict.fromkeys((before, stage) for before, stage, _ in ordinary_moves(plan)))
    return Path(frozenset(pairs[:TRANSITIONS_MAX]), every)


def bounds_told(every: int) -> tuple[float, ...]:
    """The bounds up to which `time_in_stage` is told."""
    return _BOUNDS[(len(_BOUNDS) - 1) % every :: every]


def ordinary_moves(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """Every (from, to, kind) that events and time can bring about in a plan, without reversals and corrections; those that go up by
    one stage and those of the plan's own kinds first.

    They are exposed as 0 from the start: the rate of a counter that appears with its first change misses that change.
    """
    yield from sorted(_ordinary(plan), key=lambda move: move[2] in _LAST)


def _ordinary(plan: Plan) -> Iterator[tuple[str, str, str]]:
    for stage in plan.stages:
        yield NONE, stage.name, "entry"
        for before in plan.stages:
            kind = stage.enter_kind or before.leave_kind
            if kind is None and before.rank is not None and stage.rank is not None:
                between = [s for s in plan.stages if s.rank is not None and before.rank < s.rank < stage.rank]
                kind = "demotion" if stage.rank < before.rank else "skip" if between else "advance"
            if before != stage and kind is not None:
                yield before.name, stage.name, kind


class Moves:
    """Changes of stages by (from, to, kind), in `MOVES_MAX` and one for each kind: what comes after is told by its kind, from and to
    `other`. The sum of a kind is exact."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}

    def expect(self, plan: Plan) -> None:
        """Count 0 of each move that the plan brings about."""
        for move in ordinary_moves(plan):
            self.add(*move, 0)

    def add(self, before: str, stage: str, kind: str, n: int) -> None:
        """Count `n` changes."""
        counts, key = self._counts, (before, stage, kind)
        if key not in counts:
            if len(counts) >= MOVES_MAX:
                key = OTHER, OTHER, kind if kind in KINDS else OTHER
            elif len(counts) == MOVES_MAX - 1:
                # with the last one all kinds are there as 0: the rate of a counter misses its first value
                counts[key] = 0
                for each in KINDS:
                    counts.setdefault((OTHER, OTHER, each), 0)  # a stage may be called so, and have been corrected
        counts[key] = counts.get(key, 0) + n

    def copy(self) -> dict[tuple[str, str, str], int]:
        """What was counted; made in one go, also while another thread asks."""
        return self._counts.copy()
