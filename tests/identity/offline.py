"""Who belongs to whom, and what is true of each, worked out from the logs at leisure: the judge of identity.

Nothing here is shared with the program's own handling of ids. What an id belongs to is decided where the id's own log has
it: by the order of what it is told there, between its own facts. Each fact is in one set; a person is the sum of sets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from lifestage import log
from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.facts import (
    Fact,
    IdentityMerged,
    IdentitySplit,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    decode,
)
from lifestage.keys import ANONYMOUS, MERGES, ORDER, TICKET
from lifestage.messages import Forwarded, Link, Split, decode_message
from lifestage.profile import Profile
from lifestage.replay import Path, in_order, replay_customer
from tests.core.histories import Record

Told = Fact | Link | Split


def once(records: Iterable[Record]) -> list[Record]:
    """The records of a log without those whose origin came in before."""
    furthest: dict[tuple[int, int], tuple[int, int]] = {}
    found = []
    for record in records:
        header = log.header(record[2])
        if header.topic:
            origin, position = (header.topic, header.partition), (header.offset, header.n)
            if position <= furthest.get(origin, (-1, -1)):
                continue
            furthest[origin] = position
        found.append(record)
    return found


def read(records: Iterable[Record]) -> list[tuple[str, Told]]:
    """What a log tells its keys: facts, and to which other id they belong from now on."""
    found: list[tuple[str, Told]] = []
    for _, key, value in once(records):
        kind, payload = log.header(value).kind, value[log.HEADER_SIZE :]
        if kind == log.FACT and key is not None:
            found.append((key.decode(), decode(payload)))
        elif kind == log.MESSAGE:
            message = decode_message(payload)
            if isinstance(message, Link | Split):
                found.append((message.to, message))
            elif isinstance(message, Forwarded) and message.via == message.to and message.since < 0:
                # it has waited for a visitor, who is whose the visitor is when it comes in
                found.append((message.to, decode(message.fact)))
    return found


class Id:
    """One id: to whom it belongs, and where the facts went that came under it."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.now: str | None = None
        self.facts: list[Fact] = []
        """What came under it and is where it is."""
        self.past: list[tuple[str, list[Fact]]] = []
        """What stays with those whose it was before it went to somebody else."""
        self.apart: set[str] = set()
        """From whom it was split."""
        self.merged: set[str] = set()
        """Into whom it was ever merged."""

    def take(self, told: Told) -> None:
        """What the log tells next."""
        if isinstance(told, Link):
            self.link(told.target, merge=told.merge, beside=told.beside)
        elif isinstance(told, Split):
            self.split()
        else:
            self.facts.append(told)

    def link(self, target: str, *, merge: bool = False, beside: Iterable[str] = ()) -> None:
        """A free id goes where it is wanted; of those that are not free only an anonymous one goes to somebody else.

        An event that names one `beside` from whom it was split links it to nobody.
        """
        if target in (self.key, self.now) or (not merge and any(id in self.apart for id in (target, *beside))):
            return
        if self.now is None:
            self.apart.discard(target)
            self.now = target
            if merge:
                self.merged.add(target)
        elif self.key.startswith(ANONYMOUS) and not merge:
            self.past.append((self.now, self.facts))
            self.now, self.facts = target, []

    def split(self) -> None:
        """It is its own again, with what came under it since it was linked; what came before it was switched stays."""
        if self.now is not None:
            self.apart.add(self.now)
            self.now = None


class Family:
    """All ids of a deployment, as their logs have it."""

    hands_on = True
    """Whether what waited for a visitor is told again as that one's."""

    def __init__(self, logs: Iterable[Iterable[Record]] = (), left_out: Container[str] = ()) -> None:
        """`left_out`: ids of events that do not count."""
        self.left_out = left_out
        self.ids: dict[str, Id] = {}
        self.asked: list[IdentityMerged | IdentitySplit] = []
        for key, one in [one for records in logs for one in read(records)]:
            self.take(key, one)

    def take(self, key: str, told: Told) -> None:
        """What the log of an id tells it."""
        if key == MERGES:
            assert isinstance(told, IdentityMerged | IdentitySplit)
            self.asked.append(told)
        elif isinstance(told, Link | Split) or told.id not in self.left_out:
            self.id(key).take(told)

    def id(self, key: str) -> Id:
        """One id."""
        if key not in self.ids:
            self.ids[key] = Id(key)
        return self.ids[key]

    def root(self, key: str) -> str:
        """The profile that an id belongs to in the end. Raises `AssertionError` where ids belong to each other."""
        way = [key]
        while (to := self.id(way[-1]).now) is not None:
            assert to not in way, f"ids belong to each other: {way} and {to}"
            way.append(to)
        return way[-1]

    def persons(self, placed: Mapping[tuple[str, str], str] | None = None) -> dict[str, list[Fact]]:
        """The facts of each profile, distinct and in order; `placed`: where those are that may be in several places."""
        found: dict[str, list[Fact]] = defaultdict(list)
        for key, one in list(self.ids.items()):
            for target, facts in [*one.past, (one.now, one.facts)]:
                handed_on = self.hands_on and is_held(key) and target is not None and target.startswith(ANONYMOUS)
                root = self.root(key if target is None else target)
                for fact in facts if not handed_on else ():
                    found[(placed or {}).get((key, fact.id), root)].append(fact)
        return {root: distinct(facts) for root, facts in found.items()}

    def places(self) -> dict[tuple[str, str], list[str]]:
        """Whose each fact of a visitor may be who was merged into one that changed hands: by the visitor and the event's id.

        It stays with whom that one belonged to when it came there, which its own log does not say.
        """
        found = {}
        for key, one in list(self.ids.items()):
            met = [key]
            for visitor in met:
                met += [to for to in sorted(self.id(visitor).merged) if to.startswith(ANONYMOUS) and to not in met]
            left = {self.root(to) for visitor in met[1:] for to, _ in self.id(visitor).past}
            for target, facts in [*one.past, (one.now, one.facts)] if left else ():
                home = self.root(key if target is None else target)
                found.update({(key, fact.id): [home, *sorted(left - {home})] for fact in facts})
        return found


