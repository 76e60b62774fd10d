"""A worker whose broker never answers at one step of the recovery: what the end of a hanging worker is tested with.

python -m tests.spoilt.recovery worker …
"""

from __future__ import annotations

import asyncio

from commands.main import main
from streams.batches import BatchConsumer


async def never(_: BatchConsumer) -> None:
    """Where reading goes on is asked for, and no answer comes."""
    await asyncio.sleep(3600)


if __name__ == "__main__":
    BatchConsumer.perform_seek = never  # type: ignore[assignment, method-assign]
    main()
