"""What happens to a few people who go by several ids: visits, orders, mails, and what is said of the ids themselves."""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

from msgspec.structs import replace

from lifestage import language
from lifestage.cause import Rules
from lifestage.facts import (
    ConsentChanged,
    Context,
    EmailEvent,
    Fact,
    FeatureUsed,
    IdentityLinked,
    IdentityMerged,
    IdentitySplit,
    LeadCaptured,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    ProfileUpdated,
    ReferralConverted,
    SubscriptionStarted,
    TicketCreated,
    TicketReplied,
    WebVisit,
)
from lifestage.plan import Compiled
from tests.core.histories import START
from tests.core.oracle import DAY

END = START + 400 * DAY
PLAN = language.parse("""\
plan kin version 1
title "Stages that many kinds of facts bring about"
forget anonymous after 30d

stage churned
    when customer and since_last_purchase >= 60d
    entering is churn
    leaving is reactivation

stage loyal rank 6
    when order_days >= 3 or referrals_converted >= 1

stage buyer rank 5
    when customer

stage keen rank 4
    when visits >= 4 or sessions in 30d >= 3 or trait.vip == "true"

stage asking rank 3
    when tickets >= 1 or ticket_replies >= 1

stage lead rank 2
    when acquired or email_clicks >= 1

stage visitor rank 1
    when reached
""")
RULES = Rules(Compiled(PLAN), announce_anonymous=True)
QUIET = Rules(Compiled(PLAN))
"""Visitors without a name are not announced."""


def address(n: int | str) -> str:
    """The key of an address."""
    return f"email:{n:0>32}"


class Mix(NamedTuple):
    """How people and their ids come about."""

    persons: int = 3
    crossed: float = 0.0
    """How often an id is another person's."""
    merges: float = 0.0
    splits: float = 0.0
    wide: float = 0.0
    """How often a merge names an address or a visitor, too."""
    alike: float = 0.0
    """How often a merge is of visitors, or of addresses, with each other."""
    beyond: float = 0.0
    """How often a merge is into one whom no event names."""
    several: float = 0.0
    """How often a split names several ids at once."""
    repeats: float = 0.1
    less: float = 0.5
    """How often a repeat knows fewer of the ids."""
    held: float = 0.3
    """How often a refund, cancellation or ticket names nobody."""


