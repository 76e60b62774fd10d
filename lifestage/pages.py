"""Pages: how a profile of any size is kept in records of at most 64 KB.

An encoded profile above `ABOVE` bytes is cut where its bytes say so, not at fixed places: an event changes the pieces that
it touches, and all others stay what they were. A page is kept under the customer's key, a NUL and the hash of its bytes;
so it is never changed, only written or removed, and whoever folds the same log keeps the same records. The customer's own
record names the pages in order. It begins like a profile, so that its head is read as one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from lifestage.profile import Profile

PAGED: Final = 3
"""Format of a record that names pages. A profile without pages is kept as releases before this one did."""
ABOVE = 60_000
"""Bytes of an encoded profile above which it is kept in pages: with its key it stays below 64 KB."""
SMALLEST, LARGEST = 2_048, 16_384
"""Bytes of a page, 7,000 on the average: of 4 MB with 50,000 orders one more order rewrites about 40 KB."""
NAME = 16
"""Bytes of a page's name: a hash of 128 bits, which nobody can make two pages share."""
NAMES_MAX = 2_500
"""Names in one record; above, the names are themselves kept in pages."""
_EDGE = re.compile(rb"[\xc0-\xff]m")
"""Where a piece may end: in ids and times once in 1,000 bytes, and no part of what begins every time or id."""


class Paged(msgspec.Struct, array_like=True, gc=False):
    """What stands in the place of a profile that is kept in pages."""

    due: int | None
    stage: str | None
    format: int
    applied: int
    first: bytes
    """Where the encoded profile begins: what changes with every event."""
    depth: int
    """How often the names were put into pages themselves."""
    names: bytes
    """The names of the pages that hold the rest, in order; at a depth, of the pages that hold the names."""


class Split(NamedTuple):
    """A profile in pages: the record in its place, and its pages by key."""

    main: bytes
    pages: dict[bytes, bytes]


_encode = msgspec.msgpack.Encoder().encode
decode_paged = msgspec.msgpack.Decoder(Paged).decode


class MissingError(LookupError):
    """A page that is named is not there. `named` are the keys of all that were found to be named before it was missed."""

    def __init__(self, key: bytes, named: frozenset[bytes]) -> None:
        super().__init__(f"a page of {key.decode(errors='backslashreplace')!r} is missing")
        self.named = named


def is_page(key: bytes) -> bool:
    """Whether a key of the changelog is that of a page: a NUL stands behind the customer's key, which has none."""
    return key.find(0, 1) > 0


def owner(page: bytes) -> bytes:
    """The key of the customer that a page belongs to."""
    return page[: -NAME - 1]


def name_of(content: bytes) -> bytes:
    """What a page is called."""
    return blake2b(content, digest_size=NAME, person=b"lifestage-page").digest()


def split(key: bytes, profile: Profile, whole: bytes) -> Split:
    """Cut an encoded profile; the same bytes give the same records, whatever was kept before."""
    first, *rest = cut(whole)
    pages: dict[bytes, bytes] = {}
    depth, names = 0, _put(key, rest, pages)
    while len(names) > NAMES_MAX * NAME:
        depth, names = depth + 1, _put(key, cut(names), pages)
    main = Paged(profile.due, profile.stage, PAGED, profile.applied, first, depth, names)
    return Split(_encode(main), pages)


def _put(key: bytes, pieces: list[bytes], pages: dict[bytes, bytes]) -> bytes:
    names = []
    for piece in pieces:
        name = name_of(piece)
        names.append(name)
        pages[_key(key, name)] = piece
    return b"".join(names)


def cut(content: bytes) -> list[bytes]:
    """The pieces of some bytes: each ends behind the first edge that lies between `SMALLEST` and `LARGEST`."""
    pieces, at = [], 0
    while at < len(content):
        edge = _EDGE.search(content, at + SMALLEST, at + LARGEST)
        end = at + LARGEST if edge is None else edge.end()
        pieces.append(content[at:end])
        at = end
    return pieces


def join(key: bytes, main: bytes, pages: Mapping[bytes, bytes]) -> bytes:
    """The encoded profile that a record and its pages hold; the record itself where it names none.

    Raises `MissingError` where a page is not there.
    """
    if not is_paged(main):
        return main
    found = decode_paged(main)
    return found.first + _rest(key, found, pages, [])


def named(key: bytes, main: bytes, pages: Mapping[bytes, bytes]) -> frozenset[bytes]:
    """The keys of all pages that a record needs, those of names included. Raises `MissingError` where one is not there."""
    keys: list[bytes] = []
    _rest(key, decode_paged(main), pages, keys)
    return frozenset(keys)


def is_paged(main: bytes) -> bool:
    """Whether a customer's record names pages."""
    return decode_format(main).format == PAGED


def _rest(key: bytes, found: Paged, pages: Mapping[bytes, bytes], keys: list[bytes]) -> bytes:
    content = found.names
    for _ in range(found.depth + 1):
        wanted = [_key(key, content[at : at + NAME]) for at in range(0, len(content), NAME)]
        keys += wanted
        try:
            content = b"".join([pages[page] for page in wanted])
        except KeyError as error:
            raise MissingError(key, frozenset(keys)) from error
    return content


def _key(key: bytes, name: bytes) -> bytes:
    return b"%b\0%b" % (key, name)


class _Format(msgspec.Struct, array_like=True, gc=False):
    due: object
    stage: object
    format: int


decode_format = msgspec.msgpack.Decoder(_Format).decode
