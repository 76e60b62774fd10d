"""Times as a person types them."""

from __future__ import annotations

import typer

from lifestage.moments import parse


def instant(text: str) -> int:
    """An RFC 3339 time, or a date for its 00:00Z, in ms. Raises `typer.BadParameter`."""
    try:
        return parse(f"{text}T00:00:00Z" if len(text) == len("1998-07-01") else text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}; a date such as 2024-02-29 will do, too") from None
