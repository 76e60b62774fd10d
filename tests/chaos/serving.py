"""Redis frozen, full, and away and back empty, under load: the stream goes on, and what Redis says is the state again.

The state is what the workers kept in the changelog when Redis came back, and in the end a fold of the whole log.
"""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import msgspec
import redis

from lifestage.profile import decode_head
from streams.embedded.redis import EmbeddedRedis, start_redis
from streams.read_store import customers_per_stage, recent_changes
from streams.view import is_persons, view_of
from tests.chaos.arena import Arena
from tests.chaos.crew import until
from tests.chaos.table import Row
from tests.load import BEGIN_MS, Load, Sent
from tests.pipeline import Deployment, Truth, samples, truth_of
from tests.workers import Worker

FULL_S = 60
"""From here on the limits below fail a row: in a small run they say more of the machine."""
SHOWN_S, STOOD_S = 30.0, 10.0
"""How soon Redis must show the state again; and how long, in no outage, nothing may be committed: commits are seconds apart."""
PROFILES_A_SECOND = 100_000 / 60
"""Customers for each second that Redis is away: 100,000 in the full size of 60 s."""
RATE = 500
PATIENCE_S = 300.0
BURST = 40


def trade(customers: int, seed: int) -> Iterator[Sent]:
    """A visit and, of a third, an order by every customer; then orders and visits of any of them without end."""
    chance = random.Random(seed)
    for number in count():
        customer = number // 2 if number < 2 * customers else chance.randrange(customers)
        event: dict[str, Any] = {"id": f"e{number}", "source": "shop", "time": BEGIN_MS + number * 1_000}
        event["customer_id"] = f"c{customer}"
        bought = number % 6 == 1 if number < 2 * customers else chance.random() < 0.3
        if bought:
            event |= {"type": "order.completed", "order_id": f"o{number}", "currency": "USD", "total_minor": 1_000}
        else:
            event |= {"type": "web.visit", "url": "https://shop.example/", "session_id": f"s{number}"}
        yield "purchases" if bought else "visits", event["customer_id"].encode(), msgspec.json.encode(event)


