"""The KPIs' part of a step: what a record changes of the sums of its partition."""

from __future__ import annotations

from typing import Final, cast

from lifestage import kpi_live_persons
from lifestage.cause import Rules
from lifestage.fact import Fact
from lifestage.facts import (
    AdClick,
    AdImpression,
    CostRecorded,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    OrderUpdated,
    SocialEngagement,
    SubscriptionCancelled,
    SubscriptionChanged,
    SubscriptionRenewed,
    SubscriptionStarted,
)
from lifestage.kpi_days import Entries, day_of
from lifestage.kpi_gather import DIRECT
from lifestage.kpi_kept import Kept
from lifestage.kpi_live import Group, Hot, Now
from lifestage.kpi_live_another import another, comes_by
from lifestage.kpi_live_company import company
from lifestage.kpi_live_orders import (
    by_channel,
    customers,
    order_by_channel,
    order_money,
    orders_by_channel,
    orders_money,
)
from lifestage.kpi_live_path import Walked, path, path_after, path_before, path_goes_on
from lifestage.kpi_live_placed import Placed, before_another, forget_placed
from lifestage.kpi_live_visits import leads
from lifestage.kpi_live_worth import Worth, forget_worth, worth, worth_after, worth_before
from lifestage.kpi_note import brings, note, note_touch, touch_told
from lifestage.kpi_pages import KeptDays
from lifestage.ledger import OrderFact, find_order, number
from lifestage.moments import DAY_MS
from lifestage.profile import Profile

ORDERS: Final = frozenset({OrderCompleted, OrderUpdated, OrderRefunded, OrderCancelled})
ACTS: Final = frozenset({SubscriptionStarted, SubscriptionRenewed, SubscriptionChanged, SubscriptionCancelled})
GROUPS: tuple[Group, ...] = (orders_money, orders_by_channel, customers, worth, *kpi_live_persons.GROUPS)
"""All but the path, which is told by its moves."""
TOUCHED: dict[type[Fact], tuple[Group, ...]] = {
    kind: (*groups, customers) if kind in ORDERS else groups for kind, groups in kpi_live_persons.TOUCHED.items()
}
"""By the type of a fact the groups that it may change, but for orders' own money and the path."""
HOT: Final[dict[type[Fact], Hot]] = {
    **dict.fromkeys((AdClick, AdImpression, CostRecorded, SocialEngagement), company), **kpi_live_persons.HOT
}  # fmt: skip
"""By the type of a fact a shorter way than to ask the groups."""
BY_CHANNEL: tuple[Group, ...] = (customers, leads, orders_by_channel)
"""Those that ask by which channel a person came first."""


def everything(key: str, profile: Profile, now: Now) -> Entries:
    """What a person adds in all."""
    return [entry for group in (*GROUPS, path) for entry in group(key, profile, now)]


def _touched(profile: Profile, fact: Fact) -> tuple[Group, ...]:
    """The groups that a fact may change which is about to be noted."""
    groups = TOUCHED.get(type(fact), ())
    if brings(profile, fact):
        groups = (*groups, *(group for group in BY_CHANNEL if group not in groups))
    return groups


