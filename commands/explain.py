"""`lifestage explain`: why a customer is where they are, why not further, and what comes next."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from commands import compiled, offline
from commands.options import ConfigFile, settings_of
from config.errors import UserFacingError

if TYPE_CHECKING:
    from config.settings import Settings
    from lifestage.cause import Rules
    from lifestage.explain import Explanation
    from lifestage.facts import Fact
    from lifestage.refusal import Refusal
    from streams.offline_person import Found
    from streams.offline_read import Row

REPORT_EVERY = 2_000
SHOWN_REJECTED = 3


def run(
    customer: Annotated[
        str, typer.Argument(metavar="CUSTOMER", help="A customer id, an email address, or anon: and an anonymous id.")
    ],
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Events as JSON, one a line; - for stdin. Without: the live log."),
    ] = None,
    *,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="As of then, inclusive; RFC 3339.", show_default=False)
    ] = None,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="PLAN", help="A plan file or shipped plan; else lifecycle.plan.")
    ] = None,
    csv: offline.Csv = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    config: ConfigFile = None,
) -> None:
    """Show why a customer is in their stage, what each higher stage still needs, and what time alone will bring.

    From the events in FILE..., as of the newest of them, or from the live log, as of now. One clear line and exit code
    1 when nothing is known of the customer.
    """
    compiled.use(os.environ)  # first: what follows imports the core

    from commands.customer import always_blocked, blocked_id, stored_key
    from commands.explain_log import of_log
    from commands.replay_log import rules_for
    from commands.times import instant
    from lifestage.explain_text import told

    settings = settings_of(config)
    rules = rules_for(settings, plan)
    blocked = blocked_id(settings, customer)
    asked = Asked(customer, stored_key(settings, customer), None if at is None else instant(at), blocked)
    if csv is not None and not files:
        raise typer.BadParameter("--csv is for files: name them")
    if blocked and not files and always_blocked(customer):
        raise UserFacingError(blocked)
    explained = of_files(settings, rules, asked, files, csv) if files else of_log(settings, rules, asked)
    if as_json:
        from msgspec.json import encode

        typer.echo(encode(explained).decode())
    else:
        typer.echo("\n".join(told(explained)))


class Asked(NamedTuple):
    """Who is asked about, as typed and as key of a profile, as of when (ms, inclusive), and why that is nobody, if so."""

    typed: str
    key: str
    at: int | None
    blocked: str | None = None

    @property
    def shown(self) -> str:
        """Who is asked about, in quotes: an address is not repeated, the hash that stands for it is."""
        from lifestage.keys import may_hold_address

        return repr(self.key if may_hold_address(self.typed) else self.typed)

    def until(self, facts: Iterable[Fact], where: str, otherwise: int | None) -> int:
        """The instant of the explanation. Raises `UserFacingError` when no fact of the customer is known by then."""
        from lifestage.moments import iso

        first = min((fact.time for fact in facts), default=None)
        if first is None and self.blocked:
            raise UserFacingError(self.blocked)
        if first is None:
            raise UserFacingError(f"no events of customer {self.shown} in {where}")
        if self.at is not None and first > self.at:
            raise UserFacingError(
                f"no events of customer {self.shown} up to {iso(self.at)} in {where}: the first is of {iso(first)}"
            )
        at = otherwise if self.at is None else self.at
        assert at is not None, "where there is a fact there is a newest one"
        return at


def of_files(
    settings: Settings, rules: Rules, asked: Asked, files: Sequence[str], csv: str | None = None
) -> Explanation:
    """Explain from files of any size: what comes under any of the customer's ids. Raises `UserFacingError`."""
    from commands.progress import progress
    from streams.files import size_of
    from streams.offline_person import Searching

    newest: int | None = None
    later: list[Fact] = []
    rejected = RejectedLines(asked)
    with progress() as shown, Searching(link=rules.link) as searching:
        shown.begin("reading", size_of(files))
        end = 0
        for count, (file, line, row) in enumerate(_rows(settings, files, csv), 1):
            end, decided = end + row.size, row.decided
            if isinstance(decided, tuple):
                rejected.take(f"{file}:{line}", row.value, decided)
            elif decided is not None:
                newest = decided.time if newest is None or decided.time > newest else newest
                if asked.at is None or decided.time <= asked.at:
                    searching.add(decided)
                elif asked.key in ids_of(decided):
                    later.append(decided)
            if count % REPORT_EVERY == 0:
                shown.reach(end, f"{count:,} events")
        found = searching.find(asked.key)
    for said in rejected.told(hint_csv=csv is None and newest is None):
        typer.echo(said, err=True)
    return explained_of(asked, found, rules, asked.until(found.facts or later, ", ".join(files), newest))


