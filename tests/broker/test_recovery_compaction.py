"""State comes back from a changelog that the broker has really compacted, onto an empty disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from lifestage.marker import MARKER_KEY, PREPARED_KEY
from streams.embedded.kafka import KafkaServer
from tests.load import BEGIN_MS, Load
from tests.pipeline import Deployment, deployment, differences, truth_of, written_by
from tests.upsets import alter, compact
from tests.wire import produce
from tests.workers import Worker

pytestmark = pytest.mark.broker

SEED = 31
DAY_MS = 86_400_000
END_MS = 1_300_000_000_000
"""Later than any event of a load: everybody's timers fire."""


def passers_by(made: Deployment, numbers: range, when_ms: int) -> None:
    """Visitors of whom nobody knows a name: they are forgotten, with a tombstone, 30 days later."""
    visit = {"source": "shop", "type": "web.visit", "time": when_ms, "url": "https://shop.example/"}
    names = [f"p{number}" for number in numbers]
    records = [(name.encode(), msgspec.json.encode({**visit, "id": name, "anonymous_id": name})) for name in names]
    produce(made.bootstrap, made.prefix + "visits", records)


def go_on(made: Deployment, load: Load, name: str, count: int) -> Worker:
    """A worker on an empty disk takes in some more events, and is left running."""
    worker = made.worker(name).wait_ready(120)
    load.send(count)
    made.wait_done(alive=[worker])
    return worker


def test_a_compacted_changelog_gives_the_state_back(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """The broker's cleaner has taken records out of the changelog; a worker that is killed and one after it go on exactly."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, topics__partitions="2") as made:
        changelog = made.topics.changelog.name
        alter(made, changelog, segment_ms="500", max_compaction_lag_ms="500", min_compaction_lag_ms="0")
        load = Load(kafka.bootstrap, topic_prefix, SEED, 0)
        passers_by(made, range(100), BEGIN_MS)
        worker = go_on(made, load, "first", 500)
        for _ in range(4):
            load.send(500)
            made.wait_done(alive=[worker])
        made.end_tick(BEGIN_MS + 40 * DAY_MS)
        passers_by(made, range(100, 110), BEGIN_MS + 40 * DAY_MS)
        made.wait_done(alive=[worker])
        assert worker.terminate() == 0, worker.log()[-2000:]
        gone = [r for r in made.read(changelog) if r.value is None]
        assert len(gone) >= 100
        shutil.rmtree(made.home / "first")
        before, after = compact(made, changelog, 0.85)
        assert after < before
        kept = made.read(changelog)
        own = [r for r in kept if r.key not in (MARKER_KEY, PREPARED_KEY) and r.value is not None]
        assert len({r.key for r in own}) >= len(truth_of(made).profiles) > 300
        worker = go_on(made, load, "second", 400)
        load.send(200)
        worker.kill()
        shutil.rmtree(made.home / "second")
        worker = go_on(made, load, "third", 100)
        made.end_tick(END_MS)
        made.wait_done(alive=[worker])
        assert worker.terminate() == 0, worker.log()[-2000:]
        load.close()
        assert differences(made) == []
        assert written_by(made).markers.keys() == {0, 1}
