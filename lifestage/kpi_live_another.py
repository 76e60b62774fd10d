"""What is different by one more order of a person all of whose orders stand for good, no earlier than the others.

It is counted straight into the sums of the days, as `kpi_live_orders`, `kpi_live_worth` and `kpi_live_visits` say it of all orders.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from lifestage.kpi_contribute import BY_CHANNEL
from lifestage.kpi_days import LEVEL, Days, Known, Name
from lifestage.kpi_gather import DIRECT
from lifestage.kpi_intervals import ACTIVE_DAYS, Intervals, common, within, without
from lifestage.kpi_live import Now
from lifestage.kpi_live_placed import Placed, Stands, amounts_of, placed_of
from lifestage.kpi_live_visits import acts_by_day
from lifestage.kpi_live_worth import GOODS, KNOWN_NET
from lifestage.kpi_spread import BUCKET, COUNT, SUM, bound_of
from lifestage.moments import DAY_MS
from lifestage.profile import Order, Profile
from lifestage.standing import is_small

ACTIVE: Final = 0
ACTIVE_BEFORE: Final = 1
RETAINED: Final = 2
NEW_ACTIVE: Final = 3
REACTIVATED: Final = 4
SPANS: Final = 5
"""From here on two of each: as a flow and as a level."""
_LEVELS = ("active", "active_before", "retained", "new_active", "reactivated")
_SPANS = ("buyers", "returning_customers", "repeat_buyers_by_orders", "repeat_buyers", "acts_of_active")
_NAMES: tuple[Name, ...] = (
    *((LEVEL + name,) for name in _LEVELS), *((sign + name,) for name in _SPANS for sign in ("", LEVEL))
)  # fmt: skip
BUYERS: Final = 5
RETURNING: Final = 7
BY_ORDERS: Final = 9
REPEAT: Final = 11
ACTS: Final = 13


def another(placed: Placed, profile: Profile, now: Now, days: Days) -> bool:
    """Count the last order of a profile, which was added to these; False, and nothing is done, where it is none of them."""
    if profile.orders is not placed.orders or len(placed.orders) != placed.count + 1:
        return False
    order, terms = placed.orders[-1], now.rules.plan.terms
    placed.count += 1
    if terms.min_net is not None and is_small(amounts_of(order), terms.min_net):
        return True
    times, time = placed.times, order.time
    assert times is not None
    assert time is not None
    day = time // DAY_MS
    _count_money(order, profile, day, not times, days)
    _count_worth(order.currency, day, placed.buy(profile, order, terms), placed.bought[order.currency], days)
    if times:
        _count_further(placed, profile, time, days)
    else:
        placed.add(time)
        _count_first(day, days)
        _count_acts(profile, day, day + ACTIVE_DAYS, days)
    return True


def _count_money(order: Order, profile: Profile, day: int, first: bool, days: Days) -> None:
    """What comes in with an order, and who does with a first."""
    touch = profile.kpi.touch if profile.kpi is not None else None
    currency, net = order.currency, order.net_minor
    channel = DIRECT if touch is None else touch[3]
    sums = days.together.get(("order", currency, channel))
    if sums is None:
        sums = days.remember(
            ("order", currency, channel),
            [("gross_revenue", currency), ("net_sold", currency), ("net_refunded", currency), ("net_revenue", currency),
             ("net_revenue" + BY_CHANNEL, currency, channel)],
        )  # fmt: skip
        days.remember(("orders", currency, channel), _of_all(currency, channel))
        days.remember(("first", currency, channel), [*_of_all(currency, channel), *_of_first(channel)])
    days.count(days.together["first" if first else "orders", currency, channel], day, 1)
    days.count_one(sums[0], day, order.total_minor)
    days.count_one(sums[1], day, net)
    if net >= 0:
        days.count_one(sums[3], day, net)
        days.count_one(sums[4], day, net)
    else:
        days.count_one(sums[2], day, net)


def comes_by(profile: Profile, was: str, channel: str, known: int, now: Now, days: Days) -> bool:
    """Tell the orders, and the customer whose they are, by another channel from the day on which it is known; False, and nothing is
    done, where not all orders stand for good, or some are of days to come. The one before must be known by the present day."""
    terms, today, since = now.rules.plan.terms, now.day, now.day - now.window
    if known <= today:
        known = since  # whatever was before is in the present alike
    times = placed_of(profile, terms).times
    if times is None or (len(times) > 1 and times[-1] // DAY_MS > today):
        return False
    for order in profile.orders:
        time = order.time
        assert time is not None
        day, net = time // DAY_MS, order.net_minor
        if day <= since or (terms.min_net is not None and is_small(amounts_of(order), terms.min_net)):
            continue
        for label, sign in ((was, -1), (channel, 1)):
            sums, begin = _by_channel(order.currency, label, days), day if day > known else known
            days.count_span(sums[0], sums[1], begin, day + now.window, sign)
            if net >= 0:
                days.count_span(sums[2], sums[3], begin, day + now.window, sign * net)
    if times and times[0] // DAY_MS > since:
        day, name = times[0] // DAY_MS, "new_customers" + BY_CHANNEL
        for label, sign in ((was, -1), (channel, 1)):
            flow, level = days.known((name, label)), days.known((LEVEL + name, label))
            days.count_span(flow, level, day if day > known else known, day + now.window, sign)
    return True


def _by_channel(currency: str, channel: str, days: Days) -> list[Known]:
    """How many orders there are of a channel, and what they come to; of each the flow and the level."""
    group = "by_channel", currency, channel
    found = days.together.get(group)
    if found is None:
        names = [name + BY_CHANNEL for name in ("orders", LEVEL + "orders", "net_revenue", LEVEL + "net_revenue")]
        found = days.remember(group, [(name, currency, channel) for name in names])
    return found


def _of_all(currency: str, channel: str) -> list[Name]:
    """Of which sums an order is one more."""
    return [("orders", currency), ("orders" + BY_CHANNEL, currency, channel)]


def _of_first(channel: str) -> list[Name]:
    """Of which sums a customer is one more from the first order on."""
    levels = [(LEVEL + name,) for name in ("customers", "active", "new_active")]
    return [("new_customers",), ("new_customers" + BY_CHANNEL, channel), ("buyers",), *levels]


def _count_worth(currency: str, day: int, was: Stands, now: Stands, days: Days) -> None:
    """What a customer has bought is more from a day on."""
    sums = days.together.get(("worth", currency))
    if sums is None:
        names = ("clv_1" + SUM, "clv_orders" + SUM, KNOWN_NET, GOODS, "clv_1" + COUNT, "clv_orders" + COUNT)
        sums = days.remember(("worth", currency), [(LEVEL + name, currency) for name in names])
    orders, net, known_net, goods = was
    days.count_one(sums[0], day, now[1] - net)
    days.count_one(sums[1], day, 1)
    if now[2] != known_net or now[3] != goods:
        days.count_one(sums[2], day, now[2] - known_net)
        days.count_one(sums[3], day, now[3] - goods)
    high, more = bound_of("clv_1", now[1]), bound_of("clv_orders", now[0])
    if orders:
        low, fewer = bound_of("clv_1", net), bound_of("clv_orders", orders)
        if low != high:
            days.count_one(_bucket(_CLV, currency, low, days), day, -1)
            days.count_one(_bucket(_CLV, currency, high, days), day, 1)
        if fewer != more:
            days.count_one(_bucket(_CLV_ORDERS, currency, fewer, days), day, -1)
            days.count_one(_bucket(_CLV_ORDERS, currency, more, days), day, 1)
    else:
        days.count_one(_bucket(_CLV, currency, high, days), day, 1)
        days.count_one(_bucket(_CLV_ORDERS, currency, more, days), day, 1)
        days.count_one(sums[4], day, 1)
        days.count_one(sums[5], day, 1)


_CLV, _CLV_ORDERS = LEVEL + "clv_1" + BUCKET, LEVEL + "clv_orders" + BUCKET


def _bucket(name: str, currency: str, bound: str, days: Days) -> Known:
    return days.known((name, currency, bound))


def _known(days: Days) -> list[Known]:
    found = days.together.get(_NAMES)
    return days.remember(_NAMES, _NAMES) if found is None else found


def _count_first(day: int, days: Days) -> None:
    """The person is a customer from a day on: when they cease to be active and new, and will have been active a window before."""
    of, window = _known(days), days.window
    end, shown = day + ACTIVE_DAYS, day + window
    days.count_one(of[ACTIVE], end, -1)
    days.count_one(of[NEW_ACTIVE], min(end, shown), -1)
    days.count_one(of[ACTIVE_BEFORE], shown, 1)
    days.count_one(of[ACTIVE_BEFORE], shown + ACTIVE_DAYS, -1)
    if shown < end:
        days.count_one(of[RETAINED], shown, 1)
        days.count_one(of[RETAINED], end, -1)


def _count_further(placed: Placed, profile: Profile, time: int, days: Days) -> None:
    """The person buys again."""
    of, window, times = _known(days), days.window, placed.times
    assert times is not None
    day, last = time // DAY_MS, times[-1] // DAY_MS
    begin = day if day > last + window else last + window
    days.count_span(of[BUYERS], of[BUYERS + 1], begin, day + window, 1)
    days.count_span(of[RETURNING], of[RETURNING + 1], begin, day + window, 1)
    before = times[-2] // DAY_MS + window if len(times) > 1 else day
    days.count_span(of[BY_ORDERS], of[BY_ORDERS + 1], before if before > day else day, last + window, 1)
    before = placed.before // DAY_MS + window if placed.before >= 0 else day
    placed.add(time)
    if placed.before == times[-2]:
        days.count_span(of[REPEAT], of[REPEAT + 1], before if before > day else day, last + window, 1)
    begin, end = last + ACTIVE_DAYS, day + ACTIVE_DAYS
    if begin < day:
        begin = day
    if begin >= end:
        return
    _hold(of[ACTIVE], begin, end, days)
    _hold(of[ACTIVE_BEFORE], begin + window, end + window, days)
    if window <= ACTIVE_DAYS and day <= last + window:
        # a window ago they were active already on all these days, and long no new customer any more
        _hold(of[RETAINED], begin, end, days)
    else:
        _count_anew(times, begin, end, of, days)
    _count_acts(profile, begin, end, days)


def _count_anew(times: list[int], begin: int, end: int, of: list[Known], days: Days) -> None:
    """Who is active on more days by the last of some orders is so as a new, a retained or a reactivated one."""
    window, first, more = days.window, times[0] // DAY_MS, [(begin, end)]
    later = [(begin + window, end + window)]
    was: Intervals = []
    for n in range(bisect_left(times, (begin - window - ACTIVE_DAYS + 1) * DAY_MS), len(times) - 1):
        came = times[n] // DAY_MS + window
        if came >= end:
            break
        if was and came <= was[-1][1]:
            was[-1] = was[-1][0], came + ACTIVE_DAYS
        else:
            was.append((came, came + ACTIVE_DAYS))
    is_new = within(more, first, first + window)
    for since, until in common(more, was) + within(later, begin, end):
        _hold(of[RETAINED], since, until, days)
    for since, until in is_new:
        _hold(of[NEW_ACTIVE], since, until, days)
    for since, until in without(without(without(more, was), later), is_new):
        _hold(of[REACTIVATED], since, until, days)


def _hold(level: Known, begin: int, end: int, days: Days) -> None:
    days.count_one(level, begin, 1)
    days.count_one(level, end, -1)


def _count_acts(profile: Profile, begin: int, end: int, days: Days) -> None:
    """Sessions and acts count on these days, too, on which the person is active."""
    if profile.kpi is None:
        return
    of, window, so_far = _known(days), days.window, 0
    for day, amount in acts_by_day(profile.kpi, begin - window).items():
        until = day + window
        if day > begin:
            if day < end:
                days.count_span(of[ACTS], of[ACTS + 1], day, min(until, end), amount)
        elif until < end:
            so_far += amount
            days.count_one(of[ACTS + 1], until, -amount)
        else:
            days.count_span(of[ACTS], of[ACTS + 1], begin, end, amount)
    if so_far:
        days.count_one(of[ACTS + 1], begin, so_far)
