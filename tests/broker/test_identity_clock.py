"""The clock waits for what partitions of the log send on to each other: nobody is declared silent whose order is on its way."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lifestage import log
from lifestage.moments import iso
from streams.doorway import partition_of
from streams.embedded.kafka import KafkaServer
from tests.chaos.crew import PATIENCE_S, Fragile
from tests.load import BEGIN_MS
from tests.pipeline import Deployment, deployment, differences, samples, written_by
from tests.wire import produce

pytestmark = pytest.mark.broker

DAY_MS = 86_400_000
ADDRESS, CUSTOMER = "somebody@mail.example", "c1"
SECOND_MS, LATER_MS = BEGIN_MS + 80 * DAY_MS, BEGIN_MS + 95 * DAY_MS
"""The second order, and an event of somebody else behind the instant at which the customer would be at risk without it."""


def order(number: int, when: int, **ids: str) -> dict[str, Any]:
    """An order under some ids."""
    event = {"id": f"e{number}", "source": "shop", "type": "order.completed", "time": when, "order_id": f"o{number}"}
    return event | {"currency": "USD", "total": "10.00"} | ids


def send(made: Deployment, event: dict[str, Any]) -> None:
    """Send an event to the purchases."""
    produce(made.bootstrap, made.prefix + "purchases", [(b"k", msgspec.json.encode(event))])


def wait_until(holds: Callable[[], bool], what: str, worker: Fragile) -> None:
    """Return when it holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert worker.running, worker.log()[-3000:]
        assert time.monotonic() < deadline, f"not {what}: {worker.log()[-2000:]}"
        time.sleep(0.1)


def is_held_by_the_log(worker: Fragile) -> bool:
    """Whether a partition of the log is named among those that hold the clock."""
    return any(
        name == "lifestage_clock_held" and dict(labels)["topic"].endswith("customer-events")
        for name, labels in samples(worker)
    )


def reached(made: Deployment) -> int:
    """The newest tick in the customer's partition."""
    number = partition_of(CUSTOMER.encode(), made.topics.log.partitions)
    ticks = [
        log.tick(record.value).time
        for record in made.read(made.topics.log.name)
        if record.partition == number and record.value is not None and log.header(record.value).kind == log.TICK
    ]
    return max(ticks, default=0)


def moves(made: Deployment) -> list[tuple[str, str, str]]:
    """What was announced of the customer: kind, stage, since when."""
    told = [msgspec.json.decode(value) for value in written_by(made).changes[CUSTOMER]]
    return [(change["kind"], change["stage"], change["entered_at"]) for change in told]


def run(made: Deployment, broken: str) -> list[tuple[str, str, str]]:
    """A customer orders, and again after 80 days, by the address alone; what that sends on is held up while time would pass.

    Returns what was announced of the customer.
    """
    with Fragile(made, f"slow_post,{broken}", "w1") as worker:
        worker.wait_ready(PATIENCE_S)
        send(made, order(1, BEGIN_MS, customer_id=CUSTOMER, email=ADDRESS))
        made.wait_done(PATIENCE_S, [worker])
        worker.arm.touch()
        send(made, order(2, SECOND_MS, email=ADDRESS))
        made.wait_taken_in(PATIENCE_S, [worker])
        send(made, order(3, LATER_MS, customer_id="c2"))
        made.wait_taken_in(PATIENCE_S, [worker])
        if broken:
            wait_until(lambda: reached(made) > BEGIN_MS + 90 * DAY_MS, "overtaken", worker)
        else:
            wait_until(lambda: is_held_by_the_log(worker), "held", worker)
            assert reached(made) <= SECOND_MS
        worker.arm.unlink()
        made.wait_done(PATIENCE_S, [worker])
        made.end_tick(LATER_MS)
        made.wait_done(PATIENCE_S, [worker])
        assert not is_held_by_the_log(worker)
        assert worker.terminate(60) == 0
    assert differences(made) == []
    return moves(made)


def test_time_waits_for_an_order_that_is_sent_on(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """The second order comes by the address: two moves, nobody at risk, nothing corrected; the log is said to hold the clock."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        assert run(made, "") == [("entry", "conversion", iso(BEGIN_MS)), ("advance", "retention", iso(SECOND_MS))]


def test_without_the_rounds_it_would_be_declared_and_taken_back(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """A clock that goes by the sources alone says that the customer is at risk, and then has to correct it."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        assert [(kind, stage) for kind, stage, _ in run(made, "rounds_off")] == [
            ("entry", "conversion"), ("at_risk", "at_risk"), ("correction", "retention"),
        ]  # fmt: skip


def test_a_merge_of_past_events_is_dated_by_them(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """Where data moves the clock, who is merged leaves at the time of the event, and who comes back is where their facts say: never now."""

    def day(n: float) -> int:
        return BEGIN_MS + round(n * DAY_MS)

    about = {"source": "crm", "ids": ["c1", "c2"], "into": "c1"}
    story = [
        order(1, day(0), customer_id="c1"),
        order(2, day(5), customer_id="c2"),
        {"id": "m1", "type": "identity.merged", "time": day(20.5), **about},
        order(3, day(25), customer_id="c2"),
        {"id": "s1", "type": "identity.split", "time": day(40.5), "source": "crm", "ids": ["c2"]},
        order(4, day(60), customer_id="c9"),
    ]
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        with made.worker() as worker:
            worker.wait_ready(PATIENCE_S)
            for event in story:
                send(made, event)
                made.wait_done(PATIENCE_S, [worker])
            assert worker.terminate(60) == 0
        assert differences(made) == []
        told = {
            key: [msgspec.json.decode(value) for value in values] for key, values in written_by(made).changes.items()
        }
    assert [(change["kind"], change["stage"], change["entered_at"]) for change in told["c2"]] == [
        ("entry", "conversion", iso(day(5))), ("merge", None, iso(day(20.5))), ("split", "retention", iso(day(25))),
    ]  # fmt: skip
    assert [(change["stage"], change["entered_at"]) for change in told["c1"]] == [
        ("conversion", iso(day(0))), ("retention", iso(day(5))), ("loyalty", iso(day(25))), ("conversion", iso(day(0))),
    ]  # fmt: skip
    assert [change["trigger"]["event_id"] for change in told["c2"][1:]] == ["m1", "s1"]
    assert max(change["entered_at"] for changes in told.values() for change in changes) == iso(day(60))
