"""What is queued while Kafka is away comes in its order once it is there, and holds no stop for ever."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streams.embedded.kafka import KafkaServer, start_kafka_server
from streams.outbox import Outbox, OutRecord, acknowledged
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


def waits_for_another_try(outbox: Outbox) -> bool:
    """Whether a batch that was on its way is the newest in its queue."""
    queues: Any = outbox._producer._message_accumulator._batches
    return any(queue[-1].retry_count for queue in queues.values())


async def test_what_joins_a_queued_batch_comes_once_and_in_order(tmp_path: Path) -> None:
    """Records join the batch that waits, and none that was on its way: Kafka is killed, and that one is sent again."""
    numbered: list[OutRecord] = [(None, b"%d" % n, []) for n in range(60)]
    with start_kafka_server(tmp_path, say=print, heap_mb=256, keep_data=True) as server:
        create_topic(server.bootstrap, "joined")
        outbox = Outbox({"bootstrap_servers": server.bootstrap, "retry_backoff_ms": 20}, "none", 60)
        await outbox.start(["joined"])
        try:
            await acknowledged(await outbox.send("joined", 0, numbered[:1]), "the first")
            server.kill()
            futures = await outbox.send("joined", 0, numbered[1:2])
            async with asyncio.timeout(30):
                while not waits_for_another_try(outbox):  # noqa: ASYNC110 - nobody tells of it
                    await asyncio.sleep(0)
            for at in range(2, 60):
                async with asyncio.timeout(10):  # nobody waits for a request to be answered
                    futures += await outbox.send("joined", 0, numbered[at : at + 1], join=True)
                await asyncio.sleep(0.01)
            await asyncio.to_thread(server.start_again)
            async with asyncio.timeout(40):
                placed = await acknowledged(futures, "the others")
        finally:
            await outbox.stop()
        assert [record.value for record in read_all(server.bootstrap, "joined")] == [value for _, value, _ in numbered]
    assert 1 < len({one.offset for one in placed}) < 30, "some joined, and not all"
