"""A profile: all that is kept of one customer, as a set of facts and the moves that were announced.

The set is order-free: folding the same facts in any order (`lifestage.fold`) gives the same facts. What a plan asks at an
instant t is answered from it by `lifestage.look`, for any t from the clock less the lateness on, so a late fact needs no
history but this. Times are ms UTC, money is minor units. The encoding is an array; fields are only appended.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from lifestage.kpi_kept import Kept

DAY: Final = 86_400_000

FORMAT: Final = 2
"""Third field of an encoded profile: raised when an older program could not go on with what a newer one wrote."""
UNITED: Final = 4
"""The same of a profile that knows of several ids. (3 stands for one that is kept in pages.)"""
COUNTED: Final = 5
"""The same of a profile that is counted in KPIs."""
NAMED: Final = 6
"""The same of a profile with a stay that goes by a visitor's stay, too (`lifestage.stays.ended`)."""


class Refund(msgspec.Struct, array_like=True, gc=False):
    """One refund of an order; of several with the same refund id that with the smallest (time, event)."""

    id: int
    time: int
    amount_minor: int
    event: str = ""
    currency: str | None = None
    """None: that of the order; the amount then has two digits."""


class Version(msgspec.Struct, array_like=True, gc=False, order=True):
    """What an `order.completed` or `order.updated` says of an order from its time on; by (time, event)."""

    time: int
    event: str
    """Id of the event."""
    total_minor: int
    net_minor: int
    currency: str
    update: bool = False
    offset: int = -1
    """Log position, for evidence."""


class Order(msgspec.Struct, array_like=True, omit_defaults=True):
    """One order in the ledger. `time` None: its refund or cancellation came first."""

    id: int
    time: int | None = None
    """When it was placed: the time of the earliest version, whose amounts stand here."""
    total_minor: int = 0
    net_minor: int = 0
    currency: str = ""
    cancelled_at: int | None = None
    refunds: list[Refund] = []
    offset: int = -1
    """Log position of the order, for evidence."""
    event: str = ""
    update: bool = False
    later: list[Version] = []
    """The versions after the earliest, in order; most orders have none."""


STARTED: Final = 1
RENEWED: Final = 2
CHANGED: Final = 3
CANCELLED: Final = 4


class Act(msgspec.Struct, array_like=True, gc=False, order=True):
    """One thing that happened to a subscription; by (time, event)."""

    time: int
    event: str
    kind: int
    """`STARTED`, `RENEWED`, `CHANGED` or `CANCELLED`."""
    effective: int
    """From when it counts, never before its time: of changes and cancellations what was said, else the time."""
    mrr_minor: int | None = None
    currency: str | None = None
    offset: int = -1


class Subscription(msgspec.Struct, array_like=True):
    """One subscription: its acts in order, each event once."""

    id: int
    acts: list[Act] = []


class Account(msgspec.Struct, array_like=True):
    """One account: (time, source, event id, closed) of what opened and closed it, in order."""

    id: str
    acts: list[tuple[int, str, str, bool]] = []


class Trial(msgspec.Struct, array_like=True, gc=False):
    """One trial. `started` None: its end came first."""

    id: int
    started: int | None = None
    event: str = ""
    begins: int | None = None
    ends: int | None = None
    """Planned end."""
    ended: int | None = None
    """Earliest `trial.ended`."""


class Mark(msgspec.Struct, array_like=True):
    """The instants of one signal: those that may still be asked one by one, of the others number, first and last."""

    dropped: int = 0
    first: int = -1
    last: int = -1
    kept: list[int] = []
    """In order; a signal that happens twice in an instant stands twice."""
    offsets: list[int] = []
    """Their log positions."""
    ids: list[int] = []
    """32 bits of the id of each one's event, by which one that two fact sets have counts once. Empty: kept by an older
    release, which noted none."""


class Named(msgspec.Struct, array_like=True, gc=False, order=True):
    """A distinct thing seen at an instant: a session, a feature."""

    time: int
    name: int


