"""Refusals: what a sender is told, and what is never repeated."""

from __future__ import annotations

from typing import Any

import pytest

from lifestage.decode import Refusal
from tests.core.samples import decoded, encoded, refused


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (encoded("order.completed", total="abc"), '$.total: expected a decimal ≥ 0, got "abc"'),
        (encoded("order.completed", total=-5), "$.total: expected a decimal ≥ 0, got -5"),
        (encoded("order.completed", total=True), "$.total: expected a decimal string or a number, got true"),
        (encoded("order.completed", total=[1]), "$.total: expected a decimal string or a number, got an array"),
        (encoded("order.completed", items=[{}, {"unit_price": "x"}]), '$.items[1].unit_price: expected a decimal ≥ 0, got "x"'),
        (encoded("order.completed", items=[{"qty": "x"}]), '$.items[0].qty: expected an integer, got "x"'),
        (encoded("order.completed", currency="Euro"), '$.currency: expected an ISO 4217 code such as EUR, got "Euro"'),
        (encoded(pages="3"), '$.pages: expected an integer, got "3"'),
        (encoded(pages=0), "$.pages: expected an integer ≥ 1, got 0"),
        (encoded(duration_s=-0.5), "$.duration_s: expected a number ≥ 0, got -0.5"),
        (encoded(id=""), '$.id: expected a string of length ≥ 1, got ""'),
        (encoded(customer_id=1.5), "$.customer_id: expected an integer or a string, got 1.5"),
        (encoded(customer_id="c\u200b"), '$.customer_id: expected printable characters in Unicode form NFC, got "c\\u200b"'),
        (encoded(context={"source": 5}), "$.context.source: expected a string, got 5"),
        (encoded(context={"source": {}}), "$.context.source: expected a string, got an object"),
        (encoded(experiment={"id": "x"}), "$.experiment.variant: expected a value, got nothing"),
        (encoded(page_type="home"), '$.page_type: expected one of content, product, pricing, checkout, kb, account, other, got "home"'),
        (encoded(type="x"), '$.type: expected a type of the contract, such as web.visit, email.event or order.completed, got "x"'),
        (encoded(type="order.paid"), '$.type: expected one of order.completed, order.updated, order.refunded, order.cancelled, got "order.paid"'),
        (encoded(type="privacy.erase"), '$.type: expected a type that this version reads, such as web.visit, email.event or order.completed, got "privacy.erase"'),
        (encoded("account.created", account_id=None), "$.account_id: expected an integer or a string, got null"),
        (encoded("feedback.received", score="9"), '$.score: expected a number, got "9"'),
        (encoded("loyalty.points", balance=1e10), "$.balance: expected a number ≤ 1000000000, got 10000000000.0"),
        (encoded(customerId=1.5, customer_id=...), "$.customer_id: expected an integer or a string, got 1.5"),
        (encoded(type=...), "$.type: expected a value, got nothing"),
        (encoded(customer_id=...), "$: expected a customer_id, an email or an anonymous_id that names somebody"),
        (encoded(time="29.02.2024"), '$.time: expected an RFC 3339 time with a zone, such as 2024-02-29T12:00:00Z, got "29.02.2024"'),
        (encoded(time=-1), "$.time: expected an instant in the years 1970 to 9999, got -1"),
        (b"[]", "$: expected an object, got an array"),
        (b"{", "$: expected JSON, got a text that ends too early, or half a surrogate pair"),
        (b"{]", "$: expected JSON, got object keys must be strings (byte 1)"),
        (b"\xff", "$: expected UTF-8, got other bytes (at byte 0)"),
        (b"\0\0\0\0\7{}", "$: expected plain JSON, got a record of a schema registry (its first byte is 0)"),
        (None, "$: expected a JSON object, got an empty value"),
        (b" " * 32769, "$: expected at most 32768 bytes, got 32769"),
        (b'{"a":' * 21, "$: expected at most 20 levels of nesting"),
    ],
)  # fmt: skip
def test_a_message_names_the_place_what_was_expected_and_what_was_there(value: bytes | None, message: str) -> None:
    """A sender can mend the event from the message alone."""
    refusal = decoded(value)
    assert isinstance(refusal, Refusal)
    assert refusal.message == message


@pytest.mark.parametrize(
    "changes",
    [
        {"email": 5}, {"email": ["ann@example.com"]}, {"email": {"address": "ann@example.com"}}, {"email": "ann@" * 100}, {"email": "ann.example.com" * 30},
        {"pages": "ann@example.com"}, {"pages": "x" * 60 + "ann@example.com"}, {"context": "ann@example.com"},
        {"customer_id": "ann@example.com\u200b"}, {"customer_id": "email:ann@example.com"}, {"time": "ann@example.com"},
        {"page_type": "ann%40example.com"}, {"page_type": "ann＠example.com"}, {"type": "ann@example.com"},
        {"source": "ann@example.com\n"}, {"id": "ann@example.com" * 20},
    ],
)  # fmt: skip
def test_no_address_is_ever_in_a_refusal(changes: dict[str, Any]) -> None:
    """Whatever field it stands in, the message names the field and not the address."""
    refusal = refused(**changes)
    assert refusal.reason != "unparsable"
    assert not any("ann" in part or "example" in part for part in refusal)
    assert f"$.{next(iter(changes))}" in refusal.message


@pytest.mark.parametrize("given", ["x" * 30_000, "\n" * 30_000, "é" * 3_000, int("9" * 400), "👟" * 5_000])
def test_a_message_repeats_at_most_40_characters(given: object) -> None:
    """However long the value is, and however its characters are escaped."""
    message = refused(context=given).message if isinstance(given, str) else refused(url=given).message
    assert len(message.partition(", got ")[2]) <= 44
    assert message.isprintable()


@pytest.mark.parametrize(
    ("changes", "source", "kind"),
    [
        ({"pages": 0}, "shop", "web.visit"),
        ({"type": "nonsense"}, "shop", "unknown"),
        ({"type": 7, "source": 8}, "unknown", "unknown"),
        ({"source": "shop\n"}, "unknown", "web.visit"),
        ({"source": "s" * 129}, "unknown", "web.visit"),
        ({"title": "x" * 40_000}, "shop", "web.visit"),
        ({"title": "x" * 2_000_000}, "unknown", "unknown"),
    ],
)
def test_a_refusal_is_counted_under_what_could_be_read(changes: dict[str, Any], source: str, kind: str) -> None:
    """A source that could be a name and a type of the contract; otherwise `unknown`."""
    refusal = refused(**changes)
    assert (refusal.source, refusal.type) == (source, kind)
