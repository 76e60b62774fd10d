"""The parts of the benchmark that need a broker: what each prepares, its turns, and the table of what they found."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from benchmarks import comeback, features, full, full_peers, latency, scale, simple, simple_peers, table
from benchmarks.contest import Contestant
from benchmarks.measuring import Job, Say, run_once

Key = tuple[Any, ...]
"""(part, contestant), and whatever else tells two turns of a round apart."""
Found = dict[Key, list[Any]]


@dataclass(frozen=True)
class Turn:
    """One run that is done once in each round."""

    key: Key
    go: Callable[[], Coroutine[Any, Any, Any]]
    said: Callable[[Any], str]
    """What may be told of its result before all is measured: no figure."""


class Part:
    """What all parts have in common."""

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""

    def __init__(self, options: argparse.Namespace, home: Path, redis_url: str) -> None:
        self._options, self._home, self._redis_url = options, home, redis_url
        self.job, found = self._made()
        self.job.count = options.events
        names = [name.lower() for name in options.contestants]
        self.contestants = [one for one in found if not names or any(name in one.name.lower() for name in names)]

    def _made(self) -> tuple[Job, list[Contestant]]:
        return simple.job(), simple_peers.contestants()

    def prepare(self, say: Say) -> None:
        """Install and draw what is needed."""
        for contestant in self.contestants:
            contestant.prepare(say)

    def turns(self, bootstrap: str, say: Say) -> Iterator[Turn]:
        """Its turns of one round."""
        raise NotImplementedError

    def render(self, found: Found) -> str:
        """Its table."""
        raise NotImplementedError


class Simple(Part):
    """Job (a)."""

    name, title = "a", "(a) The simple job"

    def prepare(self, say: Say) -> None:
        """As others, and the events."""
        super().prepare(say)
        for contestant in self.contestants:
            self.job.given(contestant.share)

    def turns(self, bootstrap: str, say: Say) -> Iterator[Turn]:
        """Each contestant once."""
        for one in self.contestants:
            yield Turn(
                (self.name, one.name),
                lambda one=one: run_once(self.job, one, bootstrap, self._home, say),  # type: ignore[misc]
                lambda run: f"{run.changes:,} changes of {run.events:,} events are right",
            )

    def rows(self, found: Found) -> dict[str, list[Any]]:
        """What its contestants took, by name."""
        return {one.name: found[self.name, one.name] for one in self.contestants}

    def render(self, found: Found) -> str:
        """Ratios and a row a contestant."""
        return table.render(self.rows(found), [one.name for one in self.contestants if one.ours])


class Full(Simple):
    """Job (b)."""

    name, title = "b", "(b) The full job"

    def _made(self) -> tuple[Job, list[Contestant]]:
        return full.job(), full_peers.contestants()


class Latency(Part):
    """From event to change, job (a) at steady rates."""

    name, title = "latency", "From event to change, job (a)"

    def turns(self, bootstrap: str, say: Say) -> Iterator[Turn]:
        """Each contestant once at each rate."""
        for rate in latency.RATES:
            for one in self.contestants:
                yield Turn(
                    (self.name, one.name, rate),
                    lambda one=one, rate=rate: latency.measured(  # type: ignore[misc]
                        self.job, one, bootstrap, self._home, rate, self._options.seconds, say
                    ),
                    lambda lag: "does not keep up" if lag.p50 is None else "all changes are right",
                )

    def render(self, found: Found) -> str:
        """A row a contestant."""
        return latency.render({key[1:]: lags for key, lags in found.items() if key[0] == self.name})


class Recovery(Part):
    """Coming back with the state of many customers."""

    name, title = "recovery", "Coming back, job (a)"

    def turns(self, bootstrap: str, say: Say) -> Iterator[Turn]:
        """Each contestant once."""
        for one in self.contestants:
            yield Turn(
                (self.name, one.name),
                lambda one=one: comeback.measured(self.job, one, bootstrap, self._home, self._options.profiles, say),  # type: ignore[misc]
                lambda back: (
                    f"{back.profiles:,} customers are right" if back.took_s is not None else "does not come back"
                ),
            )

    def render(self, found: Found) -> str:
        """A row a contestant."""
        return comeback.render({key[1]: backs for key, backs in found.items() if key[0] == self.name})


class Features(Simple):
    """What our own features cost."""

    name, title = "features", "Our own features"

    def _made(self) -> tuple[Job, list[Contestant]]:
        return features.job(), features.contestants(self._redis_url)

    def render(self, found: Found) -> str:
        """Each as a share of the bare hops, and a row each."""
        return table.render_shares(self.rows(found), features.BARE)


class Scale(Simple):
    """From one worker to two."""

    name, title = "scale", "From one to two, job (a)"

    def _made(self) -> tuple[Job, list[Contestant]]:
        return simple.job(), scale.contestants()

    def render(self, found: Found) -> str:
        """What two do of what one does, and what is busy."""
        return scale.render(self.rows(found))


ALL: tuple[type[Part], ...] = (Simple, Full, Latency, Recovery, Features, Scale)
