"""Makes a photographed page small: a PNG of 16 million colours becomes one of 256, the most frequent, which look the same."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Color = tuple[int, int, int]
TRUE_COLORS = {2: 3, 6: 4}
"""Bytes of a pixel, by how a PNG says that it has colours, or colours and transparency."""


def smaller(data: bytes) -> bytes:
    """The same picture with at most 256 colours; each that is left out becomes the nearest of them."""
    wide, rows = pixels(data)
    counts = Counter(color for row in rows for color in row)
    palette = [color for color, _ in counts.most_common(256)]
    place = {color: at for at, color in enumerate(palette)}
    near: dict[Color, int] = {}
    for color in counts:
        if color not in place:
            alike = (color[0] >> 2, color[1] >> 2, color[2] >> 2)
            if alike not in near:
                near[alike] = min(range(len(palette)), key=lambda at, color=color: _apart(palette[at], color))  # type: ignore[misc]
            place[color] = near[alike]
    body = b"".join(b"\0" + bytes(place[color] for color in row) for row in rows)
    head = struct.pack(">IIBBBBB", wide, len(rows), 8, 3, 0, 0, 0)
    colors = bytes(part for color in palette for part in color)
    chunks = ((b"IHDR", head), (b"PLTE", colors), (b"IDAT", zlib.compress(body, 9)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(name, content) for name, content in chunks)


def _apart(one: Color, other: Color) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG by name."""
    at = len(SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def pixels(data: bytes) -> tuple[int, list[list[Color]]]:
    """The width and the rows of a PNG of true colours with 8 bits each; of 256 colours, too, if no row is filtered."""
    found = list(chunks(data))
    wide, high, depth, kind = struct.unpack(">IIBB", found[0][1][:10])
    raw = zlib.decompress(b"".join(content for name, content in found if name == b"IDAT"))
    assert depth == 8
    if kind == 3:
        flat = next(content for name, content in found if name == b"PLTE")
        palette = list(zip(flat[0::3], flat[1::3], flat[2::3], strict=True))
        return wide, [[palette[at] for at in raw[y * (wide + 1) + 1 : (y + 1) * (wide + 1)]] for y in range(high)]
    size = TRUE_COLORS[kind]
    rows, before = [], bytearray(wide * size)
    for y in range(high):
        start = y * (wide * size + 1)
        before = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + wide * size]), before, size)
        rows.append(list(zip(before[0::size], before[1::size], before[2::size], strict=True)))
    return wide, rows


def _unfiltered(kind: int, row: bytearray, above: bytearray, size: int) -> bytearray:
    for at in range(len(row)) if kind else ():
        left = row[at - size] if at >= size else 0
        corner = above[at - size] if at >= size else 0
        row[at] = (row[at] + _predicted(kind, left, above[at], corner)) & 255
    return row


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    if kind < 4:
        return (0, left, above, (left + above) >> 1)[kind]
    guess = left + above - corner
    return min((left, above, corner), key=lambda one: abs(guess - one))
