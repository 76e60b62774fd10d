"""What must be true of the KPI sums of a world that has come to rest, told as a list of what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from lifestage.cause import Rules
from lifestage.keys import COMPANY
from lifestage.kpi_contribute import Sums, company, contribute
from lifestage.kpi_days import Days, day_of, whole_days
from lifestage.kpi_gather import Gather
from lifestage.kpi_live import Now
from lifestage.kpi_live_path import is_past
from lifestage.kpi_pages import KeptDays
from lifestage.kpi_step import everything
from lifestage.partition import Partition
from tests.core.kpi_live_sums import add_spreads, without_zero
from tests.identity.offline import Family, Person, alone, is_held
from tests.identity.world import World

LATER = (0, 1, 7, 31, 90, 200)
"""Days after the end of a world on which sums are looked at, too."""
OF_THE_PATH = ("stage_counts", "transitions", "time_in_stage", "funnel", "cohort")
WORTH = ("clv_",)


def wrong_kpis(world: World, end: int) -> list[str]:
    """Everything that is wrong with the KPI sums of a world whose last tick was `end`."""
    found = [*wrong_everything(world.folds, world.rules)]
    if any(fold.kpis is None for fold in world.folds):
        return found
    return [*found, *wrong_persons(world, Family(world.logs), end)]


def kept_days(fold: Partition, day: int) -> Days:
    """A partition's sums as they were kept, on a day after that."""
    mark = fold.marker.kpis
    assert mark is not None
    days = KeptDays.read(mark, fold.shelf.pages, is_past).days
    days.turn(day)
    return days


def wrong_everything(folds: Iterable[Partition], rules: Rules) -> Iterator[str]:
    """In each partition, the sums are what its profiles add, today and on all days to come."""
    for fold in folds:
        if fold.kpis is None:
            yield f"partition {fold.number} counts no KPIs: {fold.uncounted}"
            continue
        today, window = fold.kpis.days.day, rules.window
        right = Days(window, today, is_past)
        for key in [*fold.keys()]:
            profile = fold.profile(key)
            assert profile is not None
            right.add(everything(key.decode(), profile, Now(today, window, rules)))
        if fold.kpis.days.totals() != kept_days(fold, today).totals():
            yield f"partition {fold.number} has kept other sums than it has"
        for later in LATER:
            right.turn(today + later)
            yield from differ(
                kept_days(fold, today + later).totals(), right.totals(), f"partition {fold.number}+{later}"
            )


def wrong_persons(world: World, family: Family, end: int) -> Iterator[str]:
    """Added up over partitions, the sums are what the offline functions say of the persons."""
    persons = {
        root: alone(root, facts, world.rules, end) for root, facts in family.persons().items() if not is_held(root)
    }
    for later in LATER:
        day = day_of(end) + later
        ours: Sums = Counter()
        for fold in world.folds:
            ours.update(kept_days(fold, day).totals())
        right = offline(persons, day, world)
        yield from differ(
            {name: n for name, n in ours.items() if not name[0].startswith((*OF_THE_PATH, *WORTH))}, right, f"+{later}"
        )


def offline(persons: Mapping[str, Person], day: int, world: World) -> Sums:
    """What the offline functions say of persons as of the end of a day."""
    sums: Sums = Counter()
    for root, person in persons.items():
        found = Gather(whole_days(day, world.rules.window))
        for fact in person.facts:
            if fact.time <= found.span.end:
                found.take(fact)
        if root.startswith(COMPANY):
            company(found, sums)
        else:
            add_spreads(contribute(found, person.profile, world.rules.plan.terms, sums), sums)
    return without_zero(sums)


def differ(ours: Mapping[tuple[str, ...], int], right: Mapping[tuple[str, ...], int], where: str) -> Iterator[str]:
    """Where sums are not what they should be."""
    for name in sorted(ours.keys() | right.keys()):
        if ours.get(name, 0) != right.get(name, 0):
            yield f"{where}: {name} is {ours.get(name, 0)}, should be {right.get(name, 0)}"
