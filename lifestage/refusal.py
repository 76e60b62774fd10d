"""Refusals: why a source record became no fact, in words that name the place. Nothing here is on the hot path.

A message shows at most 40 characters of a value and never an email address: it ends in logs and dead letters.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, get_args

import msgspec

from lifestage import events, wire
from lifestage.invalid import InvalidError, shown
from lifestage.keys import quotes_address

REASONS: Final = frozenset({
    "unparsable", "registry_encoded", "wrong_type", "missing_field", "out_of_range", "bad_id", "bad_money", "no_identity",
    "unknown_type", "unsupported", "future_timestamp", "too_large", "too_deep", "test",
})  # fmt: skip
"""Every reason a refusal can have; a closed list, so that it can be a label."""

UNKNOWN: Final = "unknown"

# Larger values are not read again for their source and type: 1 MiB takes 1 ms, and brokers allow more.
_HEAD_MAX_BYTES = 1 << 20
_REGISTRY_MAGIC = b"\0"
_MISSING: Final = object()

_AT = re.compile(r" - at `(\$[^`]*)`$")
_STEP = re.compile(r"\.(\w+)|\[([0-9]+)\]")
_ABSENT = re.compile(r"Object missing required field `(\w+)`")
_LIMIT = re.compile(r"Expected `(\w+)` (of length )?(>=|<=) ([0-9.e+-]+)")
_KIND = re.compile(r"Expected `([^`]+)`(?:, got `(\w+)`)?")
_WORDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
_CHOICES = {
    "page_type": get_args(wire.PageType),
    "event": get_args(wire.Happening),
    "channel": get_args(wire.Channel),
    "status": get_args(wire.Status),
    "kind": get_args(wire.SocialKind),
    "metric": get_args(wire.Metric),
    "by": get_args(wire.Actor),
    "category": get_args(wire.CostCategory),
}
_FIRST_TYPES = "web.visit, email.event or order.completed"
_SOME_TYPE = f"a type of the contract, such as {_FIRST_TYPES}"


class Refusal(NamedTuple):
    """A source record that became no fact. `source` and `type` are `unknown` where they could not be read, or may not be told."""

    outcome: str
    """`rejected`, or `suppressed` when nothing is wrong with it."""
    reason: str
    """One of `REASONS`."""
    message: str
    """`$.total: expected a decimal ≥ 0, got "abc"`."""
    source: str
    type: str
    """One of the types of the contract, or `unknown`: never another text that a sender chose."""


class _Head(msgspec.Struct):
    source: Any = None
    type: Any = None


_read_head = msgspec.json.Decoder(_Head).decode


def refuse(value: bytes, error: Exception, head: bytes | None = None) -> Refusal:
    """The refusal of `value`, which failed with `error`: ours (`InvalidError`), msgspec's or one of UTF-8.

    `head` is where source and type stand, if that is not `value`.
    """
    source, type_ = _head(value if head is None else head)
    if isinstance(error, InvalidError):
        reason, place, expected, got = error.reason, error.place, error.expected, error.got
    elif isinstance(error, msgspec.ValidationError):
        reason, place, expected, got = _explain(value, str(error))
    else:
        reason, place, expected, got = _unparsable(value, error)
    message = f"{place}: expected {expected}" + (f", got {got}" if got else "")
    return Refusal("rejected", reason, message, source, type_)


def _head(value: bytes) -> tuple[str, str]:
    if len(value) > _HEAD_MAX_BYTES:
        return UNKNOWN, UNKNOWN
    try:
        head = _read_head(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return UNKNOWN, UNKNOWN
    named = isinstance(head.source, str) and 0 < len(head.source) <= wire.NAME_MAX and head.source.isprintable()
    named = named and not quotes_address(head.source)
    typed = isinstance(head.type, str) and (head.type in events.KINDS or head.type in events.UNSUPPORTED)
    return head.source if named else UNKNOWN, head.type if typed else UNKNOWN


def _explain(value: bytes, text: str) -> tuple[str, str, str, str]:
    """Reason, place, what was expected and what was there, from msgspec's words."""
    found = _AT.search(text)
    place = found[1] if found else "$"
    given = _given(value, place)
    got = "" if given is _MISSING else shown(place, given)
    if place == "$.type":
        return _of_type(given, got)
    if absent := _ABSENT.search(text):
        return "missing_field", f"{place}.{absent[1]}", "a value", "nothing"
    if limit := _LIMIT.search(text):
        bound = f"{'≥' if limit[3] == '>=' else '≤'} {limit[4].removesuffix('.0')}"
        return "out_of_range", place, f"{_WORDS.get(limit[1], limit[1])} {limit[2] or ''}{bound}", got
    if text.startswith("Invalid enum value"):
        choices = _CHOICES.get(place.rpartition(".")[2], ("the words of the contract",))
        return "out_of_range", place, f"one of {', '.join(choices)}", got
    if kind := _KIND.search(text):
        expected = " or ".join(_WORDS.get(name, name) for name in kind[1].split(" | ") if name != "null")
        return "wrong_type", place, expected or "nothing", got or _WORDS.get(kind[2] or "", "")
    return "out_of_range", place, "a number of ordinary size", got


def _of_type(given: object, got: str) -> tuple[str, str, str, str]:
    if not isinstance(given, str):
        return "wrong_type", "$.type", _SOME_TYPE, got
    if given in events.UNSUPPORTED:
        return "unsupported", "$.type", f"a type that this version reads, such as {_FIRST_TYPES}", got
    if given in events.KINDS:
        return "unparsable", "$.type", "one type in an event", "several"
    theme = given.partition(".")[0] + "."
    near = ", ".join(kind for kind in events.KINDS if kind.startswith(theme))
    return "unknown_type", "$.type", f"one of {near}" if near else _SOME_TYPE, got


def _given(value: bytes, place: str) -> object:
    """What stands at `place`; `_MISSING` where that cannot be told, as where a number is too large to be read."""
    try:
        found = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _MISSING
    for name, index in _STEP.findall(place):
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and index and int(index) < len(found):
            found = found[int(index)]
        else:
            return _MISSING
    return found


def _unparsable(value: bytes, error: Exception) -> tuple[str, str, str, str]:
    if value.startswith(_REGISTRY_MAGIC):
        return "registry_encoded", "$", "plain JSON", "a record of a schema registry (its first byte is 0)"
    if isinstance(error, RecursionError):
        return "too_deep", "$", "JSON that is not nested as deeply as this", ""
    if isinstance(error, UnicodeDecodeError):
        return "unparsable", "$", "UTF-8", f"other bytes (at byte {error.start})"
    if not value.strip():
        return "unparsable", "$", "a JSON object", "an empty value"
    if value.startswith(b"\xef\xbb\xbf"):
        return "unparsable", "$", "a JSON object", "a byte order mark before it"
    words = str(error).removeprefix("JSON is malformed: ")
    if "truncated" in words:
        words = "a text that ends too early, or half a surrogate pair"
    return "unparsable", "$", "JSON", words
