"""Where what stands in the log came from: each source record is in it, and is accounted for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kafka import TopicPartition

from lifestage import log
from tests.wire import Record


def events_amiss(
    ends: Mapping[TopicPartition, int], records: Iterable[Record], codes: Mapping[int, str], accounted: int
) -> list[str]:
    """Source records that are not in the log, or not accounted for exactly once. `ends` are the sources' ends, `codes`
    says which of them has which code."""
    told: dict[str, set[tuple[int, int]]] = {name: set() for name in codes.values()}
    for record in records:
        assert record.value is not None
        header = log.header(record.value)
        if header.topic in codes:
            told[codes[header.topic]].add((header.partition, header.offset))
    found = []
    for name, places in told.items():
        due = {(tp.partition, offset) for tp, end in ends.items() if tp.topic == name for offset in range(end)}
        if due != places:
            found.append(f"{name}: {len(due - places)} events are not in the log, {len(places - due)} too many")
    sent = sum(ends.values())
    if sent != accounted:
        found.append(f"{sent} events were sent, {accounted} are accounted for")
    return found
