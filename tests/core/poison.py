"""Hostile and broken records by name: the bytes, their one end (a reason, or accepted), and the place that is named."""

from __future__ import annotations

import gzip
import json
import pickle
import unicodedata

from tests.core.samples import encoded, event

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

POISON: list[tuple[str, bytes | None, str, str]] = [
    # No JSON object at all
    ("empty", b"", "unparsable", "$"),
    ("white space", b" \n", "unparsable", "$"),
    ("null value", None, "unparsable", "$"),
    ("JSON null", b"null", "wrong_type", "$"),
    ("truncated", GOOD[:-20], "unparsable", "$"),
    ("trailing garbage", GOOD + b" x", "unparsable", "$"),
    ("two documents", GOOD + GOOD, "unparsable", "$"),
    ("array", b"[" + GOOD + b"]", "wrong_type", "$"),
    ("string", b'"web.visit"', "wrong_type", "$"),
    ("number", b"42", "wrong_type", "$"),
    ("HTML", b"<!doctype html><title>502 Bad Gateway</title>", "unparsable", "$"),
    ("gzip", gzip.compress(GOOD, mtime=0), "unparsable", "$"),
    ("pickle", pickle.dumps({"id": "e1"}), "unparsable", "$"),
    ("Avro file", b"Obj\x01\x04\x16avro.schema", "unparsable", "$"),
    ("registry-encoded Avro", b"\x00\x00\x00\x00\x07\x02\x06abc", "registry_encoded", "$"),
    ("registry-encoded JSON", b"\x00\x00\x00\x00\x07" + GOOD, "registry_encoded", "$"),
    ("registry-encoded with brackets", b"\x00\x00\x00\x00\x07" + b"[" * 100, "registry_encoded", "$"),
    ("1 MB blob", b"\xfe" * 1_000_000, "too_large", "$"),
    ("1 MB event", encoded(title="x" * 1_000_000), "too_large", "$"),
    # Text
    ("invalid UTF-8 in a field", GOOD.replace(b"shop", b"sh\xffp"), "unparsable", "$"),
    ("invalid UTF-8 in an ignored field", raw(extra='"@@"').replace(b"@@", b"\xc3\x28"), "unparsable", "$"),
    ("UTF-8 of a surrogate", GOOD.replace(b"shop", b"\xed\xa0\x80"), "unparsable", "$"),
    ("UTF-16 with BOM", GOOD.decode().encode("utf-16"), "unparsable", "$"),
    ("UTF-8 BOM", b"\xef\xbb\xbf" + GOOD, "unparsable", "$"),
    ("lone surrogate in an id", raw(customer_id='"\\ud800"'), "unparsable", "$"),
    ("lone surrogate in a title", raw(title='"\\udc00"'), "unparsable", "$"),
    ("NUL in an id", raw(id='"e\\u00001"'), "bad_id", "$.id"),
    ("DEL in an id", encoded(id="e\x7f1"), "bad_id", "$.id"),
    ("newline in a label", encoded(source="shop\nup 1"), "bad_id", "$.source"),
    ("raw newline in a string", GOOD.replace(b"shop", b"sh\nop"), "unparsable", "$"),
    ("U+2028 in a label", encoded(source="shop\u2028"), "bad_id", "$.source"),
    ("zero-width space in a customer id", encoded(customer_id="c\u200b1"), "bad_id", "$.customer_id"),
    ("right-to-left override in an order id", encoded(ORDER, order_id="o\u202e1"), "bad_id", "$.order_id"),
    (
        "zero-width space in a product id",
        encoded(ORDER, items=[{"product_id": "p\u200b"}]),
        "bad_id",
        "$.items[0].product_id",
    ),
    ("customer id in NFD", encoded(customer_id=NFD), "bad_id", "$.customer_id"),
    ("customer id in NFC", encoded(customer_id=unicodedata.normalize("NFC", NFD)), ACCEPTED, ""),
    ("emoji in a title", encoded(title="Shoes 👟"), ACCEPTED, ""),
    # Numbers
    ("NaN", raw(duration_s="NaN"), "unparsable", "$"),
    ("Infinity", raw(duration_s="Infinity"), "unparsable", "$"),
    ("1e999", raw(duration_s="1e999"), "out_of_range", "$.duration_s"),
    ("5,000-digit int", raw(pages="9" * 5000), "out_of_range", "$.pages"),
    ("5,000-digit customer", raw(customer_id="9" * 5000), "out_of_range", "$.customer_id"),
    ("200-digit customer", raw(customer_id="9" * 200), "out_of_range", "$.customer_id"),
    ("leading zero", raw(pages="01"), "unparsable", "$"),
    ("pages 0", encoded(pages=0), "out_of_range", "$.pages"),
    ("pages 1.5", encoded(pages=1.5), "wrong_type", "$.pages"),
    ("negative duration", encoded(duration_s=-1), "out_of_range", "$.duration_s"),
    # Shape
    ("depth 100k array", b"[" * 100_000 + b"]" * 100_000, "too_large", "$"),
    ("depth 10k array", raw(extra="[" * 10_000 + "]" * 10_000), "too_deep", "$"),
    ("nested 20k object", deep(20_000).encode(), "too_large", "$"),
    ("nested 5k object", raw(extra=deep(5_000)), "too_deep", "$"),
    ("nested 20 deep", raw(extra=deep(19)), ACCEPTED, ""),
    ("nested 21 deep", raw(extra=deep(20)), "too_deep", "$"),
    ("brackets in a text are no depth", encoded(title='[{"' * 40 + "\\"), ACCEPTED, ""),
    ("depth hidden by brackets in texts", raw(extra='["]",' * 30 + "1" + "]" * 30), "too_deep", "$"),
    ("duplicate keys: the last counts", GOOD[:-1] + b',"customer_id":"c2"}', ACCEPTED, ""),
    ("duplicate type", GOOD[:-1] + b',"type":"order.completed"}', "unparsable", "$.type"),
    ("10k props", GOOD[:-1] + props(10_000) + b"}", "too_large", "$"),
    ("1k props", GOOD[:-1] + props(1_000) + b"}", ACCEPTED, ""),
    ("context as a list", encoded(context=[1, 2]), "wrong_type", "$.context"),
    ("unknown fields", encoded(schema_version=99, extra={"a": [1]}), ACCEPTED, ""),
    # Customer
    ("customer missing", encoded(customer_id=...), "no_identity", "$"),
    ("customer null", encoded(customer_id=None), "no_identity", "$"),
    ("customer int", encoded(customer_id=17), ACCEPTED, ""),
    ("customer float", encoded(customer_id=1.5), "wrong_type", "$.customer_id"),
    ("customer bool", encoded(customer_id=True), "wrong_type", "$.customer_id"),
    ("customer object", encoded(customer_id={"id": 1}), "wrong_type", "$.customer_id"),
    ("customer empty", encoded(customer_id=""), "no_identity", "$"),
    ("customer of 129 characters", encoded(customer_id="c" * 129), "out_of_range", "$.customer_id"),
    ("customer of 128 characters", encoded(customer_id="c" * 128), ACCEPTED, ""),
    ("customer 1 MB", encoded(customer_id="c" * 1_000_000), "too_large", "$"),
    ("customer __proto__", encoded(customer_id="__proto__"), ACCEPTED, ""),
    ("customer as an email key", encoded(customer_id="email:" + "0" * 32), "bad_id", "$.customer_id"),
    ("id missing", encoded(id=...), "missing_field", "$.id"),
    ("id empty", encoded(id=""), "out_of_range", "$.id"),
    ("id int", encoded(id=5), "wrong_type", "$.id"),
    ("id of 101 characters", encoded(id="e" * 101), "out_of_range", "$.id"),
    ("source missing", encoded(source=...), "missing_field", "$.source"),
    # Time
    ("time missing", encoded(time=...), "missing_field", "$.time"),
    ("time text", encoded(time="yesterday"), "wrong_type", "$.time"),
    ("time without a zone", encoded(time="2024-02-29T12:00:00"), "wrong_type", "$.time"),
    ("time negative", encoded(time=-1), "out_of_range", "$.time"),
    ("time of 1969", encoded(time="1969-12-31T23:59:59Z"), "out_of_range", "$.time"),
    ("time of year 9999", encoded(time="9999-12-31T23:59:59Z"), "future_timestamp", "$.time"),
    ("time beyond year 9999", encoded(time="9999-12-31T23:59:59-01:00"), "out_of_range", "$.time"),
    ("time 1e300", encoded(time=1e300), "out_of_range", "$.time"),
    ("time in milliseconds", encoded(time=1_709_208_000_000), ACCEPTED, ""),
    ("time in seconds", encoded(time=1_709_208_000.5), ACCEPTED, ""),
    ("time in microseconds", encoded(time=1_709_208_000_000_000), "out_of_range", "$.time"),
    ("time bool", encoded(time=True), "wrong_type", "$.time"),
    ("time null", encoded(time=None), "wrong_type", "$.time"),
    ("time of an ahead clock", encoded(time="2024-02-29T12:05:00.001Z"), "future_timestamp", "$.time"),
    # Money
    ("amount missing", encoded(ORDER, total=...), "missing_field", "$.total"),
    ("amount null", encoded(ORDER, total=None), "missing_field", "$.total"),
    ("amount negative", encoded(ORDER, total=-1), "bad_money", "$.total"),
    ("amount negative text", encoded(ORDER, total="-0.01"), "bad_money", "$.total"),
    ("amount text", encoded(ORDER, total="abc"), "bad_money", "$.total"),
    ("amount empty", encoded(ORDER, total=""), "bad_money", "$.total"),
    ("amount 1e308", encoded(ORDER, total=1e308), "bad_money", "$.total"),
    ("amount NaN text", encoded(ORDER, total="NaN"), "bad_money", "$.total"),
    ("amount Infinity", raw(ORDER, total="Infinity"), "unparsable", "$"),
    ("amount with surplus digits", encoded(ORDER, total="1.005"), "bad_money", "$.total"),
    ("amount bool", encoded(ORDER, total=True), "wrong_type", "$.total"),
    ("amount object", encoded(ORDER, total={"value": 1}), "wrong_type", "$.total"),
    ("amount of 5,000 digits", raw(ORDER, total="9" * 5000), "bad_money", "$.total"),
    ("minor amount negative", encoded(ORDER, total=..., total_minor=-1), "out_of_range", "$.total_minor"),
    ("minor amount float", encoded(ORDER, total=..., total_minor=1.5), "wrong_type", "$.total_minor"),
    ("amounts that differ", encoded(ORDER, total="1.00", total_minor=101), "bad_money", "$.total"),
    ("currency unknown", encoded(ORDER, currency="EURO"), "bad_money", "$.currency"),
    ("currency missing", encoded(ORDER, currency=...), "missing_field", "$.currency"),
    ("order not paid", encoded(ORDER, status="pending"), "out_of_range", "$.status"),
    ("item quantity 0", encoded(ORDER, items=[{"qty": 0}]), "out_of_range", "$.items[0].qty"),
    ("item price negative", encoded(ORDER, items=[{"unit_price": -1}]), "bad_money", "$.items[0].unit_price"),
    ("items as an object", encoded(ORDER, items={}), "wrong_type", "$.items"),
    # Type
    ("type missing", encoded(type=...), "missing_field", "$.type"),
    ("type unknown", encoded(type="web.visited"), "unknown_type", "$.type"),
    ("type of 10k characters", encoded(type="t" * 10_000), "unknown_type", "$.type"),
    ("type int", encoded(type=7), "wrong_type", "$.type"),
    ("type null", encoded(type=None), "wrong_type", "$.type"),
    ("type list", encoded(type=["web.visit"]), "wrong_type", "$.type"),
    ("type not read yet", encoded(type="privacy.erase"), "unsupported", "$.type"),
    ("page type unknown", encoded(page_type="home"), "out_of_range", "$.page_type"),
    ("url empty", encoded(url=""), "out_of_range", "$.url"),
    ("url missing", encoded(url=...), "missing_field", "$.url"),
    ("test event", encoded(test=True), "test", "$.test"),
    ("test event with a newline in its source", encoded(test=True, source="shop\nup 1"), "bad_id", "$.source"),
    # Other kinds, other spellings
    ("refund without an amount", encoded("order.refunded", amount=...), "missing_field", "$.amount"),
    (
        "refund of minor units of nothing",
        encoded("order.refunded", amount=..., amount_minor=1, currency=...),
        "missing_field",
        "$.currency",
    ),
    ("score as text", encoded("feedback.received", score="9"), "wrong_type", "$.score"),
    ("score off its scale", encoded("feedback.received", score=11), "out_of_range", "$.score"),
    ("scale upside down", encoded("feedback.received", scale_min=9, scale_max=1), "out_of_range", "$.scale_max"),
    ("metric unknown", encoded("feedback.received", metric="nbs"), "out_of_range", "$.metric"),
    ("account that is none", encoded("account.created", account_id="undefined"), "no_identity", "$.account_id"),
    ("referrer who is none", encoded("referral.sent", referrer_id="0"), "no_identity", "$.referrer_id"),
    ("referrer as a list", encoded("referral.sent", referrer_id=["c1"]), "wrong_type", "$.referrer_id"),
    ("cost of a period that ends first", encoded("cost.recorded", period_end=0), "out_of_range", "$.period_end"),
    ("cost of 1e999", raw("cost.recorded", amount="1e999"), "bad_money", "$.amount"),
    ("cost of nobody", encoded("cost.recorded", customer_id=...), ACCEPTED, ""),
    ("customer as a company record", encoded(customer_id="company:00"), "bad_id", "$.customer_id"),
    ("props as a list", encoded("profile.updated", traits=[1]), "wrong_type", "$.traits"),
    (
        "trait of 30,000 digits",
        raw("profile.updated", traits='{"a":' + "9" * 30_000 + "}"),
        "out_of_range",
        "$.traits[...]",
    ),
    ("trait of 1e999", raw("profile.updated", traits='{"a":1e999}'), "out_of_range", "$.traits[...]"),
    ("trait as an object", encoded("profile.updated", traits={"a": {"b": 1}}), "wrong_type", "$.traits.a"),
    ("trait with a newline in its name", encoded("profile.updated", traits={"a\n": 1}), "bad_id", "$.traits"),
    ("trait named __proto__", encoded("profile.updated", traits={"__proto__": 1}), ACCEPTED, ""),
    ("101 traits", encoded("profile.updated", traits={f"a{n}": n for n in range(101)}), "out_of_range", "$.traits"),
    ("consent of null", encoded("consent.changed", purposes={"marketing": None}), "wrong_type", "$.purposes.marketing"),
    ("alias of a wrong value", encoded(pageType="home", page_type=...), "out_of_range", "$.page_type"),
    ("alias twice", GOOD[:-1] + b',"customerId":"c2","customerId":{}}', ACCEPTED, ""),
    ("alias in an escape", GOOD[:-1] + b',"customer\\u0049d":"c2"}', "wrong_type", "$.customerId"),
    ("schema version unknown", encoded(specversion="2.0", data={}), "unsupported", "$.specversion"),
    ("schema version a list", encoded(specversion=["1.0"], data={}), "unsupported", "$.specversion"),
    (
        "envelope in an envelope",
        encoded(specversion="1.0", url=..., data={"specversion": "1.0", "data": event()}),
        "missing_field",
        "$.data.url",
    ),
    ("envelope with a text in it", encoded(specversion="1.0", data=GOOD.decode()), "wrong_type", "$.data"),
    ("envelope with bytes in it", encoded(specversion="1.0", data_base64="AA=="), "unsupported", "$.data_base64"),
    ("envelope with 20 levels in it", encoded(specversion="1.0", data={"a": json.loads(deep(19))}), "too_deep", "$"),
]
