"""A fetch that has to be read a second time, for a header's name that is no UTF-8, gives each committed record once."""

from __future__ import annotations

import struct
from itertools import cycle
from typing import Any, cast

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.lenient import BARE, LenientPartition, LenientResult, Others, Raw

ABORT, ATTRIBUTES_AT, CONTROL = b"\0\0\0\0", 21, 0x20
PRODUCER = 77


def batch(base: int, values: list[bytes], *, nameless: bool = False, producer: int = -1) -> bytes:
    """A batch from offset `base` on; `nameless`, with a header whose name is no UTF-8; of a `producer`'s transaction."""
    made: Any = DefaultRecordBatchBuilder(2, 0, int(producer >= 0), producer, 0, 0, 1 << 20)
    for at, value in enumerate(values):
        made.append(at, 1, None, value, [("NAME", b"")] if nameless else [])
    return struct.pack(">q", base) + bytes(made.build())[8:].replace(b"NAME", b"\xff\xfe\xfd\xfc")


def aborting(base: int) -> bytes:
    """The marker with which the broker ends a transaction that was aborted."""
    made: Any = DefaultRecordBatchBuilder(2, 0, 1, PRODUCER, 0, 0, 1 << 20)
    made.append(0, 1, ABORT, b"\0" * 6, [])
    raw = bytearray(struct.pack(">q", base) + bytes(made.build())[8:])
    (attributes,) = struct.unpack_from(">h", raw, ATTRIBUTES_AT)
    struct.pack_into(">h", raw, ATTRIBUTES_AT, attributes | CONTROL)
    return bytes(raw)


def read(*batches: bytes, begin: int = 0, aborted: list[tuple[int, int]] | None = None) -> tuple[list[int], int]:
    """The offsets that a fetch from `begin` on gives, and where it leaves the reader."""
    made: Any = LenientPartition
    partition = made(
        TopicPartition("t", 0), Raw(b"".join(batches)), aborted or [], begin, None, None, False, READ_COMMITTED
    )
    return [record.offset for record in partition], partition.next_fetch_offset


@pytest.mark.parametrize("begin", range(3))
def test_what_was_handed_out_does_not_come_again(begin: int) -> None:
    """Of several batches before and after the one that is read anew each record comes once, wherever in the first it begins."""
    batches = [batch(at, [b"v"] * 3, nameless=at in (6, 9)) for at in range(0, 12, 3)]
    assert read(*batches, begin=begin) == (list(range(begin, 12)), 12)


def test_what_was_aborted_stays_aborted() -> None:
    """The records of an aborted transaction before such a header are left out by the second reading as well."""
    batches = [
        batch(0, [b"v"] * 2),
        batch(2, [b"aborted"] * 3, producer=PRODUCER),
        aborting(5),
        batch(6, [b"v"] * 2),
        batch(8, [b"v"], nameless=True),
    ]
    assert read(*batches, aborted=[(PRODUCER, 2)]) == ([0, 1, 6, 7, 8], 9)


def test_a_transaction_after_an_aborted_one_is_read() -> None:
    """That a producer has aborted is forgotten behind its marker: what it commits next comes, in both readings once."""
    batches = [
        batch(0, [b"aborted"], producer=PRODUCER),
        aborting(1),
        batch(2, [b"v"] * 2, producer=PRODUCER),
        batch(4, [b"v"], nameless=True),
        batch(5, [b"aborted"], producer=PRODUCER),
        aborting(6),
    ]
    assert read(*batches, aborted=[(PRODUCER, 0), (PRODUCER, 5)]) == ([2, 3, 4], 7)


@pytest.mark.parametrize("nameless", [False, True])
def test_a_bare_record_says_what_the_consumers_own_says(nameless: bool) -> None:
    """Read bare, records hold the same as aiokafka's, no key or value and unreadable names included, and end at the same place."""
    made: Any = DefaultRecordBatchBuilder(2, 0, 0, -1, 0, 0, 1 << 20)
    for at, (key, value) in enumerate([(b"k", b"v"), (None, b"v"), (b"k", None)]):
        made.append(at, 7 + at, key, value, [("NAME", b"said")] * at)
    raw = bytes(made.build()).replace(b"NAME", b"\xff\xfe\xfd\xfc" if nameless else b"NAME")
    partition: Any = LenientPartition
    readers = [
        partition(TopicPartition("t", 3), Raw(raw), [], 1, deserializer, None, False, READ_COMMITTED)
        for deserializer in (None, BARE)
    ]
    usual, bare = map(list, readers)
    assert [(one.offset, one.timestamp, one.key, one.value, list(one.headers)) for one in bare] == [
        (one.offset, one.timestamp, one.key, one.value, list(one.headers)) for one in usual
    ]
    assert [one.offset for one in bare] == [1, 2]
    assert not hasattr(bare[0], "topic")
    assert readers[0].next_fetch_offset == readers[1].next_fetch_offset == 3


