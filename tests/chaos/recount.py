"""What the third judge finds: the KPI sums that workers keep beside those computed anew from the log by the offline functions."""

from __future__ import annotations

from streams.recounting import Outcome, reconcile
from streams.rules import rules_of
from tests.pipeline import Deployment


def recount(made: Deployment) -> Outcome:
    """Count all KPI sums of a deployment anew from its log, as they stand in Kafka, as `lifestage reconcile` does."""
    return reconcile(made.settings, made.settings.kafka.bootstrap, rules_of(made.settings), lambda *_: None)


def amiss(outcome: Outcome, when: str) -> list[str]:
    """Sums that are not those of the log, and partitions that keep none, in words; `when` says as of which moment."""
    found = [
        f"KPIs {when}: partition {one.partition}: {one.name}{one.labels} is {one.kept}, the log says {one.recounted}"
        for one in outcome.found.differences
    ]
    found += [f"KPIs {when}: partition {number} not compared: {why}" for number, why in outcome.uncounted.items()]
    if outcome.found.records and not outcome.found.sums.total() and not found:
        found.append(f"KPIs {when}: there was no sum to compare")
    return found
