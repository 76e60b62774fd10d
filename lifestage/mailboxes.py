"""Who runs the mailbox that an address names, by its domain: a closed list of providers, so that no address nor domain is kept."""

from __future__ import annotations

import re

OTHER = "other"
"""The group of all domains that are none of the providers'."""
UNKNOWN = "unknown"
"""What a mail counts as of which no address was told."""
PROVIDERS: dict[str, frozenset[str]] = {
    "gmail": frozenset({"gmail", "googlemail"}),
    "outlook": frozenset({"outlook", "hotmail", "live", "msn"}),
    "yahoo": frozenset({"yahoo", "ymail", "rocketmail", "aol"}),
    "apple": frozenset({"icloud", "me", "mac"}),
    "gmx": frozenset({"gmx", "web"}),
    "proton": frozenset({"proton", "protonmail", "pm"}),
}
"""By group the names of which its domains are made, with an ending of a country or a company behind them. AOL is run by Yahoo,
web.de beside GMX: a sender's standing is the same with both."""
GROUPS = (*PROVIDERS, OTHER)
_OF_NAME = {name: group for group, names in PROVIDERS.items() for name in names}
_ENDINGS = re.compile(r"(com|net|org|[a-z]{2}|com?\.[a-z]{2})")
_ONLY = {"me": {"com"}, "mac": {"com"}, "pm": {"me"}, "web": {"de"}, "icloud": {"com"}, "proton": {"me"}}
"""Names so short or common that they are a provider's with these endings alone."""


def group_of(address: str) -> str:
    """Of `GROUPS` that of an address, by what stands behind its last @."""
    domain = address.rpartition("@")[2].strip().lower().rstrip(".")
    name, _, ending = domain.partition(".")
    group = _OF_NAME.get(name)
    if group is None:
        return OTHER
    only = _ONLY.get(name)
    return group if (ending in only if only is not None else _ENDINGS.fullmatch(ending)) else OTHER
