"""One look at a whole deployment, from outside: workers, what waits, the log's clock, customers by stage, newest changes.

Counts come from the markers that workers keep with their state, so they are exact as of each partition's last flush, and are
there when no worker runs and Redis is off.
"""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import msgspec

from config.settings import Settings
from lifestage.cause import LONG_AGO
from lifestage.clock import Source, read_clock
from lifestage.marker import Marker, uncounted
from lifestage.moments import iso
from streams.connections import UnreachableError, check_redis
from streams.survey import Member, Survey

ANSWER_S = 5.0
RECENT = 10
WIDE = ("0.0.0.0", "[::]", "::")  # noqa: S104  # compared, not bound
LOCAL = ("127.", "localhost", "[::1]")
NOT_COUNTED = "its worker counts none, and its log says why"
"""Of a partition whose marker says that they can be."""


class Worker(msgspec.Struct, frozen=True):
    """A member of the group: where it is, the partitions of the log that it owns, and what it says of itself."""

    host: str
    metrics: str
    """Its address, as far as it has told; empty for a worker of an earlier release."""
    state: str
    """`ready`, or why it is not, in its own words; `no answer from here` when it cannot be asked."""
    partitions: tuple[int, ...]
    memory_mb: int | None = None
    uncounted: tuple[int, ...] = ()
    """Of these the ones whose KPIs it says that it does not count."""


class Waiting(msgspec.Struct, frozen=True):
    """What of a topic the group has not finished. `written` and `done` are offsets summed over its partitions."""

    topic: str
    there: bool
    records: int = 0
    oldest_s: float | None = None
    """For how long the oldest record that waits has been there."""
    written: int = 0
    done: int = 0


class Clock(msgspec.Struct, frozen=True):
    """Up to which event time everything is believed to be in the log, and what holds it there."""

    time: str | None
    behind_s: float | None
    live: bool
    held_by: str | None
    """The partition that is furthest behind, such as `purchases[3]`."""
    ticks: dict[int, str]
    """By partition of the log the newest tick: one is written only when something is due."""


class Change(msgspec.Struct, frozen=True):
    """A newest change of a stage."""

    customer_id: str
    entered_at: str
    previous_stage: str | None = None
    stage: str | None = None
    kind: str = ""


class Kpis(msgspec.Struct, frozen=True):
    """Whether KPIs are counted, by what is kept with the state. They have a value while all partitions are."""

    live: bool
    """Whether `kpis.live` is on here."""
    window: int = 0
    """Days."""
    counted: tuple[int, ...] = ()
    """Partitions of the log whose KPIs are kept as they are to be counted here."""
    uncounted: dict[int, str] = {}
    """By partition why they are not. A partition of which nothing is kept yet is in neither."""
    as_of: str | None = None
    """The day that they are counted up to, of all counted partitions the earliest."""


class Overview(msgspec.Struct, frozen=True):
    """Everything that `lifestage status` shows."""

    at: str
    kafka: str
    group: str
    state: str
    """In Kafka's words: `Stable`, `Empty`, `PreparingRebalance`, `Dead` for a group that is not there."""
    partitions: int
    workers: tuple[Worker, ...]
    waiting: tuple[Waiting, ...]
    clock: Clock
    events: dict[str, int]
    """By outcome, each event counted once."""
    stages: dict[str, int]
    changes: tuple[Change, ...]
    announced: int
    """Changes ever written to `stage-changes`."""
    redis: str
    """Empty when it is off; `connected`, or why it is not."""
    problem: str = ""
    """What of the state could not be read."""
    kpis: Kpis = Kpis(live=False)


def look(asked: Survey, settings: Settings, redis_url: str, now: float) -> Overview:
    """Look once. Raises `UnreachableError` when Kafka does not answer; Redis and workers may be away."""
    topics, name = asked.topics, settings.kafka.group
    group = asked.group(name)
    ours = tuple(topic.name for topic in topics.sources)
    known = asked.sources(name, [*ours, topics.log.name, topics.changes.name])
    read = [one for one in known if one.topic != topics.changes.name]
    since = asked.waiting_since(one for one in read if one.committed < one.end)
    tails = asked.tails()
    markers = {tail.number: tail.marker for tail in tails if tail.marker is not None}
    with ThreadPoolExecutor(16) as pool:
        workers = tuple(pool.map(lambda one: ask_worker(one, topics.log.name), group.members))
    return Overview(
        iso(int(now * 1000)),
        asked.bootstrap,
        name,
        group.state,
        topics.log.partitions,
        workers,
        tuple(_waiting(topic, read, since, now) for topic in (*ours, topics.log.name)),
        _clock(settings, read, ours, markers, now, max((now - at / 1000 for at in since.values()), default=0.0)),
        _events(markers.values()),
        _stages(markers.values()),
        tuple(_changes(asked.newest(topics.changes.name, RECENT))),
        sum(one.end for one in known if one.topic == topics.changes.name),
        _redis(settings, redis_url),
        next((tail.problem for tail in tails if tail.problem), ""),
        _kpis(settings, markers, workers),
    )


