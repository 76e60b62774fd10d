"""Hostile and broken records: each kind has one expected end, and none is an exception."""

from __future__ import annotations

import gzip
import json
import pickle
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifestage import facts
from lifestage.decode import REASONS, Decoder, Refusal
from lifestage.facts import Fact
from tests.core.samples import EVENTS, SECRET, TIME, decoded, encoded

GOOD = encoded()
ORDER = "order.completed"


def raw(kind: str = "web.visit", **literals: str) -> bytes:
    """A sample with fields as JSON text, so that they can hold what a JSON writer would not write."""
    holders = {name: f"@{name}@" for name in literals}
    text = encoded(kind, **holders).decode()
    for name, literal in literals.items():
        text = text.replace(json.dumps(holders[name]), literal)
    return text.encode()


def deep(levels: int) -> str:
    """Nested objects, `levels` of them."""
    return '{"a":' * levels + "1" + "}" * levels


def props(count: int) -> bytes:
    """Fields that no event has."""
    return "".join(f',"p{n}":{n}' for n in range(count)).encode()


NFD = unicodedata.normalize("NFD", "jürgen")
ACCEPTED = "accepted"

POISON: list[tuple[str, bytes | None, str]] = [
    # No JSON object at all
    ("empty", b"", "unparsable"),
    ("white space", b" \n", "unparsable"),
    ("null value", None, "unparsable"),
    ("JSON null", b"null", "wrong_type"),
    ("truncated", GOOD[:-20], "unparsable"),
    ("trailing garbage", GOOD + b" x", "unparsable"),
    ("two documents", GOOD + GOOD, "unparsable"),
    ("array", b"[" + GOOD + b"]", "wrong_type"),
    ("string", b'"web.visit"', "wrong_type"),
    ("number", b"42", "wrong_type"),
    ("HTML", b"<!doctype html><title>502 Bad Gateway</title>", "unparsable"),
    ("gzip", gzip.compress(GOOD, mtime=0), "unparsable"),
    ("pickle", pickle.dumps({"id": "e1"}), "unparsable"),
    ("Avro file", b"Obj\x01\x04\x16avro.schema", "unparsable"),
    ("registry-encoded Avro", b"\x00\x00\x00\x00\x07\x02\x06abc", "registry_encoded"),
    ("registry-encoded JSON", b"\x00\x00\x00\x00\x07" + GOOD, "registry_encoded"),
    ("registry-encoded with brackets", b"\x00\x00\x00\x00\x07" + b"[" * 100, "registry_encoded"),
    ("1 MB blob", b"\xfe" * 1_000_000, "too_large"),
    ("1 MB event", encoded(title="x" * 1_000_000), "too_large"),
    # Text
    ("invalid UTF-8 in a field", GOOD.replace(b"shop", b"sh\xffp"), "unparsable"),
    ("invalid UTF-8 in an ignored field", raw(extra='"@@"').replace(b"@@", b"\xc3\x28"), "unparsable"),
    ("UTF-8 of a surrogate", GOOD.replace(b"shop", b"\xed\xa0\x80"), "unparsable"),
    ("UTF-16 with BOM", GOOD.decode().encode("utf-16"), "unparsable"),
    ("UTF-8 BOM", b"\xef\xbb\xbf" + GOOD, "unparsable"),
    ("lone surrogate in an id", raw(customer_id='"\\ud800"'), "unparsable"),
    ("lone surrogate in a title", raw(title='"\\udc00"'), "unparsable"),
    ("NUL in an id", raw(id='"e\\u00001"'), "bad_id"),
    ("DEL in an id", encoded(id="e\x7f1"), "bad_id"),
    ("newline in a label", encoded(source="shop\nup 1"), "bad_id"),
    ("raw newline in a string", GOOD.replace(b"shop", b"sh\nop"), "unparsable"),
    ("U+2028 in a label", encoded(source="shop\u2028"), "bad_id"),
    ("zero-width space in a customer id", encoded(customer_id="c\u200b1"), "bad_id"),
    ("right-to-left override in an order id", encoded(ORDER, order_id="o\u202e1"), "bad_id"),
    ("zero-width space in a product id", encoded(ORDER, items=[{"product_id": "p\u200b"}]), "bad_id"),
    ("customer id in NFD", encoded(customer_id=NFD), "bad_id"),
    ("customer id in NFC", encoded(customer_id=unicodedata.normalize("NFC", NFD)), ACCEPTED),
    ("emoji in a title", encoded(title="Shoes 👟"), ACCEPTED),
    # Numbers
    ("NaN", raw(duration_s="NaN"), "unparsable"),
    ("Infinity", raw(duration_s="Infinity"), "unparsable"),
    ("1e999", raw(duration_s="1e999"), "out_of_range"),
    ("5,000-digit int", raw(pages="9" * 5000), "out_of_range"),
    ("5,000-digit customer", raw(customer_id="9" * 5000), "out_of_range"),
    ("200-digit customer", raw(customer_id="9" * 200), "out_of_range"),
    ("leading zero", raw(pages="01"), "unparsable"),
    ("pages 0", encoded(pages=0), "out_of_range"),
    ("pages 1.5", encoded(pages=1.5), "wrong_type"),
    ("negative duration", encoded(duration_s=-1), "out_of_range"),
    # Shape
    ("depth 100k array", b"[" * 100_000 + b"]" * 100_000, "too_large"),
    ("depth 10k array", raw(extra="[" * 10_000 + "]" * 10_000), "too_deep"),
    ("nested 20k object", deep(20_000).encode(), "too_large"),
    ("nested 5k object", raw(extra=deep(5_000)), "too_deep"),
    ("nested 20 deep", raw(extra=deep(19)), ACCEPTED),
    ("nested 21 deep", raw(extra=deep(20)), "too_deep"),
    ("brackets in a text are no depth", encoded(title='[{"' * 40 + "\\"), ACCEPTED),
    ("depth hidden by brackets in texts", raw(extra='["]",' * 30 + "1" + "]" * 30), "too_deep"),
    ("duplicate keys: the last counts", GOOD[:-1] + b',"customer_id":"c2"}', ACCEPTED),
    ("duplicate type", GOOD[:-1] + b',"type":"order.completed"}', "unparsable"),
    ("10k props", GOOD[:-1] + props(10_000) + b"}", "too_large"),
    ("1k props", GOOD[:-1] + props(1_000) + b"}", ACCEPTED),
    ("context as a list", encoded(context=[1, 2]), "wrong_type"),
    ("unknown fields", encoded(schema_version=99, extra={"a": [1]}), ACCEPTED),
    # Customer
    ("customer missing", encoded(customer_id=...), "no_identity"),
    ("customer null", encoded(customer_id=None), "no_identity"),
    ("customer int", encoded(customer_id=17), ACCEPTED),
    ("customer float", encoded(customer_id=1.5), "wrong_type"),
    ("customer bool", encoded(customer_id=True), "wrong_type"),
    ("customer object", encoded(customer_id={"id": 1}), "wrong_type"),
    ("customer empty", encoded(customer_id=""), "no_identity"),
    ("customer of 129 characters", encoded(customer_id="c" * 129), "out_of_range"),
    ("customer of 128 characters", encoded(customer_id="c" * 128), ACCEPTED),
    ("customer 1 MB", encoded(customer_id="c" * 1_000_000), "too_large"),
    ("customer __proto__", encoded(customer_id="__proto__"), ACCEPTED),
    ("customer as an email key", encoded(customer_id="email:" + "0" * 32), "bad_id"),
    ("id missing", encoded(id=...), "missing_field"),
    ("id empty", encoded(id=""), "out_of_range"),
    ("id int", encoded(id=5), "wrong_type"),
    ("id of 101 characters", encoded(id="e" * 101), "out_of_range"),
    ("source missing", encoded(source=...), "missing_field"),
    # Time
    ("time missing", encoded(time=...), "missing_field"),
    ("time text", encoded(time="yesterday"), "wrong_type"),
    ("time without a zone", encoded(time="2024-02-29T12:00:00"), "wrong_type"),
    ("time negative", encoded(time=-1), "out_of_range"),
    ("time of 1969", encoded(time="1969-12-31T23:59:59Z"), "out_of_range"),
    ("time of year 9999", encoded(time="9999-12-31T23:59:59Z"), "future_timestamp"),
    ("time beyond year 9999", encoded(time="9999-12-31T23:59:59-01:00"), "out_of_range"),
    ("time 1e300", encoded(time=1e300), "out_of_range"),
    ("time in milliseconds", encoded(time=1_709_208_000_000), ACCEPTED),
    ("time in seconds", encoded(time=1_709_208_000.5), ACCEPTED),
    ("time in microseconds", encoded(time=1_709_208_000_000_000), "out_of_range"),
    ("time bool", encoded(time=True), "wrong_type"),
    ("time null", encoded(time=None), "wrong_type"),
    ("time of an ahead clock", encoded(time="2024-02-29T12:05:00.001Z"), "future_timestamp"),
    # Money
    ("amount missing", encoded(ORDER, total=...), "missing_field"),
    ("amount null", encoded(ORDER, total=None), "missing_field"),
    ("amount negative", encoded(ORDER, total=-1), "bad_money"),
    ("amount negative text", encoded(ORDER, total="-0.01"), "bad_money"),
    ("amount text", encoded(ORDER, total="abc"), "bad_money"),
    ("amount empty", encoded(ORDER, total=""), "bad_money"),
    ("amount 1e308", encoded(ORDER, total=1e308), "bad_money"),
    ("amount NaN text", encoded(ORDER, total="NaN"), "bad_money"),
    ("amount Infinity", raw(ORDER, total="Infinity"), "unparsable"),
    ("amount with surplus digits", encoded(ORDER, total="1.005"), "bad_money"),
    ("amount bool", encoded(ORDER, total=True), "wrong_type"),
    ("amount object", encoded(ORDER, total={"value": 1}), "wrong_type"),
    ("amount of 5,000 digits", raw(ORDER, total="9" * 5000), "bad_money"),
    ("minor amount negative", encoded(ORDER, total=..., total_minor=-1), "out_of_range"),
    ("minor amount float", encoded(ORDER, total=..., total_minor=1.5), "wrong_type"),
    ("amounts that differ", encoded(ORDER, total="1.00", total_minor=101), "bad_money"),
    ("currency unknown", encoded(ORDER, currency="EURO"), "bad_money"),
    ("currency missing", encoded(ORDER, currency=...), "missing_field"),
    ("order not paid", encoded(ORDER, status="pending"), "out_of_range"),
    ("item quantity 0", encoded(ORDER, items=[{"qty": 0}]), "out_of_range"),
    ("item price negative", encoded(ORDER, items=[{"unit_price": -1}]), "bad_money"),
    ("items as an object", encoded(ORDER, items={}), "wrong_type"),
    # Type
    ("type missing", encoded(type=...), "missing_field"),
    ("type unknown", encoded(type="web.visited"), "unknown_type"),
    ("type of 10k characters", encoded(type="t" * 10_000), "unknown_type"),
    ("type int", encoded(type=7), "wrong_type"),
    ("type null", encoded(type=None), "wrong_type"),
    ("type list", encoded(type=["web.visit"]), "wrong_type"),
    ("type not read yet", encoded(type="privacy.erase"), "unsupported"),
    ("page type unknown", encoded(page_type="home"), "out_of_range"),
    ("url empty", encoded(url=""), "out_of_range"),
    ("url missing", encoded(url=...), "missing_field"),
    ("test event", encoded(test=True), "test"),
    ("test event with a newline in its source", encoded(test=True, source="shop\nup 1"), "bad_id"),
]


