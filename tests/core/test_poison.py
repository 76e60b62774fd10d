"""Hostile and broken records: each kind has one expected end, and none is an exception."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifestage import facts, log
from lifestage.aliases import ALIASES
from lifestage.decode import REASONS, Decoder, Refusal
from lifestage.facts import Fact
from lifestage.keys import key_of
from streams.doorway import Doorway
from tests.core.poison import ACCEPTED, GOOD, POISON
from tests.core.samples import EVENTS, SECRET, TIME, TIME_MS, decoded, encoded, event


@pytest.mark.parametrize(("value", "end", "place"), [case[1:] for case in POISON], ids=[case[0] for case in POISON])
def test_each_kind_of_poison_has_its_end(value: bytes | None, end: str, place: str) -> None:
    """Accepted as a fact that the log can hold, or refused at its place for the one reason that fits, in few words."""
    result = decoded(value)
    if end == ACCEPTED:
        assert isinstance(result, Fact), result
        assert facts.decode(facts.encode(result)) == result
    else:
        assert isinstance(result, Refusal), result
        assert (result.reason, result.outcome) == (end, "suppressed" if end == "test" else "rejected"), result
        assert result.message.startswith(f"{place}: "), result
        assert len(result.message) < 400


def test_the_table_names_each_reason_and_each_kind_once() -> None:
    """Every reason of the closed list is reached by some kind of poison, and there are far more kinds than 54."""
    assert {end for _, _, end, _ in POISON} == REASONS | {ACCEPTED}
    assert len({name for name, _, _, _ in POISON}) == len(POISON) >= 150


class Record(NamedTuple):
    """A record of a source, as the consumer hands it over."""

    value: bytes | None = GOOD
    key: bytes | None = b"c1"
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = 0
    topic: str = "visits"
    offset: int = 7
    timestamp: int = TIME_MS


MANY = tuple((f"h{n}", b"\xff" * 100) for n in range(10_000))


@pytest.mark.parametrize(
    "given",
    [
        {"key": None}, {"key": b"c2"}, {"key": b"\xff\x00"}, {"key": b"k" * 100_000}, {"partition": 63},
        {"headers": MANY}, {"headers": (("", b""), ("\u2028", b"\x00"), ("ce_", b""), ("content-type", b"\xff"))},
        {"headers": (("lifestage-reason", b"unparsable"),)}, {"timestamp": -1},
    ],
)  # fmt: skip
def test_what_stands_around_a_value_decides_nothing(given: dict[str, Any]) -> None:
    """No key, another's key, the wrong partition, strange or 10,000 headers: the entry of the log is the same."""
    door = Doorway(Decoder(SECRET), ("visits",), 8)
    entry, usual = door.enter(Record(**given)), door.enter(Record())
    assert (entry.key, entry.partition, entry.time) == (b"c1", usual.partition, TIME_MS)
    assert entry.value[log.HEADER_SIZE :] == usual.value[log.HEADER_SIZE :]
    bad = door.enter(Record(b"{", **given))
    assert bad.dead_letter is not None
    key, value, headers = bad.dead_letter
    assert (key, value) == (Record(**given).key, b"{")
    assert dict(headers)["lifestage-reason"] == b"unparsable"
    assert [name for name, _ in headers if not name.startswith("lifestage-")] == [
        name for name, _ in Record(**given).headers if not name.startswith("lifestage-")
    ]


DECODER = Decoder(SECRET)


LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANY_JSON = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
KINDS = st.sampled_from(sorted(EVENTS))
NAMES = st.sampled_from(sorted({name for fields in EVENTS.values() for name in fields} | {
    *ALIASES, *ALIASES.values(), "id", "source", "time", "type", "email", "context", "net", "experiment", "consent",
    "test", "bot", "specversion", "data", "data_base64", "customerid", "items",
}))  # fmt: skip
ATTRIBUTES = st.sampled_from(["specversion", "id", "source", "type", "time", "customerid", "test", "x", ""])


def mutations() -> Iterator[st.SearchStrategy[bytes]]:
    """Valid events with bytes cut out, doubled and overwritten, with fields of any JSON value, and in an envelope."""
    yield st.builds(
        lambda kind, at, length, new: (good := encoded(kind))[: at % len(good)] + new + good[at % len(good) + length :],
        KINDS,
        st.integers(0, 1000),
        st.integers(0, 8),
        st.binary(max_size=4),
    )
    changes = st.dictionaries(NAMES, ANY_JSON, max_size=3)
    yield st.builds(lambda kind, changes: json.dumps({**event(kind), **changes}).encode(), KINDS, changes)
    yield st.builds(
        lambda kind, data, changes: json.dumps(
            {**event(kind), "specversion": "1.0", "data": {**event(kind), **data}, **changes}
        ).encode(),
        KINDS, changes, changes,
    )  # fmt: skip


def any_headers() -> st.SearchStrategy[list[tuple[str, bytes]]]:
    """None; some that say binary mode, rightly or not; or one that announces a structured event."""
    texts = st.binary(max_size=8) | st.sampled_from([b"1.0", b"web.visit", b"cost.recorded", TIME.encode(), b"c1"])
    attributes = st.lists(st.tuples(ATTRIBUTES.map(lambda name: f"ce_{name}"), texts), max_size=6)
    announced = st.just([("content-type", b"application/cloudevents+json")])
    return st.one_of(st.just([]), attributes.map(lambda found: [("ce_specversion", b"1.0"), *found]), announced)


@given(st.one_of(st.binary(max_size=200), *mutations()), st.none() | st.integers(0, 10**13), any_headers())
@settings(max_examples=1000)
def test_decode_gives_a_fact_or_a_refusal_for_any_bytes(
    value: bytes, appended_ms: int | None, headers: list[tuple[str, bytes]]
) -> None:
    """It never raises; a fact is one that the log can hold, a refusal is one that can be counted and logged."""
    result = DECODER.decode(value, appended_ms, headers)
    if isinstance(result, Refusal):
        assert result.reason in REASONS
        assert result.type in {*EVENTS, "unknown"} or result.reason == "unsupported"
        assert len(result.source) <= 128
        assert result.source.isprintable()
        assert len(result.message) < 400
        assert result.message.isprintable()
    else:
        assert facts.decode(facts.encode(result)) == result
        assert key_of(result)
        assert 0 <= result.time < 253_402_300_800_000


@pytest.mark.parametrize("inside", [b'\\"', b"\\"])
def test_a_flood_of_escapes_costs_no_more_than_its_length(inside: bytes) -> None:
    """An unclosed string is scanned once, not once for each quote in it: 1 MB so scanned would take an hour."""
    flood = b"{" * 30 + b'"' + inside * 500_000
    assert decoded(flood, max_bytes=len(flood)) == Refusal(
        "rejected", "too_deep", "$: expected at most 20 levels of nesting", "unknown", "unknown"
    )


def test_an_event_of_today_passes_whatever_the_time_form() -> None:
    """The same instant as text, seconds and milliseconds is the same fact."""
    forms = [TIME, 1_709_208_000, 1_709_208_000_000, "2024-02-29T13:00:00+01:00"]
    assert len({decoded(encoded(time=form)) for form in forms}) == 1
