"""A page that is asked for by several at once, while the event loop counts."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from lifestage.facts import TYPES
from lifestage.partition import BREATH
from streams.exposition import FORMATS_MAX, Pages
from streams.metrics import PAIRS_MAX, SOURCES_MAX, Counts
from tests.core.histories import partition, records, visit

T = TypeVar("T")


class Counting(Collector):
    """Notes how many ask for its metrics at once."""

    def __init__(self) -> None:
        self.at_once, self.most = 0, 0

    def collect(self) -> Iterator[Family]:
        """Takes its time."""
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        time.sleep(0.005)
        self.at_once -= 1
        yield GaugeMetricFamily("lifestage_one", "One.", value=1)


def together(number: int, work: Callable[[int], T]) -> list[T]:
    """What as many threads find, which begin at once and are interrupted often."""
    begin, interval = threading.Barrier(number), sys.getswitchinterval()

    def run(n: int) -> T:
        begin.wait()
        return work(n)

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(number) as pool:
            return list(pool.map(run, range(number)))
    finally:
        sys.setswitchinterval(interval)


def test_one_page_is_made_at_a_time() -> None:
    """Of any number who ask at once, in any formats: all are answered, and no more formats are remembered than may be."""
    registry, one = CollectorRegistry(), Counting()
    registry.register(one)
    pages = Pages(registry)
    one.most = 0
    found = together(16, lambda n: pages.page(f"application/openmetrics-text; version=1.{n}.0")[1])
    assert found == [b"# HELP lifestage_one One.\n# TYPE lifestage_one gauge\nlifestage_one 1.0\n# EOF\n"] * 16
    assert one.most == 1
    assert len(pages._formats) <= FORMATS_MAX


class Slow(set[T]):
    """A set that lets others go on between its size being asked and whatever follows from it."""

    def __len__(self) -> int:
        """Its size a moment ago."""
        size = super().__len__()
        time.sleep(1e-4)
        return size


def test_labels_are_bounded_whoever_names_them_at_once() -> None:
    """A scrape names what was kept while the event loop counts what comes in."""
    types = sorted(TYPES.values())
    counts = Counts()
    counts.sources._known, counts._pairs = Slow(), Slow(counts._pairs)

    def name(n: int) -> set[tuple[str, str, str]]:
        return {counts.labels(f"s{n}-{m}", types[m % 30], "late") for m in range(60)}

    of = set[tuple[str, str, str]]().union(*together(4, name))
    assert len({source for source, _, _ in of} - {"other"}) == SOURCES_MAX
    assert len({(source, type_) for source, type_, _ in of if type_ != "other"}) == PAIRS_MAX


def test_a_flush_lets_a_scrape_have_its_turn() -> None:
    """A checkpoint of many profiles pauses between few of them, and keeps the same; of few it does not."""
    two, pauses = (partition(), partition()), list[int]()
    for one in two:
        one.fold(records([visit(0, f"e{n}", f"c{n}") for n in range(3 * BREATH)]))
    assert two[0].checkpoint(lambda: pauses.append(0)) == two[1].checkpoint()
    assert len(pauses) == 3
    two[0].checkpoint(lambda: pauses.append(0))
    assert len(pauses) == 3
