"""A worker that stops in good order while Kafka is away comes to its end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streams.embedded.kafka import KafkaServer
from streams.stop import EXIT_STOPPED
from tests.wire import create_topic, read_all

pytestmark = pytest.mark.broker

SESSION_S = 10.0


def test_a_stop_waits_for_what_is_queued_no_longer_than_a_request(kafka: KafkaServer, topic_prefix: str) -> None:
    """A record that cannot be written, such as a tick while Kafka is away, ends the process that stops, with a reason."""
    topic = f"{topic_prefix}queued"
    create_topic(kafka.bootstrap, topic)
    program = (
        "import asyncio\nfrom streams.fence import Fence\nfrom streams.outbox import Outbox\n"
        "async def main():\n"
        f"    outbox = Outbox({{'bootstrap_servers': {kafka.bootstrap!r}}}, 'none', 1.0, Fence({SESSION_S}))\n"
        f"    await outbox.start()\n    await outbox.send({topic!r}, 0, [(None, b'tick', [])])\n"
        "    await outbox.stop()\nasyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == EXIT_STOPPED, done.stderr
    assert "1 batches were not acknowledged within 1 s (kafka.request_timeout_s)" in done.stderr
    assert read_all(kafka.bootstrap, topic) == []
