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
"""Event ids kept within the horizon; above it the oldest go (semantics §4)."""
ENTRY = 10

FORMAT = 1
"""Third field of an encoded profile: raised when an older program could not go on with what a newer one wrote."""

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
    marketing: tuple[int, bool] | None = None
    analytics: tuple[int, bool] | None = None
    """Latest consent for each purpose: time, answer."""
    reach_at: int | None = None
    reach_offset: int = -1
    acquired_at: int | None = None
    acquired_offset: int = -1
    activity: list[int] = []
    """Activity as first, last, first, last …: runs whose inner gaps are shorter than any window that is asked."""
    orders: list[Order] = []
    seen: bytes = b""
    """Event ids in order of arrival, `ENTRY` bytes each: 8 of the id's hash, 2 of its day since 1970."""


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
    seen = profile.seen
    at = seen.find(hashed)
    while at >= 0:
        if not at % ENTRY:
            return True
        at = seen.find(hashed, at + 1)
    return False


def remember(profile: Profile, hashed: bytes, time: int, horizon: int) -> bool:
    """Keep an event id; ids of days before `horizon` (ms) are dropped. True when the cap made the oldest id go."""
    # 16 bits of days reach to the year 2149; whatever is later is kept as of then.
    day = min(time // DAY, 0xFFFF).to_bytes(2, "big")
    seen = profile.seen
    if horizon > 0 and seen and seen[8:ENTRY] < (oldest := min(horizon // DAY, 0xFFFF).to_bytes(2, "big")):
        entries = (seen[at : at + ENTRY] for at in range(0, len(seen), ENTRY))
        seen = b"".join([entry for entry in entries if entry[8:] >= oldest])
    profile.seen = seen + hashed + day
    if len(profile.seen) > SEEN_MAX * ENTRY:
        profile.seen = profile.seen[ENTRY:]
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
    acquired = fact.email is not None
    if kind is WebVisit or kind is AdClick:
        reach = active = not fact.bot
        acquired = acquired and reach
    elif isinstance(fact, EmailEvent):
        reach, acquired, active = _mail_signals(fact)
    elif kind is LeadCaptured:
        reach, acquired, active = False, not fact.bot, not fact.bot
    else:
        assert isinstance(fact, OrderCompleted | OrderRefunded | OrderCancelled)
        _book(profile, fact, offset, key)
        reach, active, touched = False, False, FACTS
    time = fact.time
    if profile.first_seen is None or time < profile.first_seen:
        profile.first_seen = time
    if fact.context is not None or fact.account_id is not None or fact.consent is not None:
        _attributes(profile, fact)
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
    said = fact.context
    if said is not None and (said.source or said.medium or said.campaign):
        touch = (time, said.source or "", said.medium or "", said.campaign or "")
        profile.touch = touch if profile.touch is None else min(profile.touch, touch)
    if fact.account_id is not None:
        account = (time, fact.account_id)
        profile.account = account if profile.account is None else max(profile.account, account)
    if fact.consent is not None:
        profile.marketing = _latest(profile.marketing, time, fact.consent.marketing)
        profile.analytics = _latest(profile.analytics, time, fact.consent.analytics)


def _latest(known: tuple[int, bool] | None, time: int, answer: bool | None) -> tuple[int, bool] | None:
    if answer is None:
        return known
    return (time, answer) if known is None else max(known, (time, answer))


def _mail_signals(fact: EmailEvent) -> tuple[bool, bool, bool]:
    """(gives reach, gives acquisition, is activity): mail only for the first two, people only for the last two."""
    human = not fact.machine and not fact.bot
    clicked = human and fact.event == "clicked"
    mail = fact.channel == "email"
    return mail and fact.event == "delivered", mail and clicked, clicked or (human and fact.event == "opened")


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
