"""Real purchases through a real Kafka: the figures are known, and nothing about how the work is run changes them."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from lifestage.facts import Fact
from lifestage.replay import replay
from streams.doorway import decoder_of
from streams.embedded.kafka import KafkaServer
from streams.embedded.redis import EmbeddedRedis
from streams.read_store import customer, customers_per_stage, recent_changes
from streams.rules import rules_of
from streams.view import is_persons
from tests.core.cdnow import END, MOVES, POPULATION
from tests.pipeline import Deployment, Written, deployment, differences, samples, truth_of, written_by
from tests.workers import CHECKOUT, Worker

pytestmark = pytest.mark.broker


def purchases() -> list[dict[str, Any]]:
    """The CDNOW sample as orders, by time."""
    with (CHECKOUT / "data" / "cdnow.csv").open(encoding="utf-8", newline="") as file:
        events = [
            {
                "id": f"cdnow-{line}",
                "source": "cdnow",
                "type": "order.completed",
                "time": row["date"] + "T00:00:00Z",
                "customer_id": row["customer"],
                "order_id": f"o{line}",
                "currency": "USD",
                "total": row["dollars"],
            }
            for line, row in enumerate(csv.DictReader(file))
        ]
    return sorted(events, key=lambda event: str(event["time"]))


def run(made: Deployment, workers: int, while_running: Callable[[list[Worker]], None] = lambda _: None) -> Written:
    """Take all purchases in with so many workers, let time pass to the end, and read what came out."""
    running = [made.worker(f"w{number}") for number in range(workers)]
    try:
        for worker in running:
            worker.wait_ready()
        if workers > 1:
            made.wait_shared(running)
        made.produce("purchases", purchases())
        made.wait_taken_in(alive=running)
        made.end_tick(END)
        made.wait_done(alive=running)
        while_running(running)
    finally:
        for worker in running:
            assert worker.terminate() == 0
    return written_by(made)


def documents(written: Written) -> list[dict[str, Any]]:
    """All changes, parsed."""
    return [msgspec.json.decode(value) for changes in written.changes.values() for value in changes]


def check_metrics(found: dict[tuple[str, frozenset[tuple[str, str]]], float]) -> None:
    """Customers, orders, revenue and a closed account, as one worker shows them."""

    def value(name: str, **labels: str) -> float:
        return found[name, frozenset(labels.items())]

    assert {stage: value("lifestage_customers", stage=stage) for stage in POPULATION} == POPULATION
    assert value("lifestage_customers", stage="conversion") == 0
    assert value("lifestage_orders", currency="USD") == 6919
    paid = sum(round(float(event["total"]) * 100) for event in purchases())
    assert round(value("lifestage_revenue_gross", currency="USD") * 100) == paid
    assert round(value("lifestage_revenue_net", currency="USD") * 100) == paid
    counted = {labels: count for (name, labels), count in found.items() if name == "lifestage_accounted_events"}
    assert counted == {frozenset({"source": "cdnow", "type": "order.completed", "outcome": "accepted"}.items()): 6919}


def check_read_model(made: Deployment, client: redis.Redis, prefix: str) -> None:
    """Redis says of every customer what the profile says, and of every stage how many stand there."""
    truth = truth_of(made)
    per_stage: Counter[str] = Counter()
    orders = Counter(str(event["customer_id"]) for event in purchases())
    for partition in truth.partitions:
        for key in filter(lambda key: is_persons(key.decode()), list(partition.keys())):
            profile = partition.profile(key)
            read = customer(client, prefix, key.decode())
            assert profile is not None
            assert read is not None, f"{key!r} is not in Redis"
            assert (read["stage"], read["seq"], read["applied"]) == (profile.stage, profile.seq, profile.applied)
            newest = msgspec.json.decode(truth.changes[key.decode()][-1])
            assert (read["since"], read["orders"]) == (newest["entered_at"], orders[key.decode()])
            per_stage[str(profile.stage)] += 1
    assert dict(per_stage) == POPULATION
    assert {stage: n for stage, n in customers_per_stage(client, prefix).items() if n} == POPULATION
    assert len(recent_changes(client, prefix, 1000)) == 1000


def test_real_purchases_give_the_known_figures(
    kafka: KafkaServer, redis_server: EmbeddedRedis, topic_prefix: str, tmp_path: Path
) -> None:
    """One worker announces exactly the known 10,241 moves; topics, metrics, read model and file replay agree on them."""
    prefix = topic_prefix
    with deployment(
        kafka.bootstrap, prefix, tmp_path, redis__enabled="true", redis__url=redis_server.url, redis__prefix=prefix
    ) as made:

        def look(running: list[Worker]) -> None:
            check_metrics(samples(running[0]))
            with redis.Redis.from_url(redis_server.url, socket_timeout=5) as client:
                deadline = time.monotonic() + 10
                while sum(customers_per_stage(client, prefix).values()) < 2357 or found_pending(running[0]):
                    assert time.monotonic() < deadline, customers_per_stage(client, prefix)
                    time.sleep(0.1)
                check_read_model(made, client, prefix)

        written = run(made, 1, look)
        moves = Counter((change["previous_stage"], change["stage"]) for change in documents(written))
        assert moves == MOVES
        assert moves.total() == 10_241
        newest = Counter(msgspec.json.decode(value)["stage"] for value in written.newest.values())
        assert newest == POPULATION
        assert differences(made) == []
        assert ids_of(made) == replayed_ids(made)


def found_pending(worker: Worker) -> bool:
    """Whether the worker still has something to write to Redis."""
    return samples(worker)["lifestage_read_model_pending", frozenset()] > 0


def ids_of(made: Deployment) -> dict[tuple[str, int], str]:
    """(customer, seq) → id, as on the wire."""
    found = {}
    for record in made.read(made.topics.changes.name):
        assert record.key is not None
        assert record.value is not None
        found[record.key.decode(), msgspec.json.decode(record.value)["seq"]] = dict(record.headers)["ce_id"].decode()
    return found


def replayed_ids(made: Deployment) -> dict[tuple[str, int], str]:
    """(customer, seq) → id, as file replay gives them."""
    decode = decoder_of(made.settings).decode
    facts = [decode(msgspec.json.encode(event), None) for event in purchases()]
    path = replay([fact for fact in facts if isinstance(fact, Fact)], rules_of(made.settings), END)
    return {(change.partitionkey, change.data.seq): change.id for change in path.changes}


def test_another_run_and_two_workers_give_the_same_history(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """On other topics, with two workers that share the partitions, every customer has the same moves with the same ids."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        run(made, 2)
        assert differences(made) == []
        assert ids_of(made) == replayed_ids(made)
