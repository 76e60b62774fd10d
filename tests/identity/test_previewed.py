"""What a merge or split would change of KPIs, against what the partitions of a world have counted when it was done."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from lifestage.facts import IdentityMerged, IdentitySplit
from lifestage.keys import MERGES, class_of
from lifestage.kpi_contribute import Sums
from lifestage.kpi_days import day_of
from lifestage.kpi_formulas import Count, Formula, PerCost, Ratio, Spread
from lifestage.kpi_live_path import cohorts
from lifestage.kpi_spread import COUNT, SUM
from lifestage.kpis import DEFINITIONS
from lifestage.preview import Preview, preview
from lifestage.preview_kpis import Amount
from lifestage.profile import Profile
from tests.core.effort import effort
from tests.identity.kpi_judge import kept_days
from tests.identity.lives import END, RULES, Lives, Mix
from tests.identity.world import Shape, World

MIXES = (Mix(), Mix(crossed=0.2), Mix(crossed=0.1, merges=0.2, wide=0.3), Mix(merges=0.15, splits=0.15, crossed=0.1))
Difference = dict[tuple[str, tuple[str, ...]], tuple[float, float]]
"""By KPI and labels, by how much numerator and denominator differ; a count is a numerator."""
MONEY = frozenset({"gross_revenue", "net_revenue", "aov", "clv_1"})
NOT_IN_SUMS = frozenset({"clv_2", "clv_3", "clv_4"})
"""Lifetime values that are made of other sums: tests/core/test_preview_kpis.py."""


def lived(mix: Mix, seed: int, count: int, window: int) -> World:
    """A world that has come to rest."""
    chance = Random(seed)
    shape = Shape(chance.choice((1, 3)), 1, crashes=False, ticks=False)
    world = World(RULES._replace(window=window), Lives(chance, mix).events(count), chance, shape)
    world.end(END)
    return world


def is_theirs(profiles: dict[str, Profile], id: str, key: str) -> bool:
    """Whether an id belongs to another, through whomever."""
    while (kin := profiles[id].kin) is not None and kin.alias is not None:
        if kin.alias == key:
            return True
        id = kin.alias
    return False


def previewed(world: World, fact: IdentityMerged | IdentitySplit) -> Preview:
    """What is said of it, by all that is kept of the ids, of whom they belong to, and of those who belong to these."""
    profiles = world.profiles()
    wanted = {MERGES.encode()}
    for id in fact.ids:
        key: str | None = id
        while key is not None:
            wanted.add(key.encode())
            kin = profiles[key].kin
            wanted |= {id.encode() for id in profiles if kin is not None and is_theirs(profiles, id, key)}
            key = kin.alias if kin is not None else None
    kept = [
        one
        for fold in world.folds
        for one in (*fold.shelf.pages.items(), *fold.stored.items())
        if one[0].partition(b"\0")[0] in wanted
    ]
    return preview(world.rules, kept, fact, world.folds[0].clock)


def done(world: World, fact: IdentityMerged | IdentitySplit) -> None:
    """It happens, and all that follows from it."""
    world.sources[0].append(fact)
    world.run()


def counted(world: World) -> Sums:
    """The sums of all partitions."""
    found: Sums = Counter()
    for fold in world.folds:
        found.update(kept_days(fold, day_of(END)).totals())
    found.update(cohorts(found, day_of(END)))
    return found


def came_true(before: Sums, after: Sums) -> Difference:
    """By how much each KPI has come to be made of something else."""
    moved = Counter(after)
    moved.subtract(before)
    found: Difference = {}
    for definition in DEFINITIONS:
        for formula in (definition.formula, *(formula for _, formula in definition.by)):
            top, minus, bottom = made(formula)
            for labels in {name[1:] for name in moved if name[0] in (top, minus, bottom)}:
                above, below = moved[top, *labels] - moved[minus, *labels], moved[bottom, *labels]
                if above or below:
                    found[definition.name, labels] = above, below
    return {key: told for key, told in found.items() if key[0] not in NOT_IN_SUMS}


def made(formula: Formula) -> tuple[str, str, str]:
    """The sums of a formula: what is added, taken off, and divided by."""
    match formula:
        case Count(of):
            return of, "", ""
        case Ratio(top, bottom, minus):
            return top, minus, bottom
        case PerCost(_, bottom):
            return "", "", bottom
        case Spread(of):
            return of + SUM, "", of + COUNT


def said(found: Preview) -> Difference:
    """The same by a preview, in whole numbers."""
    told: Difference = {}
    for one in found.kpis.changed:
        labels = tuple(one.labels.values())
        if one.kpi not in NOT_IN_SUMS:
            scale = (
                100 if one.kpi in MONEY or one.kpi == "refund_rate" else 1000 if one.unit in ("seconds", "ces") else 1
            )
            below = 100 if one.kpi == "refund_rate" else 1
            above = (_above(side) * scale for side in (one.before, one.after))
            under = ((side.denominator or 0) * below for side in (one.before, one.after))
            told[one.kpi, labels] = _grown(*above), _grown(*under)
    return told


def _above(side: Amount) -> float:
    return (side.value if side.numerator is None and side.denominator is None else side.numerator) or 0


def _grown(before: float, after: float) -> int:
    return round(after - before)


@effort(200)
@given(
    st.sampled_from(MIXES), st.integers(0, 1 << 32), st.integers(2, 40), st.sampled_from((30, 90, 366)), st.booleans()
)
def test_what_is_said_of_kpis_comes_true(mix: Mix, seed: int, count: int, window: int, split: bool) -> None:
    """The sums of all partitions move by exactly what was said, the path as it is announced too."""
    world = lived(mix, seed, count, window)
    profiles = {key: profile for key, profile in world.profiles().items() if class_of(key) >= 1}
    ids = sorted(
        key for key, profile in profiles.items() if split is (profile.kin is not None and profile.kin.alias is not None)
    )
    assume(len(ids) > (not split))
    chosen = tuple(Random(seed).sample(ids, 1 if split else 2))
    kind = IdentitySplit if split else IdentityMerged
    fact = kind(time=END, source="shell", id="now", ids=chosen)
    told, before = previewed(world, fact), counted(world)
    done(world, fact)
    assert said(told) == came_true(before, counted(world))