class Said(msgspec.Struct, array_like=True, gc=False):
    """A score or trait as it was said; latest means greatest (time, source, event)."""

    time: int
    source: str
    event: str
    value: int | str | None
    """A score or number in thousandths, a text, None for a trait that was taken back."""
    offset: int = -1


class Move(msgspec.Struct, array_like=True, gc=False):
    """One announced move on the path: at `at` the stage became `stage`, told by change `seq` with `id` (16 bytes)."""

    at: int
    stage: str | None
    seq: int
    id: bytes


class Belongs(NamedTuple):
    """How an id belongs to a profile."""

    parent: str
    """The id that it was linked to: the profile's own or another member."""
    past: bool = False
    """It has gone to another profile since; its facts stay."""
    at: int = -1
    """Offset of the record, in the log partition of the id's owner, by which that was decided; -1: whoever asked for it has not
    heard of it yet, and supposes so."""


class Ties(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """What most profiles need not know of ids, each part of it under its name in `Kin`."""

    members: dict[str, Belongs] = {}
    """The ids that belong to this profile, and stays of such that have left facts here (`lifestage.stays`)."""
    parts: dict[str, bytes] = {}
    """Where facts came under several ids: member → its own fact set (`lifestage.union`), encoded; "" is the profile's own id.
    The profile holds their union. Empty while all facts came under one id."""
    asked: dict[str, int] = {}
    """Ids that were asked to belong here: the day since 1970 of the event that asked in vain, or `identity.UNANSWERED`."""
    apart: list[str] = []
    """Profiles that this id was split from: events do not link it to them again."""
    held: list[bytes] = []
    """Facts of an order or ticket of which nobody knows yet whose it is, encoded."""
    left: dict[str, tuple[int, bool]] = {}
    """What an older release noted in place of `gone`; not looked at any more."""
    parted: list[str] = []
    """Ids that were split from this profile, or from one that has joined it: its events do not ask for them again."""
    gone: dict[str, str] = {}
    """Stays that were ended by a split, for when more is heard of them later: name → whom the id belonged to."""
    stays: list[tuple[int, str]] = []
    """Of an id that was ever split off: its stays that have ended since, by when they began: with whom; "": home."""


class Kin(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """Which ids are one person's, as their profile knows it.

    Every event of a customer with several ids reads it, so what most of them need is one text: the profile is read, kept
    and let go with two objects instead of thirteen.
    """

    alias: str | None = None
    """The profile that this id belongs to: of its own nothing but `seq` and what stands here is then kept."""
    since: int = -1
    """Of an alias: offset of the log record by which it was joined, which names the event that it goes back to."""
    short: str = ""
    """Where nothing is known but members of whom nothing was heard since they were linked to one id: that id, then theirs,
    each with a NUL behind it."""
    ties: Ties | None = None
    """All else; None while there is nothing."""

    def opened(self) -> Ties:
        """All that is known but the alias, to be looked at and changed, until `shorten`."""
        ties = self.ties
        if ties is None:
            parent, *ids = self.short.split("\0")
            ties = self.ties = Ties({id: Belongs(parent) for id in ids[:-1]})
            self.short = ""
        return ties

    def shorten(self) -> None:
        """Be as short as can be: what is known alike is kept alike, whichever way it came to be known."""
        ties = self.ties
        if ties is None or ties.parts or ties.asked or ties.apart or ties.held or ties.left or ties.parted:
            return
        if ties.gone or ties.stays:
            return
        if ties.members:
            parent = next(iter(ties.members.values())).parent
            plain = Belongs(parent)
            if self.alias is not None or not all(belongs == plain for belongs in ties.members.values()):
                return
            self.short = "\0".join([parent, *ties.members, ""])
        self.ties = None

    @property
    def members(self) -> dict[str, Belongs]:
        """As in `Ties`."""
        return self.opened().members

    @property
    def parts(self) -> dict[str, bytes]:
        """As in `Ties`."""
        return self.opened().parts

    @property
    def asked(self) -> dict[str, int]:
        """As in `Ties`."""
        return self.opened().asked

    @asked.setter
    def asked(self, ids: dict[str, int]) -> None:
        self.opened().asked = ids

    @property
    def apart(self) -> list[str]:
        """As in `Ties`."""
        return self.opened().apart

    @property
    def held(self) -> list[bytes]:
        """As in `Ties`."""
        return self.opened().held

    @held.setter
    def held(self, facts: list[bytes]) -> None:
        self.opened().held = facts

    @property
    def left(self) -> dict[str, tuple[int, bool]]:
        """As in `Ties`."""
        return self.opened().left

    @property
    def parted(self) -> list[str]:
        """As in `Ties`."""
        return self.opened().parted

    @parted.setter
    def parted(self, ids: list[str]) -> None:
        self.opened().parted = ids

    @property
    def gone(self) -> dict[str, str]:
        """As in `Ties`."""
        return self.opened().gone

    @property
    def stays(self) -> list[tuple[int, str]]:
        """As in `Ties`."""
        return self.opened().stays


class Profile(msgspec.Struct, array_like=True, omit_defaults=True, dict=True):
    """All that is kept of one customer. What is worked out from it may be held in its `__dict__`, which is not kept."""

    due: int | None = None
    """No later than the next instant at which the stage could change with no further event. First, so that a due
    index is rebuilt without decoding the rest."""
    stage: str | None = None
    format: int = FORMAT
    applied: int = -1
    """Offset of the newest log record in here; a record at or below it is skipped."""
    seq: int = 0
    newest: int | None = None
    """Time of the newest fact."""
    moves: list[Move] = []
    """Announced moves within the lateness horizon, and the one before it."""
    before: dict[str, tuple[int, int, int]] = {}
    """Of moves that fell out of `moves`: stage → (first reached, times entered, ms spent)."""

    account: tuple[int, str, str, str] | None = None
    """Latest: time, source, event, account id."""
    first_seen: int | None = None
    touch: tuple[int, str, str, str, str, str] | None = None
    """First touch: time, source, event; then source, medium, campaign, empty where not said."""
    consent: dict[str, tuple[int, str, str, bool]] = {}
    """Latest answer for each purpose: time, source, event, answer."""
    reach_at: int | None = None
    reach_offset: int = -1
    acquired_at: int | None = None
    acquired_offset: int = -1
    activity: list[int] = []
    """Older activity as first, last, first, last …: runs whose inner gaps are shorter than any window that is asked."""
    orders: list[Order] = []
    seen: bytes = b""
    """Event ids in order of arrival (`lifestage.seen`)."""
    subscriptions: list[Subscription] = []
    accounts: list[Account] = []
    trials: list[Trial] = []
    marks: dict[str, Mark] = {}
    """By the name of the signal; only those that the plan asks (`lifestage.needs`)."""
    distinct: dict[str, list[Named]] = {}
    said: dict[str, list[Said]] = {}
    """Scores by name, traits by `trait.NAME`, in order."""
    recent: list[int] = []
    """Activity that may still be looked at from before: each instant; what is older is in `activity`."""
    floor: int | None = None
    """From here on the path may be derived again: an act that came later than the lateness amended the present here."""
    kin: Kin | None = None
    """What is known of its ids; None while there is only one."""
    born: int = -1
    """Of an anonymous visitor, where new ones are bounded: the offset of the log record that made the profile."""
    walked: list[tuple[int, str | None]] = []
    """Of announced moves that fell out of `moves`, as far back as KPIs may ask: when, and the stage. Empty where none are
    kept."""
    kpi: Kept | None = None
    """What KPIs need beside the ledger and the path; None where none are counted."""


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Profile).decode


class Head(msgspec.Struct, array_like=True, gc=False):
    """The first fields of a profile: what recovery needs, at a third of the cost of decoding it all."""

    due: int | None = None
    stage: str | None = None
    format: int = FORMAT
    applied: int = -1


decode_head = msgspec.msgpack.Decoder(Head).decode
