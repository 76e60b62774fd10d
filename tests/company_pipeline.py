"""What else the workers of the company show: stages, events, money, lag, the clock, recoveries and the read model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from lifestage.facts import TYPES
from streams.metrics import METRICS, SECONDS, SIZES, Metric
from tests.company import DAY_S, SHARES, STAGES, Sample, moves, wave

LOG, PARTITIONS = "customer-events", 8
PER_DAY = {
    ("web", "web.visit"): 96_000,
    ("mailer", "email.event"): 21_500,
    ("shop", "order.completed"): 7_900,
    ("desk", "ticket.created"): 420,
}
OUTCOMES = {"accepted": 0.962, "duplicate": 0.019, "late": 0.006, "suppressed": 0.011, "rejected": 0.002}
OF_IDS = {
    "linked": 1300,
    "merged": 40,
    "split": 2,
    "switched": 85,
    "email_conflict": 12,
    "forwarded": 5200,
    "void": 3,
    "apart": 1,
    "alias_limit": 1,
    "refused_merge": 1,
    "shed": 0,
}
REASONS = {"unparsable": 90, "unknown_type": 40, "no_identity": 130}
Told = Iterator[tuple[dict[str, str], float]]


class Instant:
    """What a worker shows at an instant; `since` is that of its start."""

    def __init__(self, at: float, since: float, share: float, plan: tuple[str, str], version: str = "0.1.0") -> None:
        self.at, self.since, self.share, self.plan, self.version = at, since, share, plan, version
        self.days = (at - since) / DAY_S
        self.before = since / DAY_S - 20_130
        """Days of trade before the process began."""
        self.partitions = range(4) if share > 0.5 else range(4, PARTITIONS)
        self.recovers = at - since < 240
        # A backlog of two hours' mail each day at noon, worked off in half an hour.
        into = (at - DAY_S / 2) % DAY_S
        self.backlog = max(0.0, 1 - into / 1800)

    def samples(self) -> Iterator[Sample]:
        """All of them."""
        for metric in METRICS:
            if not metric.name.startswith("lifestage_kpi_"):
                yield from self._of(metric)
        yield Sample("process_resident_memory_bytes", {}, 4.1e8 * (0.8 + 0.2 * self.share) * wave("memory", self.at))
        yield Sample("process_cpu_seconds_total", {}, 0.19 * (self.at - self.since) * self.share + self._swell() * 90)

    def _of(self, metric: Metric) -> Iterator[Sample]:
        if metric.type == "histogram":
            yield from self._histogram(metric, SECONDS if "seconds" in metric.name else SIZES)
            return
        found = TELLERS.get(metric.name)
        for labels, value in found(self) if found is not None else self._of_numbers(metric):
            yield Sample(metric.name, labels, value)

    def _of_numbers(self, metric: Metric) -> Told:
        if metric.labels == ("partition",):
            yield from (({"partition": str(number)}, 1.0) for number in self.partitions)
        elif not metric.labels:
            yield {}, float(metric.name.endswith("connected"))

    def _swell(self) -> float:
        """Of the day's trade so far: most of it by day."""
        return self.days + 0.14 * (
            math.sin(2 * math.pi * (self.at / DAY_S - 0.35)) - math.sin(2 * math.pi * (self.since / DAY_S - 0.35))
        )

    def _histogram(self, metric: Metric, bounds: tuple[float, ...]) -> Iterator[Sample]:
        middle = 0.045 if bounds is SECONDS else 40.0
        total = 86_400 * 2 * self._swell() * self.share
        for bound in bounds:
            below = total * 0.5 * (1 + math.erf(math.log(bound / middle) / 0.9))
            yield Sample(f"{metric.name}_bucket", {"le": str(bound)}, float(round(below)))
        yield Sample(f"{metric.name}_bucket", {"le": "+Inf"}, float(round(total)))
        yield Sample(f"{metric.name}_sum", {}, total * middle * 1.22)
        yield Sample(f"{metric.name}_count", {}, float(round(total)))

    def customers(self) -> Told:
        """By stage."""
        return (
            ({"stage": stage}, float(round(count * self.share * wave(stage, self.at, 0.02))))
            for stage, count in STAGES.items()
        )

    def changes(self) -> Told:
        """By where from, where to and how."""
        for (before, stage, kind), count in moves().items():
            yield (
                {"from_stage": before, "to_stage": stage, "kind": kind},
                math.floor(count / 90 * self._swell() * self.share),
            )

    def events(self) -> Told:
        """Since the start."""
        for (source, type_), count in PER_DAY.items():
            assert type_ in TYPES.values()
            for outcome, size in OUTCOMES.items():
                yield (
                    {"source": source, "type": type_, "outcome": outcome},
                    math.floor(count * size * self._swell() * self.share),
                )

    def accounted(self) -> Told:
        """Ever."""
        return (
            (
                labels,
                math.floor(
                    value + 400 * self.share * PER_DAY[labels["source"], labels["type"]] * OUTCOMES[labels["outcome"]]
                ),
            )
            for labels, value in self.events()
        )

    def money(self, size: float) -> Told:
        """By currency."""
        for currency, of_it in SHARES["currency"].items():
            yield {"currency": currency}, round(size * of_it * self.share * (self.before + self._swell()), 2)

    def counts(self, label: str, per_day: dict[str, int]) -> Told:
        """Counters of the process."""
        return (({label: name}, math.floor(count * self._swell() * self.share)) for name, count in per_day.items())

    def lag(self) -> Told:
        """Records that wait."""
        for topic, size in (("visits", 9), ("emails", 14_000), ("purchases", 3), (LOG, 30)):
            for number in self.partitions:
                waiting = size * (self.backlog if topic == "emails" else wave(f"{topic}{number}", self.at, 0.4))
                yield {"topic": topic, "partition": str(number)}, float(round(waiting + number))

    def held(self, age: bool) -> Told:
        """What holds the clock while there is a backlog."""
        for number in self.partitions if self.backlog else self.partitions[:1]:
            value = self.at - 40 - 7_000 * self.backlog if age else 1.0
            yield {"topic": "emails", "partition": str(number)}, value

    def clock(self, behind: bool) -> Told:
        """Of each partition."""
        for number in self.partitions:
            lag = 20 + 5 * number + 7_000 * self.backlog
            yield {"partition": str(number)}, lag if behind else self.at - lag

    def of_partitions(self, size: float) -> Told:
        """A number for each partition."""
        return (
            ({"partition": str(number)}, float(round(size * (1 + number / 40) * wave(str(number), self.at, 0.01))))
            for number in self.partitions
        )

    def owned(self) -> Told:
        """By topic."""
        return (({"topic": topic}, float(len(self.partitions))) for topic in ("visits", "emails", "purchases", LOG))

    def info(self) -> Told:
        """What runs."""
        yield {"version": self.version, "plan": self.plan[0], "plan_hash": self.plan[1]}, 1.0

    def recovery(self, what: str) -> Told:
        """The first four minutes of a process."""
        done = 58_000 * self.share * min(1.0, (self.at - self.since) / 240)
        yield (
            {},
            {"active": float(self.recovers), "done": float(round(done)), "records": float(round(58_000 * self.share))}[
                what
            ],
        )


