"""The dashboard of the pipeline: whether everything that came in is counted, and whether the workers keep up."""

from __future__ import annotations

from config.dashboards.panels import (
    INSTANCES,
    JOBS,
    WORKER,
    Ask,
    Dashboard,
    Panel,
    Row,
    Variable,
    bars,
    grid,
    lines,
    numbers,
)

RECOUNT = 'job=~"$recount"'


def _rate(metric: str, label: str, per: str = "") -> Ask:
    by = f"sum by ({label})" if label else "sum"
    return Ask(f"{by} (rate({metric}{{{WORKER}}}[$__rate_interval])){per}", f"{{{{{label}}}}}" if label else "all")


def _quantile(share: str, name: str) -> Ask:
    buckets = f"sum by (le) (rate(lifestage_flush_seconds_bucket{{{WORKER}}}[$__rate_interval]))"
    return Ask(f"histogram_quantile({share}, {buckets})", name)


def _each(title: str, words: str, metric: str, how: str) -> Panel:
    return lines(
        title,
        words,
        "bool_yes_no",
        Ask(f"{how} by (instance) ({metric}{{{WORKER}}})", "{{instance}}"),
        width=6,
        height=6,
        min=0,
    )


_EVENTS = (
    Row("Events"),
    lines(
        "Events per second by outcome",
        "What was read from the source topics and what became of it: accepted, duplicate, late, suppressed or rejected. Counted by each process: after a crash some are counted again.",
        "cps",
        _rate("lifestage_events_total", "outcome"),
        width=7,
        min=0,
    ),
    lines("Events per second by source", "The same by the source that sent them: one whose line ends has gone silent.", "cps", _rate("lifestage_events_total", "source"), width=7, min=0),
    grid(
        "Events accounted for",
        "Every source record counted once, by source and outcome, over the whole life of the log. Kept with the state, so a crash and a second reading change nothing.",
        "short",
        Ask(f"sum by (source, outcome) (lifestage_accounted_events{{{WORKER}}})"),
        row="source",
        column="outcome",
        width=10,
    ),
    lines(
        "Dead letters per minute by reason",
        "Records sent to dead-letters, by the reason they carry. Each one names the place of what is wrong.",
        "cpm",
        _rate("lifestage_dead_letters_total", "reason", " * 60"),
        min=0,
    ),
    lines(
        "Rejected share of events",
        "Rejected ÷ all events. Above one in twenty for five minutes there is an alert.",
        "percentunit",
        Ask(
            f"sum(rate(lifestage_dead_letters_total{{{WORKER}}}[$__rate_interval]))"
            f" / (sum(rate(lifestage_events_total{{{WORKER}}}[$__rate_interval])) > 0)",
            "rejected",
        ),
        min=0,
    ),
    lines("Batches", "Events in one batch, on average: large while there is a backlog, small when the workers wait for the sources.", "short",
          Ask(f"sum(rate(lifestage_batch_events_sum{{{WORKER}}}[$__rate_interval])) / (sum(rate(lifestage_batch_events_count{{{WORKER}}}[$__rate_interval])) > 0)", "events"), min=0),
)  # fmt: skip

_LAG = (
    Row("Keeping up"),
    lines(
        "Records waiting",
        "Records in each topic that are written and not yet folded. A number that stays near a constant is fine, one that keeps rising is not.",
        "short",
        Ask(f"sum by (topic) (lifestage_lag_records{{{WORKER}}})", "{{topic}}"),
        min=0,
    ),
    lines(
        "Event-time lag",
        "How far the clock of each log partition is behind the wall clock. It moves only when something is due, so this may rise in a quiet hour; with something in the panel on what holds the clock, it is real.",
        "s",
        Ask(f"max by (partition) (lifestage_event_time_lag_seconds{{{WORKER}}})", "partition {{partition}}"),
        min=0,
    ),
    lines(
        "What holds the clock",
        "How old the events are at which a source partition with unread records holds the clock, so that nobody is declared at risk or churned whose events wait there. Empty while nothing waits.",
        "s",
        Ask(f"time() - min by (topic, partition) (lifestage_clock_held_timestamp_seconds{{{WORKER}}})", "{{topic}} {{partition}}"),
        min=0,
    ),
    numbers(
        "The log's clock",
        "The event time that silence is judged by: the slowest and the furthest partition. It moves only when something is due.",
        "dateTimeAsIso",
        Ask(f"min(lifestage_clock_timestamp_seconds{{{WORKER}}}) * 1000", "slowest"),
        Ask(f"max(lifestage_clock_timestamp_seconds{{{WORKER}}}) * 1000", "furthest"),
        width=8,
        height=6,
    ),
    lines(
        "Time of a flush",
        "From the begin of a flush until all of it was acknowledged by Kafka: median and 99th percentile.",
        "s",
        _quantile("0.5", "median"),
        _quantile("0.99", "p99"),
        height=6,
        min=0,
    ),
    lines(
        "Held sends and late writes",
        "Waits because no heartbeat was answered in time, and records of a former owner that were written again. More than now and then: workers are cut off.",
        "cpm",
        Ask(f"sum(rate(lifestage_sends_held_total{{{WORKER}}}[$__rate_interval])) * 60", "held sends"),
        Ask(f"sum(rate(lifestage_late_writes_repaired_total{{{WORKER}}}[$__rate_interval])) * 60", "late writes"),
        height=6,
        min=0,
    ),
)  # fmt: skip

