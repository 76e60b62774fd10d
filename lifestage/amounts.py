"""Money fields of the wire: a decimal string, or a number that is read as the text it is, or an integer `…_minor`."""

from __future__ import annotations

from typing import Final

from msgspec import Raw, json

from lifestage import money
from lifestage.invalid import InvalidError, shown

ABSENT: Final = Raw()
"""Default of a money field that is not there."""

_QUOTE: Final = b'"'
_NUMBER_BEGINS: Final = frozenset("-0123456789")


def digits_of(currency: str, place: str = "$.currency") -> int:
    """Digits after the point of an ISO 4217 code. Raises `InvalidError`."""
    digits = money.DIGITS.get(currency)
    if digits is None:
        raise InvalidError("bad_money", place, "an ISO 4217 code such as EUR", shown(place, currency))
    return digits


def amount(place: str, given: Raw, given_minor: int | None, digits: int) -> int | None:
    """Minor units of a field that is there as `given`, as `given_minor`, or not at all. Raises `InvalidError`."""
    raw = bytes(given)
    if not raw or raw == b"null":
        return given_minor
    text = raw[1:-1].decode() if raw.startswith(_QUOTE) else raw.decode()
    if raw[0] != _QUOTE[0] and text[0] not in _NUMBER_BEGINS:
        raise InvalidError("wrong_type", place, "a decimal string or a number", shown(place, json.decode(raw)))
    try:
        minor = money.minor(text, digits)
    except ValueError as error:
        raise InvalidError("bad_money", place, str(error), _shown(place, text)) from None
    if given_minor is not None and given_minor != minor:
        raise InvalidError("bad_money", place, f"the same as {place}_minor, {given_minor}", _shown(place, text))
    return minor


def amount_beside(place: str, given: Raw, given_minor: int | None, currency: str | None) -> int | None:
    """As `amount`, in a currency that may be absent only where the amount is. Raises `InvalidError`."""
    if currency is not None:
        return amount(place, given, given_minor, digits_of(currency))
    if given_minor is not None or bytes(given) not in (b"", b"null"):
        raise InvalidError("missing_field", "$.currency", f"the currency of {place.removeprefix('$.')}", "nothing")
    return None


def required(minor: int | None, place: str) -> int:
    """`minor`, unless it is not there. Raises `InvalidError`."""
    if minor is None:
        raise InvalidError("missing_field", place, "an amount", "nothing")
    return minor


def _shown(place: str, text: str) -> str:
    """A number stands there as it was sent: `1e308` is not written out, `1.10` keeps its zero."""
    return text if money.is_number(text) and len(text) <= 40 else shown(place, text)
