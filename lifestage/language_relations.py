"""What holds between the facts of any profile at any instant: proofs that a condition makes no sense rest on these.

Only what is true of every profile stands here. A visit of a product page is a visit, so there are at least as many
visits, the last visit is no longer ago, and the first no shorter; different days with something are no more than the
times it happened, nor than the days that a window touches; and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from lifestage.language_facts import TRAIT, TRAIT_NUMBER
from lifestage.look import ABSENT, NEVER
from lifestage.operands import OPERANDS, Value
from lifestage.signals import SCALES, SIGNALS

Variable = tuple[str, int | None, str | None]
"""A fact, its window, and its currency or trait."""

DAY = 86_400_000
FOREVER = 1 << 62
COUNT, DAYS, DISTINCT, LAST, FIRST = "count", "days", "distinct", "last", "first"
COUNTED = frozenset({COUNT, DAYS, DISTINCT})

_NARROWER = {
    "product_visits": ("visits",),
    "pricing_visits": ("visits",),
    "qualified_leads": ("leads",),
    "good_reviews": ("reviews",),
    "orders": ("purchases",),
    "renewals": ("purchases",),
}
"""Whatever is the first is the others, too."""
_NO_ACTIVITY = frozenset({
    "social_acts", "email_deliveries", "email_bounces", "email_complaints", "email_subscribes", "email_unsubscribes",
})  # fmt: skip
_MAKES = {
    "visits": ("reached",),
    "ad_clicks": ("reached",),
    "email_deliveries": ("reached",),
    "leads": ("acquired",),
    "trials": ("acquired",),
    "signups": ("acquired",),
    "email_clicks": ("acquired",),
    "tickets": ("acquired",),
    "orders": ("customer",),
    "purchases": ("customer",),
    "renewals": ("customer", "subscribed"),
}
"""Flags that are true once the thing has happened."""
_FLAGS = {
    "subscribed": ("customer",),
    "active_subscription": ("subscribed", "customer"),
    "subscription_lapsed": ("subscribed", "customer"),
    "subscription_expanded": ("active_subscription", "subscribed", "customer"),
}
"""Flags that are true where another is."""
_KNOWN = {"customer": "purchases", "subscribed": "purchases", "reached": "activity", "acquired": "activity"}
"""Flags that, where true, have an instant to count from: since_last_purchase, since_last_activity."""


class Asks(NamedTuple):
    """What a fact says of which thing: how often, on how many days, how many different ones, since the last or the first."""

    how: str
    thing: str


def _asks() -> dict[str, Asks]:
    found = {
        "standing_orders": Asks(COUNT, "orders"),
        "order_days": Asks(DAYS, "orders"),
        "since_last_order": Asks(LAST, "orders"),
        "since_first_order": Asks(FIRST, "orders"),
        "since_last_purchase": Asks(LAST, "purchases"),
        "subscription_renewals": Asks(COUNT, "renewals"),
        "since_last_activity": Asks(LAST, "activity"),
        "sessions": Asks(DISTINCT, "visits"),
        "features": Asks(DISTINCT, "feature_uses"),
    }
    for signal in SIGNALS:
        found[signal.name] = Asks(COUNT, signal.name)
        found[f"{signal.one}_days"] = Asks(DAYS, signal.name)
        found[f"since_last_{signal.one}"] = Asks(LAST, signal.name)
        found[f"since_first_{signal.one}"] = Asks(FIRST, signal.name)
    return found


ASKS = _asks()


def _wider() -> dict[str, frozenset[str]]:
    active = {signal.name for signal in SIGNALS} - _NO_ACTIVITY
    things = {asks.thing for asks in ASKS.values()}
    return {
        thing: frozenset({thing, *_NARROWER.get(thing, ()), *(("activity",) if thing in active else ())})
        for thing in things
    }


WIDER = _wider()
"""By thing: itself, and what it is as well."""
MAKES = {thing: frozenset(flag for wide in WIDER[thing] for flag in _MAKES.get(wide, ())) for thing in WIDER}

Relation = Callable[[Value, Value], bool]


def possible(said: Mapping[Variable, Value]) -> bool:
    """Whether one profile could say all of this at one instant."""
    return all(fits(variable, said) for variable in said)


def fits(variable: Variable, said: Mapping[Variable, Value]) -> bool:
    """Whether what is said of one fact agrees with what is said of the others."""
    value = said[variable]
    if not _alone(variable, value):
        return False
    for other, known in said.items():
        for relation in relations(variable, other):
            if not relation(value, known):
                return False
        for relation in relations(other, variable):
            if not relation(known, value):
                return False
    return _buys(said)


def _alone(variable: Variable, value: Value) -> bool:
    name, window, _ = variable
    asks = ASKS.get(name)
    if asks is not None and asks.how == DAYS and window is not None and isinstance(value, int):
        # a window of one day touches two; one of a millisecond touches one
        return value <= (window + DAY - 2) // DAY + 1
    if name in SCALES and isinstance(value, int) and value != ABSENT:
        low, high = SCALES[name]
        return low * 1000 <= value <= high * 1000
    return True


def _buys(said: Mapping[Variable, Value]) -> bool:
    """A customer has an order that stands, or has subscribed."""
    orders = said.get(("standing_orders", None, None))
    customer = said.get(("customer", None, None))
    purchase = said.get(("since_last_purchase", None, None))
    bought = customer == 1 or (purchase is not None and purchase != NEVER)
    return not (bought and orders == 0 and said.get(("subscribed", None, None)) == 0)


@lru_cache(maxsize=20_000)
def relations(one: Variable, other: Variable) -> tuple[Relation, ...]:
    """What must hold between the values of two facts, in this order of them, for any customer at any instant."""
    if one == other:
        return ()
    return tuple(_related(one, other))


def _related(one: Variable, other: Variable) -> Iterable[Relation]:
    within = (one[1] or FOREVER) <= (other[1] or FOREVER)
    if one[0] == other[0]:
        if one[2] == other[2] and within:
            yield _same_score if OPERANDS[one[0]].unit == "score" else _at_most
        return
    here, there = ASKS.get(one[0]), ASKS.get(other[0])
    if here is not None and there is not None:
        if there.thing in WIDER[here.thing]:
            yield from _things(here, one[1], there, other[1])
    elif here is not None and other[0] in MAKES[here.thing]:
        yield _makes
    elif there is not None and _KNOWN.get(one[0]) == there.thing and there.how == LAST:
        yield _is_known
    elif other[0] in _FLAGS.get(one[0], ()) or (one[0] == "mrr" and other[0] in _FLAGS["subscription_expanded"]):
        yield _makes
    if one[0] == TRAIT and other[0] == TRAIT_NUMBER and one[2] == other[2]:
        yield _not_both


def _at_most(one: Value, other: Value) -> bool:
    assert isinstance(one, int)
    assert isinstance(other, int)
    return one <= other


def _same_score(one: Value, other: Value) -> bool:
    return one in {ABSENT, other}


def _not_both(one: Value, other: Value) -> bool:
    return one is None or other == ABSENT


def _happened(value: Value) -> bool:
    """Whether a count, or a length of time, or an amount says that there was something."""
    return value not in {0, NEVER}


def _makes(one: Value, other: Value) -> bool:
    return other == 1 or one in {0, NEVER}


def _is_known(one: Value, other: Value) -> bool:
    return one != 1 or other != NEVER


def _things(here: Asks, window: int | None, there: Asks, other: int | None) -> Iterable[Relation]:
    """Relations of a fact about a thing to one about the same, or a wider one."""
    if here.how in COUNTED:
        yield from _from_count(here, window, there, other)
        return
    if there.how == DISTINCT and there.thing == "visits":
        return  # visits need not name a session
    if there.how in COUNTED:
        yield lambda one, n: n != 0 or one == NEVER or (other is not None and _int(one) >= other)
    elif here.how == there.how == FIRST:
        yield lambda one, first: one == NEVER or (first != NEVER and _int(first) >= _int(one))
    elif there.how == FIRST:
        yield lambda last, first: last == NEVER or (first != NEVER and _int(first) >= _int(last))
    else:
        yield lambda one, last: one == NEVER or (last != NEVER and _int(last) <= _int(one))
    if here.thing == there.thing and here.how != there.how and there.how not in COUNTED:
        yield lambda one, two: (one == NEVER) == (two == NEVER)


def _from_count(here: Asks, window: int | None, there: Asks, other: int | None) -> Iterable[Relation]:
    within = (window or FOREVER) <= (other or FOREVER)
    if there.how == LAST:
        yield lambda n, last: n == 0 or (last != NEVER and (window is None or _int(last) < window))
    elif there.how == FIRST:
        yield lambda n, first: n == 0 or first != NEVER
    elif within:
        if there.how == COUNT or here.how == there.how == DAYS:
            yield _at_most
        if not (there.how == DISTINCT and there.thing == "visits"):
            yield lambda n, more: n == 0 or more != 0


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value
