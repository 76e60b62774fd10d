"""Turns what a worker knows into metrics, at the moment Prometheus asks, in the scraping thread.

Nothing is kept between scrapes: a gauge of a partition that was revoked is gone with the partition.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from lifestage.money import DIGITS
from lifestage.plan import Plan
from lifestage.refusal import REASONS
from streams import metrics as names
from streams.kpi_families import PartitionSums, families, fitting, hidden_of, told_of
from streams.metrics import Counts, Histogram, Metric, ReadModelState, View, added_up, with_all_outcomes, within
from streams.stage_limits import path_of

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
DAY_S: Final = 86_400
OF_PROCESS: Final = 10
"""Series that the client library tells of the process."""
STEP: Final = 50
ATTEMPTS: Final = 20
"""Walking a dictionary while the event loop adds to it fails by `RuntimeError`; the next attempt is 1 ms later."""


class WorkerMetrics(Collector):
    """All metrics of one worker. `view` and `read_model` are set when there are such; till then theirs are absent.

    `log_topic` is the name of the log: whoever owns none of its partitions has no customers, rather than 0.
    """

    def __init__(self, version: str, plan: Plan, plan_hash: str, log_topic: str) -> None:
        self.counts = Counts()
        self.flush_seconds = Histogram(names.SECONDS)
        self.batch_events = Histogram(names.SIZES)
        self.view: View | None = None
        self.read_model: ReadModelState | None = None
        self.holds: Callable[[], int] = lambda: 0
        """How often sends waited for a heartbeat; set by the app."""
        self._info = {"version": version, "plan": plan.id, "plan_hash": plan_hash}
        self._stages = [stage.name for stage in plan.stages]
        self._path = path_of(plan)
        self.counts.moves.expect(plan)
        self._log_topic = log_topic
        self.targets: Mapping[str, float] = {}
        """By KPI; set by the app."""
        self.log_partitions = 0
        """How many there are; set by the app."""

    def registry(self) -> CollectorRegistry:
        """A registry of its own with these metrics and those of the process (memory, processor time, open files)."""
        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        return registry

    def collect(self) -> Iterator[Family]:
        """All metrics as they are now, in `SERIES_MAX` series: of KPIs as many as the others leave room for."""
        made = [*self._counted()]
        if self.read_model is not None:
            made += self._reading(self.read_model)
        counted: list[PartitionSums] = []
        if self.view is not None:
            made += self._company(self.view)
            made += self._progress(self.view)
            counted = self._kpis(self.view, made)
        yield from made
        if counted:
            told = fitting(counted, self.room(made), self._path)
            yield from families(told)
            yield _family(names.KPI_HIDDEN, hidden_of(told))
            yield _family(names.KPI_TOLD, told_of(told))

    def room(self, others: Iterable[Family]) -> int:
        """In steps, so that a label value does not come and go with every partition that holds the clock."""
        beside = sum("partition" not in sample.labels for family in others for sample in family.samples)
        return names.SERIES_MAX - names.OF_PARTITIONS - -(-(beside + OF_PROCESS) // STEP) * STEP

    def describe(self) -> Iterator[Family]:
        """Names only, for the registry to see that no two collectors share one."""
        for metric in names.METRICS:
            yield _family(metric, ())

    def _counted(self) -> Iterator[Family]:
        worker = InfoMetricFamily("lifestage_worker", names.WORKER.help)
        worker.add_metric((), self._info)
        yield worker
        yield _family(names.STAGE_CHANGES, self.counts.moves.copy().items())
        yield _family(names.EVENTS, with_all_outcomes(self.counts.events.copy()).items())
        yield _family(names.IDENTITY, (((name,), count) for name, count in self.counts.identity.copy().items()))
        # Reason `test` is that of a suppressed event, which goes to no topic.
        reasons = dict.fromkeys(sorted(REASONS - {"test"}), 0) | self.counts.dead_letters.copy()
        yield _family(names.DEAD_LETTERS, (((reason,), count) for reason, count in reasons.items()))
        yield _family(names.LATE_WRITES, (((kind,), count) for kind, count in self.counts.repairs.copy().items()))
        yield _family(names.SENDS_HELD, [((), self.holds())])
        yield _histogram(names.FLUSH_SECONDS, self.flush_seconds)
        yield _histogram(names.BATCH_EVENTS, self.batch_events)

    def _company(self, view: View) -> Iterator[Family]:
        before = _copied(view.kept)
        customers = _copied(view.populations)
        if _copied(view.owned).get(self._log_topic):
            customers = dict.fromkeys(self._stages, 0) | customers
        yield _family(names.CUSTOMERS, (((stage,), count) for stage, count in customers.items()))
        accounted = added_up((self.counts.labels(*key), count) for key, count in _copied(view.accounted).items())
        yield _family(names.ACCOUNTED, within(accounted, names.ACCOUNTED.most).items())
        # A currency that is none of ISO 4217's was refused at intake; it could not be scaled either.
        known = ((code, sums) for code, sums in _copied(view.money).items() if code in DIGITS)
        money = dict(sorted(known, key=lambda one: (-one[1][0], one[0]))[: names.MONEY_MAX])
        yield _family(names.ORDERS, (((code,), sums[0]) for code, sums in money.items()))
        yield _family(names.REVENUE_GROSS, (((code,), _major(sums[1], code)) for code, sums in money.items()))
        yield _family(names.REVENUE_NET, (((code,), _major(sums[2], code)) for code, sums in money.items()))
        # Only those that were there all the while: a partition that is named is in all of the above.
        kept = {number: count for number, count in _copied(view.kept).items() if number in before}
        yield _family(names.KEPT, (((str(number),), count) for number, count in kept.items()))
        if self.log_partitions:
            yield _family(names.LOG_PARTITIONS, [((), self.log_partitions)])

    def _progress(self, view: View) -> Iterator[Family]:
        lags, held, now = _copied(view.lag_records), _copied(view.holding), time.time()
        clocks = {number: clock for number, clock in _copied(view.clocks).items() if clock is not None}
        yield _family(names.LAG_RECORDS, (((topic, str(number)), lag) for (topic, number), lag in lags.items()))
        yield _family(names.LAG_SECONDS, (((str(number),), max(0.0, now - clock)) for number, clock in clocks.items()))
        yield _family(names.CLOCK, (((str(number),), clock) for number, clock in clocks.items()))
        yield _family(names.CLOCK_HELD, (((topic, str(number)), 1) for topic, number in held))
        yield _family(names.CLOCK_HELD_AT, (((topic, str(number)), at) for (topic, number), at in held.items()))
        active, done, records = view.recovery()
        yield _family(names.RECOVERY_ACTIVE, [((), int(active))])
        yield _family(names.RECOVERY_DONE, [((), done)])
        yield _family(names.RECOVERY_RECORDS, [((), records)])
        yield _family(names.PARTITIONS, (((topic,), count) for topic, count in _copied(view.owned).items()))

    def _kpis(self, view: View, made: list[Family]) -> list[PartitionSums]:
        """The sums of the partitions that are counted, if any day has come; what is told beside them is put to what was made."""
        expected = view.kpi_partitions()
        if not expected:
            return []
        recovering = view.recovery()[0]
        partitions = _tried(view.kpis)
        counted = [one for one in partitions.values() if one is not None]
        if partitions or recovering:
            complete = not recovering and len(counted) == len(partitions)
            made.append(_family(names.KPI_COMPLETE, [((), int(complete))]))
            made.append(_family(names.KPI_TARGET, (((kpi,), target) for kpi, target in self.targets.items())))
        by_number = (((str(number),), int(one is not None)) for number, one in partitions.items())
        made += [
            _family(names.KPI_PARTITIONS, [((), len(counted))]),
            _family(names.KPI_EXPECTED, [((), expected)]),
            _family(names.KPI_COUNTED, by_number),
        ]
        days = [one.day for one in counted if one.day > 0]
        if not days:
            return []
        made.append(_family(names.KPI_WINDOW, [((), counted[0].window * DAY_S)]))
        made.append(_family(names.KPI_DAY, [((), (min(days) + 1) * DAY_S)]))
        return counted

    def _reading(self, state: ReadModelState) -> Iterator[Family]:
        yield _family(names.READ_PENDING, [((), state.pending)])
        yield _family(names.READ_CONNECTED, [((), int(state.connected))])
        yield _family(names.READ_WRITTEN, [((), state.written_total)])
        yield _family(names.READ_FAILURES, [((), state.failures_total)])
        yield _family(names.READ_REFILLS, [((), state.refills_total)])


def _family(metric: Metric, samples: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    family: CounterMetricFamily | GaugeMetricFamily
    if metric.type == "counter":  # the client puts _total behind the name itself
        family = CounterMetricFamily(metric.name.removesuffix("_total"), metric.help, labels=metric.labels)
    else:
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, histogram: Histogram) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help)
    family.add_metric((), histogram.buckets(), histogram.sum)
    return family


def _major(minor: int, currency: str) -> float:
    return float(Decimal(minor).scaleb(-DIGITS[currency]))


def _copied(read: Callable[[], Mapping[K, V]]) -> dict[K, V]:
    return _tried(lambda: dict(read()))


def _tried(read: Callable[[], T]) -> T:
    for _ in range(ATTEMPTS - 1):
        try:
            return read()
        except RuntimeError:
            time.sleep(0.001)
    return read()
