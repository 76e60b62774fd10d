"""What KPIs need of a person whose facts came under several ids: the union of what is kept of each; and what may be forgotten.

Each event counts once although several sets have it, and which set comes first makes no difference. What goes is what no
window can ask for any more, so that nothing is different by it; but of two sets united later it is not known any more which
visit of a session, or event of a message, was the first of one millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import TypeVar

from lifestage.kpi_kept import (
    Cart,
    Counts,
    Kept,
    Lead,
    Message,
    Rest,
    Session,
    Ticket,
    Trial,
    answered,
    furthest,
    joined,
    last_of_each_day,
)
from lifestage.kpi_runs import SPARE_DAYS, Kind, united_things
from lifestage.moments import DAY_MS

HELP_DAYS = 8
"""Of tickets it is asked whether they came at most 7 d before a first order in the window."""
_NEVER = 1 << 62
_Told = TypeVar("_Told", bound=tuple[object, ...])


def all_united(kept: Sequence[Kept]) -> Kept | None:
    """What is kept of who is all of them, sharing nothing that changes with any; None of nobody."""
    return reduce(unite, kept[1:], unite(kept[0], kept[0])) if kept else None


def unite(a: Kept, b: Kept) -> Kept:
    """What is kept of who is both; it shares nothing that changes with either."""
    runs = [*zip(a.visits[::2], a.visits[1::2], strict=True), *zip(b.visits[::2], b.visits[1::2], strict=True)]
    window = max(a.window, b.window)
    limit = window + SPARE_DAYS
    both = Kept(window, min(a.looked, b.looked), 0, joined(runs, window), _least(a.touch, b.touch))
    if a.begun or b.begun:
        sessions = a.sessions
        both.sessions = united_things(sessions, sessions if a is b else b.sessions, limit, SESSIONS)
    if a.posted or b.posted:
        messages = a.messages
        both.messages = united_things(messages, messages if a is b else b.messages, limit, MESSAGES)
    if a.rest is not None or b.rest is not None:
        both.rest = _rest(a.rest or Rest(), b.rest or Rest(), limit)
    return both


def _least(a: _Told | None, b: _Told | None) -> _Told | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)


def _first(a: int | None, b: int | None) -> int | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)


def _rest(a: Rest, b: Rest, limit: int) -> Rest:
    return Rest(
        counts={
            name: united_counts(a.counts.get(name, ()), b.counts.get(name, ()))
            for name in sorted(a.counts.keys() | b.counts.keys())
        },
        leads=united_things(a.leads, b.leads, limit, LEADS),
        trials={
            id: _trial(a.trials.get(id, b.trials.get(id, Trial())), b.trials.get(id, a.trials.get(id, Trial())))
            for id in sorted(a.trials.keys() | b.trials.keys())
        },
        carts=united_things(a.carts, b.carts, limit, CARTS),
        tickets=united_things(a.tickets, b.tickets, limit, TICKETS),
        answers={
            metric: last_of_each_day([*a.answers.get(metric, ()), *b.answers.get(metric, ())])
            for metric in sorted(a.answers.keys() | b.answers.keys())
        },
        praise=sorted({*a.praise, *b.praise}),
        won=sorted({*a.won, *b.won}),
        referred=_first(a.referred, b.referred),
        asked=sorted({*a.asked, *b.asked}),
        goods=sorted({*a.goods, *b.goods}),
    )


def united_counts(a: Counts, b: Counts) -> Counts:
    """Amounts by day, those of one event once."""
    if a is b:
        b = ()
    events: dict[tuple[int, int], int] = {}
    days: dict[int, int] = {}
    for counts in (a, b):
        for day, amount, event in _threes(counts):
            if event:
                events[day, event] = min(amount, events.get((day, event), amount))
            else:
                days[day] = days.get(day, 0) + amount
    told = [(day, event, amount) for (day, event), amount in events.items()]
    told += [(day, 0, amount) for day, amount in days.items()]
    return tuple([number for day, event, amount in sorted(told) for number in (day, amount, event)])


def _threes(counts: Counts) -> Iterable[tuple[int, int, int]]:
    return zip(counts[::3], counts[1::3], counts[2::3], strict=True)


def _session(a: Session, b: Session) -> Session:
    first = a if (a.began, a.event) <= (b.began, b.event) else b
    return Session(first.began, first.event, first.origin, united_counts(a.visits, b.visits if a is not b else ()))


def _message(a: Message, b: Message) -> Message:
    first = a if (a.first, a.event) <= (b.first, b.event) else b
    days = [max(x, y) if x < 0 or y < 0 else min(x, y) for x, y in zip(a.days[:-1], b.days[:-1], strict=True)]
    last = max(a.days[-1], b.days[-1])
    return Message(first.first, first.event, first.channel, (*days, last), first.mailbox, first.campaign)


def _lead(a: Lead, b: Lead) -> Lead:
    return Lead(min(a.captured, b.captured), max(a.last, b.last), last_of_each_day([*a.said, *b.said]))


def _trial(a: Trial, b: Trial) -> Trial:
    start = min((one.start for one in (a, b) if one.start is not None), key=lambda start: start[:2], default=None)
    return Trial(start, _first(a.ended, b.ended), _first(a.converted, b.converted))


def _cart(a: Cart, b: Cart) -> Cart:
    latest: dict[int, int] = {}
    for at in sorted({*a.acts, *b.acts}):
        latest[at // DAY_MS] = at
    return Cart(
        min(a.first, b.first), [*latest.values()], furthest({*a.steps, *b.steps}), _first(a.checkout, b.checkout)
    )


def _ticket(a: Ticket, b: Ticket) -> Ticket:
    created = _least(a.created, b.created)
    solved = _least(a.solved, b.solved)
    replies, first = answered(created, [*a.replies, *b.replies]), min(_days_of_ticket(a)[0], _days_of_ticket(b)[0])
    return Ticket(max(a.last, b.last), created, replies, solved, first)


def _days_of_ticket(ticket: Ticket) -> tuple[int, int]:
    return ticket.last if ticket.first is None else ticket.first, ticket.last


SESSIONS = Kind[Session](lambda one: (one.began // DAY_MS, max(one.visits[::3])), _session)
MESSAGES = Kind[Message](lambda one: (one.first // DAY_MS, one.days[-1]), _message)
LEADS = Kind[Lead](lambda one: (one.captured // DAY_MS, one.last), _lead)
CARTS = Kind[Cart](lambda one: (one.first // DAY_MS, one.acts[-1] // DAY_MS), _cart)
TICKETS = Kind[Ticket](_days_of_ticket, _ticket)


# -- what may be forgotten -----------------------------------------------------------------------


def silent_since(window: int, day: int) -> int:
    """The day before which a thing must have been silent to be forgotten, nothing coming from before `day` any more.

    Another set's acts may go on with it for the window and `SPARE_DAYS`. What of these comes first, should the thing not be known
    any more, is taken for its beginning: so that must be before every window.
    """
    return day - 2 * window - SPARE_DAYS


def cut(kept: Kept, day: int) -> None:
    """Forget what no window asks for any more; nothing comes from before `day` any more."""
    window = kept.window
    kept.looked, oldest = day, day - window
    runs = kept.visits
    if runs and runs[1] <= oldest:
        kept.visits = [end for n in range(0, len(runs), 2) if runs[n + 1] > oldest for end in runs[n : n + 2]]
    if kept.begun:
        _cut_sessions(kept, window, day)
    if kept.posted:
        _cut_messages(kept, window, day)
    kept.left = kept.count()
    rest = kept.rest
    if rest is not None:
        _cut_rest(rest, window, day)
        if rest == _NOTHING:
            kept.rest = None


_NOTHING = Rest()


def _cut_sessions(kept: Kept, window: int, day: int) -> None:
    found: dict[int, Session] = {}
    for id, session in kept.sessions.items():
        last = max(session.visits[::3])
        if last < silent_since(window, day):
            continue
        if last < day - window - SPARE_DAYS:
            # it began before every window; how long it lasted decides what another set's visits belong to
            found[id] = Session(session.began, "", None, (last, 0, 0))
            continue
        found[id] = session
        if session.event and session.began < day * DAY_MS:
            session.event = ""
        session.visits = _folded(session.visits, day)
        if last >= (until := session.began // DAY_MS + window):
            # pages of then are in no window of the session; that it was heard of is
            left = [one for one in _threes(session.visits) if one[0] < until or one[0] == last]
            session.visits = tuple([number for one in left for number in one])
    kept.sessions = found


def _cut_messages(kept: Kept, window: int, day: int) -> None:
    found: dict[int, Message] = {}
    for id, message in kept.messages.items():
        if message.days[-1] >= silent_since(window, day):
            found[id] = message
            if message.event and message.first < day * DAY_MS:
                message.event = ""
    kept.messages = found


def _folded(counts: Counts, day: int) -> Counts:
    """The same, with one number for each day before `day`: the events of then cannot come again."""
    if all(event == 0 or at >= day for at, event in zip(counts[::3], counts[2::3], strict=True)):
        return counts
    by_day: dict[int, int] = {}
    recent: list[int] = []
    for at, amount, event in _threes(counts):
        if at < day:
            by_day[at] = by_day.get(at, 0) + amount
        else:
            recent += (at, amount, event)
    return (*[number for at in sorted(by_day) for number in (at, by_day[at], 0)], *recent)


def _cut_rest(rest: Rest, window: int, day: int) -> None:
    oldest, since = day - window, silent_since(window, day)
    for name in [*rest.counts]:
        counts = tuple([number for one in _threes(rest.counts[name]) if one[0] > oldest for number in one])
        rest.counts[name] = _folded(counts, day)
        if not counts:
            del rest.counts[name]
    rest.leads = {id: lead for id, lead in rest.leads.items() if lead.last >= since}
    rest.carts = {
        id: cart for id, cart in rest.carts.items() if cart.checkout is not None or cart.acts[-1] // DAY_MS >= since
    }
    for cart in rest.carts.values():
        if cart.acts[-1] // DAY_MS < since:
            cart.acts, cart.steps = cart.acts[-1:], []
        until = (cart.first // DAY_MS + window) * DAY_MS
        if len(cart.acts) > 1 and cart.acts[-2] >= until:
            cart.acts = [at for at in cart.acts if at < until or at == cart.acts[-1]]
    rest.tickets = {
        id: ticket for id, ticket in rest.tickets.items()
        if ticket.last >= since or ticket.created is not None or ticket.solved is not None
    }  # fmt: skip
    for metric in [*rest.answers]:
        told = [answer for answer in rest.answers[metric] if answer[0] // DAY_MS > oldest]
        if told:
            rest.answers[metric] = told
        else:
            del rest.answers[metric]
    rest.praise = [at for at in rest.praise if at > oldest]
    rest.won = [at for at in rest.won if at > oldest]
    rest.asked = [at for at in rest.asked if at // DAY_MS > oldest - HELP_DAYS]
