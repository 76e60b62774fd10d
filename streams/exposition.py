"""Pages of metrics as the client library writes them, at a fraction of the work: only values are written anew.

Of a page of 2,000 series a scrape changes the numbers; names, labels and what is escaped in them are the same each time. What
stands before a number is therefore remembered as the library wrote it once, for each format that was asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

LINES_MAX: Final = 5_000
"""Lines of a format that are remembered, with their labels about 500 bytes each; then they are learnt anew."""
FORMATS_MAX: Final = 4
"""Formats: what a client says that it takes is its own choice."""
AS_IS: Final = 1e6
"""Below it the library writes a number as Python does."""
Encode = Callable[[Collector], bytes]
Key = tuple[str, str, tuple[str, ...], tuple[str, ...]]


class _Single(Collector):
    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterator[Family]:
        yield self._family


class _Format:
    """One format: what stands at the head of a family, before a number, and at the end."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._heads: dict[tuple[str, str, str], str] = {}
        self._lines: dict[Key, str] = {}
        self._end = encode(CollectorRegistry()).decode()

    def page(self, registry: CollectorRegistry) -> bytes:
        found: list[str] = []
        lines = self._lines
        for family in registry.collect():
            found.append(self._head(family))
            for sample in family.samples:
                labels = sample.labels
                key = (family.name, sample.name, tuple(labels), tuple(labels.values()))
                before = lines.get(key)
                if before is None:
                    before = self._learn(key, family, sample)
                value = float(sample.value)
                found.append(f"{before}{value!r}\n" if -AS_IS < value < AS_IS else f"{before}{_text(value)}\n")
        found.append(self._end)
        return "".join(found).encode()

    def _head(self, family: Family) -> str:
        key = family.name, family.type, family.documentation
        if key not in self._heads:
            self._heads[key] = self._written(family)
        return self._heads[key]

    def _learn(self, key: Key, family: Family, sample: Sample) -> str:
        line = self._written(family, sample)[len(self._head(family)) :].removesuffix("0.0\n")
        if len(self._lines) >= LINES_MAX:
            self._lines.clear()
        self._lines[key] = line
        return line

    def _written(self, family: Family, *samples: Sample) -> str:
        alone = Family(family.name, family.documentation, family.type, family.unit)
        alone.samples = [sample._replace(value=0.0) for sample in samples]
        return self._encode(_Single(alone)).decode().removesuffix(self._end)


def _text(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


class Pages:
    """The pages of one registry. Its samples have neither a time of their own nor exemplars, which are not written.

    Whoever asks while a page is made waits for it: of any number of scrapes one takes the processor from the worker.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._formats: dict[str, _Format] = {}
        self._making = threading.Lock()

    def page(self, accept: str) -> tuple[str, bytes]:
        """Content type and page, in the format that is asked for."""
        encode, content_type = choose_encoder(accept)
        with self._making:
            return content_type, self._page(encode, content_type)

    def _page(self, encode: Encode, content_type: str) -> bytes:
        known = self._formats.get(content_type)
        if known is None:
            if len(self._formats) >= FORMATS_MAX:
                return encode(self._registry)
            known = self._formats[content_type] = _Format(encode)
        return known.page(self._registry)
