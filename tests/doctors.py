"""Examining a deployment with single checks of `lifestage doctor`, and breaking its topics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from config.settings import Settings
from lifestage.moments import iso
from streams import doctor_kafka
from streams.doctor import Check, Finding, Ground, Look, examine
from tests.pipeline import Deployment


def ground(made: Deployment, settings: Settings | None = None, now: Callable[[], float] = time.time) -> Ground:
    """What is examined of a deployment."""
    settings = settings or made.settings
    return Ground(settings, made.bootstrap, settings.redis.url, now, reach_s=30)


def found(look: Look, on: Ground, name: str = "it") -> list[Finding]:
    """What one check finds, after the one of the brokers."""
    checks = [Check("kafka", doctor_kafka.reach), Check(name, look, needs="kafka")]
    return [finding for finding in examine(checks, on, 120) if finding.check != "kafka"]


def amiss(look: Look, on: Ground) -> Finding:
    """The one thing that is wrong."""
    (one,) = [finding for finding in found(look, on) if finding.level != "ok"]
    assert one.fix
    assert one.means
    return one


def order(customer: str, at: int) -> dict[str, Any]:
    """An order that is taken in."""
    return {
        "id": f"e-{customer}",
        "source": "shop",
        "type": "order.completed",
        "customer_id": customer,
        "order_id": f"o-{customer}",
        "currency": "EUR",
        "total": "9.90",
        "time": iso(at),
    }


def with_(settings: Settings, section: str, **values: Any) -> Settings:
    """Settings with some values of a section replaced."""
    changed = msgspec.structs.replace(getattr(settings, section), **values)
    return msgspec.structs.replace(settings, **{section: changed})


def alter(made: Deployment, topic: str, **configs: str) -> None:
    """Set configs of a topic, `_` for `.`, and return when they are in force."""
    wanted = {name.replace("_", "."): value for name, value in configs.items()}
    admin = KafkaAdminClient(bootstrap_servers=made.bootstrap)
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, wanted)])
        deadline, resource = time.monotonic() + 30, ConfigResource(ConfigResourceType.TOPIC, topic)
        while True:
            held = admin.describe_configs([resource], config_filter="all")["topic"][topic]
            if all(held[name]["value"] == value for name, value in wanted.items()):
                return
            assert time.monotonic() < deadline, held
            time.sleep(0.05)
    finally:
        admin.close()
