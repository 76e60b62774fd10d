"""What a worker knows at this moment, for the metrics endpoint and the read model: only from partitions owned now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from lifestage.cause import LONG_AGO
from lifestage.document import metrics_of
from lifestage.keys import class_of
from lifestage.moments import iso
from lifestage.partition import Partition
from lifestage.profile import Kin, Profile
from lifestage.stays import ids_seen
from streams.batches import BatchConsumer
from streams.kpi_families import PartitionSums
from streams.profiles import ProfilesTable
from streams.read_buffer import REREAD, Pending
from streams.read_store import AliasView, CustomerView, IdView, View
from streams.ticking import Ticker
from streams.topics import Topics


def is_persons(key: str) -> bool:
    """Whether a key is the id of a person: not of the company, of an order or ticket, or of all merges."""
    return class_of(key) > 0


def written_of(kept: Iterable[bytes], gone: Iterable[bytes]) -> dict[str, Pending]:
    """What the read model has to write after a flush that kept these records and forgot those: of ids of persons only."""
    views: dict[str, Pending] = {key.decode(): REREAD for key in kept}
    views.update((key.decode(), None) for key in gone)
    return {key: view for key, view in views.items() if is_persons(key)}


def view_of(partition: Partition, key: str, profile: Profile) -> View | None:
    """What others may read of a known id: the customer whose it is, or whom it belongs to. None of what is nobody's id."""
    if not is_persons(key):
        return None
    if profile.kin is not None and profile.kin.alias is not None:
        return AliasView(applied=profile.applied, customer_id=key, belongs_to=profile.kin.alias)
    return None if profile.newest is None else _customer(partition, key, profile)


def _customer(partition: Partition, key: str, profile: Profile) -> CustomerView:
    compiled = partition.rules.plan
    at = max(
        profile.newest or 0,
        profile.moves[-1].at if profile.moves else 0,
        partition.clock.time - compiled.plan.grace - 1,
    )
    look = compiled.look(profile, at)
    metrics = metrics_of(look)
    turn = compiled.next_turn(look, compiled.stage_at(look, profile.stage))
    reached = {m.stage for m in profile.moves} | set(profile.before)
    ladder = [name for name in compiled.ladder if name in reached]
    return CustomerView(
        applied=profile.applied,
        customer_id=key,
        stage=profile.stage,
        since=iso(profile.moves[-1].at) if profile.moves else None,
        previous_stage=profile.moves[-2].stage if len(profile.moves) > 1 else None,
        seq=profile.seq,
        high_water_stage=ladder[-1] if ladder else None,
        next_due_at=iso(turn[0]) if turn else None,
        next_due_stage=turn[1] if turn else None,
        orders=metrics.orders,
        order_days_365d=metrics.order_days_365d,
        net_revenue_minor=metrics.net_revenue_minor,
        currency=metrics.currency,
        last_order_at=metrics.last_order_at,
        last_seen_at=metrics.last_seen_at,
        first_seen_at=None if profile.first_seen is None else iso(profile.first_seen),
        ids=[] if profile.kin is None else _ids(profile.kin),
    )


def _ids(kin: Kin) -> list[IdView]:
    return [IdView(*one) for one in ids_seen(kin) if class_of(one[0]) > 0]


