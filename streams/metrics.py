"""Every metric of a worker by name, and the counts that the hot path keeps for them.

One table names them all; `streams/collector.py` fills them at scrape time and `docs/metrics.md` explains them.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from lifestage.change import KINDS as OF_MOVES
from lifestage.facts import TYPES
from lifestage.identity import OUTCOMES as OF_IDS
from lifestage.keys import EMAIL, may_hold_address
from lifestage.kpi_gather import NONE, OTHER
from lifestage.kpi_labels import KINDS as OF_LABELS
from lifestage.kpi_names import BOUNDS
from lifestage.kpis import DEFINITIONS
from lifestage.language_stages import STAGES_MAX
from lifestage.refusal import REASONS, UNKNOWN
from streams.kpi_families import TOLD_LABELS, PartitionSums
from streams.stage_limits import MOVES_MAX, Moves

REPAIRS: Final = ("profile", "page", "marker", "stage")
OUTCOMES: Final = ("accepted", "duplicate", "late", "suppressed", "rejected")
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Flushes are meant to take below 0.2 s; 10 s is a session timeout."""
SIZES: Final = (1.0, 10.0, 100.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 50_000.0)
SERIES_MAX: Final = 2_000
"""Series on the page of a worker that owns `LOG_PARTITIONS_OF_IT` partitions of each of `TOPICS_OF_IT` topics, the log among them."""
LOG_PARTITIONS_OF_IT: Final = 8
TOPICS_OF_IT: Final = 4
PARTITIONS_OF_IT: Final = LOG_PARTITIONS_OF_IT * TOPICS_OF_IT
SOURCES_MAX: Final = 50
"""Sources that stand for themselves: first come; further ones are `other`."""
PAIRS_MAX: Final = 30
"""Pairs of source and type that stand for themselves, each with up to ten series: first come; further types are `other` of their source."""
MONEY_MAX: Final = 24
"""Currencies of which orders and revenue are told, three series each: those with the most orders."""


class Metric(NamedTuple):
    """One metric: its name on the wire, what it is, its labels, its unit, what it says, and its limit."""

    name: str
    type: Literal["counter", "gauge", "histogram", "info"]
    labels: tuple[str, ...]
    unit: str
    help: str
    most: int
    """Series at most, whatever events and state name: with those of the narrowest KPIs they come to no more than `SERIES_MAX`."""


