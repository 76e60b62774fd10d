"""Records of every topic in words: a line that a person reads at a glance, and JSON that loses nothing."""

from __future__ import annotations

import json

import msgspec
import pytest

from config.settings import Kafka, Settings, Topics
from lifestage import facts, log
from lifestage.facts import WebVisit, encode
from lifestage.messages import (
    Forwarded,
    Link,
    Member,
    Message,
    Occasion,
    Release,
    Restore,
    Split,
    Switched,
    Unite,
    encode_message,
)
from streams import dead_letters
from streams.following import FollowError, Record
from streams.telling import Carries, document, origins_of, tell, topic_called

NOON = 1_772_366_400_000  # 2026-03-01T12:00:00Z
SHOP, VISITS = log.topic_code("shop"), log.topic_code("visits")
WHY = Occasion(NOON, "shop", "e1", "web.visit")
VISIT = WebVisit(time=NOON, source="shop", id="v1", url="/", anonymous_id="x")
ORIGINS = origins_of(Settings(topics=Topics(sources=("visits", "shop"))))
CHANGE = b"""{"customer_id": "ann", "seq": 2, "stage": "conversion", "previous_stage": "reach",
 "entered_at": "2026-03-01T12:00:00Z", "kind": "advance"}"""


def record(value: bytes | None, key: bytes | None = b"ann", **headers: str) -> Record:
    """A record of 12:00 at t[1]@7; header names with `_` for `-`."""
    given = {name.replace("_", "-"): text.encode() for name, text in headers.items()}
    return Record("t", 1, 7, NOON, key, value, given)


def words(carries: Carries, value: bytes | None, key: bytes | None = b"ann", **headers: str) -> list[str]:
    """The line of a record, split where there are two spaces or more."""
    return [part.strip() for part in str(tell(record(value, key, **headers), carries, ORIGINS)).split("  ") if part]


def test_a_change_is_one_line() -> None:
    """Time, customer, from where to where, and the kind."""
    assert words("changes", CHANGE) == ["2026-03-01T12:00:00Z", "ann", "reach -> conversion", "advance"]


def test_a_first_change_and_a_tombstone_have_no_stage_on_one_side() -> None:
    """Nothing is written as a dash, a deleted customer as gone."""
    first = CHANGE.replace(b'"reach"', b"null")
    assert words("changes", first)[2] == "- -> conversion"
    assert words("changes", None) == ["2026-03-01T12:00:00Z", "ann", "gone"]


def test_an_event_shows_whom_and_what() -> None:
    """The customer, the type, the id and where it stands; envelopes and camelCase are read too."""
    plain = b'{"time": "2026-01-01T00:00:00Z", "customer_id": 42, "type": "web.visit", "id": "e1"}'
    assert words("events", plain) == ["2026-01-01T00:00:00Z", "42", "web.visit", "e1", "t[1]@7"]
    envelope = b'{"specversion": "1.0", "type": "web.visit", "id": "e1", "data": {"customerId": "ann"}}'
    assert words("events", envelope) == ["2026-03-01T12:00:00Z", "ann", "web.visit", "e1", "t[1]@7"]


def test_an_address_is_never_in_a_line() -> None:
    """Somebody known by email alone, or whose customer id is an address, is shown as such."""
    for named in (b'"email": "ann@example.com", "recipient": "ann@example.com"', b'"customer_id": "ann@example.com"'):
        line = str(tell(record(b'{%b, "type": "email.event", "id": "e1"}' % named, None), "events"))
        assert "(by email)" in line
        assert "ann@" not in line


@pytest.mark.parametrize("address", ["ann@example.com", "ann%40example.com", "ann＠example.com"])
def test_no_address_is_in_a_line_however_it_is_written(address: str) -> None:
    """Not as an id of a person or an event, nor as a type, a time or the key of a record that cannot be read."""
    for name in ("customer_id", "anonymous_id", "id", "type", "time"):
        fields = {"type": "web.visit", "id": "e1", name: address}
        line = str(tell(record(msgspec.json.encode(fields), None), "events"))
        assert "(by email)" in line or "(with an address)" in line
        assert "example" not in line
    assert words("events", b"{", address.encode())[1] == "(by email)"


@pytest.mark.parametrize("value", [b"", b"{", b"[1]", b"\xff\xfe", b"\x00\x00\x00\x00\x01abc", None])
@pytest.mark.parametrize("carries", ["events", "log", "changes", "dead letters"])
def test_what_cannot_be_read_is_told_and_ends_nothing(carries: Carries, value: bytes | None) -> None:
    """A damaged record has its place in its line, and is whole in JSON."""
    told = tell(record(value), carries)
    assert "unreadable" in told.what or told.what == "gone"
    assert json.loads(document(record(value), carries))["offset"] == 7


