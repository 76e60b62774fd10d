"""Lifetime values: what each customer is worth, by four definitions, from what all of them bought and what it cost."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from lifestage.kpi_contribute import Bought
from lifestage.kpi_costs import Shares


class Worths:
    """What lifetime values need of all customers: each is counted, then the values of each can be asked."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._orders: Counter[str] = Counter()
        self._net: Counter[str] = Counter()
        self._known_net: Counter[str] = Counter()
        self._goods: Counter[str] = Counter()

    def count(self, one: Bought) -> None:
        """Take a customer in."""
        currency = one.currency
        self._orders[currency] += one.orders
        self._net[currency] += one.net_minor
        self._known_net[currency] += one.known_net_minor
        self._goods[currency] += one.goods_minor
        if one.is_main:
            self._shares.count(one)

    def settle(self) -> None:
        """All are counted."""
        self._shares.settle()

    def of(self, one: Bought) -> dict[str, Fraction]:
        """A customer's lifetime values in minor units by name; without a known cost of goods there is no CLV 2."""
        currency = one.currency
        found = {"clv_1": Fraction(one.net_minor)}
        known = self._known_net[currency]
        if known > 0:
            found["clv_2"] = one.net_minor * Fraction(known - self._goods[currency], known)
        found["clv_3"] = one.orders * Fraction(self._net[currency], self._orders[currency])
        found["clv_4"] = one.net_minor - one.goods_minor - self._shares.of(one)
        return found
