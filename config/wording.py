"""How settings are shown to a person: secrets never, and a near miss with what was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

SECRETS = {("kafka", "password"), ("identity", "secret")}


def redacted(section: str, name: str, value: object) -> object:
    """A value with what is secret in it replaced by `…`, also inside an address. An empty secret stays empty."""
    if (section, name) in SECRETS:
        return "…" if value != "" else ""
    if (section, name) == ("redis", "url"):
        # Greedy: a password may itself hold an @, so all up to the last one goes; ?password= is an address's too.
        return re.sub(r"\?.*", "?…", re.sub(r"//.*@", "//…@", str(value)))
    return value


def shown(section: str, name: str, value: object) -> str:
    """A value as it may stand in a message."""
    return repr(redacted(section, name, value))


def meant(word: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, else all of them."""
    known = list(names)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
