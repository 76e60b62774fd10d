"""Made-up people who have several ids each: events without end from a seed, and of each what must become of it.

They come without a name on one or two devices, sign up by an address, buy under a customer id, share devices, have two
customer ids that are put together, are taken for one and told apart again. Whose an event is never depends on which of two
partitions is the faster: what could, stands in different rounds, and between two rounds everything is folded (`Rounds`).
Events go in rounds of `ROUND`; each person is about for five of them, three or four days, and then silent for good.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import msgspec

from tests.chaos.shop import CURRENCIES, DAY, SOURCES, STEP_MS, Fate
from tests.load import BEGIN_MS

ROUND = 300
"""Events between two pauses: 20 hours of event time."""
ABOUT = 50
"""People who are about at a time."""
EACH = 30
"""Events of a person, on average."""
MANNERS = ("visitor", "lead", "buyer", "regular", "first", "second", "double", "mistaken", "taken")
"""By person. `first` and `second` have one device in turn; `double` has two customer ids; `mistaken` and `taken` are two
people who are merged by mistake."""


class Event(NamedTuple):
    """One event as it is sent, and what must become of it."""

    topic: str
    value: bytes
    event: dict[str, Any]
    """What the value says; of broken ones what it would have said."""
    fate: Fate
    person: int
    """Whose it is: known here, and in nothing that is sent."""

    @property
    def key(self) -> bytes:
        """What it is sent under: all of a person goes one way."""
        return b"p%d" % self.person

    @property
    def again(self) -> Event:
        """The same, sent a second time."""
        return self._replace(fate="duplicate" if self.fate == "accepted" else self.fate)


def address(person: int) -> str:
    """A person's address."""
    return f"p{person}@mail.example"


