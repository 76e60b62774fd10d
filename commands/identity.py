"""`lifestage identity`: which ids are one customer, what joining or splitting them would change, and doing it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from commands.customer import always_blocked, blocked_id, names_ids, shown_id, stored_key
from commands.options import ConfigFile, settings_of
from config.errors import OptionError, UserFacingError

if TYPE_CHECKING:
    from commands.progress import Progress
    from config.settings import Settings
    from lifestage.facts import IdentityMerged, IdentitySplit
    from lifestage.preview import Preview
    from streams.kept_reader import KeptReader

WAIT_S = 60.0

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

AnId = Annotated[
    str, typer.Argument(metavar="ID", help="A customer id, an email address, or anon: and an anonymous id.")
]
Json = Annotated[bool, typer.Option("--json", help="Everything, as one JSON document.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Send it, and do not wait until it has been done.")]
Wait = Annotated[
    float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait until it has been done.")
]


@app.callback()
def _root(config: ConfigFile = None) -> None:
    """See which ids are one customer, join customers who are one person, and split ids off again."""


@app.command("show")
def show(key: AnId, *, as_json: Json = False, config: ConfigFile = None) -> None:
    """Show whose an id is: the customer, all ids with where each came from, and what came under each.

    From what the workers keep, as of now. An address is looked up by the hash that stands for it, and not shown.
    """
    from msgspec.json import encode

    from commands.identity_text import person_lines
    from commands.person import person_of

    settings = settings_of(config)
    _check_blocked(settings, [key], kept=True)
    with reading(settings) as reader:
        person = person_of(reader, _chain(reader, settings, key))
    typer.echo(encode(person).decode() if as_json else "\n".join(person_lines(person)))


@app.command("merge")
def merge(
    ids: Annotated[list[str], typer.Argument(metavar="ID ID...", help="Two customers or more, by any of their ids.")],
    *,
    into: Annotated[
        str | None, typer.Option("--into", metavar="ID", help="Who they go on as; else the highest and smallest id.")
    ] = None,
    dry_run: DryRun = False,
    wait: Wait = WAIT_S,
    no_wait: NoWait = False,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Join customers who are one person: their facts are united, each counted once, and judged again.

    An id stands for the customer whose it is. --dry-run shows facts, stages, changes, revenue and KPIs before and
    after, by carrying it out on a copy. `lifestage identity split` takes it back.
    """
    settings = settings_of(config)
    given = [*ids, *([] if into is None else [into])]
    _check_blocked(settings, given, kept=False)
    with reading(settings) as reader:
        chains = [_chain(reader, settings, one) for one in given]
        fact = _merge_of(reader, settings, chains, asked_into=into is not None)
        if dry_run:
            _show(_preview(reader, settings, fact, {chain[-1] for chain in chains}), as_json)
        else:
            _do(reader, settings, fact, None if no_wait else wait, as_json)


