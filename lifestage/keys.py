"""Keys: which customer a fact is about, and which ids name nobody."""

from __future__ import annotations

import hmac
import unicodedata
from zlib import crc32

from lifestage.facts import AdImpression, CostRecorded, Fact, SocialEngagement

EMAIL, ANONYMOUS, ORDER, TICKET, COMPANY = "email:", "anon:", "order:", "ticket:", "company:"
MERGES = "identity:"
"""The key under which all merges and splits that somebody asks for stand, so that they have one order."""
RESERVED = (EMAIL, ANONYMOUS, ORDER, TICKET, COMPANY, MERGES)
"""How keys begin that are no customer id; so no customer id may begin like this."""

COMPANY_RECORDS = 64
"""Over so many records the facts of no customer are spread, and with them over partitions."""

_OF_NOBODY = (CostRecorded, AdImpression, SocialEngagement)

_BLOCKED = frozenset(
    {"-1", "null", "none", "nan", "undefined", "anonymous", "guest", "true", "false", "[object object]"}
)


def key_of(fact: Fact) -> str | None:
    """The key of the profile that `fact` belongs to: that of its highest id.

    Costs, and impressions and social acts without an id, belong to a company record, `company:` and two hex digits, by
    their source and id. None for any other fact without an id.
    """
    if fact.customer_id is not None:
        return fact.customer_id
    if fact.email is not None:
        return fact.email
    if fact.anonymous_id is not None:
        return ANONYMOUS + fact.anonymous_id
    if not isinstance(fact, _OF_NOBODY):
        return None
    return f"{COMPANY}{crc32(f'{fact.source} {fact.id}'.encode()) % COMPANY_RECORDS:02x}"


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
    spelling = unicodedata.normalize("NFC", address.strip()).lower()
    return EMAIL + hmac.digest(secret, spelling.encode(), "sha256").hex()[:32]


def is_blocked(given: str, extra: frozenset[str] = frozenset()) -> bool:
    """Whether the id `given` names nobody: empty, zeros and dashes, `null`, `guest` and the like. `extra` is in lower case."""
    spelling = given.strip().lower()
    return not spelling.strip("0-") or spelling in _BLOCKED or spelling in extra
