"""`lifestage tick`: the end of a replay, said to the log's clock."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.options import ConfigFile, settings_of
from config.errors import UserFacingError

SHOWN = 3


def run(
    at: Annotated[str, typer.Argument(metavar="TIME", help="The instant, exclusive: timers due before it fire.")],
    *,
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="For workers to read what is in the sources.")
    ] = 30.0,
    config: ConfigFile = None,
) -> None:
    """Move the log's clock to TIME, where data moves it (clock.mode = "data").

    Says that no event before TIME will come, so whoever is silent since is judged up to there. Refused while the
    sources hold events that no worker has read, or the log what none has folded: those would come too late.
    """
    from commands.times import instant
    from streams.backlog import Backlog, write_tick
    from streams.running import bootstrap_of
    from streams.topics import topics_of

    settings = settings_of(config)
    time = instant(at)
    if settings.clock.mode != "data":
        raise UserFacingError(
            f"clock.mode = {settings.clock.mode!r}: there time moves by itself; "
            'a tick is for replays, with clock.mode = "data" here and in the workers (LIFESTAGE_CLOCK_MODE=data)'
        )
    bootstrap = bootstrap_of(settings)
    topics = topics_of(settings)
    with Backlog(settings, bootstrap) as backlog:
        # of the log, too: what is folded in one of its partitions may put an event into another
        left = backlog.wait([*(topic.name for topic in topics.sources), topics.log.name], wait)
        if left:
            unread = [one for one in left if one.topic != topics.log.name]
            what = "events wait unread in the sources" if unread else "records wait in the log"
            left = unread or left
            records = sum(one.end - one.next for one in left)
            some = ", ".join(map(str, left[:SHOWN])) + (", …" if len(left) > SHOWN else "")
            raise UserFacingError(
                f"{records:,} {what} after {wait:g} s ({some}), so nothing was written: "
                f"is a worker of group {settings.kafka.group!r} running? --wait SECONDS waits longer"
            )
    partitions = write_tick(settings, bootstrap, time)
    typer.echo(f"tick {at} written to {partitions} partitions of {topics.log.name}")
