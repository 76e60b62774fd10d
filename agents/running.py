"""One worker process from its first metric to its last commit."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from agents.app import Worker
from config.settings import Settings
from streams.endpoint import Endpoint
from streams.engine import announce, crashed
from streams.stop import fail_stop

logger = logging.getLogger("lifestage")

BEAT_S = 1.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def readiness(worker: Worker) -> tuple[bool, str]:
    """Whether events are being processed, and if not, why."""
    recovering, done, total = worker.view.recovery()
    if not recovering:
        rebuilding = worker.rebuilds.readiness()
        return not rebuilding, rebuilding
    return False, f"recovering {100 * done // total} %" if total > done else "joining the group, or about to go on"


async def run_worker(
    settings: Settings,
    bootstrap: str,
    redis_url: str | None,
    data: Path,
    version: str,
    started: Callable[[Endpoint], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Run a worker until SIGTERM or SIGINT, then drain, commit and leave. `data` is a directory for Faust's own files.

    The metrics endpoint answers before anything else is tried; `started` is told where it is. `check` may then refuse
    what cannot be used by raising, from a thread.
    """
    # Nothing on the way makes cycles: the collector's defaults (700 allocations) had it walk every young object 50 times a
    # second, for a sixth of the worker's time, in recovery as in folding. Ten times as many allocations would be no less work
    # in all, and pauses of up to 48 ms, seen in a flood of new visitors, instead of a tenth of that.
    gc.set_threshold(20_000, 200, 100)
    worker = Worker(settings, bootstrap, redis_url, data, version)
    endpoint = Endpoint(
        settings.metrics.host, settings.metrics.port, worker.metrics.registry(), lambda: readiness(worker)
    )
    announce(worker.app, endpoint.host, endpoint.port)
    endpoint.start()
    started(endpoint)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        # Not by the loop, which on closing restores what kills at once: who is asked twice must end as who is asked once.
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    beating = asyncio.create_task(_beat(endpoint))
    try:
        await asyncio.to_thread(check)
        await worker.start()
        worker.attach(worker.app.consumer)
        await worker.app.start()
        ending = asyncio.create_task(stop.wait())
        crashing = asyncio.create_task(crashed(worker.app))
        await asyncio.wait([ending, crashing], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            fail_stop("a service of the worker crashed", worker.app.crash_reason)
        crashing.cancel()
        logger.info("stopping: finishing what was taken")
        await worker.app.stop()
        await worker.stop()
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        beating.cancel()
        endpoint.stop()


async def _beat(endpoint: Endpoint) -> None:
    while True:
        endpoint.beat()
        await asyncio.sleep(BEAT_S)
