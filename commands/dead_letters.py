"""`lifestage dead-letters`: what was rejected, one of them closely, and back to where it came from."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.options import ConfigFile, settings_of
from commands.times import instant
from config.errors import OptionError, UserFacingError

if TYPE_CHECKING:
    from commands.progress import Progress
    from config.settings import Settings
    from streams.letters import Letter, LetterReader, Marks, Wanted
    from streams.redriving import Plan, Told

NEWEST = 20

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

Reason = Annotated[str | None, typer.Option("--reason", metavar="REASON", help="Only this reason, such as bad_money.")]
Source = Annotated[str | None, typer.Option("--source", metavar="TOPIC", help="Only what came in by this source.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Only what was put aside since: RFC 3339, or a date.")
]


@app.callback()
def _root(config: ConfigFile = None) -> None:
    """See what was rejected and why, and send it back once the cause is mended."""


@app.command("list")
def list_(
    *,
    reason: Reason = None,
    source: Source = None,
    since: Since = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help=f"Show the newest N, else {NEWEST}.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show all, oldest first in each partition.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON each; the counts go to stderr.")] = False,
    config: ConfigFile = None,
) -> None:
    """List rejected events.

    The newest comes last: when, why, where it is, where it came in; then how many there are by reason. Each event once, also where a restart has put it aside twice. Values may hold personal data: they are in
    --json and in `show`, not in the list.
    """
    from commands.progress import progress
    from streams.letters import LetterReader, Scan
    from streams.running import bootstrap_of

    if everything and limit is not None:
        raise OptionError("--all shows all and --limit the newest: give one of the two")
    settings = settings_of(config)
    wanted = wanted_of(settings, reason, source, since)
    reasons = Counter[str]()
    newest: list[tuple[int, int, Letter]] = []
    with LetterReader(settings, bootstrap_of(settings)) as reader:
        scan = Scan(reader, wanted)
        with progress() as shown:
            for number, letter in enumerate(_shown(scan.letters(), reader, shown)):
                reasons[letter.why.reason] += 1
                # partitions are read one after the other, so a later one may hold older letters
                heappush(newest, (letter.timestamp, number, letter))
                if everything or len(newest) > (limit or NEWEST):
                    heappop(newest)
        # only after the last it is known what was redriven: all are read twice, rather than held
        letters = Scan(reader, wanted).letters() if everything else (letter for _, _, letter in sorted(newest))
        for letter in letters:
            typer.echo(_document(letter, scan.marks) if as_json else _line(letter, scan.marks))
        foreign = reader.foreign
    typer.echo(_counts(reasons, len(scan.seen & scan.marks.sent.keys()), scan.repeats, foreign), err=as_json)


def wanted_of(settings: Settings, reason: str | None, source: str | None, since: str | None) -> Wanted:
    """What the options ask for. Raises `OptionError` for a reason or source that there is not."""
    from config.wording import meant
    from lifestage.refusal import REASONS
    from streams.letters import Wanted
    from streams.outgoing import source_topic

    if reason is not None and reason not in REASONS:
        raise OptionError(f"--reason {reason!r}: no reason of a rejection{meant(reason, sorted(REASONS - {'test'}))}")
    topic = None
    if source is not None:
        topic = source_topic(source, settings)
        if topic is None:
            raise OptionError(f"--source {source!r}: no source{meant(source, settings.topics.sources)}")
    return Wanted(reason, topic, None if since is None else instant(since))


def _shown(letters: Iterator[Letter], reader: LetterReader, shown: Progress) -> Iterator[Letter]:
    total = sum(reader.ends.values()) - sum(reader.begins.values())
    shown.begin("reading dead letters", total)
    for done, letter in enumerate(letters, 1):
        shown.reach(min(done, total), f"{done:,} letters")
        yield letter


def _line(letter: Letter, marks: Marks) -> str:
    from lifestage.moments import iso
    from streams.letter_text import visible

    became = f"  [redriven to {marks.sent[letter.identity]}]" if letter.identity in marks.sent else ""
    again = f"  [redriven before: {visible(letter.again)}]" if letter.again else ""
    return (
        f"{iso(letter.timestamp):<24}  {letter.why.reason:<16}  {letter.place}  from {letter.source}  "
        f"{visible(letter.why.message)}{became}{again}"
    )


def _document(letter: Letter, marks: Marks) -> bytes:
    from streams.following import Record
    from streams.telling import document

    place = letter.place
    record = Record(
        place.topic, place.partition, place.offset, letter.timestamp, letter.key, letter.value, dict(letter.headers)
    )
    went = marks.sent.get(letter.identity)
    return document(record, "dead letters", redriven=None if went is None else str(went))


def _counts(reasons: Counter[str], redriven: int, repeats: int, foreign: int) -> str:
    total = sum(reasons.values())
    said = [f"{total:,} rejected event{'' if total == 1 else 's'}"]
    if redriven:
        said.append(f"{redriven:,} redriven")
    if repeats:
        said.append(f"{repeats:,} repeats after restarts left out")
    if foreign:
        said.append(f"{foreign:,} records that are no dead letters")
    return "\n".join([", ".join(said), *(f"  {name:<20}{count:>9,}" for name, count in reasons.most_common())])


@app.command("show")
def show(
    place: Annotated[
        str, typer.Argument(metavar="LETTER", help="Its place as `list` shows it, or 3:17; or a source's.")
    ],
    *,
    raw: Annotated[bool, typer.Option("--raw", help="The bytes of the value alone, as they came.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The letter as one line of JSON.")] = False,
    config: ConfigFile = None,
) -> None:
    """Show one rejected event.

    Why, where it came in, its headers, and its value with the place of the mistake marked. A value that is no text is shown in hex. LETTER may be the event's place in its source, `purchases[1]@5`.
    """
    from streams.letter_text import told
    from streams.running import bootstrap_of

    settings = settings_of(config)
    letter, marks = _letter_at(settings, bootstrap_of(settings), place)
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
        return
    if as_json:
        typer.echo(_document(letter, marks))
        return
    went = marks.sent.get(letter.identity)
    for line in told(letter, f"to {went}" if went else ""):
        typer.echo(line)


def _letter_at(settings: Settings, bootstrap: str, word: str) -> tuple[Letter, Marks]:
    from streams.letters import LetterReader, Scan, Wanted, place_of

    place = place_of(word, settings)
    with LetterReader(settings, bootstrap) as reader:
        begins = reader.begins
        if place.topic == reader.topic:
            end = reader.ends.get(place.partition, 0)
            begin = begins.get(place.partition, 0)
            if not begin <= place.offset < end:
                kept = f"kept are offsets {begin} to {end - 1}" if end > begin else "there are none in that partition"
                raise UserFacingError(f"{place}: no such dead letter; {kept} ({_partitions(reader)})")
            begins = {place.partition: place.offset}
        scan = Scan(reader, Wanted(places=frozenset((place,))), begins=begins)
        found = next(iter(list(scan.letters())), None)
    if found is None:
        what = "a mark of redriven letters, or no record of ours" if place.topic == reader.topic else "not put aside"
        raise UserFacingError(f"{place}: {what}; `lifestage dead-letters list` shows what there is")
    return found, scan.marks


def _partitions(reader: LetterReader) -> str:
    return f"{reader.topic} has partitions 0 to {max(reader.ends)}"


@dataclass(frozen=True, slots=True)
class Ask:
    """How a redrive is asked for."""

    dry_run: bool
    unchecked: bool
    yes: bool
    named: bool
    """Letters were named one by one, so nobody need be asked."""


@app.command("redrive")
def redrive(
    places: Annotated[list[str] | None, typer.Argument(metavar="LETTER", help="Places as `list` shows them.")] = None,
    *,
    reason: Reason = None,
    source: Source = None,
    since: Since = None,
    everything: Annotated[bool, typer.Option("--all", help="All that there are.")] = False,
    fix: Annotated[
        list[str] | None,
        typer.Option("--fix", metavar="NAME=VALUE", help="Set a field of each event; may be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Send also what would be rejected again.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Send also what was redriven before.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = None,
) -> None:
    """Send rejected events back to where they came from.

    The same bytes, key and headers go to the same source. Name letters, or choose by --reason, --source, --since or --all. What would be rejected again by the settings in
    force is left, and said; what was redriven before is left. Prints where each event is: letter -> topic[partition]@offset.
    """
    from streams.letters import place_of
    from streams.running import bootstrap_of

    settings = settings_of(config)
    wanted: Wanted = wanted_of(settings, reason, source, since)
    wanted.places = frozenset(place_of(word, settings) for word in places or ())
    if not (wanted.places or reason or source or since or everything):
        raise OptionError("which letters? name some as `list` shows them, or give --reason, --source, --since or --all")
    if wanted.places and everything:
        raise OptionError("--all chooses all and LETTER some: give one of the two")
    _check_fixes(fix or [])
    ask = Ask(dry_run, unchecked, yes, named=bool(wanted.places))
    if _redrive(settings, bootstrap_of(settings), wanted, ask, (fix or [], again)):
        raise typer.Exit(1)


def _redrive(settings: Settings, bootstrap: str, wanted: Wanted, ask: Ask, how: tuple[list[str], bool]) -> int:
    """Choose, ask, send and tell. Returns how many of the letters chosen were left."""
    from commands.progress import progress
    from streams.letters import LetterReader, Scan
    from streams.redriving import Redriver

    with Redriver(settings, bootstrap) as redriver, LetterReader(settings, bootstrap) as reader:
        chosen: dict[int, set[int]] = {}
        reasons = Counter[str]()
        scan = Scan(reader, wanted)
        with progress() as shown:
            for letter in _shown(scan.letters(), reader, shown):
                chosen.setdefault(letter.place.partition, set()).add(letter.place.offset)
                reasons[letter.why.reason] += 1
        if not reasons:
            raise UserFacingError("no such dead letter; `lifestage dead-letters list --all` shows what there is")
        plan = _plan(settings, scan.marks, ask, how)
        letters = reader.chosen(chosen)
        if ask.dry_run:
            return _tell(_would(letters, plan), "would go to", sum(reasons.values()))
        if not (ask.yes or ask.named):
            _confirm(reasons)
        return _tell(redriver.send(letters, plan), "->", sum(reasons.values()))


def _check_fixes(words: list[str]) -> None:
    """Raises `OptionError` for a word of --fix that is no field."""
    from streams.outgoing import SendError, fields_of

    try:
        fields_of("", [word for word in words if not word.startswith("type=")])
    except SendError as error:
        raise OptionError(f"--fix {error}") from None


def _plan(settings: Settings, marks: Marks, ask: Ask, how: tuple[list[str], bool]) -> Plan:
    from streams.doorway import decoder_of
    from streams.redriving import Fix, Plan, checker
    from streams.topics import topics_of

    fix, again = how
    return Plan(
        marks,
        Fix(tuple(fix)),
        None if ask.unchecked else checker(decoder_of(settings)),
        again,
        frozenset(topic.name for topic in topics_of(settings).sources),
    )


def _would(letters: Iterator[Letter], plan: Plan) -> Iterator[Told]:
    from streams.redriving import Told

    for letter in letters:
        prepared = plan.prepared(letter)
        yield Told(letter, left=prepared) if isinstance(prepared, str) else Told(letter, at=letter.source)


def _confirm(reasons: Counter[str]) -> None:
    if not sys.stdin.isatty():
        raise OptionError("nobody can be asked here: give --yes, after a look at what --dry-run says")
    typer.echo(_counts(reasons, 0, 0, 0), err=True)
    typer.confirm("Send these back?", abort=True, err=True)


def _tell(done: Iterator[Told], arrow: str, total: int) -> int:
    """A line for each letter, and how many; returns how many were left."""
    from commands.progress import progress
    from streams.letter_text import visible

    sent, left = 0, Counter[bool]()
    with progress() as shown:
        shown.begin("redriving", total)
        for told in done:
            if told.at is None:
                left[told.before] += 1
                typer.echo(f"{told.letter.place} left: {visible(told.left)}")
            else:
                sent += 1
                place: Any = f"{told.at.topic}[{told.at.partition}]" if arrow != "->" else told.at
                typer.echo(f"{told.letter.place} {arrow} {place}")
            shown.reach(sent + left.total())
    said = [f"{sent:,} {'sent' if arrow == '->' else 'would be sent'}"]
    if left[True]:
        said.append(f"{left[True]:,} left that were redriven before")
    if left[False]:
        said.append(f"{left[False]:,} left for the reason given")
    typer.echo(", ".join(said), err=True)
    return left[False]
