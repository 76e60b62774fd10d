"""The broker of docker-compose.yml: its settings on a real Kafka of the same version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from streams.embedded.java import KAFKA_VERSION
from streams.embedded.kafka import start_kafka_server
from tests.deployment import compose

pytestmark = pytest.mark.broker

# Addresses and folders are the container's own; CLUSTER_ID and the heap are no properties of the server.
ELSEWHERE = {
    "KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "KAFKA_LOG_DIRS",
    "KAFKA_INTER_BROKER_LISTENER_NAME", "KAFKA_CONTROLLER_QUORUM_VOTERS", "KAFKA_HEAP_OPTS", "CLUSTER_ID",
}  # fmt: skip
MISTYPED = "offsets.topic.replication.facter"


@pytest.mark.usefixtures("real_kafka")
def test_the_brokers_settings_are_ones_that_kafka_has(tmp_path: Path) -> None:
    """A real Kafka starts with the settings of compose, and says of each that it is in force."""
    given: dict[str, str] = compose()["services"]["kafka"]["environment"]
    wanted = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in given.items()
        if name not in ELSEWHERE
    }
    assert len(wanted) > 8
    with start_kafka_server(tmp_path, say=print, extra={**wanted, MISTYPED: "1"}) as server:
        admin = KafkaAdminClient(bootstrap_servers=server.bootstrap)
        try:
            broker = ConfigResource(ConfigResourceType.BROKER, wanted["node.id"])
            told = admin.describe_configs([broker], config_filter="all")["broker"][wanted["node.id"]]
        finally:
            admin.close()
    assert {name: told[name]["value"] for name in wanted} == wanted
    assert told[MISTYPED]["value"] is None  # so a name that Kafka does not have would be found


def test_the_image_is_the_version_that_is_tested() -> None:
    """Compose runs the Kafka version that the tests run."""
    assert re.fullmatch(rf"apache/kafka:{re.escape(KAFKA_VERSION)}", compose()["services"]["kafka"]["image"])
