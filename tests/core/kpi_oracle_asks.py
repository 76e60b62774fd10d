"""What the brute force over raw facts asks them again and again: who bought what by when, what was spent, what is one thing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from lifestage.conditions import Plan
from lifestage.facts import (
    AdClick,
    CostRecorded,
    Fact,
)
from tests.core.oracle_ledger import Order, latest, orders_at

DAY = 86_400_000
HOUR = 3_600_000
Values = dict[tuple[str, ...], float]
Persons = dict[str, list[Any]]
"""The facts of each person, each once."""


class Asking:
    """The facts of persons, and the company's own, as of `t` and over the window of `w` ms before it."""

    def __init__(self, persons: Persons, company: Sequence[Any], plan: Plan, t: int, w: int) -> None:
        self.persons = {name: [f for f in latest(facts) if f.time <= t] for name, facts in persons.items()}
        self.company = [f for f in company if f.time <= t]
        self.plan, self.t, self.t0 = plan, t, t - w
        self.values: dict[str, Values] = defaultdict(dict)

    def within(self, time: int | None) -> bool:
        """Whether an instant is in the window."""
        return time is not None and self.t0 < time <= self.t

    def put(self, name: str, top: float | Fraction, bottom: int, *labels: str) -> None:
        """A ratio, where there is a denominator."""
        if bottom:
            self.values[name][labels] = float(Fraction(top) / bottom)

    def money(self, name: str, top: float | Fraction, bottom: int, *labels: str) -> None:
        """An amount in major units of EUR."""
        if bottom:
            self.values[name][("EUR", *labels)] = round(Fraction(top) / bottom) / 100

    def count(self, name: str, n: int, *labels: str) -> None:
        """A count that is not zero."""
        if n:
            self.values[name][labels] = n

    def all_of(self, *kinds: type[Fact]) -> list[Any]:
        """The facts of these kinds in the window, of everybody and of nobody, but not of bots."""
        found = [f for facts in (*self.persons.values(), self.company) for f in facts]
        return [f for f in found if isinstance(f, kinds) and not f.bot and self.within(f.time)]

    def of(self, name: str, *kinds: type[Fact]) -> list[Any]:
        """A person's facts of these kinds by t, in order, but not of bots."""
        return [f for f in self.persons[name] if isinstance(f, kinds) and not f.bot]

    def standing(self, name: str, t: int) -> list[Order]:
        """The orders of a person that stand at t."""
        return [o for o in orders_at(self.persons[name], t, self.plan) if o.fell is None]

    def active(self, t: int) -> set[str]:
        """Who has a standing order in the 90 days up to t."""
        return {p for p in self.persons if any(t - 90 * DAY < o.placed for o in self.standing(p, t))}

    def first(self, name: str) -> int | None:
        """When the first standing order was placed."""
        return min((o.placed for o in self.standing(name, self.t)), default=None)

    def customers(self) -> list[str]:
        """Who has a standing order."""
        return [p for p in self.persons if self.first(p) is not None]

    def new(self) -> list[str]:
        """Whose first standing order is in the window."""
        return [p for p in self.persons if self.within(self.first(p))]

    def channel(self, name: str) -> str:
        """By which a person came first."""
        for f in self.of(name, Fact):
            said = getattr(f, "channel", None) if isinstance(f, AdClick) else None
            said = said or (f.context and (f.context.medium or f.context.source))
            if said:
                return str(said)
        return "direct"

    def spent(self, categories: set[str], channel: str | None = None) -> Fraction:
        """What was spent in the window, by the second."""
        total = Fraction(0)
        for cost in self.company:
            if isinstance(cost, CostRecorded) and cost.category in categories and channel in (None, cost.channel):
                share = min(cost.period_end, self.t) - max(cost.period_start, self.t0)
                total += max(Fraction(0), Fraction(cost.amount_minor * share, cost.period_end - cost.period_start))
        return total

    def things(self, name: str, field: str, *kinds: type[Fact]) -> list[list[Any]]:
        """A person's facts of these kinds by what they name."""
        found: dict[str, list[Any]] = defaultdict(list)
        for f in self.of(name, *kinds):
            if getattr(f, field):
                found[getattr(f, field)].append(f)
        return list(found.values())

    def every(self, field: str, *kinds: type[Fact]) -> list[tuple[str, list[Any]]]:
        """The same of everybody."""
        return [(name, facts) for name in self.persons for facts in self.things(name, field, *kinds)]
