"""The three forms of an event, and names in camelCase: the fact is the same in all of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lifestage import facts
from lifestage.aliases import ALIASES
from lifestage.decode import Decoder, Refusal
from lifestage.facts import Fact
from tests.core.samples import EVENTS, SECRET, TIME_MS, accepted, decoded, event, refused

ATTRIBUTES = ("id", "source", "type", "time")
SHIPPED = Path(__file__).parents[2] / "config" / "contract"
Header = tuple[str, bytes | None]


def camel(given: Any) -> Any:
    """The same JSON with every name in camelCase."""
    if isinstance(given, dict):
        return {re.sub(r"_([a-z])", lambda end: end[1].upper(), name): camel(value) for name, value in given.items()}
    return [camel(value) for value in given] if isinstance(given, list) else given


def structured(kind: str = "web.visit", /, **changes: Any) -> dict[str, Any]:
    """The sample in a CloudEvents envelope; changes to `data` go there, others to the envelope."""
    fields = event(kind)
    data = {name: value for name, value in fields.items() if name not in ATTRIBUTES}
    envelope = {"specversion": "1.0", **{name: fields[name] for name in ATTRIBUTES}, "data": data, **changes}
    return {name: value for name, value in envelope.items() if value is not ...}


def headers(**changes: bytes | None) -> list[Header]:
    """The headers of a visit in binary mode; a change to None takes one away."""
    given: dict[str, bytes | None] = {
        "ce_specversion": b"1.0", "ce_id": b"e1", "ce_source": b"shop", "ce_type": b"web.visit",
        "ce_time": b"2024-02-29T12:00:00Z", "content-type": b"application/json", **changes,
    }  # fmt: skip
    return [(name, value) for name, value in given.items() if value is not None]


DATA = json.dumps({name: value for name, value in event().items() if name not in ATTRIBUTES}).encode()


def told(value: object, *given: Header) -> Refusal:
    """The refusal of a value with headers."""
    found = decoded(value if isinstance(value, bytes) else json.dumps(value).encode(), TIME_MS, given)
    assert isinstance(found, Refusal), found
    return found


@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_of_each_kind_is_the_same_fact_in_each_form(kind: str) -> None:
    """Plain, structured and binary, in snake_case and in camelCase."""
    fact = accepted(kind)
    data = {name: value for name, value in event(kind).items() if name not in ATTRIBUTES}
    binary = headers(ce_type=kind.encode())
    for value, given in (
        (camel(event(kind)), ()),
        (structured(kind), ()),
        (structured(kind, data=camel(data)), ()),
        (structured(kind), [("content-type", b"application/cloudevents+json; charset=UTF-8")]),
        (data, binary),
        (camel(data), binary),
    ):
        assert decoded(json.dumps(value).encode(), TIME_MS, given) == fact


def test_every_field_of_the_contract_has_an_alias() -> None:
    """Mechanically: what follows an underscore begins with a capital; those of `context` and `items` too."""
    for alias, name in {
        "customerId": "customer_id", "durationS": "duration_s", "pageType": "page_type", "costOfGoods": "cost_of_goods",
        "totalMinor": "total_minor", "mrrMinor": "mrr_minor", "scaleMin": "scale_min", "effectiveAt": "effective_at",
        "periodStart": "period_start", "rejectReason": "reject_reason", "clickUrl": "click_url", "referralCode": "referral_code",
    }.items():  # fmt: skip
        assert ALIASES[alias] == name
    assert all(re.sub(r"([A-Z])", lambda capital: "_" + capital[1].lower(), a) == name for a, name in ALIASES.items())
    assert accepted(context={"userAgent": "x", "source": "y"}).context == facts.Context(source="y", user_agent="x")
    items = [{"productId": "p", "unitPrice": "0.10"}, {"product_id": "q", "unitPriceMinor": 7}]
    assert accepted("order.completed", items=items).items == (
        facts.Item(product_id="p", unit_price_minor=10),
        facts.Item(product_id="q", unit_price_minor=7),
    )


@pytest.mark.parametrize(
    ("kind", "alias", "given", "name"),
    [
        ("web.visit", "customerId", "other", "customer_id"),
        ("web.visit", "pageType", "pricing", "page_type"),
        ("order.completed", "orderId", "other", "order_id"),
    ],
)
def test_a_name_in_snake_case_wins(kind: str, alias: str, given: str, name: str) -> None:
    """Where both are there, in either order."""
    assert accepted(kind, **{alias: given}) == accepted(kind)
    assert decoded(json.dumps({alias: given, **event(kind)}).encode()) == accepted(kind)
    assert getattr(accepted(kind, **{alias: given, name: ...}), name) == given


def test_an_alias_of_a_clock_field_corrects_the_time() -> None:
    """`sentAt` and `receivedAt` are `sent_at` and `received_at`."""
    assert accepted(sentAt=TIME_MS, receivedAt=TIME_MS - 5000).time == TIME_MS - 5000


def test_names_that_a_sender_chooses_are_no_aliases() -> None:
    """Neither those of fields that no event has, nor capitals in values, nor the names of traits."""
    assert accepted(Description="A", someThing={"pageType": "kb"}, title="customerId").title == "customerId"
    assert refused("profile.updated", traits={"customerId": 1}, anonymousId="a").message.startswith(
        "$.traits: expected names"
    )


def test_money_in_camel_case_keeps_its_digits() -> None:
    """What is rewritten is moved as the text it is, so not one digit is lost to a float."""
    value = json.dumps({**event("order.completed"), "costOfGoods": 0.123}).encode()
    refusal = decoded(value.replace(b"0.123", b"0.10000000000000000001"))
    assert isinstance(refusal, Refusal)
    assert refusal.message == ("$.cost_of_goods: expected at most 2 digits after the point, got 0.10000000000000000001")


def test_the_envelope_says_id_source_type_and_time() -> None:
    """What `data` says of them counts only where the envelope is silent."""
    data = {**structured()["data"], "id": "other", "source": "other", "type": "ad.click", "time": 5}
    assert decoded(json.dumps(structured(data=data)).encode()) == accepted()
    assert decoded(json.dumps(data).encode(), TIME_MS, headers()) == accepted()
    fact = decoded(json.dumps(structured(data=data, id=..., time=None)).encode())
    assert isinstance(fact, Fact)
    assert (fact.id, fact.time) == ("other", 5000)


def test_what_all_events_have_may_be_an_extension_attribute() -> None:
    """In the lower case that CloudEvents asks for; `data` wins where it says the same."""
    extensions = {"customerid": "c7", "anonymousid": "a1", "accountid": "acme", "email": "ann@example.com",
                  "sentat": "2024-02-29T12:00:10Z", "receivedat": "2024-02-29T12:00:05Z", "bot": True}  # fmt: skip
    whole = event(customer_id="c7", anonymous_id="a1", account_id="acme", email="ann@example.com", bot=True,
                  sent_at="2024-02-29T12:00:10Z", received_at="2024-02-29T12:00:05Z")  # fmt: skip
    data = {name: value for name, value in structured()["data"].items() if name != "customer_id"}
    fact = decoded(json.dumps(whole).encode())
    assert isinstance(fact, Fact)
    assert decoded(json.dumps(structured(data=data, **extensions)).encode()) == fact
    added = {f"ce_{name}": (b"true" if value is True else str(value).encode()) for name, value in extensions.items()}
    assert decoded(json.dumps(data).encode(), TIME_MS, headers(**added)) == fact
    assert decoded(json.dumps(structured(customerid="c7")).encode()) == accepted()
    assert decoded(json.dumps(structured(data={**data, "customer_id": None}, customerid="c1")).encode()) == accepted()
    test = decoded(json.dumps(data).encode(), TIME_MS, headers(ce_customerid=b"c", ce_test=b"true"))
    assert isinstance(test, Refusal)
    assert test.outcome == "suppressed"


def test_other_attributes_are_ignored() -> None:
    """`subject`, `dataschema`, a trace, and an extension that has the name of a field of one kind."""
    others = {"subject": "ann", "dataschema": "https://x.example/s", "traceparent": "00-ab", "pages": 9, "title": "x"}
    assert decoded(json.dumps(structured(**others)).encode()) == accepted()
    added = {f"ce_{name}": str(value).encode() for name, value in others.items()}
    assert decoded(DATA, TIME_MS, headers(**added)) == accepted()
    foreign: list[Header] = [("traceparent", b"\xff"), ("ce_id", b"e9"), ("x", None)]
    assert decoded(json.dumps(event()).encode(), TIME_MS, foreign) == accepted()


def test_an_event_without_data_is_an_event_all_the_same() -> None:
    """Of a kind that asks for nothing more: no value in binary mode, no `data` in a structured one that was announced."""
    fact = accepted("community.activity", kind=...)
    given = headers(ce_type=b"community.activity", ce_customerid=b"c1")
    for value in (None, b"", b"null", b"{}"):
        assert decoded(value, TIME_MS, given) == fact
    bare = structured("community.activity", data=..., customerid="c1")
    assert decoded(json.dumps(bare).encode(), TIME_MS, [("Content-Type", b"application/cloudevents+json")]) == fact
    assert decoded(json.dumps({**bare, "data": None}).encode()) == fact


def test_a_flat_event_that_says_specversion_is_a_plain_one() -> None:
    """Without `data` there is no envelope to open, whatever the version."""
    assert decoded(json.dumps({"specversion": "7", **event()}).encode()) == accepted()
    assert decoded(json.dumps({"specversion": None, **event()}).encode()) == accepted()
    assert decoded(json.dumps(event(context={"specversion": "1.0", "source": "x"})).encode()) == accepted(
        context={"source": "x"}
    )


ANNOUNCED = ("content-type", b"application/cloudevents+json")
BATCH = ("content-type", b"application/cloudevents-batch+json")
PREFIXES = "expected an id that does not begin with email:, anon:, order:, ticket:, company:, identity:, got one"


@pytest.mark.parametrize(
    ("value", "given", "reason", "message"),
    [
        (structured(specversion="0.3"), [], "unsupported", '$.specversion: expected 1.0, the version of CloudEvents, got "0.3"'),
        (structured(specversion=1.0), [], "unsupported", "$.specversion: expected 1.0, the version of CloudEvents, got 1.0"),
        (structured(specversion=...), [ANNOUNCED], "missing_field", "$.specversion: expected 1.0, the version of CloudEvents, got nothing"),
        (structured(data=..., data_base64="e30="), [], "unsupported", "$.data_base64: expected JSON in data, got bytes"),
        (structured(data=[1]), [], "wrong_type", "$.data: expected an object, got an array"),
        (structured(data="{}"), [], "wrong_type", '$.data: expected an object, got "{}"'),
        (structured(id=...), [], "missing_field", "$.id: expected a value, got nothing"),
        (structured(time=...), [], "missing_field", "$.time: expected a value, got nothing"),
        (structured(data={"customer_id": "c"}), [], "missing_field", "$.data.url: expected a value, got nothing"),
        (structured(data={"customerId": "c", "url": "/", "pages": 0}), [], "out_of_range", "$.data.pages: expected an integer ≥ 1, got 0"),
        (structured(data={"customerId": "email:x", "url": "/"}), [], "bad_id", f"$.data.customer_id: {PREFIXES}"),
        (structured(data={"url": "/"}, customerid="anon:x"), [], "bad_id", f"$.customerid: {PREFIXES}"),
        (structured(data={"url": "/"}), [], "no_identity", "$: expected a customer_id, an email or an anonymous_id that names somebody"),
        (structured(time="2024-03-01T00:00:00Z"), [], "future_timestamp",
         "$.time: expected at most 300 s after the append time 2024-02-29T12:00:00Z, got 2024-03-01T00:00:00Z"),
        ([structured()], [BATCH], "wrong_type", "$: expected an object, got an array"),
        (DATA, headers(ce_specversion=b"1.1"), "unsupported", '$headers.ce_specversion: expected 1.0, the version of CloudEvents, got "1.1"'),
        (DATA, headers(ce_id=None), "missing_field", "$headers.ce_id: expected a value, got nothing"),
        (DATA, headers(ce_time=b"soon"), "wrong_type",
         '$headers.ce_time: expected an RFC 3339 time with a zone, such as 2024-02-29T12:00:00Z, got "soon"'),
        (DATA, headers(ce_id=b"\xff"), "unparsable", "$headers.ce_id: expected UTF-8, got other bytes"),
        (DATA, headers(**{"ce_\n": b"\xff"}), "unparsable", "$headers.ce_…: expected UTF-8, got other bytes"),
        (DATA, headers(ce_id=b"x\ny"), "bad_id", '$headers.ce_id: expected printable characters in Unicode form NFC, got "x\\ny"'),
        (DATA, headers(ce_test=b"yes"), "wrong_type", '$headers.ce_test: expected true or false, got "yes"'),
        (DATA, headers(ce_type=b"x"), "unknown_type",
         '$headers.ce_type: expected a type of the contract, such as web.visit, email.event or order.completed, got "x"'),
        (b'"\xc3x"', headers(), "unparsable", "$: expected UTF-8, got other bytes (at byte 1)"),
        (b'"\xc3x"', [ANNOUNCED], "unparsable", "$: expected UTF-8, got other bytes (at byte 1)"),
        (b"{}", headers(ce_customerid=b"c"), "missing_field", "$.url: expected a value, got nothing"),
        (b"[1]", headers(), "wrong_type", "$: expected an object, got an array"),
        (b"{", headers(), "unparsable", "$: expected JSON, got a text that ends too early, or half a surrogate pair"),
        (b"\0\0\0\0\7{}", headers(), "registry_encoded", "$: expected plain JSON, got a record of a schema registry (its first byte is 0)"),
        (DATA.replace(b"s1", b"s\xff"), headers(), "unparsable", "$: expected UTF-8, got other bytes (at byte "),
        (b'{"a":' * 30 + b"1" + b"}" * 30, headers(), "too_deep", "$: expected at most 20 levels of nesting"),
        (b" " * 32_769, headers(), "too_large", "$: expected at most 32768 bytes, got 32769"),
        (DATA, headers(ce_id=b"x" * 40_000), "too_large", "$: expected at most 32768 bytes, got 40"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_place_in_the_envelope(
    value: object, given: list[Header], reason: str, message: str
) -> None:
    """`$.data…` for what stands in `data`, `$headers.ce_…` for what stands in a header."""
    refusal = told(value, *given)
    assert refusal.reason == reason
    assert refusal.message.startswith(message)
    assert len(refusal.message) - len(message) <= 4


def test_a_refusal_is_counted_under_the_source_and_type_of_its_envelope() -> None:
    """Also where the value cannot be read."""
    for value, given in ((structured(data={"customer_id": "c"}), []), (b"{", headers()), (b"[1]", headers())):
        refusal = told(value, *given)
        assert (refusal.source, refusal.type) == ("shop", "web.visit")


def test_many_headers_harm_nothing() -> None:
    """Ten thousand that are none of ours, or attributes that nobody asked for; of one that is said twice the last counts."""
    many: list[Header] = [(f"h{n}", b"\xff" * 10) for n in range(10_000)]
    assert decoded(json.dumps(event()).encode(), TIME_MS, many) == accepted()
    assert decoded(DATA, TIME_MS, [*many, ("ce_id", b"e0"), *headers()]) == accepted()
    assert decoded(DATA, TIME_MS, [*headers(), *((f"ce_x{n}", b"y") for n in range(10_000))]) == accepted()


def test_the_three_forms_in_the_docs_are_one_event() -> None:
    """What a reader copies from docs/events.md is accepted, and is the same fact each time."""
    blocks = re.findall(r"```\w*\n(.*?)```", (SHIPPED.parents[1] / "docs" / "events.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    head, _, value = blocks[2].partition("\n\n")
    given = [(name, text.encode()) for name, text in (line.split(": ") for line in head.splitlines())]
    found = [decoded(blocks[0].encode(), None), decoded(blocks[1].encode(), None), decoded(value.encode(), None, given)]
    assert isinstance(found[0], facts.OrderCompleted)
    assert found == [found[0]] * 3


def test_the_shipped_samples_are_accepted() -> None:
    """Each line of the file, at least one of every kind; two in an envelope; and the one in binary mode beside it."""
    decoder = Decoder(SECRET)
    lines = (SHIPPED / "samples.jsonl").read_bytes().splitlines()
    found = [decoder.decode(line, None) for line in lines]
    assert [item for item in found if isinstance(item, Refusal)] == []
    accepted_ones = [item for item in found if isinstance(item, Fact)]
    assert {facts.TYPES[type(fact)] for fact in accepted_ones} == set(EVENTS)
    assert len({(fact.source, fact.id) for fact in accepted_ones}) == len(lines)
    assert sum(b'"specversion"' in line for line in lines) == 2
    binary = json.loads((SHIPPED / "sample.binary.json").read_text())
    given = [(name, text.encode()) for name, text in binary["headers"].items()]
    assert isinstance(decoder.decode(json.dumps(binary["value"]).encode(), None, given), facts.WebVisit)