def _waiting(topic: str, read: Iterable[Source], since: Mapping[Any, int], now: float) -> Waiting:
    on = [one for one in read if one.topic == topic]
    oldest = min((at for tp, at in since.items() if tp.topic == topic), default=None)
    return Waiting(
        topic,
        bool(on),
        sum(one.end - one.committed for one in on),
        None if oldest is None else max(0.0, now - oldest / 1000),
        sum(one.end for one in on),
        sum(one.committed for one in on),
    )


def _clock(
    settings: Settings,
    read: list[Source],
    sources: tuple[str, ...],
    markers: Mapping[int, Marker],
    now: float,
    oldest_s: float,
) -> Clock:
    c, wall = settings.clock, int(now * 1000)
    reading = read_clock(
        wall,
        [one for one in read if one.topic in sources],
        c.mode,
        int(c.out_of_orderness_s * 1000),
        int(c.live_within_s * 1000),
    )
    log = [one for one in read if one.topic not in sources and one.committed < one.end]
    holder = next(iter((*reading.holders, *log)), None)
    # all is read, and what came of it is not folded yet: no tick overtakes it
    behind_s = max(0.0, (wall - (reading.time or 0)) / 1000, oldest_s if log and not reading.holders else 0.0)
    return Clock(
        None if reading.time is None else iso(reading.time),
        None if reading.time is None else behind_s,
        reading.live,
        None if holder is None else f"{holder.topic}[{holder.partition}]",
        {number: iso(marker.clock) for number, marker in sorted(markers.items()) if marker.clock > LONG_AGO},
    )


def _events(markers: Iterable[Marker]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for marker in markers:
        for by_type in marker.accounts.values():
            for by_outcome in by_type.values():
                for outcome, count in by_outcome.items():
                    counted[outcome] = counted.get(outcome, 0) + count
    return counted


def _stages(markers: Iterable[Marker]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for marker in markers:
        for stage, count in marker.population.items():
            counted[stage] = counted.get(stage, 0) + count
    return {stage: count for stage, count in sorted(counted.items(), key=lambda one: (-one[1], one[0])) if count}


def _kpis(settings: Settings, markers: Mapping[int, Marker], workers: Iterable[Worker]) -> Kpis:
    """What a worker with these settings would say by the markers; and, of what its pages say, what those who have read them say."""
    if not settings.kpis.live:
        return Kpis(live=False)
    window, anonymous = settings.kpis.window, settings.lifecycle.announce_anonymous
    refused = {number: NOT_COUNTED for worker in workers for number in worker.uncounted}
    reasons = {
        number: uncounted(marker.kpis, window, anonymous=anonymous) or refused.get(number, "")
        for number, marker in sorted(markers.items())
        if marker.offset >= 0
    }
    counted = tuple(number for number, why in reasons.items() if not why)
    clocks = [markers[number].clock for number in counted if markers[number].clock > LONG_AGO]
    return Kpis(
        True,
        settings.kpis.window,
        counted,
        {number: why for number, why in reasons.items() if why},
        iso(min(clocks))[:10] if clocks else None,
    )


def _changes(values: Iterable[bytes]) -> Iterator[Change]:
    for value in values:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):  # somebody else's record: no change of ours
            yield msgspec.json.decode(value, type=Change)


def _redis(settings: Settings, url: str) -> str:
    if not settings.redis.enabled:
        return ""
    try:
        check_redis(settings, url)
    except UnreachableError as error:
        return str(error)
    return "connected"


# -- workers -------------------------------------------------------------------------------------


def ask_worker(member: Member, log: str) -> Worker:
    """What a member of the group says of itself, where it can be asked from here."""
    owned = member.partitions.get(log, ())
    url = reachable(member.url, member.host)
    state = _asked(f"{url}/readyz") if url else None
    told = Worker(member.host, url, "no answer from here" if state is None else state, owned)
    if state is None:
        return told
    return _with_metrics(told, _asked(f"{url}/metrics") or "")


def _with_metrics(told: Worker, page: str) -> Worker:
    memory = re.search(r"^process_resident_memory_bytes (\S+)", page, re.MULTILINE)
    refused = re.findall(r'^lifestage_kpi_counted{partition="(\d+)"} 0\.0$', page, re.MULTILINE)
    return msgspec.structs.replace(
        told, memory_mb=int(float(memory[1])) >> 20 if memory else None, uncounted=tuple(sorted(map(int, refused)))
    )


def reachable(url: str, host: str) -> str:
    """The address of a worker's metrics as it is reached from here; empty where it listens on another machine only to itself."""
    found = re.fullmatch(r"http://(\[[^\]]*\]|[^:/]+):(\d+)/?", url)
    if found is None:
        return ""
    name, port = found.groups()
    if name in WIDE:
        name = f"[{host}]" if ":" in host else host
    elif name.startswith(LOCAL) and not is_here(host):
        return ""
    return f"http://{name}:{port}"


def is_here(host: str) -> bool:
    """Whether an address is one of this machine: only of such can a socket be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        try:
            tried.bind((host, 0))
        except OSError:
            return False
    return True


def _asked(url: str) -> str | None:
    """What a worker answers, its refusals included; None for no answer."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:  # noqa: S310  # http:// only, see `reachable`
            text: str = answer.read(4 << 20).decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.read(1_000).decode(errors="replace").strip()
    except (OSError, ValueError):
        return None
    return text.strip()
