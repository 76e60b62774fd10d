"""Live KPIs of orders against the offline functions: on each day what `kpi_contribute` says of the same orders."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lifestage import facts as f
from lifestage.fact import Context, Fact
from lifestage.fold import fold
from lifestage.kpi_contribute import Orders, Sums, customers, money, money_by_channel
from lifestage.kpi_days import Days, end_of_day, whole_days
from lifestage.kpi_kept import Kept
from lifestage.kpi_live import Now
from lifestage.kpi_live_orders import customers as live_customers
from lifestage.kpi_live_orders import orders_by_channel, orders_money
from lifestage.kpi_pages import KeptDays
from lifestage.kpi_step import Counting, everything
from lifestage.kpi_visit import FEW
from lifestage.ledger import KNOWN, find_order, known_order, number
from lifestage.moments import DAY_MS
from lifestage.plan import Compiled
from lifestage.profile import Profile
from tests.core.effort import effort
from tests.core.histories import CLM5, RULES
from tests.core.kpi_live_facts import accept

START = 19_800
"""A day in 2024."""
_DAYS = (0, 0, 1, 5, 6, 7, 29, 30, 31, 59, 88, 89, 90, 91, 119, 120, 179, 180, 181, 269, 270, 364, 365, 366, 400)
PLANS = tuple(
    RULES._replace(plan=Compiled(replace(CLM5, day_zone=zone, min_order_net=least)), window=window)
    for zone in (0, 2 * 3_600_000, -5 * 3_600_000) for least in (None, (600, "EUR")) for window in (1, 7, 30, 90, 365)
)  # fmt: skip


def order_facts(draw: Random, most: int) -> list[Fact]:
    """What happens to some orders, in any order of arrival: versions, refunds in part and in full, cancellations."""
    found: list[Fact] = []
    for n in range(draw.randrange(most)):
        time = (START + draw.choice(_DAYS)) * DAY_MS + draw.choice((0, 1, 22 * 3_600_000, DAY_MS - 1))
        common: dict[str, Any] = {
            "time": time,
            "source": "shop",
            "id": f"e{n}",
            "customer_id": "c",
            "order_id": f"o{draw.randrange(4)}",
        }
        kind = draw.choices(("completed", "updated", "refunded", "cancelled"), (6, 1, 2, 1))[0]
        if kind in ("completed", "updated"):
            net = draw.choice((0, 500, 700, 1000))
            make = f.OrderCompleted if kind == "completed" else f.OrderUpdated
            found.append(
                make(**common, currency=draw.choice(("EUR", "EUR", "USD")), total_minor=net + 100, net_minor=net)
            )
        elif kind == "refunded":
            amount = draw.choice((100, 600, 800, 1100))
            found.append(
                f.OrderRefunded(**common, refund_id=f"r{n}", amount_minor=amount, currency=draw.choice(("EUR", None)))
            )
        else:
            found.append(f.OrderCancelled(**common))
    return found


def folded(told: list[Fact], rules: Any) -> Profile:
    """A profile with these facts in its ledger."""
    profile = Profile()
    for one in told:
        assert isinstance(one, f.OrderCompleted | f.OrderUpdated | f.OrderRefunded | f.OrderCancelled)
        entry = find_order(profile, number(one.source, one.order_id, rules.id_key))
        if known_order(entry, one, rules.id_key) != KNOWN:
            fold(profile, one, -1, rules.id_key, rules.plan.keep, 0)
    return profile


def offline(profile: Profile, day: int, rules: Any) -> Sums:
    """What the offline functions say as of the end of a day."""
    span, terms = whole_days(day, rules.window), rules.plan.terms
    sums: Sums = Counter()
    orders, before = Orders(profile, span.end, terms), Orders(profile, span.begin, terms)
    touch = profile.kpi.touch if profile.kpi is not None else None
    channel = touch[3] if touch is not None and touch[0] <= end_of_day(day) else "direct"
    money(orders, span, sums)
    money_by_channel(orders, span, channel, sums)
    customers(orders, before, span, channel, terms, sums)
    return Counter({name: n for name, n in sums.items() if n})


@effort(600)
@given(st.integers(0, 1 << 40), st.sampled_from(PLANS), st.sampled_from((-1, 0, 3, 30, 100, 200, 400)))
def test_each_day_says_what_the_offline_functions_say(seed: int, rules: Any, today: int) -> None:
    """From the present day on, whichever that is; whatever becomes of orders, and when."""
    profile = folded(order_facts(Random(seed), 9), rules)
    now = Now(START + today, rules.window, rules)
    if seed % 3:
        # by which channel they came is known from a day on that may lie before or behind all others
        told = (START + Random(seed).choice((-9, 0, 1, today, today + 1, today + 40))) * DAY_MS + seed % DAY_MS
        profile.kpi = Kept(rules.window, touch=(told, "web", "e", "cpc"))
    days = Days(rules.window, now.day)
    days.add(orders_money("c", profile, now) + orders_by_channel("c", profile, now))
    days.add(live_customers("c", profile, now))
    for at in sorted({now.day, *(START + day + more for day in _DAYS for more in (0, 1, 90, 365, 366))}):
        if at >= now.day:
            days.turn(at)
            assert days.totals() == offline(profile, at, rules), at - START


CHANNELS = (None, None, None, Context(source="google", medium="cpc"), Context(source="partner", medium="referral"))
AMOUNTS = (500, 700, 700, 700, -100)


def in_turn(draw: Random, most: int) -> list[Fact]:
    """Orders of one person one after another, visits and clicks between them; now and then one that is late or said again, is
    different later, called off or given back, or something on which an order has a bearing."""
    found: list[Fact] = []
    time = START * DAY_MS
    kinds = _KINDS if draw.random() < 0.7 else _KINDS[:3]
    for n in range(draw.randrange(2, most)):
        time += draw.choice(_DAYS) * DAY_MS // draw.choice((1, 1, 4)) + draw.choice((0, 1, 3_600_000))
        common: dict[str, Any] = {"time": time, "source": "shop", "id": f"e{n}", "customer_id": "c"}
        net = draw.choice(AMOUNTS)
        money: dict[str, Any] = {"currency": draw.choice(("EUR", "EUR", "USD")), "total_minor": net, "net_minor": net}
        said: dict[str, Any] = {"context": draw.choice(CHANNELS)}
        known = f"o{draw.randrange(n + 1)}"
        kind = draw.choices(kinds, (8, 3, 1, *[1] * 9)[: len(kinds)])[0]
        if kind == "visit":
            found.append(f.WebVisit(**common, **said, url="/", session_id=f"s{n}"))
        elif kind == "click":
            found.append(f.EmailEvent(**common, message_id=f"m{n}", event="clicked"))
        elif kind == "refund":
            found.append(f.OrderRefunded(**common, order_id=known, refund_id="r", amount_minor=draw.choice((100, 800))))
        elif kind == "cancel":
            found.append(f.OrderCancelled(**common, order_id=known))
        elif kind == "update":
            found.append(f.OrderUpdated(**common, order_id=known, **money))
        elif kind == "lead":
            found.append(f.LeadCaptured(**common, lead_id="l", form="f"))
        elif kind == "answer":
            found.append(
                f.FeedbackReceived(**common, survey_id="q", metric="nps", score=9.0, scale_min=0, scale_max=10)
            )
        elif kind == "cart":
            found.append(f.CartUpdated(**common, cart_id="k"))
        else:
            if kind in ("late", "again"):
                common["time"] -= draw.choice(_DAYS) * DAY_MS
            goods = 100 if kind == "goods" else None
            id = known if kind == "again" else f"o{n}"
            found.append(f.OrderCompleted(**common, **said, **money, order_id=id, cost_of_goods_minor=goods))
    return found


_KINDS = ("order", "visit", "click", "late", "refund", "goods", "again", "cancel", "update", "lead", "answer", "cart")


@effort(400)
@given(st.integers(0, 1 << 40), st.sampled_from(PLANS))
def test_a_further_order_adds_what_is_different_by_it(seed: int, rules: Any) -> None:
    """Fact by fact, while days pass: on each day to come it is what the whole profile adds."""
    draw, profile = Random(seed), Profile()
    rules = rules._replace(lateness=1000 * DAY_MS)
    counting = Counting(KeptDays(Days(rules.window, START - 1)), rules)
    for fact in in_turn(draw, 12):
        counting.turn(fact.time - draw.choice((0, 0, 1, 2)) * DAY_MS)
        before = counting.before("c", profile, fact)
        if accept(profile, fact, rules):
            counting.taken("c", profile, fact, before)
    whole = Days(rules.window, counting.at.day)
    whole.add(everything("c", profile, counting.at))
    for at in range(counting.at.day, counting.at.day + 2 * rules.window + 92, draw.choice((1, 7))):
        counting.days.turn(at)
        whole.turn(at)
        assert counting.days.totals() == whole.totals(), at - START


def test_an_order_given_back_ends_what_many_orders_were_known_to_come_to() -> None:
    """A session begun after it is no act of somebody active, though it was on that day that it was asked before."""
    rules, profile, then = PLANS[3], Profile(), START * DAY_MS
    counting = Counting(KeptDays(Days(rules.window, START)), rules._replace(lateness=1000 * DAY_MS))
    told: list[tuple[str, dict[str, Any], int]] = [("order", {"order_id": f"o{n}"}, -300 + n) for n in range(FEW)]
    told += [("order", {"order_id": "last"}, 0), ("visit", {"session_id": "a"}, 0), ("refund", {"order_id": "last"}, 0)]
    for n, (kind, fields, day) in enumerate([*told, ("visit", {"session_id": "b"}, 0)]):
        common: dict[str, Any] = {"time": then + day * DAY_MS + n, "source": "s", "id": f"{n}", "customer_id": "c"}
        fact: Fact = (
            f.WebVisit(**common, **fields, url="/") if kind == "visit"
            else f.OrderRefunded(**common, **fields, refund_id="r", amount_minor=700) if kind == "refund"
            else f.OrderCompleted(**common, **fields, currency="EUR", total_minor=700, net_minor=700)
        )  # fmt: skip
        before = counting.before("c", profile, fact)
        assert accept(profile, fact, rules)
        counting.taken("c", profile, fact, before)
        if fields.get("session_id") == "a":
            assert counting.days.totals()["acts_of_active",] == 1
    assert counting.days.totals()["acts_of_active",] == 0
    assert counting.days.totals()["sessions",] == 2


@given(st.sampled_from(PLANS), st.integers(0, 40), st.integers(0, 40), st.sampled_from((-100, 0, 700)))
def test_a_channel_of_a_day_to_come_is_told_from_then_on(rules: Any, ordered: int, came: int, net: int) -> None:
    """Whenever the order was, and up to how long the clock is behind both: what a source says may be read days ahead of others."""
    profile, counting = (
        Profile(),
        Counting(KeptDays(Days(rules.window, START + 20)), rules._replace(lateness=DAY_MS * 99)),
    )
    common: dict[str, Any] = {"source": "s", "customer_id": "c"}
    order = f.OrderCompleted(
        **common, id="1", time=(START + ordered) * DAY_MS, order_id="o", currency="EUR", total_minor=net, net_minor=net
    )
    visit = f.WebVisit(
        **common, id="2", time=(START + came) * DAY_MS + 1, url="/", context=Context(source="google", medium="cpc")
    )
    for fact in (order, visit):
        before = counting.before("c", profile, fact)
        assert accept(profile, fact, rules)
        counting.taken("c", profile, fact, before)
    whole = Days(rules.window, START + 20)
    whole.add(everything("c", profile, counting.at))
    assert counting.days.totals() == whole.totals()
    for day in range(START + 21, START + 50 + rules.window):
        counting.days.turn(day)
        whole.turn(day)
        assert counting.days.totals() == whole.totals(), day - START
