"""A profile: all that is kept of one customer, as a set of facts and the moves that were announced.

The set is order-free: folding the same facts in any order gives the same facts. What a plan asks at an instant t is
answered from it by `lifestage.look`, for any t, so a late fact needs no history but this.
Times are ms UTC, money is minor units. The encoding is an array; fields are only appended.
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import blake2b

import msgspec

from lifestage.facts import (
    AdClick,
    EmailEvent,
    Fact,
    LeadCaptured,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    WebVisit,
)

DAY = 86_400_000
SEEN_MAX = 8_000
"""Event ids kept within the horizon; above it the oldest day goes (semantics §4)."""

FORMAT = 1
"""First field of an encoded profile."""

NOTHING, ACTIVITY, FACTS = 0, 1, 2
"""What a fold touched: nothing a plan reads; only the last activity, later than before; anything else."""


class Refund(msgspec.Struct, array_like=True, gc=False):
    """One refund of an order."""

    id: int
    time: int
    amount_minor: int


class Order(msgspec.Struct, array_like=True):
    """One order in the ledger. `time` None: its refund or cancellation came first."""

    id: int
    time: int | None = None
    total_minor: int = 0
    net_minor: int = 0
    currency: str = ""
    cancelled_at: int | None = None
    refunds: list[Refund] = []
    offset: int = -1
    """Log position of the order, for evidence."""

    def ends_at(self) -> int | None:
        """The instant from which it no longer stands: cancelled, or refunded in full; None while it stands."""
        end = self.cancelled_at
        if self.refunds and self.total_minor > 0:
            left = self.total_minor
            for refund in sorted(self.refunds, key=_refund_order):
                left -= refund.amount_minor
                if left <= 0:
                    return refund.time if end is None or refund.time < end else end
        return end


def _refund_order(refund: Refund) -> tuple[int, int]:
    return refund.time, refund.id


class Move(msgspec.Struct, array_like=True, gc=False):
    """One announced move on the path: at `at` the stage became `stage`, told by change `seq` with `id` (16 bytes)."""

    at: int
    stage: str | None
    seq: int
    id: bytes


class Profile(msgspec.Struct, array_like=True):
    """All that is kept of one customer."""

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

    account: tuple[int, str] | None = None
    """Latest: time, account id."""
    first_seen: int | None = None
    touch: tuple[int, str, str, str] | None = None
    """First touch: time, source, medium, campaign; empty where not said."""
    consent: tuple[int, int, int] | None = None
    """Latest: time, marketing, analytics; each 1 yes, 0 no, -1 not said."""
    reach_at: int | None = None
    reach_offset: int = -1
    acquired_at: int | None = None
    acquired_offset: int = -1
    activity: list[int] = []
    """Activity as first, last, first, last …: runs whose inner gaps are shorter than any window that is asked."""
    orders: list[Order] = []
    seen: list[tuple[int, bytes]] = []
    """(day, 8 bytes per event id …), rising by day."""


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Profile).decode


class Head(msgspec.Struct, array_like=True, gc=False):
    """The first fields of a profile: what recovery needs, at a third of the cost of decoding it all."""

    due: int | None = None
    stage: str | None = None
    format: int = FORMAT
    applied: int = -1


decode_head = msgspec.msgpack.Decoder(Head).decode


def id_hash(source: str, id: str, key: bytes) -> bytes:
    """8 bytes that stand for (source, id): BLAKE2b with a key, so that nobody outside can make two ids collide."""
    return blake2b(f"{source}\0{id}".encode(), digest_size=8, key=key).digest()


def has_seen(profile: Profile, hashed: bytes) -> bool:
    """Whether an event with this id is among the facts of the horizon."""
    for _, ids in profile.seen:
        at = ids.find(hashed)
        while at >= 0:
            if not at % 8:
                return True
            at = ids.find(hashed, at + 1)
    return False


def remember(profile: Profile, hashed: bytes, time: int, horizon: int) -> bool:
    """Keep an event id; ids of days before `horizon` (ms) are dropped. True when the cap made the oldest day go."""
    day = time // DAY
    seen = profile.seen
    if seen and seen[-1][0] == day:
        seen[-1] = (day, seen[-1][1] + hashed)
    else:
        at = bisect_left(seen, (day, b""))
        if at < len(seen) and seen[at][0] == day:
            seen[at] = (day, seen[at][1] + hashed)
        else:
            seen.insert(at, (day, hashed))
        oldest = horizon // DAY
        while len(seen) > 1 and seen[0][0] < oldest:
            del seen[0]
    kept = 0
    for _, ids in seen:
        kept += len(ids)
    if kept > SEEN_MAX * 8:
        if len(seen) > 1:
            del seen[0]
        else:
            seen[0] = (seen[0][0], seen[0][1][8:])
        return True
    return False


def find_order(profile: Profile, id: int) -> Order | None:
    """The ledger's entry for an order."""
    for order in profile.orders:
        if order.id == id:
            return order
    return None


