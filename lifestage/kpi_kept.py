"""What KPIs need of a person beside the ledger and the path: sessions, messages, leads, trials, carts, tickets, answers, acts.

It is a set of facts: noted in any order (`lifestage.kpi_note`), or in two that are then united, they give the same. Things go
by a 64-bit hash of their source and id. Days are counted since 1970, instants are ms UTC. What must not count twice where two
fact sets have it stands with 32 bits of its event's id as long as the event could come again; later as a number for its day.
Of who only visits and reads messages there is no `Rest`. The encoding is an array; fields are only appended. Nothing here refers to
what refers to it, so that the collector of garbage need not look at any of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from struct import Struct
from typing import Any, Final, TypeVar

import msgspec

from lifestage.mailboxes import GROUPS, UNKNOWN
from lifestage.moments import DAY_MS

Counts = tuple[int, ...]
"""Day, amount, 32 bits of the event's id (0: of several events, or of one that cannot come again); and again."""


HAPPENINGS = ("sent", "delivered", "bounced", "opened", "clicked", "complained", "unsubscribed")
"""What is told of messages by KPIs."""
SENT: Final = 0
DELIVERED: Final = 1
PLACES = {name: place for place, name in enumerate(HAPPENINGS)}
CHANNELS = ("email", "sms", "push", "in_app", "chat", "phone")
"""Of messages; what is none of these stands with the texts of a message."""
ELSEWHERE: Final = 0xFF
"""The spot of a channel that is none of these."""
SPOTS = {(channel, ""): place for place, channel in enumerate(CHANNELS)} | {
    (CHANNELS[0], group): place << 3 for place, group in enumerate((UNKNOWN, *GROUPS))
}
"""By channel and mailbox group, which mails alone have, the one byte that stands for both."""
TOLD_AT = {spot: told for told, spot in SPOTS.items() if told != (CHANNELS[0], "")}

SESSION = Struct(">qQHII")
"""A session: number, begin; of its first visit the day after that, pages, 32 bits of the event's id."""
FURTHER = Struct(">IHII")
"""Another visit: the place of its session, its day after that one's begin, pages, event."""
MESSAGE = Struct(">qQB8H")
"""A message: number, first instant, spot of its channel and mailbox; of each of `HAPPENINGS` the day after the first, and one more, 0 where it
did not happen; and the last day of all."""
LENGTHS = Struct(">HH")
"""Of two texts that follow."""
SENT_IN = Struct(">I")
"""Where the name of a message's campaign begins in all of them; 0: it has none."""
NO_CAMPAIGN: Final = "none"
LINE = "\n"
NONE: Final = 0xFFFF
"""In place of a length: there is no text."""
DAYS_MAX: Final = 0xFFFE
"""179 years."""
PAGES_MAX = 0xFFFF_FFFF


class Session(msgspec.Struct, array_like=True, gc=False):
    """One session, by its first visit: of several in one instant that with the smallest id."""

    began: int
    event: str
    """Id of the first visit; empty when no other can come in its instant."""
    origin: str | None
    """Source and medium with a tab between them; None: came by themselves."""
    visits: Counts
    """The pages that were seen."""


class Message(msgspec.Struct, array_like=True, gc=False):
    """One message, by the first that happened to it."""

    first: int
    event: str
    channel: str
    days: tuple[int, ...]
    """Of each of `HAPPENINGS` the first day on which it happened, -1 where it did not; and the last day of all."""
    mailbox: str = ""
    """The group of the mailbox that it went to; empty of what is no mail."""
    campaign: str = NO_CAMPAIGN


class Lead(msgspec.Struct, array_like=True, gc=False):
    """One lead: when it was captured first, and what was said of it: (time, event, qualified), the last of each day."""

    captured: int
    last: int
    said: list[tuple[int, str, bool]] = []


class Trial(msgspec.Struct, array_like=True, gc=False):
    """One trial: its first start as (time, event, begins, planned end), its first end, and the first that was a purchase.

    None is let go, as in the ledger: it may begin long after all that is said of it.
    """

    start: tuple[int, str, int, int | None] | None = None
    ended: int | None = None
    converted: int | None = None


class Cart(msgspec.Struct, array_like=True, gc=False):
    """One cart: its first act, the last one of each day, and on which days which step of the checkout was the furthest.

    Of a cart that came to the checkout that is kept for good: another set may say so again.
    """

    first: int
    acts: list[int] = []
    steps: list[tuple[int, int]] = []
    """Day and step; only those further than all before."""
    checkout: int | None = None
    """The day of the first step of the checkout."""