class Lives:
    """Events of some people by chance, in the order in which they arrive."""

    def __init__(self, chance: Random, mix: Mix) -> None:
        self.chance, self.mix, self.n = chance, mix, 0
        self.orders: list[OrderCompleted] = []
        self.off: set[str] = set()
        self.tickets: list[TicketCreated] = []

    def events(self, count: int) -> list[Fact]:
        """So many events, and some of them once more, all in some order."""
        found: list[tuple[float, int, Fact]] = []
        for place in range(count):
            fact = self.event()
            found.append((place + self.chance.choice((0, 0, 0, 3, -3)), place, fact))
            if self.chance.random() < self.mix.repeats:
                found.append((place + 4 + self.chance.randrange(10), place, self.again(fact)))
        return [fact for _, _, fact in sorted(found, key=lambda item: item[:2])]

    def again(self, fact: Fact) -> Fact:
        """The same event, sent once more, by one who perhaps knows less of whose it is."""
        if self.mix.splits:
            # of what was known under several ids a split makes one: whose it then is depends on which came first
            return fact
        if fact.anonymous_id is not None and self.chance.random() < self.mix.less:
            if fact.customer_id is not None:
                return replace(fact, anonymous_id=None)
            if fact.email is None:
                return fact
        if fact.anonymous_id is not None and fact.email is None and self.chance.random() < self.mix.less:
            return replace(fact, customer_id=None)
        return fact

    def ids(self) -> dict[str, Any]:
        """One to three ids, most of them of one person."""
        person = self.chance.randrange(self.mix.persons)
        n = self.chance.choice((1, 2, 2, 4, 3, 5, 6, 7))
        names: dict[str, Any] = {}
        if n & 1:
            names["customer_id"] = f"c{person}"
        if n & 2:
            names["anonymous_id"] = f"v{self.other(person)}{self.chance.choice('xyy')}"
        if n & 4:
            names["email"] = address(self.other(person))
        return names

    def other(self, person: int) -> int:
        """The person, or now and then another one."""
        return self.chance.randrange(self.mix.persons) if self.chance.random() < self.mix.crossed else person

    def lower(self) -> str:
        """An address or a visitor."""
        n = self.chance.randrange(self.mix.persons)
        return self.chance.choice((address(n), f"anon:v{n}x", f"anon:v{n}y"))

    def one_of(self, lower: bool) -> str:
        """An address or a visitor, or else a customer."""
        return self.lower() if lower else f"c{self.chance.randrange(self.mix.persons)}"

    def common(self, *, named: bool = True) -> dict[str, Any]:
        """What every event has."""
        self.n += 1
        time = START + self.chance.randrange(8 * 30) * DAY // 8 + self.chance.choice((0, 0, 1))
        said: dict[str, Any] = {"time": time, "source": "shop", "id": f"e{self.n:03}"}
        if named:
            said |= self.ids()
        if self.chance.random() < 0.2:
            said["context"] = Context(source=self.chance.choice(("ads", "mail")), medium="m", campaign=f"k{self.n}")
        return said

    def event(self) -> Fact:
        """Something that happens."""
        chance, mix = self.chance, self.mix
        if chance.random() < mix.merges:
            return self.merged()
        if chance.random() < mix.splits:
            several = chance.choice((2, 3)) if chance.random() < mix.several else 1
            ids = (self.one_of(chance.random() < 0.7) for _ in range(several))
            return IdentitySplit(ids=tuple(dict.fromkeys(ids)), **self.common(named=False))
        kind = chance.choice(
            (
                "visit",
                "visit",
                "visit",
                "lead",
                "mail",
                "order",
                "order",
                "back",
                "ticket",
                "reply",
                "said",
                "other_kind",
            )
        )
        return getattr(self, kind)()  # type: ignore[no-any-return]

    def merged(self) -> Fact:
        """Two or three ids are one person's."""
        chance, mix = self.chance, self.mix
        of, beyond = [f"c{n}" for n in range(mix.persons)], "c7"
        if mix.alike and chance.random() < mix.alike:
            of, beyond = [*map(address, range(mix.persons))], address(7)
            if chance.random() < 0.8:
                of, beyond = [f"anon:v{n}{one}" for n in range(mix.persons) for one in "xy"], "anon:v7x"
        some = chance.sample(of, min(len(of), chance.choice((2, 2, 3))))
        if chance.random() < mix.wide:
            some[chance.randrange(len(some))] = self.lower()
        into = beyond if chance.random() < mix.beyond else chance.choice((None, some[0]))
        return IdentityMerged(ids=tuple(some), into=into, **self.common(named=False))

    def visit(self) -> Fact:
        """A visit."""
        return WebVisit(url="/", session_id=self.chance.choice((None, "s1", "s2", "s3")), **self.common())

    def lead(self) -> Fact:
        """A form."""
        return LeadCaptured(lead_id=f"l{self.n}", form="f", **self.common())

    def mail(self) -> Fact:
        """A mail to an address, of which nothing else is known."""
        to: dict[str, Any] = {"email": address(self.chance.randrange(self.mix.persons))}
        event = self.chance.choice(("delivered", "opened", "clicked"))
        return EmailEvent(message_id=f"m{self.n}", event=event, **self.common(named=False), **to)

    def order(self) -> Fact:
        """An order; some are told twice, under two event ids."""
        if self.orders and self.chance.random() < self.mix.repeats:
            told = self.chance.choice(self.orders)
            if told.context is None:
                self.n += 1
                return replace(told, id=f"e{self.n:03}")
        amount = self.chance.choice((500, 1000, 0, 1500))
        placed = OrderCompleted(
            order_id=f"o{self.n}", currency="EUR", total_minor=amount, net_minor=amount, **self.common()
        )
        self.orders.append(placed)
        return placed

    def back(self) -> Fact:
        """An order called off or paid back, by its customer or by one who knows only the order."""
        if not self.orders:
            return self.order()
        of = self.chance.choice(self.orders)
        common = self.common(named=False) | {"time": of.time + self.chance.choice((0, 1, DAY, 10 * DAY))}
        if self.chance.random() >= self.mix.held:
            common |= {"customer_id": of.customer_id, "email": of.email, "anonymous_id": of.anonymous_id}
        common.pop("context", None)
        if self.chance.random() < 0.5 and of.order_id not in self.off:
            self.off.add(of.order_id)
            return OrderCancelled(order_id=of.order_id, **common)
        return OrderRefunded(refund_id=f"r{self.n}", order_id=of.order_id, amount_minor=500, **common)

    def ticket(self) -> Fact:
        """A ticket."""
        opened = TicketCreated(ticket_id=f"i{self.n}", by="customer", **self.common())
        self.tickets.append(opened)
        return opened

    def reply(self) -> Fact:
        """A reply in a ticket, by its number alone."""
        if not self.tickets:
            return self.ticket()
        of = self.chance.choice(self.tickets)
        common = self.common(named=False) | {"time": of.time + self.chance.choice((0, 1, DAY))}
        return TicketReplied(ticket_id=of.ticket_id, by="customer", **common)

    def said(self) -> Fact:
        """What somebody says of themselves."""
        flag = self.chance.random() < 0.5
        if self.chance.random() < 0.5:
            return ProfileUpdated(traits={"vip": flag}, **self.common())
        return ConsentChanged(purposes={"marketing": flag}, **self.common())

    def other_kind(self) -> Fact:
        """A referral of two people, a subscription, a use of a feature, or ids that are one person's."""
        kind = self.chance.randrange(4)
        if kind == 0:
            referrer, referred = (f"c{self.chance.randrange(self.mix.persons)}" for _ in range(2))
            common = self.common(named=False) | {"customer_id": referrer}
            return ReferralConverted(referral_id=f"x{self.n}", referrer_id=referrer, referred_id=referred, **common)
        if kind == 1:
            return SubscriptionStarted(subscription_id=f"u{self.n}", **self.common())
        if kind == 2:
            return FeatureUsed(feature="f", **self.common())
        return IdentityLinked(**self.common())
