"""One event from a person's hands to a source topic: `key=value` words or JSON become a record, and it is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_type_hints
from zlib import crc32

import msgspec
from kafka import KafkaAdminClient, KafkaProducer
from kafka import errors as kafka_errors

from config.settings import Settings
from config.wording import meant
from lifestage.facts import TYPES, IdentityMerged, IdentitySplit
from lifestage.keys import MERGES, may_hold_address, with_plain_signs
from streams.connections import reach_kafka

Fields = dict[str, Any]
"""An event's top-level fields; values are JSON-ready, or `msgspec.Raw` where the text as it came is to be kept."""

SOURCE_OF = {
    "web": "visits", "ad": "visits", "social": "visits", "lead": "visits", "trial": "visits", "account": "visits",
    "feature": "visits", "cart": "visits", "checkout": "visits",
    "email": "emails",
    "order": "purchases", "subscription": "purchases",
    "feedback": "feedback", "referral": "feedback", "review": "feedback", "community": "feedback",
    "loyalty": "feedback", "ticket": "feedback",
    "cost": "costs",
    "profile": "identity", "consent": "identity", "identity": "identity", "privacy": "identity",
}  # fmt: skip
"""The source topic (without prefix) of a type, by the word before its dot."""

_JSON_SHAPED = re.compile(r'-?(0|[1-9]\d*)(\.\d+)?|true|false|null|[{\["].*', re.DOTALL)
_OF_IDS = (TYPES[IdentityMerged], TYPES[IdentitySplit])
_FACTS = {name: cls for cls, name in TYPES.items()}


class SendError(ValueError):
    """What was asked for cannot be sent. One line: what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record on its way: `topic` as it is called on the wire, prefix included."""

    topic: str
    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """Where Kafka put it."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


def source_topic(name: str, settings: Settings) -> str | None:
    """The topic on the wire of a source that the settings name, given with or without its prefix; else None."""
    prefix = settings.topics.prefix
    for source in settings.topics.sources:
        if name in (source, prefix + source):
            return prefix + source
    return None


def topic_for(type_: str, settings: Settings) -> str:
    """The source topic, prefix included, that a type belongs to. Raises `SendError` when there is none."""
    source = SOURCE_OF.get(type_.partition(".")[0])
    if source is None:
        raise SendError(f"no topic is known for type {type_!r}{meant(type_, _FACTS)}")
    topic = source_topic(source, settings)
    if topic is None:
        raise SendError(
            f"{type_} belongs to the topic {source}, which topics.sources does not name "
            f"({', '.join(settings.topics.sources)}): add it there, or name a topic first"
        )
    return topic


def fields_of(type_: str, words: Iterable[str]) -> Fields:
    """The fields that `key=value` words give; `context.campaign=spring` goes one level down.

    A value that looks like JSON (a number, true, false, null, [..], {..}, "..") is JSON, written on as it stands;
    anything else is text, and so is every value of a field that is text in this type (`order_id=0042`).
    Raises `SendError` naming the word.
    """
    hints = get_type_hints(_FACTS[type_]) if type_ in _FACTS else {}
    fields: Fields = {"type": type_}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise SendError(f"{word!r} is no field: write name=value")
        *path, last = name.split(".")
        inner = fields
        for step in path:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                raise SendError(f"{word!r}: {step} already has a value of its own")
        if last in inner:
            raise SendError(f"{word!r}: {name} is given twice")
        inner[last] = text if path or _is_text(hints.get(last), name) else _value(word, text)
    return fields


def _is_text(hint: Any, name: str) -> bool:
    return hint in (str, str | None) or name in ("id", "type", "source", "time") or name.endswith("_id")


def _value(word: str, text: str) -> Any:
    if not _JSON_SHAPED.fullmatch(text):
        return text
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise SendError(f"{word!r}: not JSON: {error}") from None
    return msgspec.Raw(text.encode())


def fields_of_json(text: str | bytes) -> Fields:
    """The fields of one JSON object, each value kept as it is written. Raises `SendError`."""
    try:
        return dict(msgspec.json.decode(text, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SendError(f"not a JSON object: {error}") from None


def text_of(fields: Mapping[str, Any], name: str) -> str | None:
    """A field as text: an integer becomes its digits, anything else that is no text is None."""
    value = fields.get(name)
    if isinstance(value, msgspec.Raw):
        value = msgspec.json.decode(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def complete(fields: Fields, now: datetime, new_id: Callable[[], str]) -> Fields:
    """`fields` with `id`, `source` ("shell") and `time` (now, UTC, in ms) filled in where they are missing."""
    stamp = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    missing: dict[str, Callable[[], str]] = {"id": new_id, "source": lambda: "shell", "time": lambda: stamp}
    return {**fields, **{name: make() for name, make in missing.items() if name not in fields}}


def record_of(topic: str, fields: Fields) -> Outgoing:
    """The record: the value is JSON, the key the customer's or visitor's id, never an address.

    An id that is an address, also as it stands in a link, gives a checksum of it, which keeps the order all the same.
    Merges and splits have one key, so that those of one sender come in as they were sent.
    """
    names = ("customer_id", "customerId", "anonymous_id", "anonymousId")
    key = next(filter(None, (text_of(fields, name) for name in names)), None)
    if key is not None and may_hold_address(key):
        key = f"{crc32(with_plain_signs(key).strip().lower().encode()):08x}"
    if text_of(fields, "type") in _OF_IDS:
        key = MERGES
    return Outgoing(topic, key.encode() if key else None, msgspec.json.encode(fields))


def send(settings: Settings, bootstrap: str, records: Iterable[Outgoing]) -> Iterator[Sent]:
    """Send all, and tell for each, in order, where it is once all in-sync replicas have it.

    Up to 1,000 are on their way at a time. Raises `UnreachableError`, or `SendError` for a topic that is not there
    or that may not be written to.
    """
    options = reach_kafka(settings, bootstrap).options
    known = _topics_there(options)
    producer = KafkaProducer(
        acks="all",
        linger_ms=5,
        compression_type="gzip" if settings.kafka.compression == "gzip" else None,
        allow_auto_create_topics=False,
        **options,
    )
    try:
        waiting: list[tuple[str, Any]] = []
        for record in records:
            if record.topic not in known:
                raise SendError(f"topic {record.topic} is not there: `lifestage provision` makes it")
            waiting.append((record.topic, producer.send(record.topic, value=record.value, key=record.key)))
            if len(waiting) >= 1000:
                yield from _acknowledged(waiting, settings)
                waiting = []
        yield from _acknowledged(waiting, settings)
    finally:
        producer.close()


def _topics_there(options: dict[str, Any]) -> set[str]:
    """The topics that may be seen. The producer itself would look for one that is not there for a minute."""
    admin = KafkaAdminClient(**options)
    try:
        return set(admin.list_topics())
    finally:
        admin.close()


def _acknowledged(waiting: list[tuple[str, Any]], settings: Settings) -> Iterator[Sent]:
    for topic, future in waiting:
        try:
            told = future.get(timeout=settings.kafka.request_timeout_s)
        except kafka_errors.KafkaError as error:
            raise SendError(f"topic {topic} did not take the record ({type(error).__name__}: {error})") from error
        yield Sent(told.topic, told.partition, told.offset)
