"""What the demo sends, and the thread that sends it, a simulated day at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from kafka import KafkaProducer
from msgspec.json import encode

from config.settings import Settings
from lifestage.moments import DAY_MS
from streams.cdnow import timed
from streams.connections import kafka_python
from streams.synthetic import around, broken

SOURCES = ("visits", "emails", "purchases")


class Parcel(NamedTuple):
    """A record to be sent. `topic` without prefix; `time` is the event's, ms."""

    time: int
    topic: str
    key: bytes | None
    value: bytes


def parcels(events: int | None = None, *, purchases_only: bool = False) -> list[Parcel]:
    """The demo's records in order of event time, at most `events`: purchases and, unless left out, what is made up."""
    purchases = timed()
    made = [] if purchases_only else around(purchases)
    found = [Parcel(t, topic, event["customer_id"].encode(), encode(event)) for t, topic, event in (*purchases, *made)]
    if not purchases_only:
        found += [Parcel(t, topic, None, value) for t, topic, value in broken()]
    found.sort(key=lambda parcel: parcel.time)
    return found[:events]


class Feed(threading.Thread):
    """Sends parcels in order, each simulated day acknowledged before the next, so that no topic runs ahead.

    `days_per_second` None: as fast as Kafka takes them. `error` is what ended it early; `extra` are options of kafka-python.
    """

    def __init__(
        self,
        settings: Settings,
        bootstrap: str,
        todo: Sequence[Parcel],
        days_per_second: float | None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(name="feed", daemon=True)
        self._prefix = settings.topics.prefix
        self._todo = todo
        self._pause = 0.0 if days_per_second is None else 1 / days_per_second
        self._timeout = settings.kafka.request_timeout_s
        self._options = {"bootstrap_servers": bootstrap.split(","), **kafka_python(settings), **(extra or {})}
        self._ending = threading.Event()
        self.total, self.sent = len(todo), 0
        self.days_total, self.days = (todo[-1].time // DAY_MS - todo[0].time // DAY_MS + 1 if todo else 0), 0
        self.reached = todo[0].time if todo else 0
        self.error: Exception | None = None

    def run(self) -> None:
        """Send everything, or until `stop`."""
        try:
            producer = KafkaProducer(acks="all", linger_ms=5, allow_auto_create_topics=False, **self._options)
            try:
                self._send(producer)
            finally:
                producer.close(timeout=2)
        except Exception as error:  # noqa: BLE001  # told by whoever waits for this thread
            self.error = error

    def _send(self, producer: KafkaProducer) -> None:
        first = self._todo[0].time // DAY_MS if self._todo else 0
        due = time.monotonic()
        for day, of_day in groupby(self._todo, lambda parcel: parcel.time // DAY_MS):
            due += self._pause * (day - first + 1 - self.days)
            self._send_day(producer, of_day)
            self.days = day - first + 1
            if self._ending.wait(max(0.0, due - time.monotonic())):
                return

    def _send_day(self, producer: KafkaProducer, of_day: Iterable[Parcel]) -> None:
        sent = []
        for parcel in of_day:
            sent.append(producer.send(self._prefix + parcel.topic, key=parcel.key, value=parcel.value))
            self.reached = parcel.time
        producer.flush(timeout=self._timeout)
        for future in sent:
            future.get(self._timeout)
        self.sent += len(sent)

    def stop(self) -> None:
        """Send no further day."""
        self._ending.set()
