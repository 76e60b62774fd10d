"""A page of metrics on 127.0.0.1, made of whatever samples a test tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from streams.endpoint import Endpoint
from tests.company import Sample


class Exporter(Collector):
    """Serves what `samples()` gives each time it is asked; answers on `address` until it is stopped."""

    def __init__(self, samples: Callable[[], Iterable[Sample]]) -> None:
        """Serve on a free port."""
        self._samples = samples
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        self._endpoint = Endpoint("127.0.0.1", 0, registry, lambda: (True, ""))
        self.address = f"127.0.0.1:{self._endpoint.port}"
        self._endpoint.start()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The samples, a family for each name."""
        families: dict[str, GaugeMetricFamily] = {}
        for name, labels, value in self._samples():
            names = sorted(labels)
            if name not in families:
                families[name] = GaugeMetricFamily(name, name, labels=names)
            families[name].add_metric([labels[each] for each in names], value)
        yield from families.values()

    def stop(self) -> None:
        """Serve no more."""
        self._endpoint.stop()
