"""Fills a Prometheus with the past: samples of any instants, and what the recording rules would have made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import promql_parser as promql

from tests.company import DAY_S, Sample
from tests.deployment import rules
from tests.promql import walk
from tests.services import Prometheus, promtool

CONFIG = "global: {scrape_interval: 1h}\n"
"""It scrapes nothing: all there is was there before."""


class Range(NamedTuple):
    """Instants from a first to a last, `step` seconds apart."""

    begin: float
    end: float
    step: float

    def instants(self) -> Iterator[float]:
        """In rising order; the last is one of them."""
        number = int((self.end - self.begin) // self.step)
        return (self.end - at * self.step for at in range(number, -1, -1))


def fill(folder: Path, instants: Iterable[tuple[float, Iterable[Sample]]]) -> None:
    """Write samples, which come in rising order of time, into the data of a Prometheus that does not run."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    # promtool goes through its input once for each two hours of it.
    for day, theirs in groupby(instants, key=lambda pair: pair[0] // (DAY_S / 4)):
        text = folder / f"{day:.0f}.txt"
        with text.open("w", encoding="utf-8") as file:
            for at, samples in theirs:
                file.writelines(f"{name}{_braced(labels)} {value:.17g} {at:.3f}\n" for name, labels, value in samples)
            file.write("# EOF\n")
        done = promtool("tsdb", "create-blocks-from", "openmetrics", text, data)
        assert done.returncode == 0, done.stdout + done.stderr
        text.unlink()


def _braced(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}"


def record(folder: Path, ranges: Sequence[Range]) -> None:
    """Add what every recording rule says at the instants of the ranges, first what is made of samples, then what is made of that."""
    waiting = [rule for rule in rules() if "record" in rule]
    while waiting:
        lacking = {rule["record"] for rule in waiting}
        ready = [rule for rule in waiting if not lacking & _asked(str(rule["expr"]))]
        assert ready, lacking
        waiting = [rule for rule in waiting if rule not in ready]
        found: dict[float, list[Sample]] = {}
        with Prometheus(CONFIG, folder) as server:
            for rule in ready:
                for each in ranges:
                    for at, one in _evaluated(server, rule, each):
                        found.setdefault(at, []).append(one)
        fill(folder, ((at, _once(found[at])) for at in sorted(found)))


def _asked(expression: str) -> set[str | None]:
    return {selector.name for selector, _ in walk(promql.parse(expression))}


def _evaluated(server: Prometheus, rule: dict[str, object], asked: Range) -> Iterator[tuple[float, Sample]]:
    added = rule.get("labels", {})
    assert isinstance(added, dict)
    for series in server.query_range(str(rule["expr"]), asked.begin, asked.end, asked.step):
        labels = {name: value for name, value in series["metric"].items() if name != "__name__"} | added
        for at, value in series["values"]:
            yield at, Sample(str(rule["record"]), labels, float(value))


def _once(samples: list[Sample]) -> list[Sample]:
    """Each series once: two ranges may share an instant."""
    return list({(one.name, *sorted(one.labels.items())): one for one in samples}.values())