def people(seed: int) -> Iterator[Event]:
    """Visits, mail, sign-ups, orders, refunds, merges and splits, event time rising; the same for the same seed."""
    crowd = _Crowd(random.Random(f"people/{seed}"))
    chance = crowd.chance
    recent: list[Event] = []
    for number in count():
        crowd.pass_time(number)
        if recent and chance.random() < 0.03:
            before = chance.choice(recent)
            if not crowd.is_parting(before.person):
                crowd.note(before.again)
                yield before.again
                continue
        made = crowd.act(number, number // EACH + chance.randrange(ABOUT))
        crowd.note(made)
        # when a repeat of what a shared device does comes, the device may be another's, to whom it is no repeat
        if not _is_nameless(made) or not made.event["anonymous_id"].startswith("s"):
            recent.append(made)
        del recent[:-100]
        yield made


def _is_nameless(made: Event) -> bool:
    return made.event.keys() & {"anonymous_id", "customer_id", "email"} == {"anonymous_id"}


def _first_of_two(person: int) -> int:
    """Of two who are merged by mistake the first; else the person."""
    return person - (MANNERS[person % len(MANNERS)] == "taken")


class _Crowd:
    """Everybody, and what has to be remembered of them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.now, self._round = chance, BEGIN_MS, 0
        self._orders: dict[int, list[dict[str, Any]]] = {}
        self._held: dict[str, tuple[int, int]] = {}
        """Shared device → whose it is, and since which round."""
        self._used: dict[tuple[str, bool], int] = {}
        """Shared device, and whether somebody was named → the last round with an event of it."""
        self._asked: dict[int, tuple[str, int]] = {}
        """Person → what has been asked for last, a merge or a split, and in which round."""
        self._owned: dict[int, int] = {}
        """Person → the round in which the customer id was first seen with the address."""
        self._repeated: dict[int, int] = {}
        """Person, of two who are merged by mistake the first → the last round in which something was sent again."""

    def pass_time(self, number: int) -> None:
        """Come to the next event."""
        self.now += self.chance.randrange(2 * STEP_MS)
        self._round = number // ROUND

    def act(self, number: int, person: int) -> Event:
        """Something that a person does."""
        chance, manner = self.chance, MANNERS[person % len(MANNERS)]
        event: dict[str, Any] = {
            "id": f"e{number}",
            "source": f"people-{person % SOURCES}",
            "time": self.now - (chance.randrange(DAY) if chance.random() < 0.05 else 0),
        }
        self._orders.pop(person - 3 * ABOUT, None)
        if (asked := self._of_ids(event, person, manner)) is not None:
            return Event("identity", msgspec.json.encode(asked), asked, "accepted", person)
        event |= self._ids(person, manner)
        topic, known = self._fill(event, number, person)
        odd = chance.random()
        if odd < 0.01 and topic != "purchases":
            event["test"] = True
            return Event(topic, msgspec.json.encode(event), event, "suppressed", person)
        value = msgspec.json.encode(event)
        if odd > 0.99 and topic != "purchases":
            return Event(topic, value[: len(value) // 2], event, "rejected", person)
        return Event(topic, value, event, "duplicate" if known else "accepted", person)

    def _age(self, person: int) -> int:
        """Rounds since the first in which a person may have done anything."""
        return self._round - max(0, EACH * (person - ABOUT + 1)) // ROUND

    # -- ids -------------------------------------------------------------------------------------

    def _ids(self, person: int, manner: str) -> dict[str, str]:
        """The ids that an event names."""
        chance, age = self.chance, self._age(person)
        device = {"anonymous_id": f"d{person}" if chance.random() < 0.6 else f"e{person}"}
        mail, customer = {"email": address(person)}, {"customer_id": f"k{person}"}
        if manner == "visitor" or (manner in {"lead", "buyer"} and age == 0):
            return device
        if manner == "lead" or (manner == "buyer" and age == 1):
            return chance.choice((device, mail | device, mail))
        if manner == "buyer" and self._owned.get(person, self._round) == self._round:
            # until everybody knows whose the address is, a device must not be seen beside one of both alone
            return chance.choice((device, mail, mail | device, customer | mail, customer | mail))
        if manner in {"first", "second"} and chance.random() < 0.6:
            return self._shared(person, manner, customer)
        if manner == "double" and chance.random() < 0.5:
            return {"customer_id": f"z{person}"}
        if (
            manner == "regular"
            and age > 2
            and self._owned.get(person - 1, 1 << 60) < self._round
            and chance.random() < 0.2
        ):
            return customer | {"email": address(person - 1)}  # who uses it belongs to another, and stays there
        return chance.choice((device, mail, customer, customer | device, customer | mail, customer | mail | device))

    def _shared(self, person: int, manner: str, customer: dict[str, str]) -> dict[str, str]:
        """The ids of an event on the device of two: first it is the one's, some rounds later the other's."""
        name = f"s{person - (manner == 'second')}"
        device, (holder, since) = {"anonymous_id": name}, self._held.get(name, (-1, -1))
        if holder == -1:
            return customer | device if manner == "first" else customer
        if holder == person:
            # of the second, from the round on in which everybody knows
            nameless = manner == "first" or since < self._round
            return device if nameless and self.chance.random() < 0.5 else customer | device
        used = max(self._used.get((name, named), -1) for named in (False, True))
        return customer | device if manner == "second" and used < self._round else customer

    def _of_ids(self, event: dict[str, Any], person: int, manner: str) -> dict[str, Any] | None:
        """An event that merges or splits, where it is time for one."""
        age, (done, since) = self._age(person), self._asked.get(person, ("", self._round))
        if self.chance.random() > 0.3:
            return None
        if manner == "double" and not done and age >= 1:
            event |= {"type": "identity.merged", "ids": [f"z{person}", f"k{person}"]}
            if self.chance.random() < 0.5:
                event["into"] = f"z{person}"
            return event
        if manner == "mistaken" and not done and age >= 1:
            return event | {"type": "identity.merged", "ids": [f"k{person}", f"k{person + 1}"]}
        if (
            manner == "mistaken"
            and done == "identity.merged"
            and max(since, self._repeated.get(person, -1)) < self._round
        ):
            return event | {"type": "identity.split", "ids": [max(f"k{person}", f"k{person + 1}")]}
        return None

    def is_parting(self, person: int) -> bool:
        """Whether a person is told apart from another in this round. A repeat that comes while the facts are on their way
        back counts in no profile, but for an accepted one; so there is no split in a round with a repeat before it, either,
        which another partition may be slower with."""
        return self._asked.get(_first_of_two(person)) == ("identity.split", self._round)

    def note(self, made: Event) -> None:
        """Remember what has a bearing on what may follow."""
        event, person = made.event, made.person
        if made.fate == "duplicate":
            self._repeated[_first_of_two(person)] = self._round
        if made.fate != "accepted":
            return
        if "ids" in event:
            self._asked[person] = event["type"], self._round
        device = event.get("anonymous_id", "")
        if device.startswith("s"):
            self._used[device, "customer_id" in event] = self._round
            if "customer_id" in event and self._held.get(device, (-1, -1))[0] != person:
                self._held[device] = person, self._round
        if event.get("email", event.get("recipient")) == address(person) and "customer_id" in event:
            self._owned.setdefault(person, self._round)

    # -- what happens ----------------------------------------------------------------------------

    def _fill(self, event: dict[str, Any], number: int, person: int) -> tuple[str, bool]:
        """Fill in what happened; says the topic, and whether it is an order that is known under this id."""
        chance, mine = self.chance, self._orders.setdefault(person, [])
        named, kind = bool({"customer_id", "email"} & event.keys()), chance.random()
        if named and kind < 0.2:
            amount = {
                "currency": CURRENCIES[person // len(MANNERS) % len(CURRENCIES)],
                "total_minor": chance.randrange(20_000),
            }
            event |= {"type": "order.completed", "order_id": f"o{number}"} | amount
            if known := bool(mine) and chance.random() < 0.05 and not self.is_parting(person):
                # the same order under another id of an event, later: the first stands
                before = chance.choice(mine)
                for name in ("customer_id", "email", "anonymous_id"):
                    event.pop(name, None)
                event |= {name: before[name] for name in ("customer_id", "email") if name in before}
                event |= {"order_id": before["order_id"], "time": before["time"] + 1 + chance.randrange(DAY)}
            else:
                mine.append(event)
            return "purchases", known
        if mine and kind < 0.26:
            self._take_back(event, number, mine.pop(chance.randrange(len(mine))))
            return "purchases", False
        if kind > 0.75 and (event.keys() & {"customer_id", "email"}):
            if "email" in event and chance.random() < 0.5:
                event["recipient"] = event.pop("email")
            said = chance.choice(("delivered", "delivered", "opened", "clicked"))
            event |= {"type": "email.event", "message_id": f"m{number}", "event": said}
            return "emails", False
        if kind > 0.73 and len(event.keys() & {"customer_id", "email", "anonymous_id"}) > 1:
            event["type"] = "identity.linked"
            return "identity", False
        if kind > 0.7 and "email" in event:
            event |= {"type": "lead.captured", "lead_id": f"l{number}", "form": "newsletter"}
            return "visits", False
        event |= {"type": "web.visit", "url": f"https://shop.example/{number % 50}", "session_id": f"s{number // 3}"}
        return "visits", False

    def _take_back(self, event: dict[str, Any], number: int, order: dict[str, Any]) -> None:
        """A refund or a cancellation; the shop's back office knows the order, and does not always say whose it is."""
        for name in ("customer_id", "email", "anonymous_id"):
            event.pop(name, None)
        if self.chance.random() < 0.6:
            event |= {name: order[name] for name in ("customer_id", "email") if name in order}
        event |= {"order_id": order["order_id"], "time": max(event["time"], order["time"])}
        if self.chance.random() < 0.2:
            event["type"] = "order.cancelled"
        else:
            amount = order["total_minor"] if self.chance.random() < 0.7 else order["total_minor"] // 3
            event |= {"type": "order.refunded", "refund_id": f"r{number}", "amount_minor": amount}
            event["currency"] = order["currency"]
