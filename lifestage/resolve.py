"""Who belongs to whom, worked out from facts alone: what the owners of the ids decide one after the other, in order of time.

A function of the facts with several ids, and of merges and splits. What is kept is ids and links, no facts: an id that
only ever stands alone costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from lifestage.fact import Fact
from lifestage.facts import (
    IdentityMerged,
    IdentitySplit,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    OrderUpdated,
    SubscriptionAct,
    encode,
)
from lifestage.identity import ALIASES_MAX, ASKED_MAX, HOLDING
from lifestage.keys import ANONYMOUS, MERGES, claims, class_of, key_of, lower_ids
from lifestage.profile import DAY
from lifestage.sides import facts_from

Order = bytes
"""A place among facts by (time, source, id): `order_of`."""

_LASTING = (OrderCompleted, OrderUpdated, OrderRefunded, OrderCancelled, SubscriptionAct)
"""A visitor with one of these is not forgotten."""


def order_of(fact: Fact) -> Order:
    """Bytes in the order of (time, source, id)."""
    return b"%b%b\0%b\0" % (fact.time.to_bytes(8, "big"), fact.source.encode(), fact.id.encode())


class Stay(NamedTuple):
    """Whose the facts of an id are that come before `until`; None: all further ones."""

    until: Order | None
    root: str


class Kept(NamedTuple):
    """An id of a profile, as the profile has it in the end."""

    id: str
    since: int
    """When it was linked, ms."""
    past: bool = False
    """It has gone to another profile since; what came before stays."""


class Resolver:
    """Takes claims, merges and splits in order of time, and then says of each id whose its facts are."""

    def __init__(self) -> None:
        self._to: dict[str, str] = {}
        """Id → the id that it was linked to."""
        self._since: dict[str, int] = {}
        self._past: dict[str, list[tuple[Order, str, int]]] = {}
        """Id that has gone from one to another → up to when, to whom it was linked, and since when."""
        self._began: dict[str, Order] = {}
        """Order or ticket of an anonymous id, which may go to another: from when it was known whose it is."""
        self._below: Counter[str] = Counter()
        """Id → how many belong to it, directly or through others."""
        self._left: dict[str, set[str]] = {}
        """Id → ids that belonged to it and have gone to another; what came before stays."""
        self._left_below: Counter[str] = Counter()
        """Id → how many such there are of it and of those that belong to it, each counted for each that it has left."""
        self._asked: dict[str, dict[str, int]] = {}
        self._apart: dict[str, set[str]] = {}
        self._parted: dict[str, set[str]] = {}
        """Profile → ids that were split from it, or from one that has joined it."""
        self._forest: dict[str, str] = {}
        self._decided: set[tuple[str, str]] = set()
        self.fullest = 0
        """At least the most ids that one profile had at any time."""

    # -- what has happened -----------------------------------------------------------------------

    def claim(self, order: Order, key: str, lowers: Sequence[str]) -> None:
        """A fact under `key` names these lower ids, the higher first."""
        root, time = self.root(key), int.from_bytes(order[:8], "big")
        day, asked = time // DAY, self._asked.get(root, {})
        wanted = []
        for lower in lowers:
            if self.root(lower) == root or asked.get(lower, -1) >= day:
                continue
            if self._is_full(root, lower) or lower in self._parted.get(root, ()):
                self._refused(root, lower, day)
            else:
                wanted.append(lower)
        for lower in wanted:
            if not self._link(lower, key, order, beside=lowers[: lowers.index(lower)]):
                self._refused(root, lower, day)

    def belongs(self, id: str, customer: str, order: Order) -> None:
        """An id of which nothing else is said was seen with a customer: a claim that need not come in its order.

        As long as there is room in the profile (`fullest`), and neither the id nor the customer is merged or split.
        """
        self._to[id] = customer
        self._since[id] = int.from_bytes(order[:8], "big")
        count = self._below[customer] + 1
        self._below[customer] = count
        if count > self.fullest:
            self.fullest = count

    def found(self, order: Order, key: str, thing: str) -> None:
        """A fact under `key` says whose an order or ticket is; the first that does counts."""
        if thing not in self._to:
            self._set(thing, key, order)
            if key.startswith(ANONYMOUS):
                self._began[thing] = order

    def decide(self, fact: IdentityMerged | IdentitySplit) -> bool:
        """Merge or split as somebody asks; False for one that was there before."""
        if (fact.source, fact.id) in self._decided:
            return False
        self._decided.add((fact.source, fact.id))
        if isinstance(fact, IdentitySplit):
            for id in fact.ids:
                self._forest.pop(id, None)
                self._split(id)
            return True
        roots = {self._survivor(id) for id in (*fact.ids, *((fact.into,) if fact.into is not None else ()))}
        into = min(roots, key=_precedence) if fact.into is None else self._survivor(fact.into)
        if len(roots) > 1 and class_of(into) >= max(map(class_of, roots)):
            for id in sorted(roots - {into}):
                self._forest[id] = into
                if not self._link(id, into, order_of(fact), merge=True):
                    del self._forest[id]  # it is somebody's, by what its events say
        return True

    def _survivor(self, id: str) -> str:
        while id in self._forest:
            id = self._forest[id]
        return id

    def _refused(self, root: str, lower: str, day: int) -> None:
        asked = self._asked.setdefault(root, {})
        asked.pop(lower, None)
        asked[lower] = day
        if len(asked) > ASKED_MAX:
            del asked[next(iter(asked))]

    def _link(self, id: str, target: str, order: Order, *, merge: bool = False, beside: Iterable[str] = ()) -> bool:
        """What the owner of an id does when it is asked to belong to `target`, by an event that names others `beside`: whether
        it does."""
        now = self._to.get(id)
        if target in (id, now) or (not merge and not self._apart.get(id, set()).isdisjoint((target, *beside))):
            return False
        if now is not None:
            if merge or not id.startswith(ANONYMOUS):
                return False
            self._leave(id, now, order)
        elif id in self._apart:
            self._apart[id].discard(target)
        self._set(id, target, order)
        self._asked.pop(id, None)
        self._count(target, 1 + self._below[id], self._left_below[id])
        root = self.root(target)
        if self._asked.get(root):
            # whoever has an id now was refused it in another time
            self._asked[root] = {one: day for one, day in self._asked[root].items() if self.root(one) != root}
        if id in self._parted or (merge and root in self._parted):
            parted = self._parted.get(root, set()) | self._parted.get(id, set())
            self._parted[root] = {one for one in parted if not merge or self.root(one) != root}
        return True

    def _leave(self, id: str, now: str, order: Order) -> None:
        """A visitor goes to another than `now`: what came so far stays, also through visitors who were merged into them."""
        through = [id]
        for one in through if self._below[id] else ():
            through += [below for below, to in self._to.items() if to == one and not below.startswith(HOLDING)]
        left = self._left.setdefault(now, set())
        before = len(left) + self._left_below[id]
        for one in through:
            for gone in self._left.pop(one, ()):
                self._past[gone] = [(until, now if to == one else to, since) for until, to, since in self._past[gone]]
                left.add(gone)
            self._past.setdefault(one, []).append((order, now, self._since[one]))
            self._left_below[one] = 0
        left.update(through)
        self._count(now, -1 - self._below[id], len(left) - before)

    def _is_full(self, root: str, lower: str) -> bool:
        """Whether a profile has as many ids beside `lower` as it may; each counts once, also one that has gone to another."""
        present = self._below[root]
        if present >= ALIASES_MAX or present + self._left_below[root] < ALIASES_MAX:
            return present >= ALIASES_MAX
        left = {id for one, ids in self._left.items() if self.root(one) == root for id in ids if self.root(id) != root}
        return present + len(left - {lower}) >= ALIASES_MAX

    def _set(self, id: str, target: str, order: Order) -> None:
        self._to[id] = target
        self._since[id] = int.from_bytes(order[:8], "big")

    def _split(self, id: str) -> None:
        target = self._to.get(id)
        if target is None:
            return
        self._parted.setdefault(self.root(id), set()).add(id)
        del self._to[id]
        self._apart.setdefault(id, set()).add(target)
        self._count(target, -1 - self._below[id], -self._left_below[id])

    def _count(self, id: str | None, more: int, left: int) -> None:
        while id is not None:
            self._below[id] += more
            if left:
                self._left_below[id] += left
            self.fullest = max(self.fullest, self._below[id] + self._left_below.get(id, 0))
            id = self._to.get(id)

    # -- what came of it -------------------------------------------------------------------------

    def root(self, id: str) -> str:
        """The profile that an id belongs to now: itself, where it belongs to nobody."""
        to = self._to
        while (target := to.get(id)) is not None:
            id = target
        return id

    def owner(self, id: str, order: Order) -> str:
        """The profile that a fact belongs to which came under `id` at `order`."""
        if id not in self._past and id not in self._began:
            return self.root(id)
        return next(root for until, root in self.stays(id) if until is None or order < until)

    def stays(self, id: str) -> tuple[Stay, ...]:
        """Whose the facts of an id are, from the first to the last."""
        if not self._past:
            return (Stay(None, self.root(id)),)
        found: list[Stay] = []
        began = self._began.get(id, b"")
        one = self._to[id] if began else id
        past = [(until, to) for until, to, _ in self._past.get(one, ()) if began < until]
        for until, to in [*past, (None, one)]:
            root = self.root(to)
            if found and found[-1].root == root:
                found.pop()
            found.append(Stay(until, root))
        return tuple(found)

    def joined(self, id: str) -> int | None:
        """When an id first belonged to another, ms; None: never, or it was its own again since."""
        past = self._past.get(id)
        return past[0][2] if past else self._since[id] if id in self._to else None

    def ids(self) -> Iterator[str]:
        """Every id whose facts may be another's, and every order or ticket that somebody's is."""
        yield from self._to
        yield from (id for id in self._past if id not in self._to)

    def since(self, id: str) -> int | None:
        """When an id was linked to the one that it belongs to now, ms; None: it is its own."""
        return self._since[id] if id in self._to else None

    def members(self, root: str) -> list[Kept]:
        """The ids that belong to a profile, by name, and those that have left facts there; not its orders and tickets."""
        found = [Kept(id, self._since[id]) for id in self._to if not id.startswith(HOLDING) and self.root(id) == root]
        now = {kept.id for kept in found}
        for id, past in self._past.items():
            left = [since for _, to, since in past if self.root(to) == root]
            if left and id not in now:
                found.append(Kept(id, left[0], past=True))
        return sorted(found)


def _precedence(id: str) -> tuple[int, str]:
    return -class_of(id), id


class Silence(NamedTuple):
    """A time without a fact of an anonymous id or of an order, before it was linked: as long as `ms`, up to `until`.

    A plan that forgets sooner has forgotten what came before.
    """

    id: str
    until: int
    ms: int


def silences(id: str, facts: Iterable[Fact], joined: int | None, least: int) -> list[Silence]:
    """The silences longer than `least` (ms) of an id whose facts come in order, up to when it was linked.

    A visitor who has ordered is not forgotten.
    """
    found: list[Silence] = []
    before: int | None = None
    held = id.startswith(HOLDING)
    for fact in facts:
        if joined is not None and fact.time >= joined:
            break
        if before is not None and fact.time - before > least:
            found.append(Silence(id, fact.time, fact.time - before))
        before = fact.time
        if not held and isinstance(fact, _LASTING):
            return found
    if joined is not None and before is not None and joined - before > least:
        found.append(Silence(id, joined, joined - before))
    return found


class Forgotten(NamedTuple):
    """What a plan has forgotten of the ids of a profile before they were linked to it."""

    before: dict[str, int]
    """Id → facts of it with an earlier time are gone, ms."""

    def has(self, key: str, fact: Fact) -> bool:
        """Whether a fact that came under `key` is forgotten."""
        return fact.time < self.before.get(key, -1)


def forgotten(told: Sequence[Silence], visitors: int | None, held: int | None) -> Forgotten | None:
    """What is forgotten after so much silence (ms; None: never) by visitors, and by orders and tickets."""
    before: dict[str, int] = {}
    for id, until, ms in told:
        most = held if id.startswith(HOLDING) else visitors
        if most is not None and ms > most:
            before[id] = max(until, before.get(id, -1))
    return Forgotten(before) if before else None


_place = itemgetter(0, 1)


class Person(NamedTuple):
    """Whose path is one: the facts of all ids that are theirs in the end."""

    root: str
    facts: list[Fact]
    """In order."""
    silences: list[Silence]


def persons(facts: Iterable[Fact], link: bool = True) -> tuple[list[Person], Resolver]:
    """The persons behind facts in any order, by key, and who belongs to whom. `link`: events with several ids link them.

    Merges and splits are nobody's facts. Raises `ValueError` for a fact that names nobody.
    """
    by_id: dict[str, list[tuple[Order, bytes, Fact]]] = {}
    for given in facts:
        for fact in facts_from(given):
            key = key_of(fact)
            if key is None:
                raise ValueError(f"fact {fact.id!r} of source {fact.source!r} names no customer")
            by_id.setdefault(key, []).append((order_of(fact), encode(fact), fact))
    resolver = resolved(by_id, link)
    found: dict[str, list[tuple[Order, bytes, Fact]]] = {}
    told: dict[str, list[Silence]] = {}
    for id in sorted(by_id.keys() - {MERGES}):
        by_id[id].sort(key=_place)
        for one in by_id[id]:
            found.setdefault(resolver.owner(id, one[0]), []).append(one)
        joined = resolver.joined(id)
        if joined is not None and class_of(id) <= class_of(ANONYMOUS):
            for stay in resolver.stays(id)[:1]:
                told.setdefault(stay.root, []).extend(silences(id, (one[2] for one in by_id[id]), joined, 0))
    return [
        Person(root, [one[2] for one in sorted(found[root], key=_place)], told.get(root, [])) for root in sorted(found)
    ], resolver


def resolved(by_id: Mapping[str, Iterable[tuple[Order, bytes, Fact]]], link: bool) -> Resolver:
    """Who belongs to whom by these facts, each under its key."""
    resolver = Resolver()
    for order, _, fact, key in sorted(((*one, key) for key, facts in by_id.items() for one in facts), key=_place):
        if isinstance(fact, IdentityMerged | IdentitySplit):
            resolver.decide(fact)
        elif link:
            resolver.claim(order, key, lower_ids(fact))
            thing = claims(fact)
            if thing is not None and thing in by_id:
                resolver.found(order, key, thing)
    return resolver


def decided(facts: Iterable[Fact]) -> Counter[str]:
    """The outcomes of merges and splits among facts: each is accepted once."""
    found: Counter[str] = Counter()
    known = set()
    for fact in facts:
        if isinstance(fact, IdentityMerged | IdentitySplit):
            found["duplicate" if (fact.source, fact.id) in known else "accepted"] += 1
            known.add((fact.source, fact.id))
    return found
