r"""How a consumer takes records out of a fetch: also those whose headers have names that are no UTF-8, and as bare ones.

aiokafka's own consumer never gets past such a name.

Kafka takes such a record, and any producer may send it. The parser then raises at the same record for ever, so that one
record of a stranger would stop every worker that owns its partition. Here its batch is parsed once more, with each byte of
a name that is no UTF-8 written as `\xff`; the names that mean something to us are ASCII, so nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, cast

from aiokafka.consumer import fetcher
from aiokafka.record import default_records, memory_records

_FetchResult: Any = fetcher.FetchResult
_PartitionRecords: Any = fetcher.PartitionRecords
_Batch: Any = default_records._DefaultRecordBatchPy
_Memory: Any = memory_records._MemoryRecordsPy


class Raw(memory_records.MemoryRecords):
    """The batches of a fetch, with the bytes that they were parsed from."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.raw = raw


class Text(bytearray):
    """Bytes whose parts can always be read as text."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return Text(found) if isinstance(at, slice) else found

    def decode(self, *_: Any) -> str:
        r"""As UTF-8, and `\xff` for what is none."""
        return bytes(self).decode("utf-8", "backslashreplace")


class LenientBatch(_Batch):
    """A batch in which any name of a header can be read."""

    _buffer: Any

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = Text(self._buffer)


class LenientRecords(_Memory):
    """The batches of a fetch, each a `LenientBatch`; older formats have no headers."""

    def next_batch(self) -> Any:
        """The next batch, or None."""
        part = self._next_slice
        batch = super().next_batch()
        return batch if part is None or part[self.MAGIC_OFFSET] < 2 else LenientBatch(part)


class Others:
    """The `key_deserializer` of a consumer that passes over all that one producer wrote; other records are bare.

    Its batches are known by their header: they are not unpacked. `producer_id` is asked for each fetch; below 0, nothing is
    passed over.
    """

    def __init__(self, producer_id: Callable[[], int]) -> None:
        self.producer_id = producer_id

    def __call__(self, key: bytes | None) -> bytes | None:
        """Keys are as they come."""
        return key


class _Passed:
    """Stands for a batch that is passed over: whoever unpacks takes it for one of the broker's own, and goes behind it."""

    is_control_batch, producer_id = True, None

    def __init__(self, next_offset: int) -> None:
        self.next_offset = next_offset

    def validate_crc(self) -> bool:
        """Nothing of it is used."""
        return True


class _ByOthers:
    """The batches of a fetch, in which those of one producer are passed over."""

    def __init__(self, records: Any, producer_id: int) -> None:
        self._records, self._producer_id = records, producer_id
        self.has_next = records.has_next

    def next_batch(self) -> Any:
        """The next batch, or what stands for it."""
        batch = self._records.next_batch()
        return _Passed(batch.next_offset) if batch.producer_id == self._producer_id else batch


class _Block(list[Any]):
    """All records of a batch."""

    @property
    def offset(self) -> int:
        """Up to where it goes: whoever unpacks takes it for one record."""
        return cast("int", self[-1].offset)


class _Whole:
    """A batch of which the records come at once."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[_Block]:
        block = _Block(self._batch)
        return iter((block,) if block else ())

    def __next__(self) -> Any:
        """The record that a control batch holds."""
        return next(self._batch)


class _InBlocks:
    """The batches of a fetch, the records of each at once."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.has_next = records.has_next

    def next_batch(self) -> _Whole:
        """The next batch."""
        return _Whole(self._records.next_batch())


