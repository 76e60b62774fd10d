"""A picture that is made small is the same picture."""

from __future__ import annotations

import struct
import zlib

import pytest

from tests.png import SIGNATURE, _chunk, pixels, smaller


def photograph(kind: int, filters: bytes) -> tuple[bytes, list[list[tuple[int, int, int]]]]:
    """A PNG of true colours whose rows are filtered in these ways, and its pixels."""
    size, wide = {2: 3, 6: 4}[kind], 5
    rows = [[(10 * x, 40 * y, (x * y * 7) % 256) for x in range(wide)] for y in range(len(filters))]
    body, above = b"", bytes(wide * size)
    for how, row in zip(filters, rows, strict=True):
        flat = b"".join(bytes((*color, 255))[:size] for color in row)
        body += bytes([how]) + bytes(_minus(flat, above, at, size, how) for at in range(len(flat)))
        above = flat
    head = struct.pack(">IIBBBBB", wide, len(rows), 8, kind, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(body)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(*chunk) for chunk in chunks), rows


def _minus(flat: bytes, above: bytes, at: int, size: int, how: int) -> int:
    left, corner = (flat[at - size], above[at - size]) if at >= size else (0, 0)
    guess = left + above[at] - corner
    nearest = min((left, above[at], corner), key=lambda one: abs(guess - one))
    return (flat[at] - (0, left, above[at], (left + above[at]) // 2, nearest)[how]) % 256


@pytest.mark.parametrize("kind", [2, 6])
def test_a_picture_of_few_colours_stays_as_it_is(kind: int) -> None:
    """Each pixel, whatever way the rows of the original were filtered, with or without transparency."""
    given, rows = photograph(kind, bytes((0, 1, 2, 3, 4)))
    assert pixels(given) == (5, rows)
    assert pixels(smaller(given)) == (5, rows)


def test_of_many_colours_the_nearest_that_is_left_is_taken() -> None:
    """Of 300 shades the rarest 44 become another that is next to them."""
    rows = [[(shade % 256, shade // 256 * 9, 0) for shade in range(300)], [(shade % 256, 0, 0) for shade in range(300)]]
    body = b"".join(b"\0" + bytes(part for color in row for part in color) for row in rows)
    head = struct.pack(">IIBBBBB", 300, 2, 8, 2, 0, 0, 0)
    given = SIGNATURE + b"".join(
        _chunk(*each) for each in ((b"IHDR", head), (b"IDAT", zlib.compress(body)), (b"IEND", b""))
    )
    wide, found = pixels(smaller(given))
    assert wide == 300
    assert found[1] == rows[1]
    assert found[0][:256] == rows[0][:256]
    assert abs(found[0][299][0] - 43) <= 3
    assert found[0][299][1:] == (0, 0)
