"""Money: integer minor units beside an ISO 4217 code; decimal text at the edges; no float anywhere."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

MAX_MINOR: Final = 1_000_000_000_000_000
"""The largest amount of one event: 9,000 of them still add up exactly in 64 bits, and each is exact in a float."""

_NO_DIGITS: Final = "BIF BYR CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_TWO_DIGITS: Final = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EEK EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG
HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL LTL LVL MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR
MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP
SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VEF VES WST XCD XCG
YER ZAR ZMK ZMW ZWG ZWL
"""
_THREE_DIGITS: Final = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DIGITS: Final = "CLF UYW"

DIGITS: Final[dict[str, int]] = {
    code: digits
    for digits, codes in {0: _NO_DIGITS, 2: _TWO_DIGITS, 3: _THREE_DIGITS, 4: _FOUR_DIGITS}.items()
    for code in codes.split()
}
"""Digits after the point by ISO 4217 code: those in use, and those withdrawn since 2010, for old orders."""

_NUMBER: Final = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")


def minor(text: str, digits: int = 2) -> int:
    """Decimal text in major units (`12.5`) as minor units (1250 with two digits).

    ValueError says what was expected: no sign, no spaces, no thousands marks, at most `digits` digits after the
    point unless the surplus is zeros, at most `MAX_MINOR`. An exponent is read, since JSON writers use it.
    """
    whole, point, fraction = text.partition(".")
    if len(fraction) > digits:
        fraction = fraction.rstrip("0")
    figures = whole + fraction
    if not (figures.isascii() and figures.isdecimal() and whole and (not point or text[-1] != ".")):
        return minor(_without_exponent(text), digits)
    if len(fraction) > digits:
        raise ValueError(f"at most {digits} digits after the point")
    if len(figures) > 40 or (amount := int(figures.ljust(len(whole) + digits, "0"))) > MAX_MINOR:
        raise ValueError(f"at most {major(MAX_MINOR, digits)}")
    return amount


def is_number(text: str) -> bool:
    """Whether `text` is a plain decimal, its sign and its exponent included."""
    return _NUMBER.fullmatch(text.removeprefix("-")) is not None


def _without_exponent(text: str) -> str:
    if not _NUMBER.fullmatch(text) or not ("e" in text or "E" in text):
        raise ValueError("a decimal ≥ 0")
    number = Decimal(text)
    if not number:
        return "0"
    if number.adjusted() > 20:
        raise ValueError("a decimal ≥ 0 below 1e20")
    return f"{number:f}"


def major(amount: int, digits: int = 2) -> str:
    """Minor units as decimal text in major units: 1250 with two digits is `12.50`. Any sign."""
    sign = "-" if amount < 0 else ""
    figures = str(abs(amount)).rjust(digits + 1, "0")
    return f"{sign}{figures[:-digits]}.{figures[-digits:]}" if digits else sign + figures