class Counting:
    """What the persons of a partition add, followed record by record."""

    def __init__(self, kept: KeptDays, rules: Rules) -> None:
        self.kept, self.days = kept, kept.days
        self.at = Now(self.days.day, self.days.window, rules)
        self._was: Walked | None = None
        """The path as it was, of the profile at hand, once it is about to change."""
        self._worth: Worth | None = None
        self._placed: Placed | None = None
        """The orders of the profile at hand, where the fact at hand is a further one, with which nothing else changes."""
        self._groups: tuple[Group, ...] = ()
        """Those that the fact at hand may change."""
        self._kept: Kept | None = None
        """What is kept of the profile at hand."""

    def turn(self, time: int) -> None:
        """The clock has come to an instant, ms."""
        day = day_of(time)
        if day > self.at.day:
            self.days.turn(day)
            self.at = self.at._replace(day=day)

    # -- the path ------------------------------------------------------------------------------------

    def leaving(self, profile: Profile) -> None:
        """The stage of the profile at hand is about to change, or what was told of it."""
        if self._was is None:
            self._was = path_before(profile)

    def ended(self, key: bytes, profile: Profile) -> None:
        """The record is folded."""
        was = self._was
        if was is not None:
            self._was = None
            name = key.decode()
            if not path_goes_on(was, name, profile, self.at, self.days):
                self.days.add(path_after(was, name, profile, self.at))

    # -- facts ---------------------------------------------------------------------------------------

    def before(self, key: str, profile: Profile, fact: Fact) -> Entries | None:
        """What a fact may change that is about to be taken, as far as it cannot be asked after that; to be handed to `taken`."""
        kind = type(fact)
        if kind in HOT:
            return None
        self._kept = profile.kpi
        if kind in ORDERS:
            self._placed = before_another(profile, fact, self.at) if isinstance(fact, OrderCompleted) else None
            if self._placed is not None:
                return None
            forget_placed(profile)
            self._worth, self._groups = worth_before(profile, self.at), _touched(profile, fact)
            return self._of_order(key, profile, cast("OrderFact", fact))
        if kind in ACTS:
            self._groups = _touched(profile, fact)
            return self._of(self._groups, key, profile)
        return None

    def taken(self, key: str, profile: Profile, fact: Fact, before: Entries | None) -> None:
        """A fact was accepted, or amends what there was."""
        kind = type(fact)
        hot = HOT.get(kind)
        if hot is not None:
            if hot(key, profile, fact, self.at, self.days):
                return
            if self._comes_by(key, profile, fact) and hot(key, profile, fact, self.at, self.days):
                return
            self._note_between(key, profile, fact)
            return
        if profile.kpi is not self._kept:
            # a visitor was forgotten by it, whom nothing is taken back of: who comes now is another
            before = []
        if kind in ORDERS:
            note(profile, fact, self.at)
            if self._placed is not None:
                if another(self._placed, profile, self.at, self.days):
                    forget_worth(profile)
                else:
                    # of a visitor who was forgotten by it nothing is taken back
                    self.days.add(self._of(GROUPS, key, profile))
                return
            self._differ(before or [], self._of_order(key, profile, cast("OrderFact", fact)))
            assert self._worth is not None
            self.days.add(worth_after(self._worth, profile, fact, self.at))
            return
        if kind in ACTS:
            note(profile, fact, self.at)
            self._differ(before or [], self._of(self._groups, key, profile))
            return
        self._note_between(key, profile, fact)

    def _note_between(self, key: str, profile: Profile, fact: Fact) -> None:
        """Note a fact, and ask the groups before and after that."""
        groups = _touched(profile, fact)
        before = self._of(groups, key, profile)
        note(profile, fact, self.at)
        self._differ(before, self._of(groups, key, profile))

    def repeated(self, key: str, profile: Profile, fact: Fact) -> bool:
        """A fact came that repeats what is known; False where nothing is changed by the channel that it tells."""
        if not brings(profile, fact):
            return False
        before = self._of(BY_CHANNEL, key, profile)
        note_touch(profile, fact, self.at)
        self._differ(before, self._of(BY_CHANNEL, key, profile))
        return True

    def _comes_by(self, key: str, profile: Profile, fact: Fact) -> bool:
        """Note only the channel that a fact tells; False where it tells none, or what is told by it are not orders alone."""
        kept = profile.kpi
        if kept is None or (kept.rest is not None and kept.rest.leads):
            return False
        told, was, today = touch_told(kept, fact), kept.touch, self.at.day
        if told is None:
            return False
        by, since = DIRECT if was is None else was[3], told[0] // DAY_MS
        before_today = was is None or was[0] // DAY_MS <= today
        if before_today and comes_by(profile, by, told[3], since, self.at, self.days):
            # nearly always: what was told by the one channel is told by the other
            note_touch(profile, fact, self.at)
            return True
        before = by_channel(key, profile, self.at)
        note_touch(profile, fact, self.at)
        self._differ(before, by_channel(key, profile, self.at))
        return True

    def _of_order(self, key: str, profile: Profile, fact: OrderFact) -> Entries:
        order = find_order(profile, number(fact.source, fact.order_id, self.at.rules.id_key))
        found = self._of(self._groups, key, profile)
        if order is None:
            return found
        if orders_by_channel not in self._groups:
            found += order_by_channel(order, profile, self.at)
        return order_money(order, self.at) + found

    # -- what happens to ids ---------------------------------------------------------------------------

    def all_of(self, key: str, profile: Profile) -> Entries:
        """What a profile adds, to be asked before and after anything may change of it."""
        return everything(key, profile, self.at)

    def changed(self, key: str, profile: Profile, before: Entries) -> None:
        """A profile that added this adds something else now."""
        self._was = None
        forget_placed(profile)
        self._differ(before, everything(key, profile, self.at))

    def _of(self, groups: tuple[Group, ...], key: str, profile: Profile) -> Entries:
        now = self.at
        return [entry for group in groups for entry in group(key, profile, now)]

    def _differ(self, before: Entries, after: Entries) -> None:
        if before != after:
            self.days.add(before, -1)
            self.days.add(after)