# fmt: off
CUSTOMERS = Metric("lifestage_customers", "gauge", ("stage",), "customers", "Customers by stage, of the partitions owned now.", STAGES_MAX)
STAGE_CHANGES = Metric("lifestage_stage_changes_total", "counter", ("from_stage", "to_stage", "kind"), "changes", "Stage changes announced by this process; none is the stage of who had or has no stage.", MOVES_MAX + len(OF_MOVES) + 1)
EVENTS = Metric("lifestage_events_total", "counter", ("source", "type", "outcome"), "events", "Events that this process dealt with; after a crash some are counted again.", len(OUTCOMES) * (PAIRS_MAX + SOURCES_MAX + 3))
ACCOUNTED = Metric("lifestage_accounted_events", "gauge", ("source", "type", "outcome"), "events", "Events ever dealt with, each counted once, of the partitions owned now.", len(OUTCOMES) * (SOURCES_MAX + 2))
ORDERS = Metric("lifestage_orders", "gauge", ("currency",), "orders", "Orders, each counted once, of the partitions owned now.", MONEY_MAX)
REVENUE_GROSS = Metric("lifestage_revenue_gross", "gauge", ("currency",), "major units", "Sum that was paid for orders, of the partitions owned now.", MONEY_MAX)
REVENUE_NET = Metric("lifestage_revenue_net", "gauge", ("currency",), "major units", "Sum of orders without tax and shipping and less refunds, of the partitions owned now.", MONEY_MAX)
IDENTITY = Metric("lifestage_identity_total", "counter", ("outcome",), "ids", "What happened to ids, by this process; after a crash some are counted again.", len(OF_IDS) + 1)
KEPT = Metric("lifestage_kept_records", "gauge", ("partition",), "records", "Records kept of a log partition owned now: of customers, of their other ids, of orders and tickets, and of the company.", LOG_PARTITIONS_OF_IT)
LOG_PARTITIONS = Metric("lifestage_log_partitions", "gauge", (), "partitions", "Partitions of the log that there are. Sums over workers are whole while each is owned by one worker.", 1)
DEAD_LETTERS = Metric("lifestage_dead_letters_total", "counter", ("reason",), "events", "Events that this process sent to the dead-letter topic.", len(REASONS) + 1)
LATE_WRITES = Metric("lifestage_late_writes_repaired_total", "counter", ("kind",), "records", "Records that a former owner of a partition wrote late over newer ones, and that were written again.", len(REPAIRS))
SENDS_HELD = Metric("lifestage_sends_held_total", "counter", (), "waits", "Times that sends waited because no heartbeat was answered in time.", 1)
LAG_RECORDS = Metric("lifestage_lag_records", "gauge", ("topic", "partition"), "records", "Records of an owned partition that are not processed yet.", PARTITIONS_OF_IT)
LAG_SECONDS = Metric("lifestage_event_time_lag_seconds", "gauge", ("partition",), "seconds", "How far the clock of an owned log partition is behind the wall clock.", LOG_PARTITIONS_OF_IT)
CLOCK = Metric("lifestage_clock_timestamp_seconds", "gauge", ("partition",), "seconds since 1970", "The clock of an owned log partition: its last tick.", LOG_PARTITIONS_OF_IT)
CLOCK_HELD = Metric("lifestage_clock_held", "gauge", ("topic", "partition"), "0 or 1", "1 for a partition of a source or of the log that holds the clock back; absent when it does not.", PARTITIONS_OF_IT)
CLOCK_HELD_AT = Metric("lifestage_clock_held_timestamp_seconds", "gauge", ("topic", "partition"), "seconds since 1970", "Event time at which a partition of a source or of the log holds the clock back.", PARTITIONS_OF_IT)
RECOVERY_ACTIVE = Metric("lifestage_recovery_active", "gauge", (), "0 or 1", "1 while state is read back from the changelog.", 1)
RECOVERY_DONE = Metric("lifestage_recovery_records_done", "gauge", (), "records", "Changelog records read in this recovery.", 1)
RECOVERY_RECORDS = Metric("lifestage_recovery_records", "gauge", (), "records", "Changelog records to read in this recovery.", 1)
PARTITIONS = Metric("lifestage_partitions_owned", "gauge", ("topic",), "partitions", "Partitions of a topic owned now.", TOPICS_OF_IT)
FLUSH_SECONDS = Metric("lifestage_flush_seconds", "histogram", (), "seconds", "Time from the begin of a flush until all of it was acknowledged.", len(SECONDS) + 3)
BATCH_EVENTS = Metric("lifestage_batch_events", "histogram", (), "events", "Events in one batch.", len(SIZES) + 3)
READ_PENDING = Metric("lifestage_read_model_pending", "gauge", (), "customers", "Customers whose newest state is not in Redis yet.", 1)
READ_CONNECTED = Metric("lifestage_read_model_connected", "gauge", (), "0 or 1", "1 while Redis answers.", 1)
READ_WRITTEN = Metric("lifestage_read_model_written_total", "counter", (), "customers", "Customers written to Redis.", 1)
READ_FAILURES = Metric("lifestage_read_model_failures_total", "counter", (), "attempts", "Attempts to write to Redis that failed; each is made again.", 1)
READ_REFILLS = Metric("lifestage_read_model_refills_total", "counter", (), "refills", "Times that Redis had lost its data and was filled again.", 1)
KPI_COMPLETE = Metric("lifestage_kpi_complete", "gauge", (), "0 or 1", "1 while the KPIs of all partitions owned now are counted; 0 where a partition's state was kept without them, and while state is read back.", 1)
KPI_PARTITIONS = Metric("lifestage_kpi_partitions", "gauge", (), "partitions", "Partitions whose KPIs this worker counts now; 0 while state is read back.", 1)
KPI_EXPECTED = Metric("lifestage_kpi_partitions_expected", "gauge", (), "partitions", "Partitions that there are. KPIs have a value while each is counted by one worker.", 1)
KPI_COUNTED = Metric("lifestage_kpi_counted", "gauge", ("partition",), "0 or 1", "1 for a partition owned now whose KPIs are counted, 0 for one whose state was kept without them.", LOG_PARTITIONS_OF_IT)
KPI_HIDDEN = Metric("lifestage_kpi_hidden_values", "gauge", ("label",), "values", "Values of a label that this worker does not tell apart, at least: they are in other, of currencies left out.", len(OF_LABELS) + 1)
KPI_TOLD = Metric("lifestage_kpi_told", "gauge", TOLD_LABELS, "1", "Values that a worker which hides others of a label tells apart: what all such workers tell apart is whole.", 0)
KPI_WINDOW = Metric("lifestage_kpi_window_seconds", "gauge", (), "seconds", "The window of the KPIs: whole days, the present one included.", 1)
KPI_DAY = Metric("lifestage_kpi_day_timestamp_seconds", "gauge", (), "seconds since 1970", "End of the day as of which the KPIs are: the earliest of the partitions owned now.", 1)
KPI_TARGET = Metric("lifestage_kpi_target", "gauge", ("kpi",), "the KPI's", "Target of a KPI by the plan.", sum(one.unit in BOUNDS for one in DEFINITIONS))
WORKER = Metric("lifestage_worker_info", "info", ("version", "plan", "plan_hash"), "1", "What runs in this process.", 1)
# fmt: on

