"""Puts the records of our topics into words: a line for a person, or JSON for a program."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from config.settings import Settings
from config.wording import meant
from lifestage import facts, log, messages
from lifestage.keys import key_of, may_hold_address, quotes_address
from lifestage.moments import iso
from streams import dead_letters
from streams.following import FollowError, Record
from streams.topics import topics_of

Carries = Literal["events", "log", "changes", "dead letters"]
BY_EMAIL = "(by email)"
"""In place of who is named by an address."""


@dataclass(frozen=True, slots=True)
class Told:
    """A record in words. `when` is RFC 3339, `who` a key or id and never an address, `what` the rest of the line."""

    when: str
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.when:<24}  {self.who:<12}  {self.what}".rstrip()


def topic_called(name: str, settings: Settings) -> tuple[str, Carries]:
    """The topic on the wire that a person means, with or without the prefix, and what it carries.

    Raises `FollowError` with the nearest name.
    """
    topics = topics_of(settings)
    known: dict[str, Carries] = {topic.name: "events" for topic in topics.sources}
    known |= {topics.changes.name: "changes", topics.stages.name: "changes"}
    known |= {topics.log.name: "log", topics.dead_letters.name: "dead letters"}
    for wire in (name, settings.topics.prefix + name):
        if wire in known:
            return wire, known[wire]
    raise FollowError(f"no topic {name!r} of this deployment{meant(name, known)}")


def origins_of(settings: Settings, ids: Mapping[str, str] = MappingProxyType({})) -> dict[int, str]:
    """The names behind the codes by which log records name the topic that they come from; `ids` are what Kafka calls them."""
    topics = topics_of(settings)
    names = [topic.name for topic in (*topics.sources, topics.log)]
    return {log.topic_code(name, ids.get(name, "")): name for name in names}


def tell(record: Record, carries: Carries, origins: Mapping[int, str] = MappingProxyType({})) -> Told:
    """A record in words. One that cannot be read is told as such; nothing is raised.

    `origins` (of `origins_of`) gives the log's origins their names.
    """
    try:
        return _tell_log(record, origins) if carries == "log" else _TELL[carries](record)
    except (ValueError, TypeError, KeyError, RecursionError, msgspec.MsgspecError) as error:
        size = len(record.value or b"")
        return Told(iso(record.timestamp), _key(record), f"unreadable, {size} bytes at {_place(record)}: {error}")


def document(record: Record, carries: Carries, **more: str | None) -> bytes:
    """A record as one line of JSON: its place, time, key and headers, `more`, and its value as JSON, text or base64."""
    return msgspec.json.encode(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": iso(record.timestamp),
            "key": _text(record.key),
            "headers": {name: _text(value) for name, value in record.headers.items()},
            **more,
            "value": _log_value(record) if carries == "log" else _value(record.value),
        }
    )


def _value(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _text(value)
    return msgspec.Raw(value.strip().replace(b"\n", b" ").replace(b"\r", b" "))


def _text(value: bytes | None) -> str | dict[str, str] | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


def _key(record: Record) -> str:
    """The key of a record; one of a source may be an address."""
    key = (record.key or b"-").decode(errors="replace")
    return BY_EMAIL if may_hold_address(key) else key


def _place(record: Record) -> str:
    return f"{record.topic}[{record.partition}]@{record.offset}"


def _tell_event(record: Record) -> Told:
    event = msgspec.json.decode(record.value or b"")
    if not isinstance(event, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - a wrong value, told like every other
    inner = event.get("data")
    fields = {**inner, **event} if isinstance(inner, dict) else event

    def field(*names: str) -> str | None:
        found = (fields.get(name) for name in names)
        return next((str(value) for value in found if value not in (None, "")), record.header(f"ce_{names[0]}"))

    # An address is nobody's business in a terminal that others may see; --json shows the event as it came.
    who = field("customer_id", "customerId", "anonymous_id", "anonymousId") or (BY_EMAIL if "email" in fields else "-")
    if may_hold_address(who):
        who = BY_EMAIL
    when, kind, id = (_without_address(field(name)) for name in ("time", "type", "id"))
    return Told(when or iso(record.timestamp), who, f"{kind or '?'}  {id or '?'}  {_place(record)}")


def _without_address(text: str | None) -> str | None:
    """What an event says of itself, unless it quotes an address."""
    return "(with an address)" if text is not None and quotes_address(text) else text


def _tell_change(record: Record) -> Told:
    if record.value is None:
        return Told(iso(record.timestamp), _key(record), "gone")
    change = msgspec.json.decode(record.value)
    when = record.header("ce_time") or change["entered_at"]
    move = f"{change['previous_stage'] or '-'} -> {change['stage'] or '-'}"
    return Told(when, change["customer_id"], f"{move:<26}  {change['kind']}")


def _tell_log(record: Record, origins: Mapping[int, str]) -> Told:
    value = record.value or b""
    header = log.header(value)
    source = origins.get(header.topic, f"topic {header.topic}")
    origin = "" if header.topic == log.NO_TOPIC else f"  from {source}[{header.partition}]@{header.offset}"
    if header.kind == log.TICK:
        tick = log.tick(value)
        return Told(iso(tick.time), "-", f"tick, {'live' if tick.live else 'backfill'}")
    if header.kind == log.REFUSED:
        refused = log.refused(value)
        reason = f" ({refused.reason})" if refused.reason else ""
        return Told(iso(record.timestamp), "-", f"{refused.outcome}{reason}  {refused.type}{origin}")
    if header.kind != log.FACT:
        return Told(iso(record.timestamp), _key(record), f"{_tell_message(value)}{origin}")
    fact = facts.decode(memoryview(value)[log.HEADER_SIZE :])
    return Told(iso(fact.time), key_of(fact) or _key(record), f"{facts.type_of(fact)}  {fact.id}{origin}")


def _tell_message(value: bytes) -> str:
    """What the owner of one id tells the owner of another; one of a newer release is a message of some kind."""
    try:
        message = messages.decode_message(memoryview(value)[log.HEADER_SIZE :])
    except msgspec.MsgspecError:
        return "message"
    if isinstance(message, messages.Link):
        return f"{'merge' if message.merge else 'link'} to {message.target}"
    if isinstance(message, messages.Unite | messages.Restore):
        word = "unite with" if isinstance(message, messages.Unite) else "have back"
        return f"{word} {', '.join(member.key for member in message.members)}"
    if isinstance(message, messages.Forwarded):
        fact = facts.decode(message.fact)
        return f"forwarded from {message.via}: {facts.type_of(fact)}  {fact.id}"
    alias = getattr(message, "alias", None)
    return type(message).__name__.lower() + (f" {alias}" if alias else "")


def _log_value(record: Record) -> Any:
    value = record.value or b""
    try:
        header = log.header(value)
        content: Any = None
        if header.kind == log.FACT:
            fact = facts.decode(memoryview(value)[log.HEADER_SIZE :])
            content = {"type": facts.type_of(fact), **msgspec.structs.asdict(fact)}
        elif header.kind == log.MESSAGE:
            content = {"message": _tell_message(value)}
        elif header.kind in (log.TICK, log.REFUSED):
            content = msgspec.structs.asdict(log.tick(value) if header.kind == log.TICK else log.refused(value))
    except (ValueError, msgspec.MsgspecError):
        return _text(value)
    return {"header": header._asdict(), "content": content}


def _tell_dead_letter(record: Record) -> Told:
    mark = dead_letters.mark(record.headers, record.value)
    if mark is not None:
        words = "redriven" if mark.sent else "about to be redriven"
        places = ", ".join(f"[{record.partition}]@{one.offset}" for one in mark.letters[:3])
        return Told(
            iso(record.timestamp), "-", f"{len(mark.letters)} {words}: {places}{' …' * (len(mark.letters) > 3)}"
        )
    why = dead_letters.why(record.headers)
    return Told(
        iso(record.timestamp), _key(record), f"{why.reason}  {why.topic}[{why.partition}]@{why.offset}  {why.message}"
    )


_TELL: dict[Carries, Callable[[Record], Told]] = {
    "events": _tell_event,
    "changes": _tell_change,
    "dead letters": _tell_dead_letter,
}