TELLERS: dict[str, Callable[[Instant], Told]] = {
    "lifestage_customers": Instant.customers,
    "lifestage_stage_changes_total": Instant.changes,
    "lifestage_events_total": Instant.events,
    "lifestage_accounted_events": Instant.accounted,
    "lifestage_orders": lambda now: now.money(147),
    "lifestage_revenue_gross": lambda now: now.money(9_680),
    "lifestage_revenue_net": lambda now: now.money(7_800),
    "lifestage_identity_total": lambda now: now.counts("outcome", OF_IDS),
    "lifestage_kept_records": lambda now: now.of_partitions(12_400),
    "lifestage_log_partitions": lambda _: iter([({}, float(PARTITIONS))]),
    "lifestage_dead_letters_total": lambda now: now.counts("reason", REASONS),
    "lifestage_late_writes_repaired_total": lambda now: now.counts(
        "kind", {"profile": 1, "page": 0, "marker": 0, "stage": 0}
    ),
    "lifestage_lag_records": Instant.lag,
    "lifestage_event_time_lag_seconds": lambda now: now.clock(behind=True),
    "lifestage_clock_timestamp_seconds": lambda now: now.clock(behind=False),
    "lifestage_clock_held": lambda now: now.held(age=False),
    "lifestage_clock_held_timestamp_seconds": lambda now: now.held(age=True),
    "lifestage_recovery_active": lambda now: now.recovery("active"),
    "lifestage_recovery_records_done": lambda now: now.recovery("done"),
    "lifestage_recovery_records": lambda now: now.recovery("records"),
    "lifestage_partitions_owned": Instant.owned,
    "lifestage_worker_info": Instant.info,
}
"""How the labelled metrics are told; the others are a number that does not change."""
