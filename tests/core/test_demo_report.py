"""What the demo reads from /metrics, and what it says at the end."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from commands.demo_report import closing
from commands.demo_services import Services, environment_of
from commands.demo_view import Snapshot, money, snapshot
from config.settings import Kafka, Redis, Settings, Topics, load


class Sample(NamedTuple):
    """A sample as Prometheus' client parses it."""

    name: str
    labels: dict[str, str]
    value: float


class Ended:
    """A worker that is not asked."""


def change(before: str, after: str, kind: str, count: int) -> Sample:
    """A sample of the counter of changes."""
    labels = {"from_stage": before, "to_stage": after, "kind": kind}
    return Sample("lifestage_stage_changes_total", labels, count)


NOW = snapshot(
    [
        Sample("lifestage_customers", {"stage": "reach"}, 0),
        Sample("lifestage_customers", {"stage": "conversion"}, 3),
        change("none", "reach", "entry", 3),
        change("reach", "conversion", "skip", 2),
        change("reach", "conversion", "advance", 1),
        change("reach", "reach", "correction", 4),
        change("churned", "loyalty", "reactivation", 0),
        Sample("lifestage_accounted_events", {"source": "a", "type": "t", "outcome": "accepted"}, 5),
        Sample("lifestage_accounted_events", {"source": "b", "type": "t", "outcome": "accepted"}, 6),
        Sample("lifestage_accounted_events", {"source": "b", "type": "t", "outcome": "rejected"}, 1),
        Sample("lifestage_orders", {"currency": "USD"}, 2),
        Sample("lifestage_orders", {"currency": "EUR"}, 1),
        Sample("lifestage_revenue_gross", {"currency": "USD"}, 1234.5),
        Sample("lifestage_lag_records", {"topic": "a", "partition": "0"}, 7),
        Sample("lifestage_lag_records", {"topic": "a", "partition": "1"}, 8),
        Sample("lifestage_read_model_pending", {}, 9),
        Sample("process_cpu_seconds_total", {}, 1),
    ]
)


def services(settings: Settings, *, own: bool, **extra: object) -> Services:
    """What the report is told about."""
    return Services(settings, "127.0.0.1:1", Ended(), "http://127.0.0.1:2", own, extra)  # type: ignore[arg-type]


def test_the_numbers_are_added_up_over_their_labels() -> None:
    """Outcomes over sources, changes over kinds but for corrections, orders over currencies, lag over partitions."""
    assert (
        Snapshot(
            stages={"reach": 0, "conversion": 3},
            moves=Counter({("none", "reach"): 3, ("reach", "conversion"): 3}),
            corrections=4,
            outcomes=Counter(accepted=11, rejected=1),
            orders=3,
            revenue={"USD": 1234.5},
            lag=15,
            unwritten=9,
        )
        == NOW
    )
    assert (NOW.seen, NOW.changes) == (12, 10)
    assert money({"USD": 1234.5, "EUR": 1}) == "1.00 EUR, 1,234.50 USD"


def test_the_end_says_how_many_changes_are_corrections() -> None:
    """They are counted apart from the moves, and explained."""
    text = closing(services(Settings(), own=True), [], NOW, 12, 4.0, keep=True)
    assert "changes    10, 4 of them corrections\n  - -> reach                        3\n" in text
    assert "Corrections: " in text
    assert "events     12 in, 11 accepted, 1 rejected\n           in 4 s, 3 a second\n" in text
    assert "Corrections" not in closing(
        services(Settings(), own=True), [], NOW._replace(corrections=0), 12, 4.0, keep=True
    )


def test_what_it_says_to_try_is_what_will_work() -> None:
    """No `send` where no worker will be; in memory only what asks Redis; names of its own where it has them."""
    renamed = Settings(kafka=Kafka(group="lifestage-demo"), topics=Topics(prefix="demo-"), redis=Redis(prefix="d:"))
    own = closing(services(Settings(), own=True), [], NOW, 12, 4.0, keep=False)
    given = closing(services(renamed, own=False), [], NOW, 12, 4.0, keep=False)
    memory = closing(services(Settings(), own=True, api_version=(2, 3)), [], NOW, 12, 4.0, keep=True)
    assert "`make demo ARGS=--keep` leaves it running" in own
    assert "  lifestage send order.completed customer_id=00004" in own
    assert "send" not in given
    names = "LIFESTAGE_TOPICS_PREFIX=demo- LIFESTAGE_KAFKA_GROUP=lifestage-demo LIFESTAGE_REDIS_PREFIX=d:"
    assert f"  {names} lifestage customer 00004\n" in given
    assert memory.endswith("  lifestage customer 00004")


def test_names_are_its_own_only_where_the_settings_leave_them() -> None:
    """On given services the defaults are avoided, and what somebody chose is kept; time is moved by data everywhere."""
    own = load(None, {k: v for k, v in environment_of(Settings(), {}).items() if k.startswith("LIFESTAGE_")})
    assert (own.kafka.group, own.topics.prefix, own.redis.prefix) == ("lifestage", "", "lifestage:")
    assert (own.clock.mode, own.topics.changes_retention_days) == ("data", -1)
    there = Settings(kafka=Kafka(bootstrap="127.0.0.1:9092"), redis=Redis(url="redis://127.0.0.1:1/0", prefix="x:"))
    mine = environment_of(there, {})
    assert (mine["LIFESTAGE_KAFKA_GROUP"], mine["LIFESTAGE_TOPICS_PREFIX"]) == ("lifestage-demo", "demo-")
    assert mine.get("LIFESTAGE_REDIS_PREFIX") is None
