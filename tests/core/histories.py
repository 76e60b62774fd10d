"""Histories of one customer for property tests: facts, the order in which they arrive, ticks between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from config.plan_files import sheet_of
from lifestage import log
from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.facts import (
    AdClick,
    EmailEvent,
    Fact,
    LeadCaptured,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    WebVisit,
)
from lifestage.facts import encode as encode_fact
from lifestage.keys import key_of
from lifestage.moments import parse
from lifestage.partition import Partition
from lifestage.plan import Compiled
from tests.core.effort import effort
from tests.core.oracle import DAY

START = 1_706_745_600_000
"""2024-02-01T00:00:00Z: the leap day is among the instants that are tried."""
CLM5 = sheet_of("clm5").plan
RULES = Rules(Compiled(CLM5))
WEEK = 7 * DAY

thorough = effort(300)

# Days at which a timer of one fact meets another fact, and some in between.
_DAYS = (0, 0, 1, 2, 10, 28, 29, 30, 60, 89, 90, 91, 100, 180, 181, 270, 365, 366, 400)
_OFFSETS = (0, 0, 0, 0, 1, -1, 1000, 12 * 3_600_000, DAY - 1)
TIMES = tuple(START + day * DAY + offset for day in _DAYS for offset in _OFFSETS)
times = st.sampled_from(TIMES)


def _fact(kind: str, n: int, time: int, order: int, amount: int, flag: bool, key: dict[str, Any]) -> Fact:
    common: dict[str, Any] = {"time": time, "source": "shop", "id": f"e{n:02}", **key}
    if kind == "visit":
        return WebVisit(url="/", bot=flag and n % 2 == 0, **common)
    if kind == "click":
        return AdClick(campaign_id="c", **common)
    if kind == "lead":
        return LeadCaptured(lead_id=f"l{n}", form="f", **common)
    if kind in {"delivered", "opened", "clicked", "bounced"}:
        channel = "sms" if flag and n % 3 == 0 else "email"
        return EmailEvent(message_id=f"m{n}", event=kind, machine=flag, channel=channel, **common)
    if kind == "order":
        if flag and n % 2 and "customer_id" in key:
            common["email"] = "email:" + "0" * 32
        return OrderCompleted(order_id=f"o{order}", currency="EUR", total_minor=amount, net_minor=amount, **common)
    if kind == "refund":
        return OrderRefunded(refund_id=f"r{n}", order_id=f"o{order}", amount_minor=amount, **common)
    return OrderCancelled(order_id=f"o{order}", **common)


_kinds = ("visit", "visit", "click", "lead", "delivered", "opened", "clicked", "bounced", "order", "order", "order",
          "order", "refund", "refund", "cancel")  # fmt: skip


@st.composite
def facts(draw: st.DrawFn, most: int = 10, customer: str = "c1", kinds: Sequence[str] = _kinds) -> list[Fact]:
    """Facts of one customer in the order of their ids; an order is placed and cancelled once, in any order; refunds too may come before it."""
    key = {"anonymous_id": customer[5:]} if customer.startswith("anon:") else {"customer_id": customer}
    found: list[Fact] = []
    placed = called_off = 0
    for n in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from(kinds))
        order = draw(st.integers(0, 4))
        if kind == "order":
            order, placed = placed, placed + 1
        if kind == "cancel":
            order, called_off = called_off, called_off + 1
        amount = draw(st.sampled_from((500, 1000, 1000, 1500, 0)))
        found.append(_fact(kind, n, draw(times), order, amount, draw(st.booleans()), key))
    return found


class Tick(NamedTuple):
    """The log's clock among the facts of an arrival."""

    time: int


@st.composite
def arrivals(draw: st.DrawFn, most: int = 8, customer: str = "c1") -> list[Fact | Tick]:
    """Facts in some order of arrival, and ticks such that no fact comes later than the lateness allows; last, a tick past all."""
    return _ticked(draw, draw(facts(most, customer)), (0, 0, 0, DAY, WEEK, 100 * DAY, 400 * DAY))


