"""State that is gone is folded from the log once more, and nothing is announced twice on the way."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streams.embedded.kafka import KafkaServer
from tests.broken_worker import DIED
from tests.load import Load
from tests.pipeline import Deployment, deployment, differences, written_by
from tests.spoilt.workers import Forgetful
from tests.upsets import empty, forget_group, remake
from tests.workers import Worker

pytestmark = pytest.mark.broker

SEED = 41
PIECE = 2_000
END_MS = 1_300_000_000_000
"""Later than any event of a load: everybody's timers fire."""


def work(made: Deployment, load: Load, name: str, count: int = PIECE) -> None:
    """Events, all timers, and a worker that takes them in and stops."""
    load.send(count)
    with made.worker(name) as worker:
        worker.wait_ready()
        made.wait_done(alive=[worker])
        assert worker.terminate() == 0, worker.log()[-2000:]


def check_rebuilt(made: Deployment, load: Load, worker: Worker) -> None:
    """The worker comes to be ready, takes in what is new, and all is exact, nothing said twice."""
    worker.wait_ready(120)
    assert "from the log: " in worker.log()
    assert "is rebuilt" in worker.log()
    load.send(300)
    made.wait_done(alive=[worker])
    made.end_tick(END_MS)
    made.wait_done(alive=[worker])
    assert worker.terminate() == 0, worker.log()[-2000:]
    assert differences(made) == []
    assert written_by(made).repeats == 0


def one_partition(made: Deployment) -> None:
    """One partition of the changelog is emptied."""
    empty(made, made.topics.changelog.name, [1])


def topic_remade(made: Deployment) -> None:
    """The changelog is deleted and provisioned again."""
    remake(made, made.topics.changelog.name)


def records_and_group(made: Deployment) -> None:
    """The changelog is emptied, and the group with its commits is deleted."""
    forget_group(made)
    empty(made, made.topics.changelog.name)


def lose(bootstrap: str, prefix: str, home: Path, upset: Callable[[Deployment], None]) -> None:
    """State is lost while nobody runs, and made again."""
    with deployment(bootstrap, f"{prefix}{upset.__name__}.", home / upset.__name__) as made:
        load = Load(bootstrap, made.prefix, SEED, 0)
        work(made, load, "before")
        upset(made)
        with made.worker("after") as worker:
            check_rebuilt(made, load, worker)
        load.close()


def test_lost_state_is_folded_again_and_nothing_is_said_twice(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """One partition of the changelog is emptied, or it is made anew, or emptied with the group gone: exact, 0 repeats."""
    upsets = (one_partition, topic_remade, records_and_group)
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(lose, kafka.bootstrap, topic_prefix, tmp_path, upset) for upset in upsets]
        for run in runs:
            run.result()


def cut(bootstrap: str, prefix: str, home: Path, word: str) -> tuple[list[str], int]:
    """A worker dies before the newest stages are told, state is lost, and another worker makes it again.

    Where nothing is broken by `word`, the rebuild is cut once and a further worker goes on, and it is started again.
    Returns what is wrong, and the repeats.
    """
    settings = {"topics__partitions": "2", "kafka__instance_id": "one", "lifecycle__flush_profiles": "50"}
    with deployment(bootstrap, f"{prefix}{word}.", home / (word or "sound"), **settings) as made:
        load = Load(bootstrap, made.prefix, SEED + 1, 0)
        work(made, load, "before", 1_000 if word else 5_000)
        with Forgetful(made, "dying_between_changes", "told") as dying:
            load.send(PIECE)
            assert dying.child.wait(60) == DIED, dying.log()[-2000:]
        empty(made, made.topics.changelog.name)
        if not word:
            with Forgetful(made, "dying_on_the_way", "cut") as dying:
                assert dying.child.wait(60) == DIED, dying.log()[-2000:]
        last: Worker = Forgetful(made, word, "after") if word else made.worker("after")
        with last as worker:
            worker.wait_ready(120)
            made.wait_done(120, alive=[worker])
            assert worker.terminate() == 0, worker.log()[-2000:]
        # before time passes: then everybody has a newer change, which hides what was left behind
        wrong = differences(made)
        if not word:
            assert "is rebuilt" in worker.log()
            made.end_tick(END_MS)
            work(made, load, "last", 100)
            assert "rebuilding" not in (made.home / "last.log").read_text()
            wrong += differences(made)
        load.close()
        return wrong, written_by(made).repeats


def test_a_rebuild_that_is_cut_goes_on_as_one(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """Changes half told, state lost, the rebuild killed on its way: 0 repeats, all exact; without either guard it shows."""
    of = (kafka.bootstrap, topic_prefix, tmp_path)
    with ThreadPoolExecutor(3) as pool:
        sound, repeating, behind = (pool.submit(cut, *of, word) for word in ("", "repeating", "leaving_behind"))
    assert sound.result() == ([], 0)
    assert repeating.result()[1] > 0
    assert any("customer-stages" in found for found in behind.result()[0])
