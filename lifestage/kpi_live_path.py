"""What one person's path through the stages adds to the sums while it is being made.

The path is that of the moves as they were announced and still stand: one that a correction supersedes counts no more. Of an
id that belongs to another nothing counts, as that one's path is the person's. A visitor whose moves are kept to ourselves
has none to count, but stands in a stage all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from lifestage.announce import is_hidden
from lifestage.kpi_contribute import Sums
from lifestage.kpi_days import LEVEL, Days, Entries, Name, day_of, end_of_day
from lifestage.kpi_gather import NONE
from lifestage.kpi_live import Now
from lifestage.kpi_months import end_of, month_of, name_of
from lifestage.kpi_path import MONTHS, Step
from lifestage.kpi_spread import bound_of, spread
from lifestage.moments import DAY_MS
from lifestage.plan import Compiled
from lifestage.profile import Move, Profile

COHORT_FIRST, COHORT_RANKED = "cohort_first", "cohort_ranked"
"""Persons by the month of their first move; by how many more of these stand in a ranked stage at the end of a month than at
its begin. `cohorts` makes the sums of the definitions of them."""
_STANDING, _FUNNEL = LEVEL + "stage_counts", LEVEL + "funnel"
_NONE: dict[str, tuple[int, int, int]] = {}


class Walked:
    """A person's path as it is before a record changes it."""

    def __init__(self, profile: Profile) -> None:
        self.fallen = len(profile.walked)
        """How many moves had fallen out of those that may be corrected."""
        self.moves = profile.moves.copy()
        self.before = profile.before.copy() if profile.before else _NONE


def path_before(profile: Profile) -> Walked:
    """Note the path of a profile, for `path_after`, before a move of it changes."""
    return Walked(profile)


def path_after(was: Walked, key: str, profile: Profile, now: Now) -> Entries:
    """What a fact or a timer that was folded since has changed of the sums of a path.

    What is too old to be asked for any more is not kept any longer.
    """
    walked, moves, plan = profile.walked, profile.moves, now.rules.plan
    hidden = is_hidden(key, now.rules)
    # where others have fallen out before it, the first of the moves never changes
    known = min(was.fallen, len(walked))
    found = _negative(_said([], was.moves, was.before, hidden, plan))
    found += _said(walked[known:], moves, profile.before, hidden, plan)
    _cut(profile, now.window, now.day)
    return settled(found)


def _goes_on(was: list[Move], profile: Profile) -> bool:
    """Whether a path is what it was and moves behind it."""
    moves = profile.moves
    if not was:
        return not profile.before
    last = moves[len(was) - 1]
    return moves[0] is was[0] and last is was[-1] and moves[len(was)].at > last.at


def path_goes_on(was: Walked, key: str, profile: Profile, now: Now, days: Days) -> bool:
    """Add what moves behind a path have changed, as `path_after` says it; False, and nothing is done, where more has changed."""
    old, moves = was.moves, profile.moves
    count = len(old)
    if len(moves) <= count or len(profile.walked) != was.fallen or not _goes_on(old, profile):
        return False
    plan, hidden = now.rules.plan, is_hidden(key, now.rules)
    before: str | None = None
    since, cohort = 0, ""
    if count:
        last = old[count - 1]
        before, since = last.stage, last.at
    high = _rank(before, plan)
    if not hidden:
        first = moves[0].at
        for reached, (at, _, _) in was.before.items():
            first, high = min(first, at), max(high, _rank(reached, plan))
        high, first_day = _reached(old, high, plan), first // DAY_MS
        cohort = _month_name(first_day)
        if not count and not was.before:
            days.count_one(days.known((LEVEL + COHORT_FIRST, cohort)), first_day, 1)
    for n in range(count, len(moves)):
        move = moves[n]
        at, stage = move.at, move.stage
        day = at // DAY_MS
        step = before, stage, high, cohort, _month_name(day)
        more = days.together.get(step)
        if more is None:
            up, down = _step(step, hidden, plan)
            more, less = days.remember(step, up), days.remember((step,), down)
        else:
            less = days.together[(step,)]
        days.count(more, day, 1)
        if less:
            days.count(less, day, -1)
        if before is not None and not hidden:
            _count_stay(before, at - since, day, days)
        now_at = _rank(stage, plan)
        high = now_at if hidden or now_at > high else high
        before, since = stage, at
    return True


