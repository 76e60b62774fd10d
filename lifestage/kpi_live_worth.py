"""What a person's orders add to the lifetime values while they are placed, given back and called off.

By currency: how many customers there are, by size what each has brought and how many orders stand, and of the orders of
whose goods a cost is known net and cost. So CLV 1 is there, CLV 2 is it times the margin, CLV 3 the average order times the
number of orders. What customers bear of costs (CLV 4) is not: it takes the first orders of all partitions.

An order changes what its person is worth on few days. These are kept in order beside the profile, and an order in its time
costs the same however many there are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from typing import NamedTuple

from lifestage.fact import Fact
from lifestage.facts import OrderCancelled, OrderCompleted, OrderRefunded, OrderUpdated
from lifestage.kpi_days import LEVEL, Entries, day_of, end_of_day
from lifestage.kpi_kept import Goods
from lifestage.kpi_live import Now
from lifestage.kpi_spread import BUCKET, COUNT, SUM, bound_of
from lifestage.ledger import amounts_at, fell_at, find_order, net_at, number, order_instants, versions
from lifestage.look import Terms
from lifestage.profile import Order, Profile
from lifestage.standing import is_small

ATTRIBUTE = "worth"
KNOWN_NET, GOODS = "clv_known_net", "clv_goods"
"""Net and cost of goods, in minor units, of the standing orders of whose goods a cost is known; by currency."""


class Bought(NamedTuple):
    """What stands of a person's orders in one currency; or by how much that changes."""

    orders: int = 0
    net: int = 0
    known_net: int = 0
    goods: int = 0

    def plus(self, other: Bought) -> Bought:
        """Both together."""
        return Bought(
            self[0] + other[0], self[1] + other[1], self[2] + other[2], self[3] + other[3]
        )  # fmt: skip

    def minus(self, other: Bought) -> Bought:
        """This without the other."""
        return Bought(
            self[0] - other[0], self[1] - other[1], self[2] - other[2], self[3] - other[3]
        )  # fmt: skip


NOTHING = Bought()
Changes = dict[tuple[int, str], Bought]
"""By day and currency."""


class Worth:
    """A person's orders by currency as of the end of the present day and of each later one on which something changes."""

    def __init__(self, profile: Profile, now: Now) -> None:
        self.orders, self.day = profile.orders, now.day
        self.of_order: dict[int, Changes] = {}
        self.base: dict[str, Bought] = {}
        """By currency, as of the present day."""
        self.later: dict[str, tuple[list[int], list[Bought]]] = {}
        """By currency the days to come on which it changes, and what stands from then on."""
        together: defaultdict[tuple[int, str], Bought] = defaultdict(Bought)
        for order in profile.orders:
            theirs = self.of_order[order.id] = changes(order, goods_of(profile, order), now.day, now.rules.plan.terms)
            for place, change in theirs.items():
                together[place] = together[place].plus(change)
        for place, change in sorted(together.items()):
            self._add(place, change, [])

    def turn(self, day: int) -> None:
        """It is this day."""
        self.day = day
        for currency, (days, stands) in self.later.items():
            past = bisect_right(days, day)
            if past:
                self.base[currency] = stands[past - 1]
                del days[:past], stands[:past]

    def change(self, order: Order, goods: list[Goods], terms: Terms) -> Entries:
        """An order is different: what changes by it."""
        was, now = self.of_order.get(order.id), changes(order, goods, self.day, terms)
        self.of_order[order.id] = now
        differs = now
        if was:
            differs = defaultdict(Bought, now)
            for (day, currency), change in was.items():
                place = max(day, self.day), currency
                differs[place] = differs[place].minus(change)
        found: Entries = []
        for place, change in sorted(differs.items()) if len(differs) > 1 else differs.items():
            if change != NOTHING:
                self._add(place, change, found)
        return found

    def told(self) -> Entries:
        """All that they add."""
        found: Entries = []
        for currency in sorted(self.base.keys() | self.later.keys()):
            last = self.base.get(currency, NOTHING)
            _tell(found, currency, self.day, NOTHING, last)
            for day, stands in zip(*self.later.get(currency, ((), ())), strict=True):
                _tell(found, currency, day, last, stands)
                last = stands
        return found

    def _add(self, place: tuple[int, str], change: Bought, found: Entries) -> None:
        """From a day on this much more stands: say what comes of it."""
        day, currency = place
        later = self.later.get(currency)
        if later is None:
            later = self.later[currency] = [], []
        days, stands = later
        at = 0
        last = self.base.get(currency, NOTHING)
        if day <= self.day:
            last, before = last.plus(change), last
            self.base[currency] = last
            _tell(found, currency, self.day, before, last)
        else:
            at = bisect_left(days, day)
            before = last = stands[at - 1] if at else last
            if at == len(days) or days[at] != day:
                days.insert(at, day)
                stands.insert(at, last)
        for n in range(at, len(days)):
            # from this day on it is told of what stood then, no longer of what stood before
            then = stands[n]
            stands[n] = then.plus(change)
            _tell(found, currency, days[n], last, before)
            _tell(found, currency, days[n], then, stands[n])
            before, last = then, stands[n]


