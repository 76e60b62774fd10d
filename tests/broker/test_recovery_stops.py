"""What contradicts the state stops the worker before it writes or commits anything, and it says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from kafka import TopicPartition

from lifestage.marker import MARKER_KEY, decode_marker, encode_marker
from streams.embedded.kafka import KafkaServer
from streams.provision import ProvisionError, plan
from streams.stop import EXIT_STOPPED
from tests.load import Load
from tests.pipeline import Deployment, deployment, differences, written_by
from tests.upsets import add_partitions, delete_records, empty, ends, forget_group, remake, set_commits
from tests.wire import produce

pytestmark = pytest.mark.broker

SEED = 53
PIECE = 400


def work(made: Deployment, load: Load, name: str, count: int = PIECE) -> None:
    """Events, and a worker that takes them in and stops."""
    load.send(count)
    with made.worker(name) as worker:
        worker.wait_ready(120)
        made.wait_done(alive=[worker])
        assert worker.terminate() == 0, worker.log()[-2000:]


def stands(made: Deployment) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """The ends of all topics, and what is committed."""
    return made.ends([topic.name for topic in made.topics.all()]), made.committed()


def stop_of(made: Deployment, name: str) -> str:
    """The reason for which a worker stops by itself, without having written or committed anything."""
    before = stands(made)
    with made.worker(name) as worker:
        assert worker.child.wait(60) == EXIT_STOPPED, worker.log()[-2000:]
    assert stands(made) == before
    return worker.log()


def newer_profile(made: Deployment) -> None:
    """A record of a profile in a format of times to come, with a field more."""
    profile = msgspec.msgpack.encode([None, "conversion", 99, 7, 1, {"what": "is not known yet"}])
    produce(made.bootstrap, made.topics.changelog.name, [(b"c1", profile)], partition=0)


def newer_marker(made: Deployment) -> None:
    """A marker in a format of times to come."""
    marker = decode_marker(
        next(r.value for r in made.read(made.topics.changelog.name)[::-1] if r.key == MARKER_KEY and r.value)
    )
    marker.format = 99
    produce(made.bootstrap, made.topics.changelog.name, [(MARKER_KEY, encode_marker(marker))], partition=0)


def rotten_profile(made: Deployment) -> None:
    """Half of a record, as a bad disk or a foreign writer leaves it."""
    held = [r for r in made.read(made.topics.changelog.name) if r.value and r.key and r.key[0]]
    value = held[-1].value
    assert value is not None
    produce(made.bootstrap, made.topics.changelog.name, [(held[-1].key, value[: len(value) // 2])], partition=0)


def rotten_marker(made: Deployment) -> None:
    """A marker of noise."""
    produce(made.bootstrap, made.topics.changelog.name, [(MARKER_KEY, b"\xc1noise")], partition=0)


UPSETS: dict[Callable[[Deployment], None], tuple[str, ...]] = {
    newer_profile: ("format 99", "newer release", "start that release again"),
    newer_marker: ("marker", "format 99", "newer release"),
    rotten_profile: ("corrupt", "delete the changelog topic"),
    rotten_marker: ("marker", "corrupt", "delete the changelog topic"),
}
"""What is written into the changelog, and what the worker says of it."""


def test_a_changelog_that_cannot_be_read_stops_the_worker_until_it_is_emptied(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """A corrupt record or one of a newer release: the worker names partition and offset; what it advises then works."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, topics__partitions="1") as made:
        load = Load(kafka.bootstrap, topic_prefix, SEED, 0)
        work(made, load, "before")
        name = made.topics.changelog.name
        kept = [(r.key, r.value) for r in made.read(name)]
        for upset, words in UPSETS.items():
            upset(made)
            told = stop_of(made, upset.__name__)
            for word in (f"{name}[0]@{ends(made, name)[0] - 1}", *words):
                assert word in told, told[-2000:]
            # what stood before, without the record: as from a backup
            empty(made, name)
            produce(made.bootstrap, name, kept, partition=0)
        work(made, load, "restored")
        rotten_marker(made)
        stop_of(made, "again")
        remake(made, name)
        work(made, load, "after")
        load.close()
        assert differences(made) == []
        assert written_by(made).repeats == 0


def test_offsets_that_were_reset_are_put_right_by_the_state(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """All commits set to 0, then deleted: no change is announced. Set beyond an end: a stop that says how to go on."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, topics__partitions="1") as made:
        load = Load(kafka.bootstrap, topic_prefix, SEED + 1, 0)
        work(made, load, "before")
        outputs = [made.topics.changes.name, made.topics.stages.name]
        every = [(topic.name, 0) for topic in (*made.topics.sources, made.topics.log)]
        said = made.ends(outputs)
        set_commits(made, dict.fromkeys(every, 0))
        work(made, load, "at 0", 0)
        assert made.ends(outputs) == said
        forget_group(made)
        work(made, load, "of nobody", 0)
        assert made.ends(outputs) == said
        for name, words in (
            (made.topics.log.name, "reset it to the earliest: the changelog says where to go on"),
            (made.sources[0], "what was taken in before is not taken in twice"),
        ):
            beyond = ends(made, name)[0] + 1_000
            set_commits(made, {(name, 0): beyond})
            told = stop_of(made, f"beyond {name}")
            assert f"{name}[0]: the group's commit stands at offset {beyond}" in told
            assert words in told
            set_commits(made, {(name, 0): 0})
        work(made, load, "last")
        load.close()
        assert differences(made) == []
        assert written_by(made).repeats == 0


def test_a_log_that_lacks_what_the_state_needs_stops_the_worker(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """Folded records may go from the log; unfolded ones not, nor the whole log, nor the state when the log has gone,
    nor may the log have more partitions: each stop names the place and the way out."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, topics__partitions="1") as made:
        load = Load(kafka.bootstrap, topic_prefix, SEED + 2, 0)
        work(made, load, "before")
        name = made.topics.log.name
        truth = differences(made)
        delete_records(made, name, {0: ends(made, name)[0]})
        work(made, load, "after retention", 10)
        assert truth == []
        made.end_tick(1)
        delete_records(made, name, {0: ends(made, name)[0]})
        told = stop_of(made, "eaten")
        assert f"{name}[0]: the changelog stands at offset" in told
        assert "are gone (retention)" in told
        kept = [(r.key, r.value) for r in made.read(made.topics.changelog.name)]
        empty(made, made.topics.changelog.name)
        told = stop_of(made, "of nothing")
        assert f"{name}[0] starts at offset {ends(made, name)[0]}, but no state has what came before" in told
        produce(made.bootstrap, made.topics.changelog.name, kept, partition=0)
        remake(made, name)
        told = stop_of(made, "another log")
        assert f"{name}[0]: the changelog stands at offset" in told
        assert "the topic ends at 0: it was created anew or cut" in told
        add_partitions(made, name, 2)
        refusal = f"{name} has 2 partitions, topics.partitions is 1"
        with pytest.raises(ProvisionError, match="2 partitions"):
            plan(made.settings, made.bootstrap)
        with made.worker("wider") as worker:
            assert worker.child.wait(60) == 2, worker.log()[-2000:]
        assert refusal in worker.log()
        assert "partitions were added to it" in worker.log()
        load.close()
