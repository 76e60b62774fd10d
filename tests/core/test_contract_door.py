"""The schemas and the door say the same: what a schema refuses is refused, and what it takes is taken, but for a list."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage.contract import BEYOND, LENIENT, event_schema, event_types
from lifestage.decode import Decoder, Refusal
from tests.core.contract_values import (
    SECRET,
    is_valid,
    near,
    plain_samples,
    quick,
    refusal_of,
    right,
    shipped_lines,
)

SCHEMAS = {kind: event_schema(event) for kind, event in event_types().items()}
SAMPLES = plain_samples()
STRICTER_SAYS = {
    "no_identity": "",
    "bad_id": "printable characters|does not begin with|ids of different classes|highest class among|one of [$].ids",
    "bad_money": "an ISO 4217 code|digits? after the point|at most [0-9.]+,|below 1e20|the same as",
    "wrong_type": "expected an integer.*, got -?[0-9.]+e|an RFC 3339 time",
    "out_of_range": "the years 1970 to 9999|expected a number (from|below|above)|after period_start|at most 128 (digits|characters)|two different ids",
}
"""How refusals read, by reason, that no schema foresees: in the words of the entries of `BEYOND`."""

ELSEWHERE = {"type", "currency", "metric", "score", "scale_min", "scale_max", "period_start", "period_end", "sent_at", "received_at", "test", "ids", "into"}  # fmt: skip
"""Fields that stand to each other as the list of differences says."""


def test_there_is_a_sample_of_every_type() -> None:
    """As many kinds of sample as there are kinds of event."""
    assert sorted(SAMPLES) == sorted(SCHEMAS)


@pytest.mark.parametrize(
    "event", [event for event in shipped_lines() if "specversion" not in event], ids=lambda event: event["id"]
)
def test_each_shipped_sample_is_taken_by_its_schema_and_by_the_door(event: dict[str, Any]) -> None:
    """All of them, also where there are several of a kind."""
    assert is_valid(SCHEMAS[event["type"]], event)
    assert refusal_of(event) is None


@pytest.mark.parametrize("kind", SCHEMAS)
@quick
@given(data=st.data())
def test_what_a_schema_refuses_the_door_refuses(kind: str, data: st.DataObject) -> None:
    """And what the door refuses though the schema takes it, it refuses for a reason that is written down."""
    event = data.draw(near(SCHEMAS[kind], SAMPLES[kind]))
    event["test"] = False if event.get("test") is True else event.get("test")
    if event.get("sent_at") is None or event.get("received_at") is None:  # one of them alone is not read
        event["sent_at"] = event["received_at"] = None
    refusal = refusal_of(event)
    if not is_valid(SCHEMAS[kind], event):
        assert refusal is not None, event
        assert refusal.outcome == "rejected"
    elif refusal is not None:
        assert re.search(STRICTER_SAYS[refusal.reason], refusal.message), (event, refusal)


@pytest.mark.parametrize("kind", SCHEMAS)
@quick
@given(data=st.data())
def test_what_a_schema_takes_the_door_takes(kind: str, data: st.DataObject) -> None:
    """Any of the optional fields, with any value that the schema describes and the list of differences does not name."""
    properties = SCHEMAS[kind]["properties"]
    names = [name for name in properties if name not in ELSEWHERE and not name.endswith("_minor")]
    some = data.draw(st.lists(st.sampled_from(names), max_size=6, unique=True))
    drawn = {name: data.draw(right(properties[name]), label=name) for name in some}
    known: dict[str, str | None]
    known = {"customer_id": "ann", "currency": "EUR"} if "currency" in properties else {"customer_id": "ann"}
    if kind in BESIDE_IDS:
        known = dict.fromkeys(("customer_id", "email", "anonymous_id"))
    event = SAMPLES[kind] | {name: value for name, value in drawn.items() if value is not None} | known
    event = {name: value for name, value in event.items() if name.removesuffix("_minor") not in drawn or name in drawn}
    assert is_valid(SCHEMAS[kind], event), event
    assert refusal_of(event) is None, event


def _sample(kind: str, **changes: Any) -> dict[str, Any]:
    event = {**SAMPLES[kind], **changes}
    return {name: value for name, value in event.items() if value is not ...}


BESIDE_IDS = ("identity.merged", "identity.split")
"""Kinds that name in `ids` whom they are about: another id beside them is refused."""
NOBODY: dict[str, Any] = {"customer_id": ..., "email": ..., "anonymous_id": ..., "recipient": ...}
STRICTER: list[tuple[str, str, dict[str, Any], str]] = [
    ("blocked ids", "web.visit", {**NOBODY, "customer_id": "guest"}, "no_identity"),
    ("blocked ids", "web.visit", {**NOBODY, "anonymous_id": ""}, "no_identity"),
    ("reserved ids", "web.visit", {"customer_id": "email:ann"}, "bad_id"),
    ("reserved ids", "web.visit", {"customer_id": "company:1"}, "bad_id"),
    ("blocked ids", "identity.merged", {"ids": ["ann", "guest"]}, "no_identity"),
    ("reserved ids", "identity.merged", {"ids": ["ann", "order:shop 17"]}, "bad_id"),
    ("reserved ids", "identity.merged", {"ids": ["ann", "email:ann"]}, "bad_id"),
    ("ids of a link", "identity.linked", {"ids": ["ann", "bob"], "customer_id": ...}, "bad_id"),
    ("ids of a link", "identity.linked", {**NOBODY, "ids": ["ann", "ann"]}, "no_identity"),
    ("ids of a merge", "identity.merged", {"ids": ["ann", "ann"], "into": ...}, "out_of_range"),
    ("ids of a merge", "identity.merged", {"ids": ["ann"], "into": "ann"}, "out_of_range"),
    ("ids of a merge", "identity.merged", {"ids": ["ann"], "into": "anon:v-1"}, "bad_id"),
    ("ids beside ids", "identity.split", {"customer_id": "bob"}, "bad_id"),
    ("ids beside ids", "identity.merged", {"email": "bob@example.com"}, "bad_id"),
    ("names", "identity.split", {"ids": ["k" * 129]}, "out_of_range"),
    ("names", "identity.split", {"ids": ["a\u200bb"]}, "bad_id"),
    ("names", "web.visit", {"id": "a\u200bb"}, "bad_id"),
    ("names", "web.visit", {"customer_id": 10**128}, "out_of_range"),
    ("currencies", "order.completed", {"currency": "ABC"}, "bad_money"),
    ("digits", "order.completed", {"currency": "JPY", "total": "1.5"}, "bad_money"),
    ("digits", "order.completed", {"currency": "EUR", "total": "100000000000000"}, "bad_money"),
    ("digits", "order.completed", {"currency": "EUR", "total": "1.00", "total_minor": 99}, "bad_money"),
    ("integers", "web.visit", {"pages": 1.0}, "wrong_type"),
    ("calendar", "web.visit", {"time": "2023-02-29T12:00:00Z"}, "wrong_type"),
    ("calendar", "web.visit", {"time": "1969-12-31T23:59:59Z"}, "out_of_range"),
    ("calendar", "web.visit", {"time": 1000, "sent_at": 2000, "received_at": 500}, "out_of_range"),
    ("scales", "feedback.received", {"metric": "nps", "score": 11, "scale_min": ..., "scale_max": ...}, "out_of_range"),
    ("scales", "cost.recorded", {"period_start": 2000, "period_end": 1000}, "out_of_range"),
    ("future", "web.visit", {"time": 4_000_000_000}, "future_timestamp"),
    ("size", "web.visit", {"title": "x" * 40_000}, "too_large"),
    ("size", "web.visit", {"nested": json.loads("[" * 30 + "]" * 30)}, "too_deep"),
]  # fmt: skip
"""Where the door is stricter than a schema: one case or more for each entry of `BEYOND`."""


@pytest.mark.parametrize(("entry", "kind", "changes", "reason"), STRICTER)
def test_where_the_door_is_stricter_stands_in_the_list(
    entry: str, kind: str, changes: dict[str, Any], reason: str
) -> None:
    """The schema takes it, the door refuses it with a reason that the entry names."""
    event = _sample(kind, **changes)
    assert is_valid(SCHEMAS[kind], event)
    found = Decoder(SECRET).decode(json.dumps(event).encode(), 1_800_000_000_000)
    assert isinstance(found, Refusal)
    assert found.reason == reason
    assert reason in BEYOND[entry]


LAXER: list[tuple[str, str, dict[str, Any]]] = [
    ("aliases", "order.completed", {"order_id": ..., "orderId": "1"}),
    ("rounding", "web.visit", {"time": -0.0004}),
    ("clocks", "web.visit", {"sent_at": "soon"}),
]


@pytest.mark.parametrize(("entry", "kind", "changes"), LAXER)
def test_where_the_door_is_laxer_stands_in_the_list(entry: str, kind: str, changes: dict[str, Any]) -> None:
    """The schema refuses it, the door takes it."""
    event = _sample(kind, **changes)
    assert entry in LENIENT
    assert not is_valid(SCHEMAS[kind], event)
    assert refusal_of(event) is None


def test_a_test_event_is_set_aside_before_its_fields_are_compared() -> None:
    """An order without an amount is no order, but as a test event it is only counted."""
    event = _sample("order.completed", total=..., total_minor=..., test=True)
    assert not is_valid(SCHEMAS["order.completed"], event)
    refusal = refusal_of(event)
    assert refusal is not None
    assert refusal.outcome == "suppressed"


def test_every_difference_has_a_case() -> None:
    """Nothing stands in the lists that no test shows."""
    assert {entry for entry, *_ in STRICTER} == set(BEYOND)
    assert {entry for entry, *_ in LAXER} | {"test events", "envelopes"} == set(LENIENT)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_asks_for_somebody_where_the_door_does(kind: str) -> None:
    """Without an id of a person: both refuse, or both take it as the company's, the referrer's, the order's, or its ids'."""
    event = _sample(kind, **NOBODY)
    refusal = refusal_of(event)
    assert is_valid(SCHEMAS[kind], event) == (refusal is None)
    if kind in BESIDE_IDS:
        return
    ids: dict[str, Any] = {"customer_id": 17, "email": "ann@example.com", "anonymous_id": "v1"}
    for identity in combinations(ids, 2 if kind == "identity.linked" else 1):
        somebody = event | {name: ids[name] for name in identity}
        assert is_valid(SCHEMAS[kind], somebody)
        assert refusal_of(somebody) is None


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({"recipient": "ann@example.com"}, True),
        ({"recipient": "+49 30 1234", "channel": "sms"}, True),
        ({"recipient": "+49 30 1234"}, False),
        ({"recipient": "+49 30 1234", "channel": "email"}, False),
        ({"recipient": None, "channel": "sms"}, False),
        ({"email": "n/a"}, False),
    ],
)
def test_the_recipient_of_a_message_may_say_who(changes: dict[str, Any], there: bool) -> None:
    """An address, or on another channel than email whatever stands for one."""
    event = _sample("email.event", **(NOBODY | {"channel": ...} | changes))
    assert is_valid(SCHEMAS["email.event"], event) == there
    assert (refusal_of(event) is None) == there


@pytest.mark.parametrize("kind", SCHEMAS)
def test_each_required_field_is_required_by_both(kind: str) -> None:
    """Left out or null, the event is refused by schema and door; what is not required may be null."""
    for name in SCHEMAS[kind]["properties"]:
        somebody = {} if kind in BESIDE_IDS else {"anonymous_id": "v1"}
        event = SAMPLES[kind] | somebody | ({name: None} if name != "anonymous_id" else {})
        required = name in SCHEMAS[kind]["required"]
        if required:
            assert refusal_of(event) is not None
            assert refusal_of({field: value for field, value in event.items() if field != name}) is not None
        assert is_valid(SCHEMAS[kind], event) == (refusal_of(event) is None), name
