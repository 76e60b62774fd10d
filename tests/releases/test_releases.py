"""Workers of the last release and of this one in one group, in turns, and back: nothing is lost, doubled or misread."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import pytest

from streams.embedded.kafka import KafkaServer
from streams.embedded.process import Child, free_ports
from tests.broker.test_faults import Progress, finish
from tests.load import Load
from tests.pipeline import Deployment, deployment, differences, samples
from tests.workers import Worker, environment_of

pytestmark = pytest.mark.broker

LAST = "0.1.0"
ARCHIVE = Path(__file__).with_name(f"lifestage-{LAST}.tar.xz")
"""The packages of the last release as they were, made by `git archive`."""
SEED, RATE = 67, 400


class Released(Worker):
    """A worker of the last release, on the libraries of this one: the locks name the same."""

    def __init__(self, made: Deployment, checkout: Path, name: str) -> None:
        (self.port,) = free_ports(1)
        self.name = name
        environment = environment_of({**made.given, "metrics.port": str(self.port)}, made.home / name)
        self.child = Child(
            [sys.executable, "-P", "-m", "commands", "worker"],
            made.home / f"{name}.log",
            environment | {"PYTHONPATH": str(checkout)},
        )


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The last release, unpacked."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / LAST, filter="data")
    return tmp_path / LAST


def version_of(worker: Worker) -> str:
    """What a worker says that it is."""
    ((_, labels),) = [key for key in samples(worker) if key[0] == "lifestage_worker_info"]
    return dict(labels)["version"]


def test_releases_work_side_by_side_and_in_turns(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path, release: Path
) -> None:
    """Old, old beside new, new alone after a kill, back to old beside new and to old alone, then new: the outcome is exact."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        progress = Progress(made)

        def go_on(*workers: Worker) -> None:
            """These alone share the partitions, and get on with the load."""
            made.wait_shared(workers, 90)
            progress.fault()
            progress.wait(300, 90)

        with Load(kafka.bootstrap, topic_prefix, SEED, RATE):
            old = Released(made, release, "old").wait_ready(120)
            assert version_of(old) == LAST
            go_on(old)
            new = made.worker("new").wait_ready(120)
            go_on(old, new)
            old.kill()
            go_on(new)
            back = Released(made, release, "back").wait_ready(120)
            go_on(new, back)
            assert new.terminate(60) == 0, new.log()[-2000:]
            go_on(back)
            last = made.worker("last").wait_ready(120)
            go_on(back, last)
            assert back.terminate(60) == 0, back.log()[-2000:]
            go_on(last)
        finish(made, [last])
        assert differences(made) == []
