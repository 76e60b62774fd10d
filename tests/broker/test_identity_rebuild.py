"""State of people with several ids is folded from the log once more: what partitions told each other is not told again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lifestage import log
from streams.embedded.kafka import KafkaServer
from tests.broker.test_identity_faults import RATE, SEED, SLOW, close, persons_amiss
from tests.chaos.crew import PATIENCE_S
from tests.crowd import Crowd
from tests.load import Load
from tests.pipeline import Deployment, deployment, differences, written_by
from tests.upsets import empty, forget_group
from tests.workers import Worker

pytestmark = pytest.mark.broker

PIECE = 1_500


def messages(made: Deployment) -> Counter[bytes]:
    """How often each message is in the log."""
    values = [record.value for record in made.read(made.topics.log.name)]
    return Counter(value for value in values if value is not None and log.header(value).kind == log.MESSAGE)


def work(made: Deployment, crowd: Crowd) -> Counter[bytes]:
    """Take in a crowd and stop; returns the messages that has brought."""
    load = Load(made.bootstrap, made.prefix, SEED, RATE, crowd.events())
    load.send(PIECE)
    load.close()
    with made.worker("before") as worker:
        made.wait_done(PATIENCE_S, [worker.wait_ready(PATIENCE_S)])
        assert worker.terminate(60) == 0, worker.log()[-2000:]
    return messages(made)


def rebuilt(made: Deployment) -> Worker:
    """A worker that has made the lost state again."""
    worker = made.worker("after").wait_ready(PATIENCE_S)
    made.wait_done(PATIENCE_S, [worker])
    assert "is rebuilt" in worker.log()
    return worker


@pytest.mark.parametrize("number", [None, 1], ids=["all", "one partition"])
def test_what_was_told_is_not_told_again(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path, number: int | None
) -> None:
    """The changelog, or a partition of it, is emptied: the log gets no message twice, people are whole and stay so."""
    crowd = Crowd(SEED + 2)
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **SLOW) as made:
        told = work(made, crowd)
        assert told.total() > PIECE / 5
        empty(made, made.topics.changelog.name, None if number is None else [number])
        worker = rebuilt(made)
        assert messages(made) == told
        close(made, crowd, [worker])
        assert differences(made) == []
        assert persons_amiss(made, crowd) == []
        assert written_by(made).repeats == 0


def test_without_a_commit_it_is_told_again_and_dropped(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """The group with its commits is gone, too: nobody knows what is out, all is sent again, and nothing counts twice."""
    crowd = Crowd(SEED + 3)
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **SLOW) as made:
        told = work(made, crowd)
        forget_group(made)
        empty(made, made.topics.changelog.name)
        worker = rebuilt(made)
        again = messages(made)
        assert again.keys() == told.keys()
        assert [again[message] for message, times in told.items() if again[message] < 2 * times] == []
        close(made, crowd, [worker])
        assert differences(made) == []
        assert persons_amiss(made, crowd) == []
        assert sum(marker.reread for marker in written_by(made).markers.values()) >= told.total()
