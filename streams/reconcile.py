"""Are the KPIs that workers keep those of the log? All of it is folded once more, and each sum computed anew from single facts.

What is kept is the sums of each partition as of its marker. What they should be is found by the offline functions, which know
nothing of days and entries: from the facts that each person was found to have, and from the path that was announced. Facts
are sorted on disk by person, so memory grows with the customers of one partition, not with the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

from msgspec import DecodeError

from config.errors import UserFacingError
from lifestage.announce import is_hidden
from lifestage.cause import Rules
from lifestage.fact import Fact
from lifestage.identity import HOLDING
from lifestage.keys import COMPANY
from lifestage.kpi_contribute import BY_CHANNEL, Bought, Spreads, Sums
from lifestage.kpi_costs import overlap
from lifestage.kpi_days import COST, Days, whole_days
from lifestage.kpi_follow import Following, Walked
from lifestage.kpi_gather import DIRECT, NONE, OTHER, Cost, Span
from lifestage.kpi_live_company import spent_of
from lifestage.kpi_live_path import COHORT_FIRST, COHORT_RANKED, cohorts, is_past
from lifestage.kpi_live_worth import GOODS, KNOWN_NET
from lifestage.kpi_path import Step, stand, walk
from lifestage.kpi_runs import Renaming
from lifestage.kpi_spread import spread
from lifestage.log import LogFormatError
from lifestage.profile import Profile
from lifestage.recount import Holding, Recount, Sent, Stretch, Whole, key_of_person, owners
from streams.offline_fold import instants
from streams.offline_merge import merged
from streams.offline_records import by_customer, fact_record, key_in
from streams.offline_spill import Spool
from streams.stage_limits import TIME_IN_STAGE

DIRTY_MAX = 2_000
"""Profiles that are held decoded; beyond it they become bytes."""
MEMORY = 64 << 20
"""Bytes of facts that are sorted at a time."""
OF_THE_PATH = frozenset({"transitions", "stage_counts", "funnel", "cohort_size", "cohort_kept"})
TELL_EVERY = 5_000

Record = tuple[int, bytes | None, bytes]
Key = tuple[str, ...]
Exact = dict[Key, int | Fraction]
"""Sums by name and label values; what was spent is in minor units, and seldom whole."""
Reach = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and how much there is."""


class Logs(Protocol):
    """Where the records of the log come from."""

    topic: str
    ends: dict[int, int]

    def records(self, number: int, until: int | None = None) -> Iterator[list[Record]]:
        """All records of a partition, in runs, to its end or to an offset."""


class Kept(NamedTuple):
    """The KPIs that are kept of a partition, and the offset of the newest record that is in them."""

    offset: int
    days: Days


class Difference(NamedTuple):
    """A sum that is not what it should be."""

    partition: int
    name: str
    labels: tuple[str, ...]
    kept: int | Fraction
    recounted: int | Fraction


class Recounted(NamedTuple):
    """What came of a reconciliation."""

    sums: Counter[str]
    """How many were compared that are not 0 on both sides, by name."""
    records: int
    persons: int
    differences: list[Difference]


