"""An address by which somebody came is in no state, key or change that follows from it."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.json import encode

from lifestage import decode
from lifestage.change import encode_value
from lifestage.facts import WebVisit
from tests.core.samples import event
from tests.identity.lives import END, RULES
from tests.identity.world import Shape, World

MAILBOX = b"lone.heron"


def holding() -> list[str]:
    """What holds the mailbox after a visit by it, with KPIs kept: changes, profiles, and what partitions count."""
    address = "lone.heron@nest.example.org"
    context = dict.fromkeys(("source", "medium", "campaign", "term", "content"), address)
    given = event("web.visit", customer_id="c1", context=context)
    fact = decode.Decoder(b"a secret of the tests").decode(encode(given), None)
    assert isinstance(fact, WebVisit), fact
    world = World(RULES._replace(window=30), [fact], Random(1), Shape(2, 1, crashes=False, ticks=False))
    world.end(END)
    told = [encode_value(change) for changes in world.told for change in changes]
    stored = [repr(item).encode() for fold in world.folds for item in fold.stored.items()]
    assert told
    assert stored
    counted = [repr(fold.marker).encode() for fold in world.folds]
    parts = {"changes": told, "state": stored, "marker": counted}
    return [name for name, values in parts.items() if any(MAILBOX in value for value in values)]


def test_it_is_nowhere() -> None:
    """A keyed hash stands for it from the door on."""
    assert holding() == []


def test_without_the_door_it_would_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first touch stands in the change and in the state."""
    monkeypatch.setattr(decode, "quotes_address", lambda _: False)
    assert {"changes", "state"} <= {*holding()}
