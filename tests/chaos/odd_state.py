"""State that others have spoilt while nobody ran: each time the next worker puts it right, or stops and is helped."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from lifestage.marker import MARKER_KEY, decode_marker
from streams.stop import EXIT_STOPPED
from tests.chaos.arena import Arena
from tests.chaos.crew import PATIENCE_S, until
from tests.chaos.table import Row
from tests.load import Load
from tests.pipeline import Deployment
from tests.upsets import alter, compact, empty, ends, forget_group, remake, set_commits
from tests.wire import produce
from tests.workers import Worker

TRIES = 5
PIECE = 2_000
"""Events between two upsets: about ten flushes of each partition, so that the broker's cleaner has something to clean."""


PROVEN = ""
"""An upset that has itself seen what it did, or there would have been no way on."""
READ_AGAIN = "is read again"
"""Events that are in the log come from their sources once more, and are dropped there."""


def disk_emptied(_: Deployment) -> str:
    """Nothing but the disk, which is emptied every time."""
    return PROVEN


def changelog_compacted(made: Deployment) -> str:
    """The broker's cleaner has run over the changelog."""
    before, after = compact(made, made.topics.changelog.name, 0.95)
    assert after < before
    return PROVEN


def changelog_emptied(made: Deployment) -> str:
    """All records of the changelog are deleted."""
    empty(made, made.topics.changelog.name)
    return "is rebuilt"


def partition_emptied(made: Deployment) -> str:
    """All records of one partition of the changelog are deleted."""
    empty(made, made.topics.changelog.name, [1])
    return "is rebuilt"


def changelog_remade(made: Deployment) -> str:
    """The changelog is deleted, and provisioned again."""
    remake(made, made.topics.changelog.name)
    prepare(made)
    return "is rebuilt"


def changelog_rotten(made: Deployment) -> str:
    """The changelog has half a record: the worker stops, writes nothing, and the changelog is emptied as it advises."""
    name = made.topics.changelog.name
    produce(made.bootstrap, name, [(b"c1", b"\x9a\xc0")], partition=0)
    stops(made, "is corrupt")
    empty(made, name)
    return "is rebuilt"


def offsets_at_0(made: Deployment) -> str:
    """The group's commits are set to 0."""
    set_commits(made, dict.fromkeys(places(made), 0))
    return READ_AGAIN


def offsets_beyond(made: Deployment) -> str:
    """A commit is set beyond the end of the log: the worker stops, and it is reset as it advises."""
    name = made.topics.log.name
    set_commits(made, {(name, 0): ends(made, name)[0] + 1_000})
    stops(made, "reset it to the earliest")
    set_commits(made, {(name, 0): 0})
    return PROVEN


def group_deleted(made: Deployment) -> str:
    """The group is deleted with all its commits."""
    forget_group(made)
    return READ_AGAIN


UPSETS: tuple[Callable[[Deployment], str], ...] = (
    changelog_emptied, offsets_at_0, changelog_rotten, group_deleted, changelog_compacted, partition_emptied,
    offsets_beyond, changelog_remade, disk_emptied,
)  # fmt: skip
"""Each gives words that the next worker must have said, or says otherwise how it is seen to have happened."""


def odd_state(arena: Arena, times: int) -> Row:
    """A worker is killed at work, its state is spoilt in one of nine ways, and a worker on an empty disk goes on."""
    row = Row("odd_state", times)
    with arena.deployment(row.name, topics__partitions="2", kafka__instance_id="one") as made:
        prepare(made)
        load = arena.load(made, 0)
        worker = made.worker("w0").wait_ready(PATIENCE_S)
        for number in range(times):
            upset = UPSETS[number % len(UPSETS)]
            worker = _killed_at_work(made, load, worker)
            shutil.rmtree(made.home / worker.name)
            before = reread(made)
            words = upset(made)
            worker = made.worker(f"w{number + 1}").wait_ready(PATIENCE_S)
            made.wait_done(PATIENCE_S, [worker])
            if reread(made) > before if words == READ_AGAIN else words in worker.log():
                row.proven += 1
            else:
                row.failures.append(f"{upset.__name__}: the worker did not say that the state {words}, or it is not")
            arena.say(row, number + 1, upset.__name__)
        arena.finish(made, [worker])
        load.close()
        arena.judge(made, row)
        row.notes.append("of nine kinds: " + ", ".join(upset.__name__ for upset in UPSETS[:times]))
    return row


def _killed_at_work(made: Deployment, load: Load, worker: Worker) -> Worker:
    """Kill a worker that has kept something and has records in the log that it has not: again, if it was too quick."""
    for again in range(TRIES):
        load.send(PIECE)
        made.wait_taken_in(PATIENCE_S, [worker])
        until(lambda: sum(ends(made, made.topics.changelog.name).values()) > 0, "something kept", [worker])
        worker.kill()
        if made.lag([made.topics.log.name]) > 0:
            return worker
        worker = made.worker(f"{worker.name}-{again}").wait_ready(PATIENCE_S)
    raise AssertionError(f"none of {TRIES} kills left records of the log undone")


def reread(made: Deployment) -> int:
    """How many records the log has had twice, as the newest markers count them: none where there is no marker."""
    newest = {r.partition: r.value for r in made.read(made.topics.changelog.name) if r.key == MARKER_KEY and r.value}
    return sum(decode_marker(value).reread for value in newest.values())


def prepare(made: Deployment) -> None:
    """The changelog is kept in many small pieces, so that all but the newest can be compacted."""
    alter(made, made.topics.changelog.name, segment_ms="500")


def places(made: Deployment) -> list[tuple[str, int]]:
    """Every partition of which the group commits."""
    topics = (*made.topics.sources, made.topics.log)
    return [(topic.name, number) for topic in topics for number in range(topic.partitions)]


def stops(made: Deployment, words: str) -> None:
    """A worker ends by itself, says why, and has written and committed nothing."""
    names = [topic.name for topic in made.topics.all()]
    before = (made.ends(names), made.committed())
    with Worker(made.given, made.home, "stopped") as worker:
        assert worker.child.wait(PATIENCE_S) == EXIT_STOPPED, worker.log()[-2000:]
        assert words in worker.log(), worker.log()[-2000:]
    assert (made.ends(names), made.committed()) == before
