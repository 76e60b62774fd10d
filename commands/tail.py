"""`lifestage tail`: what goes through a topic, as it happens."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.options import ConfigFile, settings_of


def run(
    topic: Annotated[
        str, typer.Argument(help="stage-changes, customer-stages, dead-letters, customer-events, a source.")
    ],
    *,
    customer: Annotated[str | None, typer.Option("--customer", metavar="ID", help="Only this customer.")] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="All that is kept, then what comes.")
    ] = False,
    count: Annotated[int | None, typer.Option("--count", min=1, metavar="N", help="End after N lines.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Each record whole, one line of JSON each.")] = False,
    config: ConfigFile = None,
) -> None:
    """Follow a topic until Ctrl-C: one line a record with its time, whom it is about, and what happened.

    In the order of each customer; two customers may come in any order.
    """
    from streams.following import FollowError, follow
    from streams.provision import topic_ids
    from streams.running import bootstrap_of
    from streams.telling import document, origins_of, tell, topic_called

    settings = settings_of(config)
    shown = 0
    try:
        wire, carries = topic_called(topic, settings)
        origins = origins_of(settings, topic_ids(settings, bootstrap_of(settings)) if carries == "log" else {})
        for record in follow(settings, bootstrap_of(settings), wire, from_beginning=from_beginning):
            told = tell(record, carries, origins)
            if customer is not None and told.who != customer:
                continue
            typer.echo(document(record, carries) if as_json else str(told))
            shown += 1
            if shown == count:
                return
    except FollowError as error:
        typer.echo(f"lifestage: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        return
