"""Every kind of broken record, alone, mixed in and in bursts: all of it goes aside with a reason, and nobody restarts."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Any

from confluent_kafka import Producer

from lifestage.refusal import REASONS
from streams.dead_letters import VALUE_MAX, why
from tests.broker.test_bad_input import BAD
from tests.chaos.arena import Arena
from tests.chaos.flow import Flow, order, said, share_of
from tests.chaos.table import Row
from tests.core.poison import ACCEPTED, POISON, props
from tests.core.poison import GOOD as VISIT
from tests.pipeline import Deployment, truth_of
from tests.wire import Record
from tests.workers import Worker

FULL = 10_000
RATE, RATE_SMALL = 200, 40
PHASE, PHASE_SMALL = 4_000, 120
"""Good orders of one phase."""
SMALL_BYTES = 20_000
LATE_S = 1.0
"""In full size the p99 of good orders beside any poison must be below it."""
CRASHED = re.compile(r"Crashed reason=(?!CancelledError)|Giving up on crashed services")
"""What Faust says when an agent, or another of its services, has failed. One that a rebalance cancels begins anew, too, and
has not failed."""
BLOB = b"\xfe" * 1_040_000
"""The largest that a topic takes as it is shipped."""
LATER = "time of an ahead clock"
"""A kind that is only bad by a clock of its own."""
Headers = list[tuple[str, bytes | None]]
Bad = tuple[bytes | None, Headers, str]
"""Value, headers, and the reason for which it must be rejected."""
MANY: Headers = [("h", b"v")] * 10_000
ODD: dict[str, Bad] = {
    "10k headers": (b"{", MANY, "unparsable"),
    "a header without a value": (b"{", [("trace", None)], "unparsable"),
    "headers of an envelope that is none": (VISIT, [("ce_specversion", b"\xff"), ("ce_id", None)], "unparsable"),
    "headers of an unknown envelope": (VISIT, [("ce_specversion", b"9.9")], "unsupported"),
    "headers of an earlier letter": (b"{", [("lifestage-reason", b"\xff"), ("lifestage-offset", b"x")], "unparsable"),
    "a batch of blobs": (BLOB, [], "too_large"),
    "10k properties in 1 MB": (VISIT[:-1] + props(10_000) + b',"x":"' + b"x" * 900_000 + b'"}', [], "too_large"),
}
"""What is odd about a record beside its value."""


class Poisoner:
    """Sends bad records, and knows each by its key."""

    def __init__(self, made: Deployment) -> None:
        self._made = made
        self._producer = Producer(
            {"bootstrap.servers": made.bootstrap, "acks": "all", "linger.ms": 5, "message.max.bytes": 2_000_000}
        )
        self.sent: dict[bytes, tuple[bytes | None, str]] = {}
        self._places: Iterator[tuple[str, int]] = cycle(
            (topic.name, number) for topic in made.topics.sources for number in range(topic.partitions)
        )

    def send(self, kinds: Sequence[Bad], *, one: bool) -> None:
        """Send records, into `one` partition or over all of all sources; returns when they are acknowledged."""
        place = next(self._places)
        for value, headers, reason in kinds:
            key = b"bad-%d" % len(self.sent)
            self.sent[key] = (value, reason)
            topic, number = place if one else next(self._places)
            while True:
                try:
                    self._producer.produce(topic, value, key, number, headers=headers)
                    break
                except BufferError:  # its queue is full: wait until some are acknowledged
                    self._producer.poll(0.1)
        assert self._producer.flush(120) == 0, "not all poison was acknowledged"


def kinds() -> list[Bad]:
    """Each kind once."""
    values: list[tuple[bytes | None, str]] = [
        (value, reason) for name, value, reason, _ in POISON if reason not in (ACCEPTED, "test") and name != LATER
    ]
    values += [(value, reason) for value, reason, _ in BAD.values()]
    return [(value, [], reason) for value, reason in values] + list(ODD.values())


def poison(arena: Arena, times: int) -> Row:
    """Good orders flow; beside them every kind of bad record once, one in a hundred, a burst of `times`, and of large ones."""
    each = kinds()
    small = [one for one in each if len(one[0] or b"") < SMALL_BYTES and len(one[1]) < 10]
    bursts = {
        "each kind alone": list(each),
        "one in a hundred": list(islice(cycle(small), max(2, (PHASE if times >= FULL else PHASE_SMALL) // 100))),
        f"a burst of {times:,}": list(islice(cycle(small), times)),
        "a burst of 1 MB blobs": [ODD["a batch of blobs"]] * max(4, times // 100),
    }
    row = Row("poison", sum(map(len, bursts.values())))
    full = times >= FULL
    with (
        arena.deployment("poison", clock__mode="wall") as made,
        made.worker() as worker,
        Flow(made, RATE if full else RATE_SMALL, arena.seed) as flow,
    ):
        worker.wait_ready(120)
        poisoner = Poisoner(made)
        phases = {"no poison": flow.wait(PHASE if full else PHASE_SMALL)}
        for name, burst in bursts.items():
            began, first = time.monotonic(), len(flow.sent)
            if name == "one in a hundred":
                for one in burst:
                    flow.wait(100)
                    poisoner.send([one], one=False)
            else:
                poisoner.send(burst, one="burst" in name)
            flow.wait(PHASE // 4 if full else PHASE_SMALL // 4)
            phases[name] = (first, len(flow.sent))
            row.slowest(time.monotonic() - began)
            arena.say(row, len(poisoner.sent), name)
        good = odd_but_good(made)
        flow.wait_arrived()
        made.wait_done(180, alive=[worker])
        row.failures += restarts(worker)
        delays = {name: flow.delays(numbers) for name, numbers in phases.items()}
        row.notes += [said(name, rising) for name, rising in delays.items()]
        row.failures += late(delays) if full else []
        assert worker.terminate() == 0, worker.log()[-2000:]
        check(made, row, poisoner.sent, len(flow.sent) + good)
        arena.judge(made, row)
    return row


def odd_but_good(made: Deployment) -> int:
    """Orders with 10,000 headers, a header without a value, and names of headers that are no text; says how many."""
    producer = Producer({"bootstrap.servers": made.bootstrap, "acks": "all", "message.max.bytes": 2_000_000})
    odd: list[Headers] = [list(MANY), [("trace", None)], [("content-type", None)]]
    for number, headers in enumerate(odd):
        value = order(1_000_000_000 + number, f"odd{number}")
        producer.produce(made.prefix + "purchases", value, None, headers=headers)
    assert producer.flush(60) == 0
    nameless(made)
    return len(odd) + 1


class Nameless(str):
    """A name of a header that is no UTF-8 on the wire, as a broken producer may write it."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        """Two bytes that never begin a character."""
        return b"\xff\xfe"


def nameless(made: Deployment) -> None:
    """Send a good order with such a header: aiokafka's own parser never gets past it."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=made.bootstrap, acks="all")
    value = order(2_000_000_000, "nameless")
    producer.send(made.prefix + "purchases", value=value, headers=[(Nameless("x"), b"1")], partition=0).get(60)
    producer.close(5)