@pytest.mark.parametrize(("value", "end"), [case[1:] for case in POISON], ids=[case[0] for case in POISON])
def test_each_kind_of_poison_has_its_end(value: bytes | None, end: str) -> None:
    """Accepted as a fact that the log can hold, or refused for the one reason that fits, in few words."""
    result = decoded(value)
    if end == ACCEPTED:
        assert isinstance(result, Fact), result
        assert facts.decode(facts.encode(result)) == result
    else:
        assert isinstance(result, Refusal), result
        assert (result.reason, result.outcome) == (end, "suppressed" if end == "test" else "rejected"), result
        assert result.message.startswith("$")
        assert len(result.message) < 400


def test_the_table_names_each_reason_and_each_kind_once() -> None:
    """Every reason of the closed list is reached by some kind of poison."""
    assert {end for _, _, end in POISON} == REASONS | {ACCEPTED}
    assert len({name for name, _, _ in POISON}) == len(POISON) >= 54


DECODER = Decoder(SECRET)


def mutations() -> Iterator[st.SearchStrategy[bytes]]:
    """Valid events with bytes cut out, doubled, and overwritten, and with fields of any JSON value."""
    kinds = st.sampled_from(sorted(EVENTS))
    yield st.builds(
        lambda kind, at, length, new: (good := encoded(kind))[: at % len(good)] + new + good[at % len(good) + length :],
        kinds,
        st.integers(0, 1000),
        st.integers(0, 8),
        st.binary(max_size=4),
    )
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    value = st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
    names = st.sampled_from(sorted({name for fields in EVENTS.values() for name in fields} | {
        "id", "source", "time", "type", "customer_id", "customerId", "email", "context", "sent_at", "received_at",
        "net", "total_minor", "unit_price", "experiment", "consent", "test", "bot", "account_id", "anonymousId",
    }))  # fmt: skip
    yield st.builds(
        lambda kind, changes: json.dumps({**json.loads(encoded(kind)), **changes}).encode(),
        kinds,
        st.dictionaries(names, value, max_size=3),
    )


@given(st.one_of(st.binary(max_size=200), *mutations()), st.none() | st.integers(0, 10**13))
@settings(max_examples=500)
def test_decode_gives_a_fact_or_a_refusal_for_any_bytes(value: bytes, appended_ms: int | None) -> None:
    """It never raises; a fact is one that the log can hold, a refusal is one that can be counted and logged."""
    result = DECODER.decode(value, appended_ms)
    if isinstance(result, Refusal):
        assert result.reason in REASONS
        assert result.type in {*EVENTS, "unknown"} or result.reason == "unsupported"
        assert len(result.source) <= 128
        assert result.source.isprintable()
        assert len(result.message) < 400
        assert result.message.isprintable()
    else:
        assert facts.decode(facts.encode(result)) == result
        assert result.customer_id or result.email or result.anonymous_id
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