class Reconciliation:
    """One recount of all partitions, with temporary files in `folder`."""

    def __init__(self, logs: Logs, kept: Mapping[int, Kept], rules: Rules, folder: Path, reach: Reach) -> None:
        self._logs, self._kept, self._rules, self._folder, self._reach = logs, kept, rules, folder, reach
        self._sets: dict[Sent, Whole] = {}
        self._holdings: dict[int, Holding] = {}
        self._facts = Spool(folder, "facts", budget=MEMORY)
        self._spans = {number: whole_days(one.days.day, rules.window) for number, one in kept.items()}
        self._sums: dict[int, Sums] = {number: Counter() for number in kept}
        self._costs: dict[int, list[Cost]] = {number: [] for number in kept}
        self._records = self._persons = self._told = 0

    def run(self) -> Recounted:
        """Do it. Raises `UserFacingError` for a record that this version cannot read."""
        for number in sorted(self._logs.ends):
            self._fold(number)
        self._count(self._by_person())
        compared, differences = Counter[str](), list[Difference]()
        for number, kept in sorted(self._kept.items()):
            live, right = shown(kept.days), self._right(number)
            keys = sorted(live.keys() | right.keys())
            compared.update(key[0] for key in keys)
            both = ((key, live.get(key, 0), right.get(key, 0)) for key in keys)
            differences += [
                Difference(number, key[0], key[1:], ours, theirs) for key, ours, theirs in both if ours != theirs
            ]
        return Recounted(compared, self._records, self._persons, differences)

    # -- folding the log -------------------------------------------------------------------------------

    def _fold(self, number: int) -> None:
        """Fold a partition to where it was kept, and on: what it sent later may be part of what others had when they were."""
        until = self._kept[number].offset if number in self._kept else -1

        def hear(stretch: Stretch, fact: Fact) -> None:
            self._facts.add(fact_record(_written(number, stretch), fact))

        partition = Recount(self._rules, self._logs.topic, number, hear, self._sets)
        for run in self._logs.records(number):
            until_here = [record for record in run if record[0] <= until]
            self._take(partition, until_here)
            if len(until_here) < len(run):
                self._mark(number, partition)
                self._take(partition, run[len(until_here) :])
            self._records += len(run)
            self._reach("folding the log", self._records, sum(self._logs.ends.values()))
        self._mark(number, partition)

    def _take(self, partition: Recount, run: Sequence[Record]) -> None:
        try:
            for _ in partition.folding(run):
                partition.take_posted()
        except (LogFormatError, DecodeError) as error:
            place = f"{partition.topic}[{partition.number}]@{partition.applied + 1}"
            raise UserFacingError(f"{place}: not a record that this version can read ({error})") from None
        if partition.unkept > DIRTY_MAX:
            partition.checkpoint()

    def _mark(self, number: int, partition: Recount) -> None:
        if number in self._holdings:
            return
        self._holdings[number] = partition.mark()
        if number not in self._kept:
            return
        sums, span = self._sums[number], self._spans[number]
        for raw in [*partition.keys()]:
            key, profile = raw.decode(), partition.profile(raw)
            if (
                profile is None
                or key.startswith((COMPANY, *HOLDING))
                or (profile.kin is not None and profile.kin.alias is not None)
            ):
                continue
            add_path(key, profile, self._rules, span, sums)

    # -- whose facts they are --------------------------------------------------------------------------

    def _by_person(self) -> Spool:
        """The facts of each person together."""
        targets = owners(self._holdings, self._sets)
        persons, done = Spool(self._folder, "persons", budget=MEMORY), 0
        for raw, records in groupby(merged(self._facts.runs()[0], self._folder / "facts-merged"), key=key_in):
            number, stretch = _read(raw)
            places = set(targets.get(stretch, ()))
            if not stretch[3] and stretch not in self._holdings[number].sent:
                places.add((number, stretch[0]))
            for record in records:
                for place, person in places:
                    persons.add(b"%05d%b%b" % (place, person, record[len(raw) :]))
                done += 1
                if done % TELL_EVERY == 0:
                    self._reach("sorting facts by person", done, 0)
        return persons

    def _count(self, persons: Spool) -> None:
        rules, done = self._rules._replace(window=0), 0
        tally = Walked()
        for raw, _, facts in by_customer(merged(persons.runs()[0], self._folder / "persons-merged")):
            number, key = int(raw[:5]), key_of_person(raw[5:].encode())
            span = self._spans[number]
            following, known = Following(key, rules, span, tally, ()), False
            renaming = Renaming(self._rules.window)
            for together in instants(facts):
                done += len(together)
                if together[0].time <= span.end:
                    following.take([renaming.told(fact) for fact in together])
                    known = True
            if known:
                self._persons += not key.startswith(COMPANY)
                self._add(number, following)
            if done > self._told + TELL_EVERY:
                self._told = done
                self._reach("counting what persons add", done, 0)

    def _add(self, number: int, following: Following) -> None:
        sums: Sums = Counter()
        told = following.finish(sums)
        self._sums[number].update({key: n for key, n in sums.items() if key[0] not in OF_THE_PATH})
        self._costs[number] += told.costs
        add_spreads([one for one in told.spreads if one[0] != TIME_IN_STAGE], self._sums[number])
        add_bought(told.bought, self._sums[number])

    # -- comparing -------------------------------------------------------------------------------------

    def _right(self, number: int) -> Exact:
        """What a partition's sums should be, by the label values that are told apart there."""
        days, span = self._kept[number].days, self._spans[number]
        places = Days(days.window, days.day, is_past)
        for place in days.places:
            places.name_place(place)
        places.add((key, days.day, n) for key, n in self._sums[number].items())
        found: Exact = dict(places.totals())
        for cost in self._costs[number]:
            minor = overlap(cost, span.begin, span.end)
            if minor:
                usual = cost.channel in (DIRECT, NONE, OTHER)
                channel = cost.channel if usual or places.name_place((BY_CHANNEL, cost.channel)) else OTHER
                key = COST, cost.category, cost.currency, channel
                found[key] = found.get(key, 0) + minor
        return found


