"""Keys: which customer a fact is about, and which ids name nobody."""

from __future__ import annotations

import hmac
import unicodedata

from lifestage.facts import Fact

EMAIL, ANONYMOUS, ORDER, TICKET = "email:", "anon:", "order:", "ticket:"
RESERVED = (EMAIL, ANONYMOUS, ORDER, TICKET)
"""How keys begin that are no customer id; so no customer id may begin like this."""

_BLOCKED = frozenset(
    {"-1", "null", "none", "nan", "undefined", "anonymous", "guest", "true", "false", "[object object]"}
)


def key_of(fact: Fact) -> str | None:
    """The key of the profile that `fact` belongs to: that of its highest id. None when it has no id."""
    if fact.customer_id is not None:
        return fact.customer_id
    if fact.email is not None:
        return fact.email
    return None if fact.anonymous_id is None else ANONYMOUS + fact.anonymous_id


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