def ids_of(fact: Fact) -> tuple[str | None, ...]:
    """The keys of all ids of a fact."""
    from lifestage.keys import key_of, lower_ids

    return (key_of(fact), *lower_ids(fact))


def explained_of(asked: Asked, found: Found, rules: Rules, at: int) -> Explanation:
    """Explain a person of whom all facts up to `at` (ms, inclusive) are known."""
    from msgspec.structs import replace

    from lifestage.explain import MemberSeen, explain
    from lifestage.moments import iso

    members = tuple(MemberSeen(one.id, iso(one.since), one.past) for one in found.members)
    since = None if found.since is None else iso(found.since)
    return replace(
        explain(found.root, found.facts, rules, at, found.silences),
        members=members,
        asked=None if found.root == asked.key else MemberSeen(asked.key, since),
    )


class RejectedLines:
    """Lines that are no events, so that nobody takes what was not read for what never happened."""

    def __init__(self, asked: Asked) -> None:
        self._shown = asked.shown
        self._needle = asked.typed.strip().removeprefix("anon:").lower().encode()
        self._count = self._naming = 0
        self._first: list[str] = []

    def take(self, place: str, value: bytes, refusal: Refusal) -> None:
        """Count one line at a place, if it was rejected."""
        if refusal.outcome != "rejected":
            return
        self._count += 1
        self._naming += self._needle in value.lower()
        if len(self._first) < SHOWN_REJECTED:
            self._first.append(f"{place}: {refusal.reason}: {refusal.message}")

    def told(self, *, hint_csv: bool) -> Iterator[str]:
        """What a person reads of them, in lines; `hint_csv`: nothing at all was read, and no mapping was named."""
        if not self._count:
            return
        naming = f", {self._naming:,} of them with {self._shown} in them" if self._naming else ""
        yield f"{self._count:,} rejected{naming}:"
        yield from (f"  {line}" for line in self._first)
        if self._count > len(self._first):
            more = self._count - len(self._first)
            yield f"  and {more:,} more; `lifestage replay FILE... --rejected REJECTED` keeps them all"
        if hint_csv:
            yield "nothing was read; of files of CSV name the mapping: --csv MAPPING"


def _rows(settings: Settings, files: Sequence[str], csv: str | None) -> Iterator[tuple[str, int, Row]]:
    """All lines, or rows, of all files: the file as it is shown, the number of the line, the row."""
    from streams.doorway import decoder_of
    from streams.files import pieces
    from streams.offline_csv import csv_rows
    from streams.offline_mapping import mapping_of
    from streams.offline_read import line_rows

    decoder, mapping = decoder_of(settings), mapping_of(csv) if csv is not None else None
    given, base, last = 0, 0, 0
    for piece in pieces(files, whole=mapping is not None):
        # the lines of a piece count from 1, those of a file go on
        given, base, last = piece.given, base + last if piece.given == given else 0, 0
        for row in csv_rows(piece, mapping, decoder) if mapping is not None else line_rows(piece, decoder):
            last = row.number
            yield piece.name, base + last, row
