"""What a person types becomes the record that was meant."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from commands.send import Events
from config.settings import Settings, Topics
from lifestage.facts import TYPES
from streams.outgoing import (
    SOURCE_OF,
    SendError,
    complete,
    fields_of,
    fields_of_json,
    record_of,
    source_topic,
    topic_for,
)

NOW = datetime(2026, 3, 1, 12, 30, 15, 250_999, tzinfo=UTC)


def value_of(type_: str, *words: str) -> str:
    """The JSON that `lifestage send TYPE WORDS…` sends, with nothing filled in."""
    return record_of("t", fields_of(type_, words)).value.decode()


def test_words_become_fields() -> None:
    """Numbers stay numbers with every digit as it was typed; the rest is text."""
    assert value_of("order.completed", "customer_id=ann", "total=40.10", "currency=EUR", "order_id=o1") == (
        '{"type":"order.completed","customer_id":"ann","total":40.10,"currency":"EUR","order_id":"o1"}'
    )


@pytest.mark.parametrize(
    ("type_", "word", "expected"),
    [
        ("order.completed", "order_id=0042", '"0042"'),
        ("order.completed", "order_id=42", '"42"'),
        ("order.completed", "coupon=2026", '"2026"'),
        ("order.completed", "customer_id=42", '"42"'),
        ("lead.captured", "form=true", '"true"'),
        ("lead.captured", "qualified=true", "true"),
        ("web.visit", "pages=3", "3"),
        ("web.visit", "url=https://example.com/?a=b", '"https://example.com/?a=b"'),
        ("order.completed", "total=007", '"007"'),
        ("order.completed", "tax=null", "null"),
        ("order.completed", "total=", '""'),
        ("order.completed", 'items=[{"qty": 2}]', '[{"qty": 2}]'),
        ("order.completed", 'note="5"', '"5"'),
        ("order.completed", "note=größer", '"größer"'),
        ("identity.merged", 'ids=["a", "b@example.com", 7]', '["a", "b@example.com", 7]'),
        ("identity.merged", "into=42", '"42"'),
    ],
)
def test_a_value_has_the_type_that_its_field_has(type_: str, word: str, expected: str) -> None:
    """Ids and names are text even when they look like numbers; what looks like JSON elsewhere is JSON."""
    name = word.partition("=")[0]
    assert value_of(type_, word) == f'{{"type":"{type_}","{name}":{expected}}}'


def test_dots_go_one_level_down() -> None:
    """Fields of the context are given one by one."""
    found = json.loads(value_of("web.visit", "context.campaign=spring", "context.medium=5"))
    assert found["context"] == {"campaign": "spring", "medium": "5"}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["total"], "'total' is no field"),
        (["=4"], "'=4' is no field"),
        (["total=4", "total=5"], "total is given twice"),
        (["type=x"], "type is given twice"),
        (["url=x", "url.y=1"], "url already has a value"),
        (["items=[1,"], "'items=[1,': not JSON"),
    ],
)
def test_a_wrong_word_is_named(words: list[str], named: str) -> None:
    """The message holds the word as it was typed."""
    with pytest.raises(SendError) as refused:
        fields_of("web.visit", words)
    assert named in str(refused.value)


def test_what_is_missing_is_filled_in_and_what_is_there_stays() -> None:
    """An event without id, source and time gets them; one that has them, even as null, is sent as it came."""
    made = complete({"type": "web.visit"}, NOW, lambda: "new-id")
    assert made["id"] == "new-id"
    assert made["source"] == "shell"
    assert made["time"] == "2026-03-01T12:30:15.250Z"
    given = '{"id":"mine","source":null,"time":1e3,"total":0.10000000000000000001}'
    assert record_of("t", complete(fields_of_json(given), NOW, lambda: "new-id")).value.decode() == given


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"a":1} x', "null"])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    """One event is one object."""
    with pytest.raises(SendError, match="not a JSON object"):
        fields_of_json(text)


@pytest.mark.parametrize(
    ("event", "key"),
    [
        ('{"customer_id":"ann","anonymous_id":"a1"}', b"ann"),
        ('{"customer_id":42}', b"42"),
        ('{"customerId":"ann"}', b"ann"),
        ('{"customer_id":null,"anonymous_id":"a1"}', b"a1"),
        ('{"customer_id":true}', None),
        ('{"email":"ann@example.com"}', None),
        ('{"customer_id":"ann@example.com"}', b"725bd90e"),
        ('{"customer_id":"Ann%40example.com"}', b"725bd90e"),
        ('{"customer_id":"Ann@Example.com ","anonymous_id":"a1"}', b"725bd90e"),
        ('{"type":"identity.merged","ids":["a","b"]}', b"identity:"),
        ('{"type":"identity.split","ids":["a"],"customer_id":"a"}', b"identity:"),
        ('{"type":"identity.linked","customer_id":"a","anonymous_id":"b"}', b"a"),
    ],
)
def test_the_key_is_an_id_and_never_an_address(event: str, key: bytes | None) -> None:
    """Events of one customer keep their order, and so do merges and splits; an email address is in no key."""
    assert record_of("t", fields_of_json(event)).key == key


def test_every_type_has_its_topic() -> None:
    """Each type that this version reads goes to a source of the default settings; prefixes are put in front."""
    settings = Settings(topics=Topics(prefix="eu."))
    assert {topic_for(type_, settings) for type_ in TYPES.values()} == {
        f"eu.{name}" for name in settings.topics.sources
    }
    assert topic_for("order.completed", settings) == "eu.purchases"
    assert set(SOURCE_OF.values()) == {"visits", "emails", "purchases", "feedback", "costs", "identity"}


def test_a_type_without_a_topic_is_refused() -> None:
    """A misspelt type comes with the nearest; a type whose topic is not configured with what to do."""
    with pytest.raises(SendError, match=r"did you mean 'order\.completed'"):
        topic_for("oder.completed", Settings())
    with pytest.raises(SendError, match=r"topic feedback, which topics\.sources does not name"):
        topic_for("feedback.received", Settings(topics=Topics(sources=("visits", "purchases"))))


def test_a_topic_may_be_named_with_or_without_its_prefix() -> None:
    """Both are the same topic on the wire; a name that is no source is none."""
    settings = Settings(topics=Topics(prefix="eu."))
    assert source_topic("visits", settings) == source_topic("eu.visits", settings) == "eu.visits"
    assert source_topic("order.completed", settings) is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["identity.merged", 'ids=["a","b@example.com"]', "into=a"], None),
        (["identity.linked", "customer_id=a", "email=a@example.com"], None),
        (["identity.split", "ids=[7]"], None),
        (["order.refunded", "refund_id=r", "order_id=o", "amount=5", "currency=EUR"], None),
        (
            ["identity.merged", 'ids=["a"]'],
            "(out_of_range): $.ids: expected two different ids, or one beside another in into",
        ),
        (["identity.merged", "ids=a"], "(wrong_type): $.ids: expected an array"),
        (["identity.linked", 'ids=["a","b"]'], "(bad_id): $.ids[1]: expected ids of different classes"),
        (["order.completed", "order_id=o", "total=5", "currency=EUR"], "(no_identity): $: expected a customer_id"),
    ],
)
def test_events_about_ids_are_checked_before_they_are_sent(
    words: list[str], told: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the door would take goes to its topic; what it would not is told with the place, and is not sent."""
    events = Events(Settings(), words, None, check=True)
    sent = [record.topic for record in events]
    assert sent == ([] if told else ["identity" if words[0].startswith("identity.") else "purchases"])
    assert (told or "") in capsys.readouterr().err
    assert events.refused == (told is not None)
