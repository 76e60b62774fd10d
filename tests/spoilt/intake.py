"""A worker that sends nothing until it is told to, and writes down how much it holds; or one that lacks a guard.

    python -m tests.spoilt.intake ARM WORDS worker …

Nothing goes into the log until the file ARM exists. The most bytes that it has held stand in ARM.held. WORDS, with commas:
`unbounded` takes the bound away, `forgetful` the memory of events that were seen.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from commands.main import main
from lifestage import step
from streams import forwarding
from streams.batches import BatchMessage
from streams.forwarding import Forwarder

HELD_BYTES = 16 << 20
"""The bound here: an eighth of the worker's, so that little is enough to go beyond it."""
STEP = 1 << 20
"""The peak is written down each time it has risen by so much."""


def unbounded() -> None:
    """A source partition is fetched however many bytes of it are held."""
    forwarding.HELD_BYTES = 1 << 60


def forgetful() -> None:
    """An event that comes again is taken for another."""
    step.has_seen = lambda *_: False  # type: ignore[attr-defined]


def waiting(arm: Path) -> None:
    """Send when `arm` is there, and write down the peak."""
    send_round, put = Forwarder._send_round, Forwarder.put
    peak = 0

    async def late(self: Forwarder, patient: bool) -> bool:
        if arm.exists():  # noqa: ASYNC240 - a look at a local file, in a test
            return await send_round(self, patient)
        await asyncio.sleep(0.05)
        return False

    def counted(self: Forwarder, batch: BatchMessage) -> None:
        nonlocal peak
        put(self, batch)
        if self.held.total > peak + STEP:
            peak = self.held.total
            arm.with_suffix(".held").write_text(f"{peak} {len(self.consumer.full) if self.consumer else 0}")

    Forwarder._send_round, Forwarder.put = late, counted  # type: ignore[method-assign]


if __name__ == "__main__":
    waiting(Path(sys.argv[1]))
    forwarding.HELD_BYTES = HELD_BYTES
    for word in filter(None, sys.argv[2].split(",")):
        {"unbounded": unbounded, "forgetful": forgetful}[word]()
    sys.argv[1:] = sys.argv[3:]
    main()