def _tell(found: Entries, currency: str, day: int, was: Bought, now: Bought) -> None:
    """Of a customer who had bought this much it is said from a day on that it is that much; nothing without a standing order."""
    if was == now:
        return
    for name, before, after in (("clv_1", was.net, now.net), ("clv_orders", was.orders, now.orders)):
        low = bound_of(name, before) if was.orders else None
        high = bound_of(name, after) if now.orders else None
        if low != high:
            if low is not None:
                found.append(((LEVEL + name + BUCKET, currency, low), day, -1))
            if high is not None:
                found.append(((LEVEL + name + BUCKET, currency, high), day, 1))
            if (low is None) is not (high is None):
                found.append(((LEVEL + name + COUNT, currency), day, 1 if low is None else -1))
        if before != after:
            found.append(((LEVEL + name + SUM, currency), day, after - before))
    if was.known_net != now.known_net:
        found.append(((LEVEL + KNOWN_NET, currency), day, now.known_net - was.known_net))
    if was.goods != now.goods:
        found.append(((LEVEL + GOODS, currency), day, now.goods - was.goods))


def changes(order: Order, goods: list[Goods], today: int, terms: Terms) -> Changes:
    """By how much more stands by an order from a day on: all that was up to today as of today."""
    turns = {max(day_of(at), today) for at in order_instants(order)}
    found: Changes = {}
    last: tuple[str, Bought] | None = None
    for day in sorted(turns):
        stands = _standing(order, goods, end_of_day(day), terms)
        if stands != last:
            if stands is not None:
                found[day, stands[0]] = stands[1]
            if last is not None:
                found[day, last[0]] = found.get((day, last[0]), NOTHING).minus(last[1])
            last = stands
    return found


def _standing(order: Order, goods: list[Goods], t: int, terms: Terms) -> tuple[str, Bought] | None:
    """What stands of an order at an instant, as `kpi_contribute.bought` sees it."""
    if order.time is None or order.time > t:
        return None
    amounts = amounts_at(order, t)
    if (terms.min_net is not None and is_small(amounts, terms.min_net)) or fell_at(order, t) is not None:
        return None
    net = net_at(order, t)
    said = [one for one in goods if one.time <= t]
    return amounts[2], Bought(1, net, net, said[-1].minor) if said else Bought(1, net)


def standing(profile: Profile, order: Order, terms: Terms) -> Bought:
    """What stands of an order that stands for good, from its day on."""
    assert order.time is not None
    stands = _standing(order, goods_of(profile, order), end_of_day(day_of(order.time)), terms)
    return NOTHING if stands is None else stands[1]


def goods_of(profile: Profile, order: Order) -> list[Goods]:
    """What was said of the cost of an order's goods, in order, by those events that the ledger goes by."""
    if profile.kpi is None or profile.kpi.rest is None:
        return []
    told = profile.kpi.rest.goods
    begin = bisect_left(told, order.id, key=_order_of)
    end = bisect_right(told, order.id, lo=begin, key=_order_of)
    if begin == end:
        return []
    count = {(version.event, version.update) for version in versions(order)}
    return [one for one in told[begin:end] if (one.event, one.update) in count]


def _order_of(goods: Goods) -> int:
    return goods.order


def worth_before(profile: Profile, now: Now) -> Worth:
    """What a person's orders are worth: to be asked before a fact of an order is folded, and handed to `worth_after`."""
    found: Worth | None = profile.__dict__.get(ATTRIBUTE)
    if found is None or found.orders is not profile.orders:
        found = profile.__dict__[ATTRIBUTE] = Worth(profile, now)
    elif found.day < now.day:
        found.turn(now.day)
    return found


def forget_worth(profile: Profile) -> None:
    """An order was counted without `worth_after`."""
    profile.__dict__.pop(ATTRIBUTE, None)


def worth_after(was: Worth, profile: Profile, fact: Fact, now: Now) -> Entries:
    """What a fact of an order that was folded and noted since has changed."""
    assert isinstance(fact, OrderCompleted | OrderUpdated | OrderRefunded | OrderCancelled)
    order = find_order(profile, number(fact.source, fact.order_id, now.rules.id_key))
    if order is None:
        return []
    return was.change(order, goods_of(profile, order), now.rules.plan.terms)


def worth(key: str, profile: Profile, now: Now) -> Entries:  # noqa: ARG001  # as every group
    """All that a person's orders add."""
    return worth_before(profile, now).told() if profile.orders else []
