"""Calendar months in UTC, numbered from year 0, so that months can be counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lifestage.moments import MAX_MS

LAST = 9999 * 12 + 11
"""The last month that can be written."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def month_of(ms: int) -> int:
    """The month of an instant."""
    day = _EPOCH + timedelta(milliseconds=ms)
    return day.year * 12 + day.month - 1


def end_of(month: int) -> int:
    """The last instant of a month, ms."""
    if month >= LAST:
        return MAX_MS
    following = datetime((month + 1) // 12, (month + 1) % 12 + 1, 1, tzinfo=UTC)
    return (following - _EPOCH) // timedelta(milliseconds=1) - 1


def name_of(month: int) -> str:
    """A month as `2024-02`."""
    return f"{month // 12:04}-{month % 12 + 1:02}"