def shown(days: Days) -> Exact:
    """The sums that are kept, as the definitions name them."""
    totals = days.totals()
    hidden = {COHORT_FIRST, COHORT_RANKED, COST}
    found: Exact = {key: n for key, n in totals.items() if key[0] not in hidden}
    found.update({key: n for key, n in cohorts(totals, days.day).items() if n})
    for place, minor in spent_of(totals, days.day, days.window).items():
        found[COST, *place] = minor
    return found


def add_path(key: str, profile: Profile, rules: Rules, span: Span, sums: Sums) -> None:
    """Add what the offline functions say of a profile's path up to the end of a window."""
    last = dict((*profile.walked, *((move.at, move.stage) for move in profile.moves)))
    path: list[Step] = [step for step in last.items() if step[0] <= span.end]
    stage = path[-1][1] if path else None
    if is_hidden(key, rules):
        stand(stage, [], rules.plan, sums)
        return
    before = ((first, name or None) for name, (first, _, _) in profile.before.items() if first <= span.end)
    firsts: list[Step] = sorted(before, key=_time_of)
    stand(stage, [*firsts, *path], rules.plan, sums)
    if firsts and path and firsts[0][0] < path[0][0]:
        # those in between were let go of: whose first move is so old is in no cohort
        path.insert(0, firsts[0])
    add_spreads(walk(path, rules.plan, span, sums), sums)


def _time_of(step: Step) -> int:
    return step[0]


def add_spreads(spreads: Spreads, sums: Sums) -> None:
    """Add single values by size."""
    for name, label, value in spreads:
        for key, _, amount in spread(name, (label,) if label else (), value, 0):
            sums[key] += amount


def add_bought(bought: Sequence[Bought], sums: Sums) -> None:
    """Add what lifetime values are made of."""
    for one in bought:
        add_spreads([("clv_1", one.currency, one.net_minor), ("clv_orders", one.currency, one.orders)], sums)
        sums[KNOWN_NET, one.currency] += one.known_net_minor
        sums[GOODS, one.currency] += one.goods_minor


def _written(number: int, stretch: Stretch) -> bytes:
    """A stretch of a partition as bytes without a zero."""
    person, name, count, after = stretch
    return b"%d\1%d\1%b%b\1%d\1%d" % (number, len(person), person, name.encode(), count, after)


def _read(raw: bytes) -> tuple[int, Stretch]:
    number, length, rest = raw.split(b"\1", 2)
    name, count, after = rest[int(length) :].rsplit(b"\1", 2)
    return int(number), (rest[: int(length)], name.decode(), int(count), after == b"1")