METRICS: Final = (
    CUSTOMERS, STAGE_CHANGES, EVENTS, ACCOUNTED, ORDERS, REVENUE_GROSS, REVENUE_NET, IDENTITY, KEPT, LOG_PARTITIONS, DEAD_LETTERS,
    LATE_WRITES, SENDS_HELD, LAG_RECORDS,
    LAG_SECONDS, CLOCK, CLOCK_HELD, CLOCK_HELD_AT, RECOVERY_ACTIVE, RECOVERY_DONE, RECOVERY_RECORDS, PARTITIONS,
    FLUSH_SECONDS, BATCH_EVENTS, READ_PENDING, READ_CONNECTED, READ_WRITTEN, READ_FAILURES, READ_REFILLS,
    KPI_COMPLETE, KPI_PARTITIONS, KPI_EXPECTED, KPI_COUNTED, KPI_HIDDEN, KPI_TOLD, KPI_WINDOW, KPI_DAY, KPI_TARGET, WORKER,
)  # fmt: skip
"""All of them, in the order of an event's journey."""


class View(Protocol):
    """What a worker knows at this moment, read from the scraping thread: every method returns at once.

    All of it is of the partitions owned now, and empty of those that were revoked.
    """

    def populations(self) -> Mapping[str, int]:
        """Customers by stage."""

    def accounted(self) -> Mapping[tuple[str, str, str], int]:
        """Events by source, type and outcome, as kept with the state."""

    def money(self) -> Mapping[str, tuple[int, int, int]]:
        """By currency: orders, gross and net in minor units."""

    def kept(self) -> Mapping[int, int]:
        """Records kept, by log partition."""

    def kpis(self) -> Mapping[int, PartitionSums | None]:
        """The KPI sums of each partition, None of one whose KPIs are not counted; nothing where none are to be."""

    def kpi_partitions(self) -> int:
        """Of how many partitions KPIs are to be counted, by all workers together; 0 where none are to be."""

    def lag_records(self) -> Mapping[tuple[str, int], int]:
        """Unprocessed records by topic and partition."""

    def clocks(self) -> Mapping[int, float | None]:
        """By log partition the clock in seconds since 1970; None before the first tick."""

    def holding(self) -> Mapping[tuple[str, int], float]:
        """By source topic and partition the event time, seconds since 1970, at which it holds the clock back."""

    def recovery(self) -> tuple[bool, int, int]:
        """Whether state is being read back; records read; records to read."""

    def owned(self) -> Mapping[str, int]:
        """Number of partitions by topic."""


class ReadModelState(Protocol):
    """What is known of the read model's writer (`streams.read_model.ReadModel`)."""

    connected: bool
    written_total: int
    failures_total: int
    refills_total: int

    @property
    def pending(self) -> int:
        """Customers who wait to be written."""


OF_PARTITIONS: Final = sum(metric.most for metric in METRICS if "partition" in metric.labels)
"""Of the page for what is told of each partition, which no event can multiply."""


class Labels:
    """Bounded label values: the first `limit` distinct ones stand for themselves, the rest is `other`.

    A value loses what cannot be printed (control characters, U+2028, half surrogates) and all beyond 60 characters. One that
    may hold an address is `other`.
    """

    def __init__(self, limit: int = SOURCES_MAX) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def of(self, value: str) -> str:
        """The label value for `value`, never empty: Prometheus takes an empty label for none."""
        if value in self._known:
            return value
        # 240 first: a value may be as long as an event, and no more than 60 of what is printable is kept.
        clean = "".join(filter(str.isprintable, value[:240])).strip()[:60].strip() or UNKNOWN
        if clean not in self._known:
            if clean in (OTHER, UNKNOWN):
                return clean
            if may_hold_address(value) or value.startswith(EMAIL):
                # perhaps an address, of which what is kept may be the mailbox, or the hash that stands for one
                return OTHER
            if len(self._known) >= self._limit:
                return OTHER
            self._known.add(clean)
        return clean