class WorkerView:
    """Implements `streams.metrics.View` and the read model's `lookup` and `snapshot`."""

    def __init__(self, profiles: ProfilesTable, topics: Topics) -> None:
        self._profiles, self._partitions = profiles, topics.log.partitions
        self.consumer: BatchConsumer | None = None
        self.ticker: Ticker | None = None
        self.recovering = True
        self.remaining: Callable[[], int] = lambda: 0
        """Changelog records that a recovery has still to read; set by the app."""

    # -- for the read model ----------------------------------------------------------------------

    def lookup(self, number: int, key: str) -> View | None:
        """The view of a known id as it is now; None when there is none."""
        partition = self._profiles.owned.get(number)
        profile = partition.shown(key.encode()) if partition is not None else None
        return None if partition is None or profile is None else view_of(partition, key, profile)

    def snapshot(self, number: int) -> Iterator[tuple[str, View]]:
        """All known ids of an owned partition, as they are when each is come to: of those that are kept meanwhile, whom the flush submits,
        some may come twice or not at all."""
        partition = self._profiles.owned.get(number)
        for key in partition.keys() if partition is not None else ():
            name = key.decode()
            found = self.lookup(number, name)
            if found is not None:
                yield name, found

    # -- for the metrics -------------------------------------------------------------------------

    def _owned(self) -> list[Partition]:
        return [] if self.recovering else list(self._profiles.owned.values())

    def populations(self) -> Mapping[str, int]:
        """Customers by stage."""
        total: dict[str, int] = {}
        for partition in self._owned():
            for stage, count in list(partition.marker.population.items()):
                total[stage] = total.get(stage, 0) + count
        return total

    def accounted(self) -> Mapping[tuple[str, str, str], int]:
        """Events by (source, type, outcome)."""
        total: dict[tuple[str, str, str], int] = {}
        for partition in self._owned():
            for key, count in accounts_of(partition).items():
                total[key] = total.get(key, 0) + count
        return total

    def money(self) -> Mapping[str, tuple[int, int, int]]:
        """By currency: orders, gross and net in minor units."""
        total: dict[str, tuple[int, int, int]] = {}
        for partition in self._owned():
            for currency, (orders, gross, net) in list(partition.marker.sums.items()):
                before = total.get(currency, (0, 0, 0))
                total[currency] = (before[0] + orders, before[1] + gross, before[2] + net)
        return total

    def kept(self) -> Mapping[int, int]:
        """Records kept by log partition, as of the last flush."""
        return {partition.number: len(partition.stored) for partition in self._owned()}

    def kpis(self) -> Mapping[int, PartitionSums | None]:
        """The KPI sums of each owned partition, None of one whose KPIs are not counted."""
        if not self._profiles.rules.window:
            return {}
        found: dict[int, PartitionSums | None] = {}
        for partition in self._owned():
            kpis, sums = partition.kpis, None
            if kpis is not None:
                # the day first: sums of the day after it, by a turn in between, are corrected with the next scrape
                days = kpis.days
                sums = PartitionSums(days.day, days.window, days.totals(), days.places.copy())
            found[partition.number] = sums
        return found

    def kpi_partitions(self) -> int:
        """Of how many partitions KPIs are to be counted, by all workers together; 0 where none are to be."""
        return self._partitions if self._profiles.rules.window else 0

    def lag_records(self) -> Mapping[tuple[str, int], int]:
        """Records that are not durable yet, by (topic, partition)."""
        if self.consumer is None or self.recovering:
            return {}
        lag = {}
        for tp, durable in list(self.consumer.positions.durable.items()):
            end = self.consumer.end_offset(tp)
            if end is not None:
                lag[tp.topic, tp.partition] = max(0, end - durable)
        return lag

    def clocks(self) -> Mapping[int, float | None]:
        """The tick of each owned log partition, seconds since 1970; None before the first."""
        return {p.number: p.clock.time / 1000 if p.clock.time > LONG_AGO else None for p in self._owned()}

    def holding(self) -> Mapping[tuple[str, int], float]:
        """Partitions that hold the clock back, with the event time reached there: of sources, and of the log."""
        reading = None if self.ticker is None else self.ticker.reading
        if self.ticker is None or reading is None:
            return {}
        holders = (*reading.holders, *self.ticker.holders)
        return {(s.topic, s.partition): (s.reached or 0) / 1000 for s in holders}

    def recovery(self) -> tuple[bool, int, int]:
        """(under way, changelog records read, records to read)."""
        done = self._profiles.restored
        return self.recovering, done, done + (max(0, self.remaining()) if self.recovering else 0)

    def owned(self) -> Mapping[str, int]:
        """Number of owned partitions by topic."""
        if self.consumer is None or self.recovering:
            return {}
        count: dict[str, int] = {}
        for tp in list(self.consumer.positions.durable):
            count[tp.topic] = count.get(tp.topic, 0) + 1
        return count


def accounts_of(partition: Partition) -> dict[tuple[str, str, str], int]:
    """One partition's events by (source, type, outcome)."""
    return {
        (source, kind, outcome): count
        for source, by_type in list(partition.marker.accounts.items())
        for kind, by_outcome in list(by_type.items())
        for outcome, count in list(by_outcome.items())
    }
