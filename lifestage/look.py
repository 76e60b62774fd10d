"""What a profile says at one instant: the operands of conditions, each a pure function of facts with time ≤ t."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import NamedTuple

from msgspec.structs import replace

from lifestage.profile import DAY, Profile

NEVER = -1
"""Value of a `since_…` operand that has no instant to count from; no comparison with it holds."""


class Look:
    """A profile seen at instant `t` (ms). Built once per judgement; every operand reads from it."""

    __slots__ = ("profile", "t", "day_zone", "standing", "last_purchase", "fell_at", "_days")

    def __init__(self, profile: Profile, t: int, day_zone: int = 0) -> None:
        self.profile, self.t, self.day_zone = profile, t, day_zone
        standing = 0
        last: int | None = None
        fell: int | None = None
        days: dict[int, int] = {}
        for order in profile.orders:
            time = order.time
            if time is None or time > t:
                continue
            end = order.ends_at() if order.refunds else order.cancelled_at
            if end is not None and end <= t:
                # an order cancelled before it was placed falls at once
                end = end if end > time else time
                fell = end if fell is None or end < fell else fell
                continue
            standing += 1
            if last is None or time > last:
                last = time
            day = (time + day_zone) // DAY
            if days.get(day, -1) < time:
                days[day] = time
        self.standing, self.last_purchase, self.fell_at, self._days = standing, last, fell, days

    def order_days(self, window: int | None) -> int:
        """Distinct days with a standing order, ever or in (t − window, t]."""
        if window is None:
            return len(self._days)
        after = self.t - window
        return sum(time > after for time in self._days.values())

    def day_instants(self) -> Iterable[int]:
        """The latest standing order of each order-day."""
        return self._days.values()

    def reached(self) -> int:
        """1 once a visit (no bot), an ad click or a delivered email is among the facts."""
        at = self.profile.reach_at
        return int(at is not None and at <= self.t)

    def acquired(self) -> int:
        """1 once a fact gives acquisition, or an order no longer stands."""
        at = self.profile.acquired_at
        return int((at is not None and at <= self.t) or self.fell_at is not None)

    def since_last_purchase(self) -> int:
        """ms since the latest standing order."""
        return NEVER if self.last_purchase is None else self.t - self.last_purchase

    def since_last_activity(self) -> int:
        """ms since the last activity; without any, since the first fact that gave reach or acquisition."""
        runs, t = self.profile.activity, self.t
        if runs and runs[0] <= t:
            at = bisect_right(runs, t)
            # inside a run the exact instant is not kept, but it is nearer than any window that is asked
            return 0 if at % 2 else t - runs[at - 1]
        starts = [
            s for s in (self.profile.reach_at, self.profile.acquired_at, self.fell_at) if s is not None and s <= t
        ]
        return t - min(starts) if starts else NEVER


def before_falls(profile: Profile, at: int) -> Profile | None:
    """The profile without the refunds and cancellations of the instant `at`; None where no order falls by them."""
    fallen = [o for o in profile.orders if (o.refunds or o.cancelled_at is not None) and o.ends_at() == at]
    if not any(order.time is not None and order.time <= at for order in fallen):
        return None
    standing = [
        replace(
            order,
            cancelled_at=None if order.cancelled_at == at else order.cancelled_at,
            refunds=[refund for refund in order.refunds if refund.time != at],
        )
        for order in profile.orders
    ]
    return replace(profile, orders=standing)


def _purchase_instants(profile: Profile) -> list[int]:
    return [order.time for order in profile.orders if order.time is not None]


def _activity_instants(profile: Profile) -> list[int]:
    # what came before the first activity ages too, until that activity: mails that were delivered to silence
    runs = profile.activity
    return runs[1::2] + [at for at in _all_instants(profile) if at < runs[0]] if runs else _all_instants(profile)


def _all_instants(profile: Profile) -> list[int]:
    """Every instant at which a fact changes what an operand says, unordered."""
    instants = [s for s in (profile.reach_at, profile.acquired_at) if s is not None]
    instants += profile.activity[::2]
    for order in profile.orders:
        if order.time is not None:
            instants.append(order.time)
            end = order.ends_at()
            if end is not None:
                instants.append(max(end, order.time))
    return instants


class Operand(NamedTuple):
    """One thing that a condition may ask. `unit` is count, flag or ms; `instants` are those from which it ages."""

    name: str
    unit: str
    windowed: bool
    value: Callable[[Look, int | None], int]
    code: str
    """The same as an expression over `look` and, where windowed, `{window}`: conditions are compiled from these."""
    instants: Callable[[Profile], list[int]]
    ahead: Callable[[Look], Iterable[int]]
    """Those of `instants` that still matter from the look's instant on, when no fact is later than it."""
    ages: bool
    """Whether its value changes by time alone: windowed counts and `since_…`."""


def _none(_: object) -> list[int]:
    return []


def _last_purchase(look: Look) -> list[int]:
    return [] if look.last_purchase is None else [look.last_purchase]


def _last_activity(look: Look) -> list[int]:
    since = look.since_last_activity()
    return [] if since == NEVER else [look.t - since]


OPERANDS: dict[str, Operand] = {
    operand.name: operand
    for operand in (
        Operand("reached", "flag", False, lambda look, _: look.reached(), "look.reached()", _none, _none, False),
        Operand("acquired", "flag", False, lambda look, _: look.acquired(), "look.acquired()", _none, _none, False),
        Operand("standing_orders", "count", False, lambda look, _: look.standing, "look.standing", _none, _none, False),
        Operand("order_days", "count", True, lambda look, w: look.order_days(w), "look.order_days({window})", _purchase_instants, Look.day_instants, False),
        Operand("since_last_purchase", "ms", False, lambda look, _: look.since_last_purchase(), "look.since_last_purchase()", _purchase_instants, _last_purchase, True),
        Operand("since_last_activity", "ms", False, lambda look, _: look.since_last_activity(), "look.since_last_activity()", _activity_instants, _last_activity, True),
    )
}  # fmt: skip

fact_instants = _all_instants