def restarts(worker: Worker) -> list[str]:
    """What ended or began anew: the worker, or an agent inside it."""
    told = worker.log()
    ended = [] if worker.running else [f"the worker ended: {told[-1000:]}"]
    return ended + [line[:500] for line in told.splitlines() if CRASHED.search(line)]


def late(delays: dict[str, list[float]]) -> list[str]:
    """Phases in which good orders waited for too long."""
    found = {name: share_of(rising, 0.99) for name, rising in delays.items()}
    return [f"{name}: p99 is {p99:.2f} s, not below {LATE_S} s" for name, p99 in found.items() if p99 >= LATE_S]


def check(made: Deployment, row: Row, sent: dict[bytes, tuple[bytes | None, str]], good: int) -> None:
    """Each bad record, and no other, has one letter, whole and with its reason, and is accounted for once."""
    found = made.read(made.topics.dead_letters.name)
    letters = {letter.key: letter for letter in found}
    row.proven += sum(_right(letters.get(key), *told) for key, told in sent.items())
    if len(found) != len(sent):
        row.failures.append(f"{len(sent)} bad records were sent, {len(found)} are in the dead letters")
    truth = truth_of(made)
    outcomes, reasons = Counter[str](), Counter[str]()
    for (_, _, outcome), count in truth.accounted.items():
        outcomes[outcome] += count
    for partition in truth.partitions:
        reasons.update(partition.marker.reasons)
    if outcomes != {"accepted": good, "rejected": len(sent)}:
        row.failures.append(f"{good} good and {len(sent)} bad records were sent, accounted for are {dict(outcomes)}")
    if reasons != Counter(reason for _, reason in sent.values()):
        row.failures.append(f"accounted for are the reasons {dict(reasons)}")
    row.notes.append(f"{len(kinds())} kinds, {len(reasons)} reasons of {len(REASONS) - 1}")


def _right(letter: Record | None, value: bytes | None, reason: str) -> bool:
    if letter is None:
        return False
    told = why(dict(letter.headers)).reason
    return told == reason and told in REASONS and letter.value == (None if value is None else value[:VALUE_MAX])