@pytest.mark.parametrize("nameless", [False, True])
@pytest.mark.parametrize(("own", "given"), [(PRODUCER, [0, 1, 4, 7, 8]), (5, [0, 1, 2, 3, 5, 6]), (-1, list(range(9)))])
def test_what_one_producer_wrote_is_passed_over(own: int, given: list[int], nameless: bool) -> None:
    """Batches of that producer are not handed out, nor looked into; those between them are, bare, and the end is reached."""

    def by(producer: int, base: int, count: int) -> bytes:
        made: Any = DefaultRecordBatchBuilder(2, 0, 0, producer, 0, 0, 1 << 20)
        for at in range(count):
            made.append(at, 1, b"k", b"v", [("NAME", b"")] if nameless else [])
        whole = struct.pack(">q", base) + bytes(made.build())[8:].replace(b"NAME", b"\xff\xfe\xfd\xfc")
        # no record of a batch that is passed over could be read
        return whole if producer != own or own < 0 else whole[:61] + b"\xff" * (len(whole) - 61)

    batches = [by(-1, 0, 2), by(PRODUCER, 2, 2), by(5, 4, 1), by(PRODUCER, 5, 2), by(5, 7, 2)]
    made: Any = LenientPartition
    partition = made(
        TopicPartition("t", 0), Raw(b"".join(batches)), [], 0, Others(lambda: own), None, own >= 0 and not nameless, 0
    )
    found = list(partition)
    assert [record.offset for record in found] == given
    assert partition.next_fetch_offset == 9
    assert not hasattr(found[0], "topic")


class _Assigned:
    """Where one assigned partition stands, as aiokafka's subscription notes it."""

    active, paused = True, False

    def __init__(self, position: int) -> None:
        self.position = position

    def state_value(self, _: TopicPartition) -> _Assigned:
        """That partition alone."""
        return self

    def consumed_to(self, position: int) -> None:
        """Reading has come to there."""
        self.position = position


def in_turns(
    raw: bytes, begin: int, aborted: list[tuple[int, int]], most: list[int | None], *, checked: bool, bare: bool
) -> list[Any]:
    """What a fetch gives that is asked for so many records at a time, with the positions between and at the end, and errors:
    by the record, as aiokafka has it, or by the batch."""
    tp, made, result = TopicPartition("t", 0), cast("Any", LenientPartition), LenientResult if bare else FetchResult
    at = _Assigned(begin)
    records = made(tp, Raw(raw), aborted, begin, BARE if bare else None, None, checked, READ_COMMITTED)
    fetched: Any = cast("Any", result)(tp, assignment=at, partition_records=records, backoff=0)
    found: list[Any] = []
    for each in cycle(most):
        if not fetched.has_more():
            return [*found, at.position]
        try:
            some = fetched.getall(each)
        except (CorruptRecordException, UnicodeDecodeError) as error:
            found.append(type(error))
            continue
        found += [(one.offset, one.value) for one in some]
        if fetched.has_more():
            assert each is not None
            assert len(some) in (0, each)
            found.append(at.position)
    raise AssertionError


@st.composite
def fetches(draw: st.DrawFn) -> tuple[list[bytes], list[tuple[int, int]]]:
    """Batches, some of them with gaps behind, of transactions that were aborted, or nameless, so that their checksum is
    wrong; and what was aborted."""
    made, aborted, base, beginning = list[bytes](), list[tuple[int, int]](), 0, -1
    for kind in draw(st.lists(st.sampled_from(["plain", "plain", "nameless", "producer", "aborting"]), max_size=6)):
        if kind == "aborting":
            if beginning >= 0:
                aborted.append((PRODUCER, beginning))
                beginning = -1
            made.append(aborting(base))
            base += 1
        else:
            count = draw(st.integers(1, 4))
            if kind == "producer" and beginning < 0:
                beginning = base
            values = [b"%d" % (base + n) for n in range(count)]
            producer = PRODUCER if kind == "producer" else -1
            made.append(batch(base, values, nameless=kind == "nameless", producer=producer))
            base += count + draw(st.integers(0, 2))
    return made, aborted


@given(
    fetches(), st.integers(0, 12), st.lists(st.sampled_from([None, 1, 2, 3, 7]), min_size=1, max_size=3), st.booleans()
)
def test_records_by_the_batch_are_those_one_by_one(
    fetch: tuple[list[bytes], list[tuple[int, int]]], begin: int, most: list[int | None], checked: bool
) -> None:
    """However many are asked for at a time: the same records in the same order, positions and errors."""
    raw, aborted = b"".join(fetch[0]), fetch[1]
    usual, ours = (in_turns(raw, begin, list(aborted), most, checked=checked, bare=bare) for bare in (False, True))
    assert ours == usual


def test_batches_that_lie_before_the_position_as_a_whole_give_nothing() -> None:
    """Two of them: upstream's position goes back with the first, so that the second would look as if it were new."""
    raw = batch(0, [b"0"]) + batch(1, [b"1"])
    for bare in (False, True):
        assert in_turns(raw, 2, [], [None], checked=False, bare=bare) == [2]