def distinct(facts: Iterable[Fact]) -> list[Fact]:
    """Each event once, in order."""
    found: dict[tuple[str, str], Fact] = {}
    for fact in in_order(facts):
        found.setdefault((fact.source, fact.id), fact)
    return list(found.values())


class Money(NamedTuple):
    """Orders, what was paid, and what is left of it."""

    orders: int
    gross: int
    net: int


def money(facts: Sequence[Fact]) -> Money:
    """The sums of one person's orders, in minor units; an order that was told twice counts once."""
    placed: dict[tuple[str, str], OrderCompleted] = {}
    back: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    gone = {(fact.source, fact.order_id) for fact in facts if isinstance(fact, OrderCancelled)}
    for fact in sorted(facts, key=lambda fact: (fact.time, fact.id)):
        if isinstance(fact, OrderCompleted):
            placed.setdefault((fact.source, fact.order_id), fact)
        elif isinstance(fact, OrderRefunded):
            back[fact.source, fact.order_id].setdefault(fact.refund_id, fact.amount_minor)
    net = [max(0, order.net_minor - sum(back[this].values())) for this, order in placed.items() if this not in gone]
    return Money(len(placed), sum(order.total_minor for order in placed.values()), sum(net))


class Person(NamedTuple):
    """What must be true of one profile."""

    facts: list[Fact]
    profile: Profile
    changes: list[Announced]
    """Its path, as one who had all facts in order would have told it."""
    money: Money


def is_held(key: str) -> bool:
    """Whether a key is nobody's: an order or a ticket that waits for its customer."""
    return key.startswith((ORDER, TICKET))


def persons(logs: Iterable[Iterable[Record]], rules: Rules, end: int) -> dict[str, Person]:
    """Each profile in the end, its facts folded from scratch, and time passed up to `end` (ms, exclusive)."""
    return {root: alone(root, facts, rules, end) for root, facts in Family(logs).persons().items() if not is_held(root)}


def alone(key: str, facts: Sequence[Fact], rules: Rules, end: int) -> Person:
    """One who had all of these facts from the beginning."""
    path = Path()
    *_, profile = replay_customer(key, facts, rules, end, path)
    return Person(list(facts), profile, path.changes, money(facts))


def view(profile: Profile) -> dict[str, object]:
    """A profile's stage and facts, without where they stand in the log, nor which of them need no longer be kept one by one."""
    return {
        "stage": profile.stage,
        "first seen": profile.first_seen,
        "touch": profile.touch,
        "consent": profile.consent,
        "account": profile.account,
        "reached": profile.reach_at,
        "acquired": profile.acquired_at,
        "active": max([*profile.recent, *profile.activity], default=None),
        "orders": sorted(
            (
                (o.id, o.time, o.event, o.total_minor, o.net_minor, o.currency, o.cancelled_at,
 *((r.id, r.time, r.amount_minor, r.event) for r in o.refunds))
                for o in profile.orders
            ),
            key=str,
        ),
        "subscriptions": sorted(
            (s.id, *((a.time, a.event, a.kind, a.effective, a.mrr_minor) for a in s.acts)) for s in profile.subscriptions
        ),
        "accounts": sorted((a.id, *a.acts) for a in profile.accounts),
        "trials": sorted((t.id, t.started, t.event, t.begins, t.ends, t.ended) for t in profile.trials),
        "marks": {
            name: (
                m.dropped + len(m.kept),
                min(([m.first] if m.dropped else []) + m.kept[:1]),
                max(([m.last] if m.dropped else []) + m.kept[-1:]),
            )
            for name, m in profile.marks.items()
        },
        "said": {
            name: max((s.time, s.source, s.event, s.value) for s in said) for name, said in profile.said.items() if said
        },
    }  # fmt: skip