class Counts:
    """What this process counted since it started. Adding is two dictionary operations, meant once per batch and kind.

    The event loop adds, and scrapes take copies and name what is kept: `labels` may be asked from any thread.
    """

    def __init__(self) -> None:
        self.sources = Labels()
        self._pairs: set[tuple[str, str]] = {(OTHER, OTHER), (UNKNOWN, UNKNOWN)}
        self._pairs_max = PAIRS_MAX + len(self._pairs)
        self._naming = threading.Lock()
        self.events: dict[tuple[str, str, str], int] = {}
        self.moves = Moves()
        self.dead_letters: dict[str, int] = {}
        self.repairs: dict[str, int] = dict.fromkeys(REPAIRS, 0)
        self.identity: dict[str, int] = dict.fromkeys(OF_IDS, 0)
        self._of_ids: dict[int, dict[str, int]] = {}

    def add(self, source: str, type_: str, outcome: str, n: int = 1) -> None:
        """Count `n` events; `outcome` is one of `OUTCOMES`."""
        key = (source, type_, outcome)
        if key not in self.events:
            key = self.labels(source, type_, outcome)
        self.events[key] = self.events.get(key, 0) + n

    def change(self, before: str | None, stage: str | None, kind: str, n: int = 1) -> None:
        """Count `n` announced changes; the stages are the plan's, None for no stage."""
        self.moves.add(before or NONE, stage or NONE, kind, n)

    def dead_letter(self, reason: str, n: int = 1) -> None:
        """Count `n` events that went to the dead-letter topic."""
        key = reason if reason in REASONS else OTHER
        self.dead_letters[key] = self.dead_letters.get(key, 0) + n

    def repair(self, kind: str, n: int = 1) -> None:
        """Count `n` records that a former owner wrote late and that were written again; `kind` is one of `REPAIRS`."""
        self.repairs[kind] += n

    def adopt(self, partition: int, of_ids: Mapping[str, int]) -> None:
        """A partition was taken over with these counts of what happened to ids: they are of who had it before."""
        self._of_ids[partition] = dict(of_ids)

    def happened(self, partition: int, of_ids: Mapping[str, int]) -> None:
        """A partition's counts of what happened to ids are these now: what is more than before is counted."""
        before = self._of_ids.get(partition, {})
        for name, count in of_ids.items():
            key = name if name in self.identity else OTHER
            self.identity[key] = self.identity.get(key, 0) + max(0, count - before.get(name, 0))
        self._of_ids[partition] = dict(of_ids)

    def labels(self, source: str, type_: str, outcome: str) -> tuple[str, str, str]:
        """The three as bounded label values: a type that is no fact's is `unknown`."""
        with self._naming:
            pair = self.sources.of(source), type_ if type_ in KNOWN_TYPES else UNKNOWN
            if pair not in self._pairs:
                if len(self._pairs) >= self._pairs_max:
                    # of its source, whose sum stays exact: who asks whether a source still sends asks all of its types
                    return pair[0], OTHER, outcome
                self._pairs.add(pair)
            return *pair, outcome


KNOWN_TYPES: Final = frozenset(TYPES.values())


class Histogram:
    """Counts of values up to each bound, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.sum = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as Prometheus wants them."""
        total, found = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self._counts.copy(), strict=True):
            total += count
            found.append((bound, float(total)))
        return found


def added_up(counted: Iterable[tuple[tuple[str, str, str], int]]) -> dict[tuple[str, str, str], int]:
    """The counts summed by label values."""
    total: dict[tuple[str, str, str], int] = {}
    for key, count in counted:
        total[key] = total.get(key, 0) + count
    return total


def with_all_outcomes(counted: Mapping[tuple[str, str, str], int]) -> dict[tuple[str, str, str], int]:
    """The counts, with 0 for the outcomes that a seen source and type has not had yet (not of `other`): the rate of a counter misses its
    first value."""
    return {(source, type_, each): 0 for source, type_, _ in counted if type_ != OTHER for each in OUTCOMES} | dict(
        counted
    )


def within(counted: dict[tuple[str, str, str], int], most: int) -> dict[tuple[str, str, str], int]:
    """Counts by source, type and outcome in no more than so many series, but for each source its own: the types with the fewest events
    are `other` of their source, whose sums stay exact."""
    pairs: dict[tuple[str, str], int] = {}
    for (source, type_, _), count in counted.items():
        pairs[source, type_] = pairs.get((source, type_), 0) + count
    found = dict(counted)
    for source, type_ in sorted(pairs, key=lambda pair: (pairs[pair], pair)):
        if len(found) <= most:
            break
        if type_ != OTHER:
            for outcome in OUTCOMES:
                if (source, type_, outcome) in found:
                    count = found.pop((source, type_, outcome))
                    found[source, OTHER, outcome] = found.get((source, OTHER, outcome), 0) + count
    return found
