"""`lifestage provision`: the topics, as the settings say."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.options import ConfigFile, settings_of


def run(
    config: ConfigFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Create the topics and bring their settings up to date; doing it again does nothing.

    One line a topic. A topic of ours with another number of partitions is refused: that never changes.
    """
    from streams.provision import apply, plan
    from streams.running import as_demo, bootstrap_of

    settings = as_demo(settings_of(config))
    bootstrap = bootstrap_of(settings)
    actions = plan(settings, bootstrap)
    for action in actions:
        typer.echo(str(action))
    todo = sum(action.kind != "keep" for action in actions)
    if dry_run:
        typer.echo(f"{todo} of {len(actions)} topics would change on {bootstrap}; nothing was done")
        return
    apply(settings, bootstrap, actions)
    typer.echo(f"{todo} of {len(actions)} topics changed on {bootstrap}")