class LenientPartition(_PartitionRecords):
    """The records of one partition in a fetch. Those that are bare are unpacked by the batch."""

    _records: Any
    _records_iterator: Iterator[Any]
    """Of records; of lists of them, where they are bare."""
    _key_deserializer: Any
    _aborted_transactions: list[Any]
    _aborted_producers: set[int]
    _block: Sequence[Any] = ()
    """Bare records that are handed out."""
    _at = 0
    """How many of them were."""
    next_fetch_offset: int

    @property
    def bare(self) -> bool:
        """Whether records are handed out as they are parsed."""
        wanted = self._key_deserializer
        return wanted is BARE or isinstance(wanted, Others)

    @wraps(_PartitionRecords.__iter__)  # whoever looks at the pins later is to find what it stands for
    def __iter__(self) -> Iterator[Any]:
        return self if self.bare else self._records_iterator

    @wraps(_PartitionRecords.__next__)
    def __next__(self) -> Any:
        if not self.bare:
            return super().__next__()
        found = self.take(1)
        if not found:
            raise StopIteration
        return found[0]

    def take(self, most: int | None) -> list[Any]:
        """The next bare records, as many as there are but no more than so many; `next_fetch_offset` is then behind them.

        Asked for one by one, a record takes 0.3 µs more.
        """
        found: list[Any] = []
        while most is None or len(found) < most:
            if self._at == len(self._block):
                self._block, self._at = next(self._records_iterator, ()), 0
                if not self._block:
                    break
            end = len(self._block) if most is None else min(len(self._block), self._at + most - len(found))
            found += self._block[self._at : end]
            self._at = end
            self.next_fetch_offset = self._block[end - 1].offset + 1
        return found

    @wraps(_PartitionRecords._unpack_records)
    def _unpack_records(self) -> Iterator[Any]:
        raw, begin = self._records.raw, self.next_fetch_offset
        passed = self._key_deserializer.producer_id() if isinstance(self._key_deserializer, Others) else -1
        aborted = list(self._aborted_transactions)  # the parser takes out what it has come by
        try:
            yield from self._unpack(_by_others(self._records, passed), begin)
        except UnicodeDecodeError:
            # The second reading is of the whole fetch, as the first: `next_fetch_offset` goes back with each batch.
            done = self.next_fetch_offset
            self._aborted_transactions, self._aborted_producers = aborted, set()
            yield from self._unpack(_by_others(LenientRecords(raw), passed), done)

    def _unpack(self, records: Any, begin: int) -> Iterator[Any]:
        """What there is from an offset on, by the record or, bare, by the batch."""
        if not self.bare:
            self._records = records
            # In a first reading, too: upstream's offset goes back with a batch that lies before it as a whole.
            yield from (record for record in super()._unpack_records() if record.offset >= begin)
            return
        self._records, self._consumer_record = _InBlocks(records), _bare
        for block in super()._unpack_records():
            wanted = block if block[0].offset >= begin else [record for record in block if record.offset >= begin]
            if wanted:
                yield wanted


class LenientResult(_FetchResult):
    """What a fetch has brought of one partition."""

    _partition_records: LenientPartition | None

    @wraps(_FetchResult.getall)
    def getall(self, max_records: int | None = None) -> list[Any]:
        """As upstream: what is left of it, no more than so many records, if it may still be handed out."""
        records = self._partition_records
        if records is None or not records.bare:
            return cast("list[Any]", super().getall(max_records))
        if not self.check_assignment(self._topic_partition):
            return []
        found = records.take(max_records)
        self._update_position()
        if max_records is None or len(found) < max_records:
            self._partition_records = None
        return found


def BARE(key: bytes | None) -> bytes | None:  # noqa: N802 - given by name, as a constant is
    """The `key_deserializer` of a consumer that wants its records as they are parsed, which costs half as much.

    They have offset, timestamp, key, value and headers, but no topic and partition. Without `install` it changes nothing.
    """
    return key


def _bare(_tp: Any, record: Any) -> Any:
    return record


def _by_others(records: Any, producer_id: int) -> Any:
    return records if producer_id < 0 else _ByOthers(records, producer_id)


def install() -> None:
    """Have every consumer of this process read so."""
    fetcher.MemoryRecords, fetcher.PartitionRecords, fetcher.FetchResult = Raw, LenientPartition, LenientResult
