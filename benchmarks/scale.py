"""From one worker to two on one machine: how many events a second more, and what is busy then."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contest import Contestant, Ours, Where
from benchmarks.measuring import Run
from benchmarks.simple_peers import KafkaStreams
from benchmarks.table import ratios, spread


@dataclass(frozen=True)
class Crew(Ours):
    """Some workers of one group, with default settings but for Redis."""

    workers: int = 1

    def command(self, where: Where) -> list[str]:  # noqa: ARG002  # as others
        """All of them."""
        return [sys.executable, "-P", "-m", "benchmarks.crew", str(self.workers)]


class Threads(KafkaStreams):
    """`peers/SimpleStreams.java` with some threads."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.threads = name, threads

    def environment(self, where: Where) -> Mapping[str, str]:
        """As with one thread, but for the number."""
        return {**super().environment(where), "PEER_THREADS": str(self.threads)}


PAIRS = (
    ("lifestage, one worker", "lifestage, two workers"),
    ("Kafka Streams, one thread", "Kafka Streams, two threads"),
)


def contestants() -> list[Contestant]:
    """Each with one, and with two."""
    (one, two), (thread, threads) = PAIRS
    return [Crew(one), Crew(two, workers=2), Threads(thread, 1), Threads(threads, 2)]


def render(rounds: Mapping[str, Sequence[Run]]) -> str:
    """Markdown: what two do of what one does, then a row each with the cores that it and that everything kept busy."""
    lines = []
    for one, two in PAIRS:
        if one in rounds and two in rounds:
            low, middle, high = ratios(rounds[two], rounds[one])
            lines.append(f"- {two}: {middle:.2f} times the events a second of one ({low:.2f} to {high:.2f})")
    lines += [
        "",
        "| | events | events/s | CPU-s per million events | cores that it keeps busy | cores that everything keeps busy |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in rounds.items():
        cpu = spread([run.cpu_s / run.events * 1e6 for run in runs], 1)
        busy, machine = spread([run.busy for run in runs], 2), spread([run.machine for run in runs], 2)
        lines.append(
            f"| {name} | {runs[0].events:,} | {spread([run.rate for run in runs])} | {cpu} | {busy} | {machine} |"
        )
    return "\n".join(lines)