class Ticket(msgspec.Struct, array_like=True, gc=False):
    """One ticket: its creation, replies by agents and first solution as (time, event); a solution says whether a bot's it was.

    None is let go that was created or solved: another set may say so again, long after.
    """

    last: int
    created: tuple[int, str] | None = None
    replies: list[tuple[int, str]] = []
    """All up to the creation, and the first after it."""
    solved: tuple[int, str, bool] | None = None
    first: int | None = None
    """The day of the first act."""


class Goods(msgspec.Struct, array_like=True, gc=False, frozen=True, order=True):
    """What an order's goods cost, minor units, as an `order.completed` or `order.updated` said."""

    order: int
    time: int
    event: str
    update: bool
    minor: int


Answer = tuple[int, str, str, int]
"""Time, source, event, score in thousandths; by the first three."""


class Rest(msgspec.Struct, array_like=True, gc=False):
    """What few have."""

    counts: dict[str, Counts] = {}
    """What is added up, by its name: acts, impressions, clicks on ads, social acts by kind."""
    leads: dict[int, Lead] = {}
    trials: dict[int, Trial] = {}
    carts: dict[int, Cart] = {}
    tickets: dict[int, Ticket] = {}
    answers: dict[str, list[Answer]] = {}
    """By metric, the last of each day."""
    praise: list[int] = []
    """Days on which they recommended us, or praised us in a review."""
    won: list[int] = []
    """Days on which a recommendation of theirs won a customer."""
    referred: int | None = None
    """The first day on which it was said that somebody recommended us to them."""
    asked: list[int] = []
    """When they opened tickets."""
    goods: list[Goods] = []


def is_bare(rest: Rest) -> bool:
    """Whether an order changes nothing of it: there are but amounts, and what goods cost."""
    if rest.leads or rest.trials or rest.carts or rest.tickets or rest.answers:
        return False
    return not rest.praise and not rest.won and not rest.asked and rest.referred is None


