"""`lifestage contract`: what may come in and what goes out, as JSON Schemas and as AsyncAPI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.options import ConfigFile, settings_of
from config.errors import OptionError


def run(
    what: Annotated[
        str | None,
        typer.Argument(metavar="[WHAT]", help="asyncapi, schemas (all in one object), or a type such as web.visit."),
    ] = None,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FOLDER", help="Write asyncapi.json, events/ and changes/ there.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", metavar="FOLDER", help="Compare with what --output once wrote there.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Print the contract: the AsyncAPI document of this deployment, all JSON Schemas, or that of one type.

    With --against: every difference from an earlier contract, one a line, and exit code 1 if one breaks senders or consumers.
    """
    for option, given in (("--output", output), ("--against", against)):
        if given is not None and what is not None:
            raise OptionError(f"{option} is for the whole contract: leave out {what!r}")
    if against is not None and output is not None:
        raise OptionError("--against compares, --output writes: give one of them")
    if against is not None:
        _compare(against)
        return
    from commands.main import VERSION
    from streams.contract_files import contract, write

    settings = settings_of(config)
    if output is not None:
        files = contract(settings, VERSION)
        write(files, output)
        typer.echo(f"{len(files)} files in {output}")
        return
    typer.echo(_text(what or "asyncapi", contract(settings, VERSION)), nl=False)


def _text(what: str, files: dict[str, str]) -> str:
    """The document that `what` names."""
    from json import loads

    from config.wording import meant
    from streams.contract_files import text

    if what == "asyncapi":
        return files["asyncapi.json"]
    types = {Path(name).stem: content for name, content in files.items() if "/" in name}
    if what == "schemas":
        return text({name: loads(content) for name, content in types.items()})
    if what not in types:
        raise OptionError(f"no contract {what!r}{meant(what, ['asyncapi', 'schemas', *types])}")
    return types[what]


def _compare(folder: Path) -> None:
    from streams.contract_files import compared

    found = compared(folder)
    for difference in found:
        typer.echo(str(difference))
    breaking = sum(difference.breaking for difference in found)
    typer.echo(f"{len(found)} differences from {folder}, {breaking} of them breaking", err=True)
    if breaking:
        raise typer.Exit(1)
