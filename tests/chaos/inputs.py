"""Inputs that are heavy without being wrong: repeats over restarts and topics, one huge customer, a hot key, a backlog."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from itertools import count, islice
from pathlib import Path

import msgspec
from confluent_kafka import Producer

from tests.chaos.arena import END_MS, Arena
from tests.chaos.crew import Fragile, Watch, until
from tests.chaos.flow import Flow, order, said, share_of
from tests.chaos.naive import Naive
from tests.chaos.shop import Said, shop
from tests.chaos.table import Row
from tests.chaos.verdict import letters_of, slips
from tests.core.poison import props
from tests.load import BEGIN_MS, events
from tests.pipeline import Deployment, truth_of, written_by
from tests.workers import Worker

RECORD_MAX = 65_536
MOST_REPEATS = 10
ROUND = 400
"""Events between two restarts: two days of event time, so that a repeat of the round before is within the horizon."""
RSS_MB = 900
"""What a worker may take over a backlog of any size with these 20,000 customers: 128 MB are held before they are sent, 40 are on
their way, 60 fetched, 50 remember keys and addresses, 200 are customers between two flushes, and 100 the program; by half more
for what Python leaves between objects."""
FLAT = 1.25
"""It takes no more than so many times what it takes over half of the backlog."""
FULL_HOT, FULL_BACKLOG = 40_000, 2_000_000
"""From these sizes on the limits below fail a row: in a small run they say more of the machine."""
HOT_TIMES = 2.0
"""The p99 of others beside a hot customer is below so many times what it is without."""
PACE = 0.9
"""A backlog goes at this part, at least, of the speed with a tenth of it."""
OTHERS = ("visits", "emails", "purchases", "feedback", "costs", "identity")


def _producer(made: Deployment) -> Producer:
    return Producer(
        {"bootstrap.servers": made.bootstrap, "acks": "all", "linger.ms": 20, "message.max.bytes": 2_000_000}
    )


def _send(made: Deployment, producer: Producer, records: Iterable[tuple[str, bytes | None, bytes]]) -> int:
    sent = 0
    for topic, key, value in records:
        while True:
            try:
                producer.produce(made.prefix + topic, value, key)
                break
            except BufferError:  # its queue is full: wait until some are acknowledged
                producer.poll(0.1)
        sent += 1
    assert producer.flush(300) == 0, "not all was acknowledged"
    return sent


def duplicates(arena: Arena, times: int, start: Callable[[Deployment, str], Worker] = Deployment.worker) -> Row:
    """Each event comes two to ten times, over any of the topics and over `times` kills: what is known is as if once."""
    row, chance = Row("duplicates", times), arena.chance("duplicates")
    goods, naive = shop(chance.randrange(1 << 32)), Naive()
    before: list[Said] = []
    with arena.deployment("duplicates", kafka__instance_id="one") as made:
        watch = Watch(made)
        producer, worker = _producer(made), made.hire(start(made, "w0")).wait_ready(120)
        for number in count():
            assert number <= 2 * times + 3, f"{row.proven} of {number} kills met work"
            fresh = [one for one in islice(goods, ROUND) if one.fate == "accepted"]
            _send(made, producer, ((one.topic, one.customer.encode(), one.value) for one in fresh))
            naive.hear(fresh)
            again = [one.again for one in before + fresh for _ in range(chance.randrange(1, MOST_REPEATS // 2))]
            chance.shuffle(again)
            elsewhere = [(chance.choice(OTHERS), one.customer.encode(), one.value) for one in again]
            naive.hear(again)
            _wait_at_work(watch, worker)
            _send(made, producer, elsewhere[: len(elsewhere) // 2])
            row.proven += (
                watch.kill(worker, range(made.topics.log.partitions)).records > 0 or made.lag(made.sources) > 0
            )
            worker = made.hire(start(made, f"w{number + 1}"))
            _send(made, producer, elsewhere[len(elsewhere) // 2 :])
            worker.wait_ready(120)
            before = fresh
            arena.say(row, row.proven)
            if row.proven == times:
                break
        arena.finish(made, [worker])
        arena.judge(made, row)
        row.failures += slips(naive, written_by(made), letters_of(made.read(made.topics.dead_letters.name)))
        twice = sum(n for (_, _, outcome), n in truth_of(made).accounted.items() if outcome == "duplicate")
        row.notes.append(f"{row.events - twice:,} events and {twice:,} repeats of them")
    return row


def _wait_at_work(watch: Watch, worker: Worker) -> None:
    """Return when a worker has folded and kept something since the last kill."""
    before = sum(stand.committed for stand in watch.before.values())
    until(lambda: sum(at.committed for at in watch.stands().values()) > before, "work since the last kill", [worker])


def huge_customer(arena: Arena, times: int) -> Row:
    """One customer has `times` events; no record of state passes 64 KB, and what is too large for an event goes aside."""
    row = Row("huge_customer", times)
    with arena.deployment("huge_customer") as made, made.worker() as worker:
        worker.wait_ready(120)
        began = time.monotonic()
        large = [
            msgspec.json.encode({**_act(0, 0), "title": "x" * 1_000_000}),
            msgspec.json.encode(_act(0, 0))[:-1] + props(10_000) + b"}",
        ]
        records = [msgspec.json.encode(_act(number, number * 300_000)) for number in range(times)]
        _send(made, _producer(made), (("purchases", b"huge", value) for value in (*records, *large)))
        arena.finish(made, [worker], 1_200)
        row.slowest(time.monotonic() - began)
        truth = truth_of(made)
        row.proven = sum(n for (_, _, outcome), n in truth.accounted.items() if outcome == "accepted")
        if letters_of(made.read(made.topics.dead_letters.name)) != len(large):
            row.failures.append("an event of 1 MB, or one of 10,000 properties, was not put aside")
        largest = max(
            len(record.key or b"") + len(record.value or b"") for record in made.read(made.topics.changelog.name)
        )
        if largest > RECORD_MAX:
            row.failures.append(f"a record of the changelog has {largest:,} bytes")
        row.notes.append(f"the largest of its records in the changelog has {largest:,} bytes")
        arena.judge(made, row)
    return row


def _act(number: int, at: int) -> dict[str, object]:
    event: dict[str, object] = {"id": f"h{number}", "source": "shop", "time": BEGIN_MS + at, "customer_id": "huge"}
    if number % 3:
        return event | {"type": "web.visit", "url": "https://shop.example/", "session_id": f"s{number}"}
    return event | {
        "type": "order.completed",
        "order_id": f"o{number}",
        "currency": "EUR",
        "total_minor": number % 9_000,
    }


def hot_key(arena: Arena, times: int) -> Row:
    """Half of all events are one customer's: nothing is lost, and what it costs the others is measured."""
    row, rate = Row("hot_key", times), 200 if times >= FULL_HOT else 40
    with (
        arena.deployment("hot_key", clock__mode="wall") as made,
        made.worker() as worker,
        Flow(made, rate, arena.seed) as flow,
    ):
        worker.wait_ready(120)
        alone = flow.wait(times // 2)
        producer, numbers, first = _producer(made), count(1_000_000_000), len(flow.sent)
        hot = 0
        while hot < times // 2:
            due = len(flow.sent) - first - hot
            flow.wait(1)
            hot += _send(made, producer, (("purchases", b"hot", order(next(numbers), "hot")) for _ in range(due)))
        last = len(flow.sent)
        flow.wait_arrived()
        made.wait_done(300, alive=[worker])
        assert worker.terminate() == 0
        quiet, busy = flow.delays(alone), flow.delays((first, last))
        row.notes += [said("others alone", quiet), said("beside a customer who has half of all", busy)]
        ratio = share_of(busy, 0.99) / share_of(quiet, 0.99)
        if times >= FULL_HOT and ratio >= HOT_TIMES:
            row.failures.append(f"the p99 of the others is {ratio:.1f} times what it is without the hot customer")
        accepted = sum(n for (_, _, outcome), n in truth_of(made).accounted.items() if outcome == "accepted")
        if accepted != hot + len(flow.sent):
            row.failures.append(f"{hot} + {len(flow.sent)} orders were sent, {accepted} are accepted")
        row.proven = accepted
        arena.judge(made, row)
    return row


def peak_mb(worker: Worker) -> int:
    """The greatest resident set that a process has had so far, in MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker.pid}/status").read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1]) // 1024


def backlog(arena: Arena, times: int) -> Row:
    """A worker comes to `times` events that wait: its memory stays under `RSS_MB` and does not grow with them, also where it
    folds slowly while all of them come into the log, and it goes as fast as with a tenth."""
    row = Row("backlog", times)
    rated, _ = _work_off(arena, row, max(times // 10, 1_000))
    speed, peak = _work_off(arena, row, times)
    _work_off(arena, row, times, slow=True)
    if times >= FULL_BACKLOG:
        _, half = _work_off(arena, row, times // 2)
        if peak > FLAT * half:
            row.failures.append(f"{times:,} events took {peak} MB, and half of them {half}")
    if times >= FULL_BACKLOG and speed < PACE * rated:
        row.failures.append(f"{times:,} events go at less than {100 * PACE:.0f} % of the speed of a tenth of them")
    row.notes.append(
        f"{speed:,.0f} events a second, {100 * speed / rated:.0f} % of the {rated:,.0f} with a tenth of it"
    )
    return row


def _work_off(arena: Arena, row: Row, waiting: int, *, slow: bool = False) -> tuple[float, int]:
    """Let so many wait, and a worker take them; returns events a second, from when it was ready, and the most MB that it
    took. A slow one folds slowly until all are in the log."""
    with arena.deployment("backlog", kafka__instance_id="one") as made:
        sent = _send(made, _producer(made), islice(events(arena.seed, customers=20_000, step_ms=2_000), waiting))
        waited, behind = made.lag(made.sources), 0
        worker = Fragile(made, "slow_fold", "slow") if slow else made.worker()
        if isinstance(worker, Fragile):
            worker.arm.touch()
        worker.wait_ready(120)
        began = time.monotonic()
        if isinstance(worker, Fragile):
            made.wait_taken_in(1_800, alive=[worker])
            behind = made.lag([made.topics.log.name])
            worker.arm.unlink()
        made.wait_done(1_800, alive=[worker])
        seconds, peak = time.monotonic() - began, peak_mb(worker)
        # a worker that is done within a second may have written no tick, and no day is counted before the first
        made.end_tick(END_MS)
        made.wait_done(1_800, alive=[worker])
        assert worker.terminate(60) == 0, worker.log()[-2000:]
        if peak > RSS_MB:
            row.failures.append(f"{sent:,} events waited, and the worker took {peak} MB, more than {RSS_MB}")
        if slow and not behind:
            row.failures.append("the slow worker was not slow: it had folded all when all was in the log")
        words = f", folded slowly until {behind:,} more were in the log" if slow else ""
        row.notes.append(f"{sent:,} events waited{words}: {peak} MB at most, {seconds:.1f} s")
        row.slowest(seconds)
        before = row.events
        arena.judge(made, row)
        row.proven = max(row.proven, min(waited, row.events - before))
    return sent / seconds, peak