def _reached(moves: list[Move], high: int, plan: Compiled) -> int:
    """How far these moves came, if that is further; of one instant but the last counts."""
    for n in range(len(moves) - 1):
        move = moves[n]
        rank = _rank(move.stage, plan)
        if rank > high and moves[n + 1].at != move.at:
            high = rank
    return high


def _count_stay(stage: str, took: int, day: int, days: Days) -> None:
    """A stay in a stage has ended."""
    stay = "stay", stage, bound_of("time_in_stage", took)
    sums = days.together.get(stay)
    if sums is None:
        sums = days.remember(stay, [name for name, _, _ in spread("time_in_stage", (stage,), took, day)])
    size, total, count = sums
    days.count_one(size, day, 1)
    days.count_one(total, day, took)
    days.count_one(count, day, 1)


def _step(
    step: tuple[str | None, str | None, int, str, str], hidden: bool, plan: Compiled
) -> tuple[list[Name], list[Name]]:
    """The sums to which a move adds one, and of which it takes one; of a visitor whose moves are hidden those told of them."""
    came_from, stage, high, cohort, month = step
    more, less = list[Name](), list[Name]()
    now = _rank(stage, plan)
    if came_from is not None:
        less.append((_STANDING, came_from))
    if stage is not None:
        more.append((_STANDING, stage))
    for one in plan.ladder if now > high or (hidden and now < high) else ():
        place = plan.rank[one] or 0
        if (high < place) is not (now < place):
            (more if now > high else less).append((_FUNNEL, one))
    if not hidden:
        more.append(("transitions", came_from or NONE, stage or NONE))
        ranked = _is_ranked(stage, plan) - _is_ranked(came_from, plan)
        if ranked:
            (more if ranked > 0 else less).append((LEVEL + COHORT_RANKED, cohort, month))
    return more, less


def _rank(stage: str | None, plan: Compiled) -> int:
    return (plan.rank[stage] or 0) if stage else 0


@lru_cache(4096)
def _month_name(day: int) -> str:
    return name_of(month_of(day * DAY_MS))


def path(key: str, profile: Profile, now: Now) -> Entries:
    """All that a person's path adds to the sums."""
    if profile.kin is not None and profile.kin.alias is not None:
        return []
    return settled(_said(profile.walked, profile.moves, profile.before, is_hidden(key, now.rules), now.rules.plan))


def _said(
    walked: Sequence[Step],
    moves: Sequence[Move],
    before: Mapping[str, tuple[int, int, int]],
    hidden: bool,
    plan: Compiled,
) -> Entries:
    found = _tail([*walked, *_steps(moves)], _cohort(_firsts(before, moves)), hidden, plan)
    return found + _funnel(before, moves, hidden, plan)


def settled(entries: Entries) -> Entries:
    """The same entries with those of one name and day added up, and none that is 0."""
    found: Counter[tuple[Name, int]] = Counter()
    for name, day, amount in entries:
        found[name, day] += amount
    return [(name, day, amount) for (name, day), amount in found.items() if amount]


def cohorts(sums: Mapping[Name, int], day: int) -> Sums:
    """The sums by cohort as of the end of a day, for the months that are over by then."""
    found: Sums = Counter()
    last = _last_whole(day)
    for key, persons in sums.items():
        if key[0] == COHORT_FIRST and persons and not is_past(key, day):
            first, ranked = _month(key[1]), 0
            for month in range(first, last + 1):
                labels = key[1], f"{month - first:02}"
                ranked += sums.get((COHORT_RANKED, key[1], name_of(month)), 0)
                found["cohort_size", *labels] = persons
                found["cohort_kept", *labels] = ranked
    return found


def is_past(name: Name, day: int) -> bool:
    """Whether an entry is of a cohort that is followed no more on a day."""
    return name[0].removeprefix(LEVEL) in (COHORT_FIRST, COHORT_RANKED) and _month(name[1]) < _this(day) - MONTHS


