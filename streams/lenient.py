r"""How a consumer takes records out of a fetch: also those whose headers have names that are no UTF-8, and as bare ones.

aiokafka's own consumer never gets past such a name.

Kafka takes such a record, and any producer may send it. The parser then raises at the same record for ever, so that one
record of a stranger would stop every worker that owns its partition. Here its batch is parsed once more, with each byte of
a name that is no UTF-8 written as `\xff`; the names that mean something to us are ASCII, so nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record import default_records, memory_records

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


class LenientPartition(_PartitionRecords):
    """The records of one partition in a fetch."""

    _records: Any
    _records_iterator: Iterator[Any]
    _key_deserializer: Any
    _aborted_transactions: list[Any]
    _aborted_producers: set[int]
    next_fetch_offset: int

    @wraps(_PartitionRecords.__iter__)  # whoever looks at the pins later is to find what it stands for
    def __iter__(self) -> Iterator[Any]:
        # A generator: itself a call of Python less for each record than `__next__`, which does no more.
        return self._records_iterator

    @wraps(_PartitionRecords._unpack_records)
    def _unpack_records(self) -> Iterator[Any]:
        wanted, raw = self._key_deserializer, self._records.raw
        passed = wanted.producer_id() if isinstance(wanted, Others) else -1
        if wanted is BARE or isinstance(wanted, Others):
            self._consumer_record = _bare
        self._records = _by_others(self._records, passed)
        aborted = list(self._aborted_transactions)  # the parser takes out what it has come by
        try:
            yield from super()._unpack_records()
        except UnicodeDecodeError:
            # The second reading is of the whole fetch, as the first: `next_fetch_offset` goes back with each batch.
            done = self.next_fetch_offset
            self._aborted_transactions, self._aborted_producers = aborted, set()
            self._records = _by_others(LenientRecords(raw), passed)
            yield from (record for record in super()._unpack_records() if record.offset >= done)


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
    fetcher.MemoryRecords, fetcher.PartitionRecords = Raw, LenientPartition
