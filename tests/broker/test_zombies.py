"""Workers that are stopped, miss that their partitions were taken over, and go on: nothing that they do does harm."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import pytest
from kafka import KafkaProducer

from lifestage.marker import MARKER_KEY, decode_marker
from lifestage.profile import decode_head
from streams.embedded.kafka import KafkaServer
from streams.profiles import applied_of
from streams.stop import EXIT_STOPPED
from tests.broker.test_faults import END_MS
from tests.chaos.crew import PATIENCE_S, Fragile, Watch, until
from tests.chaos.teeth import DAY_MS, visit
from tests.load import BEGIN_MS, Load
from tests.pipeline import Deployment, deployment, differences, owned_by, samples
from tests.services import http_status
from tests.wire import Record

pytestmark = pytest.mark.broker

SEED = 31
PIECE = 1_500
LATE_FLUSH = {"lifecycle__flush_interval_s": "2"}
"""A worker that is stopped in this time has folded what it has not kept."""
LATE_S = 20.0
"""Ten times what a worker that goes on waits for its next flush."""
TURNS = 4


def owns_all(made: Deployment, worker: Fragile) -> bool:
    """Whether a worker owns the whole log."""
    return owned_by(worker, made.topics.log.name) == made.topics.log.partitions


def falls(records: list[Record]) -> int:
    """How often a record of the changelog says less of a customer or of a partition than one before it."""
    furthest: dict[tuple[int, bytes], int] = defaultdict(lambda: -1)
    found = 0
    for record in records:
        assert record.key is not None
        place = record.partition, record.key
        if record.value is None:
            said = applied_of((name, value or b"") for name, value in record.headers)
        elif record.key == MARKER_KEY:
            said = decode_marker(record.value).offset
        elif b"\0" in record.key:
            continue
        else:
            said = decode_head(record.value).applied
        found += said < furthest[place]
        furthest[place] = max(said, furthest[place])
    return found


def stop_and_go_on(made: Deployment, load: Load, words: str, name: str, stays: Fragile) -> Fragile:
    """A second worker with work in flight is stopped until the first owns everything and has worked on, then goes on."""
    zombie = Fragile(made, words, name, named=True)
    zombie.wait_ready(PATIENCE_S)
    made.wait_shared([stays, zombie], PATIENCE_S)
    load.send(PIECE)
    until(lambda: made.lag([made.topics.log.name]) > 200, "in flight", [zombie])
    os.kill(zombie.child.pid, signal.SIGSTOP)
    load.send(PIECE)
    until(lambda: owns_all(made, stays), "taken over", [stays])
    made.wait_done(PATIENCE_S, alive=[stays])
    os.kill(zombie.child.pid, signal.SIGCONT)
    return zombie


def finish(made: Deployment, workers: list[Fragile]) -> list[str]:
    """Let all be folded and all time pass, stop the workers, and compare."""
    made.wait_done(PATIENCE_S, alive=workers)
    made.end_tick(END_MS)
    made.wait_done(PATIENCE_S, alive=workers)
    for worker in workers:
        assert worker.terminate() == 0, worker.log()[-2000:]
    return differences(made)


@pytest.mark.parametrize("words", ["", "stall_off"], ids=["both guards", "the fence alone"])
def test_a_stopped_worker_that_goes_on_writes_nothing(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path, words: str
) -> None:
    """One of two workers is stopped beyond its session with full buffers and goes on: it ends, and the outcome is exact."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **LATE_FLUSH) as made:
        load = Load(made.bootstrap, topic_prefix, SEED, 0)
        with Fragile(made, "", "stays", named=True) as stays:
            stays.wait_ready(PATIENCE_S)
            for number in range(1 if words else 2):
                with stop_and_go_on(made, load, words, f"zombie-{number}", stays) as zombie:
                    assert zombie.child.wait(PATIENCE_S) == EXIT_STOPPED, zombie.log()[-2000:]
                    wanted = "no member of group" if words else "stood still"
                    assert wanted in zombie.log() or "no member of group" in zombie.log(), zombie.log()[-2000:]
            load.close()
            assert finish(made, [stays]) == []
            assert falls(made.read(made.topics.changelog.name)) == 0


