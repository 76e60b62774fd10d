"""`lifestage status`: one screen of what waits and where customers stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from commands.options import ConfigFile, settings_of

if TYPE_CHECKING:
    from config.settings import Settings

RECENT = 10


def run(config: ConfigFile = None) -> None:
    """Show how many records wait in each topic, customers by stage and the newest changes."""
    from streams.backlog import Backlog
    from streams.running import bootstrap_of
    from streams.topics import topics_of

    settings = settings_of(config)
    bootstrap = bootstrap_of(settings)
    topics = topics_of(settings)
    typer.echo(f"Kafka {bootstrap}, group {settings.kafka.group}")
    with Backlog(settings, bootstrap) as backlog:
        for topic in (*topics.sources, topics.log):
            records = sum(one.end - one.next for one in backlog.waiting([topic.name]))
            typer.echo(f"  {topic.name:<24}{records:>10,} waiting")
    if settings.redis.enabled:
        _from_redis(settings)


def _from_redis(settings: Settings) -> None:
    from config.wording import redacted
    from streams.connections import check_redis, redis_client
    from streams.read_store import customers_per_stage, recent_changes
    from streams.running import redis_of

    url = redis_of(settings)
    check_redis(settings, url)
    with redis_client(settings, url) as client:
        stages = customers_per_stage(client, settings.redis.prefix)
        changes = recent_changes(client, settings.redis.prefix, RECENT)
    typer.echo(f"Redis {redacted('redis', 'url', url)}, prefix {settings.redis.prefix}")
    for stage, count in sorted(stages.items(), key=lambda pair: (-pair[1], pair[0])):
        if count:
            typer.echo(f"  {stage:<24}{count:>10,} customers")
    typer.echo(f"  newest changes{'' if changes else ': none'}")
    for change in (announced["data"] for announced in changes):
        move = f"{change['previous_stage'] or '-'} -> {change['stage'] or '-'}"
        typer.echo(f"    {change['entered_at']}  {change['customer_id']:<12}  {move}")
