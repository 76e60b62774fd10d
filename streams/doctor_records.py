"""Checks of what is in the source topics, and of clocks: the newest records are read as a worker reads them.

The broker's clock is asked for by a batch that it has to refuse: two records for `customer-stages`, of which one has no
key, which a compacted topic takes of nobody, and the other is of the end of time. A batch is taken whole or not at all, so
nothing is written; and the refusal names the broker's time.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition, codec
from aiokafka import errors as aiokafka_errors
from kafka.record.memory_records import MemoryRecordsBuilder

from lifestage.moments import MAX_MS, iso
from lifestage.refusal import Refusal
from streams import lenient
from streams.connections import aiokafka
from streams.doctor import Finding, Ground
from streams.doctor_kafka import PROVISION, survey
from streams.doorway import decoder_of
from streams.reachability import quiet
from streams.survey import Survey

CODECS = {"gzip": codec.has_gzip, "lz4": codec.has_lz4, "snappy": codec.has_snappy, "zstd": codec.has_zstd}
LOCAL = ("127.", "localhost", "::1", "[::1]")
SKEW_S = 1.0
END_OF_TIME = (1 << 63) - 1
_RANGE = re.compile(r"should be within \[(-?\d+), (-?\d+)\]")


class Newest(NamedTuple):
    """The newest record of a partition; or, in `problem`, why it cannot be read."""

    place: str
    timestamp: int
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    problem: str


def records(ground: Ground) -> Iterator[Finding]:
    """The newest record of each partition of the sources: can it be read, would it be taken in, is it of the future."""
    with survey(ground) as asked:
        wanted = {topic.name for topic in asked.topics.sources}
        described = asked.described(asked.names() & wanted)
    partitions = [TopicPartition(name, one["partition_index"]) for name, on in described.items() for one in on]
    lenient.install()
    with quiet("aiokafka"):
        newest = asyncio.run(_newest(ground, sorted(partitions)))
    ground.facts["newest"] = max((one.timestamp for one in newest if not one.problem), default=None)
    lacking = [name for name, has in CODECS.items() if not has()]
    found = [*_unreadable(newest), *_ahead(ground, newest), *_refused(ground, newest)]
    yield from found
    if not any(finding.level == "FAIL" for finding in found):
        read = f"the newest records of {len(newest)} of {len(partitions)} source partitions can be read"
        yield Finding("records", "ok", f"{read}, the others are empty; no library for {', '.join(lacking) or 'none'}")


async def _newest(ground: Ground, partitions: list[TopicPartition]) -> list[Newest]:
    consumer = AIOKafkaConsumer(
        **aiokafka(ground.settings),
        bootstrap_servers=ground.bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=int(ground.reach_s * 1000),
        max_partition_fetch_bytes=65_536,
    )
    await consumer.start()
    try:
        firsts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        filled = [tp for tp in partitions if ends[tp] > firsts[tp]]
        if not filled:
            return []
        consumer.assign(filled)
        for tp in filled:
            consumer.seek(tp, ends[tp] - 1)
        until = time.monotonic() + ground.reach_s
        found = [await _one(consumer, tp, ends[tp] - 1, until) for tp in filled]
        return [one for one in found if one is not None]
    finally:
        await consumer.stop()


async def _one(consumer: AIOKafkaConsumer, tp: TopicPartition, offset: int, until: float) -> Newest | None:
    """The record at an offset; None when there is none, as at the end of a transaction."""
    place = f"{tp.topic}[{tp.partition}]@{offset}"
    while time.monotonic() < until:
        try:
            got = (await consumer.getmany(tp, timeout_ms=100, max_records=1)).get(tp, [])
        except (aiokafka_errors.KafkaError, ValueError, OSError) as error:
            return Newest(place, 0, None, (), str(error) or type(error).__name__)
        for record in got:
            return Newest(place, record.timestamp, record.value, tuple(record.headers), "")
        if await consumer.position(tp) > offset:
            return None
    return Newest(place, 0, None, (), "it did not come in time")


def _unreadable(newest: list[Newest]) -> Iterator[Finding]:
    for one in newest:
        if not one.problem:
            continue
        if "codec" in one.problem:
            named = next((name for name in CODECS if name in one.problem), "another codec")
            means = "a worker that comes to it stops there; others may have sent more of the kind"
            fix = f".venv/bin/pip install cramjam  (where workers run; then restart them), and for what is still to come  {PROVISION}"
            yield Finding(
                "records", "FAIL", f"{one.place} is compressed with {named}, for which there is no library", means, fix
            )
        else:
            fix = "look at the broker's log; `lifestage tail` shows whether others can be read"
            yield Finding(
                "records", "FAIL", f"{one.place} cannot be read ({one.problem})", "a worker would stop there", fix
            )


def _ahead(ground: Ground, newest: list[Newest]) -> Iterator[Finding]:
    """Records whose timestamps are of the future: they are what events are judged by when they come in."""
    ahead = [(one.timestamp / 1000 - ground.now(), one) for one in newest if not one.problem]
    far = max(ahead, default=None, key=lambda pair: pair[0])
    if far is not None and far[0] > SKEW_S:
        seconds, one = far
        level: Any = "FAIL" if seconds > ground.settings.intake.future_tolerance_s else "warn"
        told = f"{one.place} is of {iso(min(one.timestamp, MAX_MS))}, {duration(seconds)} ahead of this machine's clock"
        fix = f"set both clocks by NTP (timedatectl set-ntp true); a topic that takes its producers' timestamps:  {PROVISION}"
        yield Finding(
            "records", level, told, "the time of an event is held against it to tell events of the future", fix
        )


def _refused(ground: Ground, newest: list[Newest]) -> Iterator[Finding]:
    decoder = decoder_of(ground.settings)
    reasons: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for one in newest:
        got = None if one.problem else decoder.decode(one.value, one.timestamp, list(one.headers))
        if isinstance(got, Refusal) and got.outcome == "rejected":
            counts[got.reason] += 1
            reasons.setdefault(got.reason, one.place)
    for reason, count in counts.most_common(3):
        told = f"{count} of {len(newest)} newest records would be rejected: {reason}, such as {reasons[reason]}"
        yield Finding(
            "records", "warn", told, "they go to dead-letters", f"lifestage dead-letters list --reason {reason}"
        )


def duration(seconds: float) -> str:
    """A time span in its two largest units; milliseconds below a second."""
    seconds = abs(seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    whole = int(seconds)
    for name, size, lesser, unit in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // unit
            return f"{whole // size} {name}" + (f" {rest} {lesser}" if rest else "")
    return f"{whole} s"


# -- clocks --------------------------------------------------------------------------------------


def clock(ground: Ground) -> Iterator[Finding]:
    """How far this machine's clock is from the broker's."""
    with survey(ground) as asked:
        measured = measure(ground, asked)
    if not isinstance(measured, str):
        yield judge_skew(ground, *measured)
    elif all(part.strip().startswith(LOCAL) for part in ground.bootstrap.split(",")):
        yield Finding("clock", "ok", "the broker is at a loopback address: one clock, unless the port is forwarded")
    else:
        fix = "compare  date -u  on the broker and here"
        yield Finding(
            "clock", "warn", f"the broker's clock cannot be asked for: {measured}", "a skew would not be seen here", fix
        )


def judge_skew(ground: Ground, skew_s: float, error_s: float) -> Finding:
    """What it means that the broker is `skew_s` ahead of this machine, give or take `error_s`. Pure."""
    told = f"{duration(skew_s)} {'behind' if skew_s > 0 else 'ahead of'} the broker's, give or take {duration(error_s)}"
    if abs(skew_s) <= SKEW_S + error_s:
        return Finding("clock", "ok", f"this machine's clock is {told}")
    level: Any = "FAIL" if abs(skew_s) > ground.settings.intake.future_tolerance_s else "warn"
    means = "the broker's clock says when an event came, and this one how far time has got: silence is judged too early or too late"
    return Finding(
        "clock", level, f"this machine's clock is {told}", means, "timedatectl set-ntp true  (on the one that is wrong)"
    )


def measure(ground: Ground, asked: Survey) -> tuple[float, float] | str:
    """The broker's clock less ours and how sure that is, in seconds; or why it cannot be had."""
    name = asked.topics.stages.name
    described = asked.described(asked.names() & {name})
    if name not in described:
        return f"topic {name} is not there"
    configs = asked.existing(described)[name].configs
    limit = int(configs.get("message.timestamp.after.max.ms", END_OF_TIME))
    if "delete" in configs["cleanup.policy"] or configs["message.timestamp.type"] != "CreateTime":
        return f"topic {name} is not as provisioned"
    if limit > END_OF_TIME >> 8:
        return f"topic {name} takes records of any time (message.timestamp.after.max.ms)"
    before = ground.now()
    refused = asked.refused(name, described[name][0]["leader_id"], _impossible(before))
    after = ground.now()
    found = _RANGE.search(refused)
    if found is None:
        return f"it says only: {refused}"
    middle, error = (before + after) / 2, (after - before) / 2
    return (int(found[2]) - limit) / 1000 - middle, error


def _impossible(now: float) -> bytes:
    """A batch that no broker can take into a compacted topic: one record without a key, one of the end of time."""
    batch = MemoryRecordsBuilder(2, 0, 1_000)
    batch.append(timestamp=int(now * 1000), key=None, value=b"", headers=[])
    batch.append(timestamp=END_OF_TIME, key=b"lifestage doctor", value=b"", headers=[])
    batch.close()
    return bytes(batch.buffer())
