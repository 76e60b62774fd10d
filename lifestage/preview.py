"""What a merge or split would change: it is carried out on what is kept of the ids, by the fold itself, and nowhere else.

So the answer has no rules of its own: what it shows is what the workers would do with the same event at the same time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from lifestage import log
from lifestage import profile as profiles
from lifestage.cause import LONG_AGO, Clock, Rules
from lifestage.change import Announced
from lifestage.explain import verdicts
from lifestage.explain_text import because
from lifestage.facts import IdentityMerged, IdentitySplit
from lifestage.facts import encode as encode_fact
from lifestage.keys import MERGES, class_of
from lifestage.kpi_days import Days, day_of
from lifestage.kpi_live import Now
from lifestage.kpi_live_path import is_past
from lifestage.kpi_pages import KeptDays
from lifestage.kpi_step import Counting
from lifestage.moments import iso
from lifestage.pages import is_page
from lifestage.partition import Partition
from lifestage.preview_kpis import Kpis, kpis_of
from lifestage.profile import Profile
from lifestage.seen import ENTRY, united_ids
from lifestage.stays import id_of
from lifestage.union import is_empty, sums

STEPS_MAX = 100_000
"""Messages that one merge may bring about."""


class Sums(msgspec.Struct, frozen=True, gc=False):
    """Orders of a currency, what was paid for them, and what is left of it, in minor units."""

    orders: int
    gross_minor: int
    net_minor: int


class Side(msgspec.Struct, frozen=True):
    """One profile, before or after."""

    id: str
    members: int
    """Ids that belong to it, besides its own."""
    stage: str | None
    since: str | None
    because: tuple[str, ...]
    """Why it is in its stage, in words."""
    facts: dict[str, int]
    sums: dict[str, Sums]
    first_seen_at: str | None
    last_seen_at: str | None


class Preview(msgspec.Struct, frozen=True):
    """All that a merge or split would change."""

    as_of: str
    before: tuple[Side, ...]
    after: tuple[Side, ...]
    counted_once: dict[str, int]
    """By kind: facts that several profiles have, which count once in their union."""
    population: dict[str, int]
    """By stage: how many more or fewer customers stand there."""
    customers: int
    """How many more or fewer customers there are in all."""
    revenue: dict[str, Sums]
    """By currency: how much more or less there is."""
    kpis: Kpis
    changes: tuple[Announced, ...]
    """What would be announced."""
    outcomes: dict[str, int]
    """What would have happened to ids: `lifestage.identity.OUTCOMES`."""


def facts_of(profile: Profile, horizon: int) -> dict[str, int]:
    """How many facts of each kind are kept of a profile, and events since `horizon` (ms); what is not there is left out."""
    found = {
        "orders": sum(order.time is not None for order in profile.orders),
        "refunds": sum(len(order.refunds) for order in profile.orders),
        "cancellations": sum(order.cancelled_at is not None for order in profile.orders),
        "subscription acts": sum(len(one.acts) for one in profile.subscriptions),
        "trials": len(profile.trials),
        "account acts": sum(len(one.acts) for one in profile.accounts),
    }
    found |= {name: mark.dropped + len(mark.kept) for name, mark in sorted(profile.marks.items())}
    found |= {name: len(said) for name, said in sorted(profile.said.items())}
    found["recent events"] = len(united_ids([profile.seen], horizon)) // ENTRY
    return {name: count for name, count in found.items() if count}


def side_of(key: str, profile: Profile, clock: Clock, rules: Rules) -> Side:
    """A profile as of the clock, or of its newest fact if that is later."""
    at = max(profile.newest or 0, profile.moves[-1].at if profile.moves else 0, clock.time - 1)
    why = [one for one in verdicts(rules.plan, profile, at) if one.stage == profile.stage]
    return Side(
        id=key,
        members=0 if profile.kin is None else len({*map(id_of, profile.kin.members)}),
        stage=profile.stage,
        since=iso(profile.moves[-1].at) if profile.moves else None,
        because=tuple(line for one in why for line in because(one)),
        facts=facts_of(profile, clock.time - rules.lateness),
        sums=sums_of(profile),
        first_seen_at=None if profile.first_seen is None else iso(profile.first_seen),
        last_seen_at=None if profile.newest is None else iso(profile.newest),
    )


def sums_of(profile: Profile) -> dict[str, Sums]:
    """What the orders of a profile come to, by currency."""
    return _named(sums(profile))


def _named(given: Mapping[str, Sequence[int]]) -> dict[str, Sums]:
    return {currency: Sums(*amounts) for currency, amounts in sorted(given.items()) if any(amounts)}


def preview(
    rules: Rules,
    kept: Iterable[tuple[bytes, bytes]],
    fact: IdentityMerged | IdentitySplit,
    clock: Clock,
    window: int = 90,
) -> Preview:
    """Carry `fact` out at the clock's time on the records that are `kept` of the ids, of all that they belong to, of the ids
    that belong to these, and of `MERGES`.

    Pages come before the record that names them. Nothing outside is touched. `window`: that of the KPIs, in days.
    """
    partition = _restored(rules, [*kept], clock)
    now = Now(day_of(clock.time if clock.time > LONG_AGO else fact.time), rules.window or window, rules)
    before = dict(_persons(partition))
    noted = _are_noted(before, rules)
    if noted:
        # or the fold would let go of what KPIs need
        partition.rules, partition.kpis = rules, Counting(KeptDays(Days(now.window, now.day, is_past)), rules)
    sides = _sides(before, partition)
    changes = _carried_out(partition, fact)
    after = dict(_persons(partition))
    sides_after = _sides(after, partition)
    population = {stage: count for stage, count in sorted(partition.marker.population.items()) if count}
    return Preview(
        as_of=iso(fact.time),
        before=sides,
        after=sides_after,
        counted_once=_fewer(sides, sides_after),
        population=population,
        customers=sum(population.values()),
        revenue=_named(partition.marker.sums),
        kpis=kpis_of(before, after, now, noted=noted and partition.kpis is not None),
        changes=tuple(changes),
        outcomes=dict(sorted(partition.marker.identity.items())),
    )


def _restored(rules: Rules, kept: list[tuple[bytes, bytes]], clock: Clock) -> Partition:
    partition = Partition(rules, "preview", 0)
    applied = 0
    for key, value in kept:
        partition.restore(key, value)
        if not is_page(key):
            applied = max(applied, profiles.decode_head(value).applied)
    # beyond all that any of them has applied, whichever partition it is of
    partition.marker.offset = applied
    partition.marker.clock, partition.marker.live = clock
    partition.recovered()
    return partition


def _are_noted(persons: Mapping[str, Profile], rules: Rules) -> bool:
    """Whether of all facts of some persons was kept what KPIs of the window need."""
    return rules.window > 0 and all(
        is_empty(one) if one.kpi is None else one.kpi.window == rules.window for one in persons.values()
    )


def _persons(partition: Partition) -> Iterator[tuple[str, Profile]]:
    """All profiles that belong to nobody else, by key."""
    for key in sorted(partition.keys()):
        profile = partition.profile(key)
        if profile is None or class_of(key.decode()) < 1:
            continue
        if profile.kin is None or profile.kin.alias is None:
            yield key.decode(), profile


def _sides(persons: Mapping[str, Profile], partition: Partition) -> tuple[Side, ...]:
    return tuple(side_of(key, profile, partition.clock, partition.rules) for key, profile in persons.items())


def _carried_out(partition: Partition, fact: IdentityMerged | IdentitySplit) -> list[Announced]:
    """Fold the fact and all messages that follow from it, in the order in which they are written."""
    changes: list[Announced] = []
    waiting = deque([(MERGES.encode(), log.pack(log.FACT, encode_fact(fact)))])
    for _ in range(STEPS_MAX):
        if not waiting:
            return changes
        key, value = waiting.popleft()
        changes += partition.fold([(partition.applied + 1, key, value)])
        waiting.extend((posted.key, posted.value) for posted in partition.take_posted())
    raise ValueError(f"more than {STEPS_MAX:,} messages follow from one event")


def _fewer(before: tuple[Side, ...], after: tuple[Side, ...]) -> dict[str, int]:
    total: dict[str, int] = {}
    for sign, sides in ((1, before), (-1, after)):
        for side in sides:
            for name, count in side.facts.items():
                total[name] = total.get(name, 0) + sign * count
    return {name: count for name, count in total.items() if count > 0}