_WORKERS = (
    Row("Workers"),
    numbers("Workers", "Workers that answer Prometheus.", "short", Ask(f"count(lifestage_worker_info{{{WORKER}}})", "workers"), height=6),
    lines(
        "Partitions owned",
        "Partitions that each worker owns, by topic. They are shared evenly; a worker with none is one too many.",
        "short",
        Ask(f"sum by (instance, topic) (lifestage_partitions_owned{{{WORKER}}})", "{{instance}} {{topic}}"),
        height=6,
        min=0,
    ),
    _each("Recovering", "1 while a worker reads its state back from the changelog. Its partitions are not folded meanwhile.", "lifestage_recovery_active", "max"),
    lines(
        "Still to recover",
        "Changelog records that are still to be read in a recovery. If it stands still, look at Kafka.",
        "short",
        Ask(f"sum by (instance) (lifestage_recovery_records{{{WORKER}}}) - sum by (instance) (lifestage_recovery_records_done{{{WORKER}}})", "{{instance}}"),
        width=6,
        height=6,
        min=0,
    ),
    lines("Memory", "Resident memory of each worker.", "bytes", Ask(f"sum by (instance) (process_resident_memory_bytes{{{WORKER}}})", "{{instance}}"), width=6, height=6, min=0),
    lines("Processor", "Processors in use by each worker: one at most, as a worker is one process.", "none", _rate("process_cpu_seconds_total", "instance"), width=6, height=6, min=0),
    _each("Read model connected", "1 while the worker reaches Redis. At 0 folding goes on and the read model is caught up afterwards.", "lifestage_read_model_connected", "min"),
    lines(
        "Read model behind",
        "Customers whose newest state is not in Redis yet.",
        "short",
        Ask(f"sum by (instance) (lifestage_read_model_pending{{{WORKER}}})", "{{instance}}"),
        width=6,
        height=6,
        min=0,
    ),
)  # fmt: skip

_STATE = (
    Row("Identity and state"),
    lines(
        "Ids per minute by outcome",
        "What events and merges did with ids: linked, merged, split, switched, forwarded; not linked because of email_conflict, alias_limit or apart; refused_merge; shed are events of visitors who were one too many for a minute.",
        "cpm",
        _rate("lifestage_identity_total", "outcome", " * 60"),
        min=0,
    ),
    bars("Ids by outcome", "The same, in all of the chosen range.", "short", Ask(f"sum by (outcome) (increase(lifestage_identity_total{{{WORKER}}}[$__range]))", "{{outcome}}")),
    lines(
        "Records kept",
        "Customers, their other ids, orders and tickets that wait for a person, and the company, by partition of the log: what memory goes with. In a flood of ids it rises by no more than identity.new_anonymous_per_minute for each source.",
        "short",
        Ask(f"sum by (partition) (lifestage_kept_records{{{WORKER}}})", "{{partition}}"),
        stacked=True,
        min=0,
    ),
    Row("KPIs"),
    numbers("KPIs are as of", "The end of the day that the KPIs are as of, of the slowest partition.", "dateTimeAsIso", Ask(f"min(lifestage_kpi_day_timestamp_seconds{{{WORKER}}}) * 1000", "day"), width=5, height=6),
    numbers("Window", "How long before that day the KPIs look back.", "s", Ask(f"max(lifestage_kpi_window_seconds{{{WORKER}}})", "window"), width=3, height=6),
    _each("Counts for KPIs", "0 where a worker has partitions whose state was kept without KPIs: they are left out.", "lifestage_kpi_complete", "min"),
    bars(
        "Recounted and different",
        "By how much the sums that workers show differ from those that lifestage reconcile counted from the log. All are 0, or there is a defect.",
        "short",
        Ask(f"topk(10, max by (kpi) (abs(lifestage_reconcile_difference{{{RECOUNT}}})))", "{{kpi}}"),
        width=5,
        height=6,
    ),
    lines("Age of the last recount", "How long ago lifestage reconcile last came to an end, and how long that one took.", "s",
          Ask(f"time() - max by (job) (lifestage_reconcile_timestamp_seconds{{{RECOUNT}}})", "ago"),
          Ask(f"max by (job) (lifestage_reconcile_duration_seconds{{{RECOUNT}}})", "took"), height=6, width=5, min=0),
    lines(
        "Partitions counted for KPIs",
        "How many partitions each worker counts, and how many there are. While these are not as many together, no KPI has a value; 0 while a worker reads its state back.",
        "short",
        Ask(f"sum by (instance) (lifestage_kpi_partitions{{{WORKER}}})", "{{instance}}"),
        Ask(f"max by (job) (lifestage_kpi_partitions_expected{{{WORKER}}})", "there are"),
        height=6,
        min=0,
    ),
    lines(
        "Partitions recounted",
        "Of how many partitions the last recount compared the KPIs, and of how many none are kept to compare.",
        "short",
        Ask(f"max by (state) (lifestage_reconcile_partitions{{{RECOUNT}}})", "{{state}}"),
        height=6,
        min=0,
    ),
    bars(
        "Label values not told apart",
        "Of how many values, at least, a worker shows nothing of their own: they are in other, of currencies left out.",
        "short",
        Ask(f"max by (label) (lifestage_kpi_hidden_values{{{WORKER}}})", "{{label}}"),
        height=6,
    ),
)  # fmt: skip

PIPELINE = Dashboard(
    uid="lifestage-pipeline",
    title="Customer pipeline",
    words="Whether everything that came in is counted, and whether the workers keep up.",
    variables=(
        JOBS,
        INSTANCES,
        Variable("recount", "Recount", "label_values(lifestage_reconcile_timestamp_seconds, job)"),
    ),
    parts=(*_EVENTS, *_LAG, *_WORKERS, *_STATE),
    since="now-30m",
    refresh="5s",
)
