"""An arena for each test of faults, on the Kafka that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.embedded.kafka import KafkaServer
from tests.chaos.arena import Arena


@pytest.fixture
def arena(kafka: KafkaServer, tmp_path: Path) -> Arena:
    """A place for a scenario; CHAOS_SEED sets another seed, and a failed test prints the one that was used."""
    seed = int(os.environ.get("CHAOS_SEED", "19"))
    print(f"seed {seed}: the same again with CHAOS_SEED={seed}")
    return Arena(kafka.bootstrap, tmp_path, seed)
