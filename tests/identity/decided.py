"""Who belongs to whom where everything comes to rest between one event and the next: from the events alone, without any log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from itertools import chain

from lifestage.facts import (
    Fact,
    IdentityMerged,
    IdentitySplit,
    OrderCompleted,
    OrderUpdated,
    TicketCreated,
)
from lifestage.keys import ANONYMOUS, EMAIL, ORDER, TICKET
from lifestage.sides import facts_from
from tests.identity.offline import Family, is_held
from tests.identity.world import key_in_log

DAY = 86_400_000
MOST = 100
"""Other ids that one profile may have."""


def rank(key: str) -> int:
    """How much an id says of who somebody is."""
    if is_held(key):
        return 0
    return 1 if key.startswith(ANONYMOUS) else 2 if key.startswith(EMAIL) else 3


def precedence(key: str) -> tuple[int, str]:
    """The best id comes first, of several the smallest."""
    return -rank(key), key


def ids_of(fact: Fact) -> list[str]:
    """The ids of persons that an event names, the best first."""
    visitor = None if fact.anonymous_id is None else ANONYMOUS + fact.anonymous_id
    return [id for id in (fact.customer_id, fact.email, visitor) if id is not None]


def thing_of(fact: Fact) -> str | None:
    """The order or ticket whose owner an event makes known."""
    if not ids_of(fact):
        return None
    if isinstance(fact, OrderCompleted | OrderUpdated):
        return f"{ORDER}{fact.source} {fact.order_id}"
    return f"{TICKET}{fact.source} {fact.ticket_id}" if isinstance(fact, TicketCreated) else None


def is_told_again(had: Fact, fact: Fact) -> bool:
    """Whether an event only says once more that an order was placed."""
    if not isinstance(had, OrderCompleted) or not isinstance(fact, OrderCompleted):
        return False
    same = (had.source, had.order_id) == (fact.source, fact.order_id)
    return same and (had.time, had.id) <= (fact.time, fact.id)


class Decided(Family):
    """All ids of a deployment, as each event in turn says whose they are."""

    def __init__(self, facts: Iterable[Fact], left_out: Container[str] = ()) -> None:
        """`left_out`: ids of events that do not count, and ask for nobody."""
        super().__init__()
        self.merged: dict[str, str] = {}
        self.known: dict[str, dict[tuple[str, str], Fact]] = {}
        self.refused: dict[tuple[str, str], int] = {}
        """Who asked for what in vain, and the day of the event by which they did so last."""
        self.parted: dict[str, set[str]] = defaultdict(set)
        """Who was split from whom; it is remembered of one who has joined another, too."""
        for fact in facts:
            for one in facts_from(fact):
                if one.id not in left_out:
                    self.happen(one)

    def same(self, one: str, other: str) -> bool:
        """Whether two ids are one person's now."""
        return self.root(one) == self.root(other)

    def happen(self, fact: Fact) -> None:
        """An event comes in."""
        if isinstance(fact, IdentityMerged | IdentitySplit):
            if not any((fact.source, fact.id) == (asked.source, asked.id) for asked in self.asked):
                self.asked.append(fact)
                self.merge(fact) if isinstance(fact, IdentityMerged) else self.split(fact)
            return
        key = key_in_log(fact)
        news = not self.knows(key, fact)
        self.enter(key, fact)
        if news:
            parted = {*self.parted[self.root(key)]}
            for lower in [id for id in ids_of(fact)[1:] if not self.same(key, id)]:
                self.ask(key, lower, fact.time // DAY, ids_of(fact)[:-1], apart=lower in parted)
            if (thing := thing_of(fact)) is not None:
                held = self.id(thing).facts if self.id(thing).now is None else []
                self.id(thing).facts = [fact for fact in self.id(thing).facts if fact not in held]
                self.id(thing).link(key)
                for one in held:
                    self.enter(thing, one)

    def enter(self, key: str, fact: Fact) -> None:
        """A fact comes under an id; under that of an order or ticket it is its owner's, whose that id is now."""
        owner = self.id(key).now if is_held(key) else None
        self.id(owner or key).take(fact)

    def knows(self, key: str, fact: Fact) -> bool:
        """Whether a person has had an event before."""
        root = self.root(key)
        return any(
            (fact.source, fact.id) == (had.source, had.id) or is_told_again(had, fact)
            for key, one in [*self.ids.items()]
            for target, facts in [*one.past, (one.now, one.facts)]
            if self.root(key if target is None else target) == root
            for had in facts
        )

    def ask(self, key: str, lower: str, day: int, others: list[str], *, apart: bool) -> None:
        """An event that names others says that a lower id is the person's, too; `apart`: from whom it was split."""
        root = self.root(key)
        if day <= self.refused.get((root, lower), day - 1):
            return
        some = sum(self.was_of(id, root) for id in {*self.ids} - {root, lower} if not is_held(id))
        if some < MOST and not apart:
            self.link(lower, key, others)
            if self.root(lower) == root:
                self.parted[root] |= self.parted[lower]
        if not self.same(key, lower):
            self.refused[root, lower] = day
        self.forget_refusals()

    def forget_refusals(self) -> None:
        """Whoever has an id now was refused it in another time."""
        self.refused = {(root, lower): day for (root, lower), day in self.refused.items() if self.root(lower) != root}

    def link(self, lower: str, key: str, others: list[str]) -> None:
        """An id is asked to be somebody's. A visitor who goes to another leaves all that came through them so far."""
        one, through = self.id(lower), self.through(lower)
        before = one.now
        one.link(key, beside=others)
        if before is not None and one.now != before:
            for id in self.ids.values():
                id.past = [(before if to in {lower, *through} else to, facts) for to, facts in id.past]
            for id in map(self.id, through):
                id.past.append((before, id.facts))
                id.facts = []

    def through(self, key: str) -> list[str]:
        """The ids that belong to another, and those that belong to these, and so on."""
        found = [key]
        for one in found:
            found += [id for id, to in self.ids.items() if to.now == one]
        return found[1:]

    def was_of(self, id: str, root: str) -> bool:
        """Whether an id is a person's now, or has left facts with them."""
        return root in {self.root(target) for target in (id, *(target for target, _ in self.id(id).past))}

    def split(self, fact: IdentitySplit) -> None:
        """Each of the ids is a person of its own."""
        for id in fact.ids:
            self.merged.pop(id, None)
            if self.id(id).now is not None:
                self.parted[self.root(id)].add(id)
            self.id(id).split()

    def merge(self, fact: IdentityMerged) -> None:
        """All of the ids are one person, who goes on as the one that is named, or as the best of them."""
        tops = {self.top(id) for id in (*fact.ids, *([] if fact.into is None else [fact.into]))}
        into = min(tops, key=precedence) if fact.into is None else self.top(fact.into)
        if any(rank(id) > rank(into) for id in tops):
            return
        for id in sorted(tops - {into}):
            if self.id(id).now is None:
                self.merged[id] = into
                self.id(id).link(into, merge=True)
                self.refused = {asked: day for asked, day in self.refused.items() if asked[0] != id}
                self.forget_refusals()
                root = self.root(into)
                self.parted[root] = {one for one in self.parted[root] | self.parted[id] if self.root(one) != root}

    def top(self, id: str) -> str:
        """What an id was merged into in the end."""
        while id in self.merged:
            id = self.merged[id]
        return id


class Connected(Family):
    """All ids of a deployment where no id is ever seen with two people, and each customer is seen with their address.

    Whose ids were ever seen together is one person, in whatever order.
    """

    hands_on = False

    def __init__(self, facts: Iterable[Fact]) -> None:
        super().__init__()
        for fact in chain.from_iterable(map(facts_from, facts)):
            key = key_in_log(fact)
            self.id(key).facts.append(fact)
            for other in [*ids_of(fact)[1:], *([] if (thing := thing_of(fact)) is None else [thing])]:
                one, two = sorted((self.root(key), self.root(other)), key=precedence)
                if one != two:
                    self.id(two).now = one
