"""Money: decimal text to minor units, and back."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import money

AMOUNTS = st.integers(0, money.MAX_MINOR)
DIGITS = st.sampled_from([0, 2, 3, 4])


@given(AMOUNTS, DIGITS)
def test_an_amount_survives_decimal_text(amount: int, digits: int) -> None:
    """Written in major units and read again, not one minor unit is lost."""
    assert money.minor(money.major(amount, digits), digits) == amount


@given(AMOUNTS, DIGITS, st.integers(0, 30))
def test_zeros_after_the_last_digit_do_not_matter(amount: int, digits: int, zeros: int) -> None:
    """`1.5`, `1.50` and `1.500000` are the same money."""
    text = money.major(amount, digits)
    text = f"{text}{'0' * zeros}" if digits else text
    assert money.minor(text, digits) == amount
    assert money.minor(text.rstrip("0").rstrip(".") if digits else text, digits) == amount


@given(st.decimals(min_value=0, max_value=10**9, allow_nan=False, allow_infinity=False, places=2))
def test_an_exponent_says_the_same_as_plain_digits(amount: Decimal) -> None:
    """JSON writers may write 120 as 1.2e2; the amount is the same."""
    assert money.minor(f"{amount.normalize():e}") == money.minor(str(amount))


@given(st.text(alphabet="0123456789.-+eE_, Naif٣", max_size=12), DIGITS)
def test_reading_text_gives_its_exact_value_or_a_value_error(text: str, digits: int) -> None:
    """What passes is exactly what `Decimal` reads, scaled; nothing else passes and nothing else is raised."""
    try:
        amount = money.minor(text, digits)
    except ValueError:
        return
    assert text.isascii()
    assert Decimal(text) * 10**digits == amount >= 0


@pytest.mark.parametrize(
    ("text", "digits", "amount"),
    [
        ("0", 2, 0), ("12", 2, 1200), ("12.5", 2, 1250), ("12.500", 2, 1250), ("0.01", 2, 1), ("007.10", 2, 710),
        ("500", 0, 500), ("500.000", 0, 500), ("1.234", 3, 1234), ("1.2345", 4, 12345), ("1e3", 2, 100_000),
        ("2.5E-1", 2, 25), ("0e999", 2, 0), ("10000000000000.00", 2, money.MAX_MINOR),
    ],
)  # fmt: skip
def test_decimal_text_becomes_minor_units(text: str, digits: int, amount: int) -> None:
    """A currency's digits decide how text becomes an integer."""
    assert money.minor(text, digits) == amount


@pytest.mark.parametrize(
    ("text", "digits", "expected"),
    [
        ("12.345", 2, "at most 2 digits after the point"),
        ("0.5", 0, "at most 0 digits after the point"),
        ("1e-3", 2, "at most 2 digits after the point"),
        ("10000000000000.01", 2, "at most 10000000000000.00"),
        ("9" * 41, 2, "at most 10000000000000.00"),
        ("1e20", 2, "at most 10000000000000.00"),
        ("1e308", 2, "a decimal ≥ 0 below 1e20"),
        *((text, 2, "a decimal ≥ 0") for text in (
            "", "-1", "-0.01", "+1", ".5", "5.", ".", "1.2.3", "1,000.00", "1 000", " 1", "1_000", "abc", "NaN", "nan",
            "Infinity", "-Infinity", "٣", "0x10", "1e", "e5", "1e9999", "$5",
        )),
    ],
)  # fmt: skip
def test_text_that_is_no_amount_is_refused(text: str, digits: int, expected: str) -> None:
    """Signs, marks, surplus digits and giants are refused, never rounded or guessed; the error says what was expected."""
    with pytest.raises(ValueError, match=r".") as refused:
        money.minor(text, digits)
    assert str(refused.value) == expected


def test_the_table_knows_the_digits_of_every_kind_of_currency() -> None:
    """ISO 4217's minor digits: 0, 2, 3 and 4 all occur; metals and test codes are no money."""
    assert [money.DIGITS[code] for code in ("JPY", "EUR", "USD", "KWD", "CLF")] == [0, 2, 2, 3, 4]
    assert not {"XXX", "XTS", "XAU", "eur", ""} & money.DIGITS.keys()
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in money.DIGITS)


def test_minor_units_are_written_with_the_digits_of_their_currency() -> None:
    """Also below one major unit, below zero and without digits."""
    assert [money.major(1250), money.major(5), money.major(-5), money.major(500, 0), money.major(1, 3)] == [
        "12.50", "0.05", "-0.05", "500", "0.001",
    ]  # fmt: skip
