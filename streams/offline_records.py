"""Facts, changes and differences as bytes whose order is the order that is wanted: all that is sorted offline.

Names hold no zero byte, so a zero ends each of them, and UTF-8 sorts as the text does. Times are not below 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, groupby

import msgspec

from lifestage.change import Announced, encode_value
from lifestage.facts import Fact, decode, encode
from lifestage.moments import parse
from lifestage.resolve import Order, Silence, order_of


def fact_record(key: bytes, fact: Fact) -> bytes:
    """A fact by (key, time, source, id), and by its content where these are equal."""
    time = fact.time.to_bytes(8, "big")
    return b"%b\0%b%b\0%b\0%b" % (key, time, fact.source.encode(), fact.id.encode(), encode(fact))


def _key(record: bytes) -> bytes:
    return record[: record.index(0)]


def key_in(record: bytes) -> bytes:
    """The key of a fact record or link record."""
    return record[: record.index(0)]


def order_in(record: bytes, after_key: int) -> bytes:
    """The place of a fact by (time, source, id), from a record in which it follows a key of so many bytes."""
    start = after_key + 1
    return record[start : record.index(0, record.index(0, start + 8) + 1) + 1]


def fact_in(record: bytes, after_key: int) -> Fact:
    """The fact in a fact record whose key has so many bytes."""
    after_source = record.index(0, after_key + 9) + 1
    fact: Fact = decode(memoryview(record)[record.index(0, after_source) + 1 :])
    return fact


def silence_record(key: bytes, silence: Silence) -> bytes:
    """A silence of one of a person's ids: before all facts of the person, since no fact's source is empty."""
    return b"%b\0%b\0\0%b" % (key, bytes(8), msgspec.msgpack.encode(silence))


def by_customer(records: Iterable[bytes]) -> Iterator[tuple[str, list[Silence], Iterator[Fact]]]:
    """Each key with its silences and facts, from their records in order. The facts are to be taken before the next key."""
    for key, of_one in groupby(records, key=key_in):
        told, facts = _opened(len(key), of_one)
        yield key.decode(), told, facts


def _opened(after_key: int, records: Iterator[bytes]) -> tuple[list[Silence], Iterator[Fact]]:
    told: list[Silence] = []
    first = next(records)
    while not first[after_key + 9]:
        told.append(_silence(memoryview(first)[after_key + 11 :]))
        first = next(records)  # whoever is told to have been silent has said something
    return told, _facts(after_key, chain((first,), records))


_silence = msgspec.msgpack.Decoder(Silence).decode


def _facts(after_key: int, records: Iterable[bytes]) -> Iterator[Fact]:
    for record in records:
        yield fact_in(record, after_key)


def link_record(lower: str, order: Order, key: str) -> bytes:
    """That an id was seen with a higher one, by (the lower id, place of the event)."""
    return b"%b\0%b%b" % (lower.encode(), order, key.encode())


def link_in(record: bytes) -> tuple[str, Order, str]:
    """The lower id, the place of the event, and the higher id, from a link record."""
    lower = key_in(record)
    order = order_in(record, len(lower))
    return lower.decode(), order, record[len(lower) + 1 + len(order) :].decode()


CLAIM, FOUND, ACT = b"\0", b"\1", b"\2"


def claim_record(order: Order, key: str, lower: str) -> bytes:
    """That a fact under `key` names a lower id, by its place."""
    return b"%b%b%b\0%b" % (order, CLAIM, key.encode(), lower.encode())


def found_record(order: Order, key: str, thing: str) -> bytes:
    """That a fact under `key` says whose an order or ticket is, by its place."""
    return b"%b%b%b\0%b" % (order, FOUND, key.encode(), thing.encode())


def act_record(fact: Fact) -> bytes:
    """A merge or split, by its place."""
    return b"%b%b%b" % (order_of(fact), ACT, encode(fact))


def said_in(record: bytes) -> tuple[Order, bytes, bytes]:
    """The place, the kind and the rest of a record of what is said of ids."""
    order = order_in(record, -1)
    at = len(order)
    return order, record[at : at + 1], record[at + 1 :]


def change_record(change: Announced) -> bytes:
    """A change by (time, customer, seq)."""
    time, seq = parse(change.time).to_bytes(8, "big"), change.data.seq.to_bytes(4, "big")
    return b"%b%b\0%b%b" % (time, change.partitionkey.encode(), seq, encode_value(change))


def change_line(record: bytes) -> memoryview:
    """The document in a change record."""
    return memoryview(record)[record.index(0, 8) + 5 :]


def named_record(key: str, document: bytes) -> bytes:
    """A document by the customer it is about."""
    return b"%b\0%b" % (key.encode(), document)


def named_line(record: bytes) -> memoryview:
    """The document in a named record."""
    return memoryview(record)[record.index(0) + 1 :]