class Serving:
    """A deployment under load with its Redis, and what each of the two says."""

    def __init__(
        self, made: Deployment, server: EmbeddedRedis, workers: Sequence[Worker], row: Row, *, strict: bool
    ) -> None:
        """`strict`: the limits of a full run hold."""
        self.strict = strict
        self.made, self.server, self.workers, self._row = made, server, workers, row
        self.prefix = made.settings.redis.prefix
        self.client = redis.Redis.from_url(server.url, socket_timeout=30)

    def documents(self) -> dict[str, dict[str, Any]]:
        """Every customer that Redis shows."""
        found = {}
        head = f"{self.prefix}customer:".encode()
        for keys in _some(self.client.scan_iter(head + b"*", count=5_000), 5_000):
            for key, text in zip(keys, self.client.mget(keys), strict=True):
                document = msgspec.json.decode(text or b"{}")
                if document and not document.get("gone"):
                    found[key.removeprefix(head).decode()] = document
        return found

    def kept(self) -> dict[str, int]:
        """The state of persons as it stands in the changelog: customer → the log offset that is applied."""
        found: dict[str, int] = {}
        for record in self.made.read(self.made.topics.changelog.name):
            assert record.key is not None
            if b"\0" in record.key or not is_persons(record.key.decode()):  # markers and pages; orders, the company
                continue
            if record.value is None:
                found.pop(record.key.decode(), None)
            else:
                found[record.key.decode()] = decode_head(record.value).applied
        return found

    def shows(self, state: dict[str, int]) -> bool:
        """Whether Redis shows every customer of a state as it was then, or as of later."""
        try:
            if self.client.dbsize() < len(state):
                return False
            shown = self.documents()
        except redis.RedisError:
            return False
        return all(key in shown and shown[key]["applied"] >= applied for key, applied in state.items())

    def metric(self, name: str) -> float:
        """The sum of a metric over the workers; not a number, which equals nothing, while one does not answer."""
        try:
            return sum(value for one in self.workers for (found, _), value in samples(one).items() if found == name)
        except OSError:
            return math.nan

    def goes_on(self) -> float:
        """Return when all that is in the log now is durably folded; says the longest that nothing was."""
        log = [self.made.topics.log.name]
        ends, longest, moved, before = self.made.ends(log), 0.0, time.monotonic(), -1

        def folded() -> bool:
            nonlocal longest, moved, before
            committed = self.made.committed()
            now = sum(max(0, committed.get(tp, 0)) for tp in ends)
            if now > before:
                longest, moved, before = max(longest, time.monotonic() - moved), time.monotonic(), now
            return all(committed.get(tp, 0) >= end for tp, end in ends.items())

        until(folded, "folding while Redis is not there", self.workers, PATIENCE_S)
        return longest

    def outage(self, begin: Callable[[], object], end: Callable[[], object], what: str, seconds: float) -> None:
        """Do one fault for so long; the stream must go on meanwhile, and Redis show the state afterwards."""
        before, begun, stood = self.memory(), time.monotonic(), 0.0
        begin()
        until(lambda: self.metric("lifestage_read_model_connected") == 0, "noticed", self.workers, PATIENCE_S)
        # At least twice: what is in the log at the first look may have been folded before the fault began.
        for round_ in count():
            stood = max(stood, self.goes_on())
            if round_ and time.monotonic() - begun >= seconds:
                break
        state, away = self.kept(), time.monotonic() - begun
        grown = self.memory() - before
        end()
        back = time.monotonic()
        until(lambda: self.shows(state), f"the state of {len(state):,} profiles after {what}", self.workers, PATIENCE_S)
        took = time.monotonic() - back
        self._row.slowest(took)
        if self.strict:
            self._row.failures += too_slow(what, stood, took)
        self._row.proven += 1
        self._row.notes.append(
            f"{what} for {away:.0f} s under {RATE} events/s: no commit for {stood:.1f} s at the longest, workers grew by "
            f"{grown:+.0f} MB, {len(state):,} profiles shown {took:.1f} s after it was back"
        )

    def memory(self) -> float:
        """Resident MB of all workers together."""
        pages = sum(int(Path(f"/proc/{one.pid}/statm").read_text().split()[1]) for one in self.workers)
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def wait_written(self) -> None:
        """Return when the workers have nothing left to write."""
        until(lambda: not self.metric("lifestage_read_model_pending"), "all written", self.workers, PATIENCE_S)


def too_slow(what: str, stood: float, took: float) -> list[str]:
    """Limits that an outage has passed: nothing was committed for `stood` seconds, and the state shown after `took`."""
    found = [f"{what}: nothing was committed for {stood:.1f} s, more than {STOOD_S:.0f}"] if stood > STOOD_S else []
    return found + (
        [f"{what}: the state was shown after {took:.1f} s, more than {SHOWN_S:.0f}"] if took > SHOWN_S else []
    )


def _some(values: Iterator[Any], most: int) -> Iterator[list[Any]]:
    return iter(lambda: list(islice(values, most)), [])


def differences(serving: Serving, truth: Truth) -> list[str]:
    """What Redis says otherwise than a fold of the whole log: every customer, the counts, and the recent changes."""
    shown = serving.documents()
    found = []
    state = {key: partition for partition in truth.partitions for key in list(partition.keys())}
    for key, partition in state.items():
        profile = partition.profile(key)
        assert profile is not None
        view = view_of(partition, key.decode(), profile)
        if view is None:
            continue
        due = msgspec.to_builtins(view)
        told = shown.pop(key.decode(), None)
        if told is None:
            found.append(f"{key!r} is missing")
        elif wrong := {name: (value, told.get(name)) for name, value in due.items() if value != told.get(name)}:
            found.append(f"{key!r}: {wrong}")
    found += [f"{key} stands there and is nobody" for key in shown]
    population = Counter(partition.profile(key).stage for key, partition in state.items())  # type: ignore[union-attr]
    counted = {stage: n for stage, n in customers_per_stage(serving.client, serving.prefix).items() if n}
    if counted != {stage: n for stage, n in population.items() if stage is not None}:
        found.append(f"customers per stage: {counted} instead of {dict(population)}")
    recent = [change["data"] for change in recent_changes(serving.client, serving.prefix, 10_000)]
    announced = {(key, at): value for key, values in truth.changes.items() for at, value in enumerate(values, 1)}
    by_seq = [(change["customer_id"], change["seq"]) for change in recent]
    if len(set(by_seq)) != min(serving.made.settings.redis.recent_changes, len(announced)) or len(by_seq) > len(
        set(by_seq)
    ):
        found.append(f"{len(by_seq)} recent changes, {len(set(by_seq))} different ones")
    found += [
        f"{change} was never announced" for change in recent
        if msgspec.json.decode(announced.get((change["customer_id"], change["seq"]), b"null")) != change
    ]  # fmt: skip
    late = {(f"late{n}", 1) for n in range(BURST)}
    if missing := late - set(by_seq):
        found.append(f"{len(missing)} of the newest {BURST} changes are not among the recent ones")
    return found


