"""Events that wait while no worker runs are read before anybody's silence is judged."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lifestage import facts, log
from lifestage.moments import iso
from streams.embedded.kafka import KafkaServer
from tests.chaos.crew import Fragile
from tests.pipeline import Written, deployment, differences, written_by
from tests.wire import Record

pytestmark = pytest.mark.broker

DAY_MS = 86_400_000
AHEAD_MS = 15_000
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


Changes = dict[str, list[dict[str, Any]]]


def run(bootstrap: str, prefix: str, home: Path, words: str) -> tuple[int, dict[str, int], Changes, list[str]]:
    """Orders, a stop, a downtime in which 80 customers become due while two days of events wait, and a start.

    The second worker is slow to read, and has `words` (see `tests.broken_worker`). Returns the due instant, the
    instant of each waiting order by customer, the changes by customer and what differs from the log.
    """
    with deployment(bootstrap, prefix, home, clock__mode="wall") as made:
        with made.worker("before") as worker:
            worker.wait_ready()
            due = int(time.time() * 1000) + AHEAD_MS
            old = [(f"{days}-{n}", due - days * DAY_MS) for days in (180, 90) for n in range(40)]
            made.produce("purchases", [order(n, *of) for n, of in enumerate(old)])
            made.wait_changes(80 + 40, alive=[worker])  # 80 first orders, and the first tick: 40 are at risk
            assert worker.terminate() == 0
        assert time.time() * 1000 < due, "the first worker took too long for this test to mean anything"
        check_before(written_by(made))
        ends = {tp.partition: end for tp, end in made.ends([made.topics.log.name]).items()}

        now = int(time.time() * 1000)
        bought = {f"{days}-{n}": now - DAY_MS + n for n in range(20) for days in (90, 180)}
        made.produce("visits", [visit(n, f"v{n % 500}", now - 2 * DAY_MS + n * 80_000) for n in range(2_000)])
        made.produce("purchases", [order(1_000 + n, name, bought[name]) for n, name in enumerate(bought)])
        time.sleep(max(0.0, due / 1000 - time.time() + 1))

        with Fragile(made, f"slow_intake,{words}", "after") as worker:
            worker.wait_ready()
            made.wait_done(alive=[worker])
            time.sleep(1.5)  # at least two ticks more
            made.wait_done(alive=[worker])
            assert worker.terminate() == 0
        changes = {key: [msgspec.json.decode(v) for v in told] for key, told in written_by(made).changes.items()}
        wrong = differences(made)
        if not words:
            assert check_ticks(made.read(made.topics.log.name), ends) >= 4
        return due, bought, changes, wrong


def check_before(written: Written) -> None:
    """Nobody has become due before the downtime: 40 are customers, 40 have been at risk for 90 days."""
    stages = {key: msgspec.json.decode(value)["stage"] for key, value in written.newest.items()}
    assert stages == {f"{days}-{n}": {90: "conversion", 180: "at_risk"}[days] for days in (90, 180) for n in range(40)}


def declared_wrongly(bought: dict[str, int], changes: Changes) -> set[str]:
    """Customers whose order was waiting, and who were said to have gone silent during the downtime."""
    silent = {"90": "at_risk", "180": "churned"}
    return {name for name in bought if silent[name.partition("-")[0]] in {told["stage"] for told in changes[name]}}


def test_nobody_is_declared_silent_whose_events_were_waiting(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """Of 80 customers who became due in a downtime only the 40 without waiting orders are declared; a free clock errs."""
    with ThreadPoolExecutor(2) as pool:
        broken = pool.submit(run, kafka.bootstrap, topic_prefix + "b.", tmp_path / "b", "clock_unheld")
        due, bought, changes, wrong = run(kafka.bootstrap, topic_prefix + "a.", tmp_path / "a", "")
    assert wrong == []
    assert declared_wrongly(bought, changes) == set()
    for name, when in bought.items():
        newest = changes[name][-1]
        assert (newest["stage"], newest["entered_at"]) == ("retention", iso(when))
    for days, stage in ((90, "at_risk"), (180, "churned")):
        for number in range(20, 40):
            newest = changes[f"{days}-{number}"][-1]
            assert (newest["stage"], newest["entered_at"]) == (stage, iso(due))
    _, bought, changes, _ = broken.result()
    assert declared_wrongly(bought, changes) == set(bought)
