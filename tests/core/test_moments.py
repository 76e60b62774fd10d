"""Instants: RFC 3339 and Unix times to ms, and back."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lifestage import moments


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("2024-02-29T00:00:00.125Z", 1_709_164_800_125),
        ("2024-02-29T01:00:00+01:00", 1_709_164_800_000),
        ("2024-02-28T18:30:00.5-05:30", 1_709_164_800_500),
        ("2024-02-29t00:00:00z", 1_709_164_800_000),
        ("2024-02-29 00:00:00Z", 1_709_164_800_000),
        ("2024-02-29T00:00:00.1239999999Z", 1_709_164_800_123),
        ("2024-12-31T23:59:59.999999999Z", 1_735_689_599_999),
        ("2024-02-29T01:00:00.1239999999+01:00", 1_709_164_800_123),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("2017-01-01T00:59:60.250+01:00", 1_483_228_800_250),
        ("1969-12-31T23:59:59Z", -1_000),
        ("9999-12-31T23:59:59.999Z", moments.MAX_MS),
    ],
)
def test_a_time_with_a_zone_is_an_instant(text: str, ms: int) -> None:
    """Zones, fractions and leap seconds all become ms UTC; digits below the millisecond are cut off, never rounded."""
    assert moments.parse(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2024-02-29", "2024-02-29T12:00Z", "2024-02-30T00:00:00Z", "2023-02-29T00:00:00Z",
        "2024-02-29T24:00:00Z", "2024-02-29T12:00:60Z", "2024-02-29T00:00:00+24:00", "20240229T000000Z",
        "2024-W09-4T00:00:00Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "1709164800", "2024-02-29T00:00:00.Z",
        " 2024-02-29T00:00:00Z", "２024-02-29T00:00:00Z", "2024-02-29T00:00:00ZZ", "2024-02-29T00:00:00,5Z",
    ],
)  # fmt: skip
def test_any_other_text_is_refused_with_an_example(text: str) -> None:
    """What is not RFC 3339 raises, and the message shows how a time should look."""
    with pytest.raises(ValueError, match="such as 2024-02-29T12:00:00Z"):
        moments.parse(text)


def test_a_time_without_a_zone_is_refused_as_such() -> None:
    """A local time is not guessed to be UTC."""
    with pytest.raises(ValueError, match="the zone is missing"):
        moments.parse("2024-02-29T12:00:00")


@given(st.integers(0, moments.MAX_MS))
@example(moments.MAX_MS)
def test_an_instant_survives_the_wire(ms: int) -> None:
    """What is written is read as the same instant, over all years that can be written."""
    assert moments.parse(moments.iso(ms)) == ms


@st.composite
def nearly(draw: st.DrawFn) -> str:
    """A text of the usual form, in which one character may be another, or a piece may be missing or come twice."""
    text = moments.iso(draw(st.integers(0, 3)) * moments.DAY_MS + draw(st.integers(0, moments.DAY_MS)))
    at, until = draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))
    return draw(
        st.sampled_from([text, text[:at] + text[until:]])
        | st.sampled_from("0156:.TtZz+- \u0661").map(lambda sign: text[:at] + sign + text[at + 1 :])
    )


@given(nearly())
@example("1970-01-02T24:00:00Z")
@example("1970-01-02T23:59:60Z")
@example("1970-01-02 10:00:00Z")
@example("1970-01-02T10:00:00.1234567Z")
def test_a_text_of_a_day_that_was_read_before_is_read_alike(text: str) -> None:
    """The short way for the usual form gives what the way for all forms gives, or refuses what that refuses."""
    for day in range(5):
        moments.parse(moments.iso(day * moments.DAY_MS))
    try:
        wanted = moments._parse(text)
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            moments.parse(text)
    else:
        assert moments.parse(text) == wanted


@given(st.integers(0, moments.MAX_MS - 1))
def test_written_instants_of_equal_form_sort_as_text(ms: int) -> None:
    """A later instant never sorts before an earlier one once both carry milliseconds."""

    def full(instant: int) -> str:
        text = moments.iso(instant)
        return text if "." in text else text.replace("Z", ".000Z")

    assert full(ms) < full(ms + 1)


@given(st.text(max_size=40))
def test_parsing_a_text_gives_an_instant_or_a_value_error(text: str) -> None:
    """No text makes `parse` fail in another way, and nothing but a time passes."""
    with contextlib.suppress(ValueError):
        assert moments.parse(text) <= moments.MAX_MS + moments.DAY_MS
        assert text[:4].isdecimal()


def test_milliseconds_are_written_only_where_there_are_some() -> None:
    """A whole second is written without a fraction."""
    assert moments.iso(1_709_164_800_000) == "2024-02-29T00:00:00Z"
    assert moments.iso(1_709_164_800_125) == "2024-02-29T00:00:00.125Z"
    assert moments.iso(1_709_164_800_001) == "2024-02-29T00:00:00.001Z"


@pytest.mark.parametrize("ms", [10**15, -(10**15), 10**30])
def test_an_instant_beyond_the_calendar_is_refused(ms: int) -> None:
    """Years outside 1 to 9999 cannot be written."""
    with pytest.raises(ValueError, match=str(ms)):
        moments.iso(ms)


@pytest.mark.parametrize(
    ("number", "ms"),
    [
        (0, 0),
        (1_709_164_800, 1_709_164_800_000),
        (1_709_164_800.29, 1_709_164_800_290),
        (1.001, 1_001),
        (1_709_164_800_125, 1_709_164_800_125),
        (1_709_164_800_125.4, 1_709_164_800_125),
        (100_000_000_000, 100_000_000_000),
        (99_999_999_999, 99_999_999_999_000),
        (-1, -1_000),
        (-100_000_000_000, -100_000_000_000),
    ],
)
def test_a_unix_time_is_seconds_below_1e11_and_milliseconds_from_there(number: float, ms: int) -> None:
    """The unit of a number follows from its size alone; fractions keep their millisecond."""
    assert moments.of_epoch(number) == ms
