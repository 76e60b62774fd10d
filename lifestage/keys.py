"""Keys: which customer a fact is about, and which ids name nobody."""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from typing import Final
from zlib import crc32

from lifestage.facts import (
    AdImpression,
    CostRecorded,
    Fact,
    IdentityMerged,
    IdentitySplit,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    OrderUpdated,
    SocialEngagement,
    TicketCreated,
    TicketReopened,
    TicketReplied,
    TicketSolved,
)

EMAIL: Final = "email:"
ANONYMOUS: Final = "anon:"
ORDER: Final = "order:"
TICKET: Final = "ticket:"
COMPANY: Final = "company:"
MERGES: Final = "identity:"
"""The key under which all merges and splits that somebody asks for stand, so that they have one order."""
RESERVED: Final = (EMAIL, ANONYMOUS, ORDER, TICKET, COMPANY, MERGES)
"""How keys begin that are no customer id; so no customer id may begin like this."""

COMPANY_RECORDS: Final = 64
"""Over so many records the facts of no customer are spread, and with them over partitions."""

KEY_MAX: Final = 300
"""Bytes of the key of an order or ticket; a longer one is a hash."""

_OF_NOBODY: Final = (CostRecorded, AdImpression, SocialEngagement)
_OF_IDS: Final = (IdentityMerged, IdentitySplit)
_OF_ORDER: Final = (OrderRefunded, OrderCancelled)
_ON_ORDERS: Final = (OrderCompleted, OrderUpdated, *_OF_ORDER)
_ON_TICKETS: Final = (TicketCreated, TicketReplied, TicketSolved, TicketReopened)
_CLAIMING: Final = frozenset({OrderCompleted, OrderUpdated, *_ON_TICKETS})

_WIDE: Final = {
    ord("\N{FULLWIDTH COMMERCIAL AT}"): "@",
    ord("\N{SMALL COMMERCIAL AT}"): "@",
    ord("\N{FULLWIDTH FULL STOP}"): ".",
    ord("\N{SMALL FULL STOP}"): ".",
    ord("\N{HALFWIDTH IDEOGRAPHIC FULL STOP}"): ".",
}
"""What Unicode (NFKC) takes for an @, and what is typed for a dot where letters are wide."""
_WIDE_SIGN: Final = re.compile("[\N{FULLWIDTH COMMERCIAL AT}\N{SMALL COMMERCIAL AT}]")
_QUOTES: Final = re.compile(
    "[^\\s@](?:@|%40|\N{FULLWIDTH COMMERCIAL AT}|\N{SMALL COMMERCIAL AT})"
    "[^\\s@.]{1,63}[.\N{FULLWIDTH FULL STOP}\N{SMALL FULL STOP}\N{HALFWIDTH IDEOGRAPHIC FULL STOP}][^\\s@]"
)
"""A name of a domain has 63 octets at most; without a bound a text of nothing but signs would take the square of its length."""

_BLOCKED: Final = frozenset(
    {"-1", "null", "none", "nan", "undefined", "anonymous", "guest", "true", "false", "[object object]"}
)


def key_of(fact: Fact) -> str | None:
    """The key of the profile that `fact` belongs to: that of its highest id.

    A refund, a cancellation or a ticket without an id belongs to the order or ticket, until it is known whose that is.
    Merges and splits stand under one key, `MERGES`. Costs, and impressions and social acts without an id, belong to a
    company record, `company:` and two hex digits, by their source and id. None for any other fact without an id.
    """
    if fact.customer_id is not None:
        return fact.customer_id
    if fact.email is not None:
        return fact.email
    if fact.anonymous_id is not None:
        return ANONYMOUS + fact.anonymous_id
    if isinstance(fact, _OF_NOBODY):
        return f"{COMPANY}{crc32(f'{fact.source} {fact.id}'.encode()) % COMPANY_RECORDS:02x}"
    if isinstance(fact, _OF_IDS):
        return MERGES
    return order_key(fact) if isinstance(fact, _OF_ORDER) else ticket_key(fact)


def order_key(fact: Fact) -> str | None:
    """`order:`, the source and the order id of a fact about an order, by which its customer is found; else None."""
    return _key_of_thing(ORDER, fact.source, fact.order_id) if isinstance(fact, _ON_ORDERS) else None


def ticket_key(fact: Fact) -> str | None:
    """`ticket:`, the source and the ticket id of a fact about a ticket, by which its customer is found; else None."""
    return _key_of_thing(TICKET, fact.source, fact.ticket_id) if isinstance(fact, _ON_TICKETS) else None


def claims(fact: Fact) -> str | None:
    """The key of the order or ticket that a fact gives to the person it names, by stating the order or acting on the ticket."""
    if type(fact) not in _CLAIMING or (fact.customer_id is None and fact.email is None and fact.anonymous_id is None):
        return None
    return order_key(fact) or ticket_key(fact)


