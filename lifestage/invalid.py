"""What an event says that cannot be, and how much of it a message may repeat."""

from __future__ import annotations

import json
from typing import Final

from lifestage.keys import may_hold_address

SHOWN_MAX: Final = 40

_PRIVATE = frozenset({"email", "recipient"})


class InvalidError(ValueError):
    """An event that parses but says what cannot be: `place: expected expected, got got`.

    `reason` is one of `lifestage.decode.REASONS`; `got` has gone through `shown`, or is empty.
    """

    def __init__(self, reason: str, place: str, expected: str, got: str = "") -> None:
        super().__init__(f"{place}: expected {expected}")
        self.reason, self.place, self.expected, self.got = reason, place, expected, got


def shown(place: str, given: object) -> str:
    """A JSON value as a message may show it: printable, at most 40 characters of it, and no email address."""
    if given is None or isinstance(given, bool | int | float):
        return _cut(json.dumps(given))
    if not isinstance(given, str):
        return "an array" if isinstance(given, list) else "an object"
    if place.rpartition(".")[2] in _PRIVATE or may_hold_address(given):
        return "a text that is not shown"
    start = given[:SHOWN_MAX]
    quoted = _cut(json.dumps(start, ensure_ascii=not start.isprintable()))
    return quoted if start == given else f"{quoted}…"


def _cut(text: str) -> str:
    """Escapes and long numbers count too; 2 for the quotes."""
    return text if len(text) <= SHOWN_MAX + 2 else f"{text[:SHOWN_MAX]}…"
