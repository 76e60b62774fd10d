"""CloudEvents 1.0, structured (`data` in a JSON object) or in Kafka's binary mode (`ce_*` headers), as a plain event.

`id`, `source`, `type` and `time` are the envelope's where it says them. The other fields are those of `data`; what all
events have (`customer_id`, `test` …) may also be an extension attribute, `customerid`, where `data` does not say it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Raw

from lifestage.aliases import ALIASES, Fields, named, read_fields
from lifestage.invalid import InvalidError, shown

Headers = Sequence[tuple[str, bytes | None]]
"""Headers of a Kafka record."""
Mode = Literal["", "binary", "structured"]

SIGN: Final = b'"specversion"'
"""What the bytes of a structured event hold; a plain one that holds it is parsed once more."""

_VERSION = "specversion"
_OF_ENVELOPE = ("id", "source", "type", "time")
_COMMON = ("customer_id", "anonymous_id", "account_id", "email", "sent_at", "received_at", "test", "bot")
_CAMEL = {name: alias for alias, name in ALIASES.items()}
_EXTENSIONS = {spelling: name for name in _COMMON for spelling in (name, name.replace("_", ""), _CAMEL.get(name, name))}
_TRUTHS = ("true", "false")
_NOTHING = (b"", b"null")
_PLACE = re.compile(r"\$\.(\w+)")


class Opened(NamedTuple):
    """An event out of its envelope."""

    value: bytes
    """The plain event."""
    attributes: dict[str, str]
    """Where the fields stand that the envelope said, or should have: `$.customerid`, `$headers.ce_id`."""
    data: str
    """Where the others stand: `$.data` or `$`."""

    def located(self, message: str) -> str:
        """A message about the plain event, with the place in the envelope."""
        found = _PLACE.match(message)
        if found is None:
            return message
        place = self.attributes.get(found[1], f"{self.data}.{found[1]}")
        return place + message[found.end() :]


def mode(headers: Headers) -> Mode:
    """How the headers of a record say that it is a CloudEvent, if they do."""
    found: Mode = ""
    for name, raw in headers:
        if name == "ce_specversion":
            found = "binary"
        elif name.lower() == "content-type" and (raw or b"").lower().startswith(b"application/cloudevents"):
            return "structured"
    return found


def open_structured(value: bytes, *, announced: bool) -> Opened | None:
    """A JSON object with `specversion` and `data`; without `data` it is a plain event, unless its headers announced it.

    None if it is in no envelope. Raises `InvalidError`, `msgspec.MsgspecError` and `RecursionError`.
    """
    given = read_fields(value)
    if not announced and not _said(given, _VERSION):
        return None
    if not announced and "data" not in given and "data_base64" not in given:
        del given[_VERSION]
        return Opened(msgspec.json.encode(given), {}, "$")
    _check_version(given.get(_VERSION), "$.specversion")
    if _said(given, "data_base64"):
        raise InvalidError("unsupported", "$.data_base64", "JSON in data", "bytes")
    data = bytes(given.get("data", Raw(b"{}"))).strip()
    if data not in _NOTHING and not data.startswith(b"{"):
        raise InvalidError("wrong_type", "$.data", "an object", shown("$.data", msgspec.json.decode(data)))
    return _merged(given, {} if data in _NOTHING else read_fields(data), "$.", "$.data")


def open_binary(value: bytes, headers: Headers) -> Opened:
    """The headers `ce_*` as attributes of the event whose data is `value`. Raises as `open_structured`."""
    attributes = read_attributes(headers)
    _check_version(attributes.get(_VERSION), "$headers.ce_specversion")
    return _merged(attributes, {} if value.strip() in _NOTHING else read_fields(value), "$headers.ce_", "$")


def read_attributes(headers: Headers) -> Fields:
    """The attributes in the headers, as JSON. Raises `InvalidError` for what is not UTF-8."""
    found: Fields = {}
    for name, raw in headers:
        if name.startswith("ce_") and raw is not None:
            try:
                text = raw.decode()
            except UnicodeDecodeError:
                raise InvalidError("unparsable", f"$headers.{_named(name)}", "UTF-8", "other bytes") from None
            is_truth = name in ("ce_test", "ce_bot") and text in _TRUTHS
            found[name.removeprefix("ce_")] = Raw(text.encode() if is_truth else msgspec.json.encode(text))
    return found


def _named(name: str) -> str:
    """A header's name as a message may show it."""
    return name if re.fullmatch(r"[a-z0-9_]{1,40}", name) else "ce_…"


def _check_version(raw: Raw | None, place: str) -> None:
    version = None if raw is None else msgspec.json.decode(raw)
    if version is None:
        raise InvalidError("missing_field", place, "1.0, the version of CloudEvents", "nothing")
    if version != "1.0":
        raise InvalidError("unsupported", place, "1.0, the version of CloudEvents", shown(place, version))


def _merged(given: Fields, data: Fields, prefix: str, at_data: str) -> Opened:
    fields = {name: raw for name, raw in named(data).items() if name != _VERSION}
    places = {name: prefix + name for name in _OF_ENVELOPE if name not in fields or _said(given, name)}
    fields.update((name, given[name]) for name in _OF_ENVELOPE if _said(given, name))
    for spelling, name in _EXTENSIONS.items():
        if _said(given, spelling) and not _said(fields, name):
            fields[name] = given[spelling]
            places[name] = prefix + spelling
    return Opened(msgspec.json.encode(fields), places, at_data)


def _said(fields: Fields, name: str) -> bool:
    return name in fields and bytes(fields[name]) not in _NOTHING
