"""Events that wait while no worker runs are read before anybody's silence is judged."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lifestage import facts, log
from lifestage.moments import iso
from streams.embedded.kafka import KafkaServer
from tests.pipeline import deployment, differences, written_by
from tests.wire import Record

pytestmark = pytest.mark.broker

DAY_MS = 86_400_000
AHEAD_MS = 12_000
"""Due instants lie this far ahead when the first worker hears of the orders: it has stopped by then."""


def order(number: int, customer: str, when_ms: int) -> dict[str, Any]:
    """An order at an instant."""
    return {
        "id": f"e{number}",
        "source": "shop",
        "type": "order.completed",
        "time": when_ms,
        "customer_id": customer,
        "order_id": f"o{number}",
        "currency": "USD",
        "total": "10.00",
    }


def visit(number: int, customer: str, when_ms: int) -> dict[str, Any]:
    """A visit at an instant."""
    event = {"id": f"v{number}", "source": "shop", "type": "web.visit", "time": when_ms, "customer_id": customer}
    return event | {"url": "https://shop.example/"}


def check_ticks(records: list[Record], first_run: dict[int, int]) -> int:
    """After the restart no fact comes behind a tick that is later than it; returns how many ticks there were."""
    ticks, reached = 0, dict.fromkeys(range(4), 0)
    for record in records:
        assert record.value is not None
        if record.offset < first_run[record.partition]:
            continue
        kind = log.header(record.value).kind
        if kind == log.TICK:
            ticks += 1
            reached[record.partition] = log.tick(record.value).time
        elif kind == log.FACT:
            fact = facts.decode(record.value[log.HEADER_SIZE :])
            assert fact.time >= reached[record.partition], "a tick overtook a waiting fact"
    return ticks


def test_nobody_is_declared_silent_whose_events_were_waiting(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """Two days of events wait over a downtime in which 80 customers became due; only the 40 without events are declared."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, clock__mode="wall") as made:
        with made.worker("before") as worker:
            worker.wait_ready()
            due = int(time.time() * 1000) + AHEAD_MS
            names = {days: [f"{days}-{n}" for n in range(40)] for days in (90, 180)}
            old = [(name, due - days * DAY_MS) for days in (90, 180) for name in names[days]]
            made.produce("purchases", [order(n, *of) for n, of in enumerate(sorted(old, key=lambda of: of[1]))])
            made.wait_done(alive=[worker])
            assert worker.terminate() == 0
        assert time.time() * 1000 < due, "the first worker took too long for this test to mean anything"
        stages = {key: msgspec.json.decode(value)["stage"] for key, value in written_by(made).newest.items()}
        assert {stages[name] for name in names[90]} == {"conversion"}
        assert {stages[name] for name in names[180]} == {"at_risk"}
        ends = {tp.partition: end for tp, end in made.ends([made.topics.log.name]).items()}

        now = int(time.time() * 1000)
        bought = {name: now - DAY_MS + n for n, name in enumerate(names[90][:20] + names[180][:20])}
        made.produce("visits", [visit(n, f"v{n % 500}", now - 2 * DAY_MS + n * 80_000) for n in range(2_000)])
        made.produce("purchases", [order(1_000 + n, name, bought[name]) for n, name in enumerate(bought)])
        time.sleep(max(0.0, due / 1000 - time.time() + 1))

        with made.worker("after") as worker:
            worker.wait_ready()
            made.wait_done(alive=[worker])
            time.sleep(1.5)  # at least two ticks more
            made.wait_done(alive=[worker])
            assert worker.terminate() == 0
        assert differences(made) == []
        newest = {key: msgspec.json.decode(value) for key, value in written_by(made).newest.items()}
        told = {
            key: [msgspec.json.decode(v)["stage"] for v in values] for key, values in written_by(made).changes.items()
        }
        for name, when in bought.items():
            assert newest[name]["stage"] == "retention", newest[name]
            assert newest[name]["entered_at"] == iso(when)
            assert "churned" not in told[name]
        assert all("at_risk" not in told[name] for name in names[90][:20])
        for days, stage in ((90, "at_risk"), (180, "churned")):
            for name in names[days][20:]:
                assert (newest[name]["stage"], newest[name]["entered_at"]) == (stage, iso(due)), newest[name]
        assert check_ticks(made.read(made.topics.log.name), ends) >= 4