def test_the_log_shows_facts_ticks_and_refusals() -> None:
    """Each kind of log record has its words, with the source record it came from, by name where the settings know it."""
    fact = facts.AdClick(time=NOON, source="s", id="e1", customer_id="ann", campaign_id="c")
    packed = log.pack(log.FACT, facts.encode(fact), topic=SHOP, partition=3, offset=4)
    assert words("log", packed) == ["2026-03-01T12:00:00Z", "ann", "ad.click", "e1", "from shop[3]@4"]
    tick = log.pack_tick(log.Tick(NOON, live=True))
    assert words("log", tick, None) == ["2026-03-01T12:00:00Z", "-", "tick, live"]
    refused = log.pack_refused(log.Refused("rejected", "shop", "order.completed", "bad_money"), VISITS, 1, 2)
    assert words("log", refused, None)[2:] == ["rejected (bad_money)", "order.completed", "from visits[1]@2"]
    message = log.pack(log.MESSAGE, b"", topic=77, partition=1, offset=2)
    assert words("log", message)[2:] == ["message", "from topic 77[1]@2"]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (Link("anon:x", "ann", WHY), "link to ann"),
        (Link("bob", "ann", WHY, merge=True), "merge to ann"),
        (Unite("ann", (Member("bob", "ann"), Member("anon:x", "bob")), WHY), "unite with bob, anon:x"),
        (Restore("bob", (Member("bob", "ann"),), WHY), "have back bob"),
        (Forwarded("ann", "anon:x", encode(VISIT)), "forwarded from anon:x: web.visit  v1"),
        (Switched("ann", "anon:x", WHY), "switched anon:x"),
        (Release("ann", "bob", WHY), "release bob"),
        (Split("bob", WHY), "split"),
    ],
)
def test_what_partitions_tell_each_other_is_told(message: Message, said: str) -> None:
    """Each message in a few words, as JSON too."""
    value = log.pack(log.MESSAGE, encode_message(message), topic=77, partition=1, offset=2)
    assert tell(record(value), "log").what == f"{said}  from topic 77[1]@2"
    assert json.loads(document(record(value), "log"))["value"]["content"] == {"message": said}


def test_the_log_as_json_has_the_fact_in_full() -> None:
    """Header and content by name."""
    fact = facts.AdClick(time=NOON, source="s", id="e1", customer_id="ann", campaign_id="c")
    found = json.loads(document(record(log.pack(log.FACT, facts.encode(fact), SHOP, 3, 4)), "log"))["value"]
    assert (found["header"]["partition"], found["header"]["offset"]) == (3, 4)
    assert found["content"]["type"] == "ad.click"
    assert found["content"]["campaign_id"] == "c"


def test_a_dead_letter_shows_reason_place_and_message() -> None:
    """What a person needs to find and mend the sender; the record's own headers are kept beside ours."""
    why = dead_letters.Why("bad_money", '$.total: expected a decimal, got "abc"', "purchases", 3, 8812)
    headers = dict(dead_letters.headers(why, [("trace", b"1"), ("lifestage-reason", b"old")]))
    assert headers["trace"] == b"1"
    assert dead_letters.why(headers) == why
    told = tell(Record("t", 1, 7, NOON, b"k", b"{", headers), "dead letters")
    assert told.what == 'bad_money  purchases[3]@8812  $.total: expected a decimal, got "abc"'


def test_json_keeps_the_record_whole() -> None:
    """Numbers keep their digits, text stays text, and bytes that are no text become base64."""
    found = document(record(b'{"total":\n 0.10}', ce_type="x"), "events")
    assert b'"value":{"total":  0.10}' in found
    assert b"\n" not in found
    assert json.loads(found)["headers"] == {"ce-type": "x"}
    assert json.loads(document(record(b"\xff"), "events"))["value"] == {"base64": "/w=="}
    assert json.loads(document(record(b"plain"), "events"))["value"] == "plain"
    assert msgspec.json.decode(document(record(None, None), "changes"))["value"] is None


def test_topics_are_called_with_or_without_their_prefix() -> None:
    """Every topic of a deployment but the changelog can be followed; a misspelt one is refused with the nearest."""
    settings = Settings(kafka=Kafka(group="g"), topics=Topics(prefix="eu."))
    assert topic_called("stage-changes", settings) == ("eu.stage-changes", "changes")
    assert topic_called("eu.customer-stages", settings) == ("eu.customer-stages", "changes")
    assert topic_called("customer-events", settings) == ("eu.customer-events", "log")
    assert topic_called("dead-letters", settings) == ("eu.dead-letters", "dead letters")
    assert topic_called("visits", settings) == ("eu.visits", "events")
    with pytest.raises(FollowError, match=r"did you mean 'eu\.stage-changes'"):
        topic_called("stage-change", settings)