@app.command("split")
def split(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids that are a person of their own.")],
    *,
    dry_run: DryRun = False,
    wait: Wait = WAIT_S,
    no_wait: NoWait = False,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Make each id a customer of its own again, with what came under it, whatever it was merged with or linked to.

    Events do not link it to the same customer again; `lifestage identity merge` does.
    """
    from lifestage.facts import IdentitySplit

    settings = settings_of(config)
    _check_blocked(settings, ids, kept=True)
    with reading(settings) as reader:
        chains = [_chain(reader, settings, one) for one in ids]
        for chain in chains:
            if len(chain) == 1:
                raise UserFacingError(_is_root(reader, chain[0]))
        names = tuple(dict.fromkeys(chain[0] for chain in chains))
        fact = IdentitySplit(time=_now(reader, settings), source="shell", id=str(uuid.uuid4()), ids=names)
        if dry_run:
            _show(_preview(reader, settings, fact, {one for chain in chains for one in chain}), as_json)
        else:
            _do(reader, settings, fact, None if no_wait else wait, as_json)


@contextmanager
def reading(settings: Settings) -> Iterator[KeptReader]:
    """What is kept of ids, with progress on stderr while it is looked for."""
    from commands.progress import progress
    from streams.kept_reader import KeptReader
    from streams.rules import rules_of
    from streams.running import bootstrap_of

    with progress() as shown, KeptReader(settings, bootstrap_of(settings), rules_of(settings), _Told(shown)) as reader:
        yield reader


class _Told:
    """Tells a progress how far a reader is."""

    def __init__(self, shown: Progress) -> None:
        self._shown, self._number = shown, -1

    def __call__(self, number: int, at: int, end: int) -> None:
        if number != self._number:
            self._shown.begin(f"looking through partition {number}", end)
            self._number = number
        self._shown.reach(at)


def _check_blocked(settings: Settings, given: list[str], *, kept: bool) -> None:
    """Raise `UserFacingError` for a blocked id; `kept`: but not for one that a company has blocked, with what came before."""
    for one in given:
        if always_blocked(one) or not kept:
            said = blocked_id(settings, one)
            if said is not None:
                raise UserFacingError(said)


def _chain(reader: KeptReader, settings: Settings, given: str) -> tuple[str, ...]:
    """The key of an id, the one that it belongs to, and so on. Raises `UserFacingError` for one that nobody knows."""
    from lifestage.keys import COMPANY, MERGES, ORDER, TICKET

    key = stored_key(settings, given)
    if key.startswith((COMPANY, MERGES, ORDER, TICKET)):
        raise UserFacingError(f"{shown_id(settings, given)} is nobody's id: {names_ids(settings, given)}")
    chain = reader.chain(key)
    blocked = blocked_id(settings, given)
    if blocked and chain:
        typer.echo(f"{blocked}; what is kept of it came before it was blocked", err=True)
    elif blocked:
        raise UserFacingError(blocked)
    if not chain:
        raise UserFacingError(
            f"nothing is known of {shown_id(settings, given)} in {reader.topic}: no event of it has come in yet, "
            f"or it was anonymous and is forgotten; {_meant(reader, settings, given)}"
        )
    return chain


def _meant(reader: KeptReader, settings: Settings, given: str) -> str:
    """What to name in place of an id that is not known: an anonymous id is often given as devices have it."""
    from lifestage.keys import ANONYMOUS, may_hold_address

    if not may_hold_address(given) and ":" not in given and reader.chain(ANONYMOUS + given):
        return f"{ANONYMOUS}{given} is known, if that is who you mean"
    return names_ids(settings, given)


def _is_root(reader: KeptReader, key: str) -> str:
    profile = reader.profile(key)
    kin = None if profile is None else profile.kin
    members = [] if kin is None else sorted(id for id, belongs in kin.members.items() if not belongs.past)
    if not members:
        return f"{key} belongs to nobody else: there is nothing to split"
    return f"{key} belongs to nobody else; what can be split off is what belongs to it: {', '.join(members[:10])}" + (
        ", …" if len(members) > 10 else ""
    )


def _now(reader: KeptReader, settings: Settings) -> int:
    """When it happens: now, or where data moves the log's clock, or it is far behind, as late as the data are."""
    from lifestage.cause import LONG_AGO

    markers, now = [*reader.markers()], int(time.time() * 1000)
    known = max(max(marker.clock, marker.newest) for marker in markers)
    if known > LONG_AGO and (settings.clock.mode == "data" or not any(marker.live for marker in markers)):
        return min(known, now)
    return now


def _merge_of(
    reader: KeptReader, settings: Settings, chains: list[tuple[str, ...]], *, asked_into: bool
) -> IdentityMerged:
    """The merge of whom the ids belong to. Raises `UserFacingError` where they are one, `OptionError` for a wrong --into."""
    from lifestage.facts import IdentityMerged
    from lifestage.keys import class_of

    roots = tuple(dict.fromkeys(chain[-1] for chain in chains))
    into = chains[-1][-1] if asked_into else None
    if len(chains) < 2:
        raise OptionError("one id: name two customers or more, or one and --into another")
    if len(roots) < 2:
        raise UserFacingError(
            f"they are one already: all belong to {roots[0]}; `lifestage identity show` says since when"
        )
    if into is not None and class_of(into) < max(map(class_of, roots)):
        higher = next(root for root in roots if class_of(root) > class_of(into))
        raise OptionError(
            f"--into {into}: {higher} is a higher kind of id (customer id, then address, then anonymous id); "
            f"write --into {higher}"
        )
    for chain in chains:
        if len(chain) > 1:
            typer.echo(f"{chain[0]} belongs to {chain[-1]}, who is meant", err=True)
    return IdentityMerged(time=_now(reader, settings), source="shell", id=str(uuid.uuid4()), ids=roots, into=into)


def _members(reader: KeptReader, key: str) -> Iterator[str]:
    """The names of the ids that belong to a profile."""
    profile = reader.profile(key)
    if profile is not None and profile.kin is not None:
        yield from (name for name, belongs in profile.kin.members.items() if not belongs.past)


def _preview(reader: KeptReader, settings: Settings, fact: IdentityMerged | IdentitySplit, keys: set[str]) -> Preview:
    from lifestage.cause import Clock
    from lifestage.keys import MERGES
    from lifestage.preview import preview
    from lifestage.stays import id_of
    from streams.rules import rules_of

    reader.want([MERGES, *keys])
    # an id that is told to go may be theirs by way of another, as its own record knows
    members = {id_of(name) for key in keys for name in _members(reader, key)}
    reader.want(members)
    keys = keys | {id for id in members if (chain := reader.chain(id)) and chain[-1] in keys}
    kept = [record for key in sorted({MERGES, *keys}) for record in reader.records(key)]
    newest = max(reader.markers(), key=lambda marker: marker.clock)
    return preview(rules_of(settings), kept, fact, Clock(newest.clock, newest.live), settings.kpis.window)


def _show(found: Preview, as_json: bool) -> None:
    from msgspec.json import encode

    from commands.identity_text import preview_lines

    typer.echo(encode(found).decode() if as_json else "\n".join(preview_lines(found)))


def _do(
    reader: KeptReader, settings: Settings, fact: IdentityMerged | IdentitySplit, wait_s: float | None, as_json: bool
) -> None:
    """Send the event, say where it is, and wait until it has been done or refused."""
    from msgspec.json import encode

    from commands.identity_wait import Asked, sent, waited
    from lifestage.keys import MERGES

    reader.want([MERGES, *fact.ids])
    asked = Asked(fact, sent(settings, fact))
    typer.echo(f"sent {asked.told()} to {asked.place}", err=as_json)
    if wait_s is None:
        if as_json:
            typer.echo(encode({"sent": asked.place, "id": fact.id, "done": None}).decode())
        return
    outcome = waited(reader, settings, asked, wait_s)
    if as_json:
        typer.echo(encode({"sent": asked.place, "id": fact.id, "done": outcome.done, "said": outcome.said}).decode())
    else:
        typer.echo("\n".join(outcome.said), err=not outcome.done)
    if not outcome.done:
        raise typer.Exit(1)
