"""What was kept is read again only where it is sure to be understood: of this release's formats, whole, and of our types."""

from __future__ import annotations

from typing import Final

import msgspec

from lifestage import marker as markers
from lifestage import profile as profiles
from lifestage.marker import Marker
from lifestage.pages import NAME, PAGED, Paged, decode_paged, name_of, owner
from lifestage.profile import Profile

_decode: Final = profiles.decode


class StateError(ValueError):
    """What was kept cannot be gone on with. The message says why, and what to do."""


def read_profile(key: bytes, value: bytes, topic: str, number: int) -> Profile | Paged:
    """A kept profile, decoded to its last field, which takes 1 µs, or what stands in its place where it is kept in pages.

    `StateError` for what no release up to this one wrote.
    """
    try:
        found = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        named = _format(value, 2)
        if named == PAGED:
            return _read_paged(key, value, topic, number)
        raise _refused(_profile_of(key, topic, number), named, profiles.NAMED, str(error)) from error
    if found.format > profiles.NAMED or found.newest is None:
        raise _refused(_profile_of(key, topic, number), found.format, profiles.NAMED, "it says of no fact when it was")
    return found


def _read_paged(key: bytes, value: bytes, topic: str, number: int) -> Paged:
    try:
        found = decode_paged(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise corrupt(key, topic, number, str(error)) from error
    if len(found.names) % NAME or found.depth < 0:
        raise corrupt(key, topic, number, "it names no pages")
    return found


def read_page(key: bytes, value: bytes, topic: str, number: int) -> bytes:
    """What a page holds; `StateError` where its bytes are not those that it is named after."""
    if key[-NAME - 1 :] != b"\0" + name_of(value):
        raise corrupt(owner(key), topic, number, "a page of it holds other bytes than were kept")
    return value


def corrupt(key: bytes, topic: str, number: int, why: str) -> StateError:
    """What to say of a customer whose profile cannot be had."""
    return _refused(_profile_of(key, topic, number), 0, profiles.NAMED, why)


def _profile_of(key: bytes, topic: str, number: int) -> str:
    return f"{topic}[{number}]: the profile of {key.decode(errors='backslashreplace')!r}"


def read_marker(value: bytes, topic: str, number: int) -> Marker:
    """A kept marker; `StateError` for what no release up to this one wrote."""
    what = f"{topic}[{number}]: the marker"
    try:
        found = markers.decode_marker(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refused(what, _format(value, 1), markers.FORMAT, str(error)) from error
    if found.format > markers.FORMAT or not found.plan:
        raise _refused(what, found.format, markers.FORMAT, "it names no plan")
    return found


def _format(value: bytes, place: int) -> int:
    """The format that a record names which cannot be read as ours; 0 where it names none."""
    try:
        found = msgspec.msgpack.decode(value, type=list[object])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0
    named = found[place] if len(found) > place else 0
    return named if isinstance(named, int) else 0


def _refused(what: str, named: int, known: int, why: str) -> StateError:
    if named > known:
        return StateError(
            f"{what} was kept in format {named} by a newer release, and this one reads formats up to {known}: "
            "start that release again"
        )
    return StateError(
        f"{what} in the changelog is corrupt ({why}): stop all workers, delete the changelog topic, run `lifestage provision`, "
        "and start again; the profiles are then folded anew from the log"
    )