@st.composite
def restless(draw: st.DrawFn) -> list[Fact | Tick]:
    """Orders that are soon called off, many within the lateness: more moves than a profile keeps, and late ones among them."""
    found: list[Fact] = []
    for n in range(draw(st.integers(5, 10))):
        day = draw(st.integers(0, 60)) / 2
        found += [order(day, f"o{n}", f"o{n}"), cancel(day + draw(st.sampled_from((0.5, 1, 1.5))), f"c{n}", f"o{n}")]
    return _ticked(draw, found, (0, 0, 0, 0, 0, DAY, 2 * DAY, 3 * DAY, 5 * DAY, 6 * DAY, WEEK))


def _ticked(draw: st.DrawFn, history: list[Fact], delays: tuple[int, ...]) -> list[Fact | Tick]:
    coming = [(fact.time + draw(st.sampled_from(delays)), n, fact) for n, fact in enumerate(history)]
    waiting = [fact for _, _, fact in sorted(coming)]
    found: list[Fact | Tick] = []
    while waiting:
        if draw(st.booleans()):
            # the oldest that is still to come is at most exactly as late as is allowed
            latest = min(fact.time for fact in waiting) + WEEK
            found.append(Tick(latest - draw(st.sampled_from((0, 1, DAY, WEEK - 1, WEEK, WEEK + 1, 30 * DAY)))))
        found.append(waiting.pop(0))
    newest = max(fact.time for _, _, fact in coming)
    found.append(Tick(newest + 1 + draw(st.sampled_from((0, 1, 30 * DAY, 90 * DAY, 200 * DAY, 400 * DAY)))))
    return found


def _common(day: float, id: str, customer: str) -> dict[str, Any]:
    return {"time": START + round(day * DAY), "source": "shop", "id": id, "customer_id": customer}


def visit(day: float, id: str, customer: str = "c1") -> WebVisit:
    """A visit on a day after the start."""
    return WebVisit(url="/", **_common(day, id, customer))


def mail(day: float, id: str, event: str = "delivered", customer: str = "c1") -> EmailEvent:
    """Something that happened to a mail."""
    return EmailEvent(message_id=f"m-{id}", event=event, **_common(day, id, customer))


def order(day: float, id: str, order_id: str, minor: int = 1000, customer: str = "c1") -> OrderCompleted:
    """An order of so many cents."""
    money: dict[str, Any] = {"currency": "EUR", "total_minor": minor, "net_minor": minor}
    return OrderCompleted(order_id=order_id, **money, **_common(day, id, customer))


def refund(day: float, id: str, order_id: str, minor: int = 1000, customer: str = "c1") -> OrderRefunded:
    """So many cents of an order given back."""
    return OrderRefunded(refund_id=f"r-{id}", order_id=order_id, amount_minor=minor, **_common(day, id, customer))


def cancel(day: float, id: str, order_id: str, customer: str = "c1") -> OrderCancelled:
    """An order called off."""
    return OrderCancelled(order_id=order_id, **_common(day, id, customer))


def at_day(day: float) -> Tick:
    """A tick at the beginning of that instant: what is due before it fires."""
    return Tick(START + round(day * DAY))


Record = tuple[int, bytes | None, bytes]


def record(offset: int, item: Fact | Tick) -> Record:
    """A record of the log as intake writes it."""
    if isinstance(item, Tick):
        return offset, None, log.pack_tick(log.Tick(item.time, live=True))
    key = key_of(item)
    assert key is not None
    return offset, key.encode(), log.pack(log.FACT, encode_fact(item), log.topic_code("purchases"), 0, offset)


def records(items: Iterable[Fact | Tick]) -> list[Record]:
    """Log records with offsets from 0."""
    return [record(offset, item) for offset, item in enumerate(items)]


def partition(rules: Rules = RULES) -> Partition:
    """A partition that has read nothing."""
    return Partition(rules, "customer-events", 3)


def standing_moves(changes: Iterable[Announced]) -> list[tuple[int, str | None]]:
    """The history that a consumer holds: superseded changes taken out, a correction's path put in their place."""
    held: dict[str, list[tuple[int, str | None]]] = {}
    for change in changes:
        data = change.data
        for gone in data.supersedes:
            del held[gone]
        moves = [(parse(step.entered_at), step.stage) for step in data.path]
        held[change.id] = moves if data.kind == "correction" else [(parse(data.entered_at), data.stage)]
    return sorted(move for moves in held.values() for move in moves)
