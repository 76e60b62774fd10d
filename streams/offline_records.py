"""Facts, changes and differences as bytes whose order is the order that is wanted: all that is sorted offline.

Names hold no zero byte, so a zero ends each of them, and UTF-8 sorts as the text does. Times are not below 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from lifestage.change import Announced, encode_value
from lifestage.facts import Fact, decode, encode
from lifestage.moments import parse


def fact_record(key: bytes, fact: Fact) -> bytes:
    """A fact by (key, time, source, id), and by its content where these are equal."""
    time = fact.time.to_bytes(8, "big")
    return b"%b\0%b%b\0%b\0%b" % (key, time, fact.source.encode(), fact.id.encode(), encode(fact))


def _key(record: bytes) -> bytes:
    return record[: record.index(0)]


def by_customer(records: Iterable[bytes]) -> Iterator[tuple[str, Iterator[Fact]]]:
    """Each key with its facts, from fact records in order. The facts are to be taken before the next key."""
    for key, of_one in groupby(records, key=_key):
        yield key.decode(), _facts(len(key) + 9, of_one)


def _facts(after_time: int, records: Iterable[bytes]) -> Iterator[Fact]:
    for record in records:
        after_source = record.index(0, after_time) + 1
        yield decode(memoryview(record)[record.index(0, after_source) + 1 :])


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
