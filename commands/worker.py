"""`lifestage worker`: one process of the stream processor."""

from __future__ import annotations

import os

import typer

from commands import compiled
from commands.options import ConfigFile, settings_of


def run(config: ConfigFile = None) -> None:
    """Process events until SIGTERM: facts into the log, stage changes out. Start as many as there are cores.

    /metrics, /livez and /readyz are served from the first moment, also during recovery.
    """
    core = compiled.use(os.environ)  # first: what follows imports the core

    import asyncio
    import logging

    from agents.running import run_worker
    from commands.main import VERSION
    from config.checks import require_secret
    from streams.connections import UnreachableError, check_kafka, check_redis
    from streams.endpoint import Endpoint
    from streams.patience import AtIntervals
    from streams.pins import check_pins
    from streams.running import bootstrap_of, default_home, redis_of

    settings = settings_of(config)
    require_secret(settings)
    check_pins()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("lifestage").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(AtIntervals("aiokafka"))  # a broker that is away would be said 100 times a second
    # A commit that takes longer than its interval is no news: the next one follows it.
    logging.getLogger("mode.timers").setLevel(logging.ERROR)
    bootstrap = bootstrap_of(settings)
    redis_url = redis_of(settings) if settings.redis.enabled else None
    data = default_home() / "worker"
    data.mkdir(parents=True, exist_ok=True)

    def say(endpoint: Endpoint) -> None:
        logging.getLogger("lifestage").info("%s", core)
        typer.echo(
            f"worker of group {settings.kafka.group!r} on {bootstrap}; metrics at {endpoint.url}/metrics", err=True
        )

    def check() -> None:
        check_kafka(settings, bootstrap)
        if redis_url is not None:
            try:
                check_redis(settings, redis_url)
            except UnreachableError as error:
                # Stages are computed and announced all the same; the read model is filled once Redis answers.
                logging.getLogger("lifestage").warning("%s", error)

    asyncio.run(run_worker(settings, bootstrap, redis_url, data, VERSION, say, check))
