"""How many orders stand together: a running answer for customers with so many that no event may look at them all.

Orders whose every instant is past some instant are counted; those with a later one are looked at one by one, and there are
few of them as long as facts come in their order. It is a cache: never kept, made anew when it is asked for an earlier
instant, and equal to looking at each order (which is what happens below `MANY`).
"""

from __future__ import annotations

from bisect import bisect_left, insort

from lifestage.ledger import amounts_at, fell_at, order_instants
from lifestage.profile import DAY, Order, Profile

MANY = 100
"""Orders from which on a customer's are counted; below, looking at each is as fast."""
LOOSE = 64
"""Orders that are looked at one by one before some are counted: about 10 µs."""
ATTRIBUTE = "standing"


def is_small(amounts: tuple[int, int, str], least: tuple[int, str]) -> bool:
    """Whether an order's amounts are below the least that counts."""
    return amounts[2] == least[1] and amounts[1] < least[0]


class Standing:
    """A customer's orders up to `base`, counted, and the others."""

    def __init__(self, orders: list[Order], day_zone: int, min_net: tuple[int, str] | None, base: int) -> None:
        self.orders, self.day_zone, self.min_net, self.base = orders, day_zone, min_net, base
        self.by_id: dict[int, Order] = {}
        self.loose: dict[int, Order] = {}
        """Orders with an instant after `base`, by id."""
        self.count = 0
        self.fell: list[int] = []
        """When those fell that stand no more, in order."""
        self.latest: dict[int, int] = {}
        """Order-day → the latest order that stands on it. Shared: copy it to change it."""
        self.last = -1
        self._days: dict[int, list[int]] = {}
        for order in orders:
            self.by_id[order.id] = order
            if order.time is not None:
                self._place(order)
        # after a look at long ago all would be looked at one by one for long: then they are counted again, half by half
        self._limit = max(LOOSE, 2 * min(len(self.loose), 32 * LOOSE))

    def _place(self, order: Order) -> None:
        if _settled(order) > self.base:
            self.loose[order.id] = order
        else:
            self._count(order)

    def _outcome(self, order: Order) -> tuple[int | None, int | None]:
        """(when it was placed, None) of an order that stands at `base`; (None, when it fell), or nothing where it counts not."""
        if self.min_net is not None and is_small(amounts_at(order, self.base), self.min_net):
            return None, None
        fell = None
        if order.refunds or order.cancelled_at is not None:
            fell = fell_at(order, self.base)
        return (order.time, None) if fell is None else (None, fell)

    def _count(self, order: Order) -> None:
        placed, fell = self._outcome(order)
        if fell is not None:
            insort(self.fell, fell)
        if placed is None:
            return
        self.count += 1
        day = (placed + self.day_zone) // DAY
        times = self._days.get(day)
        if times is None:
            times = self._days[day] = []
        insort(times, placed)
        self.latest[day] = times[-1]
        if placed > self.last:
            self.last = placed

    def _discount(self, order: Order) -> None:
        placed, fell = self._outcome(order)
        if fell is not None:
            del self.fell[bisect_left(self.fell, fell)]
        if placed is None:
            return
        self.count -= 1
        day = (placed + self.day_zone) // DAY
        times = self._days[day]
        del times[bisect_left(times, placed)]
        if times:
            self.latest[day] = times[-1]
        else:
            del self._days[day], self.latest[day]
        if placed == self.last:
            self.last = max(self.latest.values(), default=-1)

    # -- kept up to date by the ledger -----------------------------------------------------------

    def before_change(self, order: Order) -> None:
        """An order is about to change: until `after_change` it is not counted."""
        if order.time is not None and self.loose.pop(order.id, None) is None:
            self._discount(order)

    def after_change(self, order: Order) -> None:
        """An order has changed, or is new."""
        self.by_id[order.id] = order
        if order.time is not None:
            self._place(order)

    # -- asked by looks --------------------------------------------------------------------------

    def settle(self, t: int) -> None:
        """When many are looked at one by one: count the earlier half of those that are past at `t`."""
        if len(self.loose) <= self._limit:
            return
        past = sorted([at for at in map(_settled, self.loose.values()) if at <= t])
        if len(past) <= self._limit // 2:
            # nearly all are still to come
            self._limit = 2 * len(self.loose)
            return
        self.base = past[len(past) // 2]
        for order in [order for order in self.loose.values() if _settled(order) <= self.base]:
            del self.loose[order.id]
            self._count(order)


def _settled(order: Order) -> int:
    """From when on an order stays what it is."""
    if not order.refunds and order.cancelled_at is None and not order.later:
        assert order.time is not None
        return order.time
    return max(order_instants(order))


def known_standing(profile: Profile) -> Standing | None:
    """The running answer for a profile, where there is one."""
    found: Standing | None = profile.__dict__.get(ATTRIBUTE)
    return found if found is not None and found.orders is profile.orders else None


def standing_at(profile: Profile, t: int, day_zone: int, min_net: tuple[int, str] | None) -> Standing:
    """The running answer for a profile with many orders, counted up to an instant that is not after `t`."""
    found = known_standing(profile)
    if found is None or found.base > t or found.day_zone != day_zone or found.min_net != min_net:
        found = profile.__dict__[ATTRIBUTE] = Standing(profile.orders, day_zone, min_net, t)
    else:
        found.settle(t)
    return found
