"""What a flood of new ids does to those who are known: a million anonymous ids in a minute, beside orders of known customers.

    python -m benchmarks.flood [--fresh 1000000] [--seconds 60]

One `lifestage worker` with default settings. Known customers order at a steady rate, and the time from sending an order to
the change that it brings is measured, first alone and then beside the flood, which a process of its own sends; the orders of
`WARM_S` before are not counted, while interpreters, compilers and connections warm up. Printed are p50, p99 and maximum of both,
where the time went, how p99 went over time, what of the flood was taken and shed, and the worker's memory before and at its
peak. Exit code 1 where a customer's order brought no change, or the p99 beside the flood is more than twice what it is alone.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import re
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.contestants import CHECKOUT
from benchmarks.table import machine
from config.settings import Identity, Kafka, Settings, Topics
from lifestage.moments import iso
from streams import provision
from streams.embedded.kafka import start_kafka_server
from streams.embedded.process import Child, ServiceError, free_ports
from streams.topics import topics_of

RATE = 40
"""Orders of known customers a second."""
TIMES = 2.0
PATIENCE_S = 300.0
LOOK_S = 0.2
WARM_S = 10.0
PARTS = 6
"""Parts of the time whose p99 is printed apart."""
HOPS = ("to the source's topic", "to the log", "to the change", "back here")


class Way(NamedTuple):
    """The instants of an order on its way, in s: sent; taken in by Kafka; written to the log; its change made; that heard here."""

    sent: float
    arrived: float
    logged: float
    made: float
    heard: float

    @property
    def whole(self) -> float:
        """Seconds from sending to hearing."""
        return self.heard - self.sent


@dataclass
class Shop:
    """A deployment on a Kafka of its own, its worker, and what is sent and announced."""

    settings: Settings
    bootstrap: str
    worker: Child
    url: str
    sent: dict[str, float] = field(default_factory=dict)
    """Customer → when the order was sent."""
    told: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Customer → when the change that it brought was made, and when it was there."""

    def producer(self) -> Producer:
        """A producer for the sources."""
        return Producer({"bootstrap.servers": self.bootstrap, "acks": "all", "linger.ms": 2})

    def metric(self, name: str, labels: str = "") -> float:
        """The sum of a metric over the labels that match; 0 while nothing answers."""
        try:
            text = urllib.request.urlopen(f"{self.url}/metrics", timeout=30).read().decode()  # noqa: S310 - our own
        except OSError:
            return 0.0
        return sum(map(float, re.findall(rf"^{name}(?:{{[^}}]*{labels}[^}}]*}})? (\S+)$", text, re.MULTILINE)))

    def memory_mb(self, name: str) -> int:
        """`VmRSS` or `VmHWM` of the worker."""
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{self.worker.pid}/status").read_text(encoding="utf-8"))
        assert found is not None
        return int(found[1]) // 1024

    def check(self) -> None:
        """Raises `ServiceError` when the worker has ended."""
        if self.worker.returncode is not None:
            raise ServiceError(f"the worker ended with {self.worker.returncode}:\n{self.worker.printed()[-3000:]}")

    def listen(self, stop: threading.Event) -> None:
        """Note when each change with the stage of somebody who has bought is there."""
        topic = topics_of(self.settings).changes
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "flood", "enable.auto.commit": False})
        consumer.assign([TopicPartition(topic.name, number, 0) for number in range(topic.partitions)])
        while not stop.is_set():
            message = consumer.poll(0.05)
            value = message.value() if message is not None and message.error() is None else None
            if value is not None and b'"stage":"conversion"' in value:
                made = message.timestamp()[1] / 1000
                self.told.setdefault((message.key() or b"").decode(), (made, time.time()))
        consumer.close()

    def stamps(self, topic: str) -> dict[str, float]:
        """When the newest record of each customer who has ordered was written to a topic."""
        options = {"bootstrap.servers": self.bootstrap, "group.id": "flood", "enable.partition.eof": True}
        consumer, left, found = Consumer(options | {"enable.auto.commit": False}), self.settings.topics.partitions, {}
        consumer.assign([TopicPartition(topic, number, 0) for number in range(left)])
        while left:
            for message in consumer.consume(5_000, 1.0):
                if message.error() is not None:
                    left -= 1
                elif (key := (message.key() or b"").decode()) in self.sent:
                    found[key] = message.timestamp()[1] / 1000
        consumer.close()
        return found

    def ways(self) -> dict[str, Way]:
        """The way of each order."""
        arrived = self.stamps(self.settings.topics.prefix + "purchases")
        logged = self.stamps(topics_of(self.settings).log.name)
        return {who: Way(sent, arrived[who], logged[who], *self.told[who]) for who, sent in self.sent.items()}

    def wait(self, done: int) -> None:
        """Return when so many customers' changes are there."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.told) < done:
            self.check()
            if time.monotonic() > deadline:
                raise ServiceError(f"{len(self.told)} of {done} changes came within {PATIENCE_S:.0f} s")
            time.sleep(LOOK_S)


def visit(who: dict[str, str], number: str) -> bytes:
    """A visit of now."""
    now = iso(int(time.time() * 1000))
    event = {"id": number, "source": "site", "type": "web.visit", "time": now, "url": "https://shop.example/"}
    return msgspec.json.encode(event | who)


def order(customer: str) -> bytes:
    """A customer's first order, now."""
    now = iso(int(time.time() * 1000))
    event = {"id": f"o-{customer}", "source": "shop", "type": "order.completed", "time": now, "customer_id": customer}
    return msgspec.json.encode(event | {"order_id": customer, "currency": "EUR", "total_minor": 100})


