"""What our own features cost, one after the other, and the whole worker against two bare hops with the same fold."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks import compare, equipment, events, simple
from benchmarks.broker import EventSet, Watch
from benchmarks.contest import Contestant, Ours, Peer, Where, addresses
from benchmarks.events import SourceEvent
from benchmarks.identity import with_addresses
from benchmarks.measuring import Job, Read
from benchmarks.replaying import expected_of
from streams.topics import CHANGES

BARE = "two bare hops, same fold"
EVERYTHING = "lifestage, everything on"


def draw(count: int) -> Iterator[SourceEvent]:
    """The events of job (a), each with its customer's address beside the customer id, so that there is something to link."""
    return (one._replace(topic=simple.TOPIC) for one in with_addresses(count, events.EVENTS_PER_CUSTOMER))


def reference(given: EventSet) -> tuple[Mapping[str, compare.Moves], int]:
    """The moves of an offline replay."""
    paths = expected_of(given)
    return paths, sum(map(len, paths.values()))


def differ(wanted: Mapping[str, compare.Moves], _: Contestant, records: Read) -> str:
    """Empty when the moves are those."""
    found = compare.outcome_of((dict(record.headers)["ce_id"].decode(), record.value) for record in records[CHANGES])
    return compare.difference(wanted, found.paths)


def job() -> Job:
    """The job of this part."""
    return Job("features", "our features", (simple.TOPIC,), (CHANGES,), draw, reference, differ)


class Bare(Peer):
    """`benchmarks/bare_loop.py`, its fold with everything on."""

    name, whole = BARE, True

    def prepare(self, say: equipment.Say) -> None:
        """Nothing: it is there."""

    def command(self, where: Where) -> list[str]:  # noqa: ARG002  # as others
        """A small program."""
        return [sys.executable, "-P", "-m", "benchmarks.bare_loop"]

    def environment(self, where: Where) -> Mapping[str, str]:
        """Its addresses, and the settings that the worker has."""
        given = where.directory / "settings.toml"
        given.write_text(
            f'[kafka]\ngroup = "{where.settings.kafka.group}"\n[topics]\nprefix = "{where.prefix}"\n'
            f'sources = ["{simple.TOPIC}"]\n[identity]\nsecret = "{where.settings.identity.secret}"\n[kpis]\nlive = true\n',
            encoding="utf-8",
        )
        return {**addresses(where), "PEER_SETTINGS": str(given)}

    async def durable(self, watch: Watch, where: Where, events: int) -> int | None:
        """As the worker's."""
        return await Ours().durable(watch, where, events)


@dataclass(frozen=True)
class Featured(Ours):
    """`lifestage worker` with some features on."""

    redis_url: str = ""

    def environment(self, where: Where) -> Mapping[str, str]:
        """As the worker's, and Redis."""
        found = dict(super().environment(where))
        return {**found, "LIFESTAGE_REDIS_URL": self.redis_url} if self.redis_url else found


def contestants(redis_url: str) -> list[Contestant]:
    """From nothing to everything."""
    off, on = ("REDIS_ENABLED", "false"), ("REDIS_ENABLED", "true")
    no_link, kpis = ("IDENTITY_LINK", "false"), ("KPIS_LIVE", "true")
    return [
        Bare(),
        Featured("lifestage, no identity, no Redis", settings=(off, no_link)),
        Featured("and identity (the default, without Redis)", settings=(off,)),
        Featured("and live KPIs", settings=(off, kpis)),
        Featured("identity and Redis, no KPIs", settings=(on,), redis_url=redis_url),
        Featured(EVERYTHING, settings=(on, kpis), redis_url=redis_url),
    ]
