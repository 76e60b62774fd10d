"""`lifestage send`: events from the shell into a source topic."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import ConfigFile, settings_of

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.outgoing import Fields, Outgoing


def run(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TOPIC] [TYPE] [NAME=VALUE]...", help="An event as words; - reads lines of JSON from stdin."
        ),
    ] = None,
    *,
    json: Annotated[str | None, typer.Option("--json", metavar="EVENT", help="The event as JSON; - for stdin.")] = None,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Send also what would be rejected.")] = False,
    config: ConfigFile = None,
) -> None:
    """Put events in: `lifestage send order.completed customer_id=ann order_id=o1 total=40 currency=EUR`.

    id, source and time are filled in where they are missing; the topic follows from the type unless it is named first.
    Prints where each event is: topic[partition]@offset. An event that would be rejected is not sent: exit code 1.
    """
    from streams.outgoing import SendError, send
    from streams.running import bootstrap_of

    settings = settings_of(config)
    bootstrap = bootstrap_of(settings)
    try:
        events = Events(settings, words or [], json, check=not unchecked)
        for sent in send(settings, bootstrap, events):
            typer.echo(str(sent))
    except SendError as error:
        _refuse(str(error))
        raise typer.Exit(1) from None
    if events.refused:
        raise typer.Exit(1)


class Events:
    """The events that a person gave, as records; those that would be rejected are told on stderr and counted."""

    def __init__(self, settings: Settings, words: list[str], json: str | None, *, check: bool) -> None:
        """Read `words`: an optional topic, then a type and fields, or `-`. Raises `SendError`."""
        from streams.outgoing import SendError, source_topic

        self._settings = settings
        self._topic = source_topic(words[0], settings) if words else None
        self._words = words[1:] if self._topic else words
        self._json = json
        if self._words == ["-"]:
            self._words, self._json = [], "-"
        if self._json is not None and self._words:
            raise SendError(f"{self._words[0]!r}: give an event as words or as JSON, not both{self._hint()}")
        if self._json is None and (not self._words or "=" in self._words[0]):
            raise SendError("no type of event: write for example `lifestage send order.completed customer_id=ann …`")
        self._check = _checker(settings) if check else None
        self.refused = 0

    def _hint(self) -> str:
        return f" (topics.sources: {', '.join(self._settings.topics.sources)})"

    def __iter__(self) -> Iterator[Outgoing]:
        from streams.outgoing import SendError, fields_of, fields_of_json

        if self._json is None:
            yield from self._record(fields_of(self._words[0], self._words[1:]), "")
        elif self._json != "-":
            yield from self._record(fields_of_json(self._json), "")
        else:
            for number, line in enumerate(sys.stdin.buffer, 1):
                if not line.strip():
                    continue
                try:
                    fields = fields_of_json(line)
                    yield from self._record(fields, f"line {number}: ")
                except SendError as error:
                    self._refuse(f"line {number}: {error}")

    def _record(self, fields: Fields, place: str) -> Iterator[Outgoing]:
        from streams.outgoing import SendError, complete, record_of, text_of, topic_for

        type_ = text_of(fields, "type")
        if self._topic is None and type_ is None:
            raise SendError("the event has no type, so no topic follows from it: add a type, or name a topic first")
        fields = complete(fields, datetime.now(UTC), lambda: str(uuid.uuid4()))
        record = record_of(self._topic or topic_for(str(type_), self._settings), fields)
        problem = self._check(record.value) if self._check else None
        if problem is None:
            yield record
        else:
            self._refuse(f"{place}{problem}; --unchecked sends it all the same")

    def _refuse(self, message: str) -> None:
        self.refused += 1
        _refuse(message)


def _refuse(message: str) -> None:
    typer.echo(f"lifestage: {message}", err=True)


def _checker(settings: Settings) -> Callable[[bytes], str | None]:
    """What says why an event would be rejected now, or None when it would be accepted or, as a test event, left out."""
    from lifestage.refusal import Refusal
    from streams.doorway import decoder_of

    decoder = decoder_of(settings)

    def check(value: bytes) -> str | None:
        found = decoder.decode(value, int(datetime.now(UTC).timestamp() * 1000))
        if isinstance(found, Refusal) and found.outcome == "rejected":
            return f"not sent, it would be rejected ({found.reason}): {found.message}"
        return None

    return check