def buy(shop: Shop, customers: Sequence[str]) -> None:
    """Let customers order one after the other at `RATE`; returns when the change of each has come."""
    producer, began, before = shop.producer(), time.monotonic(), len(shop.told)
    for number, customer in enumerate(customers):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        shop.sent[customer] = time.time()
        producer.produce(shop.settings.topics.prefix + "purchases", order(customer), customer.encode())
        producer.poll(0)
    producer.flush(60)
    shop.wait(before + len(customers))


def flood(bootstrap: str, topic: str, fresh: int, seconds: float) -> None:
    """Send so many visits of as many new visitors, evenly over so many seconds."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 2})
    chance, began, sent = random.Random(7), time.monotonic(), 0
    while sent < fresh:
        due = min(fresh, int((time.monotonic() - began) / seconds * fresh) + 1)
        now = iso(int(time.time() * 1000)).encode()
        for _ in range(due - sent):
            who = b"%024x" % chance.getrandbits(96)
            value = (
                b'{"id":"f%d","source":"site","type":"web.visit","time":"%b","url":"https://shop.example/","anonymous_id":"%b"}'
                % (sent, now, who)
            )
            while True:
                try:
                    producer.produce(topic, value, who)
                    break
                except BufferError:  # its queue is full: wait until some are acknowledged
                    producer.poll(0.1)
            sent += 1
        producer.poll(0)
        time.sleep(0.01)
    producer.flush(60)


def counted(shop: Shop, events: float) -> None:
    """Return when the worker has counted so many events. Raises `ServiceError`."""
    deadline = time.monotonic() + PATIENCE_S
    while (done := shop.metric("lifestage_events_total")) < events:
        shop.check()
        if time.monotonic() > deadline:
            raise ServiceError(f"{done:,.0f} of {events:,.0f} events were counted within {PATIENCE_S:.0f} s")
        time.sleep(LOOK_S)


def run(shop: Shop, fresh: int, seconds: float) -> tuple[list[Way], list[Way], str]:
    """The orders alone and beside the flood, and what became of the flood, in words."""
    warm, half = int(WARM_S * RATE), int(seconds * RATE)
    names = [f"c{number}" for number in range(warm + 2 * half)]
    producer, prefix = shop.producer(), shop.settings.topics.prefix
    for name in names:
        producer.produce(prefix + "visits", visit({"customer_id": name}, f"v-{name}"), name.encode())
    producer.flush(60)
    counted(shop, len(names))
    stop = threading.Event()
    listening = threading.Thread(target=shop.listen, args=(stop,), daemon=True)
    listening.start()
    buy(shop, names[:warm])
    buy(shop, names[warm : warm + half])
    before = shop.memory_mb("VmRSS")
    # In this process it would hold up who sends orders and listens, by what Python lets only one thread do at a time.
    given = shop.bootstrap, prefix + "visits", fresh, seconds
    flooding = multiprocessing.get_context("spawn").Process(target=flood, args=given, daemon=True)
    flooding.start()
    buy(shop, names[warm + half :])
    flooding.join(PATIENCE_S)
    counted(shop, fresh + 2 * len(names))
    stop.set()
    listening.join(30)
    shed = shop.metric("lifestage_events_total", 'outcome="suppressed"')
    words = (
        f"{fresh:,} new ids within {seconds:.0f} s: {fresh - shed:,.0f} taken, {shed:,.0f} shed and counted; memory "
        f"{before} MB before, {shop.memory_mb('VmHWM')} MB at most"
    )
    ways = shop.ways()
    return [ways[name] for name in names[warm : warm + half]], [ways[name] for name in names[warm + half :]], words


def share_of(delays: Iterable[float], share: float) -> float:
    """The delay, in ms, that so much of delays, in s, does not pass."""
    rising = sorted(delays)
    return 1000 * rising[min(len(rising) - 1, int(share * len(rising)))]


def said(name: str, ways: Sequence[Way]) -> str:
    """A line of the table."""
    delays = [way.whole for way in ways]
    half, most, all_ = (share_of(delays, share) for share in (0.5, 0.99, 1))
    return f"| {name} | {len(delays):,} | {half:.0f} | {most:.0f} | {all_:.0f} |"


def hops(name: str, ways: Sequence[Way]) -> str:
    """Where the time went, and how it went over time."""
    parts = []
    for at, hop in enumerate(HOPS):
        delays = [way[at + 1] - way[at] for way in ways]
        parts.append(f"{hop} {share_of(delays, 0.5):.0f} and {share_of(delays, 0.99):.0f}")
    size = -(-len(ways) // PARTS)
    over = [share_of((way.whole for way in ways[at : at + size]), 0.99) for at in range(0, len(ways), size)]
    return f"{name}, p50 and p99 in ms: {', '.join(parts)}; p99 over time: {', '.join(f'{one:.0f}' for one in over)}"


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def started(bootstrap: str, home: Path) -> Shop:
    """A worker on topics of its own, ready."""
    prefix = f"flood-{uuid.uuid4().hex[:8]}."
    secret = Identity(secret="the benchmark hashes no real address")  # noqa: S106 - no secret of anybody
    settings = Settings(kafka=Kafka(group=f"{prefix}group"), topics=Topics(prefix=prefix), identity=secret)
    provision.apply(settings, bootstrap, provision.plan(settings, bootstrap))
    (port,) = free_ports(1)
    given = {
        "KAFKA_BOOTSTRAP": bootstrap, "KAFKA_GROUP": settings.kafka.group, "TOPICS_PREFIX": prefix,
        "IDENTITY_SECRET": secret.secret, "METRICS_PORT": str(port), "REDIS_ENABLED": "false", "HOME": str(home / "data"),
    }  # fmt: skip
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIFESTAGE_")}
    inherited |= {"PYTHONPATH": str(CHECKOUT)} | {f"LIFESTAGE_{name}": value for name, value in given.items()}
    child = Child([sys.executable, "-P", "-m", "commands", "worker"], home / "worker.log", inherited)
    shop = Shop(settings, bootstrap, child, f"http://127.0.0.1:{port}")
    deadline = time.monotonic() + PATIENCE_S
    while shop.metric("lifestage_partitions_owned", "customer-events") < settings.topics.partitions:
        shop.check()
        if time.monotonic() > deadline:
            raise ServiceError("the worker did not get ready")
        time.sleep(LOOK_S)
    return shop


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=__doc__)
    parser.add_argument("--fresh", type=int, default=1_000_000, help="ids that nobody has seen before")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="how long the flood lasts, and the orders before it"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.CRITICAL)
    load = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(prefix="lifestage-bench-") as home,
        start_kafka_server(Path(home) / "kafka", say=say) as kafka,
    ):
        shop = started(kafka.bootstrap, Path(home))
        try:
            alone, beside, words = run(shop, options.fresh, options.seconds)
        except ServiceError as error:
            print(f"the benchmark failed: {error}", file=sys.stderr)
            return 1
        finally:
            shop.worker.stop(60)
    print("| orders of known customers | number | p50, ms | p99, ms | max, ms |\n|---|--:|--:|--:|--:|")
    print(f"{said('alone', alone)}\n{said('beside the flood', beside)}")
    print(f"\n{hops('alone', alone)}\n{hops('beside the flood', beside)}")
    ratio = share_of((way.whole for way in beside), 0.99) / share_of((way.whole for way in alone), 0.99)
    print(f"\np99 beside the flood is {ratio:.2f} times what it is alone; {words}\n{machine(load)}")
    return 0 if ratio <= TIMES else 1


if __name__ == "__main__":
    sys.exit(main())
