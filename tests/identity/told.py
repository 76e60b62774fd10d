"""Stories of people who go by several ids, told one thing at a time."""

from __future__ import annotations

from random import Random
from typing import Any

from lifestage.cause import Rules
from lifestage.facts import (
    AccountCreated,
    Context,
    EmailEvent,
    Fact,
    IdentityLinked,
    IdentityMerged,
    IdentitySplit,
    LeadCaptured,
    OrderCompleted,
    OrderRefunded,
    WebVisit,
)
from lifestage.profile import Profile
from tests.core.histories import START
from tests.core.oracle import DAY
from tests.identity.judge import wrong
from tests.identity.lives import END, RULES, address
from tests.identity.world import Shape, World


def key(id: str) -> str:
    """The key of an id as stories name it: @1 an address, v1 a visitor's, all else as it is."""
    return address(id[1:]) if id.startswith("@") else f"anon:{id}" if id[0] == "v" and id[1:].isdigit() else id


class Told:
    """A story: each thing that happens has a later day and an id of its own."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.days = 0

    def later(self, days: int = 1) -> Told:
        """Days pass."""
        self.days += days
        return self

    def common(self, who: str) -> dict[str, Any]:
        """What every event has; `who` names ids: c1 a customer's, @1 an address, v1 a visitor's."""
        n = len(self.facts)
        said: dict[str, Any] = {"time": START + self.days * DAY + n * DAY // 8, "source": "shop", "id": f"e{n}"}
        for id in who.split():
            if id.startswith("@"):
                said["email"] = address(id[1:])
            else:
                said["anonymous_id" if id.startswith("v") else "customer_id"] = id
        return said

    def visit(self, who: str, times: int = 1, campaign: str | None = None) -> Told:
        """So many visits."""
        for _ in range(times):
            context = None if campaign is None else Context(source="ads", medium="cpc", campaign=campaign)
            self.facts.append(WebVisit(url="/", context=context, **self.common(who)))
        return self

    def lead(self, who: str) -> Told:
        """A form is sent."""
        self.facts.append(LeadCaptured(lead_id=f"l{len(self.facts)}", form="f", **self.common(who)))
        return self

    def account(self, who: str) -> Told:
        """An account is opened."""
        self.facts.append(AccountCreated(**self.common(who) | {"account_id": "a1"}))
        return self

    def order(self, who: str, order_id: str, minor: int = 1000) -> Told:
        """An order is paid."""
        money: dict[str, Any] = {"currency": "EUR", "total_minor": minor, "net_minor": minor}
        self.facts.append(OrderCompleted(order_id=order_id, **money, **self.common(who)))
        return self

    def refund(self, who: str, order_id: str, minor: int = 1000) -> Told:
        """Money is given back."""
        n = len(self.facts)
        self.facts.append(OrderRefunded(refund_id=f"r{n}", order_id=order_id, amount_minor=minor, **self.common(who)))
        return self

    def mail(self, who: str, event: str = "clicked") -> Told:
        """Something happens to a mail."""
        self.facts.append(EmailEvent(message_id=f"m{len(self.facts)}", event=event, **self.common(who)))
        return self

    def linked(self, who: str) -> Told:
        """Somebody says that these ids are one person's."""
        self.facts.append(IdentityLinked(**self.common(who)))
        return self

    def merged(self, *ids: str, into: str | None = None) -> Told:
        """Somebody says that these are one person."""
        self.facts.append(IdentityMerged(ids=tuple(map(key, ids)), into=into, **self.common("")))
        return self

    def split(self, *ids: str) -> Told:
        """Somebody says that these are persons of their own."""
        self.facts.append(IdentitySplit(ids=tuple(map(key, ids)), **self.common("")))
        return self


def lived(told: Told, seed: int = 0, rules: Rules = RULES, *, orderly: bool = True, end: int = END) -> World:
    """A world in which this has happened, in order or with everything at once, and that is right in every way."""
    shape = Shape(1 + seed % 8, 1 if orderly else 2, crashes=not orderly, ticks=False, orderly=orderly)
    world = World(rules, told.facts, Random(seed), shape)
    world.end(end)
    assert wrong(world, end) == []
    return world


def soon(told: Told) -> int:
    """An instant right after everything."""
    return told.facts[-1].time + 1


def of(world: World, key: str) -> Profile:
    """A profile, or its like for an id that has none."""
    return world.profiles().get(key, Profile())
