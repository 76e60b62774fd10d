"""The product under the simulation: its clocks, its clients and its way out are the simulation's, the rest is as it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import agents.app
from agents import lifecycle
from config.settings import Settings, load
from lifestage.cause import Rules
from streams import forwarding, outbox, rebuild, sources, stop, takeover, ticking
from streams.doorway import Doorway, decoder_of
from streams.rules import rules_of
from streams.topics import topics_of
from tests.simulation.clients import Client, Producer
from tests.simulation.faust_side import App
from tests.simulation.kafka import SimulatedKafka
from tests.simulation.loop import LIFE, Life, SteppedLoop

PARTITIONS = 2
BATCH_BYTES = 1_200
"""Small, so that a flush of a few customers is several batches."""
BACKLOG, POSTS_MOST = 4, 3
"""Small, so that messages wait for a flush in some runs, in others until they are too many, and in some not at all."""


@cache
def settings_of(mode: str) -> Settings:
    """The settings of a simulated deployment with a clock of this mode."""
    return load(
        environment={
            "LIFESTAGE_KAFKA_SESSION_TIMEOUT_S": "3",
            "LIFESTAGE_TOPICS_PARTITIONS": str(PARTITIONS),
            "LIFESTAGE_TOPICS_SOURCES": "visits,purchases",
            "LIFESTAGE_CLOCK_MODE": mode,
            "LIFESTAGE_CLOCK_POLL_INTERVAL_S": "0.2",
            "LIFESTAGE_CLOCK_TICK_INTERVAL_S": "0.5",
            "LIFESTAGE_REDIS_ENABLED": "false",
            "LIFESTAGE_IDENTITY_SECRET": "a secret of the tests",
            "LIFESTAGE_LIFECYCLE_FLUSH_PROFILES": "4",
            # in half of all histories: with them a flush takes longer, which gives what should be waited for its time
            "LIFESTAGE_KPIS_LIVE": "true" if mode == "data" else "false",
        }
    )


@cache
def rules_in(settings: Settings) -> Rules:
    """What a fold goes by; made once."""
    return rules_of(settings)


@cache
def _door(settings: Settings) -> Doorway:
    names = tuple(topic.name for topic in topics_of(settings).sources)
    return Doorway(decoder_of(settings), names, PARTITIONS)


class _Metrics:
    """Counts nothing."""

    def __init__(self, *_: Any) -> None:
        self.counts = self.flush_seconds = self.batch_events = self

    def __getattr__(self, _: str) -> Callable[..., None]:
        return _nothing


class _Watchdog:
    """Bites nobody: the simulation stops lives for as long as it likes, so that zombies go on."""

    def __init__(self, *_: Any) -> None:
        self.start = self.stop = _nothing

    async def run(self) -> None:
        """Watch nothing."""


def _nothing(*_: Any, **__: Any) -> None:
    pass


@contextmanager
def under_simulation(
    loop: SteppedLoop, kafka: SimulatedKafka, wall: Callable[[], float], ended: Callable[[Life, str], None]
) -> Iterator[None]:
    """Put the product on a simulated Kafka and clock; `ended` is told of a worker that stops itself, and why."""
    last = [""]

    def words(_: int, text: bytes) -> None:
        last[0] = text.decode().strip()

    def leave(_: int) -> None:
        life = LIFE.get()
        assert life is not None
        ended(life, last[0])
        raise Died

    def here() -> Life:
        life = LIFE.get()
        assert life is not None
        return life

    def client(**given: Any) -> Client:
        return Client(kafka, here(), given.get("key_deserializer"))

    now = SimpleNamespace(monotonic=loop.time, time=wall)
    app = agents.app
    clients = SimpleNamespace(
        AIOKafkaProducer=lambda **_: Producer(kafka, here(), BATCH_BYTES), AIOKafkaConsumer=client
    )
    with ExitStack() as stack:
        for place, name, ours in (
            (outbox, "BATCH_BYTES", BATCH_BYTES),
            (outbox, "clock", loop.time),
            (outbox, "aiokafka", clients),
            (sources, "aiokafka", clients),
            (sources, "AIOKafkaAdminClient", client),
            (sources, "ask_at_intervals", _nothing),
            (outbox, "ask_at_intervals", _nothing),
            (outbox, "never_expire", _nothing),
            (rebuild, "aiokafka", clients),
            (takeover, "aiokafka", clients),
            (takeover, "clock", loop.time),
            (lifecycle, "BACKLOG", BACKLOG),
            (lifecycle, "POSTS_MOST", POSTS_MOST),
            (app, "StallWatchdog", _Watchdog),
            (app, "PartitionWatchdog", _Watchdog),
            (rebuild, "time", now),
            (forwarding, "time", now),
            (ticking, "time", now),
            (stop, "os", SimpleNamespace(write=words, _exit=leave)),
            (app, "gc", SimpleNamespace(collect=_nothing, freeze=_nothing, set_threshold=_nothing)),
            (app, "faust_app", lambda settings, *_: App(topics_of(settings).changelog.name)),
            (app, "WorkerMetrics", _Metrics),
            (app, "watch_s", lambda session_s, _: 2 * session_s),  # here nothing is under way for longer
            (app, "rules_of", rules_in),
            (app, "doorway_of", lambda *_: _door(settings_of("data"))),
            (app, "check_topics", lambda settings, _: {topic.name: "" for topic in topics_of(settings).all()}),
            (logging.getLogger("lifestage"), "disabled", True),
        ):
            stack.enter_context(patch.object(place, name, ours))
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(before)


class Died(BaseException):
    """A worker has left by `os._exit`: no `except Exception` may see it."""
