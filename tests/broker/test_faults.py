"""Workers that are killed, stopped, joined and left in the middle of work: the outcome is what the log says, exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.embedded.kafka import KafkaServer
from tests.load import Load
from tests.pipeline import Deployment, deployment, differences, owned_by, samples, truth_of, written_by
from tests.workers import Worker

pytestmark = pytest.mark.broker

SEED = 19
RATE = 500
END_MS = 1_300_000_000_000
"""Later than any event of a load: everybody's timers fire."""


class Progress:
    """Shows that between two faults something was done, and that a fault met work in flight."""

    def __init__(self, made: Deployment) -> None:
        self._made, self._before = made, 0

    def done(self) -> int:
        """Source records that the group has committed."""
        committed = self._made.committed()
        return sum(max(0, offset) for tp, offset in committed.items() if tp.topic in self._made.sources)

    def wait(self, least: int = 400, timeout_s: float = 30) -> None:
        """Return when `least` source records more are committed than at the last fault, and the log has unkept ones."""
        deadline = time.monotonic() + timeout_s
        while self.done() < self._before + least or not self.in_flight():
            assert time.monotonic() < deadline, f"{self.done()} done, {self._before} at the last fault"
            time.sleep(0.01)

    def in_flight(self) -> int:
        """Records of the log that some worker has written but whose effects are not durable."""
        return self._made.lag([self._made.topics.log.name])

    def fault(self) -> None:
        """Remember where a fault found things."""
        self._before = self.done()


def finish(made: Deployment, workers: list[Worker]) -> None:
    """Let everything be folded, then all time pass, and stop the workers in an orderly way."""
    made.wait_done(alive=workers)
    made.end_tick(END_MS)
    made.wait_done(alive=workers)
    for worker in workers:
        assert worker.terminate() == 0, worker.log()[-2000:]


def test_four_kills_under_load_change_nothing(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """A worker is killed four times with work in flight; changes, profiles and counts are those of the log all the same."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        progress = Progress(made)
        with Load(kafka.bootstrap, topic_prefix, SEED, RATE):
            worker = made.worker("w0").wait_ready()
            for number in range(4):
                progress.wait()
                worker.kill()
                assert progress.in_flight() > 0, "the kill met no work"
                progress.fault()
                worker = made.worker(f"w{number + 1}").wait_ready()
            progress.wait()
        finish(made, [worker])
        assert differences(made) == []
        written = written_by(made)
        assert written.repeats + sum(marker.reread for marker in written.markers.values()) > 0


def test_a_worker_that_joins_and_leaves_changes_nothing(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """Under load a second worker takes over half of the partitions, works and leaves, once in good order and once killed."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        progress = Progress(made)
        with Load(kafka.bootstrap, topic_prefix, SEED + 1, RATE):
            first = made.worker("first").wait_ready()
            for killed in (False, True):
                progress.wait()
                second = made.worker(f"second-{killed}").wait_ready()
                made.wait_shared([first, second])
                _wait_until(lambda: folded_by(second) > 400, second)  # noqa: B023 - called before the loop goes on
                progress.fault()
                progress.wait()
                if killed:
                    second.kill()
                else:
                    assert second.terminate() == 0, second.log()[-2000:]
                progress.fault()
                _wait_until(lambda: owned_by(first, made.topics.log.name) == made.topics.log.partitions, first)
            progress.wait()
        finish(made, [first])
        assert differences(made) == []


def folded_by(worker: Worker) -> float:
    """Events that a worker has dealt with and kept since it was started."""
    return sum(value for (name, _), value in samples(worker).items() if name == "lifestage_events_total")


def _wait_until(holds: Callable[[], bool], worker: Worker) -> None:
    deadline = time.monotonic() + 25
    while not holds():
        assert time.monotonic() < deadline, worker.log()[-2000:]
        time.sleep(0.05)


def test_an_orderly_restart_repeats_nothing(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """SIGTERM in the middle of work ends with status 0, everything kept: the next worker repeats no change and no record."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        progress = Progress(made)
        with Load(kafka.bootstrap, topic_prefix, SEED + 2, RATE):
            for number in range(2):
                worker = made.worker(f"w{number}").wait_ready()
                progress.wait()
                assert worker.terminate() == 0, worker.log()[-2000:]
                check_committed(made)
                progress.fault()
            worker = made.worker("last").wait_ready()
            progress.wait()
        finish(made, [worker])
        assert differences(made) == []
        written = written_by(made)
        assert written.repeats == 0
        assert sum(marker.reread for marker in written.markers.values()) == 0


def test_a_worker_that_is_asked_to_stop_again_and_again_ends_as_who_is_asked_once(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """SIGTERM until the process is gone: status 0, since nothing on the way out may be cut short."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        worker = made.worker("w").wait_ready()
        deadline = time.monotonic() + 60
        while worker.running and time.monotonic() < deadline:
            worker.child.terminate()
            time.sleep(0.001)
        assert worker.child.returncode == 0, worker.log()[-2000:]


def check_committed(made: Deployment) -> None:
    """What is committed of the log is exactly what is in the changelog."""
    # A partition that had nothing yet may have been committed at 0, and has no marker.
    committed = {tp.partition: n for tp, n in made.committed().items() if tp.topic == made.topics.log.name and n}
    assert committed == {number: marker.offset + 1 for number, marker in written_by(made).markers.items()}


def test_every_event_after_a_recovery_is_counted(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """1,000 events, an orderly stop, 500 more while nobody runs, a start: all 1,500 are accounted for, three times over."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        load = Load(kafka.bootstrap, topic_prefix, SEED + 3, RATE)
        for number in range(4):
            load.send(500 if number else 1_000)
            with made.worker(f"w{number}") as worker:
                worker.wait_ready()
                made.wait_done(alive=[worker])
                assert worker.terminate() == 0
            assert truth_of(made).accounted.total() == load.sent
            assert differences(made) == []
        load.close()