def writes_late(made: Deployment, load: Load, stays: Fragile, turn: int) -> bool:
    """Whether a worker without its guards that is stopped and goes on writes over what is newer.

    One that kept all it had just before it was stopped has nothing to write, and may hear first that it is no member.
    """
    before = falls(made.read(made.topics.changelog.name))
    with stop_and_go_on(made, load, "fence_off,stall_off,takeovers_off", f"zombie-{turn}", stays) as zombie:
        deadline = time.monotonic() + LATE_S
        while time.monotonic() < deadline:
            if falls(made.read(made.topics.changelog.name)) > before:
                return True
            assert zombie.running, zombie.log()[-3000:]
            time.sleep(0.5)
    return False


def test_without_the_fence_a_zombie_writes_over_what_is_newer(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """With the guards out the stopped worker writes late in one of some turns, so the test before can fail."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **LATE_FLUSH) as made:
        load = Load(made.bootstrap, topic_prefix, SEED, 0)
        with Fragile(made, "takeovers_off", "stays") as stays:
            stays.wait_ready(PATIENCE_S)
            assert any(writes_late(made, load, stays, turn) for turn in range(TURNS))
        load.close()


def test_of_two_workers_of_one_name_the_newer_stays(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """A worker goes on that was replaced within its session, before its fence is closed: it ends, and is mended after."""
    alone = {**LATE_FLUSH, "kafka__session_timeout_s": "60", "kafka__instance_id": "one"}
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **alone) as made:
        load = Load(made.bootstrap, topic_prefix, SEED, 0)
        with Fragile(made, "", "older") as older:
            older.wait_ready(PATIENCE_S)
            load.send(PIECE)
            until(lambda: made.lag([made.topics.log.name]) > 200, "in flight", [older])
            os.kill(older.child.pid, signal.SIGSTOP)
            with Fragile(made, "", "newer") as newer:
                newer.wait_ready(PATIENCE_S)
                load.send(PIECE)
                load.close()
                made.wait_done(PATIENCE_S, alive=[newer])
                os.kill(older.child.pid, signal.SIGCONT)
                assert older.child.wait(PATIENCE_S) == EXIT_STOPPED, older.log()[-2000:]
                assert "another one has its kafka.instance_id" in older.log()
                until(lambda: differences(made) == [], "mended", [newer])
                assert finish(made, [newer]) == []


# -- what is in the network already ------------------------------------------------------------------------------------


def repairs(worker: Fragile) -> dict[str, float]:
    """How many late writes of each kind a worker has mended."""
    return {
        dict(labels)["kind"]: value
        for (name, labels), value in samples(worker).items()
        if name == "lifestage_late_writes_repaired_total"
    }


def has_mended(worker: Fragile, *kinds: str) -> bool:
    """Whether a worker has mended late writes of all these kinds."""
    return all(repairs(worker).get(kind) for kind in kinds)


def write_late(made: Deployment, *topics: str) -> None:
    """What a former owner had in the network comes in: the first record of each customer, and each first marker, again."""
    producer = KafkaProducer(bootstrap_servers=made.bootstrap, acks="all")
    for topic in topics:
        first: dict[tuple[int, bytes], Record] = {}
        for record in made.read(topic):
            assert record.key is not None
            first.setdefault((record.partition, record.key), record)
        for (partition, key), record in first.items():
            headers = [(name, value or b"") for name, value in record.headers]
            producer.send(topic, record.value, key, headers, partition=partition)
    producer.flush(30)
    producer.close()


def taken_over(made: Deployment, words: str) -> tuple[list[str], dict[str, float]]:
    """What is wrong, and what was mended, when late writes come in just before and just after a takeover."""
    changelog, stages = made.topics.changelog.name, made.topics.stages.name
    with Fragile(made, words, "former") as former:
        former.wait_ready(PATIENCE_S)
        for day in range(4):
            made.produce("visits", [visit(number, day) for number in range(200)])
            made.produce("purchases", [order(number, day) for number in range(200)])
            made.wait_done(PATIENCE_S, alive=[former])
        made.end_tick(BEGIN_MS + 20 * DAY_MS)
        made.wait_done(PATIENCE_S, alive=[former])
        assert former.terminate() == 0
    write_late(made, changelog)
    with Fragile(made, words, "owner") as owner:
        owner.wait_ready(PATIENCE_S)
        if "takeovers_off" not in words:
            until(lambda: has_mended(owner, "profile", "marker"), "mended what came before", [owner])
        write_late(made, changelog, stages)
        if "takeovers_off" not in words:
            until(lambda: has_mended(owner, "profile", "marker", "stage"), "mended", [owner])
            until(lambda: differences(made) == [], "exact", [owner])
        mended = repairs(owner)
        assert owner.terminate() == 0, owner.log()[-2000:]
    return differences(made), mended


def order(customer: int, day: int) -> dict[str, str | int]:
    """An order at the end of a day."""
    head = {k: v for k, v in visit(customer, day).items() if k != "url"}
    return head | {
        "id": f"o{customer}-{day}", "type": "order.completed", "order_id": f"o{customer}-{day}", "currency": "USD",
        "total_minor": 1_000,
    }  # fmt: skip


def test_a_late_write_is_mended(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """Old profiles, markers and stages that come in after a takeover are written over again; unwatched, they stay."""
    runs = {}
    with ThreadPoolExecutor(2) as pool:
        for words in ("", "takeovers_off"):
            home = tmp_path / (words or "sound")
            made = Deployment(
                kafka.bootstrap, f"{topic_prefix}{words}.", home, kafka__session_timeout_s="20",
                kafka__instance_id="one", lifecycle__flush_interval_s="0.2",
            )  # fmt: skip
            runs[words] = made, pool.submit(taken_over, made, words)
        found = {words: run.result() for words, (_, run) in runs.items()}
    for made, _ in runs.values():
        made.close()
    assert found[""][0] == []
    wrong, mended = found["takeovers_off"]
    assert any("profile" in line for line in wrong)
    assert any("marker" in line for line in wrong)
    assert any("customer-stages" in line for line in wrong)
    assert sum(mended.values()) == 0


# -- static membership -------------------------------------------------------------------------------------------------


def disturbs(made: Deployment, *, named: bool) -> bool:
    """Whether the group sees it when one of two workers stops in good order and comes back within its session."""
    watch, seen = Watch(made), list[dict[str, frozenset[int]]]()
    with Fragile(made, "", "one", named=named) as one:
        with Fragile(made, "", "two", named=named) as two:
            before = watch.wait_spread(2, [one, two])
            assert two.terminate() == 0, two.log()[-2000:]
        with Fragile(made, "", "two", named=named) as two:

            def back() -> bool:
                seen.append(watch.owners())
                return http_status(f"{two.url}/readyz") == HTTPStatus.OK

            until(back, "back", [one, two])
            made.produce("visits", [visit(number, 1) for number in range(100)])
            made.wait_done(PATIENCE_S, alive=[one, two])
            seen.append(watch.owners())
            for worker in (one, two):
                assert worker.terminate() == 0, worker.log()[-2000:]
    assert differences(made) == []
    return any(owners != before for owners in seen)


def test_a_named_worker_that_comes_back_disturbs_nobody(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """With an instance id a restart moves no partition and starts no rebalance; without one it does."""
    with ThreadPoolExecutor(2) as pool:
        runs = {}
        for named in (True, False):
            name = "named" if named else "unnamed"
            made = Deployment(kafka.bootstrap, f"{topic_prefix}{name}.", tmp_path / name, kafka__session_timeout_s="60")
            runs[named] = made, pool.submit(disturbs, made, named=named)
        found = {named: run.result() for named, (_, run) in runs.items()}
    for made, _ in runs.values():
        made.close()
    assert found == {True: False, False: True}
