"""Ids that name nobody, in a million events: none becomes a key, an id to link, or one of `ids`."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import pytest

from lifestage import decode, log
from lifestage.decode import Decoder, Refusal
from lifestage.facts import Fact, encode
from lifestage.keys import ANONYMOUS, MERGES, ORDER, TICKET, claims, email_key, is_blocked, key_of, lower_ids
from lifestage.messages import decode_message
from lifestage.partition import Partition
from lifestage.sides import facts_from
from tests.core.histories import RULES
from tests.core.samples import SECRET, TIME_MS

MANY = 50_000 if os.environ.get("QUICK") else 1_000_000
FOLDED = 10
"""One event in so many is folded, too."""
WORDS = ("null", "none", "nan", "undefined", "anonymous", "guest", "true", "false", "[object Object]", "-1")
OWN = ("walk-in", "POS 7", "noreply@example.com")
"""What a company blocks beside the usual."""
PEOPLE = 200


PLAIN = (*WORDS, *OWN, "", "0", "00000000-0000-0000-0000-000000000000", "-", 0, -1, *map(str.upper, (*WORDS, *OWN)))


def blocked(chance: Random) -> str:
    """An id that names nobody, in some spelling."""
    if chance.random() < 0.3:
        return "".join(chance.choices("0-", k=chance.randrange(40)))
    spelt = "".join(chance.choice((letter.lower(), letter.upper())) for letter in chance.choice((*WORDS, *OWN)))
    return chance.choice(("", "", "", " ", "  ", "\t")) + spelt + chance.choice(("", "", " "))


class Given(NamedTuple):
    """An id as it is sent, and the key that it should be; None: it names nobody."""

    text: str
    key: str | None


def given_ids(chance: Random, class_: int) -> list[Given]:
    """Ids of one class to draw from: as many that name nobody as people."""
    people = [f"{('v', 'p', 'c')[class_]}{n}" for n in range(PEOPLE)]
    if class_ == 1:
        people = [f"{name}@example.com" for name in people]
    keys = (ANONYMOUS.__add__, lambda name: email_key(name, SECRET), str)
    somebody = [Given(json.dumps(name), keys[class_](name)) for name in people]
    spelt = [*PLAIN, *(blocked(chance) for _ in range(PEOPLE - len(PLAIN)))]
    if class_ == 1:
        spelt = [OWN[2], OWN[2].upper(), "n/a", "", "none@", "@"] * (PEOPLE // 6)
    return [*somebody, *(Given(json.dumps(id), None) for id in spelt), *[Given("null", None)] * PEOPLE]


PERSONS = (
    '"type":"web.visit","url":"/"', '"type":"web.visit","url":"/"', '"type":"web.visit","url":"/p","pages":2',
    '"type":"email.event","message_id":"m","event":"opened"', '"type":"lead.captured","lead_id":"l","form":"f"',
    '"type":"order.completed","order_id":"o%d","currency":"EUR","total":5', '"type":"profile.updated","traits":{"a":1}',
    '"type":"consent.changed","purposes":{"marketing":true}', '"type":"identity.linked"',
)  # fmt: skip
THINGS = ('"type":"order.refunded","refund_id":"r","order_id":"o%d","amount":5', '"type":"order.cancelled","order_id":"o%d"',
          '"type":"ticket.created","ticket_id":"t%d"', '"type":"ticket.solved","ticket_id":"t%d"')  # fmt: skip


class Event(NamedTuple):
    """An event, and every key that it may come to; `ids`: those of a merge or split, which refuses what names nobody."""

    value: bytes
    keys: set[str]
    ids: bool = False


def events(seed: int, count: int) -> Iterator[Event]:
    """Events of many kinds whose ids name somebody or nobody, in plain form, in camelCase and in an envelope; one a millisecond."""
    chance = Random(seed)
    visitors, addresses, customers = (given_ids(chance, class_) for class_ in range(3))
    draw, among = chance.random, [*visitors, *addresses, *customers]
    # what is no address is absent as one; among ids of any class it may be a customer's
    among = [one for one in among if one.text not in ('"n/a"', '"none@"', '"@"')]

    def pick(ids: list[Given]) -> Given:
        return ids[int(draw() * len(ids))]

    for n in range(count):
        head = f'"id":"{n}","source":"shop","time":{TIME_MS + n}'
        turn = n % 50
        if turn == 0:
            ids = [pick(customers), pick(customers)]
            rest, keys = '"type":"referral.sent","referral_id":"f","referrer_id":%s,"referred_id":%s', ids
            rest %= tuple(one.text for one in ids)
        elif turn < 3:
            ids = chance.choices(among, k=chance.randrange(1, 4))
            listed = ",".join(
                one.text if one.key is None or one.key[:5] != ANONYMOUS else f'"{one.key}"' for one in ids
            )
            kind = ("identity.merged", "identity.split")[turn - 1]
            yield Event(
                f'{{{head},"type":"{kind}","ids":[{listed}]}}'.encode(), {one.key or "" for one in ids}, ids=True
            )
            continue
        else:
            keys = [customer, address, visitor] = [pick(customers), pick(addresses), pick(visitors)]
            if turn == 3:
                said = f'"customerId":{customer.text},"email":{address.text},"anonymousId":{visitor.text}'
            else:
                said = f'"customer_id":{customer.text},"email":{address.text},"anonymous_id":{visitor.text}'
            kind = THINGS[turn % 4] if turn < 9 else PERSONS[n % len(PERSONS)]
            rest = f"{said},{kind % (n % 97) if '%d' in kind else kind}"
        wrapped = f'{{"specversion":"1.0",{head},"data":{{{rest}}}}}' if turn == 4 else f"{{{head},{rest}}}"
        yield Event(wrapped.encode(), {one.key for one in keys if one.key is not None})


def named(fact: Fact) -> list[str]:
    """Every key that a fact comes to: its own, the lower ones, those in `ids`, and that of who was referred."""
    key, ids = key_of(fact), getattr(fact, "ids", ())
    assert key is not None
    return [key, *lower_ids(fact), *ids, *(key_of(second) or "" for second in facts_from(fact)[1:])]


class Found(NamedTuple):
    """What came of many events."""

    outcomes: Counter[str]
    strays: list[bytes]
    """Those that came to a key that they should not."""
    asked: Counter[str]
    """The first letters of the keys that a fold of some of them wrote to."""


def tried(door: Decoder, count: int, seed: int = 17) -> Found:
    """Send many events through a door, and some of them on into a fold."""
    found, fold = Found(Counter(), [], Counter()), Partition(RULES, "customer-events", 0, 1)
    things, newest = (ORDER, TICKET, MERGES), TIME_MS + count
    for n, (value, keys, ids) in enumerate(events(seed, count)):
        decided: Any = door.decode(value, newest)
        if isinstance(decided, Refusal):
            found.outcomes[decided.reason] += 1
            continue
        found.outcomes["accepted"] += 1
        come_to = named(decided)
        if (ids and "" in keys) or not all(key.startswith(things) for key in come_to if key not in keys):
            found.strays.append(value)
        if n % FOLDED == 0:
            record = log.pack(log.FACT, encode(decided), 2, 0, n)
            fold.fold([(n, come_to[0].encode(), record)])
            for _, posted in fold.take_posted():
                to = decode_message(posted[log.HEADER_SIZE :]).to
                found.asked[to[:2]] += 1
                if to not in keys and to != claims(decided):
                    found.strays.append(value)
    return found


def test_in_a_million_events_nobody_is_linked_by_an_id_that_names_nobody() -> None:
    """Every key is a person's who was named, or the order's; where nobody is named, the event is refused for that alone."""
    found = tried(Decoder(SECRET, blocked_ids=OWN), MANY)
    assert found.strays == []
    assert found.outcomes.keys() == {"accepted", "no_identity", "out_of_range", "bad_id", "wrong_type"}
    assert found.outcomes.total() == MANY
    assert found.outcomes["accepted"] > MANY // 2
    assert found.outcomes["no_identity"] > MANY // 20
    assert found.asked.keys() >= {"em", "an", "or"}


@pytest.mark.parametrize("let_through", ["guest", "0", "true", "-1", "walk-in"])
def test_a_door_that_lets_one_spelling_through_is_found_out(let_through: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search sees a single id that is not blocked, among all that are."""
    rule = is_blocked
    monkeypatch.setattr(decode, "is_blocked", lambda one, extra: one != let_through and rule(one, extra))
    assert tried(Decoder(SECRET, blocked_ids=OWN), 20_000).strays
