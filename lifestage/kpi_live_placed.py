"""Orders in the order of their time, of which all stand for good: a person's first, and a further one behind all others.

These are nearly all orders. What is different by one of them is told without asking what the person added before, however many
there are, and goes straight into the sums of the days: 65 µs an order when both were asked, compared and taken back.
"""

from __future__ import annotations

from typing import Final

from lifestage.facts import OrderCompleted
from lifestage.kpi_kept import is_bare
from lifestage.kpi_live import Now
from lifestage.kpi_live_worth import standing
from lifestage.kpi_note import brings
from lifestage.kpi_visit import forget_active
from lifestage.ledger import find_order, number
from lifestage.look import Terms
from lifestage.moments import DAY_MS
from lifestage.profile import Order, Profile
from lifestage.standing import is_small

Stands = tuple[int, int, int, int]
"""As `kpi_live_worth.Bought`, without the class: to make one of these takes as long as all else of counting an order's worth."""
_NONE: Final[Stands] = (0, 0, 0, 0)


class Placed:
    """What counts of a person's orders, in order, where all of them stand for good: held beside the profile."""

    def __init__(self, profile: Profile, terms: Terms) -> None:
        self.orders, self.count, self.day_zone = profile.orders, len(profile.orders), terms.day_zone
        self.times: list[int] | None = None
        """When they were placed. None: something became of one of them."""
        self.before = -1
        """The latest that was placed on another day, by the plan's days, than the last."""
        self.bought: dict[str, Stands] = {}
        """What stands of them, by currency."""
        times = []
        for order in profile.orders:
            if not is_plain(order):
                return
            assert order.time is not None
            if terms.min_net is None or not is_small(amounts_of(order), terms.min_net):
                times.append(order.time)
                self.buy(profile, order, terms)
        times.sort()
        self.times = times
        for time in reversed(times):
            if self._day(time) != self._day(times[-1]):
                self.before = time
                break

    def add(self, time: int) -> None:
        """One more, no earlier than any."""
        times = self.times
        assert times is not None
        if times and self._day(time) != self._day(times[-1]):
            self.before = times[-1]
        times.append(time)

    def buy(self, profile: Profile, order: Order, terms: Terms) -> Stands:
        """Count what stands of one of them; returns what stood of those in its currency before."""
        before = self.bought.get(order.currency, _NONE)
        rest = profile.kpi.rest if profile.kpi is not None else None
        if rest is not None and rest.goods:
            more = standing(profile, order, terms)
            self.bought[order.currency] = (
                before[0] + more[0], before[1] + more[1], before[2] + more[2], before[3] + more[3],
            )  # fmt: skip
        else:
            minor = order.net_minor if order.net_minor > 0 else 0
            self.bought[order.currency] = before[0] + 1, before[1] + minor, before[2], before[3]
        return before

    def _day(self, time: int) -> int:
        return (time + self.day_zone) // DAY_MS


def is_plain(order: Order) -> bool:
    """Whether an order stands for good."""
    return order.time is not None and not order.refunds and not order.later and order.cancelled_at is None


def amounts_of(order: Order) -> tuple[int, int, str]:
    """What an order came to when it was placed."""
    return order.total_minor, order.net_minor, order.currency


PLACED = "placed"


def placed_of(profile: Profile, terms: Terms) -> Placed:
    """When a person's orders were placed; until `forget_placed` it is known."""
    found: Placed | None = profile.__dict__.get(PLACED)
    if found is None or found.orders is not profile.orders or found.count != len(profile.orders):
        found = profile.__dict__[PLACED] = Placed(profile, terms)
    return found


def forget_placed(profile: Profile) -> None:
    """Something may become of an order."""
    profile.__dict__.pop(PLACED, None)
    forget_active(profile)


def before_another(profile: Profile, fact: OrderCompleted, now: Now) -> Placed | None:
    """The orders, if a fact is about to add one behind them with which nothing changes but what they and acts say."""
    kept, day = profile.kpi, fact.time // DAY_MS
    if day <= now.day - now.window:
        return None
    if kept is not None:
        if kept.rest is not None and not is_bare(kept.rest):
            return None
        if kept.touch is not None and kept.touch[0] // DAY_MS > day:
            return None
    if profile.orders:
        if fact.context is not None and brings(profile, fact):
            return None
        if find_order(profile, number(fact.source, fact.order_id, now.rules.id_key)) is not None:
            return None
    placed = placed_of(profile, now.rules.plan.terms)
    times = placed.times
    return placed if times is not None and (not times or fact.time >= times[-1]) else None