def unseen(serving: Serving, truth: Truth) -> list[str]:
    """Spoil what Redis says in three ways, and say which of them the comparison does not find."""
    client, head = serving.client, f"{serving.prefix}customer:"
    before = len(differences(serving, truth))
    client.delete(f"{head}c0")
    stored: Any = client.get(f"{head}c1")
    client.set(f"{head}c1", stored.replace(b'"seq":', b'"seq":1'))
    client.hincrby(f"{serving.prefix}stages:0", "reach", 1)
    found = len(differences(serving, truth)) - before
    return [] if found == 3 else [f"the comparison finds {found} of 3 differences that were made"]


def redis_outage(arena: Arena, times: int) -> Row:
    """Redis frozen and full for a sixth of `times` seconds each, then away for `times` seconds and back empty."""
    row = Row("redis_outage", 3)
    customers = int(times * PROFILES_A_SECOND)
    home = arena.home / f"redis-{arena.chance('redis').randrange(1 << 32):08x}"
    with (
        start_redis(home) as server,
        arena.deployment(
            "redis", redis__enabled="true", redis__url=server.url, redis__prefix="chaos:", kafka__session_timeout_s="10"
        ) as made,
        made.worker("w1") as first,
        made.worker("w2") as second,
    ):
        workers = [first.wait_ready(120), second.wait_ready(120)]
        serving = Serving(made, server, workers, row, strict=times >= FULL_S)
        load = Load(made.bootstrap, made.prefix, 0, RATE, trade(customers, arena.chance("trade").randrange(1 << 32)))
        load.send(2 * customers)
        made.wait_done(PATIENCE_S, alive=workers)
        serving.wait_written()
        with load:
            made.wait_shared(workers, 120)
            _outages(serving, times)
            arena.say(row, 3)
        made.produce("visits", [_newcomer(n, load.sent) for n in range(BURST)])
        made.wait_done(PATIENCE_S, alive=workers)
        serving.wait_written()
        truth = truth_of(made)
        found = differences(serving, truth)
        row.failures += found[:20]
        row.wrong += len(found)
        row.failures += unseen(serving, truth)
        for worker in workers:
            assert worker.terminate() == 0, worker.log()[-2000:]
        serving.client.close()
        arena.judge(made, row)
    return row


def _newcomer(number: int, sent: int) -> dict[str, Any]:
    return {
        "id": f"late{number}", "source": "shop", "type": "web.visit", "time": BEGIN_MS + sent * 1_000,
        "customer_id": f"late{number}", "url": "https://shop.example/",
    }  # fmt: skip


def _outages(serving: Serving, times: int) -> None:
    server, client = serving.server, serving.client
    assert server.pid is not None
    pid = server.pid
    serving.outage(
        lambda: os.kill(pid, signal.SIGSTOP), lambda: os.kill(pid, signal.SIGCONT), "stopped by SIGSTOP", times / 6
    )
    serving.outage(
        lambda: client.config_set("maxmemory", "1"), lambda: client.config_set("maxmemory", "0"), "full", times / 6
    )
    serving.outage(server.kill, server.start_again, "killed and back empty", times)