def order_id(fact: OrderCompleted | OrderRefunded | OrderCancelled, key: bytes) -> int:
    """The ledger's 64-bit id of the order that a fact is about."""
    return int.from_bytes(id_hash(fact.source, fact.order_id, key), "big", signed=True)


def fold(profile: Profile, fact: Fact, offset: int, key: bytes, gap: int) -> int:
    """Add a fact to the set, known not to be there yet, and say what was touched.

    `gap` (ms) is the shortest silence that a plan asks about; `key` that of the id hashes."""
    kind = type(fact)
    touched = NOTHING
    if isinstance(fact, OrderCompleted | OrderRefunded | OrderCancelled):
        _book(profile, fact, offset, key)
        touched = FACTS
    time = fact.time
    if profile.first_seen is None or time < profile.first_seen:
        profile.first_seen = time
    if fact.context is not None or fact.account_id is not None or fact.consent is not None:
        _attributes(profile, fact)
    reach, acquired, active = _signals(kind, fact)
    if reach and (profile.reach_at is None or time < profile.reach_at):
        profile.reach_at, profile.reach_offset, touched = time, offset, FACTS
    if acquired and (profile.acquired_at is None or time < profile.acquired_at):
        profile.acquired_at, profile.acquired_offset, touched = time, offset, FACTS
    if active and add_activity(profile.activity, time, gap):
        touched |= ACTIVITY
    return touched


def _attributes(profile: Profile, fact: Fact) -> None:
    """First touch, latest account and consent. At equal times the smaller, or greater, value wins: order-free."""
    time = fact.time
    if fact.context is not None:
        said = fact.context
        touch = (time, said.source or "", said.medium or "", said.campaign or "")
        profile.touch = touch if profile.touch is None else min(profile.touch, touch)
    if fact.account_id is not None:
        account = (time, fact.account_id)
        profile.account = account if profile.account is None else max(profile.account, account)
    if fact.consent is not None:
        consent = (time, _said(fact.consent.marketing), _said(fact.consent.analytics))
        profile.consent = consent if profile.consent is None else max(profile.consent, consent)


def _said(answer: bool | None) -> int:
    return -1 if answer is None else int(answer)


def _signals(kind: type[Fact], fact: Fact) -> tuple[bool, bool, bool]:
    """(gives reach, gives acquisition, is activity), by the table of plan clm5 and its list of activities."""
    if kind is WebVisit or kind is AdClick:
        human = not fact.bot
        return human, human and fact.email is not None, human
    if kind is EmailEvent:
        assert isinstance(fact, EmailEvent)
        human = not fact.machine and not fact.bot
        clicked = human and fact.event == "clicked"
        mail = fact.channel == "email"
        return mail and fact.event == "delivered", mail and clicked, clicked or (human and fact.event == "opened")
    if kind is LeadCaptured:
        return False, not fact.bot, not fact.bot
    return False, fact.email is not None, False


def add_activity(runs: list[int], time: int, gap: int) -> bool:
    """Add an instant to the runs [first, last, first, last …]; runs closer than `gap` become one. False if nothing
    changed."""
    if not runs:
        runs += (time, time)
        return True
    last = runs[-1]
    if time >= last:
        if time == last:
            return False
        if time - last < gap:
            runs[-1] = time
        else:
            runs += (time, time)
        return True
    at = bisect_left(runs, time)
    if at % 2 or runs[at] == time:
        return False
    left = at > 0 and time - runs[at - 1] < gap
    right = runs[at] - time < gap
    if left and right:
        del runs[at - 1 : at + 1]
    elif left:
        runs[at - 1] = time
    elif right:
        runs[at] = time
    else:
        runs[at:at] = (time, time)
    return True


def _book(profile: Profile, fact: OrderCompleted | OrderRefunded | OrderCancelled, offset: int, key: bytes) -> None:
    """Enter an order, a refund or a cancellation in the ledger; whichever comes first opens the entry."""
    id = order_id(fact, key)
    order = find_order(profile, id)
    if order is None:
        order = Order(id)
        profile.orders.append(order)
    if isinstance(fact, OrderCompleted):
        order.time, order.offset = fact.time, offset
        order.total_minor, order.net_minor, order.currency = fact.total_minor, fact.net_minor, fact.currency
    elif isinstance(fact, OrderCancelled):
        order.cancelled_at = fact.time if order.cancelled_at is None else min(order.cancelled_at, fact.time)
    else:
        refund_id = int.from_bytes(id_hash(fact.source, fact.refund_id, key), "big", signed=True)
        order.refunds.append(Refund(refund_id, fact.time, fact.amount_minor))
