"""The log's format is final: these bytes are what version 1 writes, for good."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import log
from lifestage.facts import AnyFact, EmailEvent, OrderCompleted, WebVisit, decode, encode
from tests.core.histories import facts, thorough


def test_the_header_is_these_24_bytes() -> None:
    """Version, kind, origin topic, partition, offset, n, flags, key id: big endian, in this order, of these widths."""
    value = log.pack(log.FACT, b"payload", 0xABCD, 0x01020304, 0x05060708090A0B0C, 0x0D0E)
    assert value.hex(" ") == (
        "01 01 ab cd 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 00 00 00 00 00 00 70 61 79 6c 6f 61 64"
    )
    assert log.HEADER_SIZE == 24
    assert log.header(value) == (1, 1, 0xABCD, 0x01020304, 0x05060708090A0B0C, 0x0D0E, 0, 0)


def test_a_tick_and_a_refusal_are_these_bytes() -> None:
    """A tick has no origin; a refusal has that of the record that was refused."""
    tick = log.pack_tick(log.Tick(1_709_208_000_000, live=True))
    assert tick.hex() == "010200000000000000000000000000000000000000000000" + "93cf0000018df4bc5600c3a0"
    assert log.tick(tick) == log.Tick(1_709_208_000_000, live=True)
    refusal = log.Refused("rejected", "shop", "web.visit", "missing_field")
    value = log.pack_refused(refusal, 7, 1, 2)
    assert value[:24].hex() == "010400070000000100000000000000020000000000000000"
    assert log.refused(value) == refusal


@pytest.mark.parametrize(
    ("name", "code"), [("visits", 32_307), ("emails", 13_525), ("purchases", 56_419), ("customer-events", 58_319)]
)
def test_topic_codes_do_not_move(name: str, code: int) -> None:
    """The code of a topic is a function of its name alone, and never 0."""
    assert log.topic_code(name) == code


@given(st.text())
def test_a_topic_code_is_never_none(name: str) -> None:
    """0 means that a record has no origin."""
    assert 1 <= log.topic_code(name) <= 0xFFFF


@pytest.mark.parametrize(
    "value", [b"", b"\x01", b"\x01" * 23, b"\x00" * 24, b"\x02" * 40, b'{"id": "e1", "source": 1}']
)
def test_what_is_none_of_ours_is_refused(value: bytes) -> None:
    """Nothing is guessed: a short value or another version is an error that shows its beginning."""
    with pytest.raises(log.LogFormatError, match="not a log record of version 1"):
        log.header(value)


@pytest.mark.parametrize(
    ("fact", "hexed"),
    [
        (
            WebVisit(time=1, source="s", id="i", customer_id="c", url="/"),
            "dc00170101a173a169a163c0c0c0c2c0c0c0c0a12fc0c0c0c0c0c001c0c0",
        ),
        (
            OrderCompleted(
                time=1_709_208_000_000,
                source="shop",
                id="e1",
                customer_id="c1",
                order_id="o1",
                currency="EUR",
                total_minor=11_900,
                net_minor=10_000,
            ),
            "dc001905cf0000018df4bc5600a473686f70a26531a26331c0c0c0c2c0c0c0c0a26f31a3455552cd2e7ccd2710c0c0c0c0c090c0c0",
        ),
    ],
)
def test_a_fact_is_these_bytes(fact: AnyFact, hexed: str) -> None:
    """An array of its tag and fields: later versions append fields and read these bytes still."""
    assert encode(fact).hex() == hexed
    assert decode(bytes.fromhex(hexed)) == fact


@thorough
@given(facts())
def test_facts_come_back_as_they_went_in(history: list[AnyFact]) -> None:
    """What is written to the log is read from the log."""
    assert [decode(encode(fact)) for fact in history] == history


def test_an_older_and_a_newer_record_are_read() -> None:
    """A record with fewer fields gets the defaults; one with more is read as far as it is known."""
    order = OrderCompleted(
        time=1, source="s", id="i", customer_id="c", order_id="o", currency="EUR", total_minor=5, net_minor=4
    )
    array = msgspec.msgpack.decode(encode(order))
    assert decode(msgspec.msgpack.encode([*array, "a field of the future"])) == order
    mail = EmailEvent(time=1, source="s", id="i", email="email:0", message_id="m", event="opened")
    fields = msgspec.msgpack.decode(encode(mail))
    assert decode(msgspec.msgpack.encode(fields[: fields.index("opened") + 1])) == mail
