"""Shows a dead letter to a person: its value as text with the place of the mistake marked, or its bytes in hex."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from lifestage.moments import iso
from streams.letters import Letter

WIDTH, AROUND = 100, 10
"""Characters a line, and lines of a long value that are shown before and behind the place."""
HEX_MAX = 512
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_BYTE = re.compile(r"\((?:at )?byte (\d+)\)")
_SPACE = re.compile(r"[ \t\n\r]*")
_decoder = json.JSONDecoder()


def span_of(text: str, message: str) -> tuple[int, int] | None:
    """Where in `text` stands what a message names, from its first character to behind its last; None if nowhere."""
    if found := _BYTE.search(message):
        at = len(text.encode()[: int(found[1])].decode(errors="ignore"))
        return (min(at, max(len(text) - 1, 0)), min(at + 1, len(text))) if text else None
    place = message.partition(":")[0]
    if not place.startswith("$.") or place.endswith("[...]"):
        return None
    steps = [name or int(index) for name, index in _STEP.findall(place[1:])]
    try:
        return _find(text, _skip(text, 0), steps)
    except (ValueError, IndexError, RecursionError):
        return None


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _find(text: str, at: int, steps: list[str | int]) -> tuple[int, int] | None:
    """The span of the value that `steps` lead to from the value at `at`. Of a name that is there twice the last counts."""
    if not steps:
        return at, _decoder.raw_decode(text, at)[1]
    step, found, number = steps[0], None, 0
    if text[at] != ("{" if isinstance(step, str) else "["):
        return None
    at = _skip(text, at + 1)
    while text[at] not in "]}":
        name: str | int = number
        if isinstance(step, str):
            name, at = _decoder.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        end = _decoder.raw_decode(text, at)[1]
        if name == step:
            found = at
        number, at = number + 1, _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return None if found is None else _find(text, found, steps[1:])


def visible(text: str) -> str:
    """Text without anything that a terminal would obey: each such character becomes one other."""
    return "".join(char if char.isprintable() else "\N{MIDDLE DOT}" for char in text)


def marked(text: str, span: tuple[int, int] | None) -> Iterator[str]:
    """The text in lines of at most `WIDTH`, with ^ below the span; of a long one what is around it, or its beginning."""
    lines = [
        (start + at, line[at : at + WIDTH]) for start, line in _lines(text) for at in range(0, max(len(line), 1), WIDTH)
    ]
    first, last = 0, 2 * AROUND
    if span is not None:
        hit = max((number for number, (start, _) in enumerate(lines) if start <= span[0]), default=0)
        first, last = max(0, hit - AROUND), hit + AROUND
    if first:
        yield f"… {lines[first][0]:,} characters before"
    for start, line in lines[first:last]:
        yield visible(line)
        if span is not None and span[0] < start + len(line) and span[1] > start:
            begin, end = max(span[0] - start, 0), min(span[1] - start, len(line))
            yield " " * begin + "^" * (end - begin)
    if len(lines) > last:
        yield f"… {len(text) - lines[last][0]:,} characters more: --raw gives all"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    for line in text.split("\n"):
        yield at, line
        at += len(line) + 1


def dump(value: bytes) -> Iterator[str]:
    """The first bytes in hex, 16 a line, with what is readable of them."""
    for at in range(0, min(len(value), HEX_MAX), 16):
        piece = value[at : at + 16]
        readable = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        yield f"{at:06x}  {piece.hex(' '):<47}  {readable}"
    if len(value) > HEX_MAX:
        yield f"… {len(value) - HEX_MAX:,} bytes more: --raw gives all"


def told(letter: Letter, became: str) -> Iterator[str]:
    """A letter in lines: why, where, when, headers and value; `became` says what has become of it."""
    yield f"reason     {letter.why.reason}"
    yield f"           {visible(letter.why.message)}"
    yield f"came in    {letter.source}"
    yield f"put aside  {letter.place} at {iso(letter.timestamp)}"
    if letter.again:
        yield f"before     rejected once more after it was redriven from {visible(letter.again)}"
    yield f"redriven   {became or 'not yet'}"
    yield f"key        {_bytes(letter.key)}"
    for name, value in letter.headers:
        if not name.startswith("lifestage-"):
            yield f"header     {visible(name)}: {_bytes(value)}"
    size = "no value" if letter.value is None else f"{len(letter.value):,} bytes"
    yield f"value      {size}{f', the beginning of {letter.cut_from}' if letter.cut_from else ''}"
    value = letter.value or b""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        yield from dump(value)
        return
    if "\0" in text[:64]:  # text that no program wrote for a person
        yield from dump(value)
    elif text:
        yield from marked(text, span_of(text, letter.why.message))


def _bytes(value: bytes | None) -> str:
    if value is None:
        return "none"
    try:
        return visible(value.decode()) if len(value) <= 200 else f"{visible(value[:200].decode(errors='replace'))}…"
    except UnicodeDecodeError:
        return f"{value[:64].hex(' ')}{'…' if len(value) > 64 else ''} (hex)"
