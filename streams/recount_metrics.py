"""What Prometheus finds of recounts: by how much each sum differed in the last one, how many partitions were compared, when that
was, and how long it took."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Self

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from config.errors import OptionError
from streams.endpoint import Endpoint
from streams.recounting import Outcome

DIFFERENCE = "lifestage_reconcile_difference"
PARTITIONS = "lifestage_reconcile_partitions"
UP = "lifestage_reconcile_up"
TIMESTAMP = "lifestage_reconcile_timestamp_seconds"
DURATION = "lifestage_reconcile_duration_seconds"


class RecountMetrics(Collector):
    """The metrics of recounts, served until `stop`. Before the first has ended there are none."""

    def __init__(self, host: str, port: int) -> None:
        self._shown: tuple[dict[str, float], dict[str, int], float, float] | None = None
        self._failed: str | None = None
        """Why the last recount could not be made."""
        registry = CollectorRegistry()
        registry.register(self)
        self._endpoint = Endpoint(host, port, registry, self._ready, alive_within_s=math.inf)
        self.url = self._endpoint.url
        self._endpoint.start()

    @classmethod
    def at(cls, place: str) -> Self:
        """Serve them at `HOST:PORT`. Raises `OptionError` where that is none, and `SettingsError` where it is taken."""
        host, colon, port = place.rpartition(":")
        if not (colon and host and port.isdecimal() and int(port) < 1 << 16):
            raise OptionError(f"--metrics {place!r}: write HOST:PORT, such as 127.0.0.1:9465")
        return cls(host.strip("[]"), int(port))

    def take(self, outcome: Outcome) -> None:
        """Show this recount from now on."""
        differs = dict.fromkeys(outcome.found.sums, 0.0)
        for one in outcome.found.differences:
            by = float(one.kept - one.recounted)
            if abs(by) > abs(differs.get(one.name, 0.0)):
                differs[one.name] = by
        partitions = {"compared": len(outcome.offsets), "not_compared": len(outcome.uncounted)}
        self._shown, self._failed = (differs, partitions, time.time(), outcome.seconds), None

    def fail(self, why: str) -> None:
        """The last recount could not be made. What was found before stays, with its time."""
        self._failed = why

    def collect(self) -> Iterator[Metric]:
        """What is served now."""
        if self._shown is not None or self._failed is not None:
            yield GaugeMetricFamily(
                UP, "0 while the last recount could not be made; its log says why.", self._failed is None
            )
        if self._shown is None:
            return
        differs, partitions, at, seconds = self._shown
        found = GaugeMetricFamily(
            DIFFERENCE,
            "By how much a KPI's sum that workers keep differs from what the log says: of all partitions and labels the greatest.",
            labels=["kpi"],
        )
        for name, by in sorted(differs.items()):
            found.add_metric([name], by)
        yield found
        counted = GaugeMetricFamily(
            PARTITIONS,
            "Partitions whose KPIs the last recount compared, and those of which none are kept.",
            labels=["state"],
        )
        for state, count in partitions.items():
            counted.add_metric([state], count)
        yield counted
        yield GaugeMetricFamily(TIMESTAMP, "When the last recount ended, in seconds since 1970.", at)
        yield GaugeMetricFamily(DURATION, "How long the last recount took.", seconds)

    def _ready(self) -> tuple[bool, str]:
        return self._shown is not None and self._failed is None, self._failed or "nothing has been counted yet"

    def stop(self) -> None:
        """Serve nothing any more."""
        self._endpoint.stop()
