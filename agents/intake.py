"""Intake: source records become facts in the log, or dead letters. It keeps no state."""

from __future__ import annotations

from typing import Any

from streams.batches import BatchMessage
from streams.forwarding import Forwarder
from streams.stop import fail_stop


def define_intake(app: Any, sources: Any, forwarder: Forwarder) -> None:
    """The agent on all source topics: decode, refuse with a place or choose the key, merge by event time, send on."""

    @app.agent(sources, name="intake")
    async def intake(runs: Any) -> None:
        try:
            async for run in runs:
                assert isinstance(run, BatchMessage)
                forwarder.put(run)
        except Exception as error:  # noqa: BLE001  # an agent that dies would go on without the record
            fail_stop("intake failed", error)