class Kept(msgspec.Struct, array_like=True, gc=False):
    """What is kept of one person.

    Sessions and messages stand as bytes, entry behind entry, in the order in which they came: most records of a person look up
    one of them or add one, and all are read and kept with each.
    """

    window: int
    """Days."""
    looked: int = 0
    """The day of the horizon as of which it was looked last for what can go."""
    left: int = 0
    """How many sessions and messages were left then."""
    visits: list[int] = []
    """Runs of days with visits: first, last, first, last …; those no further apart than the window are one."""
    touch: tuple[int, str, str, str] | None = None
    """The channel by which the person came first: time, source, event, channel."""
    begun: bytes = b""
    """Sessions (`SESSION`)."""
    begun_texts: bytes = b""
    """Of each session origin and first event."""
    further: bytes = b""
    """Their visits after the first (`FURTHER`)."""
    posted: bytes = b""
    """Messages (`MESSAGE`)."""
    posted_texts: bytes = b""
    """Of each message channel and first event."""
    rest: Rest | None = None
    campaigns: str = ""
    """The campaigns of the messages, each once, with a line feed before, between and behind."""
    sent_in: bytes = b""
    """Of each message its campaign (`SENT_IN`), up to the last that has one."""

    def count(self) -> int:
        """How many sessions and messages there are."""
        return len(self.begun) // SESSION.size + len(self.posted) // MESSAGE.size

    @property
    def sessions(self) -> dict[int, Session]:
        """The sessions by number; to change them, set them."""
        found: dict[int, Session] = {}
        texts = _texts(self.begun_texts)
        for id, began, after, pages, event in SESSION.iter_unpack(self.begun):
            origin, first = next(texts)
            found[id] = Session(began, first or "", origin, (began // DAY_MS + after, pages, event))
        in_order = [*found.values()] if self.further else []
        for place, after, pages, event in FURTHER.iter_unpack(self.further):
            session = in_order[place]
            session.visits += (session.began // DAY_MS + after, pages, event)
        return found

    @sessions.setter
    def sessions(self, sessions: Mapping[int, Session]) -> None:
        begun, texts, further = [], [], []
        for place, (id, session) in enumerate(sessions.items()):
            day = session.began // DAY_MS
            first, *others = _small(session.visits)
            begun.append(SESSION.pack(id, session.began, days_after(day, first[0]), first[1], first[2]))
            texts.append(texts_of(session.origin, session.event))
            further += [FURTHER.pack(place, days_after(day, at), pages, event) for at, pages, event in others]
        self.begun, self.begun_texts, self.further = b"".join(begun), b"".join(texts), b"".join(further)

    @property
    def messages(self) -> dict[int, Message]:
        """The messages by number; to change them, set them."""
        found: dict[int, Message] = {}
        texts = _texts(self.posted_texts)
        for n, (id, first, spot, *after) in enumerate(MESSAGE.iter_unpack(self.posted)):
            channel, event = next(texts)
            told = TOLD_AT[spot] if channel is None else (channel, "")
            day = first // DAY_MS - 1
            days = (*(day + one if one else -1 for one in after[:-1]), day + 1 + after[-1])
            found[id] = Message(first, event or "", told[0], days, told[1], self.campaign_at(n))
        return found

    @messages.setter
    def messages(self, messages: Mapping[int, Message]) -> None:
        posted, texts = [], []
        self.campaigns, self.sent_in = "", b""
        for n, (id, message) in enumerate(messages.items()):
            day, *days = message.first // DAY_MS, *message.days[:-1]
            after = [0 if at < 0 else days_after(day, at) + 1 for at in days]
            spot = SPOTS.get((message.channel, message.mailbox), ELSEWHERE)
            posted.append(MESSAGE.pack(id, message.first, spot, *after, days_after(day, message.days[-1])))
            texts.append(texts_of(message.channel if spot == ELSEWHERE else None, message.event))
            if message.campaign != NO_CAMPAIGN:
                self.name_campaign(n, message.campaign)
        self.posted, self.posted_texts = b"".join(posted), b"".join(texts)

    def campaign_at(self, n: int) -> str:
        """The campaign of the nth message."""
        at = n * SENT_IN.size
        begin = SENT_IN.unpack_from(self.sent_in, at)[0] if at < len(self.sent_in) else 0
        return self.campaigns[begin : self.campaigns.index("\n", begin)] if begin else NO_CAMPAIGN

    def name_campaign(self, n: int, campaign: str) -> None:
        """Note the campaign of the nth message, of which none behind it has one yet."""
        names = self.campaigns
        begin = names.find(f"\n{campaign}\n") + 1
        if not begin:
            begin = len(names) or 1
            self.campaigns = f"{names or LINE}{campaign}\n"
        self.sent_in = self.sent_in.ljust(n * SENT_IN.size, b"\0") + SENT_IN.pack(begin)


def days_after(first: int, day: int) -> int:
    """How many days after another a day is, as far as there is room for it."""
    after = day - first
    return after if after < DAYS_MAX else DAYS_MAX


def texts_of(one: str | None, other: str) -> bytes:
    """Two texts, of which the first may be missing, behind those that are there."""
    if one is None:
        second = other.encode()
        return LENGTHS.pack(NONE, len(second)) + second
    first, second = one.encode(), other.encode()
    return LENGTHS.pack(len(first), len(second)) + first + second


def _texts(packed: bytes) -> Iterator[tuple[str | None, str]]:
    at = 0
    while at < len(packed):
        one, other = LENGTHS.unpack_from(packed, at)
        at += LENGTHS.size
        first = None
        if one != NONE:
            first = packed[at : at + one].decode()
            at += one
        yield first, packed[at : at + other].decode()
        at += other


def _small(counts: Counts) -> Iterator[tuple[int, int, int]]:
    """Day, amount and event, one after the other, none with more than there is room for."""
    for n in range(0, len(counts), 3):
        day, amount, event = counts[n : n + 3]
        while amount > PAGES_MAX:
            yield day, PAGES_MAX, 0
            amount -= PAGES_MAX
        yield day, amount, event


Told = TypeVar("Told", bound=tuple[Any, ...])


def add_run(runs: list[int], day: int, window: int) -> None:
    """Add a day to runs of days; runs no further apart than the window become one."""
    if not runs or day > runs[-1] + window:
        runs += (day, day)
    elif day >= runs[-2]:
        runs[-1] = max(runs[-1], day)
    else:
        runs[:] = joined([*zip(runs[::2], runs[1::2], strict=True), (day, day)], window)


def joined(some: Iterable[tuple[int, int]], window: int) -> list[int]:
    """Runs of days of some (first, last), in any order; those no further apart than the window are one."""
    found: list[int] = []
    for first, last in sorted(some):
        if found and first <= found[-1] + window:
            found[-1] = max(found[-1], last)
        else:
            found += (first, last)
    return found


def last_of_each_day(told: Iterable[Told]) -> list[Told]:
    """Of what was told, each beginning with its time, the greatest of each day, in order."""
    by_day: dict[int, Told] = {}
    for one in sorted(told):
        by_day[one[0] // DAY_MS] = one
    return [*by_day.values()]


def furthest(steps: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of (day, step) those that are further than all before; of one day's the furthest."""
    found: list[tuple[int, int]] = []
    for day, step in sorted(steps):
        if found and step <= found[-1][1]:
            continue
        if found and found[-1][0] == day:
            found.pop()
        found.append((day, step))
    return found


def answered(created: tuple[int, str] | None, replies: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    """Of the replies to a ticket those that tell the first after its creation, also should that turn out to be earlier."""
    found: list[tuple[int, str]] = []
    for reply in sorted(set(replies)):
        found.append(reply)
        if created is not None and reply > created:
            break
    return found
