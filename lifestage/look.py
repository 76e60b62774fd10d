"""What a profile says at one instant: the values of a plan's facts, each a pure function of facts with time ≤ t."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from typing import Final, NamedTuple

from msgspec.structs import replace

from lifestage.ledger import amounts_at, fell_at, net_at, order_instants
from lifestage.profile import CANCELLED, CHANGED, DAY, RENEWED, STARTED, Act, Mark, Named, Profile, Said, Subscription
from lifestage.standing import MANY, is_small, standing_at

NEVER: Final = -1
"""Value of a `since_…` that has no instant to count from; no comparison with it holds."""
ABSENT: Final = -(1 << 62)
"""Value of a score or number that was never given; no comparison with it holds."""


class Terms(NamedTuple):
    """How a plan looks at profiles: `day_zone` in ms, and the least net (minor units, currency) of an order that counts."""

    day_zone: int = 0
    min_net: tuple[int, str] | None = None


PLAIN: Final = Terms()


class Subscribed(NamedTuple):
    """All subscriptions of a customer at an instant."""

    active: bool
    renewals: int
    last_purchase: int
    """Latest start or renewal."""
    ended: int | None
    """Latest end of those that are not active."""
    expanded: bool
    mrr: dict[str, int]
    """By currency, of the active ones."""


class Look:
    """A profile seen at instant `t` (ms). Built once per judgement; every operand reads from it."""

    __slots__ = (
        "profile", "t", "terms", "standing", "last_order", "last_purchase", "fell_at", "subscribed", "customer", "reached",
        "acquired", "_days",
    )  # fmt: skip

    def __init__(self, profile: Profile, t: int, terms: Terms = PLAIN) -> None:
        self.profile, self.t, self.terms = profile, t, terms
        standing = 0
        last: int | None = None
        fell: int | None = None
        days: dict[int, int] = {}
        day_zone, min_net = terms
        orders = profile.orders
        if len(orders) > MANY:
            known = standing_at(profile, t, day_zone, min_net)
            orders, standing, days = list(known.loose.values()), known.count, known.latest
            last = known.last if standing else None
            fell = known.fell[0] if known.fell else None
            if orders:
                days = dict(days)
        for order in orders:
            time = order.time
            if time is None or time > t:
                continue
            if min_net is not None and is_small(amounts_at(order, t), min_net):
                continue
            if order.refunds or order.cancelled_at is not None:
                end = fell_at(order, t)
                if end is not None:
                    fell = end if fell is None or end < fell else fell
                    continue
            standing += 1
            if last is None or time > last:
                last = time
            day = (time + day_zone) // DAY
            if days.get(day, -1) < time:
                days[day] = time
        self.standing, self.last_order, self.fell_at, self._days = standing, last, fell, days
        self.subscribed: Subscribed | None = None
        if profile.subscriptions:
            self.subscribed = subscribed(profile.subscriptions, t)
            if self.subscribed is not None and (last is None or self.subscribed.last_purchase > last):
                last = self.subscribed.last_purchase
        self.last_purchase = last
        self.customer = last is not None
        """With a standing order, or once a subscription was started or renewed."""
        at = profile.reach_at
        self.reached = at is not None and at <= t
        """Once a visit (no bot), an ad click or a delivered email is among the facts."""
        at = profile.acquired_at
        self.acquired = (at is not None and at <= t) or fell is not None
        """Once a fact gives acquisition, or an order no longer stands."""

    # -- orders and subscriptions ----------------------------------------------------------------

    def orders_in(self, window: int | None) -> int:
        """Standing orders, all or those placed in (t − window, t]."""
        return self.standing if window is None else len(self.standing_instants(self.t - window))

    def standing_instants(self, after: int = -1) -> list[int]:
        """When the standing orders after `after` were placed, unordered."""
        t, min_net = self.t, self.terms.min_net
        return [
            order.time
            for order in self.profile.orders
            if order.time is not None and after < order.time <= t and fell_at(order, t) is None
            and (min_net is None or not is_small(amounts_at(order, t), min_net))
        ]  # fmt: skip

    def order_days(self, window: int | None) -> int:
        """Distinct days with a standing order, ever or in (t − window, t]."""
        days = self._days
        if window is None or not days:
            return len(days)
        after, count = self.t - window, 0
        for time in days.values():
            if time > after:
                count += 1
        return count

    def day_instants(self) -> Collection[int]:
        """The latest standing order of each order-day."""
        return self._days.values()

    def since_last_order(self) -> int:
        """ms since the latest standing order."""
        return NEVER if self.last_order is None else self.t - self.last_order

    def since_first_order(self) -> int:
        """ms since the earliest standing order."""
        return self.t - min(self.standing_instants()) if self.standing else NEVER

    def since_last_purchase(self) -> int:
        """ms since the latest standing order, start or renewal of a subscription."""
        return NEVER if self.last_purchase is None else self.t - self.last_purchase

    def net_revenue(self, currency: str, window: int | None) -> int:
        """Minor units that orders of a currency brought, less refunds; all, or those placed in (t − window, t]."""
        t, net = self.t, 0
        after, min_net = -1 if window is None else t - window, self.terms.min_net
        for order in self.profile.orders:
            if order.time is None or not after < order.time <= t:
                continue
            amounts = amounts_at(order, t)
            if amounts[2] == currency and (min_net is None or not is_small(amounts, min_net)):
                net += net_at(order, t)
        return net

    def is_subscribed(self) -> int:
        """1 once a subscription was started or renewed."""
        return int(self.subscribed is not None)

    def active_subscription(self) -> int:
        """1 while a subscription is active."""
        return int(self.subscribed is not None and self.subscribed.active)

    def renewals(self, window: int | None) -> int:
        """Renewals of subscriptions, ever or in (t − window, t]."""
        if window is None:
            return 0 if self.subscribed is None else self.subscribed.renewals
        return sum([1 for at in renewal_instants(self.profile) if self.t - window < at <= self.t])

    def lapsed(self) -> int:
        """1 when a subscription has ended and no purchase is later than its end."""
        ended = None if self.subscribed is None else self.subscribed.ended
        return int(ended is not None and (self.last_purchase is None or self.last_purchase <= ended))

    def expanded(self) -> int:
        """1 while an active subscription brings more a month than at its start."""
        return int(self.subscribed is not None and self.subscribed.expanded)

    def mrr(self, currency: str) -> int:
        """Minor units a month of the active subscriptions in a currency."""
        return 0 if self.subscribed is None else self.subscribed.mrr.get(currency, 0)

    # -- trials and accounts ---------------------------------------------------------------------

    def trial_running(self) -> int:
        """1 while a trial has begun and is neither ended nor past its planned end."""
        t = self.t
        for trial in self.profile.trials:
            if (
                trial.begins is not None and trial.begins <= t
                and (trial.ended is None or trial.ended > t) and (trial.ends is None or trial.ends > t)
            ):  # fmt: skip
                return 1
        return 0

    def accounts_closed(self) -> int:
        """1 when every known account is closed, and no purchase is later than the last closing."""
        t, closed_at = self.t, NEVER
        for account in self.profile.accounts:
            known = [act for act in account.acts if act[0] <= t]
            if known:
                if not known[-1][3]:
                    return 0
                closed_at = max(closed_at, known[-1][0])
        return int(closed_at != NEVER and (self.last_purchase is None or self.last_purchase <= closed_at))

    # -- reach, acquisition, activity ------------------------------------------------------------

    def since_last_activity(self) -> int:
        """ms since the last activity; without any, since the first fact that gave reach or acquisition."""
        recent, runs, t = self.profile.recent, self.profile.activity, self.t
        if recent and recent[0] <= t:
            return t - recent[bisect_right(recent, t) - 1]
        if runs and runs[0] <= t:
            at = bisect_right(runs, t)
            # inside a run, which is from before the lateness, nobody looks; it is nearer than any window that is asked
            return 0 if at % 2 else t - runs[at - 1]
        starts = [
            s for s in (self.profile.reach_at, self.profile.acquired_at, self.fell_at) if s is not None and s <= t
        ]
        return t - min(starts) if starts else NEVER

    # -- signals, distinct things, scores, traits ------------------------------------------------

    def count(self, name: str, window: int | None) -> int:
        """How often a signal came, ever or in (t − window, t]."""
        mark = self.profile.marks.get(name)
        if mark is None:
            return 0
        until = bisect_right(mark.kept, self.t)
        return mark.dropped + until if window is None else until - bisect_right(mark.kept, self.t - window)

    def since_last(self, name: str) -> int:
        """ms since a signal last came."""
        mark = self.profile.marks.get(name)
        if mark is None:
            return NEVER
        until = bisect_right(mark.kept, self.t)
        last = mark.kept[until - 1] if until else NEVER
        if mark.dropped and mark.last > last:
            # an act that comes later than the lateness may be kept although it is older than what was dropped
            last = mark.last
        return NEVER if last == NEVER else self.t - last

    def since_first(self, name: str) -> int:
        """ms since a signal first came."""
        mark = self.profile.marks.get(name)
        if mark is None:
            return NEVER
        first = first_of(mark)
        return self.t - first if first <= self.t else NEVER

    def days(self, name: str, window: int) -> int:
        """Different days in (t − window, t] on which a signal came."""
        return len(self.signal_days(name, self.t - window))

    def signal_days(self, name: str, after: int) -> dict[int, int]:
        """The latest instant of a signal on each day, of those in (after, t]."""
        mark = self.profile.marks.get(name)
        if mark is None:
            return {}
        zone = self.terms.day_zone
        window = mark.kept[bisect_right(mark.kept, after) : bisect_right(mark.kept, self.t)]
        return {(at + zone) // DAY: at for at in window}

    def distinct(self, name: str, window: int) -> int:
        """Different things in (t − window, t]."""
        return len(self.latest_of_each(name, self.t - window))

    def latest_of_each(self, name: str, after: int) -> dict[int, int]:
        """The latest instant of each distinct thing, of those in (after, t]."""
        seen: list[Named] = self.profile.distinct.get(name, [])
        return {one.name: one.time for one in seen if after < one.time <= self.t}

    def latest(self, name: str) -> Said | None:
        """What was said last of a score or trait."""
        found: Said | None = None
        for said in self.profile.said.get(name, ()):
            if said.time > self.t:
                break
            found = said
        return found

    def score(self, name: str, window: int | None) -> int:
        """The latest score in thousandths, if it was given in (t − window, t]."""
        found = self.latest(name)
        if found is None or not isinstance(found.value, int) or (window is not None and found.time <= self.t - window):
            return ABSENT
        return found.value

    def number(self, name: str) -> int:
        """The latest value of a trait in thousandths, where it is a number."""
        return self.score(name, None)

    def text(self, name: str) -> str | None:
        """The latest value of a trait, where it is a text."""
        found = self.latest(name)
        return found.value if found is not None and isinstance(found.value, str) else None


def first_of(mark: Mark) -> int:
    """The first instant of a signal."""
    return mark.first if mark.dropped and (not mark.kept or mark.first < mark.kept[0]) else mark.kept[0]


def subscribed(subscriptions: list[Subscription], t: int) -> Subscribed | None:
    """How all subscriptions stand at `t`; None when none was started or renewed yet."""
    active = expanded = False
    renewals, last, ended = 0, NEVER, None
    mrr: dict[str, int] = {}
    for subscription in subscriptions:
        acts = [act for act in subscription.acts if act.time <= t]
        begun = [index for index, act in enumerate(acts) if act.kind <= RENEWED]
        if not begun:
            continue
        renewals += sum([1 for act in acts if act.kind == RENEWED])
        last = max(last, acts[begun[-1]].time)
        ends = [act.effective for act in acts[begun[-1] + 1 :] if act.kind == CANCELLED and act.effective <= t]
        if ends:
            ended = min(ends) if ended is None else max(ended, min(ends))
            continue
        active = True
        first, now = _prices(acts, begun, t)
        if now is not None and now.currency is not None and now.mrr_minor is not None:
            mrr[now.currency] = mrr.get(now.currency, 0) + now.mrr_minor
            if first is not None and first.currency == now.currency and (first.mrr_minor or 0) < now.mrr_minor:
                expanded = True
    return Subscribed(active, renewals, last, ended, expanded, mrr) if last != NEVER else None


def _prices(acts: list[Act], begun: list[int], t: int) -> tuple[Act | None, Act | None]:
    """What a subscription cost when its present term was started, and what it costs now; of acts that name a price."""
    starts = [index for index in begun if acts[index].kind == STARTED]
    first = acts[starts[-1] if starts else begun[0]]
    # a change that is still to come is not in force; of those in force the latest to come into force counts
    priced = [act for act in acts if act.kind <= CHANGED and act.mrr_minor is not None and act.effective <= t]
    now = max(priced, key=_in_force, default=None)
    return (first if first.mrr_minor is not None else None), now


def _in_force(act: Act) -> tuple[int, int, str]:
    return act.effective, act.time, act.event


def renewal_instants(profile: Profile) -> list[int]:
    """When subscriptions were renewed."""
    return [act.time for subscription in profile.subscriptions for act in subscription.acts if act.kind == RENEWED]


def purchase_instants(profile: Profile) -> list[int]:
    """When orders were placed, and subscriptions started or renewed."""
    found = [order.time for order in profile.orders if order.time is not None]
    for subscription in profile.subscriptions:
        found += [act.time for act in subscription.acts if act.kind <= RENEWED]
    return found


def before_falls(profile: Profile, at: int) -> Profile | None:
    """The profile without the refunds and cancellations of the instant `at`; None where no order falls by them."""
    called_off = [order for order in profile.orders if order.refunds or order.cancelled_at is not None]
    if not any(order.time is not None and order.time <= at and fell_at(order, at) == at for order in called_off):
        return None
    standing = [
        replace(
            order,
            cancelled_at=None if order.cancelled_at == at else order.cancelled_at,
            refunds=[refund for refund in order.refunds if refund.time != at],
        )
        if order.refunds or order.cancelled_at is not None
        else order
        for order in profile.orders
    ]
    return replace(profile, orders=standing)


def effects(profile: Profile) -> list[int]:
    """Instants at which what is known takes effect by itself: ends and price changes of subscriptions, trials."""
    found = [act.effective for s in profile.subscriptions for act in s.acts if act.effective > act.time]
    for trial in profile.trials:
        if trial.begins is not None:
            found.append(trial.begins)
            if trial.ends is not None:
                found.append(trial.ends)
    return found


def fact_instants(profile: Profile) -> list[int]:
    """Every instant at which a fact changes what an operand says, unordered."""
    instants = [s for s in (profile.reach_at, profile.acquired_at) if s is not None]
    instants += profile.activity[::2]
    instants += profile.recent
    for order in profile.orders:
        instants += order_instants(order)
    if profile.subscriptions or profile.trials:
        instants += effects(profile)
        instants += [act.time for s in profile.subscriptions for act in s.acts]
        instants += [trial.ended for trial in profile.trials if trial.ended is not None]
    instants += [act[0] for account in profile.accounts for act in account.acts]
    for mark in profile.marks.values():
        instants += mark.kept
    for seen in profile.distinct.values():
        instants += [one.time for one in seen]
    for said in profile.said.values():
        instants += [one.time for one in said]
    return instants
