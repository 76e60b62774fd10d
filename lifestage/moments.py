"""Instants: integer milliseconds UTC inside, RFC 3339 with `Z` on the wire.

A leap second (`23:59:60`) is the instant that follows it, as in POSIX time; digits below the millisecond are cut off.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from lifestage.invalid import InvalidError, shown

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
MAX_MS: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z, the last instant that can be written. The first is 0, 1970-01-01T00:00:00Z."""

EXPECTED: Final = "an RFC 3339 time with a zone, such as 2024-02-29T12:00:00Z"

# From here on a number is milliseconds: as seconds it would be the year 5138, as milliseconds it is 1973.
_EPOCH_IS_MS: Final = 100_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_HERE: Final = _EPOCH.replace(tzinfo=None)  # writes itself without +00:00
_convert: Final = msgspec.convert

# The position of the seventh digit of a fraction. msgspec rounds there, which can carry into the next day.
_SURPLUS: Final = 26
_SURPLUS_DIGITS: Final = re.compile(r"(\.[0-9]{6})[0-9]+")
_LEAP_SECOND: Final = re.compile(r"(.{11}[0-9]{2}:[0-9]{2}:)60(.*)", re.DOTALL)


def parse(text: str) -> int:
    """The instant that `text` names, in ms; below 0 before 1970. ValueError says what was expected."""
    day = _begins.get(text[:11])
    if day is not None:
        # most texts are of one form and of days that were read before: a third of what the way for all forms takes
        minute, second, rest = _IN_DAY.get(text[11:17]), _IN_MINUTE.get(text[17:19]), _IN_SECOND.get(text[19:])
        if minute is not None and second is not None and rest is not None:
            return day + minute + second + rest
    ms = _parse(text)
    if day is None and text[10] == "T":
        if len(_begins) >= _DATES_MAX:
            _begins.clear()
        _begins[text[:11]] = _parse(f"{text[:11]}00:00:00Z")
    return ms


def _parse(text: str) -> int:
    if len(text) > _SURPLUS and text[_SURPLUS].isdigit():
        text = _SURPLUS_DIGITS.sub(r"\1", text, count=1)
    try:
        moment = _convert(text, datetime)
    except msgspec.ValidationError:
        return _leap_second(text)
    if moment.tzinfo is None:
        raise ValueError(f"expected {EXPECTED}: the zone is missing")
    since = moment - _EPOCH
    return since.days * DAY_MS + since.seconds * SECOND_MS + since.microseconds // 1000


def _leap_second(text: str) -> int:
    found = _LEAP_SECOND.fullmatch(text)
    if found:
        last = _parse(f"{found[1]}59{found[2]}")
        if last % DAY_MS >= DAY_MS - SECOND_MS:
            return last + SECOND_MS
    raise ValueError(f"expected {EXPECTED}")


def of_epoch(number: float) -> int:
    """The instant of a Unix time in seconds, or in milliseconds from 1e11 on, as ms. Halves round to even."""
    if abs(number) >= _EPOCH_IS_MS:
        return number if type(number) is int else round(number)
    return round(number * 1000)


def instant(place: str, given: str | float) -> int:
    """The instant that a field says as text or as a Unix time, within the years 1970 to 9999. Raises `InvalidError`."""
    if isinstance(given, str):
        try:
            time = parse(given)
        except ValueError as error:
            expected = str(error).removeprefix("expected ")
            raise InvalidError("wrong_type", place, expected, shown(place, given)) from None
    else:
        time = of_epoch(given)
    if not 0 <= time <= MAX_MS:
        check_range(place, time, shown(place, given))
    return time


def optional(place: str, given: str | float | None) -> int | None:
    """As `instant`; None where nothing was said."""
    return None if given is None else instant(place, given)


def check_range(place: str, time: int, got: str = "") -> None:
    """Raises `InvalidError` unless `time` (ms) can be written."""
    if not 0 <= time <= MAX_MS:
        raise InvalidError("out_of_range", place, "an instant in the years 1970 to 9999", got)


def iso(ms: int) -> str:
    """RFC 3339 in UTC, with milliseconds only where they are not zero. ValueError beyond the years 1 to 9999."""
    # `divmod` makes a pair of objects each time, which took a third of it
    day = ms // DAY_MS
    rest = ms - day * DAY_MS
    date = _dates.get(day)
    if date is None:
        date = _date(day, ms)
    minutes = rest // MINUTE_MS
    rest -= minutes * MINUTE_MS
    seconds = rest // SECOND_MS
    milliseconds = rest - seconds * SECOND_MS
    if milliseconds:
        return f"{date}{_MINUTES[minutes]}{_TWO[seconds]}{_FRACTIONS[milliseconds]}"
    return f"{date}{_MINUTES[minutes]}{_TWO[seconds]}Z"


# Looked up, since a format with a width costs five times as much, and a change names about eight instants.
_MINUTES: Final = tuple(f"{minute // 60:02}:{minute % 60:02}:" for minute in range(1440))
_TWO: Final = tuple(f"{number:02}" for number in range(60))
_FRACTIONS: Final = tuple(f".{number:03}Z" for number in range(1000))
_IN_DAY: Final = {text: at * MINUTE_MS for at, text in enumerate(_MINUTES)}
_IN_MINUTE: Final = {text: at * SECOND_MS for at, text in enumerate(_TWO)}
_IN_SECOND: Final = {"Z": 0} | {text: at for at, text in enumerate(_FRACTIONS)}

_DATES_MAX: Final = 20_000
"""54 years of days; a change names about eight instants, and a date from here costs a fifth of one that is computed."""
_dates: Final[dict[int, str]] = {}
_begins: Final[dict[str, int]] = {}
"""By the first eleven characters of a text the instant at which their day begins."""


def _date(day: int, ms: int) -> str:
    try:
        text = (_EPOCH_HERE + timedelta(days=day)).isoformat()[:11]
    except OverflowError:
        raise ValueError(f"expected ms within the years 1 to 9999, got {ms}") from None
    if len(_dates) >= _DATES_MAX:
        _dates.clear()
    _dates[day] = text
    return text
