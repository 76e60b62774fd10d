"""Good orders at a steady rate, each of a new customer, and the time from sending one to the change it makes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.pipeline import Deployment

PATIENCE_S = 180.0


def order(number: int, customer: str) -> bytes:
    """An order of now."""
    event: dict[str, Any] = {"id": f"f{number}", "source": "flow", "type": "order.completed", "customer_id": customer}
    event |= {"time": datetime.now(UTC).isoformat(), "order_id": f"o{number}", "currency": "EUR", "total_minor": 100}
    return msgspec.json.encode(event)


class Flow:
    """Sends from a thread of its own and reads what is announced from another, from `with` to its end."""

    def __init__(self, made: Deployment, rate: int, seed: int) -> None:
        """Keys are now and then none, now and then those of others, and partitions any."""
        self._made, self._rate, self._chance = made, rate, random.Random(seed)
        self.sent: list[float] = []
        """When each order was sent, by number."""
        self.arrived: dict[str, float] = {}
        self._stop, self._end = threading.Event(), threading.Event()
        self._failed: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(work,), daemon=True) for work in (self._send, self._read)
        ]

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits
            self._failed.append(error)

    def _send(self) -> None:
        producer = KafkaProducer(bootstrap_servers=self._made.bootstrap, acks="all", linger_ms=2)
        began = time.monotonic()
        while not self._stop.wait(0.01):
            while len(self.sent) < int((time.monotonic() - began) * self._rate):
                number = len(self.sent)
                value = order(number, f"flow{number}")
                key = self._chance.choice((None, f"flow{number}".encode(), b"somebody else", b"\xff\xfe"))
                partition = self._chance.choice((None, self._chance.randrange(self._made.topics.log.partitions)))
                self.sent.append(time.time())
                producer.send(self._made.prefix + "purchases", key=key, value=value, partition=partition)
        producer.flush(60)
        producer.close(5)

    def _read(self) -> None:
        consumer = KafkaConsumer(bootstrap_servers=self._made.bootstrap, enable_auto_commit=False)
        topic = self._made.topics.changes
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        while not self._end.is_set():
            for records in consumer.poll(timeout_ms=50).values():
                for record in records:
                    self.arrived.setdefault((record.key or b"").decode(), time.time())
        consumer.close()

    def wait(self, more: int) -> tuple[int, int]:
        """Return when so many more were sent: their first number, and the one behind their last."""
        first = len(self.sent)
        self._until(lambda: len(self.sent) >= first + more, "sent")
        return first, first + more

    def wait_arrived(self) -> None:
        """Stop sending, and return when the change of every order is there."""
        self._stop.set()
        self._threads[0].join(90)
        self._until(lambda: all(f"flow{number}" in self.arrived for number in range(len(self.sent))), "arrived")

    def _until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            if self._failed:
                raise self._failed[0]
            assert time.monotonic() < deadline, f"not all {what}: {len(self.sent)} sent, {len(self.arrived)} arrived"
            time.sleep(0.05)

    def delays(self, numbers: tuple[int, int]) -> list[float]:
        """Seconds from sending to the change's arrival, of orders from a number to another, rising."""
        return sorted(self.arrived[f"flow{number}"] - self.sent[number] for number in range(*numbers))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._end.set()
        for thread in self._threads:
            thread.join(90)


def share_of(delays: Sequence[float], share: float) -> float:
    """The delay that so much of rising delays does not pass: 0.99 for p99."""
    return delays[min(len(delays) - 1, int(share * len(delays)))]


def said(name: str, delays: Sequence[float]) -> str:
    """Median, p99 and maximum in words."""
    half, most = share_of(delays, 0.5), share_of(delays, 0.99)
    return f"{name}: p50 {half * 1000:.0f} ms, p99 {most * 1000:.0f} ms, max {delays[-1] * 1000:.0f} ms"
