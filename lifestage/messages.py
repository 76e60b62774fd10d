"""What the owner of one key tells the owner of another: the payload of a log record of kind `MESSAGE`, final since version 1.

Identity travels through the log: a message is written by the fold of one partition, stands in the log under the key that it
is for, and is read by the fold of that key's partition. Its header's origin is the log record that caused it, so that
whoever folds that record again writes it again, and whoever reads it twice drops it. Fields are only appended.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Hop(NamedTuple):
    """On a message's way: an id that it came by, and since when that belonged to the next (as `Kin.since`)."""

    id: str
    since: int


class Occasion(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The event that a message goes back to."""

    time: int
    source: str
    id: str
    type: str


class Member(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An id that belongs to a profile, with the facts that came under it."""

    key: str
    parent: str
    """The id that it was linked to: the profile's own or another member's."""
    facts: bytes = b""
    """An encoded profile of facts alone (`lifestage.union`); empty where there are none."""
    past: bool = False
    """It has gone to another profile since; its facts stay."""
    at: int = -1
    """As in `lifestage.profile.Belongs`."""
    gone: bool = False
    """It has been split off: what of it comes later is its own."""


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What every message has: the key that it is for."""

    to: str


class Link(Message, frozen=True, array_like=True, gc=False, tag=1):
    """To an id: from now on you belong to `target`. `merge`: because `identity.merged` says so, decided at the offset `at`."""

    target: str
    occasion: Occasion
    merge: bool = False
    at: int = -1
    silent: bool = False
    """Whoever asks takes the id for its own until it hears otherwise: an id that nobody has heard of need not answer."""
    beside: tuple[str, ...] = ()
    """Other ids that the event names: who was split from one of these stays apart from whoever has them with this event."""


class Unite(Message, frozen=True, array_like=True, gc=False, tag=2):
    """To a profile: take in these ids with their facts; the first is the one that was linked."""

    members: tuple[Member, ...]
    occasion: Occasion
    merge: bool = False
    parted: tuple[str, ...] = ()
    """As in `lifestage.profile.Kin`, of the id that was linked."""
    path: tuple[Hop, ...] = ()
    """The ids that it came by, the first first: so that it finds its way where one of them is split off meanwhile."""


class Switched(Message, frozen=True, array_like=True, gc=False, tag=3):
    """To a profile: `alias`, an anonymous id, has gone to another; what came so far stays."""

    alias: str
    occasion: Occasion
    at: int = -1
    since: int = -1
    """Since when it has belonged there, as `Kin.since`."""
    path: tuple[Hop, ...] = ()
    sure: int = -1
    """None of its stays that began here or later was ended by a split; -1: not known."""


class Forwarded(Message, frozen=True, array_like=True, gc=False, tag=4):
    """To a profile: a fact that came under its member `via`."""

    via: str
    fact: bytes
    since: int = -1
    """Since when `via` has belonged to whom it was sent to, as `Kin.since`; -1: it is on its way to `via` itself."""
    path: tuple[Hop, ...] = ()


class Split(Message, frozen=True, array_like=True, gc=False, tag=5):
    """To an id: be a profile of your own again."""

    occasion: Occasion


class Release(Message, frozen=True, array_like=True, gc=False, tag=6):
    """To a profile: let `alias` go, with all that came through it. To the record of all merges: that merge did not take place."""

    alias: str
    occasion: Occasion
    at: int = -1
    since: int = -1
    """Since when it has belonged there, as `Kin.since`."""
    path: tuple[Hop, ...] = ()


class Restore(Message, frozen=True, array_like=True, gc=False, tag=7):
    """To an id that is a profile of its own again: its facts, as those of a member of its own key, and its members."""

    members: tuple[Member, ...]
    occasion: Occasion


class Refused(Message, frozen=True, array_like=True, gc=False, tag=8):
    """To whoever asked for `alias`: it stays whose it is."""

    alias: str
    occasion: Occasion
    target: str = ""
    """The id that it was asked to belong to."""
    at: int = -1
    path: tuple[Hop, ...] = ()
    silent: bool = False
    """As in `Link`: whoever asked supposes it."""


AnyMessage = Link | Unite | Switched | Forwarded | Split | Release | Restore | Refused


class Posted(NamedTuple):
    """A message on its way: the key of its log record, and the record's value with header and origin."""

    key: bytes
    value: bytes


encode_message = msgspec.msgpack.Encoder().encode
decode_message = msgspec.msgpack.Decoder(AnyMessage).decode
"""The message in a log record's payload. Raises `msgspec.DecodeError` on foreign bytes."""