def _key_of_thing(prefix: str, source: str, name: str) -> str:
    """Plain where it can be: an id that holds an address, or is long, or could be read in two ways, stands as a hash."""
    key = f"{prefix}{source} {name}"
    if may_hold_address(key) or " " in source or (len(key) > KEY_MAX // 4 and len(key.encode()) > KEY_MAX):
        return prefix + blake2b(f"{source}\0{name}".encode(), digest_size=16).hexdigest()
    return key


def class_of(key: str) -> int:
    """How high an id is: 3 a customer's, 2 an address, 1 anonymous, 0 an order or ticket, -1 nobody's."""
    if ":" not in key:
        return 3
    if key.startswith(EMAIL):
        return 2
    if key.startswith(ANONYMOUS):
        return 1
    if key.startswith((ORDER, TICKET)):
        return 0
    return -1 if key.startswith((COMPANY, MERGES)) else 3


def lower_ids(fact: Fact) -> tuple[str, ...]:
    """The keys of the ids of a fact below its highest, the higher first: they belong to whom it is about."""
    email, anonymous = fact.email, fact.anonymous_id
    if fact.customer_id is not None:
        if email is None:
            return () if anonymous is None else (ANONYMOUS + anonymous,)
        return (email,) if anonymous is None else (email, ANONYMOUS + anonymous)
    return () if email is None or anonymous is None else (ANONYMOUS + anonymous,)


def email_key(address: str, secret: bytes) -> str:
    """`email:` and 32 hex digits for an address, the same for every spelling that differs in case, form or margins.

    A keyed hash: without the secret nobody can tell an address from its key, nor try addresses against it.
    """
    return text_key(unicodedata.normalize("NFC", address.strip()).lower(), secret)


def address_of(name: str) -> str | None:
    """The address that an id is, also as it stands in a link, so that its `email_key` is to stand for it; None of any other id."""
    if not may_hold_address(name):
        return None
    # a mailbox may begin with a wide sign
    for address in (with_plain_signs(name), name.replace("%40", "@")):
        if names_mailbox(address):
            return address
    return None


def may_hold_address(text: str) -> bool:
    """Whether there is an @ in a text, in any spelling: as it stands in a link, or as a wide or small character."""
    return "@" in text or "%40" in text or (not text.isascii() and _WIDE_SIGN.search(text) is not None)


def with_plain_signs(text: str) -> str:
    """A text that may hold an address with each @ written so, and each dot."""
    plain = text.replace("%40", "@")
    return plain if plain.isascii() else plain.translate(_WIDE)


def names_mailbox(name: str) -> bool:
    """Whether something stands before an @, and a domain behind it."""
    mailbox, _, host = name.partition("@")
    return bool(mailbox) and "." in host


def text_key(text: str, secret: bytes) -> str:
    """The same for a text in exactly this spelling."""
    return EMAIL + hmac.digest(secret, text.encode(), "sha256").hex()[:32]


def quotes_address(text: str) -> bool:
    """Whether there is an address in a text, also as it stands in a URL."""
    return may_hold_address(text) and _QUOTES.search(text) is not None


_HIGH: Final = 0x5BD1
_LOW: Final = 0xE995
"""The two halves of the number that murmur2 multiplies by."""
_HALF: Final = 0xFFFF
_WORD: Final = 0xFFFF_FFFF
_words: Final[dict[int, Struct]] = {}


def murmur2(data: bytes) -> int:
    """The hash by which Kafka's producers choose a key's partition.

    Products are made of halves: where factors stay below 2³⁰, the compiled core multiplies without making objects.
    """
    size = len(data)
    count = size // 4
    words = _words.get(count)
    if words is None:
        words = _words.setdefault(count, Struct(f"<{count}I"))
    h = 0x9747B28C ^ size
    word: int
    for word in words.unpack_from(data):
        k = _times(word)
        h = _times(h) ^ _times(k ^ (k >> 24))
    left = size & 3
    if left:
        h = _times(h ^ int.from_bytes(data[size - left :], "little"))
    h = _times(h ^ (h >> 13))
    return h ^ (h >> 15)


def _times(word: int) -> int:
    high, low = word >> 16, word & _HALF
    return (low * _LOW + (((high * _LOW + low * _HIGH) & _HALF) << 16)) & _WORD


def is_blocked(given: str, extra: frozenset[str] = frozenset()) -> bool:
    """Whether the id `given` names nobody: empty, zeros and dashes, `null`, `guest` and the like. `extra` is in lower case."""
    spelling = given.strip().lower()
    return not spelling.strip("0-") or spelling in _BLOCKED or spelling in extra


def blocked_by(names: Iterable[str]) -> frozenset[str]:
    """What `is_blocked` takes as `extra` for ids that a company blocks, addresses among them in any spelling."""
    return frozenset(address_of(name) or name for name in (given.strip().lower() for given in names))
