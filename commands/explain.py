"""`lifestage explain`: why a customer is where they are, why not further, and what comes next."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from commands import compiled, offline
from commands.options import ConfigFile, settings_of
from config.errors import UserFacingError

if TYPE_CHECKING:
    from config.settings import Settings
    from lifestage.cause import Rules
    from lifestage.change import Announced
    from lifestage.explain import Explanation
    from lifestage.facts import Fact
    from lifestage.partition import Partition
    from lifestage.refusal import Refusal
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

    from commands.customer import stored_key
    from commands.replay_log import rules_for
    from commands.times import instant
    from lifestage.explain_text import told

    settings = settings_of(config)
    rules = rules_for(settings, plan)
    asked = Asked(customer, stored_key(settings, customer), None if at is None else instant(at))
    if csv is not None and not files:
        raise typer.BadParameter("--csv is for files: name them")
    explained = of_files(settings, rules, asked, files, csv) if files else of_log(settings, rules, asked)
    if as_json:
        from msgspec.json import encode

        typer.echo(encode(explained).decode())
    else:
        typer.echo("\n".join(told(explained)))


class Asked(NamedTuple):
    """Who is asked about, as typed and as key of a profile, and as of when (ms, inclusive)."""

    typed: str
    key: str
    at: int | None

    @property
    def shown(self) -> str:
        """Who is asked about, in quotes: an address is not repeated, the hash that stands for it is."""
        return repr(self.key if "@" in self.typed else self.typed)

    def until(self, facts: Iterable[Fact], where: str, otherwise: int | None) -> int:
        """The instant of the explanation. Raises `UserFacingError` when no fact of the customer is known by then."""
        from lifestage.moments import iso

        first = min((fact.time for fact in facts), default=None)
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
    """Explain from files of any size: only the customer's own facts are kept. Raises `UserFacingError`."""
    from commands.progress import progress
    from lifestage.explain import explain
    from lifestage.keys import key_of
    from streams.files import size_of

    newest: int | None = None
    facts: list[Fact] = []
    rejected = RejectedLines(asked)
    with progress() as shown:
        shown.begin("reading", size_of(files))
        end = 0
        for count, (file, line, row) in enumerate(_rows(settings, files, csv), 1):
            end, decided = end + row.size, row.decided
            if isinstance(decided, tuple):
                rejected.take(f"{file}:{line}", row.value, decided)
            elif decided is not None:
                newest = decided.time if newest is None or decided.time > newest else newest
                if key_of(decided) == asked.key:
                    facts.append(decided)
            if count % REPORT_EVERY == 0:
                shown.reach(end, f"{count:,} events, {len(facts):,} of the customer")
    for said in rejected.told(hint_csv=csv is None and newest is None):
        typer.echo(said, err=True)
    return explain(asked.key, facts, rules, asked.until(facts, ", ".join(files), newest))


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


class Folded(NamedTuple):
    """What the customer's partition of the log holds of them, folded as the worker folds it."""

    partition: Partition
    facts: list[Fact]
    """Those that were accepted."""
    changes: list[Announced]


def of_log(settings: Settings, rules: Rules, asked: Asked) -> Explanation:
    """Explain from the live log, as announced; with `at`, by what is known now of the time up to then."""
    from msgspec.structs import replace

    from lifestage.explain import explain, explain_folded

    folded, place = _fold(settings, rules, asked.key.encode())
    profile = folded.partition.profile(asked.key.encode())
    h = max(folded.partition.clock.time - 1, folded.partition.marker.newest)
    now = h if settings.clock.mode == "data" else max(h, int(time.time() * 1000))
    at = asked.until(folded.facts, place, now)
    if asked.at is not None or profile is None:
        explained = explain(asked.key, folded.facts, rules, at)
    else:
        explained = explain_folded(asked.key, profile, folded.facts, folded.changes, rules, at)
    return replace(explained, outcomes=explained.outcomes | _refused(folded.partition))


def _fold(settings: Settings, rules: Rules, key: bytes) -> tuple[Folded, str]:
    """Read the customer's partition to its end; records of other customers are skipped undecoded."""
    from commands.progress import progress
    from lifestage.partition import Partition
    from streams.doorway import partition_of
    from streams.log_reader import LogReader
    from streams.running import bootstrap_of

    with LogReader(settings, bootstrap_of(settings)) as reader, progress() as shown:
        number = partition_of(key, len(reader.ends))
        reader.check_whole([number])
        folded = Folded(Partition(rules, reader.topic, number), [], [])
        shown.begin(f"reading {reader.topic}[{number}]", reader.ends[number])
        done = 0
        for run in reader.records(number):
            for offset, owner, value in run:
                if owner == key or owner is None:
                    _take(folded, offset, owner, value)
            done += len(run)
            shown.reach(done, f"{len(folded.facts):,} facts of the customer")
    return folded, f"{reader.topic}[{number}]"


def _take(folded: Folded, offset: int, key: bytes | None, value: bytes) -> None:
    """Fold one record of the customer, or a tick; of a fact see whether it was accepted."""
    from msgspec import DecodeError

    from commands.replay_log import foreign
    from lifestage import facts, log

    partition = folded.partition
    try:
        kind = log.header(value).kind
        if key is None and kind != log.TICK:
            return
        folded.changes.extend(partition.fold([(offset, key, value)]))
        profile = partition.dirty.get(key) if key is not None else None
        if kind == log.FACT and profile is not None and profile.applied == offset:
            folded.facts.append(facts.decode(value[log.HEADER_SIZE :]))
    except (log.LogFormatError, DecodeError) as error:
        raise foreign(partition, offset, error) from None


def _refused(partition: Partition) -> dict[str, int]:
    """How many of the customer's events were not accepted, by outcome: nobody else's were folded."""
    found: dict[str, int] = {}
    for types in partition.marker.accounts.values():
        for outcomes in types.values():
            for name in outcomes.keys() - {"accepted"}:
                found[name] = found.get(name, 0) + outcomes[name]
    return found