def _this(day: int) -> int:
    return month_of(max(day, 0) * DAY_MS)


def _last_whole(day: int) -> int:
    this = _this(day)
    return this if end_of(this) <= end_of_day(day) else this - 1


def _month(name: str) -> int:
    return int(name[:4]) * 12 + int(name[5:]) - 1


def _negative(entries: Iterable[tuple[Name, int, int]]) -> Entries:
    return [(name, day, -amount) for name, day, amount in entries]


def _steps(moves: Sequence[Move]) -> list[Step]:
    """The moves as steps. Of one instant one holds: that of the profile's leaving gives way to nothing."""
    return [(move.at, move.stage) for n, move in enumerate(moves) if n + 1 == len(moves) or moves[n + 1].at != move.at]


def _firsts(before: Mapping[str, tuple[int, int, int]], moves: Sequence[Move]) -> dict[str, int]:
    """When each stage was first reached; none is the empty one."""
    found = {stage: first for stage, (first, _, _) in before.items()}
    for at, stage in _steps(moves):
        found.setdefault(stage or "", at)
    return found


def _cohort(firsts: Mapping[str, int]) -> tuple[str, int] | None:
    if not firsts:
        return None
    first = min(firsts.values())
    return name_of(month_of(first)), day_of(first)


def _tail(steps: Sequence[Step], cohort: tuple[str, int] | None, hidden: bool, plan: Compiled) -> Entries:
    """What steps add, the first of them as if there were none before it."""
    found: Entries = []
    pred: Step | None = None
    if cohort is not None and not hidden:
        found.append(((LEVEL + COHORT_FIRST, cohort[0]), cohort[1], 1))
    for at, stage in steps:
        came_from = pred[1] if pred is not None else None
        day = day_of(at)
        if came_from is not None:
            found.append(((_STANDING, came_from), day, -1))
        if stage is not None:
            found.append(((_STANDING, stage), day, 1))
        if not hidden:
            found.append((("transitions", came_from or NONE, stage or NONE), day, 1))
            if pred is not None and came_from is not None:
                found += spread("time_in_stage", (came_from,), at - pred[0], day)
            ranked = _is_ranked(stage, plan) - _is_ranked(came_from, plan)
            if ranked and cohort is not None:
                found.append(((LEVEL + COHORT_RANKED, cohort[0], name_of(month_of(at))), day, ranked))
        pred = at, stage
    return found


def _is_ranked(stage: str | None, plan: Compiled) -> bool:
    return stage is not None and plan.rank[stage] is not None


def _funnel(before: Mapping[str, tuple[int, int, int]], moves: Sequence[Move], hidden: bool, plan: Compiled) -> Entries:
    """How far a person ever came; a visitor whose moves are kept to ourselves only as far as they stand."""
    if not hidden:
        found: Entries = []
        firsts = [(plan.rank[stage] or 0, at) for stage, at in _firsts(before, moves).items() if stage]
        for one in plan.ladder:
            reached = [at for rank, at in firsts if rank >= (plan.rank[one] or 0)]
            if reached:
                found.append(((_FUNNEL, one), day_of(min(reached)), 1))
        return found
    found, rank = [], 0
    for at, stage in _steps(moves):
        now = plan.rank[stage] or 0 if stage is not None else 0
        for one in plan.ladder:
            stood, stands = ((plan.rank[one] or 0) <= of for of in (rank, now))
            if stood != stands:
                found.append(((_FUNNEL, one), day_of(at), stands - stood))
        rank = now
    return found


def _cut(profile: Profile, window: int, day: int) -> None:
    """Let go of steps that no window and no cohort asks for; the one before the others stays, as where they start from."""
    walked = profile.walked
    since = end_of_day(day - window)
    if len(walked) < 2 or walked[1][0] > since:
        return
    firsts = _firsts(profile.before, profile.moves)
    if month_of(min(firsts.values())) >= _this(day) - MONTHS:
        return
    past = next((n for n, (at, _) in enumerate(walked) if at > since), len(walked)) - 1
    del walked[:past]
