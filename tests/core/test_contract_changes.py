"""What is announced, and what stands in its headers, is what the contract says."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given

from config.plan_files import sheet_of, shipped
from lifestage import change
from lifestage.cause import Rules
from lifestage.change import TYPE, Announced, headers
from lifestage.contract import STRUCTURED, schemas
from lifestage.decode import Decoder
from lifestage.facts import Fact
from lifestage.keys import key_of
from lifestage.moments import parse
from lifestage.plan import Compiled
from lifestage.replay import replay
from streams.contract import change_headers, dead_letter_headers
from streams.dead_letters import Why
from streams.dead_letters import headers as letter_headers
from tests.core.cdnow import END, purchases
from tests.core.contract_values import quick, shipped_lines
from tests.core.histories import RULES, Tick, arrivals, facts, partition, records, restless

SCHEMAS = schemas({})
IN_VALUE = jsonschema.Draft202012Validator(SCHEMAS[TYPE])
IN_LINE = jsonschema.Draft202012Validator(SCHEMAS[STRUCTURED])
END_OF_SAMPLES = parse("2027-06-01T00:00:00Z")
IN_HEADERS = jsonschema.Draft202012Validator(change_headers())


def check(announced: Announced) -> None:
    """Raises where a change, as a record's value and headers or as a line of a file, is not what the contract says."""
    IN_VALUE.validate(json.loads(change.encode_value(announced.data)))
    IN_LINE.validate(json.loads(change.encode_value(announced)))
    pairs = headers(announced, b"2026-11-22T12:00:00.001Z")
    given = {name: value.decode() for name, value in pairs}
    assert len(given) == len(pairs)
    IN_HEADERS.validate(given)
    assert set(given) <= set(change_headers()["properties"])


def test_the_changes_of_real_purchases_are_those_of_the_contract() -> None:
    """Every tenth of the 10,000 that the CDNOW sample brings."""
    changes = replay(purchases(), RULES, END).changes
    assert len(changes) > 10_000
    for announced in changes[::10]:
        check(announced)


@pytest.mark.parametrize("plan", shipped())
def test_the_changes_of_every_shipped_plan_are_those_of_the_contract(plan: str) -> None:
    """On the shipped sample events, which hold every kind; half a year of silence follows."""
    decoder = Decoder(b"")
    found = [decoder.decode(json.dumps(event).encode(), None) for event in shipped_lines()]
    history = [fact for fact in found if isinstance(fact, Fact) and key_of(fact) is not None]
    changes = replay(history, Rules(Compiled(sheet_of(plan).plan)), END_OF_SAMPLES).changes
    assert changes
    for announced in changes:
        check(announced)


@quick
@given(history=facts())
def test_the_changes_of_any_history_are_those_of_the_contract(history: list[Fact]) -> None:
    """Of a file, where there is no log to name a place in."""
    for announced in replay(history, RULES, history[0].time + 400 * 86_400_000).changes:
        check(announced)


@quick
@given(arrival=arrivals())
def test_the_changes_of_any_arrival_are_those_of_the_contract(arrival: list[Fact | Tick]) -> None:
    """Live, with late facts, corrections, timers and places in the log."""
    for announced in partition().fold(records(arrival)):
        check(announced)


@quick
@given(arrival=restless())
def test_corrections_of_long_paths_are_those_of_the_contract(arrival: list[Fact | Tick]) -> None:
    """Supersedes and path filled."""
    for announced in partition().fold(records(arrival)):
        check(announced)


def test_a_change_that_the_contract_does_not_know_is_found() -> None:
    """The check refuses what another version might write: it can fail."""
    announced = replay(purchases()[:5], RULES, END).changes[0]
    document = json.loads(change.encode_value(announced.data))
    assert IN_VALUE.is_valid(document)
    for place, wrong in (("seq", 0), ("kind", "moved"), ("entered_at", "2026-01-01"), ("metrics", {}), ("stage", 1)):
        assert not IN_VALUE.is_valid(document | {place: wrong})
        assert not IN_VALUE.is_valid({name: value for name, value in document.items() if name != place})


def test_a_dead_letter_has_the_headers_of_the_contract() -> None:
    """All five, beside those of the sender."""
    pairs = letter_headers(Why("bad_money", "$.total: expected a decimal", "purchases", 3, 17), [("mine", b"1")])
    given = {name: value.decode() for name, value in pairs}
    jsonschema.validate(given, dead_letter_headers())
    assert set(given) == {"mine", *dead_letter_headers()["properties"]}
