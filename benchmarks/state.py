"""The state of a large deployment, made at once: what a recovery reads, without folding millions of events first.

One set of customers is drawn and folded as a worker would do it; every partition gets these profiles under keys of its
own. The log below the marker is filled with ticks: a recovery asks where the log ends, and reads none of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count, cycle, islice

import msgspec

from benchmarks.events import SPAN, START, generate
from benchmarks.folding import decoded
from config.settings import Settings
from lifestage import facts, log
from lifestage.keys import key_of
from lifestage.marker import MARKER_KEY
from lifestage.partition import Checkpoint, Partition
from streams.doorway import partition_of
from streams.outbox import NO_HEADERS, Outbox, OutRecord, acknowledged
from streams.rules import rules_of
from streams.topics import topics_of

FACTS_EACH = 10
DRAWN = 20_000
"""Customers that are drawn and folded; each stands in a partition several times, under different keys."""
CHUNK = 20_000


def drawn(settings: Settings) -> Checkpoint:
    """`DRAWN` customers with `FACTS_EACH` facts each on average, the newest a minute old, and the marker after them."""
    partition = Partition(rules_of(settings), topics_of(settings).log.name, 0)
    now = int(time.time() * 1000)
    moved = now - 60_000 - START - SPAN
    records: list[tuple[int, bytes | None, bytes]] = []
    given = decoded(event.value for event in generate(DRAWN * FACTS_EACH, customers=DRAWN))
    for offset, fact in enumerate(given):
        later = msgspec.structs.replace(fact, time=fact.time + moved)
        key = key_of(later)
        assert key is not None
        records.append((offset, key.encode(), log.pack(log.FACT, facts.encode(later))))
    records.append((len(records), None, log.pack_tick(log.Tick(now, live=True))))
    partition.fold(records)
    return partition.checkpoint()


def keys_of(partitions: int, each: int) -> list[list[bytes]]:
    """`each` customer keys of every partition, as Kafka's producers would place them."""
    found: list[list[bytes]] = [[] for _ in range(partitions)]
    for number in count():
        key = b"c%07d" % number
        mine = found[partition_of(key, partitions)]
        if len(mine) < each:
            mine.append(key)
        elif all(len(keys) == each for keys in found):
            return found
    raise AssertionError


async def fill(settings: Settings, outbox: Outbox, keys: list[list[bytes]]) -> tuple[int, float]:
    """Put that state into the changelog, and ticks into the log; (records a partition, bytes a profile)."""
    state, topics = drawn(settings), topics_of(settings)
    values = [value for value in state.profiles.values() if value is not None]
    tick: OutRecord = (None, log.pack_tick(log.Tick(0, live=False)), NO_HEADERS)
    ticks = [tick] * CHUNK
    for number, mine in enumerate(keys):
        records: Iterator[OutRecord] = ((key, value, NO_HEADERS) for key, value in zip(mine, cycle(values)))
        for some in iter(lambda: list(islice(records, CHUNK)), []):  # noqa: B023 - called before the loop goes on
            await acknowledged(await outbox.send(topics.changelog.name, number, some), "profiles")
        marker: OutRecord = (MARKER_KEY, state.marker, NO_HEADERS)
        await acknowledged(await outbox.send(topics.changelog.name, number, [marker]), "marker")
        for at in range(0, state.offset + 1, CHUNK):
            sent = await outbox.send(topics.log.name, number, ticks[: state.offset + 1 - at])
            await acknowledged(sent, "ticks")
    return len(keys[0]), sum(map(len, values)) / len(values)
