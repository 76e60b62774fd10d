"""What cannot be read goes aside with the reason and the place; its neighbours are folded and nobody restarts."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaProducer

from streams.dead_letters import Why, why
from streams.embedded.kafka import KafkaServer
from tests.broken_worker import DIED
from tests.chaos.crew import Fragile
from tests.chaos.kills import ALONE
from tests.pipeline import Deployment, deployment, differences, truth_of

pytestmark = pytest.mark.broker

GOOD: dict[str, Any] = {
    "id": "g",
    "source": "shop",
    "type": "order.completed",
    "time": "2024-02-29T12:00:00Z",
    "customer_id": "c",
    "order_id": "o",
    "currency": "USD",
    "total": "10.00",
}


def order(**changes: Any) -> bytes:
    """A good order with changes; `...` takes a field away."""
    return msgspec.json.encode({name: value for name, value in (GOOD | changes).items() if value is not ...})


BAD: dict[str, tuple[bytes | None, str, str]] = {
    "truncated": (order()[:-20], "unparsable", "$"),
    "wrong type": (order(customer_id=["c"]), "wrong_type", "$.customer_id"),
    "missing id": (order(id=...), "missing_field", "$.id"),
    "negative amount": (order(total="-1.00"), "bad_money", "$.total"),
    "future": (order(time="2999-01-01T00:00:00Z"), "future_timestamp", "$.time"),
    "unknown type": (order(type="order.imagined"), "unknown_type", "$.type"),
    "not built yet": (order(type="privacy.erase"), "unsupported", "$.type"),
    "another CloudEvents": (order(specversion="2.0", data={}), "unsupported", "$.specversion"),
    "nobody": (order(customer_id="null"), "no_identity", "$"),
    "above 32 KB": (order(coupon="x" * 40_000), "too_large", "$"),
    "nearly 1 MB": (order(coupon="x" * 1_040_000), "too_large", "$"),
    "deep": (b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "too_deep", "$"),
    "not UTF-8": (order().replace(b"USD", b"U\xffD"), "unparsable", "$"),
    "registry": (b"\x00\x00\x00\x00\x07" + order(), "registry_encoded", "$"),
    "no value": (None, "unparsable", "$"),
    "empty": (b"", "unparsable", "$"),
    "an array": (b"[1, 2]", "wrong_type", "$"),
}
HEADERS = [("trace", b"\x00\xff"), ("lifestage-reason", b"of an earlier letter")]
BINARY = [
    ("ce_specversion", b"1.0"), ("ce_id", b"g-binary"), ("ce_source", b"shop"), ("ce_type", b"order.completed"),
    ("ce_time", b"2024-02-29T12:00:00Z"), ("ce_customerid", b"c"),
]  # fmt: skip
DATA = b'{"orderId": "o-binary", "currency": "USD", "totalMinor": 1000}'


def send(bootstrap: str, topic: str) -> dict[int, str]:
    """Each bad record between two good ones, all in one partition; returns the offsets of the bad ones by kind."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", max_request_size=2_000_000)
    places = {}
    for number, (kind, (value, _, _)) in enumerate(BAD.items()):
        producer.send(topic, key=b"k", value=order(id=f"g{number}", order_id=f"o{number}"), partition=1)
        bad = producer.send(topic, key=f"key of {kind}".encode(), value=value, partition=1, headers=HEADERS)
        places[bad.get(30).offset] = kind
    for last in (order(id="g-last", order_id="o-last"), order(id="t", test=True)):
        producer.send(topic, key=b"k", value=last, partition=1)
    producer.send(topic, key=b"k", value=DATA, headers=BINARY, partition=1)
    producer.flush(30)
    producer.close(5)
    return places


def check_letters(made: Deployment, topic: str, places: dict[int, str]) -> int:
    """Every bad record, and no other, is in the dead letters as it came; returns how many letters there are."""
    found: set[str] = set()
    letters = made.read(made.topics.dead_letters.name)
    for letter in letters:
        told = why(dict(letter.headers))
        kind = places[told.offset]
        value, reason, place = BAD[kind]
        assert (letter.key, letter.value) == (f"key of {kind}".encode(), value)
        assert told == Why(reason, told.message, topic, 1, told.offset), kind
        assert told.message.startswith(f"{place}: expected "), (kind, told.message)
        assert len(told.message) < 300
        assert [header for header in letter.headers if not header[0].startswith("lifestage-")] == HEADERS[:1]
        found.add(kind)
    assert found == set(BAD)
    return len(letters)


def test_bad_records_go_aside_and_their_neighbours_are_folded(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """Every kind of bad record is set aside whole, counted once, also when a killed worker's successor reads it again."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **ALONE) as made:
        topic = topic_prefix + "purchases"
        places = send(kafka.bootstrap, topic)
        with Fragile(made, "log_written", "w1") as dying:
            dying.arm.touch()
            assert dying.child.wait(30) == DIED, dying.log()[-2000:]
        assert made.lag([topic]) == 2 * len(BAD) + 3, "the dead worker had committed: nothing is read again"
        with made.worker("w2") as worker:
            made.wait_done(alive=[worker.wait_ready()])
            check_counts(made)
            assert check_letters(made, topic, places) == 2 * len(BAD)
            more = send(kafka.bootstrap, topic)
            made.wait_done(alive=[worker])
            assert check_letters(made, topic, places | more) == 3 * len(BAD)
            time.sleep(0.5)
            assert worker.running
            # it has said which core it runs, where its metrics are and what its predecessor had not kept, and nothing since
            assert len([line for line in worker.log().splitlines() if "rebuil" not in line]) == 2, worker.log()
            assert worker.terminate() == 0
        assert differences(made) == []


def check_counts(made: Deployment) -> None:
    """One outcome for every record, and a reason for every rejected one."""
    truth = truth_of(made)
    outcomes: Counter[str] = Counter()
    for (_, _, outcome), count in truth.accounted.items():
        outcomes[outcome] += count
    assert outcomes == {"accepted": len(BAD) + 2, "rejected": len(BAD), "suppressed": 1}
    reasons: Counter[str] = Counter()
    for partition in truth.partitions:
        reasons.update(partition.marker.reasons)
    assert reasons == Counter(reason for _, reason, _ in BAD.values())
